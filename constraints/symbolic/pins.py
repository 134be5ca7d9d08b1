"""Pins of one field along one coordinate: each once, those that follow from others, those that contradict."""

from __future__ import annotations

from collections.abc import Sequence

import sympy

from constraints.errors import InfeasibleError, UnsupportedError
from constraints.symbolic.conditions import Pin
from constraints.symbolic.extent import apart, merge
from constraints.symbolic.place_conditions import independent

__all__ = ["distinct_pins", "require_agreement"]


def require_agreement(pins: Sequence[Pin], coordinates: Sequence[sympy.Symbol]) -> None:
    """Refuse pins that want different values of the same at the same place.

    Raises:
        InfeasibleError: two that do.

    Example:
        >>> require_agreement([], [])
    """
    for axis, x in enumerate(coordinates):
        for field in {pin.field for pin in pins}:
            _unit_pins([pin for pin in pins if (pin.axis, pin.field) == (axis, field)], x)


def _unit_pins(pins: Sequence[Pin], x: sympy.Symbol) -> list[Pin]:
    """Each condition once, its highest derivative with the factor 1, on the whole of the part where it holds."""
    found: dict[tuple[sympy.Expr, tuple[tuple[int, sympy.Expr], ...]], list[Pin]] = {}
    for pin in pins:
        lead = pin.factors[-1][1]
        factors = tuple((k, sympy.simplify(a / lead)) for k, a in pin.factors if a != 0)
        one = Pin(pin.field, pin.axis, sympy.simplify(pin.at), factors, pin.value / lead, pin.extent)
        several = found.setdefault((one.at, factors), [])
        for i, old in enumerate(several):
            if sympy.simplify(old.value - one.value) == 0:
                several[i : i + 1] = [
                    Pin(old.field, old.axis, old.at, factors, old.value, extent)
                    for extent in merge([old.extent, one.extent])
                ]
                break
            if not apart(old.extent, one.extent):
                raise InfeasibleError(
                    f"conditions contradict each other: one wants {old.value} at {x} = {one.at}, another {one.value}"
                )
        else:
            several.append(one)
    return [pin for several in found.values() for pin in several]


def distinct_pins(pins: Sequence[Pin], x: sympy.Symbol) -> list[Pin]:
    """Those of `_unit_pins` that are no sums of others.

    Raises:
        InfeasibleError: a sum of others with another value.
        UnsupportedError: several values on parts of one side, or conditions on parts that overlap.

    Example:
        >>> x, one = sympy.Symbol("x", real=True), sympy.Integer(1)
        >>> wall = Pin(0, 0, one, ((0, one),), one)
        >>> len(distinct_pins([wall, Pin(0, 0, one, ((0, 2 * one),), 2 * one)], x))
        1
    """
    units = _unit_pins(pins, x)
    for i, one in enumerate(units):
        for other in units[:i]:
            if one.at != other.at or one.extent == other.extent:
                continue
            if one.factors != other.factors or not apart(one.extent, other.extent) or one.value != other.value:
                raise UnsupportedError(
                    f"no field is known with different conditions on parts of the side {x} = {one.at}: embed all but "
                    f"one of them as Soft"
                )
    kept = [units[i] for i in independent([one.functional for one in units])]
    table = sympy.Matrix([[one.functional.get(c, 0) for c in _keys(units)] for one in kept])
    for one in units:
        if one in kept or any(one.factors == other.factors and one.at == other.at for other in kept):
            continue
        row = sympy.Matrix([[one.functional.get(c, 0) for c in _keys(units)]])
        weights, _ = table.T.gauss_jordan_solve(row.T)
        total = sum(w * other.value for w, other in zip(weights, kept, strict=True))
        if sympy.simplify(total - one.value) != 0:
            raise InfeasibleError(
                f"conditions contradict each other: of those at {x} = {one.at} one follows from the others, with the "
                f"value {sympy.simplify(total)} and not {one.value}"
            )
    return [one for one in units if any(one.factors == k.factors and one.at == k.at for k in kept)]


def _keys(pins: Sequence[Pin]) -> list[tuple[sympy.Expr, int]]:
    return list(dict.fromkeys(key for pin in pins for key in pin.functional))
