"""Nearest points of convex sets by supporting hyperplanes: slow, but at home at any scale and from any distance."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

from constraints.functional.polytope import factorise_polytope, solve_polytope
from constraints.functional.stationary import Conditions, conditions_of, jacobian_of, row_lengths

__all__ = ["Approach", "nearest_by_planes"]

BISECTIONS = 80
BACK = 1e-9  # of the way to the inner point, where an end has no tangents
CLOSE = 1e-13  # how far outside, relative to its own size, a point still counts as inside


@final
class Approach(NamedTuple):
    """A point `(batch, n)`, and whether the planes prove that there is none, `(batch,)`."""

    point: Tensor
    empty: Tensor


def nearest_by_planes(
    value: Tensor,
    conditions: Conditions,
    context: Tensor,
    *,
    equalities: int,
    inner: Tensor,
    rounds: int = 120,
) -> Approach:
    """The nearest point of a convex set, without gradient, as that of a polytope of ever more supporting hyperplanes.

    Each round projects the value onto the polytope so far, and cuts off the answer by the tangents of the conditions:
    where a strictly inner point is known at the end of the set on the way to it, else at the answer itself. Each cut
    is in units of distance, so that no scale matters.

    Args:
        value: `(batch, n)`, float64.
        conditions: rows `(q,)` of one point: first affine equalities, then convex functions that must be at most 0.
            Ends of domains must be among them, as affine rows.
        context: `(batch, k)`.
        equalities: how many rows are equalities.
        inner: a strictly inner point of each sample, `(batch, n)`; NaN where none is known.
        rounds: at most so many.

    Source: Veinott, "The supporting hyperplane method for unimodal programming", Operations Research 15, 1967,
        doi:10.1287/opre.15.1.147; Kelley, "The cutting-plane method for solving convex programs", J. SIAM 8, 1960,
        doi:10.1137/0108053.

    Example:
        >>> disc = lambda y, _: (y * y).sum(-1, keepdim=True) - 1e-20
        >>> v, none = torch.tensor([[3.0, 4.0]]).double(), torch.zeros(1, 0).double()
        >>> nearest_by_planes(v, disc, none, equalities=0, inner=torch.zeros(1, 2).double()).point * 1e10
        tensor([[0.6000, 0.8000]], dtype=torch.float64)
    """
    with torch.no_grad():
        point, empty = value.clone(), torch.zeros(len(value), dtype=torch.bool, device=value.device)
        left = torch.arange(len(value), device=value.device)
        system: _Planes | None = None
        for _ in range(rounds):
            at = _ends(point[left], conditions, context[left], equalities, inner[left])
            at = _with_tangents(at, conditions, context[left], inner[left])
            fresh = _planes(at, conditions, context[left], equalities)
            system = fresh if system is None else system.joined(fresh)
            found, certificate = solve_polytope(
                value[left],
                factorise_polytope(system.rows, system.equal),
                torch.full_like(system.levels, -torch.inf),
                system.levels,
                system.target,
            )
            still = (found - point[left]).abs().amax(dim=-1) <= CLOSE * found.abs().amax(dim=-1)
            point, empty = point.index_copy(0, left, found), empty.index_copy(0, left, certificate.empty)
            go = ~still & ~certificate.empty
            go = go & (_distance_outside(found, conditions, context[left], equalities) > CLOSE)
            left = left[go]
            if not len(left):
                break
            system = system.only(go)
    return Approach(point, empty)


@final
class _Planes(NamedTuple):
    """`rows y <= levels`, `equal y = target`, rows of length one."""

    rows: Tensor
    levels: Tensor
    equal: Tensor
    target: Tensor

    def joined(self, other: _Planes) -> _Planes:
        """More inequalities; the equalities stay."""
        return _Planes(
            torch.cat([self.rows, other.rows], dim=1),
            torch.cat([self.levels, other.levels], dim=1),
            self.equal,
            self.target,
        )

    def only(self, chosen: Tensor) -> _Planes:
        """The samples that are left."""
        return _Planes(*(part[chosen] for part in self))


def _planes(point: Tensor, conditions: Conditions, context: Tensor, equalities: int) -> _Planes:
    """The tangents of all conditions at a point; what has none becomes a row that says nothing."""
    residual, jacobian = conditions_of(conditions, point, context), jacobian_of(conditions, point, context)
    finite = residual.isfinite() & jacobian.isfinite().all(dim=-1) & (jacobian != 0).any(dim=-1)
    lengths = row_lengths(jacobian)
    rows = torch.where(finite[..., None], jacobian / lengths[..., None], 0.0)
    distance = torch.where(finite, residual / lengths, 0.0)
    levels = (rows @ point[..., None]).squeeze(-1) - distance
    k = equalities
    above = torch.where(finite[:, k:], levels[:, k:], torch.inf)
    return _Planes(rows[:, k:], above, rows[:, :k], levels[:, :k])


def _ends(point: Tensor, conditions: Conditions, context: Tensor, equalities: int, inner: Tensor) -> Tensor:
    """Where the set ends on the way from its inner point to one outside; the point itself where no inner is known."""

    def inside(at: Tensor) -> Tensor:
        return (conditions_of(conditions, at, context)[:, equalities:] <= 0).all(dim=-1)  # NaN is not

    known = inner.isfinite().all(dim=-1)
    start = torch.where(known[:, None], inner, point)
    known = known & inside(start) & ~inside(point)
    low, high = point.new_zeros(len(point)), point.new_ones(len(point))
    for _ in range(BISECTIONS if bool(known.any()) else 0):
        middle = (low + high) / 2.0
        within = inside(start + middle[:, None] * (point - start))
        low, high = torch.where(within, middle, low), torch.where(within, high, middle)
    return torch.where(known[:, None], start + low[:, None] * (point - start), point)


def _with_tangents(at: Tensor, conditions: Conditions, context: Tensor, inner: Tensor) -> Tensor:
    """The ends, a little nearer to the inner point where a slope is infinite, as that of a root at 0."""
    broken = ~jacobian_of(conditions, at, context).isfinite().flatten(1).all(dim=-1) & inner.isfinite().all(dim=-1)
    return torch.where(broken[:, None], at + BACK * (inner - at), at)


def _distance_outside(point: Tensor, conditions: Conditions, context: Tensor, equalities: int) -> Tensor:
    """The largest distance from a tangent that is violated, relative to the point, `(batch,)`."""
    residual, jacobian = conditions_of(conditions, point, context), jacobian_of(conditions, point, context)
    away = residual / row_lengths(jacobian)
    away = torch.cat([away[:, :equalities].abs(), away[:, equalities:].clamp(min=0.0)], dim=-1).amax(dim=-1)
    size = point.abs().amax(dim=-1).clamp(min=torch.finfo(point.dtype).tiny)
    return (away / size).nan_to_num(nan=torch.inf)
