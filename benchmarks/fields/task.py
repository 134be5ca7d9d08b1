"""What tasks of fields have in common: points, a network, errors against a reference, the course of training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, final

import sympy
import torch
from pytorch_lightning import Callback
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from benchmarks.fields.exhibits import costs_beside_errors, errors_at_budgets, errors_beside_published
from benchmarks.fields.trace import Trace
from benchmarks.fields.training import ITERATIONS, quasi_newton
from benchmarks.strengths import answers
from constraints import Embedding, FieldEquation, Rule
from dkmodels import FieldModule, KnowledgeModule
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import Metric
from dkmodels.study.task import Data, Task

__all__ = ["FieldTask", "WholeBatches", "decades", "learnt_numbers"]


@final
class WholeBatches(Dataset[Tensor]):
    """The same points several times an epoch: each sample is all of them, so that a loader cannot shuffle them.

    Args:
        points: `(n, d)`.
        count: how often, >= 1.

    Example:
        >>> batches = WholeBatches(torch.zeros(5, 2), 3)
        >>> len(batches), batches[2].shape
        (3, torch.Size([5, 2]))
    """

    def __init__(self, points: Tensor, count: int) -> None:
        self.points, self.count = points, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.points


class FieldTask(Task, ABC):
    """A field that rules determine, held against a reference.

    The batch is all points, a Sobol sequence that each seed scrambles in its own way; an epoch is one step of the
    optimiser, which asks for the loss some 50 times, or as many steps as `steps` says.

    Attributes:
        titles: of arms, for tables.
        shown: arms in pictures.
        published: method and relative L2 error.
        hidden: width of hidden layers, and how many there are.
        stretch: of the first weights, more than 1 for fields that vary over a small part of the domain.
        points: at which rules act.
        steps: of the optimiser an epoch.
        names: of the fields.
        truths: of numbers that are learnt, where the task is to find them: their error is the headline then.
    """

    titles: ClassVar[Mapping[str, str]]
    shown: ClassVar[Sequence[str]]
    published: ClassVar[Sequence[tuple[str, str]]] = ()
    hidden: ClassVar[tuple[int, int]] = (20, 3)
    stretch: ClassVar[float] = 1.0
    points: ClassVar[int] = 1000
    steps: ClassVar[int] = 1
    names: ClassVar[Sequence[str]] = ("u",)
    truths: ClassVar[Mapping[str, float]] = {}

    @property
    def headline(self) -> tuple[str, str]:
        """The metric that arms are judged by, before its logarithm is taken, and its title."""
        if self.truths:
            return "parameter_error", f"error of {', '.join(self.truths)}"
        return "relative_l2", "relative L2 error"

    @property
    def sought(self) -> Mapping[str, str]:
        """Metrics that stand before the errors of the field in tables, with their titles."""
        return dict([self.headline]) if self.truths else {}

    @property
    @abstractmethod
    def domain(self) -> Mapping[sympy.Symbol, tuple[float, float]]:
        """Bounds of each coordinate."""

    @abstractmethod
    def grid(self) -> Tensor:
        """Where answers are tested, `(n, d)`."""

    @abstractmethod
    def solution(self, points: Tensor) -> Tensor:
        """The reference, `(n, d)` to `(n, fields)`."""

    @abstractmethod
    def judged(self) -> Mapping[str, Rule]:
        """Rules of which every arm is told how far it is from them, by the name of the metric."""

    @property
    def evaluations(self) -> int:
        """Of the loss, about, in a training."""
        return self.profile.epochs * (self.steps if self.steps > 1 else ITERATIONS)

    def data(self, seed: int) -> Data:
        """Points; the grid with the reference for the test."""
        low, high = (torch.tensor(ends, dtype=torch.float64) for ends in zip(*self.domain.values(), strict=True))
        sobol = torch.quasirandom.SobolEngine(len(low), scramble=True, seed=seed)
        x = low + (high - low) * sobol.draw(self.points, dtype=torch.float64)
        grid = self.grid()
        test = TensorDataset(grid, self.solution(grid))
        if self.steps > 1:
            return Data(train=WholeBatches(x, self.steps), test=test, batch_size=1, large_batch=4 * len(x))
        return Data(train=TensorDataset(x), test=test, batch_size=len(x))

    def network(self, seed: int) -> nn.Module:
        """Hidden layers with tanh, Xavier-normal weights, float64."""
        return self.perceptron(len(self.domain), len(self.names))

    def widths(self, rules: Mapping[str, Embedding]) -> tuple[int, int]:
        """How many inputs and outputs the network of an arm has: periods and potentials ask for others."""
        return len(self.domain), len(self.names)

    def perceptron(self, inputs: int, outputs: int) -> nn.Sequential:
        """One with other numbers of inputs and outputs."""
        width, depth = self.hidden
        layers: list[nn.Module] = []
        for a, b in pairwise((inputs, *[width] * depth, outputs)):
            layer = nn.Linear(a, b)
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.Tanh()]
        first = layers[0]
        assert isinstance(first, nn.Linear)
        first.weight.data *= self.stretch
        return nn.Sequential(*layers[:-1]).double()

    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> KnowledgeModule:
        """Rules alone; a network of the width that they ask for."""
        if self.widths(rules) != (len(self.domain), len(self.names)):
            network = self.perceptron(*self.widths(rules))
        return FieldModule(network, rules, optimizer=self.optimizer)

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Of arms without a setup of their own: self-scaled Broyden."""
        return quasi_newton(parameters)

    def callbacks(self, data: Data) -> list[Callback]:
        """The course of the error, on some of the grid."""
        assert isinstance(data.test, TensorDataset)
        x, wanted = data.test.tensors
        few = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:2000]
        x, wanted = x[few], wanted[few]
        return [Trace(lambda module: float((module(x) - wanted).norm() / wanted.norm()))]

    def metrics(self) -> Sequence[Metric]:
        """Errors over the grid, and what the rules say of the answer."""
        logarithm = "log_parameter_error" if self.truths else "log_error"
        errors = [
            Metric(name=logarithm, direction="min", gain=0.1, primary=True),
            *([Metric(name="parameter_error", direction="min", gain=0.002)] if self.truths else []),
            Metric(name="relative_l2", direction="min", gain=1e-6),
            Metric(name="relative_l1", direction="min", gain=1e-6),
            Metric(name="largest", direction="min", gain=1e-5),
        ]
        return [*errors, *(Metric(name=name, direction="min", gain=1e-5) for name in self.judged())]

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> dict[str, float | tuple[int, int]]:
        """Errors against the reference, and by what rules are violated (root mean square).

        Of learnt numbers `parameter_error` is the largest relative error. Headlines are decimal logarithms: arms
        differ by factors, and so do seeds.
        """
        assert isinstance(data.test, TensorDataset)
        x, wanted = data.test.tensors
        y = answers(module, x, batch_size=4096)
        error = y - wanted
        relative = float(error.norm() / wanted.norm())
        found: dict[str, float | tuple[int, int]] = {
            "log_error": decades(relative),
            "relative_l2": relative,
            "relative_l1": float(error.abs().sum() / wanted.abs().sum()),
            "largest": float(error.abs().max()),
        }
        if self.truths:
            learnt = learnt_numbers(module)
            worst = max(abs(learnt[name] / truth - 1.0) for name, truth in self.truths.items())
            found.update(parameter_error=worst, log_parameter_error=decades(worst))
        for name, rule in self.judged().items():
            excess = rule.constraint.excess(rule.eval().evaluate(module, x, y).detach(), rule.context(x))
            found[name] = float(excess.square().mean().sqrt())
        return found

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """Beside the published errors; at equal budgets; and what arms cost."""
        return [errors_beside_published(self, cells), errors_at_budgets(self, cells), costs_beside_errors(self, costs)]


def learnt_numbers(module: KnowledgeModule) -> dict[str, float]:
    """What the equations of a module have learnt, by name."""
    rules = [embedding.rule for embedding in module.embeddings().values()]
    return {
        name: float(value) for rule in rules if isinstance(rule, FieldEquation) for name, value in rule.learnt.items()
    }


def decades(error: float) -> float:
    """The decimal logarithm of an error, of rounding at least.

    Example:
        >>> decades(0.01), decades(0.0)
        (-2.0, -16.0)
    """
    return math.log10(max(error, 1e-16))
