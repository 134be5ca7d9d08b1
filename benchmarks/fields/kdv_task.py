"""Korteweg and de Vries' equation: start and period Soft or Hard, where points are, what is kept, optimisers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, final

import sympy
from torch import Tensor

from benchmarks.fields import kdv
from benchmarks.fields.kept import kept
from benchmarks.fields.task import FieldTask
from benchmarks.fields.training import adaptive, by_adam, optimiser_contrasts
from benchmarks.strengths import answers
from constraints import Embedding, Hard, Rule, Soft
from dkmodels import KnowledgeModule
from dkmodels.study.arm import Arm
from dkmodels.study.metric import Contrast, Metric
from dkmodels.study.task import Data, Profile

__all__ = ["Kdv"]

BEST = ("equation_adaptive", "start_hard", "periodic_hard")


@final
class Kdv(FieldTask):
    """Korteweg and de Vries' equation, from what is known of it alone."""

    name = "kdv"
    description = (
        "Korteweg and de Vries' equation (0.022^2), solitons from a cosine, from the equation and its conditions."
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=3, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=6, epochs=120, rounds=5, cost_seeds=2),
        "full": Profile(seeds=10, epochs=240, rounds=10, cost_seeds=5),
    }
    hidden = (30, 4)
    stretch = 4.0
    points = 5000  # more than weights: a network that fits fewer does not fit between them
    titles: ClassVar[Mapping[str, str]] = {
        "soft": "all Soft",
        "hard": "start and period Hard",
        "hard, adaptive": "the same, fresh points, where residuals are",
        "Adam": "adaptive, Adam alone",
    }
    shown: ClassVar[Sequence[str]] = ("soft", "hard", "hard, adaptive", "Adam")
    published: ClassVar[Sequence[tuple[str, str]]] = (("published: PirateNet (arXiv:2402.00326)", "4.27e-4"),)

    @property
    def domain(self) -> Mapping[sympy.Symbol, tuple[float, float]]:
        """`x` and `t`."""
        return kdv.DOMAIN

    def grid(self) -> Tensor:
        """201 x 101."""
        return kdv.grid()

    def solution(self, points: Tensor) -> Tensor:
        """Of a spectral method."""
        return kdv.solution(points)

    @kept
    def judged(self) -> Mapping[str, Rule]:
        """The equation, the start and the period."""
        return {"residual": kdv.equation(), "at_start": kdv.start(), "at_ends": kdv.periodic()}

    @kept
    def rules(self) -> Mapping[str, Embedding]:
        """The equation as a loss, at fixed points or where residuals are; conditions as a loss, or built in."""
        return {
            "equation": Soft(kdv.equation()),
            "equation_adaptive": Soft(kdv.equation(sampler=adaptive(self.points, candidates=3))),
            "start": Soft(kdv.start(), weight=100.0),
            "periodic": Soft(kdv.periodic(), weight=10.0),
            "start_hard": Hard(kdv.start()),
            "periodic_hard": Hard(kdv.periodic()),
        }

    def arms(self) -> list[Arm]:
        """More knowledge, arm by arm; then the best of them by other optimisers."""
        return [
            Arm("soft", ("equation", "start", "periodic")),
            Arm("hard", ("equation", "start_hard", "periodic_hard")),
            Arm("hard, adaptive", BEST),
            Arm("Adam", BEST, partial(by_adam, steps=self.evaluations)),
        ]

    def contrasts(self) -> list[Contrast]:
        """Each piece against what it replaces or is added to."""
        best = "hard, adaptive"
        return [
            Contrast(rule="conditions", embedding="Hard", arm="hard", baseline="soft", family="another embedding"),
            Contrast(rule="adaptive points", embedding="Soft", arm=best, baseline="hard", family="added"),
            *optimiser_contrasts(("SelfScaledBroyden", best, "Adam")),
        ]

    @property
    def sought(self) -> Mapping[str, str]:
        """What the motion keeps."""
        return {"momentum_drift": "largest change of momentum"}

    def metrics(self) -> Sequence[Metric]:
        """And how far the momentum, the integral of the square, is from what it was."""
        return [*super().metrics(), Metric(name="momentum_drift", direction="min", gain=1e-4)]

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """The momentum by the mean over equal places of a period, exact for what the grid resolves."""
        found = super().evaluate(module, data, seed)
        rows = len(self.grid()[:, 1].unique())
        u = answers(module, self.grid(), batch_size=4096).reshape(rows, -1)[:, :-1]  # both ends are one place
        momentum = 2.0 * u.square().mean(dim=1)
        found["momentum_drift"] = float((momentum - momentum[0]).abs().max())
        return found

    def widths(self, rules: Mapping[str, Embedding]) -> tuple[int, int]:
        """With a period built in, the network is given a cosine and a sine."""
        return (3, 1) if "periodic_hard" in rules else (2, 1)
