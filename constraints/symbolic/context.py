"""What a declared rule reads from the input: expressions of inputs and learnt numbers, one value a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import sympy
import torch
from torch import Tensor

from constraints.functional.real_functions import RealFunction, fragile_symbols, shield

__all__ = ["Entry", "Reader"]


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """One number of a set, for each sample.

    Attributes:
        expression: of inputs and learnt numbers.
        when: for which inputs it counts.
        otherwise: what stands in its place for the others.
    """

    expression: sympy.Expr
    when: sympy.Basic = sympy.true
    otherwise: float = 0.0


@final
class Reader:
    """Reads the numbers of a set for each sample.

    Args:
        entries: what to read.

    Example:
        >>> c = sympy.Symbol("c")
        >>> t = torch.tensor([1.0, 3.0])
        >>> Reader([Entry(2 * c), Entry(c, c > 2, float("inf"))])({c: t}, t)
        tensor([[2., inf],
                [6., 3.]])
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        infinite = (sympy.oo, -sympy.oo)
        self._values = [None if e.expression in infinite else RealFunction(e.expression) for e in self.entries]
        self._fragile = [fragile_symbols(e.expression) for e in self.entries]
        self._conditions = [None if e.when is sympy.true else RealFunction(e.when) for e in self.entries]

    def __reduce__(self) -> tuple[type[Reader], tuple[tuple[Entry, ...]]]:
        """Pickled and copied as its entries."""
        return Reader, (self.entries,)

    def __call__(self, leaves: Mapping[sympy.Symbol, Tensor], like: Tensor) -> Tensor:
        """The numbers of each sample, `(*batch, k)`, `like` being `(*batch,)`."""
        columns = []
        parts = zip(self.entries, self._values, self._fragile, self._conditions, strict=True)
        for entry, read, fragile, condition in parts:
            if read is None:
                columns.append(torch.full_like(like, float(entry.expression)))
                continue
            if condition is None:
                columns.append(read(leaves, like).expand(like.shape))
                continue
            holds = condition(leaves, like)
            value = read(shield(leaves, fragile, holds), like).expand(like.shape)
            columns.append(torch.where(holds, value, entry.otherwise))
        return torch.stack(columns, dim=-1)
