"""A set that takes its numbers out of a longer context, which it shares with others."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from constraints.errors import ShapeError
from constraints.functional import Certificate
from constraints.sets.constraint import ProjectableConstraint
from constraints.sets.fallback import Certifying, Fallback, Raise, certified_point

__all__ = ["Given"]


@final
class Given(ProjectableConstraint):
    """A set as part of a union: of the context of all parts, it reads its own numbers.

    Args:
        constraint: the set.
        start: where its numbers begin in the context.
        shape: the shape in which it takes them; `()` where it takes none.
        fallback: what to do with samples that are not certified.

    Example:
        >>> from constraints.sets import HalfSpace
        >>> second = Given(HalfSpace([1.0, 1.0]), start=1, shape=(1,))
        >>> second.project(torch.tensor([[2.0, 2.0]]), torch.tensor([[9.0, 2.0]]))
        tensor([[1., 1.]])
    """

    def __init__(
        self,
        constraint: ProjectableConstraint,
        *,
        start: int,
        shape: tuple[int, ...],
        fallback: Fallback | None = None,
    ) -> None:
        super().__init__()
        self.constraint = constraint
        self.start, self.shape = start, shape
        self.convex = constraint.convex
        self.closed_form = constraint.closed_form or not isinstance(constraint, Certifying)
        self.size, self.equalities = constraint.size, constraint.equalities
        self.fallback = fallback or Raise()

    def _own(self, context: Tensor | None) -> Tensor | None:
        if not self.shape:
            return None
        count = torch.Size(self.shape).numel()
        if context is None or context.shape[-1] < self.start + count:
            got = None if context is None else tuple(context.shape)
            raise ShapeError(f"`Given` needs a context (*batch, {self.start + count} or more), got {got}")
        part = context[..., self.start : self.start + count]
        return part.reshape(*part.shape[:-1], *self.shape)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Of the set, `(*batch, m)`."""
        return self.constraint.residual(value, self._own(context))

    def residual_where(self, value: Tensor, context: Tensor | None, needed: Callable[[Tensor], Tensor]) -> Tensor:
        """See `Constraint.residual_where`."""
        return self.constraint.residual_where(value, self._own(context), needed)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Of the set, `(*batch,)`."""
        return self.constraint.tolerance(value, self._own(context))

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """The nearest point `(*batch, n)`, and what the set says of it."""
        return certified_point(self.constraint, value, self._own(context))

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point, `(*batch, n)`; samples that are not certified go to the fallback."""
        return self.fallback.settle("Given", *self.solve(value, context))
