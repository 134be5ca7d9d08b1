"""Balls of the l1, l2 and maximum norm."""

from __future__ import annotations

import torch
from torch import Tensor

from constraints.functional.projections import project_box, project_simplex
from constraints.functional.rays import gauge_box, largest_root
from constraints.functional.smooth import safe_norm
from constraints.functional.squash import squash_box

__all__ = [
    "gauge_l1_ball",
    "gauge_l2_ball",
    "gauge_linf_ball",
    "project_l1_ball",
    "project_l2_ball",
    "project_linf_ball",
    "squash_l1_ball",
    "squash_l2_ball",
    "squash_linf_ball",
]


def project_l2_ball(value: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    r"""Nearest point of :math:`\{y : \lVert y - c\rVert_2 \le r\}`: scale `v - c` down to length `r`.

    Args:
        value: `(*batch, n)`.
        center: `c`, broadcastable to `value`.
        radius: `r >= 0`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> project_l2_ball(torch.tensor([3.0, 4.0]), torch.zeros(2), torch.tensor(1.0))
        tensor([0.6000, 0.8000])
    """
    away = value - center
    length = safe_norm(away)
    outside = length > radius
    onto = center + away * (radius / torch.where(outside, length, 1.0))
    return torch.where(outside, onto, value)


def project_l1_ball(value: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    r"""Nearest point of :math:`\{y : \lVert y - c\rVert_1 \le r\}`: the sizes of `v - c` on a simplex, by sorting.

    Args:
        value: `(*batch, n)`.
        center: `c`, broadcastable to `value`.
        radius: `r > 0`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch, n)`.

    Source: Duchi et al., "Efficient projections onto the l1-ball", ICML 2008, doi:10.1145/1390156.1390191.

    Example:
        >>> project_l1_ball(torch.tensor([2.0, -1.5, 0.1]), torch.zeros(3), torch.tensor(1.0))
        tensor([ 0.7500, -0.2500,  0.0000])
    """
    away = value - center
    outside = away.abs().sum(dim=-1, keepdim=True) > radius
    onto = center + away.sign() * project_simplex(away.abs(), radius)
    return torch.where(outside, onto, value)


def project_linf_ball(value: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    r"""Nearest point of :math:`\{y : \lVert y - c\rVert_\infty \le r\}`: clip to :math:`c \pm r`.

    Args:
        value: `(*batch, n)`.
        center: `c`, broadcastable to `value`.
        radius: `r >= 0`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> project_linf_ball(torch.tensor([3.0, -0.5]), torch.zeros(2), torch.tensor(1.0))
        tensor([ 1.0000, -0.5000])
    """
    return project_box(value, center - radius, center + radius)


def squash_l2_ball(value: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    r""":math:`c + r\, v / \sqrt{1 + \lVert v\rVert_2^2}`: one to one onto the open ball.

    Args:
        value: `(*batch, n)`.
        center: `c`, broadcastable to `value`.
        radius: `r > 0`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> squash_l2_ball(torch.tensor([1.0, 0.0]), torch.zeros(2), torch.tensor(2.0))
        tensor([1.4142, 0.0000])
    """
    size = value.detach().abs().amax(dim=-1, keepdim=True).clamp(min=1.0)  # held fixed: no square overflows
    scaled = value / size
    return center + radius * (scaled / (size.reciprocal().square() + scaled.square().sum(dim=-1, keepdim=True)).sqrt())


def squash_l1_ball(value: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    r""":math:`c + r\, v / \sum_i \sqrt{v_i^2 + n^{-2}}`: one to one onto the open ball.

    Args:
        value: `(*batch, n)`.
        center: `c`, broadcastable to `value`.
        radius: `r > 0`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> squash_l1_ball(torch.tensor([0.0, 100.0]), torch.zeros(2), torch.tensor(2.0))
        tensor([0.0000, 1.9900])
    """
    size = value.detach().abs().amax(dim=-1, keepdim=True).clamp(min=1.0)  # held fixed: no square overflows
    scaled, least = value / size, (value.shape[-1] * size).reciprocal()
    smoothed = (scaled.square() + least.square()).sqrt().sum(dim=-1, keepdim=True)
    return center + radius * (scaled / smoothed)


def squash_linf_ball(value: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    r"""Each coordinate by a sigmoid onto :math:`(c - r, c + r)`.

    Args:
        value: `(*batch, n)`.
        center: `c`, broadcastable to `value`.
        radius: `r > 0`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> squash_linf_ball(torch.tensor([0.0, 100.0]), torch.zeros(2), torch.tensor(2.0))
        tensor([0., 2.])
    """
    return squash_box(value, center - radius, center + radius)


def gauge_l2_ball(origin: Tensor, direction: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    r"""Gauge of :math:`\{y : \lVert y - c\rVert_2 \le r\}` about an interior point, the root of a quadratic equation.

    Args:
        origin: `p`, `(*batch, n)`, strictly inside.
        direction: `d`, `(*batch, n)`.
        center: `c`, broadcastable to `direction`.
        radius: `r > 0`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch,)`.

    Example:
        >>> gauge_l2_ball(torch.zeros(2), torch.tensor([3.0, 4.0]), torch.zeros(2), torch.tensor(2.0))
        tensor(2.5000)
    """
    away = origin - center
    length = safe_norm(away)
    # (r^2 - |e|^2) k^2 = 2 (e d) k + |d|^2 with e = p - c.
    return largest_root(
        (radius - length) * (radius + length),
        2.0 * (away * direction).sum(dim=-1, keepdim=True),
        direction.square().sum(dim=-1, keepdim=True),
    ).squeeze(-1)


def gauge_l1_ball(origin: Tensor, direction: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    r"""Gauge of :math:`\{y : \lVert y - c\rVert_1 \le r\}` about an interior point.

    The root of :math:`F(\kappa) = \lVert \kappa (p - c) + d\rVert_1 - r \kappa`, convex and piecewise linear: its
    piece is found by sorting the break points, and in the piece :math:`\kappa` is a ratio of two sums.

    Args:
        origin: `p`, `(*batch, n)`, strictly inside.
        direction: `d`, `(*batch, n)`.
        center: `c`, broadcastable to `direction`.
        radius: `r > 0`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch,)`.

    Example:
        >>> gauge_l1_ball(torch.zeros(2), torch.tensor([3.0, -1.0]), torch.zeros(2), torch.tensor(2.0))
        tensor(2.)
    """
    away, direction = torch.broadcast_tensors(origin - center, direction)
    with torch.no_grad():
        # The sign of coordinate i flips at k = -d_i / e_i, where that is positive.
        breaks = -direction / torch.where(away == 0, 1.0, away)
        breaks = torch.where((away != 0) & (breaks > 0), breaks, torch.inf)
        breaks, order = breaks.sort(dim=-1)
        crossed = breaks.isfinite()
        height = direction.abs().sum(dim=-1, keepdim=True)
        slope = (direction.sign() * away + (direction == 0) * away.abs()).sum(dim=-1, keepdim=True) - radius
        heights = height - 2.0 * (direction.abs().gather(-1, order) * crossed).cumsum(dim=-1)
        slopes = slope + 2.0 * (away.abs().gather(-1, order) * crossed).cumsum(dim=-1)
        # F is positive before its root: count the break points there.
        positive = crossed & (heights + slopes * torch.where(crossed, breaks, 0.0) > 0)
        piece = positive.sum(dim=-1, keepdim=True)
        all_heights, all_slopes = torch.cat([height, heights], dim=-1), torch.cat([slope, slopes], dim=-1)
        slope = all_slopes.gather(-1, piece)
        root = -all_heights.gather(-1, piece) / torch.where(slope < 0, slope, -1.0)
        signs = (root * away + direction).sign()
    slack = radius - (signs * away).sum(dim=-1, keepdim=True)
    gauge: Tensor = ((signs * direction).sum(dim=-1, keepdim=True) / slack).clamp(min=0.0)
    return gauge.squeeze(-1)


def gauge_linf_ball(origin: Tensor, direction: Tensor, center: Tensor, radius: Tensor) -> Tensor:
    r"""Gauge of :math:`\{y : \lVert y - c\rVert_\infty \le r\}` about an interior point.

    Args:
        origin: `p`, `(*batch, n)`, strictly inside.
        direction: `d`, `(*batch, n)`.
        center: `c`, broadcastable to `direction`.
        radius: `r > 0`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch,)`.

    Example:
        >>> gauge_linf_ball(torch.zeros(2), torch.tensor([3.0, -1.0]), torch.zeros(2), torch.tensor(2.0))
        tensor(1.5000)
    """
    return gauge_box(origin, direction, center - radius, center + radius)
