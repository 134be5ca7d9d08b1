"""Poisson's equation with its terms out of balance: what moving weights mend, by Adam."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar, final

import torch
from torch import nn

from benchmarks.fields import poisson
from benchmarks.fields.kept import kept
from benchmarks.fields.poisson_task import FREQUENCY, Poisson
from benchmarks.fields.training import balanced, first_order
from constraints import AugmentedLagrangian, Embedding, Hard, ResidualAttention, SelfAdaptive, Soft
from dkmodels.balance import GradientNorm, LearningRateAnnealing, NeuralTangentKernel, ReLoBRaLo, SoftAdapt
from dkmodels.study.arm import Arm
from dkmodels.study.metric import Contrast
from dkmodels.study.task import Profile

__all__ = ["PoissonBalance"]

EQUAL = ("equation", "walls")


@final
class PoissonBalance(Poisson):
    """The equation's residual is some 20 times the field, so that its square outweighs the walls."""

    name = "poisson-balance"
    description = (
        "Poisson's equation on the unit square, equation and walls as losses of equal weight: balances, by Adam."
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=12, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=8, epochs=100, rounds=5, cost_seeds=2),
        "full": Profile(seeds=15, epochs=200, rounds=10, cost_seeds=5),
    }
    points = 500
    steps = 50
    titles: ClassVar[Mapping[str, str]] = {
        "equal": "equal weights",
        "by hand": "equation weighed 0.01",
        "annealing": "learning-rate annealing",
        "gradient norm": "norms of gradients",
        "tangent kernel": "neural tangent kernel",
        "ReLoBRaLo": "ReLoBRaLo",
        "SoftAdapt": "SoftAdapt",
        "attention": "residual attention to walls",
        "self-adaptive": "self-adaptive walls",
        "Lagrangian": "walls by an augmented Lagrangian",
        "hard": "walls Hard",
    }
    shown: ClassVar[Sequence[str]] = ("equal", "by hand", "annealing", "tangent kernel", "hard")
    published: ClassVar[Sequence[tuple[str, str]]] = ()

    @kept
    def rules(self) -> Mapping[str, Embedding]:
        """The equation and the walls, and how else they may be weighed or held."""
        return {
            "equation": Soft(poisson.equation(FREQUENCY)),
            "equation_by_hand": Soft(poisson.equation(FREQUENCY), weight=0.01),
            "walls": Soft(poisson.walls()),
            "walls_attention": Soft(poisson.walls(), emphasis=ResidualAttention(start=1.0)),
            "walls_adaptive": Soft(poisson.walls(), emphasis=SelfAdaptive(rate=100.0)),
            "walls_lagrangian": AugmentedLagrangian(poisson.walls()),
            "walls_hard": Hard(poisson.walls()),
        }

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam, a step a batch."""
        return first_order(parameters, steps=self.evaluations, repeat=1)

    def arms(self) -> list[Arm]:
        """Equal weights, and what may take their place."""
        return [
            Arm("equal", EQUAL),
            Arm("by hand", ("equation_by_hand", "walls")),
            Arm("annealing", EQUAL, partial(balanced, make=partial(LearningRateAnnealing, "equation"))),
            Arm("gradient norm", EQUAL, partial(balanced, make=GradientNorm)),
            Arm("tangent kernel", EQUAL, partial(balanced, make=NeuralTangentKernel)),
            Arm("ReLoBRaLo", EQUAL, partial(balanced, make=ReLoBRaLo)),
            Arm("SoftAdapt", EQUAL, partial(balanced, make=SoftAdapt)),
            Arm("attention", ("equation", "walls_attention")),
            Arm("self-adaptive", ("equation", "walls_adaptive")),
            Arm("Lagrangian", ("equation", "walls_lagrangian")),
            Arm("hard", ("equation", "walls_hard")),
        ]

    def contrasts(self) -> list[Contrast]:
        """Each against equal weights: weights of terms and of points that move, and other embeddings of the walls."""
        families = {
            **dict.fromkeys(("by hand", "Lagrangian", "hard"), "another embedding"),
            **dict.fromkeys(("attention", "self-adaptive"), "emphasis"),
        }
        return [
            Contrast(
                rule="walls",
                embedding=title,
                arm=arm,
                baseline="equal",
                family=families.get(arm, "balance"),
            )
            for arm, title in self.titles.items()
            if arm != "equal"
        ]
