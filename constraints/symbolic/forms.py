"""What a condition looks like in the outputs: affine, quadratic, a norm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
import sympy
from numpy.typing import NDArray

from constraints.functional.real_functions import real_number

__all__ = ["AffineForm", "QuadraticForm", "affine_form", "degree", "polynomial_terms", "quadratic_form"]

EXPANDED = 6  # degree up to which products are multiplied out


@final
@dataclass(frozen=True, slots=True)
class AffineForm:
    """`sum_i coefficients[i] y_i + constant`, whose numbers may depend on the input."""

    coefficients: dict[sympy.Symbol, sympy.Expr]
    constant: sympy.Expr


@final
@dataclass(frozen=True, slots=True)
class QuadraticForm:
    """`1/2 y^T Q y + q^T y + r` with fixed `Q` and `q`; `r` may depend on the input."""

    matrix: NDArray[np.float64]
    vector: NDArray[np.float64]
    offset: sympy.Expr

    @property
    def eigenvalues(self) -> NDArray[np.float64]:
        """Of `Q`, rising; those that rounding explains are 0."""
        values = np.asarray(np.linalg.eigvalsh(self.matrix), dtype=np.float64)
        return np.where(abs(values) <= 1e-12 * max(abs(values).max(initial=0.0), 1e-300), 0.0, values)


def degree(expression: sympy.Basic, outputs: Iterable[sympy.Symbol]) -> float:
    """A bound of the degree in the outputs, without multiplying out; infinite where it is no polynomial.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> degree(x * (y + x**2), [x, y]), degree(sympy.sin(x), [x])
        (3, inf)
    """
    symbols = frozenset(outputs)
    if not expression.free_symbols & symbols:
        return 0
    if isinstance(expression, sympy.Symbol):
        return 1
    if isinstance(expression, sympy.Add):
        return max(degree(part, symbols) for part in expression.args)
    if isinstance(expression, sympy.Mul):
        return sum(degree(part, symbols) for part in expression.args)
    if isinstance(expression, sympy.Pow) and expression.exp.is_Integer and expression.exp > 0:
        return degree(expression.base, symbols) * int(expression.exp)
    return float("inf")


def affine_form(expression: sympy.Expr, outputs: Iterable[sympy.Symbol]) -> AffineForm | None:
    """The affine form of an expression, or None.

    Example:
        >>> x, y, c = sympy.symbols("x y c")
        >>> form = affine_form((x + 1) * (y + c) - x * y, [x, y])
        >>> form.coefficients, form.constant
        ({x: c, y: 1}, c)
    """
    symbols = expression.free_symbols & frozenset(outputs)
    found = polynomial_terms(expression, symbols, most=1)
    if found is None:
        return None
    constant = found.pop((), sympy.Integer(0))
    coefficients = {powers[0][0]: coefficient for powers, coefficient in found.items()}
    return AffineForm({s: coefficients[s] for s in sorted(coefficients, key=str)}, constant)


def quadratic_form(expression: sympy.Expr, outputs: list[sympy.Symbol]) -> QuadraticForm | None:
    """The quadratic form of an expression over all `outputs`, or None.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> quadratic_form((x - y) ** 2 - 1, [x, y]).eigenvalues
        array([0., 4.])
    """
    found = polynomial_terms(expression, frozenset(outputs), most=2)
    if found is None:
        return None
    offset = found.pop((), sympy.Integer(0))
    if not all(coefficient.is_number for coefficient in found.values()):
        return None
    n, at = len(outputs), {symbol: i for i, symbol in enumerate(outputs)}
    matrix, vector = np.zeros((n, n)), np.zeros(n)
    for powers, coefficient in found.items():
        columns = [at[symbol] for symbol, power in powers for _ in range(power)]
        if len(columns) == 1:
            vector[columns[0]] = real_number(coefficient)
        else:
            matrix[columns[0], columns[1]] += real_number(coefficient)
            matrix[columns[1], columns[0]] += real_number(coefficient)
    return QuadraticForm(matrix, vector, offset)


Powers = tuple[tuple[sympy.Symbol, int], ...]


def polynomial_terms(
    expression: sympy.Expr, symbols: Iterable[sympy.Symbol], *, most: int
) -> dict[Powers, sympy.Expr] | None:
    """Exact coefficients by power product, or None for what is no polynomial of at most that degree.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> polynomial_terms(x * y - 3, [x, y], most=2)
        {(): -3, ((x, 1), (y, 1)): 1}
    """
    known = frozenset(symbols)
    if degree(expression, known) > EXPANDED:
        return None
    parts: dict[Powers, list[sympy.Expr]] = {}
    for term in sympy.Add.make_args(sympy.expand(expression)):
        if not term.free_symbols & known:
            parts.setdefault((), []).append(term)
            continue
        coefficient = sympy.Integer(1)
        powers: dict[sympy.Symbol, int] = {}
        for factor in sympy.Mul.make_args(term):
            base, exponent = factor.as_base_exp()
            if not factor.free_symbols & known:
                coefficient *= factor
            elif base in known and exponent.is_Integer:
                powers[base] = powers.get(base, 0) + int(exponent)
            else:
                return None
        key = tuple(sorted(powers.items(), key=lambda pair: str(pair[0])))
        parts.setdefault(key, []).append(coefficient)
    sums = {key: sympy.Add(*found) for key, found in parts.items()}
    found = {key: value for key, value in sums.items() if key == () or value != 0}
    if any(sum(power for _, power in key) > most for key in found):
        return None
    return found
