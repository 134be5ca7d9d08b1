"""Nearest points of convex sets to rounding: semismooth Newton from a solver's answer, kinks of norms included."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from scipy.optimize import nnls
from torch import Tensor

from constraints.functional.stationary import (
    Conditions,
    conditions_of,
    curvature_lengths,
    jacobian_of,
    newton_step,
    residual_scale,
    row_lengths,
)

__all__ = ["NormRows", "Polished", "RowLayout", "polish", "supporting_multipliers"]

ROUNDING = 1e-14  # misfit at which there is nothing to gain
NEAR = 1e-7  # distance from a row, relative to the point or the value, at which it may hold the point
PATIENCE = 4  # Newton steps without a gain before it is given up: far from the solution it may come later
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

    def at(self, samples: Tensor) -> Polished:
        """Some samples, by their number."""
        return Polished(*(part[samples] for part in self))

    def put(self, samples: Tensor, other: Polished) -> Polished:
        """Other numbers for some samples."""
        return Polished(*(mine.index_put((samples,), new) for mine, new in zip(self, other, strict=True)))

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
    iterations: int = 25,
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
            reach = torch.maximum(point[:, : layout.size], value).abs().amax(dim=-1, keepdim=True)
            lengths = [rows[:, list(norm.parts)].norm(dim=-1) for norm in layout.norms]
            kinks = torch.stack(lengths, dim=-1) <= 1e-4 * reach
        best = _run(value, point, multiplier, conditions, context, layout, kinks, iterations)
        if bool((kinks.any(dim=-1) & (best.misfit > ROUNDING)).any()):  # near a kink, not at it
            plain = torch.zeros_like(kinks)
            best = _run(value, point, multiplier, conditions, context, layout, plain, iterations).better(best)
    return best


def supporting_multipliers(
    value: Tensor, point: Tensor, conditions: Conditions, context: Tensor, layout: RowLayout
) -> Tensor:
    """Multipliers `(batch, q)` of the rows that hold a point that is almost the nearest: the least squares ones >= 0.

    Args:
        value: `(batch, n)`.
        point: with the lifted variables, `(batch, n + lifted)`.
        conditions: all rows.
        context: `(batch, k)`.
        layout: what the rows are.

    Example:
        >>> cap = lambda y, _: (y * y).sum(-1, keepdim=True) - 1.0
        >>> v, end = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
        >>> supporting_multipliers(v, end, cap, torch.zeros(1, 0), RowLayout(2, 0, 1))
        tensor([[0.5000]])
    """
    n, last = layout.size, layout.equalities + layout.inequalities
    with torch.no_grad():
        rows, jacobian = conditions_of(conditions, point, context), jacobian_of(conditions, point, context)
        lengths = row_lengths(jacobian)
        normals = (jacobian / lengths[..., None]).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        reach = torch.maximum(point[:, :n].abs().amax(dim=-1), value.abs().amax(dim=-1))[:, None]
        near = (rows / lengths).nan_to_num(nan=-torch.inf) >= -NEAR * reach
        near[:, last:] = False
        near[:, : layout.equalities] = True
        aim = torch.cat([value - point[:, :n], torch.zeros_like(point[:, n:])], dim=-1)
        found = torch.zeros_like(rows)
        for i in range(len(point)):
            held = near[i].nonzero().flatten()
            both = torch.cat([held, held[held < layout.equalities]])
            side = torch.cat([torch.ones_like(held), -torch.ones_like(held[held < layout.equalities])])
            if not len(both) or not bool(aim[i].isfinite().all()):
                continue
            size = aim[i].abs().max().clamp(min=torch.finfo(aim.dtype).tiny)
            system = (normals[i, both] * side[:, None]).mT
            try:
                solved = nnls(system.numpy(force=True), (aim[i] / size).numpy(force=True))[0]
            except RuntimeError:  # it took too many steps
                continue
            pulls = torch.as_tensor(solved).to(point) * size * side
            found[i] = found[i].index_add(0, both, pulls)
        multiplier: Tensor = found / lengths
    return multiplier


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
    waited = 0
    for _ in range(iterations):
        rows, jacobian = conditions_of(conditions, point, context), jacobian_of(conditions, point, context)
        active = _active(multiplier, rows, jacobian, layout, kinks)
        multiplier = multiplier * active
        scale = residual_scale(
            point,
            torch.where(jacobian.isfinite(), jacobian, 0.0),
            curvature_lengths(conditions, point, context),
            value=value,
        )
        misfit = _misfit(value, point, multiplier, active, rows, jacobian, scale, layout, kinks)
        now = Polished(point, multiplier, active, misfit)
        before, best = best, now if best is None else now.better(best)
        if bool((best.misfit <= ROUNDING).all()):
            break
        waited = waited + 1 if before is not None and bool((best.misfit >= before.misfit).all()) else 0
        if waited == PATIENCE:
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
    length = row_lengths(jacobian)
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
    scale: Tensor,
    layout: RowLayout,
    kinks: Tensor,
) -> Tensor:
    """The worst of: not stationary, outside, an active row that is not 0, a multiplier of the wrong sign."""
    n, last = layout.size, layout.equalities + layout.inequalities
    lengths = row_lengths(jacobian)
    tensions = multiplier * lengths  # in the unit of distance
    normals = torch.where((active > 0)[..., None], jacobian / lengths[..., None], 0.0)
    pull = (normals.mT @ tensions[..., None]).squeeze(-1)
    share = normals.abs().amax(dim=-2)
    lifted = pull[:, n:] / torch.where(share > 0, share, 1.0)[:, n:]
    gradient = torch.cat([point[:, :n] - value + pull[:, :n], lifted], dim=-1)
    reach = torch.maximum(point[:, :n].abs().amax(dim=-1), value.abs().amax(dim=-1))
    reach = reach.clamp(min=torch.finfo(value.dtype).tiny)
    broken = torch.where(active > 0, rows.abs(), rows.clamp(min=0.0)) / scale
    broken[:, last:] *= active[:, last:]
    wrong = (-tensions).clamp(min=0.0)
    wrong[:, : layout.equalities] = 0.0
    wrong[:, last:] = 0.0
    for i, norm in enumerate(layout.norms):
        over = multiplier[:, list(norm.parts)].norm(dim=-1) - multiplier[:, norm.sign]
        wrong[:, norm.sign] = torch.where(kinks[:, i], over.clamp(min=0.0), 0.0)
    worst = torch.maximum(gradient.abs().amax(dim=-1), wrong.amax(dim=-1)) / reach
    return torch.maximum(worst, broken.amax(dim=-1)).nan_to_num(nan=torch.inf)
