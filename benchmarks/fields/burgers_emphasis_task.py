"""Burgers' equation with weights of single points that move, by Adam and by self-scaled Broyden."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, final

import torch
from torch import nn

from benchmarks.burgers import problem
from benchmarks.fields.burgers_task import BurgersForward
from benchmarks.fields.emphases import EMPHASES, emphasis_contrasts
from benchmarks.fields.kept import kept
from benchmarks.fields.training import by_single_iterations, first_order
from constraints import Causal, Embedding, Emphasis, ResidualAttention, SelfAdaptive, Soft
from dkmodels.study.arm import Arm
from dkmodels.study.metric import Contrast
from dkmodels.study.task import Profile

__all__ = ["BurgersEmphasis"]


@final
class BurgersEmphasis(BurgersForward):
    """The equation and its conditions as losses; the equation's points weighed alike, or not.

    There are fewer points than weights of the network: what is between them is free, whatever they weigh.
    """

    name = "burgers-emphasis"
    description = "Burgers' equation with a shock, all Soft, at 500 points: weights of single points that move."
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=12, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=8, epochs=60, rounds=5, cost_seeds=2),
        "full": Profile(seeds=15, epochs=150, rounds=10, cost_seeds=5),
    }
    points = 500
    steps = 50
    titles: ClassVar[Mapping[str, str]] = {
        **{f"Adam, {kind}": f"Adam, {title}" for kind, title in EMPHASES.items()},
        **{f"Broyden, {kind}": f"self-scaled Broyden, {title}" for kind, title in EMPHASES.items()},
    }
    shown: ClassVar[Sequence[str]] = ("Adam, even", "Adam, attention", "Broyden, even", "Broyden, attention")
    published: ClassVar[Sequence[tuple[str, str]]] = ()

    @kept
    def rules(self) -> Mapping[str, Embedding]:
        """The equation with each emphasis, and the conditions."""
        return {
            "even": _equation(None),
            "attention": _equation(ResidualAttention(start=1.0)),
            "adaptive": _equation(SelfAdaptive()),
            "causal": _equation(Causal(time=1)),
            "conditions": Soft(problem.conditions(), weight=10.0),
        }

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam, a step a batch."""
        return first_order(parameters, steps=self.evaluations, repeat=1)

    def arms(self) -> list[Arm]:
        """Each emphasis by each optimiser."""
        return [
            *(Arm(f"Adam, {kind}", (kind, "conditions")) for kind in EMPHASES),
            *(Arm(f"Broyden, {kind}", (kind, "conditions"), by_single_iterations) for kind in EMPHASES),
        ]

    def contrasts(self) -> list[Contrast]:
        """Each emphasis against none."""
        return [*emphasis_contrasts("Adam, {}"), *emphasis_contrasts("Broyden, {}")]


def _equation(emphasis: Emphasis | None) -> Soft:
    return Soft(problem.equation(), emphasis=emphasis)
