"""What rules say, as statements of sympy over the columns of a module's output: for questions about all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sympy
from torch import Tensor

from constraints.rules.linear_rows import rows_of
from constraints.rules.output_rule import OutputRule
from constraints.rules.rule import Rule
from constraints.sets import (
    Constraint,
    Disjunction,
    Given,
    L1Ball,
    L2Ball,
    Quadratic,
    SecondOrderCone,
)

__all__ = ["output_symbol", "statement_of"]


def output_symbol(column: int) -> sympy.Symbol:
    """The symbol that stands for a column of the output.

    Example:
        >>> output_symbol(2)
        y[2]
    """
    return sympy.Symbol(f"y[{column}]", real=True)


def statement_of(rule: Rule, width: int, x: Tensor | None = None) -> sympy.Basic | None:
    """The statement of a rule, or None where it has none that sympy can say.

    Args:
        rule: the rule, bound.
        width: how many outputs there are.
        x: one input, `(d,)`, whose numbers to put in; without it inputs stay symbols, or the rule has no statement.

    Example:
        >>> from constraints.rules import Bounds
        >>> statement_of(Bounds(low=0.0, outputs=[1]), width=2)
        y[1] >= 0
    """
    if not isinstance(rule, OutputRule) or type(rule).quantity is not OutputRule.quantity:
        return None
    columns = list(range(width)) if rule.index is None else rule.index.tolist()
    ys = [output_symbol(column) for column in columns]
    own = rule.statement_on(ys, x)
    if own is not None:
        return own
    if rule.context_width != 0:
        return None
    return set_statement(rule.constraint, ys)


def set_statement(constraint: Constraint, ys: Sequence[sympy.Symbol]) -> sympy.Basic | None:
    """The statement of a set with fixed numbers, over symbols, or None.

    Example:
        >>> set_statement(L2Ball(2.0), [output_symbol(0), output_symbol(1)])
        y[0]**2 + y[1]**2 <= 4
    """
    match constraint:
        case Disjunction():
            parts = [set_statement(branch, ys) for branch in constraint.branches if isinstance(branch, Constraint)]
            known = [part for part in parts if part is not None]
            return sympy.Or(*known) if len(known) == len(parts) else None
        case Given():
            return set_statement(constraint.constraint, ys) if not constraint.shape else None
        case L2Ball() | L1Ball():
            if constraint.radius is None:
                return None
            center = constraint.center.expand(len(ys)).tolist()
            apart = [y - _exact(c) for y, c in zip(ys, center, strict=True)]
            radius = _exact(float(constraint.radius))
            if isinstance(constraint, L1Ball):
                return sympy.Add(*map(sympy.Abs, apart)) <= radius
            return sympy.Add(*(a**2 for a in apart)) <= radius**2
        case SecondOrderCone():
            return sympy.And(sympy.Add(*(y**2 for y in ys[:-1])) <= ys[-1] ** 2, ys[-1] >= 0)
        case Quadratic():
            q = sympy.Matrix([[_exact(v) for v in row] for row in constraint.matrix.tolist()])
            vector = sympy.Matrix(list(ys))
            linear = sum(_exact(v) * y for v, y in zip(constraint.vector.tolist(), ys, strict=True))
            return (vector.T * q * vector)[0] / 2 + linear + _exact(float(constraint.offset)) <= 0
        case _:
            rows = rows_of(constraint, len(ys), varies=False)
            if rows is None or rows.depends:
                return None
            return sympy.And(
                *_rows(rows.equal, rows.target, rows.target, ys),
                *_rows(rows.matrix, rows.low, rows.high, ys),
                *_rows(np.eye(len(ys)), rows.floor, rows.ceiling, ys),
            )


def _rows(
    matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    low: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    high: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ys: Sequence[sympy.Symbol],
) -> list[sympy.Basic]:
    found: list[sympy.Basic] = []
    for row, least, most in zip(matrix, low, high, strict=True):
        total = sympy.Add(*(_exact(c) * y for c, y in zip(row, ys, strict=True) if c != 0))
        if least == most:
            found.append(sympy.Eq(total, _exact(most)))
            continue
        if np.isfinite(most):
            found.append(sympy.Le(total, _exact(most)))
        if np.isfinite(least):
            found.append(sympy.Ge(total, _exact(least)))
    return found


def _exact(number: float) -> sympy.Rational:
    return sympy.Rational(repr(float(number)))
