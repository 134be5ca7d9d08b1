"""Shifts from a value to the nearest common point of convex sets, by the cutting-plane method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor

__all__ = ["shifts_by_planes"]

ROUNDING = 64.0 * np.finfo(np.float64).eps  # of the value: less far away, a point counts as inside
CLOSE = 1e-12  # of its size, by how much a point may still move

Numbers = NDArray[np.float64]


def shifts_by_planes(
    value: Tensor,
    projections: Sequence[Callable[[Tensor, Tensor], Tensor]],
    contexts: Sequence[Tensor],
    *,
    rounds: int = 100,
) -> Tensor:
    r"""Compute shifts :math:`p_i` whose sum is :math:`v - y`, each normal to its set near the nearest common point `y`.

    Each round projects the value onto a polytope. The polytope then gets the supporting hyperplane of each set at the
    nearest point of the set to that projection. A shift is the sum of the normals of its set, by their multipliers.
    Nothing is differentiated.

    Args:
        value: `v`, `(batch, n)`, float64.
        projections: onto each set.
        contexts: of each set, `(batch, k_i)`.
        rounds: at most so many.

    Returns:
        The shifts, `(batch, sets, n)`.

    Source: Kelley, "The cutting-plane method for solving convex programs", J. SIAM 8, 1960, doi:10.1137/0108053.

    Example:
        >>> cap, flat = lambda v, c: v.clamp(max=1.0), lambda v, c: v - v.mean(-1, keepdim=True)
        >>> v, none = torch.tensor([[3e6, 0.0]]).double(), torch.zeros(1, 0)
        >>> v - shifts_by_planes(v, [cap, flat], [none, none]).sum(dim=1)
        tensor([[ 1.0000, -1.0000]], dtype=torch.float64)
    """
    values: Numbers = value.numpy(force=True)
    count, n = len(projections), values.shape[-1]
    active = [_Hyperplanes(np.zeros((0, n)), np.zeros(0), np.zeros(0, dtype=int)) for _ in values]
    shifts = np.zeros((len(values), count, n))
    point, remaining = value.detach().clone(), list(range(len(values)))
    for _ in range(rounds):
        nearest = _nearest_points(point, remaining, projections, contexts)
        unfinished = []
        for i, ends in zip(remaining, nearest, strict=True):
            before: Numbers = point[i].numpy(force=True)
            hyperplanes = active[i].extended(before, ends, ROUNDING * np.abs(values[i]).max())
            multipliers = _multipliers(values[i], hyperplanes)
            if multipliers is None:
                continue
            shifts[i] = hyperplanes.sums(multipliers, count)
            active[i] = hyperplanes.only(multipliers > 0)  # inactive hyperplanes do not change the projection
            after = values[i] - shifts[i].sum(axis=0)
            if np.abs(after - before).max() > CLOSE * np.abs(after).max():
                unfinished.append(i)
            point[i] = torch.as_tensor(after)
        remaining = unfinished
        if not remaining:
            break
    return torch.as_tensor(shifts).to(value)


@final
class _Hyperplanes(NamedTuple):
    """Half-spaces `normals y <= levels`, their normals of length one, and the set that each of them contains."""

    normals: Numbers
    levels: Numbers
    sets: NDArray[np.intp]

    def extended(self, point: Numbers, ends: Numbers, rounding: float) -> _Hyperplanes:
        """With the supporting hyperplane at the end `(sets, n)` of each set that is further from the point."""
        away = point - ends
        distance = np.linalg.norm(away, axis=-1)
        fresh = np.flatnonzero((distance > rounding) & np.isfinite(distance))
        normals = away[fresh] / distance[fresh, None]
        levels = (normals * ends[fresh]).sum(axis=-1)
        return _Hyperplanes(
            np.concatenate([self.normals, normals]),
            np.concatenate([self.levels, levels]),
            np.concatenate([self.sets, fresh]),
        )

    def only(self, chosen: NDArray[np.bool_]) -> _Hyperplanes:
        """Some of them."""
        return _Hyperplanes(self.normals[chosen], self.levels[chosen], self.sets[chosen])

    def sums(self, multipliers: Numbers, count: int) -> Numbers:
        """The sum of the normals of each set, by their multipliers, `(sets, n)`."""
        sums = np.zeros((count, self.normals.shape[-1]))
        np.add.at(sums, self.sets, multipliers[:, None] * self.normals)
        return sums


def _nearest_points(
    point: Tensor,
    samples: Sequence[int],
    projections: Sequence[Callable[[Tensor, Tensor], Tensor]],
    contexts: Sequence[Tensor],
) -> Numbers:
    """The nearest point of each set to some of the points, `(samples, sets, n)`."""
    with torch.no_grad():
        ends = [project(point[samples], c[samples]) for project, c in zip(projections, contexts, strict=True)]
    nearest: Numbers = torch.stack(ends, dim=1).numpy(force=True)
    return nearest


def _multipliers(value: Numbers, hyperplanes: _Hyperplanes) -> Numbers | None:
    """The multipliers of the projection onto the half-spaces: a least distance program, by least squares >= 0.

    Source: Lawson and Hanson, "Solving least squares problems", 1974, chapter 23.
    """
    beyond = hyperplanes.normals @ value - hyperplanes.levels
    size = np.abs(beyond).max(initial=0.0)
    if not size > 0:
        return np.zeros(len(beyond))
    system = np.concatenate([-hyperplanes.normals.T, beyond[None] / size])
    right = np.zeros(len(system))
    right[-1] = 1.0
    try:
        weights, _ = nnls(system, right)
    except RuntimeError:  # it took too many steps
        return None
    residual = 1.0 - system[-1] @ weights
    return None if not residual > 0 else size * weights / residual
