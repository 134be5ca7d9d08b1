"""The (scaled) simplex: a fixed sum of non-negative parts."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from constraints.errors import InfeasibleError
from constraints.functional import project_simplex, squash_simplex
from constraints.sets.constraint import ProjectableConstraint, as_buffer

__all__ = ["Simplex"]


@final
class Simplex(ProjectableConstraint):
    r"""The scaled simplex :math:`\{y \ge 0 : \sum_i y_i = s\}`.

    The `context` is an input-dependent total `s`, `(*batch, 1)`, positive.

    Args:
        total: the fixed sum `s > 0`.

    Raises:
        InfeasibleError: where the total is not positive.

    Example:
        >>> Simplex().project(torch.tensor([0.6, 0.6]))
        tensor([0.5000, 0.5000])
    """

    total: Tensor
    equalities = 1

    def __init__(self, total: float = 1.0) -> None:
        super().__init__()
        s = as_buffer("Simplex", "total", total)
        if s <= 0:
            raise InfeasibleError(f"`Simplex` needs total > 0, got total={float(s)}")
        self.register_buffer("total", s, persistent=False)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`sum(y) - s`, then `-y`: `(*batch, 1 + n)`."""
        return torch.cat([value.sum(dim=-1, keepdim=True) - self._total(value, context), -value], dim=-1)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point of the simplex, `(*batch, n)`."""
        self._require_shape(value)
        return project_simplex(value, self._total(value, context))

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Softmax times the total, `(*batch, n)`."""
        self._require_shape(value)
        return squash_simplex(value, self._total(value, context))

    def _total(self, value: Tensor, context: Tensor | None) -> Tensor:
        if context is None:
            return self.total.to(value)
        self._require_single(context)
        return context.to(value)
