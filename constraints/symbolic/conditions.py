"""Conditions of fields that a construction can hold: values and slopes at places, periods, mirrors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import sympy

from constraints.domains import Boundary, Domain, Part, Sides
from constraints.symbolic.extent import Bounds, Extent, covers
from constraints.symbolic.place_conditions import Functional
from constraints.symbolic.statement import exact
from constraints.symbolic.terms import Equation, Term

__all__ = ["AxisCondition", "Condition", "Mirror", "Period", "Pin", "Surface", "read_conditions", "read_surfaces"]


FEW = 8  # terms of a condition that may be linear only once it is simplified


@final
@dataclass(frozen=True)
class Pin:
    r""":math:`\sum_k a_k\,\partial_i^k u = g` where coordinate `i` is `at`: initial, Dirichlet, Neumann, Robin.

    Attributes:
        field: which field.
        axis: which coordinate.
        at: its value, a number.
        factors: :math:`a_k` by order `k`, numbers.
        value: `g`, of the other coordinates.
        extent: on which part of that side.
    """

    field: int
    axis: int
    at: sympy.Expr
    factors: tuple[tuple[int, sympy.Expr], ...]
    value: sympy.Expr
    extent: Extent = ()

    @property
    def functional(self) -> Functional:
        """:math:`a_k` by place and order."""
        return {(self.at, k): a for k, a in self.factors if a != 0}

    def apply(self, u: sympy.Expr, coordinates: Sequence[sympy.Symbol]) -> sympy.Expr:
        """What the condition wants to be 0, of a known field."""
        x = coordinates[self.axis]
        return sum((a * u.diff(x, k).subs(x, self.at) for k, a in self.factors), -self.value)


@final
@dataclass(frozen=True)
class Period:
    """A derivative of some order, or the value, is the same where coordinate `axis` is `low` and `high`."""

    field: int
    axis: int
    low: sympy.Expr
    high: sympy.Expr
    order: int
    extent: Extent = ()

    @property
    def functional(self) -> Functional:
        """Its factors by place and order."""
        return {(self.low, self.order): sympy.Integer(1), (self.high, self.order): sympy.Integer(-1)}

    def apply(self, u: sympy.Expr, coordinates: Sequence[sympy.Symbol]) -> sympy.Expr:
        """What the condition wants to be 0, of a known field."""
        x = coordinates[self.axis]
        slope = u.diff(x, self.order)
        return slope.subs(x, self.low) - slope.subs(x, self.high)


@final
@dataclass(frozen=True)
class Mirror:
    """`u(2 c - x) = sign * u(x)`: even, or odd, about `center`; its extent bounds all coordinates, `x` evenly."""

    field: int
    axis: int
    center: sympy.Expr
    sign: int
    extent: Extent = ()

    def apply(self, u: sympy.Expr, coordinates: Sequence[sympy.Symbol]) -> sympy.Expr:
        """What the condition wants to be 0, of a known field."""
        x = coordinates[self.axis]
        return u.subs(x, 2 * self.center - x) - self.sign * u


@final
@dataclass(frozen=True)
class Surface:
    """`u = g` on a whole boundary, or the sides of a cylinder.

    Attributes:
        field: which field.
        value: `g`, of the coordinates.
        domain: the boundary.
        extent: of a cylinder, the bounds of the coordinates along it.
    """

    field: int
    value: sympy.Expr
    domain: Boundary
    extent: Extent = ()

    def encloses(self, bounds: Bounds) -> bool:
        """Whether the boundary is around all of the domain, so that the field is on one side of it."""
        low, high = (ends.tolist() for ends in self.domain.bounds)
        along = {axis for axis, *_ in self.extent}
        around = tuple((i, low[i], high[i]) for i in range(len(low)) if i not in along)
        return covers(around, bounds)


AxisCondition: TypeAlias = Pin | Period | Mirror
Condition: TypeAlias = AxisCondition | Surface


def read_conditions(equations: Sequence[Equation], coordinates: Sequence[sympy.Symbol]) -> list[Condition] | str:
    """The conditions that equations are, or why one is none.

    Example:
        >>> from constraints.symbolic.terms import read_equation
        >>> x, t = sympy.symbols("x t")
        >>> u = sympy.Function("u")(x, t)
        >>> (pin,) = read_conditions([read_equation(u.subs(t, 0) - sympy.sin(x), [u])], [x, t])
        >>> pin.axis, pin.at, pin.value
        (1, 0, sin(x))
        >>> read_conditions([read_equation(u.diff(t) - u, [u])], [x, t])
        '-u(x, t) + Derivative(u(x, t), t) speaks of a field everywhere'
    """
    found: list[Condition] = []
    for equation in equations:
        one = _read(equation, list(coordinates))
        if isinstance(one, str):
            return one
        found.append(one)
    return found


def read_surfaces(
    equations: Sequence[Equation], coordinates: Sequence[sympy.Symbol], domain: Boundary
) -> list[Condition] | str:
    """The values that equations give a field all along a boundary, or why one gives none.

    Example:
        >>> from constraints.domains import Ball
        >>> from constraints.symbolic.terms import read_equation
        >>> x, y = sympy.symbols("x y")
        >>> u = sympy.Function("u")(x, y)
        >>> circle = Ball([0.0, 0.0], 1.0).boundary()
        >>> (surface,) = read_surfaces([read_equation(2 * u - x, [u])], [x, y], circle)
        >>> surface.value
        x/2
    """
    found: list[Condition] = []
    for equation in equations:
        if _is_part(domain):
            return f"{equation.shown} is to hold on a part of a boundary, of which no distance function is known"
        ((symbol, term), *others) = equation.terms.items()
        gap = sympy.expand(exact(equation.expression))
        factor = gap.coeff(symbol)
        rest = gap - factor * symbol
        here = not _moved(term, coordinates) and not any(term.orders)
        plain = factor.is_number and factor != 0 and not rest.free_symbols - set(coordinates)
        if others or not here or not plain:
            return f"{equation.shown} does not give a value along the boundary"
        found.append(Surface(term.field, -rest / factor, domain, _along(domain)))
    return found


def _read(equation: Equation, coordinates: list[sympy.Symbol]) -> Condition | str:
    terms, shown = equation.terms, equation.shown
    gap = sympy.expand(exact(equation.expression))
    factors = {s: gap.coeff(s) for s in terms}
    rest = gap - sum(c * s for s, c in factors.items())
    if len(terms) <= FEW or not rest.free_symbols & set(terms):  # a sum over many places would take seconds
        rest = sympy.simplify(rest)
    if rest.free_symbols & set(terms) or any(c.free_symbols & set(terms) for c in factors.values()):
        return f"{shown} is not linear in the field"
    if len({term.field for term in terms.values()}) > 1:
        return f"{shown} speaks of several fields"
    (field,) = {term.field for term in terms.values()}
    moved = {s: _moved(term, coordinates) for s, term in terms.items()}
    if any(len(axes) > 1 for axes in moved.values()):
        return f"{shown} fixes several coordinates at once"
    axes = {axis for one in moved.values() for axis in one}
    if len(axes) != 1:
        return f"{shown} speaks of a field everywhere" if not axes else f"{shown} fixes several coordinates"
    (axis,) = axes
    x = coordinates[axis]
    orders = {s: _order(term, axis) for s, term in terms.items()}
    if any(k is None for k in orders.values()):
        return f"{shown} has derivatives along the place"
    if rest.free_symbols - set(coordinates) or any(c.free_symbols for c in factors.values()):
        return f"{shown} has coefficients that vary, or are learnt"
    places = {s: exact(term.place[axis]) for s, term in terms.items()}
    if all(p.is_number for p in places.values()):
        return _at_numbers(shown, field, axis, places, {s: orders[s] or 0 for s in terms}, factors, -rest, x)
    if len(terms) == 2 and rest == 0 and not any(orders.values()):
        (one, two) = sorted(terms, key=lambda s: places[s] != x)
        sign, shift = -factors[two] / factors[one], places[two] + x
        if places[one] == x and not shift.has(x) and shift.is_number and abs(sign) == 1:
            return Mirror(field, axis, shift / 2, int(sign))
    return f"{shown} speaks of places that move"


def _at_numbers(
    shown: str,
    field: int,
    axis: int,
    places: dict[sympy.Symbol, sympy.Expr],
    orders: dict[sympy.Symbol, int],
    factors: dict[sympy.Symbol, sympy.Expr],
    value: sympy.Expr,
    x: sympy.Symbol,
) -> Condition | str:
    points = set(places.values())
    if len(points) == 1:
        if value.has(x):
            return f"{shown} wants a value that varies with {x}, which it fixes"
        several = tuple(sorted((orders[s], factors[s]) for s in places))
        return Pin(field, axis, next(iter(points)), several, value)
    one, *others = places
    if len(places) == 2 and value == 0 and factors[one] == -factors[others[0]] and len(set(orders.values())) == 1:
        low, high = sorted(points, key=float)
        return Period(field, axis, low, high, orders[one])
    return f"{shown} ties several places"


def _is_part(domain: Domain) -> bool:
    """Whether a boundary is not a whole one, so that its distance function is 0 elsewhere, too."""
    return isinstance(domain, Part) or (
        isinstance(domain, Sides) and (_is_part(domain.first) or _is_part(domain.second))
    )


def _along(domain: Domain, first: int = 0) -> Extent:
    """The bounds of the coordinates along a cylinder, whose numbers begin with `first`."""
    if isinstance(domain, Sides):
        return _along(domain.first, first) + _along(domain.second, first + domain.first.dimension)
    if isinstance(domain, Boundary):
        return ()
    low, high = domain.bounds
    return tuple((first + i, a, b) for i, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True)))


def _moved(term: Term, coordinates: Sequence[sympy.Symbol]) -> list[int]:
    """Which coordinates of a place are not those of the point."""
    return [i for i, (p, x) in enumerate(zip(term.place, coordinates, strict=True)) if p != x]


def _order(term: Term, axis: int) -> int | None:
    """Of the derivative along an axis; None where it is along others, too."""
    return None if sum(term.orders) != term.orders[axis] else term.orders[axis]
