"""A field from a few noisy sensors, and what each piece of knowledge adds to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from benchmarks.burgers.exhibits import beside_published
from benchmarks.burgers.problem import DOMAIN, conditions, equation, grid, mirror, solution
from benchmarks.strengths import answers
from constraints import Embedding, Hard, Soft
from dkmodels import KnowledgeModule
from dkmodels.optim import QuasiNewton, SelfScaledBroyden
from dkmodels.study.arm import Arm
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import ADD_ONE_IN, Contrast, Metric
from dkmodels.study.task import Data, Profile, Task

__all__ = ["Burgers", "FieldModule"]

SENSORS, NOISE, POINTS = 100, 0.01, 1000
HIDDEN, DEPTH = 20, 3
EQUATION_WEIGHT, CONDITION_WEIGHT = 0.1, 1.0


@final
class FieldModule(KnowledgeModule):
    """Mean squared error where there is a sensor; rules act at all points. 20 quasi-Newton iterations a step."""

    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Of the samples that were measured: the target is a value, and whether there is one."""
        value, seen = target[:, :1], target[:, 1:]
        return (seen * (y - value).square()).sum() / seen.sum().clamp(min=1.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Self-scaled Broyden: the shock is out of a first-order method's reach in this time."""
        return QuasiNewton(self.parameters(), update=SelfScaledBroyden(), max_iter=20)


@final
class Burgers(Task):
    """Burgers' equation with a shock."""

    name = "burgers"
    description = (
        f"Burgers' equation with a shock (nu = 0.01/pi), {SENSORS} sensors with noise of {NOISE}, {POINTS} points at "
        "which the rules act; the reference is Cole and Hopf's transform."
    )
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=16, rounds=2, cost_seeds=1),
        "standard": Profile(seeds=10, epochs=60, rounds=8, cost_seeds=3),
        "full": Profile(seeds=20, epochs=150, rounds=10, cost_seeds=5),
    }

    def data(self, seed: int) -> Data:
        """Sensors at random places, and points of a Sobol sequence without targets; a grid for the test."""
        generator = torch.Generator().manual_seed(seed)
        low = torch.tensor([bounds[0] for bounds in DOMAIN.values()], dtype=torch.float64)
        size = torch.tensor([bounds[1] - bounds[0] for bounds in DOMAIN.values()], dtype=torch.float64)
        sensors = low + size * torch.rand(SENSORS, 2, generator=generator, dtype=torch.float64)
        seen = solution(sensors) + NOISE * torch.randn(SENSORS, 1, generator=generator, dtype=torch.float64)
        sobol = torch.quasirandom.SobolEngine(2, scramble=True, seed=seed)
        free = low + size * sobol.draw(POINTS, dtype=torch.float64)
        x = torch.cat([sensors, free])
        test = grid()
        return Data(
            train=TensorDataset(x, _targets(seen, POINTS)),
            test=TensorDataset(test, _targets(solution(test))),
            batch_size=len(x),
            extra=sensors,
        )

    def network(self, seed: int) -> nn.Module:
        """Three hidden layers of 20, tanh, Xavier-normal weights, float64."""
        layers: list[nn.Module] = []
        for a, b in pairwise((2, *[HIDDEN] * DEPTH, 1)):
            layer = nn.Linear(a, b)
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.Tanh()]
        return nn.Sequential(*layers[:-1]).double()

    def rules(self) -> Mapping[str, Embedding]:
        """The equation as a loss; its conditions as a loss, or built in; its symmetry, built in."""
        return {
            "equation": Soft(equation(), weight=EQUATION_WEIGHT),
            "conditions": Soft(conditions(), weight=CONDITION_WEIGHT),
            "conditions_hard": Hard(conditions()),
            "odd": Hard(mirror()),
        }

    def arms(self) -> list[Arm]:
        """More knowledge, arm by arm."""
        return [
            Arm("none"),
            Arm("equation", ("equation",)),
            Arm("soft", ("equation", "conditions")),
            Arm("hard", ("equation", "conditions_hard")),
            Arm("hard + odd", ("equation", "conditions_hard", "odd")),
            Arm("odd", ("odd",)),
        ]

    def contrasts(self) -> list[Contrast]:
        """What each piece adds to those before it."""
        steps = [
            ("equation", "Soft", "equation", "none", ADD_ONE_IN),
            ("conditions", "Soft", "soft", "equation", "added to the equation"),
            ("conditions", "Hard", "hard", "equation", "added to the equation"),
            ("conditions", "Hard", "hard", "soft", "against another embedding"),
            ("odd", "Hard", "hard + odd", "hard", "added to all others"),
            ("odd", "Hard", "odd", "none", ADD_ONE_IN),
        ]
        return [
            Contrast(rule=rule, embedding=kind, arm=arm, baseline=baseline, family=family)
            for rule, kind, arm, baseline, family in steps
        ]

    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> KnowledgeModule:
        """One step is 20 iterations on all points."""
        return FieldModule(network, rules)

    def metrics(self) -> Sequence[Metric]:
        """Errors over the grid, and what the rules say of the answer."""
        return [
            Metric(name="relative_l2", direction="min", gain=0.005, primary=True),
            Metric(name="relative_l1", direction="min", gain=0.005),
            Metric(name="largest", direction="min", gain=0.05),
            Metric(name="residual", direction="min", gain=0.05),
            Metric(name="at_conditions", direction="min", gain=0.005),
            Metric(name="asymmetry", direction="min", gain=0.005),
        ]

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """Errors against the reference; the residual at the grid's inner points, root mean square."""
        assert isinstance(data.test, TensorDataset)
        x, targets = data.test.tensors
        wanted = targets[:, :1]
        y = answers(module, x, batch_size=4096)
        error = y - wanted
        residual = equation().evaluate(module, x, y).detach()
        held = conditions().evaluate(module, x, y).detach()
        there = answers(module, x * x.new_tensor([-1.0, 1.0]), batch_size=4096)
        return {
            "relative_l2": float(error.norm() / wanted.norm()),
            "relative_l1": float(error.abs().sum() / wanted.abs().sum()),
            "largest": float(error.abs().max()),
            "residual": float(residual.square().mean().sqrt()),
            "at_conditions": float(held.abs().max()),
            "asymmetry": float((y + there).abs().max()),
        }

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """Beside the published errors."""
        return [beside_published(cells, costs)]


def _targets(values: Tensor, unknown: int = 0) -> Tensor:
    """Values and whether there is one, `(n + unknown, 2)`."""
    known = torch.cat([values, torch.ones_like(values)], dim=1)
    return torch.cat([known, known.new_zeros(unknown, 2)])
