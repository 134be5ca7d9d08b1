"""Fields that obey conditions whatever the network is: u = g + phi N(xi), made of the conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import sympy

from constraints.errors import InfeasibleError, UnsupportedError
from constraints.symbolic.conditions import AxisCondition, Condition, Mirror, Period, Pin, Surface
from constraints.symbolic.statement import exact
from constraints.symbolic.trial import try_conditions, try_surfaces

__all__ = ["Construction", "construct", "require_agreement"]

Bounds = Mapping[int, tuple[float, float]]


@final
@dataclass(frozen=True)
class Construction:
    r""":math:`u_k = g_k + \varphi_k\,N_k(\xi)`.

    Attributes:
        inputs: :math:`\xi`, what the network is given, of the coordinates.
        factors: :math:`\varphi_k` by field.
        offsets: :math:`g_k` by field.
        mirrors: axis, center, and the sign of each :math:`N_k` when mirrored there.
        unshared: the axes along which :math:`\xi` also binds fields of which no condition speaks; it should be empty.
    """

    inputs: tuple[sympy.Expr, ...]
    factors: tuple[sympy.Expr, ...]
    offsets: tuple[sympy.Expr, ...]
    mirrors: tuple[tuple[int, float, tuple[int, ...]], ...]
    unshared: tuple[sympy.Symbol, ...]


def construct(
    conditions: Sequence[Condition], coordinates: Sequence[sympy.Symbol], fields: int, bounds: Bounds | None = None
) -> Construction:
    r"""The field that obeys all conditions.

    The offset interpolates the values along one coordinate after the other (a Boolean sum, as Coons patches), the
    factor vanishes where values are given, and :math:`\xi` has slope 0 where a slope is given, repeats itself with the
    period, is averaged over mirrors. What is found is tried on a function in the network's place before it is returned.

    Args:
        conditions: of all fields.
        coordinates: their symbols.
        fields: how many there are.
        bounds: of the coordinates by place, where known: factors are scaled by them, and within them a field must not
            be mirrored or repeated. A fixed coordinate, `low == high`, has none.

    Raises:
        InfeasibleError: conditions that contradict each other, also where their places meet.
        UnsupportedError: conditions for which no such field is known.

    Source: McFall and Mahan, "Artificial neural network method for solution of boundary value problems with exact
    satisfaction of arbitrary boundary conditions", IEEE Trans. Neural Netw. 20, 2009, doi:10.1109/TNN.2009.2020735;
    Leake and Mortari, "Deep theory of functional connections", 2020, doi:10.3390/make2010004.

    Example:
        >>> x, t = sympy.symbols("x t", real=True)
        >>> one = ((0, sympy.Integer(1)),)
        >>> walls = [Pin(0, 0, sympy.Integer(c), one, sympy.Integer(0)) for c in (0, 1)]
        >>> found = construct([*walls, Pin(0, 1, sympy.Integer(0), one, sympy.sin(sympy.pi * x))], [x, t], 1)
        >>> found.offsets, found.factors
        ((sin(pi*x),), (t*x*(x - 1),))
    """
    known = {axis: ends for axis, ends in (bounds or {}).items() if ends[0] < ends[1]}
    surfaces = [c for c in conditions if isinstance(c, Surface)]
    lines: list[AxisCondition] = [c for c in conditions if not isinstance(c, Surface)]
    full = _mirrored(lines)
    inputs: list[sympy.Expr] = []
    factors, offsets = [sympy.Integer(1)] * fields, [sympy.Integer(0)] * fields
    for surface in surfaces:
        if offsets[surface.field] != 0 or sum(one.field == surface.field for one in surfaces) > 1:
            raise UnsupportedError("no field is known that has values on several boundaries: join the domains")
        offsets[surface.field] = surface.value
    for axis, x in enumerate(coordinates):
        own = [c for c in full if c.axis == axis]
        inputs += _features(own, x, known.get(axis))
        for k in range(fields):
            pins = _distinct([c for c in own if isinstance(c, Pin) and c.field == k], x)
            offsets[k] += _interpolate(pins, offsets[k], coordinates)
            factors[k] *= _factor(pins, x, known.get(axis))
    found = Construction(
        tuple(inputs),
        tuple(factors),
        tuple(map(sympy.expand_mul, offsets)),
        _mirrors(lines, factors, coordinates),
        _unshared(full, coordinates, fields),
    )
    try_conditions(found, lines, coordinates, known)
    try_surfaces(found, surfaces, lines, coordinates)
    return found


def require_agreement(pins: Sequence[Pin], coordinates: Sequence[sympy.Symbol]) -> None:
    """Refuse pins that want different values of the same at the same place.

    Raises:
        InfeasibleError: two that do.

    Example:
        >>> require_agreement([], [])
    """
    for axis, x in enumerate(coordinates):
        for field in {pin.field for pin in pins}:
            _distinct([pin for pin in pins if (pin.axis, pin.field) == (axis, field)], x)


def _mirrored(conditions: Sequence[AxisCondition]) -> list[AxisCondition]:
    """With the conditions that a mirror makes of others."""
    found = list(conditions)
    for mirror in conditions:
        for c in conditions:
            if isinstance(mirror, Mirror) and isinstance(c, Pin) and (c.axis, c.field) == (mirror.axis, mirror.field):
                factors = tuple((k, a * (-1) ** k) for k, a in c.factors)
                found.append(Pin(c.field, c.axis, 2 * mirror.center - c.at, factors, mirror.sign * c.value))
    return found


def _distinct(pins: Sequence[Pin], x: sympy.Symbol) -> list[Pin]:
    """Each condition once, its highest derivative with the factor 1."""
    found: dict[tuple[sympy.Expr, tuple[tuple[int, sympy.Expr], ...]], Pin] = {}
    for pin in pins:
        lead = pin.factors[-1][1]
        factors = tuple((k, sympy.simplify(a / lead)) for k, a in pin.factors if a != 0)
        one = Pin(pin.field, pin.axis, sympy.simplify(pin.at), factors, pin.value / lead)
        old = found.setdefault((one.at, factors), one)
        if sympy.simplify(old.value - one.value) != 0:
            raise InfeasibleError(
                f"conditions contradict each other: one wants {old.value} at {x} = {one.at}, another {one.value}"
            )
    return list(found.values())


def _mirrors(
    conditions: Sequence[AxisCondition], factors: Sequence[sympy.Expr], coordinates: Sequence[sympy.Symbol]
) -> tuple[tuple[int, float, tuple[int, ...]], ...]:
    """By which signs the network must change so that the field, its product with a factor, changes as it should."""
    signs: dict[tuple[int, sympy.Expr], list[int]] = {}
    for c in conditions:
        if not isinstance(c, Mirror):
            continue
        x, factor = coordinates[c.axis], factors[c.field]
        there = factor.subs(x, 2 * c.center - x)
        parity = next((s for s in (1, -1) if sympy.simplify(there - s * factor) == 0), 0)
        if not parity:
            raise UnsupportedError(f"no field is known that holds a mirror along {x} with these conditions")
        signs.setdefault((c.axis, c.center), [1] * len(factors))[c.field] = c.sign * parity
    return tuple((axis, float(center), tuple(several)) for (axis, center), several in signs.items())


def _unshared(
    full: Sequence[AxisCondition], coordinates: Sequence[sympy.Symbol], fields: int
) -> tuple[sympy.Symbol, ...]:
    """Along which axes not all fields have the same periods, mirrors and places of slopes."""
    pins = [c for c in full if isinstance(c, Pin)]
    shapes: dict[tuple[int, int], set[object]] = {}
    for c in full:
        if isinstance(c, Period):
            shape: object = (c.low, c.high)
        elif isinstance(c, Mirror):
            shape = (c.center, "mirror")
        elif _is_slope(c, pins):
            shape = c.at
        else:
            continue
        shapes.setdefault((c.axis, c.field), set()).add(shape)
    return tuple(
        x
        for axis, x in enumerate(coordinates)
        if any(shapes.get((axis, k), set()) != shapes.get((axis, 0), set()) for k in range(fields))
    )


def _features(own: Sequence[AxisCondition], x: sympy.Symbol, bounds: tuple[float, float] | None) -> list[sympy.Expr]:
    """What the network is given of one coordinate."""
    periods = sorted({(c.low, c.high) for c in own if isinstance(c, Period)}, key=str)
    pins = [c for c in own if isinstance(c, Pin)]
    slopes = sorted({c.at for c in pins if _is_slope(c, pins)}, key=float)
    if (len(periods) > 0) + (len(slopes) > 0) > 1 or len(periods) > 1:
        raise UnsupportedError(f"no field is known that holds several periods, or periods and slopes, along {x}")
    if periods:
        (low, high) = periods[0]
        repeated = [c for c in own if isinstance(c, Period)]
        if {c.field for c in repeated} != {c.field for c in repeated if c.order == 0}:
            raise UnsupportedError(
                f"no field is known of which only slopes are the same at {x} = {low} and {high}: say in the same rule "
                f"that its values are"
            )
        if bounds is not None and not _encloses(low, high, bounds):
            raise UnsupportedError(
                f"no field is known that is the same at {x} = {low} and {high} alone: it would repeat itself within "
                f"{bounds[0]:g} <= {x} <= {bounds[1]:g}"
            )
        angle = 2 * sympy.pi * (x - low) / (high - low)
        return [sympy.cos(angle), sympy.sin(angle)]
    if len(slopes) > 2:
        raise UnsupportedError(f"no field is known with slopes at more than two places along {x}")
    # the field is mirrored where a slope is given, which must not be seen
    around = list(pairwise([-math.inf, *slopes, math.inf])) if len(slopes) == 1 else [tuple(slopes)]
    if slopes and bounds is not None and not any(_encloses(low, high, bounds) for low, high in around):
        raise UnsupportedError(
            f"no field is known with a slope given at {', '.join(f'{x} = {at}' for at in slopes)} and no value, but at "
            f"the ends of the domain, {bounds[0]:g} <= {x} <= {bounds[1]:g}: it would be mirrored there"
        )
    if len(slopes) == 2:
        low, high = slopes
        return [(low + high) / 2 - (high - low) / 2 * sympy.cos(sympy.pi * (x - low) / (high - low))]
    if slopes:
        (at,) = slopes
        sign = -1 if bounds is not None and float(at) >= bounds[1] else 1
        return [at + sign * (x - at) ** 2 / _length(bounds)]
    return [x]


def _encloses(low: sympy.Expr | float, high: sympy.Expr | float, bounds: tuple[float, float]) -> bool:
    """Whether all of the domain is between two places, to rounding."""
    rounding = 1e-6 * (bounds[1] - bounds[0])
    return bool(float(low) <= bounds[0] + rounding and bounds[1] - rounding <= float(high))


def _length(bounds: tuple[float, float] | None) -> sympy.Expr:
    """By which a coordinate is scaled: 1 where its bounds are not known."""
    return sympy.Integer(1) if bounds is None else exact(sympy.Float(bounds[1])) - exact(sympy.Float(bounds[0]))


def _is_slope(pin: Pin, others: Sequence[Pin]) -> bool:
    """Whether a pin gives a slope where the value is free."""
    orders = [k for k, a in pin.factors if a != 0]
    given = any([k for k, _ in one.factors] == [0] and (one.at, one.field) == (pin.at, pin.field) for one in others)
    return max(orders) == 1 and not given


def _interpolate(pins: Sequence[Pin], u: sympy.Expr, coordinates: Sequence[sympy.Symbol]) -> sympy.Expr:
    """What to add to `u` so that it has the values that pins of one coordinate ask for."""
    if not pins:
        return sympy.Integer(0)
    x = coordinates[pins[0].axis]
    lacking = sympy.Matrix([-pin.apply(u, coordinates) for pin in pins])
    for start in range(3):  # pure slopes say nothing of a constant
        powers = [x**k for k in range(start, start + len(pins))]
        matrix = sympy.Matrix(
            [[sum(a * p.diff(x, k).subs(x, pin.at) for k, a in pin.factors) for p in powers] for pin in pins]
        )
        if matrix.det() != 0:
            return (sympy.Matrix([powers]) * matrix.inv() * lacking)[0]
    raise UnsupportedError(f"no interpolation is known for the {len(pins)} conditions along {x}")


def _factor(pins: Sequence[Pin], x: sympy.Symbol, bounds: tuple[float, float] | None) -> sympy.Expr:
    """What vanishes where values are given, and has the slopes that make the product with an even function right."""
    slopes = [pin for pin in pins if _is_slope(pin, pins)]
    blocks: dict[sympy.Expr, int] = {}
    for pin in pins:
        if pin not in slopes:
            blocks[pin.at] = blocks.get(pin.at, 0) + 1
    for at, count in blocks.items():
        orders = sorted(k for pin in pins if pin.at == at for k, _ in pin.factors)
        if orders != list(range(count)):
            raise UnsupportedError(f"no field is known with derivatives of orders {orders} given at {x} = {at}")
    length, factor = _length(bounds), sympy.Integer(1)
    for at, count in blocks.items():
        beyond = bounds is not None and float(at) >= bounds[1]
        factor *= ((at - x if beyond else x - at) / length) ** count
    if bounds is not None and len(blocks) == 2:
        factor *= 4  # 1 in the middle
    if slopes:
        factor *= sympy.exp(_exponent(slopes, factor, x))
    return factor


def _exponent(slopes: Sequence[Pin], factor: sympy.Expr, x: sympy.Symbol) -> sympy.Expr:
    r"""`p` such that :math:`e^p` times the factor has at each place the logarithmic derivative `-a0/a1`.

    Between the places it stays in [-1, 1], however steep: of a Robin condition `u_x + 1000 u = 0` a linear `p` would
    not be a number.
    """
    wanted = []
    for pin in sorted(slopes, key=lambda pin: float(pin.at)):
        a = dict(pin.factors)
        wanted.append((pin.at, (-a.get(0, sympy.Integer(0)) / a[1] - factor.diff(x) / factor).subs(x, pin.at)))
    if len(wanted) == 1:
        (at, slope) = wanted[0]
        return sympy.tanh(slope * (x - at))
    ((low, first), (high, last)) = next(pairwise(wanted))
    left, right = (high - x) / (high - low), (x - low) / (high - low)
    return left**2 * sympy.tanh(first * (x - low)) + right**2 * sympy.tanh(last * (x - high))
