r"""Lorenz' three equations, whose three numbers are sought from noisy samples of the motion.

    x' = sigma (y - x),   y' = x (rho - z) - y,   z' = x y - beta z,   t in [0, 3],   (x, y, z)(0) = (-8, 7, 27)

with sigma = 10, rho = 15, beta = 8/3: at rho = 15 the motion comes to rest, it is not chaotic. The reference is that of
DOP853 at tolerances of 1e-12.

`positive`: with w = z - x^2 / (2 sigma), w' = -beta w + (1 - beta / (2 sigma)) x^2, so that w >= 0 once stays so where
beta <= 2 sigma; hence z > 0 from this start (w = 23.8), of which no number needs to be known but that beta <= 2 sigma.

Source: Lu et al., "DeepXDE: a deep learning library for solving differential equations", SIAM Rev. 63, 2021,
doi:10.1137/19M1274067; Lorenz, 1963, doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

import numpy as np
import sympy
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from benchmarks.fields.spectral import Array
from constraints import FieldRule, Learnable, Measurements, OutputRule, declare
from constraints.equations import lorenz
from constraints.sampling import Sampler

__all__ = [
    "BEGIN",
    "DOMAIN",
    "END",
    "NOISE",
    "NUMBERS",
    "equation",
    "grid",
    "measured",
    "positive",
    "rates",
    "reference",
    "sensors",
    "solution",
    "start",
]

NUMBERS = {"sigma": 10.0, "rho": 15.0, "beta": 8.0 / 3.0}
BEGIN, END = (-8, 7, 27), 3.0
SENSORS, NOISE = 25, 0.5
T, SIGMA, RHO, BETA = sympy.symbols("t sigma rho beta")
FIELDS = X, Y, Z = tuple(sympy.Function(name)(T) for name in "xyz")
DOMAIN = {T: (0.0, END)}
SOURCE = "doi:10.1137/19M1274067"


def rates(_: float, state: Array) -> Array:
    """The right side, `(3,)`.

    Example:
        >>> rates(0.0, np.array([1.0, 1.0, 14.0])).round(3).tolist()
        [0.0, 0.0, -36.333]
    """
    x, y, z = state
    sigma, rho, beta = NUMBERS.values()
    return np.array([sigma * (y - x), x * (rho - z) - y, x * y - beta * z])


@cache
def reference() -> Callable[[Array], Array]:
    """The motion as a function of times `(n,)`, `(3, n)`; kept for the process."""
    start = np.array(BEGIN, dtype=float)
    found = solve_ivp(rates, (0.0, END), start, method="DOP853", dense_output=True, rtol=1e-12, atol=1e-12)
    return cast("Callable[[Array], Array]", found.sol)


def solution(points: Tensor) -> Tensor:
    """The state at times `(n, 1)`, to 1e-9; `(n, 3)`. Without a gradient.

    Args:
        points: times in the domain.

    Example:
        >>> solution(torch.zeros(1, 1)).tolist()
        [[-8.0, 7.0, 27.0]]
    """
    return torch.from_numpy(reference()(points.detach().double().numpy()[:, 0]).T.copy())


def grid(rows: int = 301) -> Tensor:
    """Where answers are tested, `(rows, 1)`, both ends among them."""
    return torch.linspace(0.0, END, rows, dtype=torch.float64)[:, None]


def sensors(seed: int, *, count: int = SENSORS, noise: float = NOISE) -> tuple[Tensor, Tensor]:
    """Times `(count, 1)`, one in each of equal parts, and noisy states, `(count, 3)`.

    Least squares that know all but the numbers find sigma to 0.2, rho to 0.1, beta to 0.03: nothing does better.

    Example:
        >>> points, values = sensors(0, noise=0.0)
        >>> bool((values == solution(points)).all())
        True
    """
    generator = torch.Generator().manual_seed(seed)
    share = torch.arange(count, dtype=torch.float64) + torch.rand(count, generator=generator, dtype=torch.float64)
    points = (END / count * share)[:, None]
    return points, solution(points) + noise * torch.randn(count, 3, generator=generator, dtype=torch.float64)


def measured(points: Tensor, values: Tensor, *, noise: float = NOISE) -> Measurements:
    """What was seen of the motion, in deviations of its noise."""
    return Measurements(points, values, outputs=[0, 1, 2], deviation=noise, name="samples")


def equation(sampler: Sampler | None = None) -> FieldRule:
    """The three equations at the model's inputs, or where a sampler chooses, their numbers learnt; never Hard."""
    unknown = {
        SIGMA: Learnable(initial=5.0, low=0.0, high=30.0),
        RHO: Learnable(initial=5.0, low=0.0, high=50.0),
        BETA: Learnable(initial=1.0, low=0.0, high=10.0),
    }
    statements = lorenz(X, Y, Z, SIGMA, RHO, BETA)
    return declare(
        statements,
        fields=FIELDS,
        domain=DOMAIN,
        draws=0 if sampler is None else 1,
        sampler=sampler,
        parameters=unknown,
        name="Lorenz",
        source=SOURCE,
    )


def start() -> FieldRule:
    """The first state; can be Hard."""
    statements = [sympy.Eq(f.subs(T, 0), value) for f, value in zip(FIELDS, BEGIN, strict=True)]
    return declare(statements, fields=FIELDS, domain=DOMAIN, draws=0, name="start", source=SOURCE)


def positive() -> OutputRule:
    """`z >= 0`, where beta <= 2 sigma; can be Hard (a clip)."""
    z = sympy.Symbol("z")
    return declare(z >= 0, outputs={z: 2}, name="positive", source=SOURCE)
