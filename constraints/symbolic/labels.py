"""Formulas of a few labels as few alternatives, and the numbers at which labels hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import product
from operator import and_, or_, xor

import numpy as np
import sympy

__all__ = ["LABELS", "alternatives", "is_formula", "least_score"]

LABELS = 6  # up to which the truth table of a formula is written out

ORDER = {True: 0, None: 1, False: 2}

Cube = tuple[bool | None, ...]
"""What a product of labels says of each: that it holds, that it does not, or nothing."""


def least_score(threshold: float) -> float:
    """The least number not below a threshold that stays so when it is rounded to float32.

    Example:
        >>> float(np.float32(0.35)) >= 0.35, float(np.float32(least_score(0.35))) >= 0.35
        (False, True)
        >>> least_score(0.5)
        0.5
    """
    with np.errstate(over="ignore"):
        single = np.float32(threshold)
    if float(single) >= threshold:
        return threshold
    return float(np.nextafter(single, np.float32(np.inf)))


def is_formula(statement: sympy.Basic, labels: frozenset[sympy.Symbol]) -> bool:
    """Whether a statement says something of labels alone.

    Example:
        >>> a, b = sympy.symbols("a b")
        >>> is_formula(sympy.Implies(a, b), frozenset({a, b})), is_formula(a & (b <= 1), frozenset({a, b}))
        (True, False)
    """
    if isinstance(statement, sympy.Symbol):
        return statement in labels
    known = (sympy.And, sympy.Or, sympy.Not, sympy.Xor, sympy.Implies, sympy.Equivalent, sympy.ITE)
    if isinstance(statement, known):
        return all(is_formula(part, labels) for part in statement.args)
    return statement in (sympy.true, sympy.false)


def alternatives(statement: sympy.Basic, labels: Sequence[sympy.Symbol]) -> list[dict[sympy.Symbol, bool]]:
    """A formula as alternatives, of which each says of some labels whether they hold: few, and each as short as can be.

    Args:
        statement: one for which `is_formula` holds.
        labels: all that it speaks of, at most `LABELS`.

    Source: Quine, "The problem of simplifying truth functions", 1952, doi:10.1080/00029890.1952.11988183; the cover of
    the prime implicants is a greedy one.

    Example:
        >>> a, b, c = sympy.symbols("a b c")
        >>> alternatives((a | b) & (a | ~b | c), [a, b, c])
        [{a: True}, {b: True, c: True}]
    """
    rows = list(product([False, True], repeat=len(labels)))
    every = (1 << len(rows)) - 1
    columns = [sum(1 << i for i, row in enumerate(rows) if row[k]) for k in range(len(labels))]
    holds = _table(statement, dict(zip(labels, columns, strict=True)), every)

    def covered(cube: Cube) -> int:
        says = [column if one else every ^ column for one, column in zip(cube, columns, strict=True) if one is not None]
        return reduce(and_, says, every)

    cubes: dict[Cube, int] = {cube: covered(cube) for cube in product([None, True, False], repeat=len(labels))}
    implicants = {cube: table for cube, table in cubes.items() if not table & ~holds}
    prime = {
        cube: table
        for cube, table in implicants.items()
        if not any(one is not None and (*cube[:k], None, *cube[k + 1 :]) in implicants for k, one in enumerate(cube))
    }
    chosen: list[Cube] = []
    for row in range(len(rows)):  # those without which a row is not covered
        own = [cube for cube, table in prime.items() if table >> row & 1]
        chosen += own if len(own) == 1 and own[0] not in chosen else []
    left = holds & ~reduce(or_, (prime[cube] for cube in chosen), 0)
    while left:
        best = max(prime, key=lambda cube: (prime[cube] & left).bit_count())
        chosen.append(best)
        left &= ~prime[best]
    chosen.sort(key=lambda cube: [ORDER[one] for one in cube])
    return [{s: one for s, one in zip(labels, cube, strict=True) if one is not None} for cube in chosen]


def _table(statement: sympy.Basic, columns: Mapping[sympy.Basic, int], every: int) -> int:
    """In which rows of the truth table a formula holds, a bit each."""
    if statement in columns:
        return columns[statement]
    if statement in (sympy.true, sympy.false):
        return every if statement == sympy.true else 0
    parts = [_table(part, columns, every) for part in statement.args]
    if isinstance(statement, sympy.Not):
        return every ^ parts[0]
    if isinstance(statement, sympy.Implies):
        return (every ^ parts[0]) | parts[1]
    if isinstance(statement, sympy.ITE):
        return (parts[0] & parts[1]) | ((every ^ parts[0]) & parts[2])
    if isinstance(statement, sympy.Equivalent):
        return reduce(and_, parts) | (every ^ reduce(or_, parts))
    joins = {sympy.And: and_, sympy.Or: or_, sympy.Xor: xor}
    return reduce(joins[statement.func], parts)
