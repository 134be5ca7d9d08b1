"""Digits under invariance to turns: where it is true of the label, and where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from benchmarks.rotations.digits import all_turns, load_digits, upright_moment
from benchmarks.rotations.exhibits import arms_table
from benchmarks.rotations.module import Augmentation, DigitModule
from benchmarks.strengths import answers, strength_arms, strength_contrasts
from constraints import Canonicalisation, Embedding, Hard, Invariance, Soft, quarter_turns, turns_and_flips
from dkmodels import KnowledgeModule
from dkmodels.random import seed_streams
from dkmodels.study.arm import Arm
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import Contrast, Metric
from dkmodels.study.task import Data, Profile, Task

__all__ = ["DigitProfile", "Rotations", "Rotations69"]

RATE, SOFT_WEIGHT = 5e-3, 0.1


@final
@dataclass(frozen=True, kw_only=True)
class DigitProfile(Profile):
    """Sizes of the benchmark.

    Attributes:
        train: training images; all others are for the test.
        width: channels of the first convolution.
    """

    train: int = 600
    width: int = 12


class Rotations(Task):
    """Digits of eight classes, upright in training and turned at random in the test: the turn changes no label."""

    name = "rotations"
    description = (
        "Eight classes of handwritten digits (no 6, no 9) are learnt upright and read at any quarter turn: invariance "
        "to turns is true of the label, to flips it is not quite (2 and 5). By a loss, by turned training images, by "
        "averaging over the group and by one pose for each orbit."
    )
    classes: ClassVar[tuple[int, ...]] = (0, 1, 2, 3, 4, 5, 7, 8)
    confused: ClassVar[tuple[int, int]] = (2, 5)
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": DigitProfile(seeds=3, epochs=15, rounds=3, cost_seeds=1),
        "standard": DigitProfile(seeds=10, epochs=30, rounds=5, cost_seeds=3),
        "full": DigitProfile(seeds=20, epochs=60, rounds=10, cost_seeds=5, width=32),
    }

    @property
    def sizes(self) -> DigitProfile:
        """The profile's sizes."""
        assert isinstance(self.profile, DigitProfile)
        return self.profile

    # --- data and network --------------------------------------------------------------------------------------

    def data(self, seed: int) -> Data:
        """Upright images, split anew for each seed."""
        images, labels = load_digits(self.classes)
        order = np.random.default_rng(seed_streams(seed)["split"]).permutation(len(images))
        images, labels = images[order], labels[order]
        train, test = slice(None, self.sizes.train), slice(self.sizes.train, None)
        return Data(
            train=TensorDataset(images[train], labels[train]),
            test=TensorDataset(images[test], labels[test]),
            batch_size=32,
        )

    def network(self, seed: int) -> nn.Module:
        """A small CNN."""
        width = self.sizes.width
        return nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2 * width * 16, len(self.classes)),
        )

    # --- rules -------------------------------------------------------------------------------------------------

    def rules(self) -> Mapping[str, Embedding]:
        """Invariance to quarter turns in every way, and to flips as well."""
        by_key = Canonicalisation(upright_moment)
        return {
            "augmentation": Augmentation(Invariance(quarter_turns(), name="turns", unit="logit")),
            "soft": Soft(Invariance(quarter_turns(), name="turns", unit="logit"), weight=SOFT_WEIGHT),
            "average": Hard(Invariance(quarter_turns(), name="turns", unit="logit")),
            "canonical": Hard(Invariance(quarter_turns(), by=Canonicalisation(), name="turns", unit="logit")),
            "canonical_moment": Hard(Invariance(quarter_turns(), by=by_key, name="turns", unit="logit")),
            "average_flips": Hard(Invariance(turns_and_flips(), name="turns_and_flips", unit="logit")),
        }

    def arms(self) -> list[Arm]:
        """Each alone, and the loss on turned training images."""
        return strength_arms(self.rules(), [("augmentation", "soft")])

    def contrasts(self) -> list[Contrast]:
        """Each against none; the two layers against turned images and the loss, against each other, and with flips."""
        against = {
            "average": ("augmentation", "soft", "canonical_moment", "average_flips"),
            "canonical_moment": ("augmentation", "soft", "canonical"),
        }
        return strength_contrasts("invariance", self.arms(), self.rules(), against)

    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> DigitModule:
        """Cross entropy and Adam."""
        return DigitModule(network, rules, learning_rate=RATE)

    # --- measuring ---------------------------------------------------------------------------------------------

    def metrics(self) -> Sequence[Metric]:
        """What counts here is reading turned images."""
        return [
            Metric(name="accuracy_turned", direction="max", gain=0.01, primary=True),
            Metric(name="accuracy", direction="max", gain=0.01),
            *self._others(),
        ]

    def _others(self) -> list[Metric]:
        return [
            Metric(name="accuracy_confused", direction="max", gain=0.01),
            Metric(name="changed", direction="min", gain=0.01, rate=True),
            Metric(name="violation", direction="min", unit="logit", gain=0.1),
            Metric(name="violation_max", direction="min", unit="logit", gain=0.1),
        ]

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """Accuracy upright and over the four turns, and how the answer changes over them."""
        assert isinstance(data.test, TensorDataset)
        x, labels = data.test.tensors
        logits = torch.stack([answers(module, turned) for turned in all_turns(x)])
        right = logits.argmax(dim=-1) == labels
        apart = (logits - logits[0]).abs().amax(dim=(0, 2))
        changed = (logits.argmax(dim=-1) != logits[0].argmax(dim=-1)).any(dim=0)
        pair = torch.isin(labels, torch.tensor([self.classes.index(digit) for digit in self.confused]))
        return {
            "accuracy_turned": float(right.double().mean()),
            "accuracy": float(right[0].double().mean()),
            "accuracy_confused": float(self._where_it_counts(right)[..., pair].double().mean()),
            "changed": (int(changed.sum()), len(x)),
            "violation": float(apart.mean()),
            "violation_max": float(apart.max()),
        }

    def _where_it_counts(self, right: Tensor) -> Tensor:
        """Of the right answers of each turn those that the task is about."""
        return right

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """The arms."""
        return [arms_table(cells, costs, self.confused)]


@final
class Rotations69(Rotations):
    """All ten digits, upright in the test as well: half a turn makes a 6 a 9, so the rule is wrong."""

    name = "rotations-69"
    description = (
        "All ten handwritten digits, upright in training and in the test. Half a turn makes a 6 a 9: invariance is "
        "not true of the label, and a network that is held to it can tell them apart only by how a hand writes them."
    )
    classes: ClassVar[tuple[int, ...]] = tuple(range(10))
    confused: ClassVar[tuple[int, int]] = (6, 9)

    def metrics(self) -> Sequence[Metric]:
        """What counts here is reading upright images, and 6 and 9 among them."""
        confused, *others = self._others()
        return [
            Metric(name="accuracy", direction="max", gain=0.01, primary=True),
            confused,
            Metric(name="accuracy_turned", direction="max", gain=0.01),
            *others,
        ]

    def _where_it_counts(self, right: Tensor) -> Tensor:
        return right[0]
