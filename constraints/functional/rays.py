r"""Gauges: how far a ray from an interior point goes before it leaves a convex set.

About an interior point `p`, the gauge of a direction `d` is the smallest :math:`\kappa \ge 0` with
:math:`p + d / \kappa` still inside (0 where the ray never leaves). It is positively homogeneous in `d`, and
:math:`p + d` is inside iff :math:`\kappa(d) \le 1`.

Source: Tordesillas, How and Hutter, "RAYEN: imposition of hard convex constraints on neural networks", 2023,
doi:10.48550/arXiv.2307.08336.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "gauge_box",
    "gauge_linear_matrix_inequality",
    "gauge_quadratic",
    "largest_root",
    "project_ray",
    "squash_ray",
]


def project_ray(origin: Tensor, direction: Tensor, gauge: Tensor) -> Tensor:
    r"""Go along a ray until the end of `direction` or the boundary of the set: :math:`p + d / \max(1, \kappa(d))`.

    Args:
        origin: `p`, `(*batch, n)`.
        direction: `d`, `(*batch, n)`.
        gauge: :math:`\kappa(d)`, `(*batch,)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> project_ray(torch.ones(2), torch.tensor([4.0, 0.0]), torch.tensor(2.0))
        tensor([3., 1.])
    """
    return origin + direction / gauge.unsqueeze(-1).clamp(min=1.0)


def squash_ray(origin: Tensor, direction: Tensor, gauge: Tensor) -> Tensor:
    r"""Keep the direction and squash the radius: :math:`p + d / \sqrt{1 + \kappa(d)^2}`, one to one onto the interior.

    Args:
        origin: `p`, `(*batch, n)`.
        direction: `d`, `(*batch, n)`.
        gauge: :math:`\kappa(d)`, `(*batch,)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> squash_ray(torch.zeros(2), torch.tensor([3.0, 0.0]), torch.tensor(3.0))
        tensor([0.9487, 0.0000])
    """
    gauge = gauge.unsqueeze(-1)
    size = gauge.detach().clamp(min=1.0)  # held fixed: no square overflows
    return origin + direction / size / (size.reciprocal().square() + (gauge / size).square()).sqrt()


def largest_root(square: Tensor, linear: Tensor, constant: Tensor) -> Tensor:
    r"""Largest root of :math:`s \kappa^2 = b \kappa + a`, or 0 where that is negative; nothing cancels.

    Derivatives are 0 at a double root, where the true ones do not exist.

    Args:
        square: `s > 0`, broadcastable with the others.
        linear: `b`.
        constant: `a`, such that roots are real but for rounding.

    Returns:
        The root, `>= 0`.

    Example:
        >>> largest_root(torch.tensor(1.0), torch.tensor(1.0), torch.tensor(6.0))
        tensor(3.)
    """
    discriminant = linear.square() + 4.0 * square * constant
    real = discriminant > 0
    # The last term makes NaN out of NaN.
    root = torch.where(real, torch.where(real, discriminant, 1.0).sqrt(), 0.0 * discriminant)
    rising = linear >= 0
    opposite = torch.where(rising | ~real, 1.0, root - linear)
    return torch.where(rising, (linear + root) / (2.0 * square), 2.0 * constant / opposite).clamp(min=0.0)


def gauge_box(origin: Tensor, direction: Tensor, low: Tensor, high: Tensor) -> Tensor:
    r"""Gauge of :math:`\{y : l \le y \le u\}` about an interior point, the largest of coordinates' ratios.

    .. math:: \kappa(d) = \max_i \max(d_i / (u_i - p_i),\ d_i / (l_i - p_i),\ 0)

    Args:
        origin: `p`, `(*batch, n)`, strictly inside.
        direction: `d`, `(*batch, n)`.
        low: lower bounds, broadcastable to `direction`; may be `-inf`.
        high: upper bounds, broadcastable to `direction`; may be `inf`.

    Returns:
        `(*batch,)`.

    Example:
        >>> gauge_box(torch.zeros(2), torch.tensor([-3.0, 1.0]), torch.tensor(-1.0), torch.tensor(torch.inf))
        tensor(3.)
    """
    return torch.maximum(direction / (high - origin), direction / (low - origin)).amax(dim=-1).clamp(min=0.0)


def gauge_quadratic(origin: Tensor, direction: Tensor, matrix: Tensor, vector: Tensor, offset: Tensor) -> Tensor:
    r"""Gauge of :math:`\{y : \tfrac12 y^\top Q y + q^\top y + r \le 0\}`, `Q` positive semidefinite, about `p` inside.

    Args:
        origin: `p`, `(*batch, n)`, strictly inside.
        direction: `d`, `(*batch, n)`.
        matrix: `Q`, `(n, n)` or `(*batch, n, n)`, symmetric.
        vector: `q`, `(n,)` or `(*batch, n)`.
        offset: `r`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch,)`.

    Example:
        >>> gauge_quadratic(torch.zeros(2), torch.tensor([4.0, 0.0]), torch.eye(2), torch.zeros(2), torch.tensor(-2.0))
        tensor(2.)
    """
    bent_origin = (matrix @ origin.unsqueeze(-1)).squeeze(-1)
    bent = (matrix @ direction.unsqueeze(-1)).squeeze(-1)
    level = ((0.5 * bent_origin + vector) * origin).sum(dim=-1, keepdim=True) + offset
    slope = ((bent_origin + vector) * direction).sum(dim=-1, keepdim=True)
    curvature = 0.5 * (bent * direction).sum(dim=-1, keepdim=True).clamp(min=0.0)
    return largest_root(-level, slope, curvature).squeeze(-1)


def gauge_linear_matrix_inequality(origin: Tensor, direction: Tensor, matrices: Tensor) -> Tensor:
    r"""Gauge of :math:`\{y : F_0 + \sum_i y_i F_i \succeq 0\}` about an interior point `p`.

    With :math:`F(p) = L L^\top` and :math:`D = \sum_i d_i F_i` it is
    :math:`\max(-\lambda_{\min}(L^{-1} D L^{-\top}), 0)`.
    First and second derivatives are exact where the least eigenvalue is simple, and finite everywhere.

    Args:
        origin: `p`, `(*batch, n)`, strictly inside.
        direction: `d`, `(*batch, n)`.
        matrices: `F_0, ..., F_n`, `(1 + n, m, m)`, symmetric.

    Returns:
        `(*batch,)`.

    Example:
        >>> matrices = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])  # [[1, y], [y, 1]]
        >>> gauge_linear_matrix_inequality(torch.zeros(1), torch.tensor([-3.0]), matrices)
        tensor(3.0000)
    """
    at_origin = matrices[0] + torch.einsum("...i,ijk->...jk", origin, matrices[1:])
    change = torch.einsum("...i,ijk->...jk", direction, matrices[1:])
    factor = torch.linalg.cholesky(at_origin)
    half = torch.linalg.solve_triangular(factor, change, upper=False)
    pencil = torch.linalg.solve_triangular(factor, half.mT, upper=False)
    # LAPACK fails on NaN, for the whole batch: such samples get a NaN of their own.
    usable = pencil.isfinite().all(dim=-1).all(dim=-1)
    pencil = torch.where(usable[..., None, None], (pencil + pencil.mT) / 2, 0.0)
    values, vectors = torch.linalg.eigh(pencil.detach())
    # Perturbation theory to second order about the fixed eigenvectors: the couplings are 0 in value, but they carry
    # the second derivative of the least eigenvalue. Repeated eigenvalues have none: left out.
    row = (vectors[..., :, :1].mT @ pencil @ vectors).squeeze(-2)
    gaps = values[..., 1:] - values[..., :1]
    wide = gaps > 16 * torch.finfo(gaps.dtype).eps * values.abs().amax(dim=-1, keepdim=True)
    couplings = torch.where(wide, row[..., 1:].square() / torch.where(wide, gaps, 1.0), 0.0)
    least = row[..., 0] - couplings.sum(dim=-1)
    return torch.where(usable, (-least).clamp(min=0.0), torch.nan)
