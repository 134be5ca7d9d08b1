"""The second-order cone and the cone of positive semidefinite matrices."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from constraints.errors import ShapeError
from constraints.functional import (
    gauge_second_order_cone,
    project_second_order_cone,
    project_semidefinite_cone,
    safe_norm,
    squash_second_order_cone,
    squash_semidefinite_cone,
)
from constraints.sets.constraint import ProjectableConstraint

__all__ = ["SecondOrderCone", "SemidefiniteCone"]


@final
class SecondOrderCone(ProjectableConstraint):
    r"""The second-order cone :math:`\{(x, t) : \lVert x\rVert_2 \le t\}`; `t` is the last coordinate.

    The `context` is not used.

    Example:
        >>> SecondOrderCone().project(torch.tensor([3.0, 4.0, 0.0]))
        tensor([1.5000, 2.0000, 2.5000])
    """

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`|x|_2 - t`, `(*batch, 1)`."""
        return safe_norm(value[..., :-1]) - value[..., -1:]

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point of the cone, `(*batch, n)`."""
        self._require_shape(value)
        return project_second_order_cone(value)

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Map smoothly onto the open cone, `(*batch, n)`."""
        self._require_shape(value)
        return squash_second_order_cone(value)

    def gauge(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Where the ray from an interior point leaves, `(*batch,)`."""
        return gauge_second_order_cone(origin, direction)

    def _require_shape(self, value: Tensor) -> None:
        self._require_numbers(value)
        if value.dim() == 0 or value.shape[-1] < 2:
            raise ShapeError(f"`SecondOrderCone` needs a value (*batch, n) with n >= 2, got {tuple(value.shape)}")


@final
class SemidefiniteCone(ProjectableConstraint):
    r"""Symmetric positive semidefinite matrices :math:`\{Y = Y^\top : Y \succeq 0\}`, values of shape `(*batch, n, n)`.

    What is not symmetric is symmetrised by `project` and by `squash`. The `context` is not used. Under
    `torch.compile(fullgraph=True)` and `torch.export` the eigendecomposition stays a call of the library.

    Args:
        size: `n`.

    Raises:
        ShapeError: a size below 1.

    Example:
        >>> SemidefiniteCone(2).project(torch.tensor([[2.0, 0.0], [0.0, -1.0]]))
        tensor([[2., 0.],
                [0., 0.]])
    """

    event_dim = 2

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ShapeError(f"`SemidefiniteCone` needs size >= 1, got size={size}")
        self.size = size
        self.equalities = size * (size - 1) // 2

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Differences across the diagonal, then the eigenvalues of the symmetric part, negated: `(*batch, m)`."""
        n = value.shape[-1]
        row, column = torch.triu_indices(n, n, offset=1, device=value.device)
        skew = (value - value.mT)[..., row, column]
        usable = value.isfinite().all(dim=-1).all(dim=-1)[..., None]
        symmetric = torch.where(usable[..., None], (value + value.mT) / 2, 0.0)  # LAPACK fails on NaN
        wide = symmetric.to(torch.promote_types(value.dtype, torch.float32))
        eigenvalues = torch.linalg.eigvalsh(wide).to(value.dtype)
        return torch.cat([skew, torch.where(usable, -eigenvalues, torch.nan)], dim=-1)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest symmetric positive semidefinite matrix, `(*batch, n, n)`."""
        self._require_shape(value)
        return project_semidefinite_cone(value)

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Map smoothly onto the positive definite matrices, `(*batch, n, n)`."""
        self._require_shape(value)
        return squash_semidefinite_cone(value)
