"""Turned digits: the shipped copy is what it says, the rule is measured over turns, every arm trains."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.rotations import digits
from benchmarks.rotations.digits import all_turns, load_digits, upright_moment
from benchmarks.rotations.exhibits import arms_table
from benchmarks.rotations.module import Augmentation
from benchmarks.rotations.task import DigitProfile, Rotations, Rotations69
from constraints import Canonicalised, Hard, Invariance, Permutations, UnsupportedError, join, quarter_turns
from constraints.testing import law_symmetric


def test_the_copy_is_small_and_whole():
    assert digits.DATA.stat().st_size < 100 * 1024
    told = (digits.DATA.parent / "README.md").read_text()
    assert "CC BY 4.0" in told and "UCI" in told
    with np.load(digits.DATA) as file:
        images, labels = file["images"], file["labels"]
    assert images.shape == (1797, 8, 8) and images.max() == 16
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_images_are_loaded_by_class():
    images, labels = load_digits((6, 9))
    assert images.shape == (181 + 180, 1, 8, 8) and float(images.max()) == 1.0
    assert labels.bincount().tolist() == [181, 180]
    with np.load(digits.DATA) as file:
        first = file["images"][file["labels"] == 6][0]
    assert np.array_equal(images[labels == 0][0, 0].numpy() * 16, first)


def test_the_key_has_the_same_value_for_a_copy_in_any_batch():
    images, _ = load_digits(range(10))
    keys = torch.stack([upright_moment(turned) for turned in all_turns(images)])
    again = torch.stack([upright_moment(turned) for turned in all_turns(torch.rot90(images, 1, (-2, -1)))])
    assert torch.equal(keys.roll(-1, dims=0), again)
    assert torch.equal(upright_moment(images[:7]), keys[0, :7])


def test_turned_images_are_the_peer_and_only_in_training():
    rule = Invariance(quarter_turns())
    images, _ = load_digits((3,))
    torch.manual_seed(0)
    moved = Augmentation(rule).move(images)
    turns = all_turns(images)
    hit = (turns == moved).flatten(2).all(dim=-1)
    assert bool(hit.any(dim=0).all())
    assert bool((hit.sum(dim=1) > len(images) / 8).all())  # each of the four, upright too
    with pytest.raises(UnsupportedError, match="finite group"):
        Augmentation(Invariance(Permutations(8)))
    task = Rotations("quick")
    torch.manual_seed(0)
    module = task.module(task.network(0), {"augmentation": task.rules()["augmentation"]})
    module.eval()
    assert torch.equal(module(images), module(images))
    module.train()
    assert not torch.equal(module(images), module(images))


@pytest.mark.parametrize("arm", ["average", "canonical", "canonical_moment", "average_flips"])
def test_networks_of_hard_arms_obey(arm):
    task = Rotations("quick")
    torch.manual_seed(0)
    embedding = task.rules()[arm]
    network = join(task.network(0), {arm: embedding})
    assert isinstance(embedding, Hard) and isinstance(embedding.rule, Invariance)
    images, _ = load_digits((0, 6))
    law_symmetric(network, embedding.rule, images)
    assert isinstance(network, Canonicalised) == arm.startswith("canonical")


@pytest.mark.parametrize("cls", [Rotations, Rotations69])
def test_every_arm_trains_and_hard_ones_do_not_change_their_answer(run_arms, cls):
    task, store = run_arms(cls, DigitProfile(seeds=2, epochs=1, rounds=1, train=64, width=4))
    cells = {cell["arm"]: cell["metrics"] for cell in store.cells()}
    for arm in ("average", "canonical", "canonical_moment", "average_flips"):
        assert cells[arm]["changed"] == 0.0 and cells[arm]["violation_max"] < 1e-4
        assert abs(cells[arm]["accuracy"] - cells[arm]["accuracy_turned"]) < 1e-12
    for arm in ("none", "augmentation", "soft", "augmentation + soft"):
        assert cells[arm]["changed"] > 0.0 and cells[arm]["violation_max"] > 1e-3
    assert len(arms_table(store.cells(), [], task.confused).rows) == 9
    assert set(task.data(0).test.tensors[1].tolist()) == set(range(len(cls.classes)))
    assert Path(digits.DATA).exists()
