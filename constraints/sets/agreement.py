"""Pairs that agree: one half of the numbers equals the other."""

from __future__ import annotations

from typing import final

from torch import Tensor

from constraints.errors import ShapeError
from constraints.functional import default_tolerance
from constraints.sets.constraint import Constraint

__all__ = ["Agreement"]


@final
class Agreement(Constraint):
    """Values `[a | b]` with `a = b`: what a function gives of a moved input, and what it should.

    The residual is `a - b`, signed, in the unit of the values. Its tolerance follows the size of `a` and `b`, not of
    their difference: two results near 1000 that differ by rounding agree. The `context` is not used.

    Example:
        >>> import torch
        >>> Agreement().violation(torch.tensor([1.0, 2.0, 1.0, 5.0]))
        tensor(3.)
    """

    equalities = 2**31 - 1  # every component is one, whatever the length

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of numbers of size one at least, `(*batch,)`: what they were computed from is not known."""
        return default_tolerance(value, terms=value.shape[-1], least=1.0)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`a - b`, `(*batch, 2 n)` to `(*batch, n)`."""
        if value.shape[-1] % 2:
            raise ShapeError(f"`Agreement` needs two halves, got {value.shape[-1]} numbers")
        moved, wanted = value.chunk(2, dim=-1)
        return moved - wanted

    def excess(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`|a - b|`, `(*batch, n)`."""
        return self.residual(value, context).abs()
