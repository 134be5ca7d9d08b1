"""Streams of random numbers: independent of each other, and resumed."""

import copy
import io
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dkmodels import random
from dkmodels.random import RandomStream, RandomStreams


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


@pytest.fixture
def accelerator(monkeypatch):
    """A second generator, as an accelerator has one."""
    own = torch.Generator("cpu").manual_seed(3)
    module = SimpleNamespace(get_rng_state=own.get_state, set_rng_state=own.set_state)
    monkeypatch.setattr(random, "_generators", lambda: {"cpu": torch, "cpu:0": module})
    return own


def test_an_accelerator_has_streams_too(accelerator):
    def drawn_there(streams):
        with streams.of("a", "penalty"):
            return torch.rand(3, generator=accelerator)

    before = accelerator.get_state()
    streams = RandomStreams(1)
    begin = streams.places("penalty")
    first = drawn_there(streams)
    saved = streams.state_dict()
    second = drawn_there(streams)
    assert torch.equal(accelerator.get_state(), before) and not torch.equal(first, second)
    resumed = RandomStreams(2)
    resumed.load_state_dict(saved)
    assert torch.equal(drawn_there(resumed), second)
    streams.go_back("penalty", begin)
    assert torch.equal(drawn_there(streams), first)


def test_an_accelerator_may_come_into_use_inside(accelerator, monkeypatch):
    both, stream = random._generators(), RandomStream(1)
    monkeypatch.setattr(random, "_generators", lambda: {"cpu": torch})
    with stream:
        monkeypatch.setattr(random, "_generators", lambda: both)
    assert set(stream.state) == {"cpu"}
    with stream:
        first = torch.rand(3, generator=accelerator)
    with RandomStream(1):
        assert torch.equal(torch.rand(3, generator=accelerator), first)


def test_states_of_before_accelerators_load():
    streams, old = RandomStreams(1), RandomStreams(2)
    drawn(streams, "a")
    saved = streams.get_extra_state()
    old.set_extra_state({**saved, "states": {key: places["cpu"] for key, places in saved["states"].items()}})
    assert torch.equal(drawn(old, "a"), drawn(streams, "a"))
