r"""Advection: a wave is carried around a ring, several times.

    u_t + c u_x = 0,   c = 15 / pi,   x in [0, 1], periodic,   t in [0, 1],   u(x, 0) = sin(2 pi x)

The wave, sin(2 pi (x - c t)), goes round nearly five times. At 0 the equation and the period hold as well: a field that
leaves the start quickly for 0 breaks them almost nowhere, and training may end there.

Source: Krishnapriyan, Gholami, Zhe, Kirby and Mahoney, "Characterizing possible failure modes in physics-informed
neural networks", NeurIPS 2021, arXiv:2109.01050 (there 2 pi long, at a speed of 30).
"""

from __future__ import annotations

import math

import sympy
import torch
from torch import Tensor

from benchmarks.fields.rectangle import rectangle
from constraints import FieldRule, declare

__all__ = ["DOMAIN", "SPEED", "equation", "grid", "periodic", "solution", "start"]

SPEED = 15 / sympy.pi
X, T = sympy.symbols("x t")
FIELD = sympy.Function("u")
U = FIELD(X, T)
DOMAIN = {X: (0.0, 1.0), T: (0.0, 1.0)}
SOURCE = "arXiv:2109.01050"


def solution(points: Tensor) -> Tensor:
    """The solution at points `(*batch, 2)`, `x` and `t`; `(*batch, 1)`.

    Args:
        points: in the domain.

    Example:
        >>> solution(torch.tensor([[0.25, 0.0], [0.75, math.pi / 30.0]])).round(decimals=5).tolist()
        [[1.0], [1.0]]
    """
    x, t = points[..., :1], points[..., 1:]
    return torch.sin(2.0 * math.pi * (x - float(SPEED) * t))


def grid(columns: int = 101, rows: int = 101) -> Tensor:
    """Where answers are tested, `(columns * rows, 2)`, both ends of both coordinates among them."""
    return rectangle(DOMAIN, columns, rows)


def equation() -> FieldRule:
    """The equation at the model's inputs."""
    statement = sympy.Eq(U.diff(T) + SPEED * U.diff(X), 0)
    return declare(statement, fields=[U], domain=DOMAIN, draws=0, name="advection", source=SOURCE)


def start() -> FieldRule:
    """The initial values; can be Hard."""
    statement = sympy.Eq(FIELD(X, 0), sympy.sin(2 * sympy.pi * X))
    return declare(statement, fields=[U], domain=DOMAIN, draws=0, name="start", source=SOURCE)


def periodic() -> FieldRule:
    """Values are the same at both ends; can be Hard."""
    return declare(
        sympy.Eq(FIELD(0, T), FIELD(1, T)), fields=[U], domain=DOMAIN, draws=0, name="periodic", source=SOURCE
    )
