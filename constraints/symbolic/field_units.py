"""Units of equations: what is added must be of one kind, and residuals are in SI units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.physics.units import Quantity

from constraints.errors import SpecificationError
from constraints.symbolic.rescale import rescale
from constraints.symbolic.units import Dimension, dimension_of, require_units, scale_of

__all__ = ["equation_in_si"]

Units = Mapping[sympy.Symbol | AppliedUndef, sympy.Expr]


def equation_in_si(relation: Relational, fields: Sequence[AppliedUndef], units: Units) -> tuple[Relational, str]:
    """An equation of fields and coordinates in units of their own, as one whose residual is in SI units.

    Args:
        relation: with quantities of `sympy.physics.units` in it, or without; places need their unit, but for 0.
        fields: the model's outputs.
        units: of coordinates, fields and parameters; those left out are pure numbers.

    Returns:
        The relation of the same symbols, and the unit of its residual.

    Raises:
        SpecificationError: what adds, compares or equates different kinds; names both.

    Example:
        >>> from sympy.physics.units import centimeter, kelvin, meter, minute, second
        >>> x, t = sympy.symbols("x t")
        >>> u = sympy.Function("u")(x, t)
        >>> heat = sympy.Eq(u.diff(t), (meter**2 / second / 10000) * u.diff(x, 2))
        >>> equation_in_si(heat, [u], {x: centimeter, t: minute, u: kelvin})
        (Eq(Derivative(u(x, t), t)/60, Derivative(u(x, t), (x, 2))), 's^-1 K')
        >>> equation_in_si(sympy.Eq(u.diff(t), u), [u], {x: centimeter, t: minute, u: kelvin})
        Traceback (most recent call last):
        constraints.errors.SpecificationError: units need to agree: Derivative(u(x, t), t) is in s^-1 K, ...
    """
    coordinates = fields[0].args
    scaled = {s: scale_of(unit) for s, unit in units.items()}
    kinds: dict[sympy.Basic, Dimension] = {s: kind for s, (_, kind) in scaled.items()}
    factors: dict[sympy.Basic, sympy.Expr] = {s: factor for s, (factor, _) in scaled.items()}
    quantities = {q: scale_of(q) for q in relation.atoms(Quantity)}
    kinds |= {q: kind for q, (_, kind) in quantities.items()}
    none = dimension_of(sympy.Integer(1), {})
    assert none is not None

    def kind_at(x: sympy.Symbol) -> Dimension:
        return kinds.get(x, none)

    def stand_in(part: sympy.Basic, kind: Dimension) -> sympy.Symbol:
        symbol = sympy.Symbol(str(part), real=True)
        kinds[symbol] = kind
        return symbol

    def require_place(x: sympy.Symbol, place: sympy.Expr) -> None:
        kind = dimension_of(walk(place), kinds)
        if kind is not None and kind != kind_at(x):
            raise SpecificationError(f"units need to agree: {x} is in {kind_at(x)}, its place {place} is in {kind}")

    def value(part: Any, variables: Sequence[sympy.Symbol] = ()) -> Dimension:
        own = [field for field in fields if field.func == part.func]
        if not own:
            raise SpecificationError(f"an equation needs every function among its fields, got {part}")
        for a, x in zip(part.args, coordinates, strict=True):
            if a not in variables:
                require_place(x, a)
        return kinds.get(own[0], none)

    def slope(part: Any, variables: Sequence[sympy.Symbol] = ()) -> Dimension:
        kind = value(part.expr, variables)
        for variable, count in part.variable_count:
            kind = kind.times(kind_at(coordinates[list(part.expr.args).index(variable)]).power(-count))
        return kind

    def walk(part: Any) -> Any:
        if isinstance(part, sympy.Derivative):
            return stand_in(part, slope(part))
        if isinstance(part, sympy.Subs) and not isinstance(part.expr, sympy.Derivative):
            return walk(part.doit())
        if isinstance(part, sympy.Subs):
            inner = part.expr
            for variable, point in zip(part.variables, part.point, strict=True):
                require_place(coordinates[inner.expr.args.index(variable)], point)
            return stand_in(part, slope(inner, part.variables))
        if isinstance(part, sympy.Integral):
            kind = dimension_of(walk(part.function), kinds) or none
            for variable, *_ in part.limits:
                kind = kind.times(kind_at(variable))
            return stand_in(part, kind)
        if isinstance(part, AppliedUndef):
            return stand_in(part, value(part))
        return part.func(*map(walk, part.args)) if part.args and not isinstance(part, Quantity) else part

    flat = relation.func(walk(relation.lhs), walk(relation.rhs), evaluate=False)
    kind = require_units(flat, kinds)
    numbers = relation.xreplace({q: factor for q, (factor, _) in quantities.items()})
    of_rest = {s: factor * s for s, factor in factors.items() if s not in (*coordinates, *fields)}
    moved = rescale(
        numbers.xreplace(of_rest), fields, {s: f for s, f in factors.items() if s in (*coordinates, *fields)}
    )
    return moved, str(kind) if kind is not None and kind != none else ""
