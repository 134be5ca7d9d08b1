"""Networks as solvers: trained on the objective alone, under every embedding of the constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from benchmarks.qp.exhibits import beside_published
from benchmarks.qp.problem import Problem
from benchmarks.qp.reference import load_optima, problems
from benchmarks.strengths import answers, strength_arms, strength_contrasts
from constraints import AugmentedLagrangian, Decode, Embedding, Hard, OutputRule, Polytope, Soft
from dkmodels import KnowledgeModule
from dkmodels.study.arm import Arm
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import Contrast, Metric
from dkmodels.study.task import Data, Profile, Task

__all__ = ["Feasible", "HardnetQp", "NonconvexQp", "Qp", "QpProfile", "Solver"]

BATCH, HIDDEN, DROPOUT = 200, 200, 0.2  # as published by both
SOFT_WEIGHT = 10.0  # HardNet's, with squared violations; DC3 weighs norms, by 50 each
ALLOWED = 1e-4  # what counts as feasible, as published


@final
@dataclass(frozen=True, kw_only=True)
class QpProfile(Profile):
    """Sizes of the benchmark; the published ones are 8334 instances, 1000 epochs and a learning rate of 1e-4.

    Attributes:
        train: training instances, the first of them.
        test: test instances, the first of them.
        rate: learning rate.
    """

    train: int = 8334
    test: int = 833
    rate: float = 1e-3


@final
class Feasible(OutputRule):
    """The constraints of a problem: `A y = x`, which depends on the instance, and `G y <= h`.

    Args:
        problem: the family of problems.
    """

    room: Tensor

    def __init__(self, problem: Problem) -> None:
        super().__init__(
            Polytope(torch.from_numpy(problem.g), equal=torch.from_numpy(problem.a), varies=True), name="feasible"
        )
        none = torch.full((len(problem.h),), -torch.inf, dtype=torch.float64)
        self.register_buffer("room", torch.cat([none, torch.from_numpy(problem.h)]), persistent=False)

    def context(self, x: Tensor | None) -> Tensor | None:
        """The instance, then the bounds."""
        if x is None:
            return None
        return torch.cat([x, self.room.to(x).expand(*x.shape[:-1], -1)], dim=-1)


@final
class Solver(KnowledgeModule):
    """A network that is trained on the objective; there are no labels.

    Args:
        problem: the family of problems.
        network: see `KnowledgeModule`.
        rules: see `KnowledgeModule`.
        **options: see `KnowledgeModule`.
    """

    def __init__(self, problem: Problem, network: nn.Module, rules: Mapping[str, Embedding], **options: Any) -> None:
        super().__init__(network, rules, **options)
        self.problem = problem

    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        """The mean objective; the target (an optimal value, where it is known) is not used."""
        return self.problem.objective(y).mean()


@lru_cache
def _problem(name: str) -> Problem:
    return problems()[name]


class Qp(Task):
    """DC3's convex quadratic programs."""

    name = "qp"
    description = (
        "DC3's convex quadratic programs (100 variables, 50 equalities, 50 inequalities; the published instances): a "
        "network answers an instance with its optimum, trained on the objective alone."
    )
    family: ClassVar[str] = "convex"
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": QpProfile(seeds=3, epochs=20, rounds=3, cost_seeds=1, train=2000, test=200),
        "standard": QpProfile(seeds=10, epochs=100, rounds=10, cost_seeds=3),
        "full": QpProfile(seeds=8, epochs=1000, rounds=10, cost_seeds=3, rate=1e-4),
    }

    @property
    def sizes(self) -> QpProfile:
        """The profile's sizes."""
        assert isinstance(self.profile, QpProfile)
        return self.profile

    @property
    def problem(self) -> Problem:
        """The family of problems."""
        return _problem(self.family)

    def optima(self) -> tuple[Tensor, float]:
        """Optimal values of the test instances, and the largest multiplier among them."""
        values, price = load_optima(self.family)
        return torch.from_numpy(values[: self.sizes.test]), price

    def data(self, seed: int) -> Data:
        """The published instances, the same for every seed: seeds differ in weights, batches and dropout."""
        train = torch.from_numpy(self.problem.train[: self.sizes.train])
        test = torch.from_numpy(self.problem.test[: self.sizes.test])
        return Data(
            train=TensorDataset(train, torch.zeros(len(train), dtype=train.dtype)),
            test=TensorDataset(test, self.optima()[0]),
            batch_size=BATCH,
        )

    def network(self, seed: int) -> nn.Module:
        """Two hidden layers with batch normalisation and dropout, Kaiming-normal weights, float64, as published."""
        sizes = (self.problem.a.shape[0], HIDDEN, HIDDEN)
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(DROPOUT)]
        layers.append(nn.Linear(HIDDEN, self.problem.a.shape[1]))
        for layer in layers:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
        return nn.Sequential(*layers).double()

    def rules(self) -> Mapping[str, Embedding]:
        """The constraints in every embedding."""
        return {
            "soft": Soft(Feasible(self.problem), weight=SOFT_WEIGHT),
            "lagrangian": AugmentedLagrangian(Feasible(self.problem), rho=SOFT_WEIGHT, growth=1.1, largest=1000.0),
            "decode": Decode(Feasible(self.problem)),
            "hard": Hard(Feasible(self.problem)),
        }

    def arms(self) -> list[Arm]:
        """Each alone, and the loss with the projection after it."""
        return strength_arms(self.rules(), [("soft", "decode")])

    def contrasts(self) -> list[Contrast]:
        """Each against none, and the layer against the projection at inference, the loss, and both."""
        return strength_contrasts(
            "feasibility", self.arms(), self.rules(), {"hard": ("decode", "soft", "soft + decode")}
        )

    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> Solver:
        """The solver of an arm."""
        return Solver(self.problem, network, rules, learning_rate=self.sizes.rate)

    def metrics(self) -> Sequence[Metric]:
        """The objective and the violations, which count only together: `merit` adds them at shadow prices."""
        return [
            Metric(name="merit", direction="min", gain=0.1, primary=True),
            Metric(name="infeasible", direction="min", gain=0.01, rate=True, primary=True),
            Metric(name="gap", direction="min", gain=0.1),
            Metric(name="objective", direction="min", gain=0.1),
            Metric(name="equality_max", direction="min", gain=0.001),
            Metric(name="equality_mean", direction="min", gain=0.001),
            Metric(name="inequality_max", direction="min", gain=0.001),
            Metric(name="inequality_mean", direction="min", gain=0.001),
            Metric(name="worst", direction="min", gain=0.001),
        ]

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """Objective and violations of the test instances, computed apart from the rule's own code."""
        assert isinstance(data.test, TensorDataset)
        x, optima = data.test.tensors
        y = answers(module, x)
        objective = self.problem.objective(y)
        equality, inequality = self.problem.equality_gap(y, x), self.problem.inequality_gap(y)
        worst = torch.cat([equality, inequality], dim=-1).amax(dim=-1)
        # An exact penalty: with weights of at least the multipliers no answer to a convex problem is below its optimum.
        fine = self.optima()[1] * (equality.sum(dim=-1) + inequality.sum(dim=-1))
        return {
            "merit": float((objective - optima + fine).mean()),
            "infeasible": (int((worst > ALLOWED).sum()), len(worst)),
            "gap": float((objective - optima).mean()),
            "objective": float(objective.mean()),
            "equality_max": float(equality.amax(dim=-1).mean()),
            "equality_mean": float(equality.mean()),
            "inequality_max": float(inequality.amax(dim=-1).mean()),
            "inequality_mean": float(inequality.mean()),
            "worst": float(worst.max()),
        }

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """Beside the published rows."""
        return [beside_published(self.title(), float(self.optima()[0].mean()), cells, costs)]


@final
class NonconvexQp(Qp):
    """DC3's problems with sines in place of the linear term."""

    name = "qp-nonconvex"
    description = "As qp, with p' sin(y) in place of p' y: DC3's nonconvex variant, the published instances."
    family: ClassVar[str] = "nonconvex"


@final
class HardnetQp(Qp):
    """HardNet's instances of the problem with sines."""

    name = "qp-hardnet"
    description = "As qp-nonconvex, on HardNet's instances, which are drawn in another order."
    family: ClassVar[str] = "hardnet"
