"""What an equation asks of its fields: which derivatives, at which places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import sympy
from sympy.core.function import AppliedUndef

from constraints.errors import SpecificationError
from constraints.symbolic.quadrature import Integrand, by_quadrature, integrands

__all__ = ["Equation", "Term", "as_real", "read_equation"]

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
        integrands: of its integrals, at the nodes of quadrature.
    """

    expression: sympy.Expr
    terms: dict[sympy.Symbol, Term]
    shown: str = ""
    integrands: tuple[Integrand, ...] = ()

    def part(self, expression: sympy.Expr) -> Equation:
        """Another expression of the same terms."""
        terms = {s: self.terms[s] for s in expression.free_symbols & self.terms.keys()}
        return Equation(expression, terms, self.shown)

    def renamed(self, names: Mapping[sympy.Symbol, sympy.Symbol]) -> Equation:
        """With other symbols of the coordinates."""
        terms = {
            s: Term(t.field, tuple(p.xreplace(dict(names)) for p in t.place), t.orders) for s, t in self.terms.items()
        }
        parts = tuple(one.map(lambda e: e.xreplace(dict(names))) for one in self.integrands)
        return Equation(self.expression.xreplace(dict(names)), terms, self.shown, parts)


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

    real = as_real(gap)
    expression = _without_vanishing(walk(as_real(by_quadrature(real, nodes).doit()).doit()))
    parts = tuple(one.map(lambda e: walk(as_real(e.doit()).doit())) for one in integrands(real, nodes))
    return Equation(expression, {symbol: term for term, symbol in found.items()}, str(gap), parts)


def _without_vanishing(e: sympy.Expr) -> sympy.Expr:
    """Without the Dirac deltas of a term whose factors are 0 there, as of `Max(u, 0)**2` differentiated twice."""
    for delta in e.atoms(sympy.DiracDelta):
        (at, *_) = delta.args
        place = sympy.Dummy(real=True)
        factor = e.xreplace({delta: place}).diff(place)
        if at.is_Symbol and factor.subs(at, 0) == 0:
            e = e.xreplace({delta: sympy.Integer(0)})
    return e


def as_real(e: sympy.Expr) -> sympy.Expr:
    """The same of real coordinates and fields: what sympy makes of the derivative of `Abs` has real parts in it."""
    if not e.has(sympy.re, sympy.im, sympy.conjugate):
        return e
    return (
        e.replace(sympy.re, lambda z: z)
        .replace(sympy.im, lambda z: sympy.Integer(0))
        .replace(sympy.conjugate, lambda z: z)
    )


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
