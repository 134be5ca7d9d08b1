"""Nearest points of curved surfaces: down to the surface, along it, and from other starts where that fails."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from constraints.functional.stationary import (
    Conditions,
    conditions_of,
    curvature_lengths,
    curvature_of,
    jacobian_of,
    newton_step,
    residual_scale,
    row_lengths,
)

__all__ = ["SurfacePoint", "nearest_on_surface", "relative_violation"]

ON = 1e-11  # relative violation up to which a point is on the surface
DESCENTS = 100  # damped Gauss-Newton steps down to the surface
WALKS = 60  # Newton steps along it
HALVES = 14  # of a step along the surface
FALLS = 45  # halves of a step down to it
SIZES = (1.0, 0.3, 0.1, 1e-2, 1e-4, 1e-7, 10.0, 1e3)  # of other starts, relative to the value
WIDE = (1e-12, 1e-9, 1e-6, 1e-3, 1.0, 1e4, 1e8, 1e12)  # of other starts from 0, which has no size
ROUNDS = 3  # of other starts
RIDGE = 1e-13  # makes the equations of dependent conditions solvable


@final
class SurfacePoint(NamedTuple):
    """A point `(batch, n)`, its multipliers `(batch, p)`, and its relative violation `(batch,)`."""

    point: Tensor
    multiplier: Tensor
    violation: Tensor


def relative_violation(
    conditions: Conditions,
    point: Tensor,
    context: Tensor,
    *,
    value: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The largest residual relative to `residual_scale`, `(batch,)`; infinite where it is not defined.

    Example:
        >>> circle = lambda y, _: (y * y).sum(-1, keepdim=True) - 1e-12
        >>> relative_violation(circle, torch.tensor([[2e-6, 0.0]], dtype=torch.float64), torch.zeros(1, 0)) > 0.3
        tensor([True])
    """
    jacobian = jacobian_of(conditions, point, context)
    scale = residual_scale(point, jacobian, curvature_lengths(conditions, point, context), value=value, dtype=dtype)
    relative = conditions_of(conditions, point, context).abs() / scale
    return torch.where(relative.isfinite(), relative, torch.inf).amax(dim=-1)


def nearest_on_surface(value: Tensor, conditions: Conditions, context: Tensor) -> SurfacePoint:
    r"""Points of :math:`\{y : h(y) = 0\}` that are locally nearest to the value, without gradient.

    Damped Gauss-Newton steps lead down to the surface. Newton steps on the distance within it, each followed by a
    return to the surface, lead along it: every step is on the surface and nearer. Newton's method on the conditions of
    stationarity ends it. Samples whose descent ends off the surface begin again from values of other sizes and
    directions, and the nearest of their points is taken.

    Args:
        value: `(batch, n)`, float64.
        conditions: `h`.
        context: `(batch, k)`.

    Example:
        >>> circle = lambda y, _: (y * y).sum(-1, keepdim=True) - 1.0
        >>> nearest_on_surface(torch.tensor([[3e5, 4e5]]).double(), circle, torch.zeros(1, 0).double()).point
        tensor([[0.6000, 0.8000]], dtype=torch.float64)
    """
    with torch.no_grad():
        point = _descend(value, conditions, context)
        off = relative_violation(conditions, point, context, value=value) > ON
        generator = torch.Generator().manual_seed(0)
        for _ in range(ROUNDS):
            lost = off.nonzero().squeeze(-1)
            if not len(lost):
                break
            other, found = _restart(value[lost], conditions, context[lost], generator)
            point = point.index_copy(0, lost, torch.where(found[:, None], other, point[lost]))
            off = off.index_copy(0, lost, ~found)
        point = _walk(value, point, conditions, context)
        return _finish(value, point, conditions, context)


def _restart(
    value: Tensor, conditions: Conditions, context: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The nearest point that descents from other starts reach, and whether one did."""
    batch, n = value.shape
    noise = torch.randn(batch, len(SIZES), n, generator=generator, dtype=torch.float64).to(value)
    reach = value.abs().amax(dim=-1, keepdim=True)
    sizes = torch.where(reach > 0, value.new_tensor(SIZES), value.new_tensor(WIDE))[..., None]
    starts = sizes * (value[:, None] + 0.7 * torch.where(reach > 0, reach, 1.0)[:, None] * noise)
    many = context[:, None].expand(-1, len(SIZES), -1).flatten(0, 1)
    ends = _descend(starts.flatten(0, 1), conditions, many)
    whole = value[:, None].expand_as(starts).flatten(0, 1)
    fine = relative_violation(conditions, ends, many, value=whole) <= ON
    distance = torch.where(fine, (ends - whole).square().sum(dim=-1), torch.inf).view(batch, -1)
    best = distance.argmin(dim=-1)
    return ends.view(batch, -1, n)[torch.arange(batch, device=value.device), best], fine.view(batch, -1).any(dim=-1)


def _correction(jacobian: Tensor, residual: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The least step that removes residuals to first order, the unit rows, and the inverse of their Gram matrix."""
    lengths = row_lengths(jacobian)
    rows = (jacobian / lengths[..., None]).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    gram = rows @ rows.mT
    ridge = RIDGE * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    inverse = torch.linalg.inv_ex(gram + ridge)[0]
    found = inverse @ (residual / lengths)[..., None]
    return -(rows.mT @ found).squeeze(-1), rows, inverse


def _descend(start: Tensor, conditions: Conditions, context: Tensor) -> Tensor:
    """Gauss-Newton steps down to the surface.

    The shortest step is taken where it serves. Where it does not, because the conditions bend much more in some
    directions than in others, the step is shortest in the metric of their second derivatives (on an ellipsoid it is
    radial), and halved until it lowers the residuals, in units of distance.
    """
    point = start
    left = torch.arange(len(start), device=start.device)
    for _ in range(DESCENTS):
        y, c = point[left], context[left]
        jacobian, residual = jacobian_of(conditions, y, c), conditions_of(conditions, y, c)
        step, rows, _ = _correction(jacobian, residual)
        lengths = row_lengths(jacobian)
        before = (residual / lengths).square().sum(dim=-1)
        after, merit = y + step, _merit(conditions, y + step, c, lengths)
        moved = merit < 0.3 * before
        if not bool(moved.all()):
            curved = _curved_step(rows, residual / lengths, curvature_of(conditions, y, c, lengths.reciprocal()))
            after = torch.where(moved[:, None], after, y)
            for half in range(FALLS):
                tried = y + curved * 0.5**half
                accepted = ~moved & (_merit(conditions, tried, c, lengths) < before * (1.0 - 0.5 ** (half + 8)))
                after, moved = torch.where(accepted[:, None], tried, after), moved | accepted
                if bool(moved.all()):
                    break
        point = point.index_copy(0, left, after)
        small = step.abs().amax(dim=-1) <= 1e-14 * y.abs().amax(dim=-1)
        left = left[moved & ~small]
        if not len(left):
            break
    return point


def _merit(conditions: Conditions, point: Tensor, context: Tensor, lengths: Tensor) -> Tensor:
    """The squared residuals in units of distance, `(batch,)`."""
    return (conditions_of(conditions, point, context) / lengths).square().sum(dim=-1)


def _curved_step(rows: Tensor, residual: Tensor, curvature: Tensor) -> Tensor:
    """The step that removes residuals to first order and is shortest in the metric of `|curvature|`."""
    eye = torch.eye(rows.shape[-1], dtype=rows.dtype, device=rows.device)
    usable = curvature.isfinite().all(dim=-1).all(dim=-1)[:, None, None]
    eigenvalues, vectors = torch.linalg.eigh(torch.where(usable, curvature, eye))
    sizes = eigenvalues.abs()
    most = sizes.amax(dim=-1, keepdim=True)
    sizes = torch.where(most > 0, sizes / torch.where(most > 0, most, 1.0) + 1e-4, 1.0)
    metric = (vectors / sizes[:, None]) @ vectors.mT
    gram = rows @ metric @ rows.mT
    size = gram.diagonal(dim1=-2, dim2=-1).amax(dim=-1)[:, None, None].clamp(min=torch.finfo(rows.dtype).tiny)
    ridge = RIDGE * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    found = torch.linalg.solve_ex(gram / size + ridge, residual[..., None])[0] / size
    step: Tensor = -(metric @ rows.mT @ found).squeeze(-1)
    return step


def _return(point: Tensor, conditions: Conditions, context: Tensor, *, times: int = 4) -> tuple[Tensor, Tensor]:
    """Undamped steps back to a surface that is near, and how far off it the point still is, relative to its size."""
    for _ in range(times):
        jacobian, residual = jacobian_of(conditions, point, context), conditions_of(conditions, point, context)
        point = point + _correction(jacobian, residual)[0]
    away = (conditions_of(conditions, point, context) / row_lengths(jacobian)).abs().amax(dim=-1)
    size = point.abs().amax(dim=-1).clamp(min=torch.finfo(point.dtype).tiny)
    return point, torch.nan_to_num(away / size, nan=torch.inf)


def _walk(value: Tensor, point: Tensor, conditions: Conditions, context: Tensor) -> Tensor:
    """Newton steps on the distance within the surface; every point is on it, and nearer than the one before."""
    left = torch.arange(len(value), device=value.device)
    for _ in range(WALKS):
        v, y, c = value[left], point[left], context[left]
        step, slope = _along(v, y, conditions, c)
        before = (y - v).square().sum(dim=-1)
        near = (slope > 0) & (slope <= 1e-12 * before)
        after, moved = y, near
        for half in range(HALVES):
            if bool(moved.all()):
                break
            tried, off = _return(y + step * 0.5**half, conditions, c)
            distance = (tried - v).square().sum(dim=-1)
            accepted = ~moved & (off <= ON) & (distance < before - 1e-4 * 0.5**half * slope)
            after, moved = torch.where(accepted[:, None], tried, after), moved | accepted
        point = point.index_copy(0, left, after)
        left = left[moved & ~near]
        if not len(left):
            break
    return point


def _along(value: Tensor, point: Tensor, conditions: Conditions, context: Tensor) -> tuple[Tensor, Tensor]:
    """A step within the tangent plane, and how fast half the squared distance falls along it, `(batch,)`.

    The Hessian of the Lagrange function decides its length; directions in which that is negative are turned. From a
    point that is stationary but not nearest, the step goes along the most negative of them.
    """
    jacobian = jacobian_of(conditions, point, context)
    _, rows, inverse = _correction(jacobian, torch.zeros_like(jacobian[..., 0]))
    eye = torch.eye(point.shape[-1], dtype=point.dtype, device=point.device)
    normal = rows.mT @ inverse @ rows
    tangent = eye - normal
    pull = value - point
    multiplier = (inverse @ rows @ pull[..., None]).squeeze(-1) / row_lengths(jacobian)
    bent = tangent @ (eye + curvature_of(conditions, point, context, multiplier)) @ tangent + normal
    usable = bent.isfinite().all(dim=-1).all(dim=-1)
    eigenvalues, vectors = torch.linalg.eigh(torch.where(usable[:, None, None], bent, eye))
    downhill = (tangent @ pull[..., None]).squeeze(-1)
    sizes = eigenvalues.abs().clamp(min=1e-3)
    step = (vectors @ ((vectors.mT @ downhill[..., None]) / sizes[..., None])).squeeze(-1)
    reach = torch.maximum(point.abs().amax(dim=-1), pull.abs().amax(dim=-1))
    stuck = (downhill.norm(dim=-1) <= 1e-7 * reach) & (eigenvalues[:, 0] < -1e-6)
    aside = vectors[..., 0] * (0.3 * point.norm(dim=-1, keepdim=True))
    step = torch.where(stuck[:, None], aside, step)
    return step, torch.where(stuck, 0.0, (downhill * step).sum(dim=-1))


def _finish(value: Tensor, point: Tensor, conditions: Conditions, context: Tensor) -> SurfacePoint:
    """Newton's method on the conditions of stationarity, as long as it helps, and a last return to the surface."""
    active = torch.ones_like(conditions_of(conditions, point, context))
    jacobian = jacobian_of(conditions, point, context)
    _, rows, inverse = _correction(jacobian, torch.zeros_like(active))
    multiplier = (inverse @ rows @ (value - point)[..., None]).squeeze(-1) / row_lengths(jacobian)
    before = _misfit(value, point, multiplier, conditions, context)
    for _ in range(20):
        closer, sharper = newton_step(value, point, multiplier, active, conditions, context)
        after = _misfit(value, closer, sharper, conditions, context)
        better = after < before
        if not bool(better.any()):
            break
        point = torch.where(better[:, None], closer, point)
        multiplier = torch.where(better[:, None], sharper, multiplier)
        before = torch.where(better, after, before)
    violation = relative_violation(conditions, point, context)
    back, _ = _return(point, conditions, context, times=2)
    closer = relative_violation(conditions, back, context)
    better = closer < violation
    return SurfacePoint(torch.where(better[:, None], back, point), multiplier, torch.where(better, closer, violation))


def _misfit(value: Tensor, point: Tensor, multiplier: Tensor, conditions: Conditions, context: Tensor) -> Tensor:
    """How far a point is from stationary and feasible, `(batch,)`; infinite where something is not finite."""
    jacobian = jacobian_of(conditions, point, context)
    gradient = point - value + (jacobian.mT @ multiplier[..., None]).squeeze(-1)
    reach = torch.maximum(point.abs().amax(dim=-1), value.abs().amax(dim=-1))
    reach = reach.clamp(min=torch.finfo(point.dtype).tiny)
    worst = torch.maximum(
        gradient.abs().amax(dim=-1) / reach, relative_violation(conditions, point, context, value=value)
    )
    return worst.nan_to_num(nan=torch.inf)
