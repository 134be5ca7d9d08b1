"""Limits that engineers name: budgets, capacities, rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.errors import ShapeError, SpecificationError
from constraints.rules.output_rule import OutputRule
from constraints.sets import Fallback, Polytope
from constraints.sets.constraint import as_buffer

__all__ = ["Budget", "Capacity", "RateLimit"]


class _Limits(OutputRule):
    """Rows whose limits are fixed or read from columns of the input."""

    def _read(self, x: Tensor | None, columns: Tensor) -> Tensor:
        if x is None:
            raise SpecificationError(f"rule `{self.name}` depends on the input, got x=None")
        return x.index_select(-1, columns)


@final
class Budget(_Limits):
    r"""A weighted sum of outputs is at most a budget: :math:`w^\top y \le b`.

    Args:
        weights: `w`, one for each output of the rule, [budget's unit per unit of output].
        total: the fixed budget `b`.
        column: or the column of the input that holds it.
        fallback: see `Polytope`.
        outputs: see `OutputRule`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: neither a total nor a column, or both.

    Example:
        >>> Budget([1.0, 2.0], total=3.0, unit="EUR").enforce(torch.tensor([[2.0, 3.0]]))
        tensor([[1., 1.]])
    """

    columns: Tensor

    def __init__(
        self,
        weights: Sequence[float],
        *,
        total: float | None = None,
        column: int | None = None,
        fallback: Fallback | None = None,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        if (total is None) == (column is None):
            raise SpecificationError(
                f"`Budget` needs either a total or a column of the input, got total={total}, column={column}"
            )
        high = math.inf if total is None else total
        polytope = Polytope([list(weights)], high=high, varies=total is None, fallback=fallback)
        super().__init__(polytope, outputs=outputs, name=name, unit=unit, source=source)
        self.register_buffer("columns", torch.tensor([column or 0]), persistent=False)
        self.varies = total is None

    def context(self, x: Tensor | None) -> Tensor | None:
        """`[-inf, b]` of each sample, where the budget comes from the input, `(*batch, 2)`."""
        if not self.varies:
            return None
        budget = self._read(x, self.columns)
        return torch.cat([torch.full_like(budget, -math.inf), budget], dim=-1)


@final
class Capacity(_Limits):
    """Every output is between 0 (or `low`) and its capacity, fixed or read from the input.

    Args:
        capacity: fixed capacities, a number for all or one for each output.
        columns: or the columns of the input that hold them, one for each output.
        low: the least, a number or one for each output; `-inf` for none.
        fallback: see `Polytope`; a capacity below `low` leaves a sample without a feasible output.
        outputs: see `OutputRule`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: neither capacities nor columns, or both.

    Example:
        >>> tanks = Capacity(columns=[0, 1], unit="m3")
        >>> tanks.enforce(torch.tensor([[5.0, -1.0]]), torch.tensor([[3.0, 4.0]]))
        tensor([[3., 0.]])
    """

    columns: Tensor
    low: Tensor

    def __init__(
        self,
        capacity: float | Sequence[float] | None = None,
        *,
        columns: Sequence[int] | None = None,
        low: float | Sequence[float] = 0.0,
        fallback: Fallback | None = None,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        if (capacity is None) == (columns is None):
            raise SpecificationError(
                f"`Capacity` needs either capacities or columns of the input, got {capacity} and {columns}"
            )
        given = columns if columns is not None else capacity
        parts = [given, low, outputs]
        sizes = {len(part) for part in parts if part is not None and not isinstance(part, (int, float))}
        if len(sizes) != 1:
            raise ShapeError(
                f"`Capacity` needs one number of outputs, said by a list of capacities, columns, low or outputs, got "
                f"{sorted(sizes)}"
            )
        n = sizes.pop()
        lower = as_buffer("Capacity", "low", low, finite=False).expand(n).clone()
        upper = (
            torch.full((n,), math.inf) if capacity is None else as_buffer("Capacity", "capacity", capacity).expand(n)
        )
        polytope = Polytope(torch.eye(n), lower, upper, varies=capacity is None, fallback=fallback)
        super().__init__(polytope, outputs=outputs, name=name, unit=unit, source=source)
        self.register_buffer("columns", torch.tensor(list(columns or [0]), dtype=torch.long), persistent=False)
        self.register_buffer("low", lower, persistent=False)
        self.varies = capacity is None

    def context(self, x: Tensor | None) -> Tensor | None:
        """The least and the most of each output, where they come from the input, `(*batch, 2 n)`."""
        if not self.varies:
            return None
        capacity = self._read(x, self.columns)
        return torch.cat([self.low.to(capacity).expand_as(capacity), capacity], dim=-1)


@final
class RateLimit(_Limits):
    r"""Successive outputs differ by at most so much: :math:`-f \le y_{t+1} - y_t \le r`.

    Args:
        steps: how many outputs, in the order of time, >= 2 (>= 1 with `previous`).
        rise: `r`, the most that an output may rise from one step to the next.
        fall: `f`, the most that it may fall; by default as much as it may rise.
        previous: column of the input that holds the value before the first output, if there is one.
        fallback: see `Polytope`.
        outputs: see `OutputRule`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Example:
        >>> ramp = RateLimit(steps=3, rise=1.0, unit="MW")
        >>> ramp.enforce(torch.tensor([[0.0, 3.0, 3.0]]))
        tensor([[1., 2., 3.]])
    """

    columns: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        steps: int,
        rise: float,
        fall: float | None = None,
        *,
        previous: int | None = None,
        fallback: Fallback | None = None,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        fall = rise if fall is None else fall
        if steps < (2 if previous is None else 1) or not (rise >= 0 and fall >= 0):
            raise SpecificationError(
                f"`RateLimit` needs at least two steps (one with `previous`) and rates >= 0, got steps={steps}, "
                f"rise={rise}, fall={fall}"
            )
        most, least = as_buffer("RateLimit", "rise", rise), -as_buffer("RateLimit", "fall", fall)
        rows = torch.diff(torch.eye(steps), dim=0)
        if previous is not None:
            rows = torch.cat([torch.eye(steps)[:1], rows])
        polytope = Polytope(rows, least, most, varies=previous is not None, fallback=fallback)
        super().__init__(polytope, outputs=outputs, name=name, unit=unit, source=source)
        self.register_buffer("columns", torch.tensor([previous or 0]), persistent=False)
        self.register_buffer("low", least.expand(len(rows)).clone(), persistent=False)
        self.register_buffer("high", most.expand(len(rows)).clone(), persistent=False)
        self.varies = previous is not None

    def context(self, x: Tensor | None) -> Tensor | None:
        """The limits of each difference, where the first depends on the input, `(*batch, 2 steps)`."""
        if not self.varies:
            return None
        before = self._read(x, self.columns)
        first = torch.nn.functional.pad(before, (0, len(self.low) - 1))
        return torch.cat([self.low.to(before) + first, self.high.to(before) + first], dim=-1)
