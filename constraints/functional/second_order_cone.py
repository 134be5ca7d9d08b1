"""The second-order cone."""

from __future__ import annotations

import torch
from torch import Tensor

from constraints.functional.rays import largest_root
from constraints.functional.smooth import safe_norm

__all__ = ["gauge_second_order_cone", "project_second_order_cone", "squash_second_order_cone"]


def project_second_order_cone(value: Tensor) -> Tensor:
    r"""Nearest point of :math:`\{(x, t) : \lVert x\rVert_2 \le t\}`.

    It is the value itself inside, 0 in the polar cone :math:`\lVert x\rVert_2 \le -t`, and
    :math:`\tfrac12 (\lVert x\rVert_2 + t)\,(x / \lVert x\rVert_2, 1)` between them.

    Args:
        value: `(x, t)`, `(*batch, n)` with `t` the last coordinate.

    Returns:
        `(*batch, n)`.

    Example:
        >>> project_second_order_cone(torch.tensor([3.0, 4.0, 0.0]))
        tensor([1.5000, 2.0000, 2.5000])
    """
    x, t = value[..., :-1], value[..., -1:]
    length = safe_norm(x)
    inside, polar = length <= t, length <= -t
    height = (length + t) / 2
    onto = torch.cat([height * (x / torch.where(length > 0, length, 1.0)), height], dim=-1)
    return torch.where(inside, value, torch.where(polar, 0.0 * onto, onto))


def squash_second_order_cone(value: Tensor) -> Tensor:
    r"""Map one to one onto the open cone, by the smoothed positive part of the spectral values.

    The spectral values of `(x, t)` are :math:`\lambda_\pm = t \pm \lVert x\rVert_2`; each becomes
    :math:`\tfrac12(\lambda + \sqrt{\lambda^2 + 4})`. Multiplied out, the map is algebraic and smooth
    also at :math:`x = 0`: with :math:`2 Q = \sqrt{\lambda_+^2 + 4} + \sqrt{\lambda_-^2 + 4} \ge 2 \lVert x\rVert_2` it
    is :math:`\tfrac12 (t + Q)\,(x / Q, 1)`.

    Args:
        value: `(x, t)`, `(*batch, n)` with `t` the last coordinate.

    Returns:
        `(*batch, n)`.

    Source: Fukushima, Luo and Tseng, "Smoothing functions for second-order-cone complementarity problems", SIAM
        Journal on Optimization 12, 2002, doi:10.1137/S1052623400380365.

    Example:
        >>> squash_second_order_cone(torch.tensor([0.0, 0.0, 0.0]))
        tensor([0., 0., 1.])
    """
    dtype = value.dtype
    value = value.to(torch.promote_types(dtype, torch.float32))  # fourth powers overflow in float16 at 16
    x, t = value[..., :-1], value[..., -1:]
    squared = x.square().sum(dim=-1, keepdim=True)
    total, apart = t.square() + squared, t.square() - squared
    root = (apart.square() + 8.0 * total + 16.0).sqrt()  # the product of the two square roots
    mean = (total / 2 + 2.0 + root / 2).sqrt()  # Q
    # t + Q for t < 0 is (Q^2 - t^2) / (Q - t), and Q^2 - t^2 = 2 + (root - apart) / 2, none of which cancels below.
    near = apart > 0
    gap = torch.where(near, (8.0 * total + 16.0) / (root + torch.where(near, apart, 0.0)), root - apart)
    negative = t < 0
    low = (2.0 + gap / 2) / (mean - torch.where(negative, t, 0.0))
    height = torch.where(negative, low, t + mean) / 2
    return torch.cat([height * (x / mean), height], dim=-1).to(dtype)


def gauge_second_order_cone(origin: Tensor, direction: Tensor) -> Tensor:
    r"""Gauge of the second-order cone about an interior point `p`: the least `k >= 0` with :math:`k p + d` in the cone.

    Args:
        origin: `p`, `(*batch, n)`, strictly inside.
        direction: `d`, `(*batch, n)`.

    Returns:
        `(*batch,)`.

    Example:
        >>> gauge_second_order_cone(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([3.0, 4.0, 1.0]))
        tensor(4.)
    """
    depth = safe_norm(origin[..., :-1])
    length = safe_norm(direction[..., :-1])
    top, rise = origin[..., -1:], direction[..., -1:]
    product = top * rise - (origin[..., :-1] * direction[..., :-1]).sum(dim=-1, keepdim=True)
    return largest_root((top - depth) * (top + depth), -2.0 * product, (length - rise) * (length + rise)).squeeze(-1)
