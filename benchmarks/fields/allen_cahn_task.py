"""Allen and Cahn's equation: period and symmetry Soft or Hard, where points are, how errors grow, and optimisers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, final

import sympy
from torch import Tensor

from benchmarks.fields import allen_cahn
from benchmarks.fields.kept import kept
from benchmarks.fields.task import FieldTask
from benchmarks.fields.training import adaptive, by_adam, optimiser_contrasts
from constraints import Embedding, Hard, Rule, Soft
from dkmodels.study.arm import Arm
from dkmodels.study.metric import Contrast
from dkmodels.study.task import Profile

__all__ = ["AllenCahn"]

BEST = ("equation_growth", "start", "periodic_hard", "even")


@final
class AllenCahn(FieldTask):
    """Allen and Cahn's equation, from what is known of it alone."""

    name = "allen_cahn"
    description = "Allen and Cahn's equation (diffusivity 1e-4), from the equation, its start and its period alone."
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=4, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=7, epochs=80, rounds=5, cost_seeds=2),
        "full": Profile(seeds=10, epochs=200, rounds=10, cost_seeds=5),
    }
    hidden = (30, 3)
    points = 4000  # twice the weights: a network that fits fewer does not fit between them
    titles: ClassVar[Mapping[str, str]] = {
        "soft": "all Soft",
        "hard": "period Hard, even by construction",
        "adaptive": "the same, fresh points, where residuals are",
        "growth": "adaptive, early residuals weigh more",
        "Adam": "the same, Adam alone",
    }
    shown: ClassVar[Sequence[str]] = ("soft", "hard", "adaptive", "growth", "Adam")
    published: ClassVar[Sequence[tuple[str, str]]] = (
        ("published: jaxpi (arXiv:2308.08468)", "5.37e-5"),
        ("published: PirateNet (arXiv:2402.00326)", "2.24e-5"),
        ("published: SOAP (second hand)", "3.48e-6"),
        ("published: self-scaled Broyden (second hand)", "1.88e-6"),
    )

    @property
    def domain(self) -> Mapping[sympy.Symbol, tuple[float, float]]:
        """`x` and `t`."""
        return allen_cahn.DOMAIN

    def grid(self) -> Tensor:
        """201 x 101."""
        return allen_cahn.grid()

    def solution(self, points: Tensor) -> Tensor:
        """Of a spectral method."""
        return allen_cahn.solution(points)

    @kept
    def judged(self) -> Mapping[str, Rule]:
        """The equation, the start and the period."""
        return {"residual": allen_cahn.equation(), "at_start": allen_cahn.start(), "at_ends": allen_cahn.periodic()}

    @kept
    def rules(self) -> Mapping[str, Embedding]:
        """The start is a loss in every arm: built in, it would keep its kink."""
        return {
            "equation": Soft(allen_cahn.equation()),
            "equation_adaptive": Soft(allen_cahn.equation(adaptive(self.points, candidates=3))),
            "equation_growth": Soft(allen_cahn.equation(adaptive(self.points, candidates=3), growth=2.0)),
            "start": Soft(allen_cahn.start(), weight=100.0),
            "periodic": Soft(allen_cahn.periodic()),
            "periodic_hard": Hard(allen_cahn.periodic()),
            "even": Hard(allen_cahn.mirror()),
        }

    def arms(self) -> list[Arm]:
        """More knowledge, arm by arm; then the best of them by Adam."""
        return [
            Arm("soft", ("equation", "start", "periodic")),
            Arm("hard", ("equation", "start", "periodic_hard", "even")),
            Arm("adaptive", ("equation_adaptive", "start", "periodic_hard", "even")),
            Arm("growth", BEST),
            Arm("Adam", BEST, partial(by_adam, steps=self.evaluations)),
        ]

    def contrasts(self) -> list[Contrast]:
        """Each piece against what it replaces or is added to."""
        return [
            Contrast(rule="period, even", embedding="Hard", arm="hard", baseline="soft", family="another embedding"),
            Contrast(rule="adaptive points", embedding="Soft", arm="adaptive", baseline="hard", family="added"),
            Contrast(rule="growth of errors", embedding="Soft", arm="growth", baseline="adaptive", family="added"),
            *optimiser_contrasts(("SelfScaledBroyden", "growth", "Adam")),
        ]

    def widths(self, rules: Mapping[str, Embedding]) -> tuple[int, int]:
        """With a period built in, the network is given a cosine and a sine."""
        return (3, 1) if "periodic_hard" in rules else (2, 1)
