"""The (scaled) simplex: a fixed sum of non-negative parts."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from constraints.errors import InfeasibleError
from constraints.functional import Certificate, default_tolerance, project_simplex, squash_simplex
from constraints.sets.attainable import certify_context, settle_context
from constraints.sets.constraint import ProjectableConstraint, as_buffer
from constraints.sets.fallback import Fallback, Raise

__all__ = ["Simplex"]


@final
class Simplex(ProjectableConstraint):
    r"""The scaled simplex :math:`\{y \ge 0 : \sum_i y_i = s\}`.

    The `context` is an input-dependent total `s >= 0`, `(*batch, 1)`; samples with a negative one, or one that is not
    finite, go to the fallback.

    Args:
        total: the fixed sum `s > 0`.
        fallback: what to do with samples whose total leaves no point: `Raise()`, `BestEffort()` (zeros),
            `Interior(point)`.

    Raises:
        InfeasibleError: where the total is not positive.

    Example:
        >>> Simplex().project(torch.tensor([0.6, 0.6]))
        tensor([0.5000, 0.5000])
    """

    total: Tensor
    equalities = 1
    closed_form = True

    def __init__(self, total: float = 1.0, *, fallback: Fallback | None = None) -> None:
        super().__init__()
        s = as_buffer("Simplex", "total", total)
        if s <= 0:
            raise InfeasibleError(f"`Simplex` needs total > 0, got total={float(s)}")
        self.fallback = fallback or Raise()
        self.register_buffer("total", s, persistent=False)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of the sum, `|y| + |s|`, `(*batch,)`."""
        self._require_shape(value)
        terms = value.detach().abs().sum(dim=-1, keepdim=True) + self._total(value, context).detach().abs()
        return default_tolerance(terms, terms=value.shape[-1])

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`sum(y) - s`, then `-y`: `(*batch, 1 + n)`."""
        return torch.cat([value.sum(dim=-1, keepdim=True) - self._total(value, context), -value], dim=-1)

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """Nearest point of the simplex, `(*batch, n)`, and for each sample whether its total leaves one."""
        self._require_shape(value)
        total = self._total(value, context)
        point = project_simplex(value, total)
        return point, certify_context(point, total.reshape(*total.shape[:-1], 1), 0.0, math.inf)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point of the simplex, `(*batch, n)`; samples whose total leaves none go to the fallback."""
        self._require_shape(value)
        total = self._total(value, context)
        return self._settled(project_simplex(value, total), total, context)

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Softmax times the total, `(*batch, n)`; samples whose total leaves no point go to the fallback."""
        self._require_shape(value)
        total = self._total(value, context)
        return self._settled(squash_simplex(value, total.clamp(min=0.0)), total, context)

    def _settled(self, point: Tensor, total: Tensor, context: Tensor | None) -> Tensor:
        return point if context is None else settle_context(self.fallback, "Simplex", point, total, 0.0, math.inf)

    def _total(self, value: Tensor, context: Tensor | None) -> Tensor:
        if context is None:
            return self.total.to(value)
        self._require_context(value, context)
        return context.to(value)
