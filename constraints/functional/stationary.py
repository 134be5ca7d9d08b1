"""Nearest points of smooth sets: Newton's method on the conditions of stationarity, differentiable at the solution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Conditions", "newton_step", "residual_scale", "solve_stationary"]

Conditions = Callable[[Tensor, Tensor], Tensor]
"""Residuals `(q,)` of one value `(n,)` and its context `(k,)`; vectorised over the batch by `torch.func.vmap`."""

DAMPING = 1e-12  # of dependent conditions: makes their equations solvable and does not move the solution
ITERATIONS = 60


def newton_step(
    value: Tensor,
    point: Tensor,
    multiplier: Tensor,
    active: Tensor,
    conditions: Conditions,
    context: Tensor,
    *,
    metric: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""One Newton step on :math:`y - v + J^\top\lambda = 0,\ h_i(y) = 0` for active, :math:`\lambda_i = 0` for other i.

    At a solution the step is zero, and its derivatives are those of the solution: the first after one step, the second
    after two.

    Args:
        value: `v`, `(batch, n)`.
        point: `y`, `(batch, n)`.
        multiplier: `lambda`, `(batch, q)`.
        active: `(batch, q)` of 0 and 1.
        conditions: `h`.
        context: `(batch, k)`.
        metric: weight of each coordinate in the distance, `(n,)`; 1 by default.

    Returns:
        The next point and multiplier.

    Example:
        >>> circle = lambda y, _: (y * y).sum(-1, keepdim=True) - 1.0
        >>> v, one = torch.tensor([[2.0, 0.0]]), torch.ones(1, 1)
        >>> newton_step(v, torch.tensor([[1.0, 0.0]]), 0.5 * one, one, circle, torch.zeros(1, 0))[0]
        tensor([[1., 0.]])
    """
    n, q = point.shape[-1], multiplier.shape[-1]
    jacobian = jacobian_of(conditions, point, context) * active[..., None]
    curvature = torch.func.vmap(torch.func.hessian(lambda y, m, c: (m * conditions(y, c)).sum()))(
        point, multiplier * active, context
    )
    residual = conditions_of(conditions, point, context) * active - multiplier * (1.0 - active)
    weight = point.new_ones(n) if metric is None else metric
    gradient = weight * (point - value) + (jacobian.mT @ multiplier[..., None]).squeeze(-1)
    eye = torch.diag(weight)
    corner = torch.diag_embed((1.0 - active) + DAMPING)
    system = torch.cat(
        [torch.cat([eye + curvature, jacobian.mT], dim=-1), torch.cat([jacobian, -corner], dim=-1)], dim=-2
    )
    step, _ = torch.linalg.solve_ex(system, torch.cat([gradient, residual], dim=-1))
    return point - step[..., :n], multiplier - step[..., n : n + q]


def solve_stationary(
    value: Tensor, point: Tensor, active: Tensor, conditions: Conditions, context: Tensor
) -> tuple[Tensor, Tensor]:
    """Points near `point` that are stationary for the distance to `value` on the active conditions, without gradient.

    Damped Gauss-Newton steps, whose curvature is that of the distance alone, lead near; full Newton steps, kept where
    they help, end it.

    Args:
        value: `(batch, n)`.
        point: where to begin, `(batch, n)`.
        active: `(batch, q)` of 0 and 1.
        conditions: the residuals.
        context: `(batch, k)`.

    Returns:
        Points `(batch, n)` and multipliers `(batch, q)`.
    """
    with torch.no_grad():
        multiplier = torch.zeros_like(active)
        for _ in range(ITERATIONS):
            jacobian = jacobian_of(conditions, point, context) * active[..., None]
            residual = conditions_of(conditions, point, context) * active
            gram = jacobian @ jacobian.mT
            size = gram.diagonal(dim1=-2, dim2=-1).amax(dim=-1).clamp(min=torch.finfo(value.dtype).tiny)
            ridge = torch.diag_embed((1.0 - active) + DAMPING * size[:, None])
            aim = residual + (jacobian @ (value - point)[..., None]).squeeze(-1)
            found, _ = torch.linalg.solve_ex(gram + ridge, aim)
            step = value - point - (jacobian.mT @ found[..., None]).squeeze(-1)
            point, multiplier, moved = _damped(value, point, multiplier, step, found, active, conditions, context)
            if not bool(moved.any()):
                break
        for _ in range(20):
            before = _misfit(value, point, multiplier, active, conditions, context)
            closer, sharper = newton_step(value, point, multiplier, active, conditions, context)
            better = _misfit(value, closer, sharper, active, conditions, context) < before
            if not bool(better.any()):
                break
            point = torch.where(better[:, None], closer, point)
            multiplier = torch.where(better[:, None], sharper, multiplier)
    return point, multiplier


def _damped(
    value: Tensor,
    point: Tensor,
    multiplier: Tensor,
    step: Tensor,
    found: Tensor,
    active: Tensor,
    conditions: Conditions,
    context: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The longest of the step's halves that lowers an exact penalty of distance and residuals, for each sample."""
    weight = 2.0 * found.abs().amax(dim=-1) + 1.0

    def merit(at: Tensor) -> Tensor:
        broken = (conditions_of(conditions, at, context) * active).abs().sum(dim=-1)
        return 0.5 * (at - value).square().sum(dim=-1) + weight * broken

    start = merit(point)
    moved = torch.zeros_like(start, dtype=torch.bool)
    result, length = point, 1.0
    for _ in range(12):
        tried = point + length * step
        accepted = ~moved & (merit(tried) < start - 1e-14 * start.abs())
        result = torch.where(accepted[:, None], tried, result)
        moved = moved | accepted
        length /= 2.0
        if bool(moved.all()):
            break
    return result, torch.where(moved[:, None], found, multiplier), moved


def _misfit(
    value: Tensor, point: Tensor, multiplier: Tensor, active: Tensor, conditions: Conditions, context: Tensor
) -> Tensor:
    """How far a point is from stationary and feasible, `(batch,)`; infinite where something is not finite."""
    jacobian = jacobian_of(conditions, point, context) * active[..., None]
    gradient = point - value + (jacobian.mT @ multiplier[..., None]).squeeze(-1)
    scale = residual_scale(point, jacobian)
    residual = conditions_of(conditions, point, context) * active / scale
    reach = (1.0 + point.abs() + value.abs()).amax(dim=-1)
    worst = torch.maximum(gradient.abs().amax(dim=-1) / reach, residual.abs().amax(dim=-1))
    return worst.nan_to_num(nan=torch.inf)


def residual_scale(point: Tensor, jacobian: Tensor) -> Tensor:
    """What residuals are relative to: how much they change where the point moves by its own size, `(batch, q)`."""
    lengths = jacobian.square().sum(dim=-1).sqrt()
    reach = point.abs().amax(dim=-1, keepdim=True).clamp(min=1.0)
    return torch.where(lengths > 0, lengths * reach, 1.0)


def conditions_of(conditions: Conditions, point: Tensor, context: Tensor) -> Tensor:
    """The residuals of every sample, `(batch, q)`."""
    residual: Tensor = torch.func.vmap(conditions)(point, context)
    return residual


def jacobian_of(conditions: Conditions, point: Tensor, context: Tensor) -> Tensor:
    """Their derivatives, `(batch, q, n)`."""
    jacobian: Tensor = torch.func.vmap(torch.func.jacrev(conditions))(point, context)
    return jacobian
