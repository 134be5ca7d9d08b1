"""Allen and Cahn's equation with weights of single points that move, by self-scaled Broyden."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, final

import torch
from torch import nn

from benchmarks.fields import allen_cahn
from benchmarks.fields.allen_cahn_task import AllenCahn
from benchmarks.fields.emphases import EMPHASES, emphasis_contrasts
from benchmarks.fields.kept import kept
from benchmarks.fields.training import quasi_newton
from constraints import Causal, Embedding, Emphasis, Hard, ResidualAttention, SelfAdaptive, Soft
from dkmodels.study.arm import Arm
from dkmodels.study.metric import Contrast
from dkmodels.study.task import Profile

__all__ = ["AllenCahnEmphasis"]


@final
class AllenCahnEmphasis(AllenCahn):
    """Errors grow with time, so that what is early is to be learnt first; points weighed alike, or not."""

    name = "allen_cahn-emphasis"
    description = "Allen and Cahn's equation at 1,000 fixed points: weights of single points that move."
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=5, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=8, epochs=20, rounds=5, cost_seeds=2),
        "full": Profile(seeds=15, epochs=60, rounds=10, cost_seeds=5),
    }
    points = 1000
    steps = 50
    titles: ClassVar[Mapping[str, str]] = EMPHASES
    shown: ClassVar[Sequence[str]] = tuple(EMPHASES)
    published: ClassVar[Sequence[tuple[str, str]]] = ()

    @kept
    def rules(self) -> Mapping[str, Embedding]:
        """The equation with each emphasis, the start as a loss, the period and the mirror built in."""
        return {
            "even": _equation(None),
            "attention": _equation(ResidualAttention(start=1.0)),
            "adaptive": _equation(SelfAdaptive(rate=0.1)),
            "causal": _equation(Causal(time=1, windows=32, rates=(10.0, 100.0, 1000.0))),
            "start": Soft(allen_cahn.start(), weight=100.0),
            "periodic_hard": Hard(allen_cahn.periodic()),
            "even_hard": Hard(allen_cahn.mirror()),
        }

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Self-scaled Broyden, one iteration a step."""
        return quasi_newton(parameters, iterations=1)

    def arms(self) -> list[Arm]:
        """Each emphasis."""
        return [Arm(kind, (kind, "start", "periodic_hard", "even_hard")) for kind in EMPHASES]

    def contrasts(self) -> list[Contrast]:
        """Each emphasis against none."""
        return emphasis_contrasts()


def _equation(emphasis: Emphasis | None) -> Soft:
    return Soft(allen_cahn.equation(), emphasis=emphasis)
