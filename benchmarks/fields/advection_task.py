"""Advection around a ring: weights of single points that move, by self-scaled Broyden."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, final

import sympy
import torch
from torch import Tensor, nn

from benchmarks.fields import advection
from benchmarks.fields.emphases import EMPHASES, EVEN, emphasis_contrasts
from benchmarks.fields.kept import kept
from benchmarks.fields.task import FieldTask
from benchmarks.fields.training import quasi_newton
from constraints import Causal, Embedding, Emphasis, Hard, ResidualAttention, Rule, SelfAdaptive, Soft
from dkmodels.study.arm import Arm
from dkmodels.study.metric import Contrast
from dkmodels.study.task import Profile

__all__ = ["Advection"]

SOFT = ("start", "periodic")
BUILT_IN = ("start_hard", "periodic_hard")


@final
class Advection(FieldTask):
    """What is late rests on what is early; the equation's points weighed alike, or not."""

    name = "advection"
    description = (
        "Advection around a ring, nearly five rounds: weights of single points that move, conditions Soft or Hard."
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=5, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=8, epochs=20, rounds=5, cost_seeds=2),
        "full": Profile(seeds=15, epochs=60, rounds=10, cost_seeds=5),
    }
    points = 2000
    steps = 50
    titles: ClassVar[Mapping[str, str]] = {**EMPHASES, "hard": "no emphasis; start and period Hard"}
    shown: ClassVar[Sequence[str]] = tuple(titles)
    published: ClassVar[Sequence[tuple[str, str]]] = (
        ("published: L-BFGS, no emphasis (arXiv:2109.01050, second hand)", "0.90"),
        ("published: a curriculum of speeds (the same)", "0.02"),
    )

    @property
    def domain(self) -> Mapping[sympy.Symbol, tuple[float, float]]:
        """`x` and `t`."""
        return advection.DOMAIN

    def grid(self) -> Tensor:
        """101 x 101."""
        return advection.grid()

    def solution(self, points: Tensor) -> Tensor:
        """In closed form."""
        return advection.solution(points)

    @kept
    def judged(self) -> Mapping[str, Rule]:
        """The equation, the start and the period."""
        return {"residual": advection.equation(), "at_start": advection.start(), "at_ends": advection.periodic()}

    @kept
    def rules(self) -> Mapping[str, Embedding]:
        """The equation with each emphasis; start and period as losses, or built in."""
        return {
            "even": _equation(None),
            "attention": _equation(ResidualAttention(start=1.0)),
            "adaptive": _equation(SelfAdaptive()),
            "causal": _equation(Causal(time=1, windows=32, rates=(0.1, 1.0, 10.0, 100.0))),
            "start": Soft(advection.start(), weight=100.0),
            "periodic": Soft(advection.periodic(), weight=100.0),
            "start_hard": Hard(advection.start()),
            "periodic_hard": Hard(advection.periodic()),
        }

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Self-scaled Broyden, one iteration a step, so that weights move with each."""
        return quasi_newton(parameters, iterations=1)

    def arms(self) -> list[Arm]:
        """Each emphasis with conditions as losses; conditions built in, with none."""
        return [*(Arm(kind, (kind, *SOFT)) for kind in EMPHASES), Arm("hard", (EVEN, *BUILT_IN))]

    def contrasts(self) -> list[Contrast]:
        """Each emphasis against none, and conditions built in against losses."""
        return [
            *emphasis_contrasts(),
            Contrast(rule="conditions", embedding="Hard", arm="hard", baseline=EVEN, family="another embedding"),
        ]

    def widths(self, rules: Mapping[str, Embedding]) -> tuple[int, int]:
        """With a period built in, the network is given a cosine and a sine."""
        return (3, 1) if "periodic_hard" in rules else (2, 1)


def _equation(emphasis: Emphasis | None) -> Soft:
    return Soft(advection.equation(), emphasis=emphasis)
