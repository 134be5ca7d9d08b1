"""Linear rules on outputs: equalities, balances, bounds, fixed sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.errors import SpecificationError
from constraints.rules.rule import OutputRule
from constraints.sets import Affine, Box, Simplex
from constraints.sets.constraint import as_buffer

__all__ = ["Balance", "Bounds", "FixedSum", "LinearEquality"]


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
        SpecificationError: neither `values` nor a `target` method, or both.
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

    def target(self, x: Tensor) -> Tensor:
        """The target of each sample, `(*batch, d)` to `(*batch, m)`."""
        raise SpecificationError(f"rule `{self.name}` has fixed values, so no target that depends on the input")

    def context(self, x: Tensor | None) -> Tensor | None:
        """The target, where it depends on the input."""
        if type(self).target is LinearEquality.target:
            return None
        if x is None:
            raise SpecificationError(f"rule `{self.name}` depends on the input, got x=None")
        return self.target(x)


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
        super().__init__(Box(low=low, high=high), outputs=outputs, name=name, unit=unit, source=source)


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
