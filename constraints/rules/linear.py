"""Linear rules on outputs: equalities, balances, bounds, fixed sums."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.errors import SpecificationError
from constraints.rules.output_rule import OutputRule
from constraints.sets import Affine, Box, Fallback, Polytope, Simplex, VaryingPolytope
from constraints.sets.constraint import as_buffer

__all__ = ["Balance", "Bounds", "FixedSum", "LinearEquality", "LinearInequality", "LinearSystem"]


class LinearEquality(OutputRule):
    """Linear equalities `A y = b`, with a fixed target or one that depends on the input.

    Subclass and write `target(x)` where `b` depends on the input.

    Args:
        coefficients: `A`, `(m, n)`.
        values: fixed `b`, `(m,)`; leave out where `target` is written.
        outputs: see `OutputRule`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: neither `values` nor a `target` method, or both; a row of zeros.
        InfeasibleError: fixed values that no output attains.

    Example:
        >>> class CarbonBalance(LinearEquality):
        ...     def __init__(self):
        ...         super().__init__(coefficients=[[1.0, 2.0, 3.0]], unit="mol")
        ...     def target(self, x):
        ...         return x[..., :1]
        >>> rule = CarbonBalance()
        >>> y = rule.enforce(torch.ones(1, 3), torch.tensor([[13.0]]))
        >>> y @ torch.tensor([1.0, 2.0, 3.0])
        tensor([13.])
    """

    def __init__(
        self,
        coefficients: Sequence[Sequence[float]] | Tensor,
        values: Sequence[float] | Tensor | None = None,
        *,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        depends = type(self).target is not LinearEquality.target
        if depends == (values is not None):
            raise SpecificationError(
                f"`{type(self).__name__}` needs either fixed values or a `target` method, got "
                f"{'both' if depends else 'neither'}"
            )
        super().__init__(Affine(coefficients, values), outputs=outputs, name=name, unit=unit, source=source)
        _require_coefficients(self, coefficients)

    def target(self, x: Tensor) -> Tensor:
        """The target of each sample, `(*batch, d)` to `(*batch, m)`."""
        raise SpecificationError(f"rule `{self.name}` has fixed values, so no target that depends on the input")

    @property
    def context_width(self) -> int | None:
        """None where the target depends on the input, else 0."""
        return 0 if type(self).target is LinearEquality.target else None

    def context(self, x: Tensor | None) -> Tensor | None:
        """The target, where it depends on the input."""
        if type(self).target is LinearEquality.target:
            return None
        if x is None:
            raise SpecificationError(f"rule `{self.name}` depends on the input, got x=None")
        return self.target(x)


class LinearInequality(OutputRule):
    """Linear inequalities `low <= A y <= high`, with fixed limits or ones that depend on the input.

    Subclass and write `limits(x)` where they depend on the input.

    Args:
        coefficients: `A`, `(m, n)`.
        low: fixed `l`, a number or `(m,)`; `-inf` where there is none.
        high: fixed `u`, a number or `(m,)`; `inf` where there is none.
        fallback: what to do with samples for which no output obeys, see `Polytope`.
        outputs: see `OutputRule`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: neither fixed limits nor a `limits` method, or both; a row of zeros, or one without a limit.
        InfeasibleError: fixed limits that no output obeys.

    Example:
        >>> class Headroom(LinearInequality):
        ...     '''Two pumps together stay within what the line can take [m3/h].'''
        ...     def __init__(self):
        ...         super().__init__([[1.0, 1.0]], unit="m3/h")
        ...     def limits(self, x):
        ...         return torch.zeros_like(x), x
        >>> Headroom().enforce(torch.tensor([[2.0, 2.0]]), torch.tensor([[3.0]]))
        tensor([[1.5000, 1.5000]])
    """

    def __init__(
        self,
        coefficients: Sequence[Sequence[float]] | Tensor,
        *,
        low: float | Sequence[float] | Tensor = -math.inf,
        high: float | Sequence[float] | Tensor = math.inf,
        fallback: Fallback | None = None,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        depends = type(self).limits is not LinearInequality.limits
        fixed = not (isinstance(low, float) and low == -math.inf and isinstance(high, float) and high == math.inf)
        if depends == fixed:
            raise SpecificationError(
                f"`{type(self).__name__}` needs either fixed limits or a `limits` method, got "
                f"{'both' if depends else 'neither'}"
            )
        ends = [as_buffer(type(self).__name__, name, end, finite=False) for name, end in (("low", low), ("high", high))]
        open_rows = (ends[0] == -math.inf) & (ends[1] == math.inf)
        if not depends and bool(open_rows.any()):
            raise SpecificationError(
                f"`{type(self).__name__}` needs a limit in each row, got none in rows "
                f"{open_rows.reshape(-1).nonzero().flatten().tolist()}: they say nothing"
            )
        polytope = Polytope(coefficients, low, high, varies=depends, fallback=fallback)
        super().__init__(polytope, outputs=outputs, name=name, unit=unit, source=source)
        _require_coefficients(self, coefficients)

    def limits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The limits `(low, high)` of each sample, `(*batch, d)` to `(*batch, m)` each."""
        raise SpecificationError(f"rule `{self.name}` has fixed limits, so none that depend on the input")

    def context(self, x: Tensor | None) -> Tensor | None:
        """The limits, where they depend on the input, `(*batch, 2 m)`."""
        if type(self).limits is LinearInequality.limits:
            return None
        if x is None:
            raise SpecificationError(f"rule `{self.name}` depends on the input, got x=None")
        low, high = self.limits(x)
        return torch.cat([low, high], dim=-1)


class LinearSystem(OutputRule):
    """Linear inequalities `low <= A y <= high` whose coefficients depend on the input. Subclass and write `system(x)`.

    Args:
        rows: `m`.
        size: `n`, how many outputs.
        equalities: how many leading rows are equalities; their `low` is the target.
        fallback: what to do with samples for which no output obeys, see `Polytope`.
        outputs: see `OutputRule`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Example:
        >>> class Torque(LinearSystem):
        ...     '''Force times lever arm, which the input gives, stays within 1 N m.'''
        ...     def __init__(self):
        ...         super().__init__(rows=1, size=2, unit="N m")
        ...     def system(self, x):
        ...         limit = torch.ones_like(x[..., :1])
        ...         return x[..., None, :], -limit, limit
        >>> Torque().enforce(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
        tensor([[1., 0.]])
    """

    def __init__(
        self,
        rows: int,
        size: int,
        *,
        equalities: int = 0,
        fallback: Fallback | None = None,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        varying = VaryingPolytope(rows, size, equalities=equalities, fallback=fallback)
        super().__init__(varying, outputs=outputs, name=name, unit=unit, source=source)

    @abstractmethod
    def system(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`A (*batch, m, n)`, `low (*batch, m)` and `high (*batch, m)` of each sample."""

    def context(self, x: Tensor | None) -> Tensor | None:
        """The whole system, `(*batch, m, n + 2)`."""
        if x is None:
            raise SpecificationError(f"rule `{self.name}` depends on the input, got x=None")
        matrix, low, high = self.system(x)
        return torch.cat([matrix, low[..., None], high[..., None]], dim=-1)


@final
class Balance(LinearEquality):
    r"""Conservation: a weighted sum of outputs equals a weighted sum of inputs, :math:`w^\top y = v^\top x`.

    Args:
        into: columns of the input that carry what is conserved.
        into_weights: `v`, one for each; 1 by default.
        weights: `w`, one for each output of the rule.
        outputs: see `OutputRule`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Example:
        >>> mass = Balance(into=[0, 1], weights=[1.0, 1.0, 1.0], unit="kg")
        >>> mass.enforce(torch.zeros(1, 3), torch.tensor([[1.0, 2.0]]))
        tensor([[1., 1., 1.]])
    """

    into_weights: Tensor
    columns: Tensor

    def __init__(
        self,
        *,
        into: Sequence[int],
        weights: Sequence[float],
        into_weights: Sequence[float] | None = None,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        super().__init__([list(weights)], outputs=outputs, name=name, unit=unit, source=source)
        v = [1.0] * len(into) if into_weights is None else list(into_weights)
        if not into or len(v) != len(into):
            raise SpecificationError(
                f"`Balance` needs at least one input and one weight for each, got {len(into)} and {len(v)}"
            )
        self.register_buffer("columns", torch.tensor(list(into), dtype=torch.long), persistent=False)
        self.register_buffer("into_weights", as_buffer("Balance", "into_weights", v), persistent=False)

    def target(self, x: Tensor) -> Tensor:
        """What went in, `(*batch, 1)`."""
        weights = self.into_weights.to(x) if x.is_floating_point() else self.into_weights
        return (x.index_select(-1, self.columns) * weights).sum(dim=-1, keepdim=True)


@final
class Bounds(OutputRule):
    """Outputs between fixed bounds.

    Args:
        low: lower bounds, a number or one for each output.
        high: upper bounds, a number or one for each output.
        outputs: see `OutputRule`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: no finite bound: the rule would say nothing.
        InfeasibleError: a lower bound above the upper one.

    Example:
        >>> Bounds(low=0.0, unit="kg").measure(torch.nn.Identity(), torch.zeros(1), torch.tensor([[-0.5, 1.0]]))
        tensor([0.5000])
    """

    def __init__(
        self,
        *,
        low: float | Sequence[float] = -math.inf,
        high: float | Sequence[float] = math.inf,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        box = Box(low=low, high=high)
        if bool(torch.cat([box.low.flatten(), box.high.flatten()]).isinf().all()):
            raise SpecificationError(f"`Bounds` needs a finite bound, got low={low}, high={high}")
        super().__init__(box, outputs=outputs, name=name, unit=unit, source=source)


@final
class FixedSum(OutputRule):
    """Non-negative outputs with a fixed sum: shares, compositions, mixtures.

    Args:
        total: the sum, > 0.
        outputs: see `OutputRule`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Example:
        >>> FixedSum(total=1.0).enforce(torch.tensor([[0.7, 0.7]]))
        tensor([[0.5000, 0.5000]])
    """

    def __init__(
        self,
        total: float = 1.0,
        *,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        super().__init__(Simplex(total), outputs=outputs, name=name, unit=unit, source=source)


def _require_coefficients(rule: OutputRule, coefficients: Sequence[Sequence[float]] | Tensor) -> None:
    """Refuse rows of zeros: they say nothing of any output."""
    matrix = as_buffer(type(rule).__name__, "coefficients", coefficients)
    empty = (matrix == 0).all(dim=-1).nonzero().flatten().tolist()
    if empty:
        raise SpecificationError(
            f"rule `{rule.name}` needs a coefficient other than 0 in each row, got none in rows {empty}: they say "
            f"nothing of any output"
        )
