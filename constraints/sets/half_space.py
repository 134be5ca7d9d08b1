"""Half-spaces: one linear inequality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

from torch import Tensor

from constraints.errors import ShapeError, SpecificationError
from constraints.functional import (
    Certificate,
    default_tolerance,
    gauge_half_space,
    project_half_space,
    squash_half_space,
)
from constraints.sets.attainable import certify_context, settle_context
from constraints.sets.constraint import ProjectableConstraint, as_buffer
from constraints.sets.fallback import Fallback, Raise

__all__ = ["HalfSpace"]


@final
class HalfSpace(ProjectableConstraint):
    r"""The half-space :math:`\{y : a^\top y \le b\}`.

    The `context` is an input-dependent `b`, `(*batch, 1)`; without one the fixed offset holds. Samples whose `b` is not
    finite go to the fallback.

    Args:
        normal: `a`, `(n,)`, not all zero.
        offset: fixed `b`, or None where each sample brings its own as the context.
        fallback: what to do with samples whose offset is not finite: `Raise()`, `BestEffort()`, `Interior(point)`.

    Raises:
        SpecificationError: a normal of zeros.

    Example:
        >>> import torch
        >>> budget = HalfSpace([1.0, 1.0], 2.0)
        >>> budget.project(torch.tensor([2.0, 2.0]))
        tensor([1., 1.])
        >>> budget.violation(torch.tensor([2.0, 2.0]))
        tensor(2.)
    """

    normal: Tensor
    offset: Tensor | None
    closed_form = True

    def __init__(
        self,
        normal: Sequence[float] | Tensor,
        offset: float | Tensor | None = None,
        *,
        fallback: Fallback | None = None,
    ) -> None:
        super().__init__()
        a = as_buffer("HalfSpace", "normal", normal)
        if a.dim() != 1 or not a.any():
            raise SpecificationError(f"`HalfSpace` needs a normal (n,) that is not all zero, got {a.tolist()}")
        b = None if offset is None else as_buffer("HalfSpace", "offset", offset)
        if b is not None and b.dim() != 0:
            raise ShapeError(f"`HalfSpace` needs one number as offset, got shape {tuple(b.shape)}")
        self.size = a.shape[0]
        self.fallback = fallback or Raise()
        self.register_buffer("normal", a, persistent=False)
        self.register_buffer("offset", b, persistent=False)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of `|a| |y| + |b|`, `(*batch,)`."""
        weighed = (value.detach() * self.normal.to(value)).abs().sum(dim=-1, keepdim=True)
        weighed = weighed + self._offset(value, context).detach().abs()
        return default_tolerance(weighed, terms=value.shape[-1])

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`a y - b`, `(*batch, 1)`."""
        return (value * self.normal.to(value)).sum(dim=-1, keepdim=True) - self._offset(value, context)

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """Nearest point of the half-space, `(*batch, n)`, and for each sample whether its offset is finite."""
        self._require_shape(value)
        offset = self._offset(value, context)
        point = project_half_space(value, self.normal.to(value), offset)
        return point, certify_context(point, offset.reshape(*offset.shape[:-1], 1), -math.inf, math.inf)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point of the half-space, `(*batch, n)`."""
        self._require_shape(value)
        offset = self._offset(value, context)
        return self._settled(project_half_space(value, self.normal.to(value), offset), offset, context)

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Softplus of the distance from the hyperplane, `(*batch, n)`."""
        self._require_shape(value)
        offset = self._offset(value, context)
        return self._settled(squash_half_space(value, self.normal.to(value), offset), offset, context)

    def _settled(self, point: Tensor, offset: Tensor, context: Tensor | None) -> Tensor:
        if context is None:
            return point
        return settle_context(self.fallback, "HalfSpace", point, offset, -math.inf, math.inf)

    def gauge(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Where the ray from an interior point leaves, `(*batch,)`."""
        return gauge_half_space(origin, direction, self.normal.to(direction), self._offset(direction, None))

    def _offset(self, value: Tensor, context: Tensor | None) -> Tensor:
        if context is not None:
            self._require_context(value, context)
            return context.to(value)
        if self.offset is None:
            raise SpecificationError("`HalfSpace` without a fixed offset needs one as context, got None")
        return self.offset.to(value)
