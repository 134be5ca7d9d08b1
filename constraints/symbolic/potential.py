"""Linear equations whose solutions are all derivatives of free functions: streams, potentials, Hamiltonians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import sympy

from constraints.fields import DifferentialOperator
from constraints.functional.real_functions import real_number
from constraints.symbolic.terms import Equation

__all__ = ["Row", "annihilates", "find_potentials"]

Row: TypeAlias = Sequence[Mapping[int, DifferentialOperator]]
"""By output, what operator acts on each of the others."""


def find_potentials(
    equations: Sequence[Equation], coordinates: Sequence[sympy.Symbol], fields: int
) -> tuple[Row, Row] | str:
    r"""Fields that obey equations as derivatives of potentials, or why there are none.

    Linear equations with constant coefficients are a matrix of polynomials in the partial derivatives, :math:`A u = 0`.
    The columns of `B` generate what `A` takes to 0 (a module of syzygies), so that :math:`u = B\psi` obeys whatever
    :math:`\psi` is; where `A` in turn generates all that takes `B` to 0, these are all solutions on a convex domain.

    Args:
        equations: at the points themselves.
        coordinates: of the points.
        fields: how many there are.

    Returns:
        Of each equation, its operators by field; of each field, its operators by potential.

    Source: Lange-Hegermann, "Algorithmic linearly constrained Gaussian processes", NeurIPS 2018, arXiv:1801.09197.

    Example:
        >>> from constraints.symbolic.terms import read_equation
        >>> x, y = sympy.symbols("x y")
        >>> u, v = (sympy.Function(name)(x, y) for name in "uv")
        >>> find_potentials([read_equation(u.diff(x) + v.diff(y), [u, v])], [x, y], 2)[1]
        ({0: DifferentialOperator({(0, 1): 1.0})}, {0: DifferentialOperator({(1, 0): -1.0})})
        >>> find_potentials([read_equation(u.diff(x, 2) + u.diff(y, 2), [u])], [x, y], 1)
        'its solutions are not the derivatives of free functions'
    """
    partials = sympy.symbols(f"d:{len(coordinates)}")
    rows: list[list[sympy.Expr]] = []
    for equation in equations:
        row = _row(equation, coordinates, fields, partials)
        if isinstance(row, str):
            return row
        rows.append(row)
    ring = sympy.QQ.old_poly_ring(*partials)
    columns = [[row[k] for row in rows] for k in range(fields)]
    kernel = _syzygies(ring, columns)
    if not kernel or any(all(one[k] == 0 for one in kernel) for k in range(fields)):
        return "its solutions are not the derivatives of free functions"
    outputs = [[one[k] for one in kernel] for k in range(fields)]
    back = _syzygies(ring, outputs)
    given = ring.free_module(fields).submodule(*rows)
    if not all(given.contains(one) for one in back):
        return "it has solutions that are not the derivatives of free functions"
    return _operators(rows, partials), _operators(outputs, partials)


def annihilates(equations: Row, outputs: Row) -> bool:
    """Whether equations hold for all fields that are derivatives of potentials.

    Example:
        >>> from constraints.fields import partials
        >>> dx, dy = partials(2)
        >>> annihilates([{0: dx, 1: dy}], [{0: dy}, {0: -dx}])
        True
    """
    for row in equations:
        sums: dict[int, DifferentialOperator] = {}
        for k, operator in row.items():
            for j, one in outputs[k].items():
                sums[j] = operator * one + sums[j] if j in sums else operator * one
        if any(factor for operator in sums.values() for factor in operator.terms.values()):
            return False
    return True


def _row(
    equation: Equation, coordinates: Sequence[sympy.Symbol], fields: int, partials: Sequence[sympy.Symbol]
) -> list[sympy.Expr] | str:
    """An equation as polynomials in the partial derivatives, one a field."""
    row: list[sympy.Expr] = [sympy.Integer(0)] * fields
    rest = sympy.expand(equation.expression)
    for symbol, term in equation.terms.items():
        factor = sympy.nsimplify(equation.expression.diff(symbol), rational=True)
        if tuple(term.place) != tuple(coordinates):
            return f"{equation.shown} speaks of other places"
        if not factor.is_Rational:
            return f"{equation.shown} is not linear with constant rational coefficients"
        rest = sympy.expand(rest - equation.expression.diff(symbol) * symbol)
        row[term.field] += factor * sympy.prod([d**n for d, n in zip(partials, term.orders, strict=True)])
    return row if rest == 0 else f"{equation.shown} has a source"


def _syzygies(ring: Any, columns: Sequence[Sequence[sympy.Expr]]) -> list[list[sympy.Expr]]:
    """What combines columns to 0."""
    module = ring.free_module(len(columns[0])).submodule(*(list(column) for column in columns))
    return [[ring.to_sympy(e) for e in one] for one in module.syzygy_module().gens]


def _operators(rows: Sequence[Sequence[sympy.Expr]], partials: Sequence[sympy.Symbol]) -> Row:
    """Of each row those that are not 0, by column."""
    return tuple({j: _operator(e, partials) for j, e in enumerate(row) if e != 0} for row in rows)


def _operator(e: sympy.Expr, partials: Sequence[sympy.Symbol]) -> DifferentialOperator:
    terms = sympy.Poly(e, *partials).terms()
    return DifferentialOperator({tuple(map(int, orders)): real_number(factor) for orders, factor in terms})
