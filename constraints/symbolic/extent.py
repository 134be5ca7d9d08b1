"""On which part of a side a condition holds: bounds of the coordinates that it does not fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import sympy

from constraints.symbolic.statement import exact

__all__ = ["Bounds", "Extent", "apart", "covers", "even", "hull", "merge", "ramp"]

Bounds: TypeAlias = Mapping[int, tuple[float, float]]
Extent: TypeAlias = tuple[tuple[int, float, float], ...]
"""The axis, the low and the high end of each coordinate that is bounded, by axis; `()` holds everywhere."""

STEEP = 8  # a ramp rises within this part of an extent
SMOOTH = 5  # its order at the end: derivatives up to order 4 are continuous


def covers(extent: Extent, other: Bounds) -> bool:
    """Whether an extent holds all of other bounds, to rounding; what is not known of these is not held.

    Example:
        >>> covers(((0, 0.0, 1.0),), {0: (0.0, 0.5)}), covers(((0, 0.0, 1.0),), {0: (0.0, 2.0)})
        (True, False)
    """
    return all(
        axis in other and low - slack <= other[axis][0] and other[axis][1] <= high + slack
        for axis, low, high in extent
        for slack in (1e-6 * (high - low),)
    )


def apart(one: Extent, other: Extent) -> bool:
    """Whether two extents share at most an edge.

    Example:
        >>> apart(((1, 0.0, 0.5),), ((1, 0.5, 1.0),)), apart(((1, 0.0, 0.6),), ((1, 0.5, 1.0),))
        (True, False)
    """
    bounds = {axis: (low, high) for axis, low, high in other}
    return any(axis in bounds and (high <= bounds[axis][0] or bounds[axis][1] <= low) for axis, low, high in one)


def even(extent: Extent, axis: int, center: float) -> Extent:
    """An extent together with its mirror image along one axis.

    Example:
        >>> even(((0, 0.0, 1.0),), 0, 0.0), even(((0, 0.0, 1.0),), 1, 0.0)
        (((0, -1.0, 1.0),), ((0, 0.0, 1.0),))
    """
    image = {i: (min(a, 2 * center - b), max(b, 2 * center - a)) for i, a, b in extent if i == axis}
    return tuple((i, *image.get(i, (a, b))) for i, a, b in sorted(extent))


def hull(one: Bounds, other: Bounds) -> Bounds:
    """The bounds of both together; where only one knows them, they are its.

    Example:
        >>> hull({0: (0.0, 1.0)}, {0: (0.5, 2.0), 1: (0.0, 1.0)})
        {0: (0.0, 2.0), 1: (0.0, 1.0)}
    """
    both = {axis: (min(one[axis][0], other[axis][0]), max(one[axis][1], other[axis][1])) for axis in {*one} & {*other}}
    return {**one, **other, **both}


def merge(extents: Sequence[Extent]) -> list[Extent]:
    """The same parts with fewer extents: those within others dropped, neighbours along one axis joined.

    Example:
        >>> merge([((1, 0.0, 0.5),), ((1, 0.5, 1.0),), ((1, 0.1, 0.2),)])
        [((1, 0.0, 1.0),)]
    """
    left = list(dict.fromkeys(extents))
    for i, one in enumerate(left):
        for j, other in enumerate(left):
            joined = _join(one, other) if i < j else None
            if joined is not None:
                return merge([*(e for k, e in enumerate(left) if k not in (i, j)), joined])
    return left


def _join(one: Extent, other: Extent) -> Extent | None:
    """The union of two extents where it is one."""
    for inner, outer in ((one, other), (other, one)):
        if covers(outer, {axis: (low, high) for axis, low, high in inner}):
            return outer
    if [axis for axis, *_ in one] != [axis for axis, *_ in other]:
        return None
    different = [i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if len(different) != 1:
        return None
    (i,) = different
    (axis, a, b), (_, c, d) = one[i], other[i]
    return None if b < c or d < a else (*one[:i], (axis, min(a, c), max(b, d)), *one[i + 1 :])


def ramp(extent: Extent, coordinates: Sequence[sympy.Symbol]) -> sympy.Expr:
    r"""A smooth function that is 0 on an extent and rises to 1 beyond it: :math:`\sum_i q_i^5/(1 + q_i^5)`.

    :math:`q_i` is the distance from the extent along one coordinate, by an eighth of its length. The sum is at most the
    number of coordinates, so that a network is not multiplied by ever more where no condition holds it.

    Example:
        >>> x = sympy.Symbol("x", real=True)
        >>> [ramp(((0, 0.0, 1.0),), [x]).subs(x, at) for at in (0, 1, sympy.Rational(9, 8))]
        [0, 0, 1/2]
    """
    total = sympy.Integer(0)
    for axis, low, high in extent:
        x, a, b = coordinates[axis], exact(sympy.Float(low)), exact(sympy.Float(high))
        for beyond in (a - x, x - b):
            q = sympy.Max(0, beyond * STEEP / (b - a))
            total += q**SMOOTH / (1 + q**SMOOTH)
    return total
