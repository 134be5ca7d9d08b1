"""Lorenz' three numbers from noisy samples of the motion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import sympy
from torch import Tensor, nn

from benchmarks.fields import lorenz_inverse
from benchmarks.fields.kept import kept
from benchmarks.fields.task import FieldTask
from benchmarks.fields.training import (
    adaptive,
    by_levenberg_marquardt,
    by_self_scaled_bfgs,
    optimiser_contrasts,
)
from constraints import Embedding, Hard, Rule, Soft
from dkmodels.study.arm import Arm
from dkmodels.study.metric import Contrast
from dkmodels.study.task import Profile

__all__ = ["LorenzInverse"]


@final
class LorenzInverse(FieldTask):
    """Three numbers of a motion."""

    name = "lorenz_inverse"
    description = "sigma, rho and beta of Lorenz' equations from 25 noisy samples of the motion over 3 units of time."
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=8, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=7, epochs=25, rounds=5, cost_seeds=2),
        "full": Profile(seeds=20, epochs=50, rounds=10, cost_seeds=5),
    }
    hidden = (20, 2)
    stretch = 3.0
    points = 800
    names = ("x", "y", "z")
    truths: ClassVar[Mapping[str, float]] = lorenz_inverse.NUMBERS
    titles: ClassVar[Mapping[str, str]] = {
        "weak": "samples, equations Soft, weighed 0.01",
        "equation": "samples, equations Soft",
        "start": "+ first state Hard",
        "positive": "+ z >= 0 Soft",
        "start, LM": "+ first state Hard, Levenberg and Marquardt",
        "start, self-scaled BFGS": "+ first state Hard, self-scaled BFGS",
    }
    shown: ClassVar[Sequence[str]] = ("weak", "equation", "start", "start, LM")

    @property
    def domain(self) -> Mapping[sympy.Symbol, tuple[float, float]]:
        """Time."""
        return lorenz_inverse.DOMAIN

    def grid(self) -> Tensor:
        """301 times."""
        return lorenz_inverse.grid()

    def solution(self, points: Tensor) -> Tensor:
        """By Runge and Kutta's method of order 8."""
        return lorenz_inverse.solution(points)

    @kept
    def judged(self) -> Mapping[str, Rule]:
        """The first state."""
        return {"at_start": lorenz_inverse.start()}

    def rules(self) -> Mapping[str, Embedding]:
        """Those of no seed in particular."""
        return self.rules_of(0)

    @kept
    def rules_of(self, seed: int) -> Mapping[str, Embedding]:
        """With the samples of a seed."""
        points, values = lorenz_inverse.sensors(seed)
        return {
            "samples": Soft(lorenz_inverse.measured(points, values), weight=1.0 / len(points)),
            "equation": Soft(lorenz_inverse.equation(adaptive(self.points, candidates=3))),
            "equation_weak": Soft(lorenz_inverse.equation(adaptive(self.points, candidates=3)), weight=0.01),
            "positive": Soft(lorenz_inverse.positive()),
            "start": Hard(lorenz_inverse.start()),
        }

    def perceptron(self, inputs: int, outputs: int) -> nn.Sequential:
        """Its last weights larger, as the motion is large."""
        network = super().perceptron(inputs, outputs)
        last = network[-1]
        assert isinstance(last, nn.Linear)
        last.weight.data *= 10.0
        return network

    def arms(self) -> list[Arm]:
        """Samples and equations, what is added to them, and other optimisers."""
        base = ("samples", "equation")
        return [
            Arm("weak", ("samples", "equation_weak")),
            Arm("equation", base),
            Arm("start", (*base, "start")),
            Arm("positive", (*base, "positive")),
            Arm("start, LM", (*base, "start"), by_levenberg_marquardt),
            Arm("start, self-scaled BFGS", (*base, "start"), by_self_scaled_bfgs),
        ]

    def contrasts(self) -> list[Contrast]:
        """A hundred times the weight of the equations; each piece added to them and the samples."""
        return [
            Contrast(rule="equations", embedding="Soft, weighed 1", arm="equation", baseline="weak", family="stronger"),
            Contrast(rule="first state", embedding="Hard", arm="start", baseline="equation", family="added"),
            Contrast(rule="positive", embedding="Soft", arm="positive", baseline="equation", family="added"),
            *optimiser_contrasts(("LM", "start, LM", "start"), ("SelfScaledBFGS", "start, self-scaled BFGS", "start")),
        ]
