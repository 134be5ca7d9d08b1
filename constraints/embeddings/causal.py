"""Weights that let time be learnt in its order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.embeddings.emphasis import Emphasis
from constraints.errors import SpecificationError

__all__ = ["Causal", "causal_weights"]


def causal_weights(losses: Tensor, rate: Tensor | float) -> Tensor:
    r"""Weights of times in their order, `(m,)` to `(m,)`: :math:`w_i = \exp(-\epsilon \sum_{k<i} L_k)`.

    Args:
        losses: `L`, >= 0, `(m,)`.
        rate: :math:`\epsilon \ge 0`.

    Example:
        >>> causal_weights(torch.tensor([0.0, 1.0, 2.0, 5.0]), math.log(2.0))
        tensor([1.0000, 1.0000, 0.5000, 0.1250])
    """
    earlier = torch.cat([losses.new_zeros(1), losses[:-1].cumsum(0)])
    return torch.exp(-rate * earlier)


@final
class Causal(Emphasis):
    r"""Points of a window of time count when what happens in earlier windows is learnt.

    .. math:: w_i = \exp\Big(-\epsilon \sum_{k<i} L_k\Big)

    for window i, with :math:`L_k` the mean loss, unweighted, of the points in window k. Windows are equal parts of the
    time that the points span; one without points has no loss. When the least weight is above `threshold`, the next
    :math:`\epsilon` of `rates` is taken from the next step on.

    Args:
        time: the column of points that is time; may be negative, counted from the end.
        windows: how many, >= 1; 1 is no emphasis.
        rates: values of :math:`\epsilon`, > 0 and increasing.
        threshold: in (0, 1).

    Attributes:
        stage: which of `rates` is at work; saved.

    Raises:
        SpecificationError: numbers out of range, a column that is not there.

    Source: Wang, Sankaran and Perdikaris, "Respecting causality for training physics-informed neural networks", CMAME
    421, 2024, doi:10.1016/j.cma.2024.116813, arXiv:2203.07404.

    Example:
        >>> causal, points = Causal(time=0, windows=2, rates=[1.0, 10.0]), torch.tensor([[0.0], [0.1], [0.9]])
        >>> loss = torch.tensor([0.1, 0.3, 7.0])
        >>> causal.weigh(loss, loss.sqrt(), points)  # exp(-0.2) for the last
        tensor([1.0000, 1.0000, 0.8187])
    """

    stage: Tensor
    rates: Tensor

    def __init__(
        self,
        *,
        time: int,
        windows: int = 16,
        rates: Sequence[float] = (1e-2, 1e-1, 1.0, 10.0, 100.0),
        threshold: float = 0.99,
    ) -> None:
        super().__init__(1.0)
        if windows < 1 or not 0.0 < threshold < 1.0:
            raise SpecificationError(
                f"`Causal` needs windows >= 1 and threshold in (0, 1), got {windows} and {threshold}"
            )
        values = [float(rate) for rate in rates]
        if not values or not all(0.0 < a < b for a, b in zip(values, [*values[1:], math.inf], strict=True)):
            raise SpecificationError(f"`Causal` needs finite rates > 0 that increase, got {values}")
        self.time, self.windows, self.threshold = time, windows, float(threshold)
        self.register_buffer("stage", torch.zeros((), dtype=torch.long))
        self.register_buffer("rates", torch.tensor(values, dtype=torch.float64), persistent=False)

    def move(self, multiplier: Tensor, loss: Tensor, size: Tensor, points: Tensor) -> Tensor:
        """See the class."""
        if not -points.shape[1] <= self.time < points.shape[1]:
            raise SpecificationError(f"`Causal` needs a column of {points.shape[1]} for time, got time={self.time}")
        time = points[:, self.time]
        passed = time - time.min()
        span = passed.max().clamp(min=torch.finfo(passed.dtype).tiny)
        window = (passed / span * self.windows).long().clamp(max=self.windows - 1)
        total = loss.new_zeros(self.windows).index_add(0, window, loss)
        count = loss.new_zeros(self.windows).index_add(0, window, torch.ones_like(loss))
        weights = causal_weights(total / count.clamp(min=1.0), self.rates[self.stage].to(loss))
        learnt = weights[-1] > self.threshold  # the last is the least
        self.stage = (self.stage + learnt).clamp(max=len(self.rates) - 1)
        return weights[window]

    def extra_repr(self) -> str:
        """The numbers."""
        return f"time={self.time}, windows={self.windows}, rates={self.rates.tolist()}, threshold={self.threshold}"
