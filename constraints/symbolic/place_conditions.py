"""The linear algebra of conditions at places along one axis: which a factor holds, which the rest are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import sympy
from numpy.polynomial import Legendre

from constraints.errors import UnsupportedError

__all__ = ["Functional", "independent", "multiply", "split", "switching_functions"]

Functional: TypeAlias = Mapping[tuple[sympy.Expr, int], sympy.Expr]
r""":math:`a_{p,k}` of :math:`\sum a_{p,k}\,\partial^k u(p)`, by place and order."""


def independent(functionals: Sequence[Functional]) -> list[int]:
    """The places in the list of those that are no sums of those before them.

    Example:
        >>> at = sympy.Integer(0)
        >>> independent([{(at, 0): sympy.Integer(1)}, {(at, 0): sympy.Integer(2)}, {(at, 1): sympy.Integer(1)}])
        [0, 2]
    """
    table = _table(functionals, _columns(functionals))
    return list(table.T.rref()[1]) if len(table) else []


def split(functionals: Sequence[Functional]) -> tuple[dict[sympy.Expr, int], list[Functional]]:
    """How many derivatives, from the value on, vanish at each place; and the conditions that this leaves.

    Example:
        >>> at, one = sympy.Integer(0), sympy.Integer(1)
        >>> split([{(at, 0): one}, {(at, 0): one, (at, 2): one}])  # u = 0 and u + u'' = 0
        ({0: 1}, [{(0, 2): 1}])
    """
    columns = _columns(functionals)
    rows = _table(functionals, columns).rref()[0] if functionals else sympy.zeros(0, 0)
    given = {
        columns[units[0]]
        for i in range(rows.rows)
        if len(units := [j for j in range(rows.cols) if rows[i, j] != 0]) == 1
    }
    blocks: dict[sympy.Expr, int] = {}
    for at in dict.fromkeys(place for place, _ in columns):
        count = 0
        while (at, count) in given:
            count += 1
        if count:
            blocks[at] = count
    rest: list[Functional] = []
    for i in range(rows.rows):
        left = {c: rows[i, j] for j, c in enumerate(columns) if rows[i, j] != 0 and c[1] >= blocks.get(c[0], 0)}
        if left:
            rest.append(left)
    return blocks, rest


def multiply(functional: Functional, factor: sympy.Expr, x: sympy.Symbol) -> Functional:
    r"""What a functional of a product :math:`\varphi u` is as a functional of `u`, by Leibniz' rule.

    Example:
        >>> x, at = sympy.Symbol("x"), sympy.Integer(1)
        >>> multiply({(at, 1): sympy.Integer(1)}, x**2, x)
        {(1, 0): 2, (1, 1): 1}
    """
    found: dict[tuple[sympy.Expr, int], sympy.Expr] = {}
    for (at, order), a in functional.items():
        for i in range(order + 1):
            slope = a * math.comb(order, i) * factor.diff(x, order - i).subs(x, at)
            found[at, i] = sympy.simplify(found.get((at, i), 0) + slope)
    return {key: a for key, a in found.items() if a != 0}


def switching_functions(
    functionals: Sequence[Functional], x: sympy.Symbol, center: sympy.Expr, half: sympy.Expr
) -> list[sympy.Expr]:
    r"""Polynomials :math:`s_j` with :math:`L_i s_j = \delta_{ij}`, the least in the mean square about a center.

    Args:
        functionals: independent of each other.
        x: the coordinate.
        center: of the interval over which they are small.
        half: half of its length.

    Raises:
        UnsupportedError: no polynomials of a moderate degree do.

    Example:
        >>> x, one = sympy.Symbol("x"), sympy.Integer(1)
        >>> switching_functions([{(sympy.Integer(0), 1): one}], x, sympy.Integer(0), one)
        [1.0*x]
    """
    keys = _columns(functionals)
    count = len(keys) + max(order for _, order in keys)
    basis = [Legendre.basis(i) * (2 * i + 1) ** 0.5 for i in range(count)]

    def apply(one: Functional, p: Legendre) -> float:
        return sum(
            float(a)
            * float(p.deriv(k)(float((at - center) / half)) if k else p(float((at - center) / half)))
            / float(half) ** k
            for (at, k), a in one.items()
        )

    table = np.array([[apply(one, p) for p in basis] for one in functionals])
    size = np.abs(table).max(axis=1, keepdims=True)
    inverse = np.linalg.pinv(table / size) / size.T
    if not np.allclose(table @ inverse, np.eye(len(functionals)), atol=1e-9):
        raise UnsupportedError(f"no interpolation is known for these {len(functionals)} conditions along {x}")
    z = (x - center) / half
    found = []
    for weights in inverse.T:
        powers = sum((w * p for w, p in zip(weights, basis, strict=True)), 0 * basis[0]).convert(
            kind=np.polynomial.Polynomial
        )
        top = np.abs(powers.coef).max()
        found.append(
            sum((sympy.Float(c) * z**k for k, c in enumerate(powers.coef) if abs(c) > 1e-15 * top), sympy.Integer(0))
        )
    return found


def _columns(functionals: Sequence[Functional]) -> list[tuple[sympy.Expr, int]]:
    """Places and orders, the highest first: a functional leads with its highest derivative."""
    keys = {key for one in functionals for key in one}
    return sorted(keys, key=lambda key: (-key[1], float(key[0])))


def _table(functionals: Sequence[Functional], columns: Sequence[tuple[sympy.Expr, int]]) -> sympy.Matrix:
    return sympy.Matrix(len(functionals), len(columns), lambda i, j: functionals[i].get(columns[j], sympy.Integer(0)))
