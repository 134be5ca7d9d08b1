"""What the arguments of a field are: places, and a time."""

from __future__ import annotations

from typing import TypeAlias

import sympy
from sympy.core.function import AppliedUndef

from constraints.errors import SpecificationError
from constraints.sympy_input import as_expression

__all__ = ["Number", "expressions", "laplacian", "line_and_time", "places_and_time", "plane", "time_of"]

Number: TypeAlias = sympy.Expr | float
"""A number, a symbol (of a coordinate, or of what is learnt), or an expression of these."""


def expressions(equation: str, **numbers: Number) -> tuple[sympy.Expr, ...]:
    """Arguments of an equation as expressions, in their order.

    Raises:
        SpecificationError: one is neither a number nor an expression of sympy; says which.

    Example:
        >>> expressions("heat", diffusivity=2)
        (2,)
    """
    return tuple(as_expression(value, f"`{name}` of `{equation}`") for name, value in numbers.items())


def laplacian(u: sympy.Expr, places: tuple[sympy.Symbol, ...]) -> sympy.Expr:
    """The sum of the second derivatives.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> laplacian(x**2 * y, (x, y))
        2*y
    """
    return sympy.Add(*(u.diff(x, 2) for x in places))


def places_and_time(u: AppliedUndef, equation: str) -> tuple[tuple[sympy.Symbol, ...], sympy.Symbol]:
    """The arguments of a field: places, then a time.

    Raises:
        SpecificationError: no field, or one of fewer than two arguments.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> places_and_time(sympy.Function("u")(x, t), "heat")
        ((x,), t)
    """
    if not isinstance(u, AppliedUndef) or len(u.args) < 2:
        raise SpecificationError(f"`{equation}` needs a field of places and then a time, u(x, t), got {u}")
    *places, time = u.args
    return tuple(places), time


def line_and_time(u: AppliedUndef, equation: str) -> tuple[sympy.Symbol, sympy.Symbol]:
    """The arguments of a field of one place and a time.

    Raises:
        SpecificationError: another number of arguments.
    """
    places, time = places_and_time(u, equation)
    if len(places) != 1:
        raise SpecificationError(f"`{equation}` needs a field of one place and a time, u(x, t), got {u}")
    return places[0], time


def plane(fields: tuple[AppliedUndef, ...], equation: str) -> tuple[sympy.Symbol, sympy.Symbol, sympy.Symbol | None]:
    """The arguments of fields in the plane: two places, and a time where there is one.

    Raises:
        SpecificationError: fields of different arguments, or of another number.
    """
    arguments = {field.args for field in fields if isinstance(field, AppliedUndef)}
    if len(arguments) != 1 or len(found := next(iter(arguments))) not in (2, 3):
        raise SpecificationError(f"`{equation}` needs fields of the same (x, y) or (x, y, t), got {list(fields)}")
    return found[0], found[1], found[2] if len(found) == 3 else None


def time_of(fields: tuple[AppliedUndef, ...], equation: str) -> sympy.Symbol:
    """The one argument of fields that depend on time alone.

    Raises:
        SpecificationError: other arguments.
    """
    arguments = {field.args for field in fields if isinstance(field, AppliedUndef)}
    if len(arguments) != 1 or len(found := next(iter(arguments))) != 1:
        raise SpecificationError(f"`{equation}` needs functions of one time, x(t), got {list(fields)}")
    return found[0]
