"""A point well inside an intersection of convex sets, found by linear programs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog, minimize
from torch import Tensor

from constraints.errors import InfeasibleError, SpecificationError
from constraints.sets.affine import Affine
from constraints.sets.balls import L1Ball, L2Ball, LinfBall
from constraints.sets.cones import SecondOrderCone
from constraints.sets.constraint import Constraint, RayTraceable
from constraints.sets.quadratic import Quadratic

__all__ = ["find_interior", "null_space"]

Array = NDArray[np.float64]

REACHES = (1.0, 1e3, 1e6)  # how far from the starting point to look, in this order
FARTHER = (1e-3, 1e-6, 1e-9, 1e-12, 1e9, 1e12)  # where nothing was found there
ROUNDS = 30  # of cutting planes; curved sets of many dimensions need more, and go on by descent


def null_space(equality: Affine) -> Tensor:
    """Orthonormal basis of the directions along linear equalities, `(n, k)`."""
    _, values, rows = torch.linalg.svd(equality.matrix)
    rank = int((values > values.max() * max(equality.matrix.shape) * torch.finfo(values.dtype).eps).sum())
    basis: Tensor = rows[rank:].mT.contiguous()
    return basis


def find_interior(sets: Sequence[Constraint], size: int, equality: Affine | None = None) -> Tensor:
    r"""A point strictly inside convex sets, as deep as a ball fits where that is bounded.

    Central cutting planes: each convex residual is replaced by its tangents, a linear program finds the centre of the
    largest ball between these, and tangents are added there until the centre lies inside. The first tangents are taken
    where rays from a known inner point of a single set leave it, so that balls and boxes are centred at once. Where
    no largest ball exists (a cone, a half-space) the point is looked for near the origin. Curved sets of many
    dimensions would need too many tangents: from the last centre a smoothed maximum of the residuals is then descended
    (L-BFGS), whose end is inside but not quite as deep.

    Args:
        sets: convex sets, inequalities only.
        size: `n`.
        equality: linear equalities with a fixed target, or None.

    Returns:
        `(n,)`, float64, on the equalities.

    Raises:
        InfeasibleError: no point lies strictly inside.
        SpecificationError: none was found, which does not prove that there is none.

    Source: Elzinga and Moore, "A central cutting plane algorithm for the convex programming problem", Mathematical
        Programming 8, 1975, doi:10.1007/BF01580439.

    Example:
        >>> from constraints.sets import Box
        >>> find_interior([Box(low=[0.0, 1.0], high=[4.0, 5.0])], 2).round(decimals=3)
        tensor([2., 3.], dtype=torch.float64)
    """
    if equality is None:
        start, basis = torch.zeros(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64)
    else:
        start, basis = equality.project(torch.zeros(size, dtype=torch.float64)), null_space(equality)
    cuts = [cut for part in sets for point in (start, *_probes(part, size)) for cut in _cuts(part, point, start, basis)]
    found: Tensor | None = None
    for reach in (*REACHES, *FARTHER):
        if reach in FARTHER and found is not None:
            break
        point, depth = _search(sets, start, basis, cuts, reach)
        if point is not None and found is None:
            found = point
        if point is not None and depth < reach / 4:  # the sets bound the ball, not our reach
            return point
    if found is None:
        names = ", ".join(f"`{type(part).__name__}`" for part in sets)
        raise InfeasibleError(
            f"no point was found strictly inside {names}"
            f"{'' if equality is None else ' and on the equalities'} within {FARTHER[-1]:g} of the origin"
        )
    return found


def _search(
    sets: Sequence[Constraint], start: Tensor, basis: Tensor, cuts: list[tuple[Array, float]], reach: float
) -> tuple[Tensor | None, float]:
    """A point strictly inside and the radius of the largest ball about it, or None where there is none in reach."""
    point = start
    for _ in range(ROUNDS):
        centre = _centre(cuts, basis.shape[1], reach)
        if centre is None:
            return None, 0.0
        steps, depth = centre
        point = start + basis @ torch.from_numpy(steps)
        # Deep enough is a tenth of the ball: a ray from next to the boundary would have a gauge of next to infinity.
        fresh = [cut for part in sets for cut in _cuts(part, point, start, basis, shallower=0.1 * depth)]
        if not fresh:
            return point, depth
        cuts += fresh
    point = _descend(sets, point, basis)
    if any(bool(part.residual(point).max() >= -part.tolerance(point)) for part in sets):
        raise SpecificationError(
            f"`RayMap` needs an interior point here, got none: {ROUNDS} rounds of cutting planes and a descent from "
            f"there found no point strictly inside"
        )
    return point, 0.0


def _descend(sets: Sequence[Constraint], point: Tensor, basis: Tensor) -> Tensor:
    """Descend the maximum of all residuals, in units of distance, smoothed less and less."""
    slopes = [slope for part in sets for slope, _ in _cuts(part, point, point, basis)]
    sizes = torch.tensor([float(np.linalg.norm(slope)) or 1.0 for slope in slopes], dtype=torch.float64)

    def residuals(steps: Tensor) -> Tensor:
        y = point + basis @ steps
        return torch.cat([part.residual(y) for part in sets]) / sizes

    def smoothed(steps: Array, width: float) -> tuple[float, Array]:
        with torch.enable_grad():
            at = torch.from_numpy(steps).requires_grad_()
            height = width * torch.logsumexp(residuals(at) / width, dim=0)
            (slope,) = torch.autograd.grad(height, at)
        return float(height.detach()), slope.numpy()

    steps: Array = np.zeros(basis.shape[1])
    spread = float(residuals(torch.from_numpy(steps)).abs().max()) or 1.0
    for width in (1.0, 0.1, 0.01, 0.001):
        steps = minimize(smoothed, steps, args=(spread * width,), jac=True, method="L-BFGS-B").x
    return point + basis @ torch.from_numpy(steps)


def _centre(cuts: list[tuple[Array, float]], k: int, reach: float) -> tuple[Array, float] | None:
    """Centre and radius of the largest ball below all cuts; of near ties the one nearest to the start."""
    slopes = np.array([slope for slope, _ in cuts]).reshape(-1, k)
    levels = np.array([level for _, level in cuts])
    norms = np.linalg.norm(slopes, axis=1)
    if bool(np.any((norms == 0) & (levels <= 0))):
        return None  # flat where it is not negative: the least value of that residual
    sizes = np.where(norms > 0, norms, np.maximum(np.abs(levels), 1.0))
    slopes, levels, norms = slopes / sizes[:, None], levels / sizes, norms / sizes
    # Everything in units of the reach, which is what the solver's tolerances are made for.
    rows = np.hstack([slopes, norms[:, None]])
    bounds = [(-1.0, 1.0)] * k + [(0.0, 0.5)]
    best = linprog(np.r_[np.zeros(k), -1.0], A_ub=rows, b_ub=levels / reach, bounds=bounds)
    if best.x is None or best.x[-1] <= 1e-7:
        return None
    radius = float(best.x[-1])
    if radius < 0.25:
        return np.asarray(best.x[:k] * reach), radius * reach
    near = linprog(
        np.r_[np.zeros(k + 1), np.ones(k)],
        A_ub=np.vstack(
            [
                np.hstack([rows, np.zeros((len(rows), k))]),
                np.hstack([np.eye(k), np.zeros((k, 1)), -np.eye(k)]),
                np.hstack([-np.eye(k), np.zeros((k, 1)), -np.eye(k)]),
            ]
        ),
        b_ub=np.r_[levels / reach, np.zeros(2 * k)],
        bounds=[*bounds[:k], (radius * (1.0 - 1e-6), 0.5), *([(0.0, None)] * k)],
    )
    chosen = best.x if near.x is None else near.x
    return np.asarray(chosen[:k] * reach), radius * reach


def _cuts(
    part: Constraint, point: Tensor, start: Tensor, basis: Tensor, *, shallower: float = math.inf
) -> list[tuple[Array, float]]:
    """Tangents of the residuals at a point not deeper inside than `shallower`, as `slope @ z <= level`.

    Here `y = start + basis @ z`.
    """
    with torch.enable_grad():
        at = point.detach().clone().requires_grad_()
        residual = part.residual(at)
        cuts = []
        for value in residual:
            (slope,) = torch.autograd.grad(value, at, retain_graph=True)
            along = basis.mT @ slope
            inside = -float(value.detach())
            if shallower < math.inf and inside > max(float(part.tolerance(point)), shallower * float(along.norm())):
                continue
            cuts.append((along.numpy(), float(slope @ (point - start)) + inside))
    return cuts


def _probes(part: Constraint, size: int) -> list[Tensor]:
    """Boundary points on the axes through an inner point of a set: there its tangents bound it like a box."""
    inner: Tensor | None = None
    if isinstance(part, L1Ball | L2Ball | LinfBall):
        inner = part.center.expand(size)
    elif isinstance(part, Quadratic):
        inner = part.lowest
    elif isinstance(part, SecondOrderCone):
        inner = torch.zeros(size, dtype=torch.float64)
        inner[-1] = 1.0
    if inner is None or not isinstance(part, RayTraceable) or not bool(part.residual(inner).max() < 0):
        return []
    axes = torch.cat([torch.eye(size, dtype=torch.float64), -torch.eye(size, dtype=torch.float64)])
    gauges = part.gauge(inner.expand(2 * size, size), axes)
    return [inner + axis / gauge for axis, gauge in zip(axes, gauges, strict=True) if gauge > 0]
