"""Partial orders: some coordinates are at most some others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from constraints.errors import SpecificationError, UnsupportedError
from constraints.functional import Certificate
from constraints.functional.partial_order import find_cycle, order_steps, reduce_edges
from constraints.sets.constraint import ProjectableConstraint
from constraints.sets.fallback import Fallback, Raise
from constraints.sets.polytope import Polytope

__all__ = ["PartialOrder"]


@final
class PartialOrder(ProjectableConstraint):
    r"""The cone :math:`\{y : y_a \le y_b \text{ for each edge } (a, b)\}` of a directed acyclic graph.

    Edges that others imply are dropped. Measuring costs one subtraction an edge. The nearest point (isotonic regression
    on the graph) is that of a `Polytope`, which is made when it is first asked for; `raise_parents` and
    `lower_children` of `constraints.functional` are cheaper maps. The `context` is not used.

    Args:
        edges: columns (lower, upper).
        size: `n`.
        fallback: what to do with samples whose nearest point is not certified.

    Raises:
        SpecificationError: no edges, columns that do not exist, or a cycle.

    Example:
        >>> tree = PartialOrder([(1, 0), (2, 0)], size=3)
        >>> tree.project(torch.tensor([0.0, 1.0, -1.0]))
        tensor([ 0.5000,  0.5000, -1.0000])
        >>> tree.violation(torch.tensor([0.0, 1.0, -1.0]))
        tensor(1.)
    """

    lower: Tensor
    upper: Tensor
    falling: Tensor

    def __init__(self, edges: Sequence[tuple[int, int]], size: int, *, fallback: Fallback | None = None) -> None:
        super().__init__()
        wrong = [edge for edge in edges if not all(0 <= column < size for column in edge)]
        if not edges or wrong:
            raise SpecificationError(
                f"`PartialOrder` needs edges between columns 0 to {size - 1}, got {wrong[:5] if wrong else 'none'}"
            )
        cycle = find_cycle(edges)
        if cycle:
            raise SpecificationError(f"`PartialOrder` needs edges without a cycle, got {' <= '.join(map(str, cycle))}")
        self.size = size
        self.edges = tuple(reduce_edges(edges))
        self.fallback = fallback or Raise()
        up, down = order_steps(self.edges), order_steps([(b, a) for a, b in self.edges])
        self._rising_sizes, self._falling_sizes = ([len(one) for one, _ in steps] for steps in (up, down))
        self.register_buffer("lower", torch.cat([low for low, _ in up]), persistent=False)
        self.register_buffer("upper", torch.cat([high for _, high in up]), persistent=False)
        falling = torch.stack([torch.cat([step[end] for step in down]) for end in (0, 1)])
        self.register_buffer("falling", falling, persistent=False)

    def rising_steps(self) -> list[tuple[Tensor, Tensor]]:
        """The edges as `raise_parents` takes them."""
        sizes = self._rising_sizes
        return list(zip(self.lower.split(sizes), self.upper.split(sizes), strict=True))

    def falling_steps(self) -> list[tuple[Tensor, Tensor]]:
        """The edges as `lower_children` takes them."""
        upper, lower = self.falling
        return list(zip(upper.split(self._falling_sizes), lower.split(self._falling_sizes), strict=True))

    @cached_property
    def polytope(self) -> Polytope:
        """The same set as rows of a linear system, on the CPU."""
        matrix = torch.zeros(len(self.edges), self.size or 0, dtype=torch.float64)
        rows, (lower, upper) = torch.arange(len(self.edges)), torch.tensor(self.edges).unbind(dim=1)
        matrix[rows, upper], matrix[rows, lower] = 1.0, -1.0
        return Polytope(matrix, low=0.0, fallback=self.fallback)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """By how much the lower end of each edge is above the upper one, `(*batch, edges)`."""
        return value.index_select(-1, self.lower) - value.index_select(-1, self.upper)

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """The nearest point `(*batch, n)`, and for each sample whether it is inside and the nearest."""
        self._require_shape(value)
        if torch.compiler.is_compiling() and "polytope" not in self.__dict__:
            raise UnsupportedError(
                "`PartialOrder` needs one call before torch.export, which makes its rows, got none: call `project` once"
            )
        if self.polytope.matrix.device != value.device:
            self.polytope.to(value.device)
        return self.polytope.solve(value)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point, `(*batch, n)`; samples that are not certified go to the fallback."""
        return self.fallback.settle("PartialOrder", *self.solve(value, context))

    def extra_repr(self) -> str:
        """How many edges there are."""
        return f"edges={len(self.edges)}, size={self.size}"
