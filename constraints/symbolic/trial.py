"""A construction tried on a function in the network's place: does it obey, do the conditions agree where they meet?"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import sympy
import torch

from constraints.errors import InfeasibleError, UnsupportedError
from constraints.symbolic.conditions import AxisCondition, Mirror, Period, Pin, Surface
from constraints.symbolic.extent import Bounds, covers
from constraints.sympy_input import as_expression

if TYPE_CHECKING:
    from constraints.symbolic.construction import Construction

__all__ = ["MeetingError", "try_conditions", "try_surfaces"]


class MeetingError(InfeasibleError):
    """Conditions that no continuous field obeys where their places meet, as at the corners of a driven cavity."""


def try_conditions(
    found: Construction, conditions: Sequence[AxisCondition], coordinates: Sequence[sympy.Symbol], bounds: Bounds
) -> None:
    """Refuse a field that does not obey: where its offset does not, the conditions contradict each other."""
    waves = [sympy.Rational(7 + 3 * i, 10) * f for i, f in enumerate(found.inputs)]
    network = sympy.sin(sum(waves, sympy.Integer(1)))
    fields = [
        [factor * _stand_in(network, found, coordinates, k, within=within) for k, factor in enumerate(factors)]
        for within, factors in ((True, found.factors), (False, found.beyond))
        if within or _reaches_beyond(conditions, bounds)
    ]
    draw = random.Random(0)
    shares = [[draw.uniform(0.05, 0.95) for _ in coordinates] for _ in range(3)]
    for c in conditions:
        own = dict(bounds) | {axis: (low, high) for axis, low, high in c.extent}
        ends = [own.get(i, (0.0, 1.0)) for i in range(len(coordinates))]
        places = [
            {s: low + (high - low) * share for s, (low, high), share in zip(coordinates, ends, several, strict=True)}
            for several in shares
        ]
        homogeneous = Pin(c.field, c.axis, c.at, c.factors, sympy.Integer(0)) if isinstance(c, Pin) else c
        offset, x = found.offsets[c.field], coordinates[c.axis]
        orders = c.factors if isinstance(c, Pin) else ((c.order if isinstance(c, Period) else 0, sympy.Integer(1)),)
        sides = [sum(a * offset.diff(x, k) for k, a in orders), *([c.value] if isinstance(c, Pin) else [])]
        rounding = _rounding(sides, places)
        lacking = c.apply(offset, coordinates)
        if any(abs(_number(lacking, at)) > rounding for at in places):
            if any(not covers(one.extent, bounds) for one in conditions):
                raise UnsupportedError(
                    f"no field is known that holds these conditions along {x} and along other coordinates on parts of "
                    f"sides: embed one of them as Soft"
                )
            where = _meeting(c, lacking, conditions, coordinates, places, rounding)
            everywhere = any(isinstance(one, Mirror) for one in conditions)
            raise (InfeasibleError if everywhere else MeetingError)(
                f"conditions contradict each other where they meet: those along {x} do not hold at {where} "
                f"together with those along other coordinates"
            )
        for at in places:
            broken = [abs(_number(homogeneous.apply(one[c.field], coordinates), at)) for one in fields]
            if max(broken) > 1e-8 * _size(c):
                raise UnsupportedError(
                    f"no field is known that holds these conditions along {coordinates[c.axis]} together with the "
                    f"others of field {c.field + 1}: embed one of them as Soft"
                )


def _reaches_beyond(conditions: Sequence[AxisCondition], bounds: Bounds) -> bool:
    """Whether places of conditions are outside the domain, where the field is made by other formulas."""
    places = [(c.axis, c.at) for c in conditions if isinstance(c, Pin)]
    places += [(c.axis, at) for c in conditions if isinstance(c, Period) for at in (c.low, c.high)]
    return any(axis in bounds and not bounds[axis][0] <= float(at) <= bounds[axis][1] for axis, at in places)


def _size(c: AxisCondition) -> float:
    """The largest factor of a condition, at least 1."""
    return max([1.0, *(abs(float(a)) for _, a in c.factors)]) if isinstance(c, Pin) else 1.0


def _meeting(
    c: AxisCondition,
    lacking: sympy.Expr,
    conditions: Sequence[AxisCondition],
    coordinates: Sequence[sympy.Symbol],
    places: Sequence[Mapping[sympy.Symbol, float]],
    rounding: float,
) -> dict[str, float]:
    """A place where a condition does not hold, if possible one where it meets another."""
    fixed = {coordinates[c.axis]: float(c.at)} if isinstance(c, Pin) else {}
    corners = [
        {**at, coordinates[other.axis]: float(other.at)}
        for other in conditions
        if isinstance(other, Pin) and other.field == c.field and other.axis != c.axis
        for at in places
    ]
    broken = [at for at in (*corners, *places) if abs(_number(lacking, at)) > rounding]
    return {
        str(s): round(v, 3) for s, v in {**broken[0], **fixed}.items() if isinstance(c, Pin) or s != coordinates[c.axis]
    }


def _rounding(sides: Sequence[sympy.Expr], places: Sequence[Mapping[sympy.Symbol, float]]) -> float:
    """By how much sides of an equation of their size may differ: what is written in decimals is not exact."""
    return 1e-8 * max(abs(_number(side, at)) for side in sides for at in places) + 1e-30


def try_surfaces(
    found: Construction,
    surfaces: Sequence[Surface],
    conditions: Sequence[AxisCondition],
    coordinates: Sequence[sympy.Symbol],
    bounds: Bounds,
) -> None:
    """Refuse values on boundaries that the other conditions do not leave as they are, or that disturb these."""
    if not surfaces:
        return
    if any(not isinstance(c, Pin) or any(k for k, _ in c.factors) for c in conditions):
        raise UnsupportedError("no field is known that has values on a boundary, and slopes, periods or mirrors")
    like = torch.zeros((), dtype=torch.float64)
    pins = [(coordinates[c.axis], float(c.at)) for c in conditions if isinstance(c, Pin)]
    for surface in surfaces:
        draw = torch.Generator().manual_seed(0)
        points = surface.domain.sample(200, partial(torch.rand, generator=draw, dtype=torch.float64), like)
        places = [dict(zip(coordinates, point, strict=True)) for point in points.tolist()]
        places.sort(key=lambda at: min((abs(at[x] - value) for x, value in pins), default=0.0))
        rounding = _rounding([found.offsets[surface.field], surface.value], places[:20])
        for at in places[:20]:  # the nearest to other conditions, where they may meet
            if abs(_number(found.offsets[surface.field] - surface.value, at)) > rounding:
                if any(not covers(one.extent, bounds) for one in conditions):
                    raise UnsupportedError(
                        "no field is known with values on a boundary and a part of a plane: embed one of them as Soft"
                    )
                where = {str(s): round(v, 3) for s, v in at.items()}
                raise InfeasibleError(
                    f"conditions contradict each other where they meet the boundary: they do not hold at {where} "
                    f"together with {surface.value} there"
                )


def _stand_in(
    network: sympy.Expr, found: Construction, coordinates: Sequence[sympy.Symbol], field: int, *, within: bool
) -> sympy.Expr:
    """What a function in the network's place becomes: averaged over the mirrors, without what breaks slopes."""
    for reflection in found.reflections:
        network = reflection.apply(network, field, coordinates, within=within)
    for correction in found.corrections:
        network = correction.apply(network, field, coordinates, within=within)
    return network


def _number(e: sympy.Expr, at: Mapping[sympy.Symbol, float]) -> complex:
    return complex(as_expression(e, "a condition").evalf(subs=dict(at)))
