"""How a group balance is imposed: the forms as objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

from torch import Tensor, nn

from constraints.errors import InfeasibleError
from constraints.functional.balance_forms import (
    balance_additive,
    balance_multiplicative,
    balance_scaled_additive,
    balance_softmax,
)
from constraints.sets.constraint import as_buffer, keep_precision

__all__ = ["Additive", "BalanceForm", "Multiplicative", "ScaledAdditive", "Softmax"]


class BalanceForm(nn.Module, ABC):
    """A differentiable map of grouped values onto given means; a form of your own is a subclass."""

    @abstractmethod
    def forward(self, values: Tensor, mean: Tensor) -> Tensor:
        """Values with the means, `(*batch, groups, members)` and `(*batch, groups)` to `(*batch, groups, members)`."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> BalanceForm:
        """Move with the module, but keep the precision of the form's own numbers."""
        moved: BalanceForm = keep_precision(self, super()._apply, fn, recurse)
        return moved


@final
class Additive(BalanceForm):
    """The orthogonal projection: the gap is shared equally. See `balance_additive`.

    Example:
        >>> import torch
        >>> Additive()(torch.tensor([[1.0, 3.0]]), torch.tensor([5.0]))
        tensor([[4., 6.]])
    """

    def forward(self, values: Tensor, mean: Tensor) -> Tensor:
        """See `BalanceForm`."""
        return balance_additive(values, mean)


@final
class ScaledAdditive(BalanceForm):
    """The gap is shared in proportion to the room of each value. See `balance_scaled_additive`.

    Args:
        low: lower end of the values' range.
        high: upper end of it.

    Raises:
        InfeasibleError: where not `low < high`.

    Example:
        >>> import torch
        >>> ScaledAdditive(low=0.0, high=4.0)(torch.tensor([[1.0, 3.0]]), torch.tensor([1.0]))
        tensor([[0.5000, 1.5000]])
    """

    low: Tensor
    high: Tensor

    def __init__(self, *, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__()
        if not low < high:
            raise InfeasibleError(f"`ScaledAdditive` needs low < high, got low={low}, high={high}")
        self.register_buffer("low", as_buffer("ScaledAdditive", "low", low), persistent=False)
        self.register_buffer("high", as_buffer("ScaledAdditive", "high", high), persistent=False)

    def forward(self, values: Tensor, mean: Tensor) -> Tensor:
        """See `BalanceForm`."""
        return balance_scaled_additive(values, mean, self.low.to(values), self.high.to(values))

    def extra_repr(self) -> str:
        """The range."""
        return f"low={float(self.low)}, high={float(self.high)}"


@final
class Multiplicative(BalanceForm):
    """Values are scaled; for positive outputs. See `balance_multiplicative`.

    Example:
        >>> import torch
        >>> Multiplicative()(torch.tensor([[1.0, 3.0]]), torch.tensor([4.0]))
        tensor([[2., 6.]])
    """

    def forward(self, values: Tensor, mean: Tensor) -> Tensor:
        """See `BalanceForm`."""
        return balance_multiplicative(values, mean)


@final
class Softmax(BalanceForm):
    """Shares by softmax: positive where the means are. See `balance_softmax`.

    Example:
        >>> import torch
        >>> Softmax()(torch.tensor([[0.0, 0.0]]), torch.tensor([5.0]))
        tensor([[5., 5.]])
    """

    def forward(self, values: Tensor, mean: Tensor) -> Tensor:
        """See `BalanceForm`."""
        return balance_softmax(values, mean)
