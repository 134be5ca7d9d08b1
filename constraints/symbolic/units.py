"""Units of a statement: what is added and compared must be of one kind, and is brought to one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import sympy
from sympy.core.relational import Relational
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.physics import units as si
from sympy.physics.units import Quantity, convert_to

from constraints.errors import SpecificationError
from constraints.sympy_input import as_expression

__all__ = ["Dimension", "dimension_of", "in_si", "require_units", "scale_of", "unit_of_relation"]

BASE = (si.meter, si.kilogram, si.second, si.ampere, si.kelvin, si.mole, si.candela)
NAMES = ("m", "kg", "s", "A", "K", "mol", "cd")
SAME = (sympy.Add, sympy.Max, sympy.Min, sympy.Mod)
KEEPING = (sympy.Abs, sympy.floor, sympy.ceiling)
RELATIVE = (sympy.atan2, sympy.sign, sympy.Heaviside)


@final
@dataclass(frozen=True, slots=True)
class Dimension:
    """Powers of the base units.

    Attributes:
        powers: of metre, kilogram, second, ampere, kelvin, mole and candela.

    Example:
        >>> print(Dimension((1, 0, -1, 0, 0, 0, 0)))
        m s^-1
    """

    powers: tuple[sympy.Rational, ...]

    def __str__(self) -> str:
        parts = [f"{n}{'' if p == 1 else f'^{p}'}" for n, p in zip(NAMES, self.powers, strict=True) if p != 0]
        return " ".join(parts) or "1"

    def times(self, other: Dimension) -> Dimension:
        """Of a product."""
        return Dimension(tuple(a + b for a, b in zip(self.powers, other.powers, strict=True)))

    def power(self, exponent: sympy.Expr) -> Dimension:
        """Of a power."""
        return Dimension(tuple(a * exponent for a in self.powers))


NONE = Dimension((sympy.Integer(0),) * len(BASE))


def in_si(statement: sympy.Basic, units: Mapping[sympy.Symbol, sympy.Expr]) -> sympy.Basic:
    """The statement with each symbol scaled from its unit to SI units, and units inside it as numbers.

    Args:
        statement: with quantities of `sympy.physics.units` in it, or without.
        units: the unit of each symbol; symbols without one are pure numbers.

    Raises:
        SpecificationError: what adds, compares or equates different kinds; names both.

    Example:
        >>> v, d = sympy.symbols("v d")
        >>> in_si(d >= v * 2 * si.second, {v: si.kilometer / si.hour, d: si.meter})
        d >= 5*v/9
        >>> in_si(d >= v, {v: si.kilometer / si.hour, d: si.meter})
        Traceback (most recent call last):
        constraints.errors.SpecificationError: units need to agree: d is in m, v is in m s^-1, in d >= v
    """
    scales: dict[sympy.Basic, sympy.Expr] = {}
    kinds: dict[sympy.Basic, Dimension] = {}
    for symbol, unit in units.items():
        factor, kinds[symbol] = scale_of(unit)
        scales[symbol] = factor * symbol
    for quantity in statement.atoms(Quantity):
        scales[quantity], kinds[quantity] = scale_of(quantity)
    _check(statement, kinds)
    return statement.xreplace(scales)


def unit_of_relation(statement: sympy.Basic, units: Mapping[sympy.Symbol, sympy.Expr]) -> str:
    """The SI unit in which violations of a statement are measured; empty where its relations differ.

    Example:
        >>> v = sympy.Symbol("v")
        >>> unit_of_relation(v <= 2, {v: si.meter / si.second})
        'm s^-1'
    """
    kinds: dict[sympy.Basic, Dimension] = {s: scale_of(u)[1] for s, u in units.items()}
    kinds |= {quantity: scale_of(quantity)[1] for quantity in statement.atoms(Quantity)}
    found = set()
    for relation in statement.atoms(Relational):
        sides = [_dimension(side, kinds) for side in (relation.lhs, relation.rhs)]
        known = [side for side in sides if side is not None]
        found.add(str(known[0]) if known else "1")
    return found.pop() if len(found) == 1 else ""


def scale_of(unit: sympy.Expr) -> tuple[sympy.Expr, Dimension]:
    """How many SI units a unit is, and of which kind.

    Example:
        >>> scale_of(si.kilometer / si.hour)[0]
        5/18

    Raises:
        SpecificationError: what is no product of units and positive numbers.
    """
    plain = as_expression(unit, "a unit").xreplace(
        {si.degree: sympy.pi / 180, si.radian: sympy.Integer(1), si.percent: sympy.Rational(1, 100)}
    )
    converted = convert_to(plain, BASE)
    factor, kind = sympy.Integer(1), NONE
    for part in sympy.Mul.make_args(converted):
        base, exponent = part.as_base_exp()
        if base in BASE and exponent.is_Rational:
            at = tuple(exponent if b == base else sympy.Integer(0) for b in BASE)
            kind = kind.times(Dimension(at))
        elif part.is_number and not part.atoms(Quantity) and part.is_positive:
            factor *= part
        else:
            raise SpecificationError(f"a unit needs to be a product of units of sympy.physics.units, got {unit}")
    return factor, kind


def dimension_of(e: sympy.Basic, kinds: Mapping[sympy.Basic, Dimension]) -> Dimension | None:
    """The kind of an expression; None of 0, which is of any.

    Raises:
        SpecificationError: what adds different kinds.

    Example:
        >>> v = sympy.Symbol("v")
        >>> print(dimension_of(3 * v**2, {v: scale_of(si.meter)[1]}))
        m^2
    """
    return _dimension(e, kinds)


def require_units(relation: Relational, kinds: Mapping[sympy.Basic, Dimension]) -> Dimension | None:
    """The kind of both sides of a relation.

    Raises:
        SpecificationError: what adds or compares different kinds.

    Example:
        >>> v, w = sympy.symbols("v w")
        >>> print(require_units(v <= w, {v: scale_of(si.meter)[1], w: scale_of(si.foot)[1]}))
        m
    """
    return _agree([relation.lhs, relation.rhs], kinds, relation)


def _check(s: sympy.Basic, kinds: Mapping[sympy.Basic, Dimension]) -> None:
    """Refuse a statement whose units do not agree."""
    if isinstance(s, Relational):
        _agree([s.lhs, s.rhs], kinds, s)
    elif isinstance(s, sympy.Symbol):
        if s in kinds:
            raise SpecificationError(f"a label has no unit, got {s} in {kinds[s]}")
    else:
        for part in s.args:
            _check(part, kinds)


def _agree(parts: list[sympy.Basic], kinds: Mapping[sympy.Basic, Dimension], whole: sympy.Basic) -> Dimension | None:
    """The dimension that all parts have; None for zeros, which are of any kind."""
    known = [(part, kind) for part in parts if (kind := _dimension(part, kinds)) is not None]
    for part, kind in known[1:]:
        if kind != known[0][1]:
            raise SpecificationError(
                f"units need to agree: {known[0][0]} is in {known[0][1]}, {part} is in {kind}, in {whole}"
            )
    return known[0][1] if known else None


def _dimension(e: sympy.Basic, kinds: Mapping[sympy.Basic, Dimension]) -> Dimension | None:
    if e in kinds:
        return kinds[e]
    if e == 0:
        return None
    if e.is_number or isinstance(e, sympy.Symbol):
        return NONE
    if isinstance(e, sympy.Mul):
        kind: Dimension = NONE
        for part in e.args:
            kind = kind.times(_dimension(part, kinds) or NONE)
        return kind
    if isinstance(e, sympy.Pow):
        return _power(e, kinds)
    if isinstance(e, sympy.Piecewise):
        cases = [p for p in e.args if isinstance(p, ExprCondPair)]
        for case in cases:
            _check(case.cond, kinds)
        return _agree([case.expr for case in cases], kinds, e)
    if isinstance(e, SAME):
        return _agree(list(e.args), kinds, e)
    if isinstance(e, KEEPING):
        return _dimension(e.args[0], kinds)
    if isinstance(e, RELATIVE):
        _agree(list(e.args[: 1 if isinstance(e, sympy.Heaviside) else 2]), kinds, e)
        return NONE
    for part in e.args:  # exp, log, sin, ...: of pure numbers
        kind_of = _dimension(part, kinds)
        if kind_of not in (None, NONE):
            raise SpecificationError(f"units need to cancel inside {e.func.__name__}, got {part} in {kind_of}")
    return NONE


def _power(e: sympy.Pow, kinds: Mapping[sympy.Basic, Dimension]) -> Dimension | None:
    kind = _dimension(e.base, kinds)
    if _dimension(e.exp, kinds) not in (None, NONE):
        raise SpecificationError(f"units need to cancel in an exponent, got {e.exp} in {_dimension(e.exp, kinds)}")
    if kind in (None, NONE):
        return kind
    if not e.exp.is_Rational:
        raise SpecificationError(f"what has a unit needs a fixed exponent, got {e}")
    assert kind is not None
    return kind.power(e.exp)
