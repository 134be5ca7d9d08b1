"""Losses that are sums of squares, row by row: what Gauss and Newton's method asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

__all__ = ["Squares"]


@final
@dataclass(frozen=True)
class Squares:
    r"""The loss :math:`w \sum_i \lVert r(z_i) \rVert^2`, where the residual of a row depends on that row alone.

    Attributes:
        residual: `r`, rows `(n, k)` to `(n, m)`, differentiable by the weights of the model that it speaks of.
        rows: `z`, `(n, k)`: points, inputs beside targets.
        weight: `w > 0`.

    Example:
        >>> import torch
        >>> Squares(lambda z: z - 1.0, torch.tensor([[0.0], [3.0]]), 0.5).loss()
        tensor(2.5000)
    """

    residual: Callable[[Tensor], Tensor]
    rows: Tensor
    weight: float

    def loss(self) -> Tensor:
        """The sum, `()`."""
        return self.weight * self.residual(self.rows).square().sum()

    def weighted(self, weights: Tensor) -> Squares:
        """The same with each row's square times a weight of its own: its root goes with the row.

        Args:
            weights: >= 0, `(n,)`.

        Example:
            >>> Squares(lambda z: z, torch.tensor([[1.0], [3.0]]), 1.0).weighted(torch.tensor([2.0, 4.0])).loss()
            tensor(38.)
        """
        rows = torch.cat([self.rows, weights.sqrt().to(self.rows)[:, None]], dim=1)
        return replace(self, residual=lambda z: self.residual(z[:, :-1]) * z[:, -1:], rows=rows)
