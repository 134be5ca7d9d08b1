"""Residuals that are their own set: all 0, or all at most 0."""

from __future__ import annotations

from typing import final

from torch import Tensor

from constraints.functional import default_tolerance
from constraints.sets.constraint import Constraint

__all__ = ["NonPositive", "Zero"]


@final
class Zero(Constraint):
    """Values that are residuals themselves, signed, of any number: each must be 0.

    Example:
        >>> import torch
        >>> Zero().violation(torch.tensor([0.5, -2.0]))
        tensor(2.)
    """

    equalities = 2**31 - 1  # every component is one, whatever the length

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of numbers of size one at least, `(*batch,)`: what they were computed from is not known."""
        return default_tolerance(value, terms=value.shape[-1], least=1.0)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The values, `(*batch, m)`."""
        return value

    def excess(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Their size, `(*batch, m)`."""
        return value.abs()


@final
class NonPositive(Constraint):
    """Values that are residuals themselves, of any number: each must be at most 0.

    Example:
        >>> import torch
        >>> NonPositive().violation(torch.tensor([0.5, -2.0]))
        tensor(0.5000)
    """

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of numbers of size one at least, `(*batch,)`: what they were computed from is not known."""
        return default_tolerance(value, terms=value.shape[-1], least=1.0)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The values, `(*batch, m)`."""
        return value
