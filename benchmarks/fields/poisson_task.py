"""Poisson's equation: walls Soft or Hard, mirrors, and optimisers beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import sympy
from torch import Tensor

from benchmarks.fields import poisson
from benchmarks.fields.kept import kept
from benchmarks.fields.task import FieldTask
from benchmarks.fields.training import (
    ITERATIONS,
    by_adam,
    by_bfgs,
    by_lbfgs,
    by_levenberg_marquardt,
    by_nystrom_newton,
    by_soap,
    optimiser_contrasts,
)
from constraints import Embedding, Hard, Rule, Soft
from dkmodels.study.arm import Arm
from dkmodels.study.metric import Contrast
from dkmodels.study.task import Profile

__all__ = ["Poisson"]

FREQUENCY = 1
HELD = ("equation", "walls_hard")


class Poisson(FieldTask):
    """Poisson's equation on a square."""

    name = "poisson"
    description = "Poisson's equation on the unit square, u = sin(pi x) sin(pi y), from the equation and its walls."
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=8, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=8, epochs=100, rounds=5, cost_seeds=2),
        "full": Profile(seeds=15, epochs=200, rounds=10, cost_seeds=5),
    }
    points = 500
    titles: ClassVar[Mapping[str, str]] = {
        "soft": "walls Soft",
        "hard": "walls Hard",
        "hard + mirrors": "walls Hard, mirrors Hard",
        "hard, Adam": "walls Hard, Adam alone",
        "hard, Adam, longer": "walls Hard, Adam alone, twice as many steps",
        "hard, SOAP": "walls Hard, SOAP alone",
        "hard, L-BFGS": "walls Hard, L-BFGS",
        "hard, BFGS": "walls Hard, BFGS",
        "hard, LM": "walls Hard, Levenberg and Marquardt",
        "hard, NNCG": "walls Hard, Adam, then Newton by conjugate gradients",
    }
    shown: ClassVar[Sequence[str]] = ("soft", "hard", "hard + mirrors", "hard, Adam")
    published: ClassVar[Sequence[tuple[str, str]]] = (
        ("published: 4 x 64, walls Hard, 10,000 steps of Adam, median of 10 seeds", "3.69e-5"),
    )

    @property
    def domain(self) -> Mapping[sympy.Symbol, tuple[float, float]]:
        """The unit square."""
        return poisson.DOMAIN

    def grid(self) -> Tensor:
        """101 x 101."""
        return poisson.grid()

    def solution(self, points: Tensor) -> Tensor:
        """In closed form."""
        return poisson.solution(points, FREQUENCY)

    @kept
    def judged(self) -> Mapping[str, Rule]:
        """The equation and the walls."""
        return {"residual": poisson.equation(FREQUENCY), "at_walls": poisson.walls()}

    @kept
    def rules(self) -> Mapping[str, Embedding]:
        """The equation as a loss, the walls as a loss or built in, the mirrors built in."""
        return {
            "equation": Soft(poisson.equation(FREQUENCY), weight=0.01),
            "walls": Soft(poisson.walls()),
            "walls_hard": Hard(poisson.walls()),
            "mirrors": Hard(poisson.mirrors(FREQUENCY)),
        }

    def arms(self) -> list[Arm]:
        """How the walls are held, whether mirrors are, and how the rest is minimised."""
        return [
            Arm("soft", ("equation", "walls")),
            Arm("hard", HELD),
            Arm("hard + mirrors", (*HELD, "mirrors")),
            Arm("hard, Adam", HELD, partial(by_adam, steps=self.evaluations, learning_rate=3e-2)),
            Arm(
                "hard, Adam, longer",
                HELD,
                partial(by_adam, steps=2 * self.evaluations, learning_rate=3e-2, repeat=2 * ITERATIONS),
            ),
            Arm("hard, SOAP", HELD, partial(by_soap, steps=self.evaluations)),
            Arm("hard, L-BFGS", HELD, by_lbfgs),
            Arm("hard, BFGS", HELD, by_bfgs),
            Arm("hard, LM", HELD, partial(by_levenberg_marquardt, first=1)),
            Arm("hard, NNCG", HELD, by_nystrom_newton),
        ]

    def contrasts(self) -> list[Contrast]:
        """Each piece against what it replaces or is added to."""
        return [
            Contrast(rule="walls", embedding="Hard", arm="hard", baseline="soft", family="against another embedding"),
            Contrast(rule="mirrors", embedding="Hard", arm="hard + mirrors", baseline="hard", family="added"),
            *optimiser_contrasts(
                ("SelfScaledBroyden", "hard", "hard, Adam"),
                ("SOAP", "hard, SOAP", "hard, Adam"),
                ("NNCG", "hard, NNCG", "hard, Adam"),
                ("SelfScaledBroyden", "hard", "hard, L-BFGS"),
                ("SelfScaledBroyden", "hard", "hard, BFGS"),
                ("LM", "hard, LM", "hard"),
            ),
        ]
