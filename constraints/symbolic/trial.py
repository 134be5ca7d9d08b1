"""A construction tried on a function in the network's place: does it obey, do the conditions agree where they meet?"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import sympy
import torch

from constraints.errors import InfeasibleError, UnsupportedError
from constraints.symbolic.conditions import AxisCondition, Period, Pin, Surface
from constraints.symbolic.statement import exact

if TYPE_CHECKING:
    from constraints.symbolic.construction import Bounds, Construction

__all__ = ["try_conditions", "try_surfaces"]


def try_conditions(
    found: Construction, conditions: Sequence[AxisCondition], coordinates: Sequence[sympy.Symbol], bounds: Bounds
) -> None:
    """Refuse a field that does not obey: where its offset does not, the conditions contradict each other."""
    waves = [sympy.Rational(7 + 3 * i, 10) * f for i, f in enumerate(found.inputs)]
    network = sympy.sin(sum(waves, sympy.Integer(1)))
    fields = [factor * _average(network, found, coordinates, k) for k, factor in enumerate(found.factors)]
    draw = random.Random(0)
    places = []
    for _ in range(3):
        ends = [bounds.get(i, (0.0, 1.0)) for i in range(len(coordinates))]
        places.append(
            {s: low + (high - low) * draw.uniform(0.05, 0.95) for s, (low, high) in zip(coordinates, ends, strict=True)}
        )
    for c in conditions:
        homogeneous = Pin(c.field, c.axis, c.at, c.factors, sympy.Integer(0)) if isinstance(c, Pin) else c
        offset, x = found.offsets[c.field], coordinates[c.axis]
        orders = c.factors if isinstance(c, Pin) else ((c.order if isinstance(c, Period) else 0, sympy.Integer(1)),)
        sides = [sum(a * offset.diff(x, k) for k, a in orders), *([c.value] if isinstance(c, Pin) else [])]
        rounding = _rounding(sides, places)
        for at in places:
            if abs(_number(c.apply(offset, coordinates), at)) > rounding:
                where = {str(s): round(v, 3) for s, v in at.items() if s != x}
                raise InfeasibleError(
                    f"conditions contradict each other where they meet: those along {x} do not hold at {where} "
                    f"together with those along other coordinates"
                )
            if abs(_number(homogeneous.apply(fields[c.field], coordinates), at)) > 1e-8:
                raise UnsupportedError(
                    f"no field is known that holds these conditions along {coordinates[c.axis]} for field "
                    f"{c.field + 1} together: conditions on slopes, periods and mirrors must be those of all fields"
                )


def _rounding(sides: Sequence[sympy.Expr], places: Sequence[Mapping[sympy.Symbol, float]]) -> float:
    """By how much sides of an equation of their size may differ: what is written in decimals is not exact."""
    return 1e-8 * max(abs(_number(side, at)) for side in sides for at in places) + 1e-30


def try_surfaces(
    found: Construction,
    surfaces: Sequence[Surface],
    conditions: Sequence[AxisCondition],
    coordinates: Sequence[sympy.Symbol],
) -> None:
    """Refuse values on boundaries that the other conditions do not leave as they are, or that disturb these."""
    if not surfaces:
        return
    if any(not isinstance(c, Pin) or any(k for k, _ in c.factors) for c in conditions):
        raise UnsupportedError("no field is known that has values on a boundary, and slopes, periods or mirrors")
    like = torch.zeros((), dtype=torch.float64)
    for surface in surfaces:
        draw = torch.Generator().manual_seed(0)
        points = surface.domain.sample(20, partial(torch.rand, generator=draw, dtype=torch.float64), like)
        places = [dict(zip(coordinates, point, strict=True)) for point in points.tolist()]
        rounding = _rounding([found.offsets[surface.field], surface.value], places)
        for at in places:
            if abs(_number(found.offsets[surface.field] - surface.value, at)) > rounding:
                where = {str(s): round(v, 3) for s, v in at.items()}
                raise InfeasibleError(
                    f"conditions contradict each other where they meet the boundary: they do not hold at {where} "
                    f"together with {surface.value} there"
                )


def _average(network: sympy.Expr, found: Construction, coordinates: Sequence[sympy.Symbol], field: int) -> sympy.Expr:
    """What stands for the network, averaged over the mirrors."""
    for axis, center, signs in found.mirrors:
        x = coordinates[axis]
        network = (network + signs[field] * network.subs(x, 2 * exact(sympy.Float(center)) - x)) / 2
    return network


def _number(e: sympy.Expr, at: Mapping[sympy.Symbol, float]) -> complex:
    return complex(sympy.sympify(e).evalf(subs=dict(at)))
