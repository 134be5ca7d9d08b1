"""Domains by the symbols of their coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import sympy

from constraints.domains import Cuboid, Domain
from constraints.errors import ShapeError, SpecificationError
from constraints.sympy_input import as_number, require_symbols

__all__ = ["Region", "normal", "read_region"]

Region: TypeAlias = Mapping[sympy.Symbol | tuple[sympy.Symbol, ...], tuple[float, float] | Domain]
"""Bounds of each coordinate, or a domain of several: `{(x, y): Ball([0, 0], 1), t: (0, 5)}`."""


def normal(*coordinates: sympy.Symbol) -> tuple[sympy.Symbol, ...]:
    """Symbols of the outward unit normal, for conditions at a boundary.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> normal(x, y)
        (normal_x, normal_y)
    """
    require_symbols(coordinates, "`normal`")
    return tuple(sympy.Symbol(f"normal_{x}") for x in coordinates)


def read_region(region: Region, coordinates: Sequence[sympy.Symbol]) -> Domain:
    """The domain of all coordinates: the product of its parts.

    Args:
        region: parts by their coordinates, which follow each other as the fields' arguments do.
        coordinates: those of the fields.

    Raises:
        SpecificationError: coordinates missing, unknown or in another order; bounds that are none.
        ShapeError: a domain of another dimension than it has coordinates.

    Example:
        >>> from constraints.domains import Ball
        >>> x, y, t = sympy.symbols("x y t")
        >>> read_region({(x, y): Ball([0.0, 0.0], 1.0), t: (0, 5)}, [x, y, t]).bounds[1].tolist()
        [1.0, 1.0, 5.0]
    """
    if not isinstance(region, Mapping):
        raise SpecificationError(
            f"a domain needs to say of which coordinates it is, as in {{{tuple(coordinates)}: ...}}, got {region}"
        )
    keys = [key if isinstance(key, tuple) else (key,) for key in region]
    require_symbols((symbol for key in keys for symbol in key), "a domain")
    parts = list(region.values())
    if all(len(key) == 1 for key in keys):  # bounds may come in any order
        order = sorted(range(len(keys)), key=lambda i: _place(keys[i][0], coordinates))
        keys, parts = [keys[i] for i in order], [parts[i] for i in order]
    if [symbol for key in keys for symbol in key] != list(coordinates):
        raise SpecificationError(
            f"a domain needs each of the coordinates {tuple(coordinates)} once and in their order, got {list(region)}"
        )
    if all(not isinstance(part, Domain) for part in parts):
        return _box([(k, part) for (k,), part in zip(keys, parts, strict=True)])
    domains = []
    for key, part in zip(keys, parts, strict=True):
        domain = part if isinstance(part, Domain) else _box([(key[0], part)])
        if domain.dimension != len(key):
            raise ShapeError(f"a domain of {key} needs dimension {len(key)}, got {domain.dimension}")
        domains.append(domain)
    whole = domains[0]
    for domain in domains[1:]:
        whole = whole * domain
    return whole


def _place(symbol: sympy.Symbol, coordinates: Sequence[sympy.Symbol]) -> int:
    return list(coordinates).index(symbol) if symbol in coordinates else len(coordinates)


def _box(bounds: Sequence[tuple[sympy.Symbol, object]]) -> Domain:
    low, high = [], []
    for symbol, ends in bounds:
        a, b = ends if isinstance(ends, tuple | list) and len(ends) == 2 else (math.nan, math.nan)
        a, b = (as_number(end, f"a bound of {symbol}") for end in (a, b))
        if not -math.inf < a <= b < math.inf:
            raise SpecificationError(f"a domain needs finite bounds low <= high of {symbol}, got {ends}")
        low.append(a)
        high.append(b)
    return Cuboid(low, high)
