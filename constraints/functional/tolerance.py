"""How far from a set a floating-point value may be and still count as inside."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["default_tolerance"]


def default_tolerance(value: Tensor, *, terms: int = 1) -> Tensor:
    r"""Tolerance of a violation, from the dtype, the size and the magnitude of the value.

    .. math:: 64\,\varepsilon\,\sqrt{\max(\text{terms}, 1)}\,\max(1, \lVert v\rVert_\infty)

    Rounding of a sum of `terms` numbers grows like the square root of their count when errors are
    independent; 64 covers the constant of a projection (a product, a division and a refinement).

    Args:
        value: the tested value, `(*batch, n)`.
        terms: how many numbers one residual sums over.

    Returns:
        The tolerance of each sample, `(*batch,)`.

    Example:
        >>> default_tolerance(torch.zeros(2, 3, dtype=torch.float64)).tolist()
        [1.4210854715202004e-14, 1.4210854715202004e-14]
    """
    eps = torch.finfo(value.dtype).eps
    scale = value.detach().abs().amax(dim=-1).clamp(min=1.0)
    return scale * (64.0 * eps * math.sqrt(max(terms, 1)))
