"""Linear matrix inequalities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.errors import ShapeError, SpecificationError
from constraints.functional import default_tolerance, gauge_linear_matrix_inequality
from constraints.sets.constraint import Constraint, as_buffer

__all__ = ["LinearMatrixInequality"]


@final
class LinearMatrixInequality(Constraint):
    r"""The convex set :math:`\{y : F_0 + \sum_i y_i F_i \succeq 0\}` of a linear matrix inequality.

    It has a gauge, so `RayMap` maps into it; its nearest point has no closed form. Whether it is empty is found out
    only where an interior point is looked for. The `context` is not used.

    Args:
        matrices: `F_0, F_1, ..., F_n`, `(1 + n, m, m)`, each symmetric.

    Raises:
        SpecificationError: a matrix that is not symmetric.

    Example:
        >>> disc = LinearMatrixInequality(  # [[1 + y1, y2], [y2, 1 - y1]] is semidefinite iff |y| <= 1
        ...     [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]])
        >>> disc.violation(torch.tensor([3.0, 4.0]))
        tensor(4.)
        >>> disc.gauge(torch.zeros(2), torch.tensor([3.0, 4.0]))
        tensor(5.0000)
    """

    matrices: Tensor

    def __init__(self, matrices: Sequence[Sequence[Sequence[float]]] | Tensor) -> None:
        super().__init__()
        numbers = as_buffer("LinearMatrixInequality", "matrices", matrices)
        if numbers.dim() != 3 or numbers.shape[0] < 2 or numbers.shape[1] != numbers.shape[2] or 0 in numbers.shape:
            raise ShapeError(
                f"`LinearMatrixInequality` needs matrices of shape (1 + n, m, m), got shape {tuple(numbers.shape)}"
            )
        skew, size = ((part.abs().amax(dim=(1, 2))) for part in (numbers - numbers.mT, numbers))
        worst = int((skew / size.clamp(min=torch.finfo(size.dtype).tiny)).argmax())  # each matrix on its own scale
        if skew[worst] > 1e-12 * size[worst]:
            raise SpecificationError(
                f"`LinearMatrixInequality` needs symmetric matrices, got F_{worst} with entries that differ by "
                f"{float(skew[worst]):.3g} across the diagonal"
            )
        self.size = numbers.shape[0] - 1
        self.register_buffer("matrices", (numbers + numbers.mT) / 2, persistent=False)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Rounding of :math:`|F_0| + \sum_i |y_i| |F_i|`, `(*batch,)`."""
        sizes = self.matrices.to(value).abs()
        entries = sizes[0] + torch.einsum("...i,ijk->...jk", value.detach().abs(), sizes[1:])
        return default_tolerance(entries.sum(dim=-1), terms=entries.shape[-1])

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The least eigenvalue, negated: `(*batch, 1)`."""
        matrices = self.matrices.to(value)
        usable = value.isfinite().all(dim=-1, keepdim=True)
        entries = matrices[0] + torch.einsum("...i,ijk->...jk", torch.where(usable, value, 0.0), matrices[1:])
        least = torch.linalg.eigvalsh(entries)[..., :1]
        return torch.where(usable, -least, torch.nan)

    def gauge(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Where the ray from an interior point leaves, `(*batch,)`."""
        return gauge_linear_matrix_inequality(origin, direction, self.matrices.to(direction))
