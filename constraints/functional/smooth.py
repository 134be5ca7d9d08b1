"""Elementary functions whose values and derivatives stay finite everywhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as nn_functional

__all__ = ["safe_norm", "softplus"]


def safe_norm(value: Tensor) -> Tensor:
    r"""Euclidean norm :math:`\lVert v\rVert_2`, kept as a last dimension, with derivative 0 where `v = 0`.

    Scaled by the largest entry, so that no square overflows or underflows.

    Args:
        value: `(*batch, n)`, n > 0.

    Returns:
        `(*batch, 1)`.

    Example:
        >>> safe_norm(torch.tensor([3e30, 4e30]))
        tensor([5.0000e+30])
    """
    # |v| = m |v / m| for any constant m > 0, so the derivatives are right although m is held fixed.
    scale = value.detach().abs().amax(dim=-1, keepdim=True)
    scale = torch.where(scale > 0, scale, 1.0)
    squared = (value / scale).square().sum(dim=-1, keepdim=True)
    zero = squared == 0
    return torch.where(zero, 0.0, scale * torch.where(zero, 1.0, squared).sqrt())


def softplus(value: Tensor) -> Tensor:
    r""":math:`\log(1 + e^v)`, exact to rounding in float64 too (torch switches to the identity at 20, too early).

    Args:
        value: of any shape.

    Example:
        >>> softplus(torch.tensor([-1e4, 0.0, 1e4]))
        tensor([0.0000e+00, 6.9315e-01, 1.0000e+04])
    """
    return nn_functional.softplus(value, threshold=40.0)
