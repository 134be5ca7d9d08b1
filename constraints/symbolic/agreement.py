"""Values at places against values that hold everywhere: do equations and conditions agree?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import sympy

from constraints.domains import Cuboid
from constraints.errors import InfeasibleError
from constraints.sets.zero import Zero
from constraints.symbolic.conditions import Pin
from constraints.symbolic.field_equation import FieldEquation
from constraints.symbolic.pins import require_agreement

__all__ = ["require_consistent"]


def require_consistent(rules: Mapping[str, FieldEquation]) -> None:
    """Refuse conditions of which one wants another value than another at the same place, or than is given everywhere.

    Raises:
        InfeasibleError: names the two rules.

    Example:
        >>> require_consistent({})
    """
    for (one, first), (two, second) in itertools.permutations(rules.items(), 2):
        if first.fields != second.fields:
            continue
        pins = [c for c in second.conditions if isinstance(c, Pin) and _meets(first, c)]
        broken = _broken_value([first], pins) or _broken_equation(first, pins)
        if broken:
            raise InfeasibleError(f"rules `{one}` and `{two}`: conditions contradict each other: {broken}")
    _require_equations(rules)
    for two, second in rules.items():
        for pin in (c for c in second.conditions if isinstance(c, Pin)):
            same = {n: r for n, r in rules.items() if n != two and r.fields == second.fields and _meets(r, pin)}
            several = {n: r for n, r in same.items() if isinstance(r.constraint, Zero) and r.pointwise()}
            broken = _broken_value(list(several.values()), [pin]) if len(several) > 1 else ""
            if broken:
                named = ", ".join(f"`{name}`" for name in several)
                raise InfeasibleError(f"rules {named} and `{two}`: conditions contradict each other: {broken}")
    for (one, first), (two, second) in itertools.combinations(rules.items(), 2):
        if first.fields != second.fields:
            continue
        pins = [c for c in (*first.conditions, *second.conditions) if isinstance(c, Pin)]
        try:
            require_agreement(pins, first.coordinates)
        except InfeasibleError as error:
            raise InfeasibleError(f"rules `{one}` and `{two}`: {error}") from error


def _require_equations(rules: Mapping[str, FieldEquation]) -> None:
    """Refuse values of two or three rules at one place that break an equation, or inequality, of another there."""
    for one, first in rules.items():
        told = {
            name: [c for c in rule.conditions if isinstance(c, Pin) and _meets(first, c)]
            for name, rule in rules.items()
            if name != one and rule.fields == first.fields
        }
        told = {name: pins for name, pins in told.items() if pins} if first.pointwise() else {}
        for several in (*itertools.combinations(told, 2), *itertools.combinations(told, 3)):
            broken = _broken_equation(first, [pin for name in several for pin in told[name]])
            if broken:
                named = ", ".join(f"`{name}`" for name in several)
                raise InfeasibleError(f"rules {named} and `{one}`: conditions contradict each other: {broken}")


def _meets(rule: FieldEquation, pin: Pin) -> bool:
    """Whether the domain of a rule reaches all of a place."""
    if not isinstance(rule.domain, Cuboid):
        return rule.domain is None
    low, high = (bound.tolist() for bound in rule.domain.bounds)
    reaches = low[pin.axis] <= float(pin.at) <= high[pin.axis]
    return reaches and all(low[i] <= start and end <= high[i] for i, start, end in pin.extent)


def _broken_value(rules: Sequence[FieldEquation], pins: Sequence[Pin]) -> str:
    """The place of a condition that breaks what linear equations make of a field everywhere; empty where none does."""
    symbols: dict[int, sympy.Symbol] = {}
    equations = []
    equal = [rule for rule in rules if isinstance(rule.constraint, Zero)]
    for expression, own in (one for rule in equal for one in rule.pointwise()):
        for field, symbol in own.items():
            symbols.setdefault(field, sympy.Dummy(f"field {field}", real=True))
            expression = expression.xreplace({symbol: symbols[field]})
        if (
            expression.is_polynomial(*symbols.values())
            and sympy.Poly(expression, *symbols.values()).total_degree() == 1
        ):
            equations.append(expression)
    coordinates = _coordinates(rules[0])
    for solution in sympy.solve(equations, list(symbols.values()), dict=True) if equations else []:
        for pin in pins:
            value = solution.get(symbols.get(pin.field))
            if value is None or value.free_symbols & set(symbols.values()):
                continue
            if _differs(pin.apply(value, coordinates), (value, pin.value), _place(rules[0], pin)):
                return (
                    f"one gives the field the value {value} everywhere, which breaks the other at "
                    f"{coordinates[pin.axis]} = {pin.at}"
                )
    return ""


def _broken_equation(rule: FieldEquation, pins: Sequence[Pin]) -> str:
    """The place of values that break an equation between fields at one point; empty where there is none."""
    coordinates = _coordinates(rule)
    sides: dict[tuple[int, sympy.Expr], dict[int, Pin]] = {}
    for pin in pins:
        if dict(pin.factors).keys() == {0}:
            sides.setdefault((pin.axis, pin.at), {})[pin.field] = pin
    for (axis, at), side in sides.items():
        for expression, symbols in rule.pointwise():
            if not symbols.keys() <= side.keys():
                continue
            values = {symbol: side[f].value / dict(side[f].factors)[0] for f, symbol in symbols.items()}
            there = expression.subs(values).subs(coordinates[axis], at)
            place: dict[sympy.Symbol, sympy.Expr] = {}
            for field in symbols:
                place |= _place(rule, side[field])
            equal = isinstance(rule.constraint, Zero)
            if _differs(there, [part.subs(values) for part in sympy.Add.make_args(expression)], place, equal=equal):
                what = "equation" if equal else "inequality"
                return f"the values of one at {coordinates[axis]} = {at} break the {what} of the other"
    return ""


def _differs(
    gap: sympy.Expr,
    parts: Sequence[sympy.Expr],
    place: Mapping[sympy.Symbol, sympy.Expr],
    *,
    equal: bool = True,
) -> bool:
    """Whether a gap at a place is more than rounding of the size of its parts; False where it has no value."""
    size = sum(abs(complex(sympy.N(part.subs(place)))) for part in parts) or 1.0
    value = complex(sympy.N(gap.subs(place)))
    return (abs(value) if equal else value.real) > 1e-8 * size


def _place(rule: FieldEquation, pin: Pin) -> dict[sympy.Symbol, sympy.Expr]:
    """A place on a condition's side, no corner and no middle."""
    coordinates = _coordinates(rule)
    at: dict[sympy.Symbol, sympy.Expr] = {x: sympy.Rational(3 + i, 10) for i, x in enumerate(coordinates)}
    if isinstance(rule.domain, Cuboid):
        ranges = zip(coordinates, rule.ranges.values(), strict=True)
        at = {x: sympy.Float(low + 0.37 * (high - low)) for x, (low, high) in ranges}
    at |= {coordinates[i]: sympy.Float(low + 0.37 * (high - low)) for i, low, high in pin.extent}
    return {**at, coordinates[pin.axis]: pin.at}


def _coordinates(rule: FieldEquation) -> list[sympy.Symbol]:
    return [sympy.Symbol(x.name, real=True) for x in rule.coordinates]
