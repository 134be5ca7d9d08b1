"""Quadratic expressions as sums of squares, and such sums under a root as norms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import sympy

from constraints.errors import SpecificationError
from constraints.functional.expressions import SumSquares

__all__ = ["complete_squares", "squares_of_form"]


def squares_of_form(expression: sympy.Basic, variables: Sequence[sympy.Symbol]) -> sympy.Basic:
    """The part of second degree as a sum of squares, or less one, by the eigenvalues of the Hessian.

    Args:
        expression: a polynomial of degree two with numbers as coefficients of the second degree.
        variables: its variables.

    Raises:
        SpecificationError: eigenvalues of both signs: neither convex nor concave.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> squares_of_form(-2 * x**2 - 4 * x * y - 2 * y**2 + x, [x, y])
        -SumSquares(1.41421356237309*x + 1.41421356237309*y)
    """
    hessian = np.array(sympy.hessian(expression, list(variables)), dtype=np.float64)
    values, vectors = np.linalg.eigh(hessian / 2.0)
    live = np.abs(values) > 1e-13 * len(values) * np.abs(values).max(initial=0.0)
    if (values[live] > 0).any() and (values[live] < 0).any():
        raise SpecificationError(
            f"a quadratic needs a Hessian without eigenvalues of both signs, got "
            f"{np.round(2.0 * values, 6).tolist()} of {expression}"
        )
    rows = [
        sympy.Add(*(float(math.sqrt(abs(w)) * c) * v for c, v in zip(vector, variables, strict=True)))
        for w, vector in zip(values[live], vectors.T[live], strict=True)
    ]
    sign = -1 if (values[live] < 0).any() else 1
    return sign * SumSquares(*rows) if rows else sympy.Integer(0)


def complete_squares(expression: sympy.Basic, variables: Sequence[sympy.Symbol]) -> tuple[sympy.Basic, ...]:
    r"""Affine parts whose norm is the root of a sum of squares plus affine terms; none where there are no such parts.

    With :math:`2 M^\top d = b`, :math:`|M y + f|^2 + b^\top y + c = |M y + f + d|^2 + c - 2 f^\top d - |d|^2`.

    Args:
        expression: `SumSquares` of affine parts, and affine terms.
        variables: its variables.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> complete_squares(SumSquares(x, y) + 2 * x + 5, [x, y])
        (x + 1.0, y, 2.00000000000000)
    """
    terms = sympy.Add.make_args(expression)
    squares = [term for term in terms if isinstance(term, SumSquares)]
    rest = sympy.Add(*(term for term in terms if not isinstance(term, SumSquares)))
    if len(squares) != 1:
        return ()
    parts = squares[0].args
    if rest.is_number:
        return () if not rest.is_nonnegative else parts if rest == 0 else (*parts, sympy.sqrt(rest))
    if any(part.free_symbols - set(variables) for part in (*parts, rest)):
        return ()
    linear = np.array([rest.coeff(v) for v in variables], dtype=np.float64)
    constant = sympy.expand(rest - sympy.Add(*(rest.coeff(v) * v for v in variables)))
    if not constant.is_number:
        return ()
    rows = np.array([[part.coeff(v) for v in variables] for part in parts], dtype=np.float64)
    fixed = np.array([part.as_coeff_Add()[0] for part in parts], dtype=np.float64)
    shift = np.linalg.lstsq(2.0 * rows.T, linear, rcond=None)[0]
    left = float(constant) - 2.0 * fixed @ shift - shift @ shift
    rounding = 1e-12 * (1.0 + float(shift @ shift))
    if np.abs(2.0 * rows.T @ shift - linear).max() > rounding or left < -rounding:
        return ()
    moved = tuple(part + float(d) if d else part for part, d in zip(parts, shift, strict=True))
    return (*moved, sympy.Float(math.sqrt(left))) if left > rounding else moved
