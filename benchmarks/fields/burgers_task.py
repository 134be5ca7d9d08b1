"""Burgers' equation without data: conditions Soft or Hard, symmetry, where points are, and optimisers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import sympy
from torch import Tensor

from benchmarks.burgers import problem
from benchmarks.fields.kept import kept
from benchmarks.fields.task import FieldTask
from benchmarks.fields.training import (
    adaptive,
    by_adam,
    by_lbfgs,
    by_levenberg_marquardt,
    by_self_scaled_bfgs,
    optimiser_contrasts,
)
from constraints import Embedding, Hard, Rule, Soft
from constraints.sampling import Uniform
from dkmodels.study.arm import Arm
from dkmodels.study.metric import Contrast
from dkmodels.study.task import Profile

__all__ = ["BurgersForward"]

BEST = ("equation_adaptive", "conditions_hard", "odd")


class BurgersForward(FieldTask):
    """Burgers' equation with a shock, from what is known of it alone."""

    name = "burgers-forward"
    description = (
        "Burgers' equation with a shock (nu = 0.01/pi), no sensors; the reference is Cole and Hopf's transform."
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=10, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=8, epochs=60, rounds=5, cost_seeds=2),
        "full": Profile(seeds=15, epochs=150, rounds=10, cost_seeds=5),
    }
    titles: ClassVar[Mapping[str, str]] = {
        "soft": "equation and conditions Soft",
        "hard": "conditions Hard",
        "hard + odd": "conditions Hard, odd by construction",
        "hard + odd, fresh": "the same, fresh points each step",
        "hard + odd, adaptive": "the same, fresh points, where residuals are",
        "self-scaled BFGS": "adaptive, self-scaled BFGS",
        "L-BFGS": "adaptive, L-BFGS",
        "LM": "adaptive, Levenberg and Marquardt",
        "Adam": "adaptive, Adam alone",
    }
    shown: ClassVar[Sequence[str]] = ("soft", "hard", "hard + odd", "hard + odd, adaptive", "Adam")
    published: ClassVar[Sequence[tuple[str, str]]] = (
        ("published: PINNacle's best of 10 methods, 20,000 steps of Adam (arXiv:2306.08827)", "1.45e-2"),
        ("published: SOAP (second hand)", "4.03e-5"),
        ("published: self-scaled Broyden (second hand; perhaps an easier viscosity)", "8.25e-9"),
    )

    @property
    def domain(self) -> Mapping[sympy.Symbol, tuple[float, float]]:
        """`x` and `t`."""
        return problem.DOMAIN

    def grid(self) -> Tensor:
        """201 x 101."""
        return problem.grid()

    def solution(self, points: Tensor) -> Tensor:
        """By Cole and Hopf's transform."""
        return problem.solution(points)

    @kept
    def judged(self) -> Mapping[str, Rule]:
        """The equation and its conditions."""
        return {"residual": problem.equation(), "at_conditions": problem.conditions()}

    @kept
    def rules(self) -> Mapping[str, Embedding]:
        """The equation as a loss, at fixed points or where residuals are; conditions as a loss, or built in."""
        return {
            "equation": Soft(problem.equation()),
            "equation_fresh": Soft(problem.equation(Uniform())),
            "equation_adaptive": Soft(problem.equation(adaptive(self.points))),
            "conditions": Soft(problem.conditions(), weight=10.0),
            "conditions_hard": Hard(problem.conditions()),
            "odd": Hard(problem.mirror()),
        }

    def arms(self) -> list[Arm]:
        """More knowledge, arm by arm; then the best of them by other optimisers."""
        return [
            Arm("soft", ("equation", "conditions")),
            Arm("hard", ("equation", "conditions_hard")),
            Arm("hard + odd", ("equation", "conditions_hard", "odd")),
            Arm("hard + odd, fresh", ("equation_fresh", "conditions_hard", "odd")),
            Arm("hard + odd, adaptive", BEST),
            Arm("self-scaled BFGS", BEST, by_self_scaled_bfgs),
            Arm("L-BFGS", BEST, by_lbfgs),
            Arm("LM", BEST, partial(by_levenberg_marquardt, first=6)),
            Arm("Adam", BEST, partial(by_adam, steps=self.evaluations)),
        ]

    def contrasts(self) -> list[Contrast]:
        """Each piece against what it replaces or is added to."""
        best = "hard + odd, adaptive"
        return [
            Contrast(
                rule="conditions", embedding="Hard", arm="hard", baseline="soft", family="against another embedding"
            ),
            Contrast(rule="odd", embedding="Hard", arm="hard + odd", baseline="hard", family="added"),
            Contrast(
                rule="fresh points", embedding="Soft", arm="hard + odd, fresh", baseline="hard + odd", family="added"
            ),
            Contrast(rule="adaptive points", embedding="Soft", arm=best, baseline="hard + odd, fresh", family="added"),
            *optimiser_contrasts(
                ("SelfScaledBFGS", "self-scaled BFGS", best),
                ("SelfScaledBroyden", best, "L-BFGS"),
                ("LM", "LM", best),
                ("L-BFGS", "L-BFGS", "Adam"),
            ),
        ]
