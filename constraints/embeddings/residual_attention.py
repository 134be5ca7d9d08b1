"""Weights that remember where residuals were large."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from constraints.embeddings.emphasis import Emphasis
from constraints.errors import SpecificationError

__all__ = ["ResidualAttention"]


@final
class ResidualAttention(Emphasis):
    r"""Multipliers of residuals that grow where these are large and forget the past slowly.

    .. math:: \lambda_i \leftarrow \gamma \lambda_i + \eta \frac{|r_i|}{\max_j |r_j|}, \qquad w_i = \lambda_i^2

    so that :math:`\lambda \le \eta / (1 - \gamma)`, once it was. Of several residuals at a point, :math:`|r_i|` is the
    length of the vector. It starts from 0, so that a rule comes into the loss bit by bit; `start` changes that.

    Args:
        rate: :math:`\eta > 0`.
        decay: :math:`\gamma` in [0, 1).
        start: see `Emphasis`.

    Raises:
        SpecificationError: numbers out of range.

    Source: Anagnostopoulos, Toscano, Stergiopulos and Karniadakis, "Residual-based attention in physics-informed
    neural networks", CMAME 421, 2024, doi:10.1016/j.cma.2024.116805, arXiv:2307.00379.

    Example:
        >>> attention, points = ResidualAttention(rate=0.1, decay=0.5), torch.zeros(2, 1)
        >>> size = torch.tensor([1.0, 2.0])
        >>> for _ in range(2):
        ...     attention.advance()
        ...     _ = attention.weigh(size.square(), size, points)
        >>> attention.multiplier
        tensor([0.0750, 0.1500])
    """

    def __init__(self, *, rate: float = 0.01, decay: float = 0.999, start: float = 0.0) -> None:
        super().__init__(start)
        if not (0.0 < rate < float("inf") and 0.0 <= decay < 1.0):
            raise SpecificationError(
                f"`ResidualAttention` needs a finite rate > 0 and decay in [0, 1), got {rate} and {decay}"
            )
        self.rate, self.decay = float(rate), float(decay)

    def move(self, multiplier: Tensor, loss: Tensor, size: Tensor, points: Tensor) -> Tensor:
        """See the class."""
        share = size / size.max().clamp(min=torch.finfo(size.dtype).tiny)  # 0 of 0 is 0
        return self.decay * multiplier + self.rate * share

    def mask(self, multiplier: Tensor) -> Tensor:
        """Squares, as multipliers are of residuals."""
        return multiplier.square()

    def extra_repr(self) -> str:
        """The numbers."""
        return f"rate={self.rate}, decay={self.decay}, start={self.start}"
