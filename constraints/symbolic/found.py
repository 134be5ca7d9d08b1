"""What the front door found: a set, why it is that one, and which numbers it reads from the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import sympy

from constraints.sets import Constraint
from constraints.symbolic.context import Entry

__all__ = ["Found"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The most specific set that a statement was found to be.

    Attributes:
        kind: what it is called, such as "box" or "polytope".
        why: what was seen that makes it so.
        cost: what the map onto it costs a sample.
        constraint: the set.
        outputs: its outputs, in the order in which it takes them.
        entries: the numbers that it reads, flat.
        shape: the shape in which it takes them; `()` where there are none.
    """

    kind: str
    why: str
    cost: str
    constraint: Constraint
    outputs: tuple[sympy.Symbol, ...]
    entries: tuple[Entry, ...] = ()
    shape: tuple[int, ...] = ()
