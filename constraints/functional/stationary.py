"""Conditions of the nearest point of a smooth set: Newton's step on them, differentiable at the solution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from constraints.functional.certificate import certified_tolerance

__all__ = ["Conditions", "SlopeChecked", "newton_step", "residual_scale"]

Conditions = Callable[[Tensor, Tensor], Tensor]
"""Residuals `(q,)` of one value `(n,)` and its context `(k,)`; vectorised over the batch by `torch.func.vmap`."""


@runtime_checkable
class SlopeChecked(Protocol):
    """Conditions that know where they have no slope, as a root where its argument is 0."""

    def require_slopes(self, value: Tensor, context: Tensor) -> None:
        """Raise `NonFiniteError` if a residual has no slope at one of the values `(batch, n)`."""
        ...


DAMPING = 1e-12  # of dependent conditions: makes their equations solvable and does not move the solution


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
    after two. Every condition is brought to a gradient of length one first, so that their units do not matter.

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
    lengths = row_lengths(jacobian)
    jacobian = jacobian / lengths[..., None]
    scaled = multiplier * lengths
    residual = (conditions_of(conditions, point, context) / lengths) * active - scaled * (1.0 - active)
    curvature = curvature_of(conditions, point, context, multiplier * active)
    weight = point.new_ones(n) if metric is None else metric
    gradient = weight * (point - value) + (jacobian.mT @ scaled[..., None]).squeeze(-1)
    eye = torch.diag(weight)
    stiffness = 1.0 + curvature.detach().abs().amax(dim=(-2, -1)).nan_to_num(nan=0.0, posinf=0.0)
    corner = torch.diag_embed((1.0 - active) + DAMPING / stiffness[:, None])
    system = torch.cat(
        [torch.cat([eye + curvature, jacobian.mT], dim=-1), torch.cat([jacobian, -corner], dim=-1)], dim=-2
    )
    step, _ = torch.linalg.solve_ex(system, torch.cat([gradient, residual], dim=-1))
    return point - step[..., :n], (scaled - step[..., n : n + q]) / lengths


def residual_scale(
    point: Tensor, jacobian: Tensor, curvature: Tensor, *, value: Tensor | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    r"""What residuals are relative to: how much they change where each coordinate moves by its own size, `(batch, q)`.

    That is :math:`\sum_j |J_{ij}|\,|y_j|`, which has the unit of the residual and shrinks with the set. What rounding
    in float64 does to the value, and to terms that cancel within a curved condition (a radius of curvature, one at
    most), is added.

    Args:
        point: `y`, `(batch, n)`.
        jacobian: `(batch, q, n)`.
        curvature: length of the second derivatives of each condition, `(batch, q)`.
        value: what was projected, `(batch, n)`, where something was.
        dtype: of the value as the user gave it; that of the point by default.
    """
    lengths = jacobian.square().sum(dim=-1).sqrt()
    moved = (jacobian.abs() @ point.detach().abs()[..., None]).squeeze(-1)
    radius = torch.where(curvature > 0, lengths / curvature.clamp(min=torch.finfo(point.dtype).tiny), 0.0)
    reach = radius.clamp(max=1.0)
    if value is not None:
        reach = reach + value.detach().abs().amax(dim=-1, keepdim=True)
    rounding = 64.0 * torch.finfo(torch.float64).eps / certified_tolerance(dtype or point.dtype)
    return (moved + rounding * lengths * reach).clamp(min=torch.finfo(point.dtype).tiny)


def row_lengths(jacobian: Tensor) -> Tensor:
    """Length of each gradient without its own, `(batch, q)`; 1 where it is 0 or not finite."""
    lengths = jacobian.detach().square().sum(dim=-1).sqrt()
    return torch.where((lengths > 0) & lengths.isfinite(), lengths, 1.0)


def conditions_of(conditions: Conditions, point: Tensor, context: Tensor) -> Tensor:
    """The residuals of every sample, `(batch, q)`."""
    residual: Tensor = torch.func.vmap(conditions)(point, context)
    return residual


def jacobian_of(conditions: Conditions, point: Tensor, context: Tensor) -> Tensor:
    """Their derivatives, `(batch, q, n)`."""
    jacobian: Tensor = torch.func.vmap(torch.func.jacrev(conditions))(point, context)
    return jacobian


def curvature_of(conditions: Conditions, point: Tensor, context: Tensor, multiplier: Tensor) -> Tensor:
    """The second derivatives of `multiplier @ conditions`, `(batch, n, n)`.

    Twice in reverse mode: `torch.func.hessian` is forward over reverse, whose levels are shared by all threads.
    """

    def combined(y: Tensor, m: Tensor, c: Tensor) -> Tensor:
        return (m * conditions(y, c)).sum()

    curvature: Tensor = torch.func.vmap(torch.func.jacrev(torch.func.jacrev(combined)))(point, multiplier, context)
    return curvature


def curvature_lengths(conditions: Conditions, point: Tensor, context: Tensor) -> Tensor:
    """Length of the second derivatives of each condition, `(batch, q)`; 0 where they are not finite."""
    each: Tensor = torch.func.vmap(torch.func.jacrev(torch.func.jacrev(conditions)))(point, context)
    lengths = each.square().sum(dim=(-1, -2)).sqrt()
    return torch.where(lengths.isfinite(), lengths, 0.0)
