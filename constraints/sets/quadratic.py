"""Convex quadratic inequalities: ellipsoids, paraboloids and cylinders over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.errors import InfeasibleError, ShapeError, SpecificationError
from constraints.functional import default_tolerance, gauge_quadratic
from constraints.sets.constraint import Constraint, as_buffer

__all__ = ["Quadratic"]


@final
class Quadratic(Constraint):
    r"""The convex set :math:`\{y : \tfrac12 y^\top Q y + q^\top y + r \le 0\}`, `Q` positive semidefinite.

    It has a gauge, so `RayMap` maps into it; its nearest point has no closed form. The `context` is not used.

    Args:
        matrix: `Q`, `(n, n)`; only its symmetric part counts.
        vector: `q`, `(n,)`.
        offset: `r`.

    Raises:
        SpecificationError: a matrix with a negative eigenvalue: the set would not be convex.
        InfeasibleError: where even the least value is positive.

    Example:
        >>> ellipse = Quadratic([[2.0, 0.0], [0.0, 8.0]], [0.0, 0.0], -1.0)  # y1^2 + 4 y2^2 <= 1
        >>> ellipse.violation(torch.tensor([2.0, 0.0]))
        tensor(3.)
        >>> ellipse.gauge(torch.zeros(2), torch.tensor([2.0, 0.0]))
        tensor(2.)
    """

    matrix: Tensor
    vector: Tensor
    offset: Tensor
    lowest: Tensor

    def __init__(
        self, matrix: Sequence[Sequence[float]] | Tensor, vector: Sequence[float] | Tensor, offset: float | Tensor
    ) -> None:
        super().__init__()
        big, small, r = (
            as_buffer("Quadratic", name, numbers)
            for name, numbers in (("matrix", matrix), ("vector", vector), ("offset", offset))
        )
        n = small.shape[0] if small.dim() == 1 else 0
        if n == 0 or big.shape != (n, n) or r.dim() != 0:
            raise ShapeError(
                f"`Quadratic` needs matrix (n, n), vector (n,) and one number as offset, got shapes "
                f"{tuple(big.shape)}, {tuple(small.shape)} and {tuple(r.shape)}"
            )
        big = (big + big.mT) / 2
        eigenvalues, vectors = torch.linalg.eigh(big)
        rounding = n * torch.finfo(big.dtype).eps * 16.0 * float(eigenvalues.abs().max())
        if eigenvalues[0] < -rounding:
            raise SpecificationError(
                f"`Quadratic` needs a positive semidefinite matrix, got the eigenvalue {float(eigenvalues[0]):.6g}"
            )
        # The least value, and a point that attains it (or a low one, where the value falls for ever).
        curved = eigenvalues > rounding
        along = vectors.mT @ small
        bottom = vectors @ torch.where(curved, -along / torch.where(curved, eigenvalues, 1.0), 0.0)
        least = 0.5 * float(bottom @ (big @ bottom)) + float(small @ bottom) + float(r)
        falling = torch.where(curved, 0.0, along)
        endless = float(falling.abs().max()) > 1e-12 * float(small.abs().max()) if bool(small.any()) else False
        if endless:
            bottom = bottom - vectors @ falling * ((max(least, 0.0) + 1.0) / float(falling @ falling))
        elif least > 1e-12 * (abs(float(r)) + float((small * bottom).abs().sum())):
            raise InfeasibleError(
                f"`Quadratic` needs a point where it is at most 0, got a least value of {least:.6g} at "
                f"{[float(f'{x:.6g}') for x in bottom]}"
            )
        self.size = n
        self.register_buffer("matrix", big, persistent=False)
        self.register_buffer("vector", small, persistent=False)
        self.register_buffer("offset", r, persistent=False)
        self.register_buffer("lowest", bottom, persistent=False)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Rounding of :math:`\tfrac12 |y|^\top |Q| |y| + |q|^\top |y| + |r|`, `(*batch,)`."""
        y = value.detach().abs()
        bent = (self.matrix.to(value).abs() @ y.unsqueeze(-1)).squeeze(-1)
        terms = ((0.5 * bent + self.vector.to(value).abs()) * y).sum(dim=-1, keepdim=True)
        return default_tolerance(terms + self.offset.to(value).abs(), terms=value.shape[-1])

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The quadratic form, `(*batch, 1)`."""
        bent = (self.matrix.to(value) @ value.unsqueeze(-1)).squeeze(-1)
        return ((0.5 * bent + self.vector.to(value)) * value).sum(dim=-1, keepdim=True) + self.offset.to(value)

    def gauge(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Where the ray from an interior point leaves, `(*batch,)`."""
        return gauge_quadratic(
            origin, direction, self.matrix.to(direction), self.vector.to(direction), self.offset.to(direction)
        )
