"""HardNet's piecewise task at its settings, under every embedding of the one boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, final

import torch
from torch import nn
from torch.utils.data import TensorDataset

from benchmarks.pwc.exhibits import beside_published
from benchmarks.pwc.problem import Boundary, bounds, grid_points, samples, target
from benchmarks.strengths import answers, strength_arms, strength_contrasts
from constraints import AugmentedLagrangian, Decode, Embedding, Hard, Soft
from dkmodels import KnowledgeModule, RegressionModule
from dkmodels.study.arm import Arm
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import Contrast, Metric
from dkmodels.study.task import Data, Profile, Task

__all__ = ["Pwc"]

HIDDEN, RATE, SOFT_WEIGHT = 200, 1e-4, 10.0  # as published
SAMPLED = 1.2


@final
class Pwc(Task):
    """A function with pieces, each with its own bound; half of the test lies outside the samples."""

    name = "pwc"
    description = (
        "HardNet's piecewise task at its settings (50 samples, 2 hidden layers of 200, 1000 epochs, float64): a bound "
        "that holds everywhere, samples that lie in the middle."
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=1000, rounds=3, cost_seeds=1),
        "standard": Profile(seeds=10, epochs=1000, rounds=10, cost_seeds=3),  # 5 seeds allow no verdict
        "full": Profile(seeds=30, epochs=1000, rounds=10, cost_seeds=5),
    }

    def data(self, seed: int) -> Data:
        """The same samples for every seed, as published: seeds differ in initial weights alone."""
        x, test = samples(), grid_points()
        return Data(train=TensorDataset(x, target(x)), test=TensorDataset(test, target(test)), batch_size=len(x))

    def network(self, seed: int) -> nn.Module:
        """Two hidden layers, Kaiming-normal weights, float64."""
        sizes = (1, HIDDEN, HIDDEN, 1)
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layer = nn.Linear(a, b)
            nn.init.kaiming_normal_(layer.weight)
            layers += [layer, nn.ReLU()]
        return nn.Sequential(*layers[:-1]).double()

    def rules(self) -> Mapping[str, Embedding]:
        """The boundary in every embedding."""
        return {
            "soft": Soft(Boundary(), weight=SOFT_WEIGHT),
            # One epoch is one step here, so the weight grows slowly.
            "lagrangian": AugmentedLagrangian(Boundary(), rho=1.0, growth=1.01, decrease=0.999, largest=100.0),
            "decode": Decode(Boundary()),
            "hard": Hard(Boundary()),
        }

    def arms(self) -> list[Arm]:
        """Each alone, and the loss with the projection after it."""
        return strength_arms(self.rules(), [("soft", "decode")])

    def contrasts(self) -> list[Contrast]:
        """Each against none, and the layer against the projection at inference, the loss, and both."""
        return strength_contrasts("boundary", self.arms(), self.rules(), {"hard": ("decode", "soft", "soft + decode")})

    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> RegressionModule:
        """Mean squared error and Adam, as published."""
        return RegressionModule(network, rules, metrics={}, learning_rate=RATE)

    def metrics(self) -> Sequence[Metric]:
        """Errors over the test grid."""
        return [
            Metric(name="mse", direction="min", gain=0.1, primary=True),
            Metric(name="max_violation", direction="min", gain=0.05, primary=True),
            Metric(name="mean_violation", direction="min", gain=0.01),
            Metric(name="violated", direction="min", gain=0.01, rate=True),
            Metric(name="mse_inside", direction="min", gain=0.01),
            Metric(name="mse_outside", direction="min", gain=0.2),
        ]

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """Errors and violations on the test grid, computed apart from the rule's own code."""
        assert isinstance(data.test, TensorDataset)
        x, wanted = data.test.tensors
        y = answers(module, x)
        error = (y - wanted).square().flatten()
        low, high = bounds(x)
        excess = torch.maximum(low - y, y - high).clamp(min=0.0).flatten()
        inside = x.flatten().abs() <= SAMPLED
        return {
            "mse": float(error.mean()),
            "mse_inside": float(error[inside].mean()),
            "mse_outside": float(error[~inside].mean()),
            "max_violation": float(excess.max()),
            "mean_violation": float(excess.mean()),
            "violated": (int((excess > 1e-6).sum()), len(excess)),
        }

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """Beside the published rows."""
        return [beside_published(cells, costs)]
