"""Shifts towards a common point of convex sets by supporting hyperplanes: at home at any distance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    r"""Parts :math:`p_i` of :math:`v - y`, each normal to its set near the nearest common point `y`, without gradient.

    Each round projects the value onto a polytope, and adds to it the hyperplane at the nearest point of each set from
    which the answer is away. The parts are the multipliers of the hyperplanes of each set.

    Args:
        value: `v`, `(batch, n)`, float64.
        projections: onto each set.
        contexts: of each set, `(batch, k_i)`.
        rounds: at most so many.

    Returns:
        The parts, `(batch, sets, n)`.

    Source: Kelley, "The cutting-plane method for solving convex programs", J. SIAM 8, 1960, doi:10.1137/0108053.

    Example:
        >>> cap, flat = lambda v, c: v.clamp(max=1.0), lambda v, c: v - v.mean(-1, keepdim=True)
        >>> v, none = torch.tensor([[3e6, 0.0]]).double(), torch.zeros(1, 0)
        >>> v - shifts_by_planes(v, [cap, flat], [none, none]).sum(dim=1)
        tensor([[ 1.0000, -1.0000]], dtype=torch.float64)
    """
    count, n = len(projections), value.shape[-1]
    aims: Numbers = value.numpy(force=True)
    held = [(np.zeros((0, n)), np.zeros(0), np.zeros(0, dtype=int)) for _ in aims]
    parts = np.zeros((len(aims), count, n))
    left, point = np.arange(len(aims)), value.detach().clone()
    for _ in range(rounds):
        some = torch.as_tensor(left, device=value.device)
        with torch.no_grad():
            ends = [p(point[some], c[some]) for p, c in zip(projections, contexts, strict=True)]
        reached: Numbers = torch.stack(ends, dim=1).numpy(force=True)
        at: Numbers = point[some].numpy(force=True)
        go = []
        for j, i in enumerate(left):
            away = at[j] - reached[j]
            distance = np.linalg.norm(away, axis=-1)
            fresh = np.flatnonzero((distance > ROUNDING * np.abs(aims[i]).max()) & np.isfinite(distance))
            rows = np.concatenate([held[i][0], away[fresh] / distance[fresh, None]])
            levels = np.concatenate([held[i][1], (rows[len(held[i][1]) :] * reached[j, fresh]).sum(axis=-1)])
            sets = np.concatenate([held[i][2], fresh])
            pulls = _pulls(aims[i], rows, levels)
            if pulls is None:
                continue
            kept = pulls > 0  # the others do not hold the point, and do not change the answer
            held[i] = rows[kept], levels[kept], sets[kept]
            parts[i] = 0.0
            np.add.at(parts[i], sets[kept], pulls[kept, None] * rows[kept])
            now = aims[i] - parts[i].sum(axis=0)
            if np.abs(now - at[j]).max() > CLOSE * np.abs(now).max():
                go.append(i)
            point[i] = torch.as_tensor(now)
        left = np.array(go, dtype=int)
        if not len(left):
            break
    return torch.as_tensor(parts).to(value)


def _pulls(value: Numbers, rows: Numbers, levels: Numbers) -> Numbers | None:
    """The multipliers of the nearest point of `rows y <= levels`: a least distance program, by least squares >= 0.

    Source: Lawson and Hanson, "Solving least squares problems", 1974, chapter 23.
    """
    beyond = rows @ value - levels
    size = np.abs(beyond).max(initial=0.0)
    if not size > 0:
        return np.zeros(len(levels))
    system = np.concatenate([-rows.T, beyond[None] / size])
    right = np.zeros(len(system))
    right[-1] = 1.0
    try:
        weights, _ = nnls(system, right)
    except RuntimeError:  # it took too many steps
        return None
    rest = 1.0 - system[-1] @ weights
    return None if not rest > 0 else size * weights / rest
