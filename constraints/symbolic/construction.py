"""Fields that obey conditions whatever the network is: u = g + phi (N - what N breaks of the slopes)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import sympy

from constraints.errors import UnsupportedError
from constraints.symbolic.conditions import AxisCondition, Condition, Mirror, Period, Pin, Surface
from constraints.symbolic.extent import Bounds, Extent, covers, even, ramp
from constraints.symbolic.jumps import require_smooth_value
from constraints.symbolic.pins import distinct_pins
from constraints.symbolic.place_conditions import Functional, independent, multiply, split, switching_functions
from constraints.symbolic.statement import exact
from constraints.symbolic.trial import try_conditions, try_surfaces

__all__ = ["Construction", "Correction", "Reflection", "construct"]

Held = tuple[tuple[Extent, ...], Functional]
"""A functional of the network, and on which parts of its side it must be 0."""


@final
@dataclass(frozen=True)
class Correction:
    r"""What is taken off the network along one axis: :math:`\sum_j s_j\,L_j(N)`.

    Attributes:
        axis: the coordinate that the places fix.
        functionals: the field of each :math:`L_j`, and what it is.
        switching: :math:`s_j` within all extents, and beyond them, too.
    """

    axis: int
    functionals: tuple[tuple[int, Functional], ...]
    switching: tuple[sympy.Expr, ...]
    beyond: tuple[sympy.Expr, ...]

    def apply(
        self, network: sympy.Expr, field: int, coordinates: Sequence[sympy.Symbol], *, within: bool
    ) -> sympy.Expr:
        """The field of a known network; `within`: by the formula that holds within all extents."""
        x = coordinates[self.axis]
        for (k, functional), s in zip(self.functionals, self.switching if within else self.beyond, strict=True):
            if k == field:
                broken = sum(a * network.diff(x, n).subs(x, at) for (at, n), a in functional.items())
                network -= s * broken
        return network


@final
@dataclass(frozen=True)
class Reflection:
    r"""What the network is averaged with: :math:`N + \tfrac w2\,(s\,N(x') - N)`, `x'` mirrored at `center`.

    Attributes:
        axis: the coordinate that is mirrored.
        center: of the mirror.
        signs: `s` by field; 0 of those that are not mirrored.
        extent: where they are.
        partial: whether the domain is known to be larger.
    """

    axis: int
    center: float
    signs: tuple[int, ...]
    extent: Extent
    partial: bool

    def share(self, coordinates: Sequence[sympy.Symbol]) -> sympy.Expr:
        """`w`: 1 within the extent, less beyond it."""
        return _share([self.extent], coordinates)

    def apply(
        self, network: sympy.Expr, field: int, coordinates: Sequence[sympy.Symbol], *, within: bool
    ) -> sympy.Expr:
        """The field of a known network; `within`: by the formula that holds within all extents."""
        x, sign = coordinates[self.axis], self.signs[field]
        if not sign:
            return network
        there = sign * network.subs(x, 2 * exact(sympy.Float(self.center)) - x)
        return network + (there - network) * (1 if within and not self.partial else self.share(coordinates)) / 2


@final
@dataclass(frozen=True)
class Construction:
    r""":math:`u_k = g_k + \varphi_k\,\tilde N_k(\xi)`, :math:`\tilde N` without what breaks slopes.

    Attributes:
        inputs: :math:`\xi`, what the network is given, of the coordinates.
        factors: :math:`\varphi_k` by field, within all extents.
        beyond: the same, which also leaves free what is beyond them.
        offsets: :math:`g_k` by field.
        reflections: what the network is averaged with, one after the other.
        corrections: what is taken off the network, one axis after the other.
        unshared: the axes along which :math:`\xi` also binds fields of which no condition speaks; it should be empty.
        extents: within which the conditions hold.
    """

    inputs: tuple[sympy.Expr, ...]
    factors: tuple[sympy.Expr, ...]
    beyond: tuple[sympy.Expr, ...]
    offsets: tuple[sympy.Expr, ...]
    reflections: tuple[Reflection, ...]
    corrections: tuple[Correction, ...]
    unshared: tuple[sympy.Symbol, ...]
    extents: tuple[Extent, ...]


def construct(
    conditions: Sequence[Condition],
    coordinates: Sequence[sympy.Symbol],
    fields: int,
    bounds: Bounds | None = None,
    *,
    angles: bool = False,
) -> Construction:
    r"""The field that obeys all conditions.

    The offset interpolates the values along one coordinate after the other (a Boolean sum, as Coons patches), and the
    factor vanishes where values are given. What the network breaks of slopes, of higher derivatives and of periods is
    taken off it (a constrained expression); it is averaged over mirrors. So every field that obeys is within reach.
    What is found is tried on a function in the network's place before it is returned.

    Args:
        conditions: of all fields.
        coordinates: their symbols.
        fields: how many there are.
        bounds: of the coordinates by place, where known: factors are scaled by them. A fixed coordinate,
            `low == high`, has none.
        angles: whether the network is given the cosine and the sine of each coordinate with a period. All derivatives
            repeat then, also those of which no condition speaks.

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
    for c in conditions:
        if isinstance(c, (Pin, Surface)):
            require_smooth_value(c.value, coordinates, {coordinates[axis]: ends for axis, ends in known.items()})
    surfaces = [c for c in conditions if isinstance(c, Surface)]
    lines = _with_images([c for c in conditions if not isinstance(c, Surface)])
    if angles:
        _require_whole([c for c in lines if isinstance(c, Period)], known)
    full = _mirrored(lines)
    inputs: list[sympy.Expr] = []
    factors, offsets = [sympy.Integer(1)] * fields, [sympy.Integer(0)] * fields
    beyond = list(factors)
    corrections: list[Correction] = []
    for surface in surfaces:
        if not covers(surface.extent, known):  # a factor that vanishes on a part alone would be steep beside it
            raise UnsupportedError("no field is known with a value on a part of a boundary: embed it as Soft")
        if offsets[surface.field] != 0 or sum(one.field == surface.field for one in surfaces) > 1:
            raise UnsupportedError("no field is known that has values on several boundaries: join the domains")
        offsets[surface.field] = surface.value
    for axis, x in enumerate(coordinates):
        own = [c for c in full if c.axis == axis]
        inputs += _angles(own, x, known.get(axis)) if angles else [x]
        rest: list[tuple[int, tuple[Extent, ...], Functional]] = []
        for k in range(fields):
            pins = distinct_pins([c for c in own if isinstance(c, Pin) and c.field == k], x)
            periods = [] if angles else [c for c in own if isinstance(c, Period) and c.field == k]
            offsets[k] += _interpolate([*pins, *periods], offsets[k], coordinates)
            factor, free, left = _factor(pins, periods, coordinates, axis, known)
            factors[k] *= factor
            beyond[k] *= free
            rest += [(k, extents, functional) for extents, functional in left]
        if rest:
            corrections.append(_correction(rest, axis, coordinates, own, known))
    offsets = [_average(offset, k, lines, coordinates) for k, offset in enumerate(offsets)]
    found = Construction(
        tuple(inputs),
        tuple(factors),
        tuple(beyond),
        tuple(map(sympy.expand_mul, offsets)),
        _reflections(lines, factors, coordinates, known),
        tuple(corrections),
        _unshared(full, coordinates, fields) if angles else (),
        tuple(dict.fromkeys(c.extent for c in full if c.extent)),
    )
    try_conditions(found, lines, coordinates, known)
    try_surfaces(found, surfaces, lines, coordinates, known)
    return found


def _require_whole(periods: Sequence[Period], known: Bounds) -> None:
    """Refuse cosines and sines, which repeat the field everywhere, where a period holds on a part of the domain."""
    if any(not covers(c.extent, known) for c in periods):
        raise UnsupportedError(
            "no network of cosines and sines is known that repeats itself on a part of the domain alone: give it the "
            "coordinates themselves, or embed the period as Soft"
        )


def _with_images(lines: Sequence[AxisCondition]) -> list[AxisCondition]:
    """The conditions on what the mirrors of their field make of their extents."""
    found = []
    for c in lines:
        extent = c.extent
        for mirror in lines:
            if isinstance(mirror, Mirror) and mirror.field == c.field and mirror.axis != c.axis:
                extent = even(extent, mirror.axis, float(mirror.center))
        found.append(replace(c, extent=extent))
    return found


def _mirrored(conditions: Sequence[AxisCondition]) -> list[AxisCondition]:
    """With the conditions that a mirror makes of others."""
    found = list(conditions)
    for mirror in conditions:
        for c in conditions:
            if not (isinstance(mirror, Mirror) and isinstance(c, Pin)):
                continue
            if (c.axis, c.field) != (mirror.axis, mirror.field) or _outside(c, mirror):
                continue
            if not covers(mirror.extent, {axis: (low, high) for axis, low, high in (*c.extent, _at(c))}):
                raise UnsupportedError(
                    f"no field is known that is mirrored on a part of the domain, and has a value or slope at a place "
                    f"of axis {c.axis + 1} on a larger one: embed one of them as Soft"
                )
            factors = tuple((k, a * (-1) ** k) for k, a in c.factors)
            found.append(Pin(c.field, c.axis, 2 * mirror.center - c.at, factors, mirror.sign * c.value, c.extent))
    return found


def _at(pin: Pin) -> tuple[int, float, float]:
    return pin.axis, float(pin.at), float(pin.at)


def _outside(pin: Pin, mirror: Mirror) -> bool:
    """Whether a place is beyond what a mirror mirrors."""
    return any(axis == pin.axis and not low <= float(pin.at) <= high for axis, low, high in mirror.extent)


def _average(
    offset: sympy.Expr, field: int, conditions: Sequence[AxisCondition], coordinates: Sequence[sympy.Symbol]
) -> sympy.Expr:
    """The offset with the mirrors of its field."""
    for c in conditions:
        if isinstance(c, Mirror) and c.field == field:
            there = c.sign * offset.subs(coordinates[c.axis], 2 * c.center - coordinates[c.axis])
            if sympy.simplify(there - offset) != 0:
                offset = (offset + there) / 2
    return offset


def _reflections(
    conditions: Sequence[AxisCondition],
    factors: Sequence[sympy.Expr],
    coordinates: Sequence[sympy.Symbol],
    known: Bounds,
) -> tuple[Reflection, ...]:
    """How the network must be mirrored so that the field, its product with a factor, is mirrored as it should be."""
    signs: dict[tuple[int, sympy.Expr, Extent], list[int]] = {}
    for c in conditions:
        if not isinstance(c, Mirror):
            continue
        x, factor = coordinates[c.axis], factors[c.field]
        there = factor.subs(x, 2 * c.center - x)
        parity = next((s for s in (1, -1) if sympy.simplify(there - s * factor) == 0), 0)
        if not parity:
            raise UnsupportedError(f"no field is known that holds a mirror along {x} with these conditions")
        signs.setdefault((c.axis, c.center, c.extent), [0] * len(factors))[c.field] = c.sign * parity
    return tuple(
        Reflection(axis, float(center), tuple(several), extent, not covers(extent, known))
        for (axis, center, extent), several in signs.items()
    )


def _unshared(
    full: Sequence[AxisCondition], coordinates: Sequence[sympy.Symbol], fields: int
) -> tuple[sympy.Symbol, ...]:
    """Along which axes not all fields have the same periods."""
    periods: dict[tuple[int, int], set[object]] = {}
    for c in full:
        if isinstance(c, Period):
            periods.setdefault((c.axis, c.field), set()).add((c.low, c.high))
    return tuple(
        x
        for axis, x in enumerate(coordinates)
        if any(periods.get((axis, k), set()) != periods.get((axis, 0), set()) for k in range(fields))
    )


def _angles(own: Sequence[AxisCondition], x: sympy.Symbol, bounds: tuple[float, float] | None) -> list[sympy.Expr]:
    """What the network is given of one coordinate: the cosine and the sine of its angle, where it has a period."""
    repeated = [c for c in own if isinstance(c, Period)]
    periods = sorted({(c.low, c.high) for c in repeated}, key=str)
    if not periods:
        return [x]
    if len(periods) > 1:
        raise UnsupportedError(f"no field is known that holds several periods along {x}")
    (low, high) = periods[0]
    if {c.field for c in repeated} != {c.field for c in repeated if c.order == 0}:
        raise UnsupportedError(
            f"no field is known of which only slopes are the same at {x} = {low} and {high}, and whose network is "
            f"given cosines and sines: say in the same rule that its values are"
        )
    if bounds is not None and not _encloses(low, high, bounds):
        raise UnsupportedError(
            f"no field is known that is the same at {x} = {low} and {high} alone, and whose network is given cosines "
            f"and sines: it would repeat itself within {bounds[0]:g} <= {x} <= {bounds[1]:g}"
        )
    angle = 2 * sympy.pi * (x - low) / (high - low)
    return [sympy.cos(angle), sympy.sin(angle)]


def _encloses(low: sympy.Expr | float, high: sympy.Expr | float, bounds: tuple[float, float]) -> bool:
    """Whether all of the domain is between two places, to rounding."""
    rounding = 1e-6 * (bounds[1] - bounds[0])
    return bool(float(low) <= bounds[0] + rounding and bounds[1] - rounding <= float(high))


def _length(bounds: tuple[float, float] | None) -> sympy.Expr:
    """By which a coordinate is scaled: 1 where its bounds are not known."""
    return sympy.Integer(1) if bounds is None else exact(sympy.Float(bounds[1])) - exact(sympy.Float(bounds[0]))


def _interpolate(conditions: Sequence[Pin | Period], u: sympy.Expr, coordinates: Sequence[sympy.Symbol]) -> sympy.Expr:
    """What to add to `u` so that it has the values that conditions of one coordinate ask for."""
    own: list[Pin | Period] = list({(c.at, c.factors) if isinstance(c, Pin) else c: c for c in conditions}.values())
    own = [own[i] for i in independent([c.functional for c in own])]
    if not own:
        return sympy.Integer(0)
    x = coordinates[own[0].axis]
    lacking = sympy.Matrix([-c.apply(u, coordinates) for c in own])
    if not any(lacking):
        return sympy.Integer(0)
    highest = max(order for c in own for _, order in c.functional)
    powers = [x**k for k in range(len(own) + highest + 1)]
    table = sympy.Matrix(
        [[sum(a * p.diff(x, k).subs(x, at) for (at, k), a in c.functional.items()) for p in powers] for c in own]
    )
    columns = list(table.rref()[1])  # the least powers that the conditions tell apart
    if len(columns) < len(own):
        raise UnsupportedError(f"no interpolation is known for the {len(own)} conditions along {x}")
    basis = sympy.Matrix([[powers[j] for j in columns]])
    return (basis * table.extract(list(range(len(own))), columns).inv() * lacking)[0]


def _factor(
    pins: Sequence[Pin],
    periods: Sequence[Period],
    coordinates: Sequence[sympy.Symbol],
    axis: int,
    known: Bounds,
) -> tuple[sympy.Expr, sympy.Expr, list[Held]]:
    """What vanishes where values are given; the same that leaves free what is beyond the domain; and what is left.

    Values on parts of sides are left, too: a factor that vanishes on a part alone is so steep beside it that the
    network cannot make up for it.
    """
    x, bounds = coordinates[axis], known.get(axis)
    blocks, rest = split([*(pin.functional for pin in pins), *(period.functional for period in periods)])
    factor, free = sympy.Integer(1), sympy.Integer(1)
    length = _length(bounds)
    for at in [at for at in blocks if _on_parts(at, pins, axis, known)]:
        rest = [*({(at, k): sympy.Integer(1)} for k in range(blocks.pop(at))), *rest]
    for at, count in blocks.items():
        upper = bounds is not None and float(at) >= bounds[1]
        distance = (at - x if upper else x - at) / length
        (extent, *_) = [pin.extent for pin in pins if pin.at == at and covers(pin.extent, known)] or [()]
        factor *= distance**count
        free *= (distance + ramp(extent, coordinates)) ** count
    if bounds is not None and len(blocks) == 2:
        factor, free = 4 * factor, 4 * free  # 1 in the middle
    left: list[Held] = []
    sources: list[Pin | Period] = [*pins, *periods]
    for functional in rest:
        extents = dict.fromkeys(c.extent for c in sources if set(functional) & set(c.functional))
        inner = multiply(functional, factor, x)
        if inner:
            left.append((tuple(extents), inner))
    return factor, free, [left[i] for i in independent([functional for _, functional in left])]


def _on_parts(at: sympy.Expr, pins: Sequence[Pin], axis: int, known: Bounds) -> bool:
    """Whether the values at a place are given on a part of it, as far as is known."""
    extents = [pin.extent for pin in pins if pin.at == at]
    bounds = known.get(axis)
    if bounds is None or bounds[0] < float(at) < bounds[1]:
        return any(extents)
    return bool(extents) and not any(covers(extent, known) for extent in extents)


def _share(extents: Sequence[Extent], coordinates: Sequence[sympy.Symbol]) -> sympy.Expr:
    """1 on each of several parts, less beyond them."""
    free = sympy.Integer(1)
    for extent in extents:
        free *= 1 - 1 / (1 + ramp(extent, coordinates))
    return 1 - free


def _correction(
    rest: Sequence[tuple[int, tuple[Extent, ...], Functional]],
    axis: int,
    coordinates: Sequence[sympy.Symbol],
    own: Sequence[AxisCondition],
    known: Bounds,
) -> Correction:
    """What to take off the network so that it obeys functionals along one axis."""
    x = coordinates[axis]
    centers = [c.center for c in own if isinstance(c, Mirror)]
    places = [at for _, _, functional in rest for at, _ in functional]
    if axis in known:
        low, high = (exact(sympy.Float(end)) for end in known[axis])
    else:
        low, high = min(places, key=float) - 1, max(places, key=float) + 1
    center = centers[0] if centers else (low + high) / 2
    switching: list[sympy.Expr] = []
    ordered: list[tuple[int, tuple[Extent, ...], Functional]] = []
    for field in dict.fromkeys(k for k, _, _ in rest):
        several = [one for one in rest if one[0] == field]
        switching += switching_functions([functional for _, _, functional in several], x, center, (high - low) / 2)
        ordered += several
    beyond = [s * _share(extents, coordinates) for s, (_, extents, _) in zip(switching, ordered, strict=True)]
    within = [
        s if any(covers(extent, known) for extent in extents) else free
        for s, free, (_, extents, _) in zip(switching, beyond, ordered, strict=True)
    ]
    return Correction(axis, tuple((k, f) for k, _, f in ordered), tuple(within), tuple(beyond))
