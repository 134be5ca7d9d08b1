"""What a declared rule reads from the input: expressions of inputs and learnt numbers, one value a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import sympy
import torch
from torch import Tensor

from constraints.functional.real_functions import evaluate_real

__all__ = ["Entry", "evaluate_entries"]


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


def evaluate_entries(entries: Sequence[Entry], leaves: Mapping[sympy.Symbol, Tensor], like: Tensor) -> Tensor:
    """The numbers of each sample, `(*batch, k)`, `like` being `(*batch,)`.

    Example:
        >>> c = sympy.Symbol("c")
        >>> t = torch.tensor([1.0, 3.0])
        >>> evaluate_entries([Entry(2 * c), Entry(c, c > 2, float("inf"))], {c: t}, t)
        tensor([[2., inf],
                [6., 3.]])
    """
    columns = []
    for entry in entries:
        if entry.expression in (sympy.oo, -sympy.oo):
            columns.append(torch.full_like(like, float(entry.expression)))
            continue
        value = evaluate_real(entry.expression, leaves, like).expand(like.shape)
        if entry.when is not sympy.true:
            holds = evaluate_real(entry.when, leaves, like)
            value = torch.where(holds, value, entry.otherwise)
        columns.append(value)
    return torch.stack(columns, dim=-1)
