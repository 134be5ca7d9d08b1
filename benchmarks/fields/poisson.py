r"""Poisson's equation on the unit square, with a wave of any whole frequency as its solution.

    -(u_xx + u_yy) = f,   f = 2 (k pi)^2 u,   u = 0 on the sides,   u(x, y) = sin(k pi x) sin(k pi y)

The solution is even about the middle lines where `k` is odd, odd about them where `k` is even, and the same when `x`
and `y` change places. Networks are slow to learn it at high `k`.

Source: Rahaman et al., "On the spectral bias of neural networks", ICML 2019, arXiv:1806.08734; the solution is made up.
"""

from __future__ import annotations

import math

import sympy
import torch
from torch import Tensor

from benchmarks.fields.rectangle import rectangle
from constraints import FieldRule, declare
from constraints.equations import poisson
from constraints.errors import SpecificationError

__all__ = ["DOMAIN", "equation", "grid", "mirrors", "solution", "swap", "walls"]

X, Y = sympy.symbols("x y")
FIELD = sympy.Function("u")
U = FIELD(X, Y)
DOMAIN = {X: (0.0, 1.0), Y: (0.0, 1.0)}
SOURCE = "arXiv:1806.08734"


def solution(points: Tensor, frequency: int = 1) -> Tensor:
    """The solution at points `(*batch, 2)`, `x` and `y`; `(*batch, 1)`.

    Args:
        points: in the square.
        frequency: `k`, half waves along a side.

    Raises:
        SpecificationError: a frequency that is no whole number > 0.

    Example:
        >>> solution(torch.tensor([[0.5, 0.5], [0.0, 0.3]])).tolist()
        [[1.0], [0.0]]
    """
    return torch.sin(_whole(frequency) * math.pi * points).prod(dim=-1, keepdim=True)


def grid(columns: int = 101, rows: int = 101) -> Tensor:
    """Where answers are tested, `(columns * rows, 2)`, the sides among them."""
    return rectangle(DOMAIN, columns, rows)


def equation(frequency: int = 1) -> FieldRule:
    """The equation at the model's inputs; with derivatives of second order everywhere it cannot be Hard.

    Raises:
        SpecificationError: see `solution`.
    """
    k = _whole(frequency) * sympy.pi
    source = 2 * k**2 * sympy.sin(k * X) * sympy.sin(k * Y)
    return declare(poisson(U, source), fields=[U], domain=DOMAIN, draws=0, name="Poisson", source=SOURCE)


def walls() -> FieldRule:
    """0 on the four sides; can be Hard."""
    statements = [sympy.Eq(U.subs(s, end), 0) for s in (X, Y) for end in (0, 1)]
    return declare(statements, fields=[U], domain=DOMAIN, draws=0, name="walls", source=SOURCE)


def mirrors(frequency: int = 1) -> FieldRule:
    """The solution over the middle lines is itself, or less itself; can be Hard, with the walls.

    Raises:
        SpecificationError: see `solution`.
    """
    sign = 1 if _whole(frequency) % 2 else -1
    statements = [sympy.Eq(FIELD(1 - X, Y), sign * U), sympy.Eq(FIELD(X, 1 - Y), sign * U)]
    return declare(statements, fields=[U], domain=DOMAIN, draws=0, name="mirrors", source=SOURCE)


def swap() -> FieldRule:
    """The same when `x` and `y` change places; can be Hard alone, as the mean of two evaluations."""
    return declare(sympy.Eq(FIELD(Y, X), U), fields=[U], name="swap", source=SOURCE)


def _whole(frequency: int) -> int:
    if not isinstance(frequency, int) or frequency < 1:
        raise SpecificationError(f"the Poisson problem needs a whole frequency > 0, got {frequency}")
    return frequency
