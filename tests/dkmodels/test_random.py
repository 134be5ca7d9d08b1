"""Streams of random numbers: independent of each other, and resumed."""

import copy
import io

import torch
from torch import nn

from dkmodels.random import RandomStreams


def drawn(streams, owner, purpose="penalty"):
    with streams.of(owner, purpose):
        return torch.rand(3)


def test_streams_do_not_shift_each_other():
    one, other = RandomStreams(1), RandomStreams(1)
    drawn(one, "b"), drawn(one, "a", "measure")
    assert torch.equal(drawn(one, "a"), drawn(other, "a"))
    assert not torch.equal(drawn(RandomStreams(2), "a"), drawn(RandomStreams(1), "a"))


def test_forgotten_purposes_begin_anew():
    streams = RandomStreams(1)
    first, penalty = drawn(streams, "a", "measure"), drawn(streams, "a")
    streams.forget("measure")
    assert torch.equal(drawn(streams, "a", "measure"), first)
    assert not torch.equal(drawn(streams, "a"), penalty)


def test_state_dicts_go_on_and_may_lack_streams():
    streams = RandomStreams(1)
    drawn(streams, "a"), drawn(streams, "", "balance")
    file = io.BytesIO()
    torch.save(nn.ModuleDict({"streams": streams}).state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = nn.ModuleDict({"streams": RandomStreams(5)})
    resumed.load_state_dict(saved)
    copied = copy.deepcopy(streams)
    for owner, purpose in (("a", "penalty"), ("", "balance"), ("new", "penalty")):
        expected = drawn(streams, owner, purpose)
        assert torch.equal(drawn(resumed["streams"], owner, purpose), expected)
        assert torch.equal(drawn(copied, owner, purpose), expected)
    assert nn.ModuleDict({"streams": RandomStreams(5)}).load_state_dict({}).missing_keys == []
