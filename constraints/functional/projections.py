"""Euclidean projections in closed form, differentiable (twice) by ordinary autograd.

Each finds *which* pieces of the set are active without gradient and then writes the projection as a smooth
expression of the value and of the set's own parameters, so that gradients reach both.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["project_affine", "project_box", "project_box_equality", "project_simplex"]


NEWTON_STEPS = 20  # of a search that usually needs five


def project_box(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    r"""Nearest point of :math:`\{y : l \le y \le u\}`.

    Args:
        value: `(*batch, n)`.
        low: lower bounds, broadcastable to `value`; may be `-inf`.
        high: upper bounds, broadcastable to `value`; may be `inf`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> project_box(torch.tensor([-1.0, 0.5, 3.0]), torch.tensor(0.0), torch.tensor(1.0))
        tensor([0.0000, 0.5000, 1.0000])
    """
    return torch.minimum(torch.maximum(value, low), high)


def project_affine(value: Tensor, matrix: Tensor, inverse: Tensor, target: Tensor) -> Tensor:
    r"""Nearest point of :math:`\{y : A y = b\}`: :math:`y - A^+(A y - b)`.

    Steps of iterative refinement bring the residual down to rounding also where `A` is badly scaled.

    Args:
        value: `(*batch, n)`.
        matrix: `A`, `(m, n)`.
        inverse: its pseudo-inverse `A^+`, `(n, m)`, factorised once by the caller.
        target: `b`, `(m,)` or `(*batch, m)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> a = torch.tensor([[1.0, 1.0]])
        >>> project_affine(torch.tensor([0.0, 0.0]), a, a.mT / 2, torch.tensor([2.0]))
        tensor([1., 1.])
    """
    for _ in range(4):  # the last two count where the point is 0, up to rounding of the value
        value = value - (value @ matrix.mT - target) @ inverse.mT
    return value


def project_simplex(value: Tensor, total: Tensor) -> Tensor:
    r"""Nearest point of :math:`\{y \ge 0 : \sum_i y_i = s\}`: :math:`\max(v - \tau, 0)`.

    Newton's method finds :math:`\tau`, the root of a piecewise linear, convex function, exactly and from one side, in a
    few steps. Where the graph must not depend on data (`torch.compile`, `torch.export`) it comes from sorting.

    Args:
        value: `(*batch, n)`.
        total: `s > 0`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch, n)`.

    Source: Michelot, "A finite algorithm for finding the projection of a point onto the canonical simplex of R^n", J.
    Optim. Theory Appl. 50, 1986, doi:10.1007/BF00938486; Duchi et al., "Efficient projections onto the l1-ball", ICML
    2008, doi:10.1145/1390156.1390191.

    Example:
        >>> project_simplex(torch.tensor([0.5, 2.0, 0.1]), torch.tensor(1.0))
        tensor([0., 1., 0.])
    """
    # Only differences matter; centring keeps the sums small beside `total`.
    value = value - value.amax(dim=-1, keepdim=True).detach()
    with torch.no_grad():
        few = value.shape[-1] <= 64  # then sorting is as fast
        find = _support_by_sorting if few or torch.compiler.is_compiling() else _support_by_newton
        inside = find(value, total).to(value.dtype)
    tau = ((value * inside).sum(dim=-1, keepdim=True) - total) / inside.sum(dim=-1, keepdim=True)
    return (value - tau).clamp(min=0.0)


def _support_by_newton(value: Tensor, total: Tensor) -> Tensor:
    """Which coordinates end above 0, `(*batch, n)`; the greatest coordinate is 0."""
    n = value.shape[-1]
    # Both are below the root: from there every step stays below it.
    tau = torch.maximum((value.sum(dim=-1, keepdim=True) - total) / n, -total.expand(*value.shape[:-1], 1))
    inside = value > tau
    for _ in range(n):
        count = inside.sum(dim=-1, keepdim=True).clamp(min=1)
        step = (torch.where(inside, value - tau, 0.0).sum(dim=-1, keepdim=True) - total) / count
        tau = tau + step.clamp(min=0.0)
        after = value > tau
        if torch.equal(after, inside):
            break
        inside = after
    return inside | (value == 0.0)


def _support_by_sorting(value: Tensor, total: Tensor) -> Tensor:
    """The same with operations that do not depend on the data."""
    ordered = value.sort(dim=-1, descending=True).values
    ranks = torch.arange(1, value.shape[-1] + 1, device=value.device, dtype=value.dtype)
    thresholds = (ordered.cumsum(dim=-1) - total) / ranks
    support = (ordered > thresholds).sum(dim=-1, keepdim=True).clamp(min=1)
    tau = thresholds.gather(-1, support - 1)
    return (value > tau) | (value == 0.0)


def project_box_equality(value: Tensor, low: Tensor, high: Tensor, coefficients: Tensor, target: Tensor) -> Tensor:
    r"""Nearest point of :math:`\{y : l \le y \le u,\ a^\top y = b\}`.

    The solution is :math:`y(\tau) = \mathrm{clip}(v - \tau a, l, u)` where :math:`a^\top y(\tau)` falls piecewise
    linearly in :math:`\tau`. Newton's method, kept between bounds of the root, finds the linear piece, in which
    :math:`\tau` is a ratio of two sums: exact. Where that does not end in a few steps, and where the graph must not
    depend on data (`torch.compile`, `torch.export`), a binary search over the sorted break points finds it.

    Args:
        value: `(*batch, n)`.
        low: lower bounds `(n,)`; may be `-inf`.
        high: upper bounds `(n,)`; may be `inf`.
        coefficients: `a`, `(n,)`, not all zero.
        target: `b`, `()` or `(*batch, 1)`, attainable inside the box.

    Returns:
        `(*batch, n)`.

    Source: Helgason, Kennington and Lall, "A polynomially bounded algorithm for a singly constrained quadratic
    program", Mathematical Programming 18, 1980, doi:10.1007/BF01588328.

    Example:
        >>> project_box_equality(torch.tensor([2.0, 0.0]), torch.zeros(2), torch.ones(2), torch.ones(2),
        ...                      torch.tensor(1.5))
        tensor([1.0000, 0.5000])
    """
    value, low, high, coefficients = torch.broadcast_tensors(value, low, high, coefficients)
    with torch.no_grad():
        find = _linear_piece if torch.compiler.is_compiling() else _piece_by_newton
        _, shift = find(value, low, high, coefficients, target)
    # Moving along `a` does not change the solution; near it, nothing large cancels in what follows.
    value = value - shift * coefficients
    with torch.no_grad():
        free, multiplier = find(value, low, high, coefficients, target)
    clipped = project_box(value - multiplier * coefficients, low, high)
    exact = _root(value, clipped, free, coefficients, target, multiplier)
    return project_box(value - exact * coefficients, low, high)


def _root(
    value: Tensor, clipped: Tensor, free: Tensor, coefficients: Tensor, target: Tensor, multiplier: Tensor
) -> Tensor:
    """The multiplier on a piece: there the clipped coordinates are constants, so it is linear in the value."""
    weight = torch.where(free, coefficients, 0.0)
    fixed = torch.where(free, 0.0, clipped)
    slope = (weight * weight).sum(dim=-1, keepdim=True)
    excess = (weight * value).sum(dim=-1, keepdim=True) + (coefficients * fixed).sum(dim=-1, keepdim=True) - target
    return torch.where(slope > 0, excess / torch.where(slope > 0, slope, 1.0), multiplier)


def _piece_by_newton(
    value: Tensor, low: Tensor, high: Tensor, coefficients: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """See `_linear_piece`, which finds it for all samples where this does not end."""
    square = coefficients * coefficients
    multiplier = value.new_zeros(*value.shape[:-1], 1)
    under, over = multiplier - math.inf, multiplier + math.inf
    rounding = (8.0 + value.shape[-1]) * torch.finfo(value.dtype).eps
    for _ in range(NEWTON_STEPS):
        moved = value - multiplier * coefficients
        clipped = project_box(moved, low, high)
        terms = coefficients * clipped
        excess = terms.sum(dim=-1, keepdim=True) - target
        size = terms.abs().sum(dim=-1, keepdim=True) + target.abs()
        done = excess.abs() <= rounding * size
        if bool(done.all()):
            return (moved > low) & (moved < high) & (coefficients != 0), multiplier
        slope = torch.where(moved == clipped, square, 0.0).sum(dim=-1, keepdim=True)
        under, over = torch.where(excess > 0, multiplier, under), torch.where(excess < 0, multiplier, over)
        step = multiplier + excess / slope
        ahead = torch.where((step > under) & (step < over), step, (under + over) / 2.0)
        multiplier = torch.where(done, multiplier, ahead)
        if not bool(multiplier.isfinite().all()):
            break
    return _linear_piece(value, low, high, coefficients, target)


def _linear_piece(
    value: Tensor, low: Tensor, high: Tensor, coefficients: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Return which coordinates are free at the solution, `(*batch, n)`, and a multiplier inside that piece."""
    infinite = math.inf
    safe = torch.where(coefficients == 0, 1.0, coefficients)
    ends = torch.stack([(value - high) / safe, (value - low) / safe])
    ends = torch.where(coefficients == 0, infinite, ends)
    breaks = torch.cat(list(ends), dim=-1).sort(dim=-1).values
    count = breaks.shape[-1]
    # Invariant: the root lies in [breaks[left], breaks[right]], where index -1 means -inf and `count` means +inf.
    left = torch.full_like(breaks[..., :1], -1, dtype=torch.long)
    right = torch.full_like(left, count)
    for _ in range(math.ceil(math.log2(count + 1))):
        middle = (left + right) // 2
        at = breaks.gather(-1, middle.clamp(0, count - 1))
        bounded = torch.where(at.isinf(), 0.0, at)
        level = (coefficients * project_box(value - bounded * coefficients, low, high)).sum(dim=-1, keepdim=True)
        level = torch.where(at == infinite, -infinite, torch.where(at == -infinite, infinite, level))
        open_ = right - left > 1
        above = level >= target
        left = torch.where(open_ & above, middle, left)
        right = torch.where(open_ & ~above, middle, right)
    start = torch.where(left < 0, -infinite, breaks.gather(-1, left.clamp(min=0)))
    end = torch.where(right >= count, infinite, breaks.gather(-1, right.clamp(max=count - 1)))
    # On a piece without end a step of the set's own size: a larger one would cancel in what follows, and one of the
    # value's size would leave a far value where it is.
    sides = torch.stack([low, high]) / safe
    size = torch.where(sides.isinf() | (coefficients == 0), 0.0, sides.abs()).amax(dim=0).amax(dim=-1, keepdim=True)
    size = torch.maximum(size, target.abs() / coefficients.abs().amax(dim=-1, keepdim=True).square())
    step = torch.where(size > 0, size, 1.0)
    inside = torch.where(
        start.isinf() & end.isinf(),
        0.0,
        torch.where(start.isinf(), end - step, torch.where(end.isinf(), start + step, (start + end) / 2)),
    )
    moved = value - inside * coefficients
    free = (moved > low) & (moved < high) & (coefficients != 0)
    root = _root(value, project_box(moved, low, high), free, coefficients, target, inside)
    return free, torch.minimum(torch.maximum(root, start), end)
