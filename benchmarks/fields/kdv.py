r"""Korteweg and de Vries' equation: a wave steepens and falls into solitons that pass through each other.

    u_t + u u_x + d u_xxx = 0,   x in [-1, 1], periodic,   t in [0, 1],   u(x, 0) = cos(pi x)

`DISPERSION` is `d` = 0.022^2, of Zabusky and Kruskal and of arXiv:2402.00326 (there eta = 1, mu = 0.022, d = mu^2).
`SMOOTH` is `d` = 0.0025, of Raissi et al., doi:10.1016/j.jcp.2018.10.045. The reference is a Fourier series in `x`, its
coefficients in steps of ETDRK4 (`benchmarks.fields.spectral`); jaxpi's data differ from it by 3e-11. Kept by the motion
are

    mass = int u dx = 0,   momentum = int u^2 dx = 1,   energy = int (d u_x^2 / 2 - u^3 / 6) dx = d pi^2 / 2.

No mirror keeps the equation: (x, t) to (-x, -t) leaves the times of the problem.

Source: Zabusky and Kruskal, "Interaction of solitons in a collisionless plasma and the recurrence of initial states",
Phys. Rev. Lett. 15, 1965, doi:10.1103/PhysRevLett.15.240.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import sympy
import torch
from torch import Tensor

from benchmarks.fields.rectangle import rectangle
from benchmarks.fields.spectral import Array, History, evolve, series
from constraints import FieldRule, declare
from constraints.equations import korteweg_de_vries
from constraints.sampling import Sampler

__all__ = [
    "DISPERSION",
    "DOMAIN",
    "SMOOTH",
    "energy",
    "equation",
    "grid",
    "invariants",
    "mass",
    "momentum",
    "motion",
    "periodic",
    "reference",
    "solution",
    "start",
]

DISPERSION = sympy.Rational(22, 1000) ** 2
SMOOTH = sympy.Rational(25, 10000)
X, T = sympy.symbols("x t")
FIELD = sympy.Function("u")
U = FIELD(X, T)
DOMAIN = {X: (-1.0, 1.0), T: (0.0, 1.0)}
SOURCE = "doi:10.1103/PhysRevLett.15.240"
MODES, STEPS, PLACES = 144, 16000, 128


def motion(coefficients: Array, times: Array, dispersion: float) -> History:
    r"""The coefficients of :math:`u = \mathrm{Re} \sum_k c_k e^{i \pi k x}` from a start on.

    Products are exact: their aliases fall on modes that are not kept.

    Args:
        coefficients: at the first time, `(modes,)`.
        times: rising, `(steps,)`.
        dispersion: `d`.

    Example:
        >>> still = motion(np.array([3.0 + 0j, 0j, 0j]), np.array([0.0, 0.5]), 1.0)
        >>> still.states[-1].real.tolist()
        [3.0, 0.0, 0.0]
    """
    slope = 1j * math.pi * np.arange(len(coefficients))
    places = 3 * len(coefficients) + 16

    def steepening(c: Array) -> Array:
        return -0.5 * slope * _coefficients(_values(c, places) ** 2, len(c))

    return evolve(-dispersion * slope**3, steepening, coefficients, times)


def reference(dispersion: float = float(DISPERSION), *, modes: int = MODES, steps: int = STEPS) -> History:
    """The problem's coefficients at equal steps of the time: 2 s and 74 MB, kept for the process.

    Args:
        dispersion: `d`.
        modes: of the series.
        steps: to the end.
    """
    return _reference(dispersion, modes, steps)


@cache
def _reference(dispersion: float, modes: int, steps: int) -> History:
    coefficients = np.zeros(modes, dtype=complex)
    coefficients[1] = 1.0
    return motion(coefficients, np.linspace(0.0, 1.0, steps + 1), dispersion)


def solution(points: Tensor, dispersion: sympy.Rational = DISPERSION) -> Tensor:
    """The solution at points `(n, 2)`, `x` and `t`; `(n, 1)`. Without a gradient.

    To 1e-9; to 1e-10 at times that are multiples of 1/16000, as those of `grid` are.

    Args:
        points: in the domain.
        dispersion: `d`.

    Example:
        >>> solution(torch.tensor([[0.0, 0.0], [1.0, 0.0]])).flatten().round(decimals=12).tolist()
        [1.0, -1.0]
    """
    x, t = points.detach().double().numpy().T
    return torch.from_numpy(series(reference(float(dispersion)), x, t))[:, None]


def grid(columns: int = 201, rows: int = 101) -> Tensor:
    """Where answers are tested, `(columns * rows, 2)`, both ends of both coordinates among them."""
    return rectangle(DOMAIN, columns, rows)


def invariants(coefficients: Array, dispersion: float = float(DISPERSION)) -> Array:
    """Mass, momentum and energy of coefficients `(modes,)`, exact but for rounding; `(3,)`.

    Example:
        >>> invariants(np.array([0.5, 2.0 + 0j]), 0.0).round(12).tolist()  # u = 1/2 + 2 cos(pi x)
        [1.0, 4.5, -1.041666666667]
    """
    slopes = math.pi * np.arange(len(coefficients))
    size = np.abs(coefficients) ** 2
    u = _values(coefficients, 4 * len(coefficients))
    squares, cubes = 2.0 * size[0] + size[1:].sum(), 2.0 * (u**3).mean()
    steepness = float((slopes**2 * size).sum())
    return np.array([2.0 * coefficients[0].real, squares, dispersion * steepness / 2.0 - cubes / 6.0])


def equation(dispersion: sympy.Rational = DISPERSION, *, sampler: Sampler | None = None) -> FieldRule:
    """The equation at the model's inputs, or where a sampler chooses; it is not linear, and cannot be Hard."""
    statement, draws = korteweg_de_vries(U, 1, dispersion), 0 if sampler is None else 1
    return declare(
        statement, fields=[U], domain=DOMAIN, draws=draws, sampler=sampler, name="Korteweg and de Vries", source=SOURCE
    )


def start() -> FieldRule:
    """The initial values; can be Hard, with the period."""
    statement = sympy.Eq(FIELD(X, 0), sympy.cos(sympy.pi * X))
    return declare(statement, fields=[U], domain=DOMAIN, draws=0, name="start", source=SOURCE)


def periodic() -> FieldRule:
    """Values, slopes and curvatures are the same at both ends; can be Hard, with the start."""
    statements = [sympy.Eq(FIELD(-1, T), FIELD(1, T))]
    statements += [sympy.Eq(U.diff(X, k).subs(X, -1), U.diff(X, k).subs(X, 1)) for k in (1, 2)]
    return declare(statements, fields=[U], domain=DOMAIN, draws=0, name="periodic", source=SOURCE)


def mass(places: int = PLACES) -> FieldRule:
    """The mean is 0 at the times of the model's inputs. What ties many places cannot be Hard.

    Args:
        places: of the sum that stands for the integral, at all of which the model is asked for each sample.
    """
    return _kept(U, sympy.Integer(0), "mass", places)


def momentum(places: int = PLACES) -> FieldRule:
    """The integral of the square is 1; for the solution to 5e-8, with 96 places to 5e-6."""
    return _kept(U**2, sympy.Integer(1), "momentum", places)


def energy(dispersion: sympy.Rational = DISPERSION, places: int = PLACES) -> FieldRule:
    """The energy is that of the start; for the solution to 3e-4 of it, with 96 places to 2 %; slow to declare."""
    density = dispersion * U.diff(X) ** 2 / 2 - U**3 / 6
    return _kept(density, dispersion * sympy.pi**2 / 2, "energy", places)


def _kept(density: sympy.Expr, value: sympy.Expr, name: str, places: int) -> FieldRule:
    """An integral over the period, as a sum over equal places: an `Integral` has 32, too few for solitons."""
    at = [sympy.Rational(2 * i, places) - 1 for i in range(places)]
    whole = 2 * sympy.Add(*(density.subs(X, place) for place in at)) / places
    return declare(sympy.Eq(whole, value), fields=[U], domain=DOMAIN, draws=0, name=name, source=SOURCE)


def _values(coefficients: Array, places: int) -> Array:
    """At equal places of a period, from the middle on."""
    halves = np.concatenate([coefficients[:1], coefficients[1:] / 2.0])
    u: Array = np.fft.irfft(halves, places) * places
    return u


def _coefficients(values: Array, modes: int) -> Array:
    """What `_values` takes back."""
    c: Array = np.fft.rfft(values)[:modes] * (2.0 / len(values))
    c[0] /= 2.0
    return c
