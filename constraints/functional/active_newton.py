"""Nearest points of convex sets to rounding: semismooth Newton from a solver's answer, kinks of norms included."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from constraints.functional.stationary import Conditions, conditions_of, jacobian_of, newton_step, residual_scale

__all__ = ["NormRows", "Polished", "RowLayout", "polish"]

ROUNDING = 1e-14  # misfit at which there is nothing to gain
AUXILIARY = 1e-12  # weight of lifted variables in the distance: holds those that nothing else determines


@final
class NormRows(NamedTuple):
    """Where the rows of one bounded norm stand: `|u| - t <= 0`, and at its kink `u = 0` and `-t <= 0`."""

    bound: int
    parts: tuple[int, ...]
    sign: int


@final
class RowLayout(NamedTuple):
    """What the rows are: equalities, then inequalities, then those that count at the kinks of norms alone.

    Attributes:
        size: `n`, how many leading coordinates are the point; the others are lifted variables.
        equalities: how many.
        inequalities: how many.
        norms: the rows of each norm.
    """

    size: int
    equalities: int
    inequalities: int
    norms: tuple[NormRows, ...] = ()


@final
class Polished(NamedTuple):
    """A point with all that its derivatives need.

    Attributes:
        point: `(batch, n + lifted)`.
        multiplier: `(batch, q)`.
        active: `(batch, q)` of 0 and 1.
        misfit: how far from the conditions of the nearest point, relative, `(batch,)`.
    """

    point: Tensor
    multiplier: Tensor
    active: Tensor
    misfit: Tensor

    def better(self, other: Polished) -> Polished:
        """Each sample's better half."""
        mine = self.misfit <= other.misfit
        point, multiplier, active = (torch.where(mine[:, None], a, b) for a, b in zip(self[:3], other[:3], strict=True))
        return Polished(point, multiplier, active, torch.where(mine, self.misfit, other.misfit))

    def differentiable(self, value: Tensor, conditions: Conditions, context: Tensor, layout: RowLayout) -> Tensor:
        """The point as a function of the value `(batch, n)` and the context, to the second derivative."""
        aim = torch.cat([value, self.point[:, layout.size :]], dim=-1)
        point, multiplier = self.point, self.multiplier
        for _ in range(2):  # two steps from the solution carry its first two derivatives
            point, multiplier = newton_step(
                aim, point, multiplier, self.active, conditions, context, metric=_metric(point, layout)
            )
        return point[:, : layout.size]


def polish(
    value: Tensor,
    point: Tensor,
    multiplier: Tensor,
    conditions: Conditions,
    context: Tensor,
    layout: RowLayout,
    *,
    iterations: int = 15,
) -> Polished:
    r"""Newton steps on the conditions of the nearest point, without gradient, as long as they help.

    A row is active where :math:`\lambda_i |\nabla g_i| + g_i / |\nabla g_i| > 0`. A norm within rounding of the solver
    of 0 is tried at its kink, where its argument is an equality whose multiplier is no longer than the norm's.

    Args:
        value: `(batch, n)`.
        point: near the solution, with the lifted variables, `(batch, n + lifted)`.
        multiplier: near the solution's, `(batch, q)`, 0 for the rows at kinks.
        conditions: all rows `(q,)` of one point.
        context: `(batch, k)`.
        layout: what the rows are.
        iterations: at most so many.

    Example:
        >>> cap = lambda y, _: (y * y).sum(-1, keepdim=True) - 1.0
        >>> v, near = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.99, 0.01]])
        >>> polish(v, near, torch.ones(1, 1), cap, torch.zeros(1, 0), RowLayout(2, 0, 1)).point
        tensor([[1., 0.]])
    """
    with torch.no_grad():
        kinks = point.new_zeros(len(point), len(layout.norms), dtype=torch.bool)
        if layout.norms:
            rows = conditions_of(conditions, point, context)
            reach = 1.0 + point[:, : layout.size].abs().amax(dim=-1, keepdim=True)
            lengths = [rows[:, list(norm.parts)].norm(dim=-1) for norm in layout.norms]
            kinks = torch.stack(lengths, dim=-1) <= 1e-4 * reach
        best = _run(value, point, multiplier, conditions, context, layout, kinks, iterations)
        if bool((kinks.any(dim=-1) & (best.misfit > ROUNDING)).any()):  # near a kink, not at it
            plain = torch.zeros_like(kinks)
            best = _run(value, point, multiplier, conditions, context, layout, plain, iterations).better(best)
    return best


def _run(
    value: Tensor,
    point: Tensor,
    multiplier: Tensor,
    conditions: Conditions,
    context: Tensor,
    layout: RowLayout,
    kinks: Tensor,
    iterations: int,
) -> Polished:
    best: Polished | None = None
    for _ in range(iterations):
        rows, jacobian = conditions_of(conditions, point, context), jacobian_of(conditions, point, context)
        active = _active(multiplier, rows, jacobian, layout, kinks)
        multiplier = multiplier * active
        now = Polished(
            point, multiplier, active, _misfit(value, point, multiplier, active, rows, jacobian, layout, kinks)
        )
        before, best = best, now if best is None else now.better(best)
        if bool((best.misfit <= ROUNDING).all()):
            break
        if before is not None and bool((best.misfit >= before.misfit).all()):
            break
        aim = torch.cat([value, point[:, layout.size :]], dim=-1)
        point, multiplier = newton_step(
            aim, point, multiplier, active, conditions, context, metric=_metric(point, layout)
        )
    assert best is not None
    return best


def _metric(point: Tensor, layout: RowLayout) -> Tensor:
    weight = point.new_full((point.shape[-1],), AUXILIARY)
    weight[: layout.size] = 1.0
    return weight


def _active(multiplier: Tensor, rows: Tensor, jacobian: Tensor, layout: RowLayout, kinks: Tensor) -> Tensor:
    """Which rows count, `(batch, q)`."""
    length = jacobian.square().sum(dim=-1).sqrt().clamp(min=1e-30)
    active = (multiplier * length + rows / length > 0).to(rows.dtype)
    active[:, : layout.equalities] = 1.0
    active[:, layout.equalities + layout.inequalities :] = 0.0
    for i, norm in enumerate(layout.norms):
        kink = kinks[:, i].to(rows.dtype)
        active[:, norm.bound] *= 1.0 - kink
        active[:, [*norm.parts, norm.sign]] = kink[:, None]
    return active


def _misfit(
    value: Tensor,
    point: Tensor,
    multiplier: Tensor,
    active: Tensor,
    rows: Tensor,
    jacobian: Tensor,
    layout: RowLayout,
    kinks: Tensor,
) -> Tensor:
    """The worst of: not stationary, outside, an active row that is not 0, a multiplier of the wrong sign."""
    n, last = layout.size, layout.equalities + layout.inequalities
    counted = (active > 0)[..., None]
    pull = (torch.where(counted, jacobian, 0.0).mT @ multiplier[..., None]).squeeze(-1)
    gradient = torch.cat([point[:, :n] - value + pull[:, :n], pull[:, n:]], dim=-1)
    reach = 1.0 + torch.maximum(point[:, :n].abs().amax(dim=-1), value.abs().amax(dim=-1))
    scale = residual_scale(point, torch.where(jacobian.isfinite(), jacobian, 0.0))
    broken = torch.where(active > 0, rows.abs(), rows.clamp(min=0.0)) / scale
    broken[:, last:] *= active[:, last:]
    wrong = (-multiplier * scale / point.abs().amax(dim=-1, keepdim=True).clamp(min=1.0)).clamp(min=0.0)
    wrong[:, : layout.equalities] = 0.0
    wrong[:, last:] = 0.0
    for i, norm in enumerate(layout.norms):
        over = multiplier[:, list(norm.parts)].norm(dim=-1) - multiplier[:, norm.sign]
        wrong[:, norm.sign] = torch.where(kinks[:, i], over.clamp(min=0.0), 0.0)
    worst = torch.maximum(gradient.abs().amax(dim=-1), wrong.amax(dim=-1)) / reach
    return torch.maximum(worst, broken.amax(dim=-1)).nan_to_num(nan=torch.inf)
