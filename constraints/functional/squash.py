"""Smooth maps of all of R^n into a box or a simplex: never the nearest point, but with a gradient everywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from constraints.functional.smooth import softplus

__all__ = ["squash_box", "squash_simplex"]


def squash_box(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    r"""Each coordinate by what bounds it has: :math:`l + (u - l)\,\sigma(v)` between two, :math:`l + \log(1 + e^v)`
    above one, :math:`u - \log(1 + e^{-v})` below one, `v` where there is none. Increasing in `v`.

    Args:
        value: `(*batch, n)`.
        low: lower bounds, broadcastable to `value`; may be `-inf`.
        high: upper bounds, broadcastable to `value`; may be `inf`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> low, high = torch.tensor([0.0, 0.0, -torch.inf]), torch.tensor([4.0, torch.inf, torch.inf])
        >>> squash_box(torch.zeros(3), low, high)
        tensor([2.0000, 0.6931, 0.0000])
    """
    floored, capped = low.isfinite(), high.isfinite()
    bottom, top = torch.where(floored, low, 0.0), torch.where(capped, high, 0.0)
    width = torch.where(floored & capped, top - bottom, 1.0)
    # From the nearer end: 1 - sigmoid(v) would round to 0 at v = 17 in float32, and its gradient with it.
    between = torch.where(value > 0, top - width * torch.sigmoid(-value), bottom + width * torch.sigmoid(value))
    above, below = bottom + softplus(value), top - softplus(-value)
    return torch.where(floored & capped, between, torch.where(floored, above, torch.where(capped, below, value)))


def squash_simplex(value: Tensor, total: Tensor) -> Tensor:
    r"""Softmax times the total, :math:`s\, e^{v_i} / \sum_j e^{v_j}`.

    Args:
        value: `(*batch, n)`.
        total: `s > 0`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> squash_simplex(torch.zeros(4), torch.tensor(2.0))
        tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """
    return torch.softmax(value, dim=-1) * total
