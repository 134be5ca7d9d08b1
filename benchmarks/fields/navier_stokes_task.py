"""Kovasznay's flow: walls and divergence Soft or Hard, mirror, optimisers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, final

import sympy
from torch import Tensor

from benchmarks.fields import navier_stokes
from benchmarks.fields.kept import kept
from benchmarks.fields.task import FieldTask
from benchmarks.fields.training import by_adam, by_levenberg_marquardt, optimiser_contrasts
from constraints import Embedding, Hard, Rule, Soft
from dkmodels.study.arm import Arm
from dkmodels.study.metric import Contrast
from dkmodels.study.task import Profile

__all__ = ["NavierStokes"]

BEST = ("momentum", "divergence", "walls_hard", "gauge_hard", "mirror")


@final
class NavierStokes(FieldTask):
    """A steady flow, from what is known of it alone."""

    name = "navier_stokes"
    description = (
        "Kovasznay's flow at Re = 40: velocity and pressure, from the equations, the velocity on the sides and the "
        "pressure at the outflow."
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=2, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=8, epochs=20, rounds=5, cost_seeds=2),
        "full": Profile(seeds=15, epochs=60, rounds=10, cost_seeds=5),
    }
    hidden = (25, 3)
    names = ("u", "v", "p")
    titles: ClassVar[Mapping[str, str]] = {
        "soft": "all Soft",
        "divergence": "no divergence by a potential, the rest Soft",
        "walls": "sides Hard",
        "walls + mirror": "sides Hard, mirror Hard",
        "LM": "the same, Levenberg and Marquardt",
        "Adam": "the same, Adam alone",
    }
    shown: ClassVar[Sequence[str]] = ("soft", "divergence", "walls", "walls + mirror", "Adam")

    @property
    def domain(self) -> Mapping[sympy.Symbol, tuple[float, float]]:
        """`x` and `y`."""
        return navier_stokes.DOMAIN

    def grid(self) -> Tensor:
        """101 x 101."""
        return navier_stokes.grid()

    def solution(self, points: Tensor) -> Tensor:
        """In closed form."""
        return navier_stokes.solution(points)

    @kept
    def judged(self) -> Mapping[str, Rule]:
        """The equations and the sides."""
        return {
            "residual": navier_stokes.momentum(),
            "divergence": navier_stokes.divergence(),
            "at_sides": navier_stokes.walls(),
        }

    @kept
    def rules(self) -> Mapping[str, Embedding]:
        """Equations as losses, the divergence and what is known at the sides as losses or built in."""
        return {
            "momentum": Soft(navier_stokes.momentum()),
            "divergence": Soft(navier_stokes.divergence()),
            "divergence_hard": Hard(navier_stokes.divergence()),
            "walls": Soft(navier_stokes.walls(), weight=10.0),
            "walls_hard": Hard(navier_stokes.walls()),
            "gauge": Soft(navier_stokes.gauge(), weight=10.0),
            "gauge_hard": Hard(navier_stokes.gauge()),
            "mirror": Hard(navier_stokes.mirror()),
        }

    def arms(self) -> list[Arm]:
        """What is built in, and by what the rest is minimised."""
        return [
            Arm("soft", ("momentum", "divergence", "walls", "gauge")),
            Arm("divergence", ("momentum", "divergence_hard", "walls", "gauge")),
            Arm("walls", ("momentum", "divergence", "walls_hard", "gauge_hard")),
            Arm("walls + mirror", BEST),
            Arm("LM", BEST, by_levenberg_marquardt),
            Arm("Adam", BEST, partial(by_adam, steps=self.evaluations)),
        ]

    def contrasts(self) -> list[Contrast]:
        """Each piece against what it replaces or is added to."""
        best = "walls + mirror"
        return [
            Contrast(
                rule="divergence", embedding="Hard", arm="divergence", baseline="soft", family="another embedding"
            ),
            Contrast(rule="sides", embedding="Hard", arm="walls", baseline="soft", family="another embedding"),
            Contrast(rule="mirror", embedding="Hard", arm=best, baseline="walls", family="added"),
            *optimiser_contrasts(("LM", "LM", best), ("SelfScaledBroyden", best, "Adam")),
        ]

    def widths(self, rules: Mapping[str, Embedding]) -> tuple[int, int]:
        """Without divergence by construction, the network gives a stream function and the pressure."""
        return (2, 2) if "divergence_hard" in rules else (2, 3)
