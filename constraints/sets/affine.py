"""Affine sets: linear equalities, of any rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.errors import InfeasibleError, ShapeError, SpecificationError
from constraints.functional import Certificate, default_tolerance, project_affine
from constraints.functional.coupling import coupled_rows, largest_of_each
from constraints.sets.attainable import certify_context, settle_context
from constraints.sets.constraint import ProjectableConstraint, as_buffer
from constraints.sets.fallback import Fallback, Raise

__all__ = ["Affine"]


@final
class Affine(ProjectableConstraint):
    r"""The affine set :math:`\{y : A y = b\}`, its projection in closed form with a cached factorisation.

    The `context` is an input-dependent target `b`, `(*batch, m)`; without one the fixed target holds. Independent rows
    attain any finite target; samples whose target is not finite go to the fallback.

    Args:
        matrix: `A`, `(m, n)`.
        target: fixed `b`, `(m,)`, or None where each sample brings its own as the context.
        fallback: what to do with samples whose target is not finite: `Raise()`, `BestEffort()` (zeros),
            `Interior(point)`.

    Raises:
        InfeasibleError: a fixed target that no point attains.
        SpecificationError: dependent rows with an input-dependent target: most targets would then be unattainable (see
            `VaryingAffine`, which says for each sample whether its target is).

    Example:
        >>> total = Affine([[1.0, 1.0, 1.0]], target=[3.0])
        >>> total.project(torch.zeros(3))
        tensor([1., 1., 1.])
        >>> Affine([[1.0, 1.0]]).project(torch.zeros(2, 2), torch.tensor([[2.0], [4.0]]))
        tensor([[1., 1.],
                [2., 2.]])
    """

    matrix: Tensor
    inverse: Tensor
    groups: Tensor
    target: Tensor | None
    closed_form = True

    def __init__(
        self,
        matrix: Sequence[Sequence[float]] | Tensor,
        target: Sequence[float] | Tensor | None = None,
        *,
        fallback: Fallback | None = None,
    ) -> None:
        super().__init__()
        a = as_buffer("Affine", "matrix", matrix)
        if a.dim() != 2 or 0 in a.shape:
            raise ShapeError(f"`Affine` needs a matrix of shape (m, n), got shape {tuple(a.shape)}")
        rank = int(torch.linalg.matrix_rank(a))
        if target is None and rank < a.shape[0]:
            raise SpecificationError(
                f"`Affine` with an input-dependent target needs independent rows, got {a.shape[0]} rows of rank {rank}"
            )
        inverse = torch.linalg.pinv(a)
        self.register_buffer("groups", coupled_rows(a), persistent=False)
        b = None
        if target is not None:
            b = as_buffer("Affine", "target", target)
            if b.shape != a.shape[:1]:
                raise ShapeError(f"`Affine` needs a target of shape ({a.shape[0]},), got {tuple(b.shape)}")
            gap = _missed(a, b)
            if gap:
                raise InfeasibleError(
                    f"`Affine` needs equalities that can hold together, got {a.shape[0]} rows of rank {rank} "
                    f"that miss the target {b.tolist()} by {gap:.3g} at best"
                )
        self.size = a.shape[1]
        self.equalities = a.shape[0]
        self.independent = rank == a.shape[0]
        self.fallback = fallback or Raise()
        self.register_buffer("matrix", a, persistent=False)
        self.register_buffer("inverse", inverse, persistent=False)
        self.register_buffer("target", b, persistent=False)

    def _target(self, value: Tensor, context: Tensor | None) -> Tensor:
        if context is None:
            if self.target is None:
                raise SpecificationError("`Affine` without a fixed target needs one as context, got None")
            return self.target.to(value)
        if not self.independent:
            raise SpecificationError(
                f"`Affine` takes a target as context only where its rows are independent, got {self.equalities} rows "
                f"that are not"
            )
        self._require_context(value, context, self.equalities)
        return context.to(value)

    def tolerances(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of each row, `|A| |y| + |b|`, or of a larger one that shares columns with it, `(*batch, m)`."""
        terms = value.detach().abs() @ self.matrix.to(value).abs().mT + self._target(value, context).detach().abs()
        # At 0 nothing is left to be relative to: a point there is reached to the third rounding of numbers of size one.
        terms = largest_of_each(terms, self.groups)
        return default_tolerance(terms[..., None], terms=value.shape[-1], least=torch.finfo(value.dtype).eps ** 2)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`A y - b`, `(*batch, m)`."""
        return value @ self.matrix.to(value).mT - self._target(value, context)

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """Nearest point with `A y = b`, `(*batch, n)`, and for each sample whether its target is finite."""
        point, target = self._nearest(value, context)
        return point, certify_context(point, target, -math.inf, math.inf)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point with `A y = b`, `(*batch, n)`; samples whose target is not finite go to the fallback."""
        point, target = self._nearest(value, context)
        if context is None:
            return point
        return settle_context(self.fallback, "Affine", point, target, -math.inf, math.inf)

    def _nearest(self, value: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """The closed form, and the target it was given."""
        self._require_shape(value)
        target = self._target(value, context)
        return project_affine(value, self.matrix.to(value), self.inverse.to(value), target), target


def _missed(matrix: Tensor, target: Tensor) -> float:
    """How far the rows, brought to length one, are from holding together; 0 where that is rounding."""
    lengths = matrix.norm(dim=1)
    lengths = torch.where(lengths > 0, lengths, 1.0)
    rows, goal = matrix / lengths[:, None], target / lengths
    point = torch.linalg.pinv(rows) @ goal
    gap = (rows @ point - goal).abs()
    beyond = gap > 1e-9 * (goal.abs() + point.abs().max())
    return float(gap.max()) if bool(beyond.any()) else 0.0
