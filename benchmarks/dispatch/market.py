"""Demands, and the cheapest dispatch that the network can carry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

from benchmarks.dispatch.case14 import CAPACITY, COST, DEMAND, LIMITS, transfer_factors

__all__ = ["cheapest_dispatch", "cost", "demands", "flows"]

Array = NDArray[np.float64]


def demands(count: int, rng: np.random.Generator) -> Array:
    """Demands in per unit, `(count, 11)`: a common level, times a factor at each bus.

    The level is uniform in 0.7 to 1.2 of the nominal demand; the factor is normal with mean 1 and standard deviation
    0.15, kept within 0.5 and 1.5.
    """
    level = rng.uniform(0.7, 1.2, size=(count, 1))
    local = rng.normal(1.0, 0.15, size=(count, len(DEMAND))).clip(0.5, 1.5)
    found: Array = level * local * DEMAND
    return found


def cost(dispatch: Array) -> Array:
    """Cost of a dispatch in per unit, `(*batch, 5)`, in $/h, `(*batch,)`."""
    quadratic, linear = COST
    total: Array = (quadratic * dispatch**2 + linear * dispatch).sum(axis=-1)
    return total


def flows(dispatch: Array, demand: Array) -> Array:
    """Flow in each line in per unit, `(*batch, 20)`; the slack bus makes up for what generation lacks."""
    by_generator, by_load = transfer_factors()
    found: Array = dispatch @ by_generator.T - demand @ by_load.T
    return found


def cheapest_dispatch(demand: Array) -> Array:
    """The cheapest dispatch that meets the demand within all limits, by SLSQP.

    Args:
        demand: one sample, `(11,)`, in per unit.

    Returns:
        `(5,)`, in per unit.

    Raises:
        RuntimeError: no such dispatch was found; the message says what it violates.

    Example:
        >>> cheapest_dispatch(0.5 * DEMAND).round(3) + 0.0
        array([1.105, 0.19 , 0.   , 0.   , 0.   ])
    """
    quadratic, linear = COST
    by_generator, by_load = transfer_factors()
    rows = np.concatenate([by_generator, -by_generator])
    base = by_load @ demand
    room = np.concatenate([LIMITS + base, LIMITS - base])
    total = demand.sum()
    scale = linear.max()  # so that the objective is of order 1
    found: OptimizeResult = minimize(  # type: ignore[call-overload]
        lambda g: float((quadratic * g * g + linear * g).sum()) / scale,
        CAPACITY * total / CAPACITY.sum(),
        jac=lambda g: (2.0 * quadratic * g + linear) / scale,
        method="SLSQP",
        bounds=[(0.0, high) for high in CAPACITY],
        constraints=[
            {"type": "eq", "fun": lambda g: g.sum() - total, "jac": lambda g: np.ones((1, len(g)))},
            {"type": "ineq", "fun": lambda g: room - rows @ g, "jac": lambda g: -rows},
        ],
        options={"maxiter": 200, "ftol": 1e-12},
    )
    g: Array = found.x
    limits = np.concatenate([rows @ g - room, g - CAPACITY, -g])
    worst = max(abs(float(g.sum() - total)), float(limits.max()))
    if worst > 1e-7:
        raise RuntimeError(f"no dispatch within the limits was found: {found.message}; it violates by {worst:.3g}")
    return g
