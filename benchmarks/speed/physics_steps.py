"""One training step, loss and backward, by us and by hand: what `benchmarks.speed.physics` holds the peers against.

The loss is the mean over points of the sum over equations of the squared residual.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from benchmarks.speed.physics_problems import Problem

__all__ = ["Compiled", "Declared", "DeclaredCompiled", "Nested", "Ours", "Step", "TorchStep", "mean_square"]


class Step(ABC):
    """A step that can be repeated; nothing is updated, so that each computes the same.

    Args:
        problem: the equations.
        network: what is trained; a copy of it is.
        points: `(n, d)`.
    """

    @abstractmethod
    def __init__(self, problem: Problem, network: nn.Sequential, points: Tensor) -> None: ...

    @abstractmethod
    def __call__(self) -> None:
        """Compute the loss and its gradients."""

    @abstractmethod
    def gradients(self) -> list[Tensor]:
        """Those of the last call, in the order of the network's parameters."""


class TorchStep(Step):
    """A loss in torch, and its backward pass."""

    def __init__(self, problem: Problem, network: nn.Sequential, points: Tensor) -> None:
        self.problem, self.network, self.points = problem, copy.deepcopy(network), points.clone()

    @abstractmethod
    def loss(self) -> Tensor: ...

    def __call__(self) -> None:
        self.network.zero_grad()
        self.loss().backward()

    def gradients(self) -> list[Tensor]:
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in self.network.parameters()]


@final
class Nested(TorchStep):
    """By hand."""

    def __init__(self, problem: Problem, network: nn.Sequential, points: Tensor) -> None:
        super().__init__(problem, network, points)
        self.points.requires_grad_()

    def loss(self) -> Tensor:
        return mean_square(self.problem.nested(self.network, self.points))


class Ours(TorchStep):
    """By `constraints.fields.Derivatives`."""

    def loss(self) -> Tensor:
        return mean_square(self.problem.residual(self.network, self.points))


class Declared(TorchStep):
    """By the rule that `declare` makes of the equations."""

    def __init__(self, problem: Problem, network: nn.Sequential, points: Tensor) -> None:
        super().__init__(problem, network, points)
        self.rule = problem.declared()

    def loss(self) -> Tensor:
        return mean_square(self.rule.quantity(self.network, self.points))


@final
class Compiled(Ours):
    """The loss under `torch.compile`."""

    def __init__(self, problem: Problem, network: nn.Sequential, points: Tensor) -> None:
        super().__init__(problem, network, points)
        self.loss = _compiled(self.loss)  # type: ignore[method-assign]


@final
class DeclaredCompiled(Declared):
    """The rule's loss under `torch.compile`."""

    def __init__(self, problem: Problem, network: nn.Sequential, points: Tensor) -> None:
        super().__init__(problem, network, points)
        self.loss = _compiled(self.loss)  # type: ignore[method-assign]


def mean_square(residual: Tensor) -> Tensor:
    """The mean over points of the sum over equations, of `(n, equations)`."""
    return residual.square().sum(dim=1).mean()


def _compiled(loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
    loss()  # plans in turned coordinates are made in eager mode alone
    compiled: Callable[[], Tensor] = torch.compile(loss)
    return compiled
