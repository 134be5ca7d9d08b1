"""What an operable dispatch obeys, each as a rule, and all together as one."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from benchmarks.dispatch.case14 import CAPACITY, DEMAND, LIMITS, transfer_factors
from constraints import Balance, Bounds, LinearInequality, OutputRule, Polytope

__all__ = ["LineLimits", "Operable", "balance", "generator_limits"]

UNIT = "100 MW"


def balance() -> Balance:
    """What is generated is what is consumed (DC power flow has no losses).

    Example:
        >>> balance().measure(torch.nn.Identity(), torch.ones(1, 11), torch.ones(1, 5)).tolist()
        [6.0]
    """
    return Balance(into=range(len(DEMAND)), weights=[1.0] * len(CAPACITY), name="balance", unit=UNIT)


def generator_limits() -> Bounds:
    """Every generator runs between nothing and its greatest output.

    Example:
        >>> generator_limits().enforce(torch.tensor([[-1.0, 1.0, 2.0, 0.5, 0.0]]))
        tensor([[0.0000, 1.0000, 1.0000, 0.5000, 0.0000]])
    """
    return Bounds(low=0.0, high=CAPACITY.tolist(), name="generator_limits", unit=UNIT)


@final
class LineLimits(LinearInequality):
    """No line carries more than it can, in either direction.

    The flow in a line is linear in generation and in demand; what demand takes of it shifts the bounds.

    Example:
        >>> LineLimits().measure(torch.nn.Identity(), torch.zeros(1, 11), torch.zeros(1, 5)).tolist()
        [0.0]
    """

    by_load: Tensor
    capacity: Tensor

    def __init__(self) -> None:
        by_generator, by_load = transfer_factors()
        super().__init__(torch.from_numpy(by_generator), name="line_limits", unit=UNIT)
        self.register_buffer("by_load", torch.from_numpy(by_load), persistent=False)
        self.register_buffer("capacity", torch.from_numpy(LIMITS), persistent=False)

    def limits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What generation may send through each line, `(*batch, 20)` each."""
        taken = x @ self.by_load.to(x).mT
        return taken - self.capacity.to(x), taken + self.capacity.to(x)


@final
class Operable(OutputRule):
    """All three at once, for a projection that keeps them together.

    Example:
        >>> from benchmarks.dispatch.case14 import DEMAND
        >>> demand = torch.from_numpy(DEMAND)[None]
        >>> dispatch = Operable().enforce(torch.zeros(1, 5, dtype=torch.float64), demand)
        >>> round(float(dispatch.sum()), 6), bool((dispatch >= 0).all())
        (2.59, True)
    """

    highest: Tensor

    def __init__(self) -> None:
        lines = LineLimits()
        by_generator, _ = transfer_factors()
        rows = torch.cat([torch.from_numpy(by_generator), torch.eye(len(CAPACITY), dtype=torch.float64)])
        everything = torch.ones(1, len(CAPACITY), dtype=torch.float64)
        super().__init__(Polytope(rows, equal=everything, varies=True), name="operable", unit=UNIT)
        self.lines = lines
        self.register_buffer("highest", torch.from_numpy(CAPACITY), persistent=False)

    def context(self, x: Tensor | None) -> Tensor | None:
        """Demand, lower and upper bounds of lines and of generators."""
        if x is None:
            return None
        low, high = self.lines.limits(x)
        highest = self.highest.to(x).expand(*x.shape[:-1], -1)
        return torch.cat([x.sum(dim=-1, keepdim=True), low, torch.zeros_like(highest), high, highest], dim=-1)
