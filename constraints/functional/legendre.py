"""Legendre's polynomials of unit mean square, with their derivatives."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["legendre_table"]


def legendre_table(z: Tensor, degree: int, order: int = 0) -> Tensor:
    r"""The `order`-th derivatives of :math:`\sqrt{2k + 1}\,P_k`, `k <= degree`, `(*batch,)` to `(*batch, degree + 1)`.

    The mean of the square of each polynomial over (-1, 1) is 1. Derivatives are sums of polynomials of lower degree,
    exact to rounding.

    Args:
        z: in [-1, 1].
        degree: the highest degree, at least 0.
        order: of the derivative.

    Example:
        >>> legendre_table(torch.tensor([0.5], dtype=torch.float64), 2, 1)
        tensor([[0.0000, 1.7321, 3.3541]], dtype=torch.float64)
    """
    along = [torch.ones_like(z), z]
    for k in range(1, degree):
        along.append(((2 * k + 1) * z * along[k] - k * along[k - 1]) / (k + 1))
    table = torch.stack(along[: degree + 1], dim=-1)
    if order:
        down = np.polynomial.legendre.legder(np.eye(degree + 1), order, axis=1)
        table = table[..., : down.shape[1]] @ torch.from_numpy(down).to(z).mT if order <= degree else 0.0 * table
    return table * torch.arange(degree + 1, dtype=z.dtype, device=z.device).mul(2.0).add(1.0).sqrt()
