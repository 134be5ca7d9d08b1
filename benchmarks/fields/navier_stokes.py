r"""Kovasznay's flow behind a grid, which has a closed form: by velocity and pressure, or by a stream function.

    (w . grad) w = -grad p + nu Lap w,   div w = 0,   w = (u, v),   nu = 1/40,   x in [-1/2, 1],   y in [-1/2, 3/2]

    u = 1 - e^(l x) cos(2 pi y),   v = l / (2 pi) e^(l x) sin(2 pi y),   p = (1 - e^(2 l x)) / 2
    psi = y - 1/2 - e^(l x) sin(2 pi y) / (2 pi),   u = psi_y,   v = -psi_x
    l = 1 / (2 nu) - sqrt(1 / (4 nu^2) + 4 pi^2)

The divergence can be Hard by a potential (a stream function, and the pressure beside it), and values on the sides can
be Hard, but not both: values of a derivative of the network are not known to be held. In the form of `psi` alone all
is held together: there is no divergence, and `stream_walls` (value and slope across each side) can be Hard. The
constant of `psi` is such that it is odd about the middle.

Source: Kovasznay, "Laminar flow behind a two-dimensional grid", Proc. Camb. Phil. Soc. 44, 1948,
doi:10.1017/S0305004100023999; domain and Re = 40 of Jin et al., "NSFnets", J. Comput. Phys. 426, 2021,
doi:10.1016/j.jcp.2020.109951.
"""

from __future__ import annotations

import math

import sympy
import torch
from torch import Tensor

from benchmarks.fields.rectangle import rectangle
from constraints import FieldRule, declare
from constraints.equations import navier_stokes, navier_stokes_stream

__all__ = [
    "DOMAIN",
    "GROWTH",
    "VISCOSITY",
    "divergence",
    "gauge",
    "grid",
    "mirror",
    "momentum",
    "solution",
    "stream",
    "stream_equation",
    "stream_mirror",
    "stream_walls",
    "walls",
]

VISCOSITY = sympy.Rational(1, 40)
GROWTH = 1 / (2 * VISCOSITY) - sympy.sqrt(1 / (4 * VISCOSITY**2) + 4 * sympy.pi**2)
X, Y = sympy.symbols("x y")
FIELDS = U, V, P = tuple(sympy.Function(name)(X, Y) for name in "uvp")
PSI = sympy.Function("psi")(X, Y)
DOMAIN = {X: (-0.5, 1.0), Y: (-0.5, 1.5)}
SIDES = ((X, sympy.Rational(-1, 2)), (X, sympy.Integer(1)), (Y, sympy.Rational(-1, 2)), (Y, sympy.Rational(3, 2)))
SOURCE = "doi:10.1017/S0305004100023999"

_FALL = sympy.exp(GROWTH * X)
_VELOCITY = (1 - _FALL * sympy.cos(2 * sympy.pi * Y), GROWTH / (2 * sympy.pi) * _FALL * sympy.sin(2 * sympy.pi * Y))
_STREAM = Y - sympy.Rational(1, 2) - _FALL * sympy.sin(2 * sympy.pi * Y) / (2 * sympy.pi)


def solution(points: Tensor) -> Tensor:
    """Velocity and pressure at points `(*batch, 2)`; `(*batch, 3)`.

    Example:
        >>> solution(torch.tensor([[0.0, 0.0], [0.0, 0.5]], dtype=torch.float64)).round(decimals=12).abs().tolist()
        [[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]
    """
    x, y = points.unbind(-1)
    growth, turn = float(GROWTH), 2.0 * math.pi
    fall = torch.exp(growth * x)
    v = growth / turn * fall * torch.sin(turn * y)
    return torch.stack([1.0 - fall * torch.cos(turn * y), v, (1.0 - fall**2) / 2.0], dim=-1)


def stream(points: Tensor) -> Tensor:
    """The stream function at points `(*batch, 2)`; `(*batch, 1)`.

    Example:
        >>> stream(torch.tensor([[0.3, 0.0], [0.0, 1.0]], dtype=torch.float64)).flatten().round(decimals=12).tolist()
        [-0.5, 0.5]
    """
    x, y = points.unbind(-1)
    fall = torch.exp(float(GROWTH) * x)
    return (y - 0.5 - fall * torch.sin(2.0 * math.pi * y) / (2.0 * math.pi))[..., None]


def grid(columns: int = 101, rows: int = 101) -> Tensor:
    """Where answers are tested, `(columns * rows, 2)`, the sides among them."""
    return rectangle(DOMAIN, columns, rows)


def momentum() -> FieldRule:
    """Both components at the model's inputs; not linear, and cannot be Hard."""
    statements = navier_stokes(U, V, P, VISCOSITY)[:2]
    return declare(statements, fields=FIELDS, domain=DOMAIN, draws=0, name="momentum", source=SOURCE)


def divergence() -> FieldRule:
    """No divergence; can be Hard by a potential, then of a network of two outputs, and without `walls` or `mirror`."""
    statement = navier_stokes(U, V, P, VISCOSITY)[2]
    return declare(statement, fields=FIELDS, domain=DOMAIN, draws=0, name="divergence", source=SOURCE)


def walls() -> FieldRule:
    """The velocity on all sides; can be Hard, with `gauge` and `mirror`."""
    statements = [
        sympy.Eq(w.subs(s, end), known.subs(s, end))
        for w, known in zip((U, V), _VELOCITY, strict=True)
        for s, end in SIDES
    ]
    return declare(statements, fields=FIELDS, domain=DOMAIN, draws=0, name="walls", source=SOURCE)


def gauge() -> FieldRule:
    """The pressure at the outflow, `x = 1`: by velocities alone it is known up to a constant. Can be Hard."""
    statement = sympy.Eq(P.subs(X, 1), (1 - sympy.exp(2 * GROWTH)) / 2)
    return declare(statement, fields=FIELDS, domain=DOMAIN, draws=0, name="gauge", source=SOURCE)


def mirror() -> FieldRule:
    """About the middle, y = 1/2: `u` and `p` are even, `v` is odd; can be Hard, with `walls` and `gauge`."""
    statements = [sympy.Eq(f.subs(Y, 1 - Y), sign * f) for f, sign in zip(FIELDS, (1, -1, 1), strict=True)]
    return declare(statements, fields=FIELDS, domain=DOMAIN, draws=0, name="mirror", source=SOURCE)


def stream_equation() -> FieldRule:
    """The equation of the stream function, of order 4, at the model's inputs; not linear, and cannot be Hard."""
    statement = navier_stokes_stream(PSI, VISCOSITY)
    return declare(statement, fields=[PSI], domain=DOMAIN, draws=0, name="vorticity", source=SOURCE)


def stream_walls() -> FieldRule:
    """The velocity on all sides, by value and slope of the stream function; can be Hard."""
    statements = [
        sympy.Eq(PSI.diff(s, order).subs(s, end), _STREAM.diff(s, order).subs(s, end))
        for s, end in SIDES
        for order in (0, 1)
    ]
    return declare(statements, fields=[PSI], domain=DOMAIN, draws=0, name="walls", source=SOURCE)


def stream_mirror() -> FieldRule:
    """About the middle, y = 1/2: odd; can be Hard, with `stream_walls`."""
    statement = sympy.Eq(PSI.subs(Y, 1 - Y), -PSI)
    return declare(statement, fields=[PSI], domain=DOMAIN, draws=0, name="mirror", source=SOURCE)
