"""An unknown conductivity from noisy thermometers, and what each further piece of knowledge is worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, ClassVar, final

import sympy
import torch
from torch import Tensor, nn

from benchmarks.fields import heat_inverse
from benchmarks.fields.kept import kept
from benchmarks.fields.task import FieldTask
from benchmarks.fields.training import careful
from constraints import Embedding, Hard, Rule, Soft
from dkmodels.study.arm import Arm
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import Contrast
from dkmodels.study.task import Profile

__all__ = ["HeatInverse", "HeatInverseFew", "HeatInverseNoisy"]


class HeatInverse(FieldTask):
    """An insulated rod."""

    name = "heat_inverse"
    description = "A rod's conductivity from 30 noisy thermometers and the equation; conditions and laws added to them."
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=8, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=8, epochs=20, rounds=5, cost_seeds=2),
        "full": Profile(seeds=20, epochs=40, rounds=10, cost_seeds=5),
    }
    hidden = (20, 2)
    points = 500
    count: ClassVar[int] = heat_inverse.SENSORS
    readings: ClassVar[int] = heat_inverse.READINGS
    noise: ClassVar[float] = heat_inverse.NOISE
    truths: ClassVar[Mapping[str, float]] = {"k": heat_inverse.CONDUCTIVITY}
    titles: ClassVar[Mapping[str, str]] = {
        "equation": "thermometers, equation Soft",
        "bounds": "+ maximum principle Soft",
        "content": "+ heat content Soft",
        "walls": "+ insulated ends Hard",
        "walls + start": "+ insulated ends and start Hard",
    }
    shown: ClassVar[Sequence[str]] = tuple(titles)

    @property
    def domain(self) -> Mapping[sympy.Symbol, tuple[float, float]]:
        """`x` and `t`."""
        return heat_inverse.DOMAIN

    def grid(self) -> Tensor:
        """101 x 101."""
        return heat_inverse.grid()

    def solution(self, points: Tensor) -> Tensor:
        """In closed form."""
        return heat_inverse.solution(points)

    @kept
    def judged(self) -> Mapping[str, Rule]:
        """The insulation, the start and the heat content."""
        return {
            "at_walls": heat_inverse.walls(),
            "at_start": heat_inverse.start(),
            "content_drift": heat_inverse.content(),
        }

    def rules(self) -> Mapping[str, Embedding]:
        """Those of no seed in particular."""
        return self.rules_of(0)

    @kept
    def rules_of(self, seed: int) -> Mapping[str, Embedding]:
        """With the thermometers of a seed."""
        points, values = heat_inverse.sensors(seed, count=self.count, readings=self.readings, noise=self.noise)
        measured = heat_inverse.measured(points, values, noise=self.noise)
        return {
            "sensors": Soft(measured, weight=1.0 / len(points)),
            "equation": Soft(heat_inverse.equation(), weight=1e3),
            "bounds": Soft(heat_inverse.bounds(), weight=1e3),
            "content": Soft(heat_inverse.content(), weight=1e3),
            "walls": Hard(heat_inverse.walls()),
            "start": Hard(heat_inverse.start()),
        }

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam first, so that the conductivity does not run to its bound where thermometers are few."""
        return careful(parameters)

    def arms(self) -> list[Arm]:
        """Thermometers and the equation, and what is added to them."""
        base = ("sensors", "equation")
        return [
            Arm("equation", base),
            Arm("bounds", (*base, "bounds")),
            Arm("content", (*base, "content")),
            Arm("walls", (*base, "walls")),
            Arm("walls + start", (*base, "walls", "start")),
        ]

    def contrasts(self) -> list[Contrast]:
        """Each piece added to thermometers and equation, the start to the walls."""
        steps = [
            ("maximum principle", "Soft", "bounds", "equation"),
            ("heat content", "Soft", "content", "equation"),
            ("insulated ends", "Hard", "walls", "equation"),
            ("start", "Hard", "walls + start", "walls"),
        ]
        return [
            Contrast(rule=rule, embedding=kind, arm=arm, baseline=baseline, family="added")
            for rule, kind, arm, baseline in steps
        ]

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """And how near errors are to what the readings tell at best."""
        return [*super().exhibits(cells, costs), self._best(cells)]

    def _best(self, cells: Sequence[Mapping[str, Any]]) -> Exhibit:
        least: dict[int, float] = {}
        rows = [["arm", "error of k / least standard deviation"]]
        for arm, title in self.titles.items():
            ratios = []
            for cell in (cell for cell in cells if cell["arm"] == arm and cell["status"] == "done"):
                seed = cell["seed"]
                if seed not in least:
                    points, _ = heat_inverse.sensors(seed, count=self.count, readings=self.readings, noise=self.noise)
                    least[seed] = heat_inverse.least_deviation(points, self.noise)
                ratios.append(cell["metrics"]["parameter_error"] / least[seed])
            if ratios:
                rows.append([title, f"{median(ratios):.2g} ({min(ratios):.2g} to {max(ratios):.2g})"])
        middle = f"{100.0 * median(least.values()):.2g} %" if least else "-"
        return Exhibit(
            f"{self.name}: what the thermometers tell",
            rows,
            f"{self.count} thermometers, each read {self.readings} times, noise {self.noise:g} of the range. Whoever "
            "knows all but k has no unbiased estimate of a smaller standard deviation than Cramér and Rao's bound, "
            f"{middle} of k in the median over seeds. The median of an estimate that reaches it is 0.67 of it.",
        )


@final
class HeatInverseFew(HeatInverse):
    """Three thermometers."""

    name = "heat_inverse-few"
    description = "The same rod with 3 thermometers."
    count = 3


@final
class HeatInverseNoisy(HeatInverse):
    """Five times the noise."""

    name = "heat_inverse-noisy"
    description = "The same rod, with noise of 5 % of the range."
    noise = 0.05
