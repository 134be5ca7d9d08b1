"""Linear equalities whose coefficients depend on the input."""

from __future__ import annotations

import math
from typing import final

from torch import Tensor

from constraints.errors import ShapeError, SpecificationError
from constraints.functional import Certificate, default_tolerance, factorise_polytope, solve_polytope
from constraints.sets.constraint import ProjectableConstraint
from constraints.sets.fallback import Fallback, Raise

__all__ = ["VaryingAffine"]


@final
class VaryingAffine(ProjectableConstraint):
    r"""The affine set :math:`\{y : A y = b\}` of each sample's own `A`, of any rank, and `b`.

    The `context` is the whole system, `[A | b]`, `(*batch, m, n + 1)`. A sample whose equations contradict each other
    goes to the fallback; its point has the least squared residual.

    Args:
        rows: `m`.
        size: `n`.
        fallback: what to do with samples that no point satisfies: `Raise()`, `BestEffort()`, `Interior(point)`.

    Example:
        >>> import torch
        >>> system = torch.tensor([[[1.0, 1.0, 2.0]], [[1.0, 0.0, 5.0]]])
        >>> VaryingAffine(rows=1, size=2).project(torch.zeros(2, 2), system)
        tensor([[1., 1.],
                [5., 0.]])
    """

    context_dim = 2

    def __init__(self, rows: int, size: int, *, fallback: Fallback | None = None) -> None:
        super().__init__()
        if not (rows >= 1 and size >= 1):
            raise SpecificationError(f"`VaryingAffine` needs rows >= 1 and size >= 1, got rows={rows}, size={size}")
        self.size, self.equalities = size, rows
        self.fallback = fallback or Raise()

    def _system(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        assert self.size is not None
        if context is None or context.shape[-2:] != (self.equalities, self.size + 1):
            got = None if context is None else tuple(context.shape)
            raise ShapeError(f"`VaryingAffine` needs a context (*batch, {self.equalities}, {self.size + 1}), got {got}")
        return context[..., : self.size], context[..., self.size]

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`A y - b`, `(*batch, m)`."""
        matrix, target = (part.to(value) for part in self._system(context))
        return (matrix @ value[..., None]).squeeze(-1) - target

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of the largest row: that of `|A| |y| + |b|`."""
        matrix, target = (part.to(value).detach().abs() for part in self._system(context))
        terms = (matrix @ value.detach().abs()[..., None]).squeeze(-1) + target
        return default_tolerance(terms, terms=value.shape[-1])

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """The nearest point `(*batch, n)`, and for each sample whether it satisfies its equations."""
        self._require_shape(value)
        matrix, target = (part.double() for part in self._system(context))
        batch = value.shape[:-1]
        equal = matrix.expand(*batch, *matrix.shape[-2:]).reshape(math.prod(batch), *matrix.shape[-2:])
        none = equal.new_zeros(0)
        factors = factorise_polytope(equal[..., :0, :], equal)
        return solve_polytope(value, factors, none, none, target)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point with `A y = b`, `(*batch, n)`; samples that are not certified go to the fallback."""
        return self.fallback.settle("VaryingAffine", *self.solve(value, context))
