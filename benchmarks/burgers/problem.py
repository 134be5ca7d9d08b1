r"""Burgers' equation and its solution by Cole and Hopf's transform.

    u_t + u u_x = nu u_xx,   x in [-1, 1],   t in [0, 1],   nu = 0.01 / pi,
    u(x, 0) = -sin(pi x),    u(-1, t) = u(1, t) = 0.

A shock of width nu stands at x = 0 from t = 1/pi on; the solution is odd. With phi(y) = exp(-cos(pi y) / (2 pi nu))

    u(x, t) = - \int sin(pi (x - z)) phi(x - z) e^{-z^2 / 4 nu t} dz / \int phi(x - z) e^{-z^2 / 4 nu t} dz,

both integrals by Gauss and Hermite's rule; orders 256 and 512 agree to 1e-12 (a test).

Source: Basdevant et al., "Spectral and finite difference solutions of the Burgers equation", Computers & Fluids 14,
1986, doi:10.1016/0045-7930(86)90036-8.
"""

from __future__ import annotations

import math

import numpy as np
import sympy
import torch
from scipy.special import roots_hermite
from torch import Tensor

from benchmarks.fields.rectangle import rectangle
from constraints import FieldRule, declare
from constraints.sampling import Sampler

__all__ = ["DOMAIN", "NU", "conditions", "equation", "grid", "mirror", "solution"]

NU = 0.01 / math.pi
X, T = sympy.symbols("x t")
FIELD = sympy.Function("u")
U = FIELD(X, T)
DOMAIN = {X: (-1.0, 1.0), T: (0.0, 1.0)}
SOURCE = "doi:10.1016/0045-7930(86)90036-8"


def solution(points: Tensor, *, order: int = 256) -> Tensor:
    """The solution at points `(n, 2)`, `x` and `t`, to float64's rounding nearly; `(n, 1)`.

    Args:
        points: in the domain.
        order: of the quadrature.

    Example:
        >>> solution(torch.tensor([[0.5, 0.0], [0.0, 0.5]])).flatten().tolist()
        [-1.0, 0.0]
    """
    x, t = points.double().numpy().T
    nodes, weights = roots_hermite(order)
    y = x[:, None] - np.sqrt(4.0 * NU * t)[:, None] * nodes
    exponent = -np.cos(math.pi * y) / (2.0 * math.pi * NU)
    mass = weights * np.exp(exponent - exponent.max(axis=1, keepdims=True))
    u = -(np.sin(math.pi * y) * mass).sum(axis=1) / mass.sum(axis=1)
    return torch.from_numpy(np.where(np.abs(x) < 1e-15, 0.0, u))[:, None]


def grid(columns: int = 201, rows: int = 101) -> Tensor:
    """Where answers are tested, `(columns * rows, 2)`, both ends of both coordinates among them."""
    return rectangle(DOMAIN, columns, rows)


def equation(sampler: Sampler | None = None) -> FieldRule:
    """The equation at the model's inputs, or at as many points that a sampler chooses."""
    statement = sympy.Eq(U.diff(T) + U * U.diff(X), sympy.Rational(1, 100) / sympy.pi * U.diff(X, 2))
    draws = 0 if sampler is None else 1
    return declare(statement, fields=[U], domain=DOMAIN, draws=draws, sampler=sampler, name="Burgers", source=SOURCE)


def conditions() -> FieldRule:
    """Initial values and walls."""
    statements = [
        sympy.Eq(FIELD(X, 0), -sympy.sin(sympy.pi * X)),
        sympy.Eq(FIELD(-1, T), 0),
        sympy.Eq(FIELD(1, T), 0),
    ]
    return declare(statements, fields=[U], domain=DOMAIN, draws=0, name="initial values and walls", source=SOURCE)


def mirror() -> FieldRule:
    """Odd in `x`, as the initial values are and the equation keeps."""
    return declare(sympy.Eq(FIELD(-X, T), -U), fields=[U], domain=DOMAIN, draws=0, name="odd", source=SOURCE)
