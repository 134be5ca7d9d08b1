"""What an equation asks of its fields: which derivatives, at which places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import sympy
from sympy.core.function import AppliedUndef

from constraints.errors import SpecificationError

__all__ = ["Equation", "Term", "read_equation"]

Place = tuple[sympy.Expr, ...]


@final
@dataclass(frozen=True, slots=True)
class Term:
    """A derivative of one field at one place.

    Attributes:
        field: which field, in the order of the model's outputs.
        place: each coordinate of the place, in terms of those of a point: `(0, t)` is the left end.
        orders: how many times along each coordinate; zeros for the value itself.
    """

    field: int
    place: Place
    orders: tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class Equation:
    """An expression of terms, coordinates and parameters: what must be 0, or at most 0.

    Attributes:
        expression: with a symbol for each term.
        terms: what each symbol stands for.
        shown: as it was written.
        tails: of each integral in it that of the integrand's size, and its highest Legendre coefficients along each
            axis that quadrature tells: how far it is from resolved.
    """

    expression: sympy.Expr
    terms: dict[sympy.Symbol, Term]
    shown: str = ""
    tails: tuple[tuple[sympy.Expr, ...], ...] = ()

    def renamed(self, names: Mapping[sympy.Symbol, sympy.Symbol]) -> Equation:
        """With other symbols of the coordinates."""
        terms = {
            s: Term(t.field, tuple(p.xreplace(dict(names)) for p in t.place), t.orders) for s, t in self.terms.items()
        }
        tails = tuple(tuple(e.xreplace(dict(names)) for e in tail) for tail in self.tails)
        return Equation(self.expression.xreplace(dict(names)), terms, self.shown, tails)


def read_equation(gap: sympy.Expr, fields: Sequence[AppliedUndef], nodes: int | None = None) -> Equation:
    """Take the fields and their derivatives out of an expression, and integrals as sums.

    Args:
        gap: left side less right side.
        fields: the fields, all of the same coordinates: `Function("u")(x, t)`.
        nodes: of Gauss-Legendre quadrature along each axis of an integral; by default 32 along a line, 10 along each
            side of a rectangle, 6 along more.

    Raises:
        SpecificationError: a field with another number of arguments, a function that is not among the fields, a
            derivative by something else than a coordinate.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> u = sympy.Function("u")(x, t)
        >>> found = read_equation(u.diff(t) + u * u.diff(x), [u])
        >>> sorted(term.orders for term in found.terms.values())
        [(0, 0), (0, 1), (1, 0)]
        >>> [term.place for term in read_equation(u.subs(t, 0) - x, [u]).terms.values()]
        [(x, 0)]
    """
    coordinates = list(fields[0].args)
    at = {field.func: i for i, field in enumerate(fields)}
    found: dict[Term, sympy.Symbol] = {}

    def name(term: Term) -> sympy.Symbol:
        return found.setdefault(term, sympy.Symbol(f"term {len(found)}", real=True))

    def walk(e: sympy.Basic) -> sympy.Basic:
        if isinstance(e, sympy.Subs):
            return walk(e.expr) if not e.variables else _at(e)
        if isinstance(e, sympy.Derivative):
            return name(_derivative(e, at, coordinates))
        if isinstance(e, AppliedUndef):
            return name(_value(e, at, len(coordinates)))
        return e.func(*map(walk, e.args)) if e.args else e

    def _at(e: sympy.Subs) -> sympy.Symbol:
        inner, put = e.expr, dict(zip(e.variables, e.point, strict=True))
        if isinstance(inner, sympy.Derivative):
            term = _derivative(inner, at, coordinates, free=list(e.variables))
        elif isinstance(inner, AppliedUndef):
            term = _value(inner, at, len(coordinates))
        else:
            raise SpecificationError(f"an equation needs fields and their derivatives at places, got {e}")
        return name(Term(term.field, tuple(p.subs(put) for p in term.place), term.orders))

    real = _as_real(gap)
    expression = walk(_as_real(_by_quadrature(real, nodes).doit()).doit())
    tails = tuple(
        tuple(walk(_as_real(e.doit()).doit()) for e in _tails(integral, nodes))
        for integral in sorted(real.atoms(sympy.Integral), key=str)
        if not integral.function.has(sympy.Integral)
    )
    return Equation(expression, {symbol: term for term, symbol in found.items()}, str(gap), tails)


def _as_real(e: sympy.Expr) -> sympy.Expr:
    """The same of real coordinates and fields: what sympy makes of the derivative of `Abs` has real parts in it."""
    if not e.has(sympy.re, sympy.im, sympy.conjugate):
        return e
    return (
        e.replace(sympy.re, lambda z: z)
        .replace(sympy.im, lambda z: sympy.Integer(0))
        .replace(sympy.conjugate, lambda z: z)
    )


def _by_quadrature(e: sympy.Expr, nodes: int | None) -> sympy.Expr:
    """Integrals as sums over the nodes of Gauss-Legendre quadrature."""
    if not e.has(sympy.Integral):
        return e
    if not isinstance(e, sympy.Integral):
        return e.func(*(_by_quadrature(part, nodes) for part in e.args))
    return _sum(e, _by_quadrature(e.function, nodes), nodes, [None] * len(e.limits))


def _tails(e: sympy.Integral, nodes: int | None) -> list[sympy.Expr]:
    """The integral of the size, and along each axis the two highest Legendre coefficients that the nodes tell.

    Of a resolved integrand these vanish, as the rest of its series does.
    """
    count = nodes or _count(e)
    found = [_sum(e, sympy.Abs(e.function), nodes, [None] * len(e.limits))]
    for axis in range(len(e.limits)):
        for degree in (count - 1, count - 2):
            degrees = [degree if i == axis else None for i in range(len(e.limits))]
            found.append(_sum(e, e.function, nodes, degrees))
    return found


def _count(e: sympy.Integral) -> int:
    return {1: 32, 2: 10}.get(len(e.limits), 6)  # as many places as one pass takes


def _sum(e: sympy.Integral, inner: sympy.Expr, nodes: int | None, degrees: Sequence[int | None]) -> sympy.Expr:
    """The integral of a product with Legendre polynomials of some degrees, one a limit."""
    z, w = np.polynomial.legendre.leggauss(nodes or _count(e))
    for limit, degree in zip(e.limits, degrees, strict=True):
        if len(limit) != 3 or any(end.is_infinite for end in limit[1:]):
            raise SpecificationError(f"an integral needs finite limits, got {e}")
        variable, low, high = limit
        half, middle = (high - low) / 2, (high + low) / 2
        weights = w if degree is None else (2 * degree + 1) * w * np.polynomial.legendre.Legendre.basis(degree)(z)
        inner = sympy.Add(
            *(
                half * sympy.Float(weight) * inner.subs(variable, middle + half * sympy.Float(node))
                for node, weight in zip(z.tolist(), weights.tolist(), strict=True)
            )
        )
    return inner


def _value(e: AppliedUndef, at: dict[type, int], count: int) -> Term:
    if e.func not in at:
        raise SpecificationError(f"an equation needs every function among its fields, got {e}")
    if len(e.args) != count:
        raise SpecificationError(f"a field needs {count} arguments, one a coordinate, got {len(e.args)} in {e}")
    return Term(at[e.func], tuple(e.args), (0,) * count)


def _derivative(
    e: sympy.Derivative, at: dict[type, int], coordinates: Sequence[sympy.Symbol], free: Sequence[sympy.Symbol] = ()
) -> Term:
    if not isinstance(e.expr, AppliedUndef):
        raise SpecificationError(f"an equation needs derivatives of fields, got {e}")
    term = _value(e.expr, at, len(coordinates))
    orders = list(term.orders)
    for variable, count in e.variable_count:
        columns = [i for i, place in enumerate(term.place) if variable in place.free_symbols]
        plain = len(columns) == 1 and term.place[columns[0]] == variable
        if not plain or not (variable in coordinates or variable in free) or not count.is_Integer:
            raise SpecificationError(f"an equation needs derivatives by single coordinates, got {e}")
        orders[columns[0]] += int(count)
    return Term(term.field, term.place, tuple(orders))
