"""Weights by how far each term has fallen, looking back at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints import SpecificationError
from dkmodels.balance.balance import Balance, Term, require_decay

__all__ = ["ReLoBRaLo", "relative_weights"]


def relative_weights(losses: Tensor, before: Tensor, temperature: float) -> Tensor:
    r"""Large weights for what fell least: :math:`m\,\mathrm{softmax}_k(L_k / (T L'_k))`, `(n,)`.

    Args:
        losses: `L`, `(n,)`.
        before: `L'`, `(n,)`.
        temperature: `T > 0`.

    Returns:
        For the m terms of which both are > 0; infinity elsewhere.

    Example:
        >>> relative_weights(torch.tensor([1.0, 0.5, 0.0]), torch.tensor([1.0, 1.0, 1.0]), 1.0)
        tensor([1.2449, 0.7551,    inf])
    """
    alive = (losses > 0.0) & (before > 0.0)
    ratio = losses / torch.where(alive, before * temperature, 1.0)
    ratio = ratio.clamp(max=torch.finfo(losses.dtype).max)
    share = torch.softmax(torch.where(alive, ratio, -math.inf), dim=0) * alive.sum()
    return torch.where(alive, share, math.inf)


@final
class ReLoBRaLo(Balance):
    r"""Relative loss balancing with random lookback: terms that fall more slowly than others weigh more.

    .. math::
        w \leftarrow \alpha \big(\rho\, w + (1 - \rho)\, \hat w(0)\big) + (1 - \alpha)\, \hat w(t - 1), \qquad
        \hat w_k(t') = m\, \mathrm{softmax}_k \frac{L_k(t)}{T L_k(t')}

    with :math:`\rho` 1 with probability `lookback`, else 0: then the weights of the past are forgotten for those since
    the beginning. Steps count from move to move, the beginning is each term's first loss above 0. Costs next to
    nothing. Losses must be >= 0: an `AugmentedLagrangian` may not be, and then keeps its weight.

    Args:
        every: see `Balance`.
        decay: :math:`\alpha` in [0, 1).
        temperature: `T > 0`; the smaller, the more the slowest term weighs.
        lookback: in [0, 1].

    Raises:
        SpecificationError: numbers out of range.

    Source: Bischof and Kraus, "Multi-objective loss balancing for physics-informed deep learning", CMAME 439, 2025,
    doi:10.1016/j.cma.2025.117914, arXiv:2110.09813.

    Example:
        >>> balance = ReLoBRaLo(decay=0.0, temperature=1.0)
        >>> task = Term(torch.tensor(2.0))
        >>> for falling in (1.0, 0.5):
        ...     balance.advance(0)
        ...     found = balance.weigh({"task": task, "rule": Term(torch.tensor(falling))}, nn.Identity())
        >>> found
        {'task': tensor(1.2449), 'rule': tensor(0.7551)}
    """

    first: Tensor
    previous: Tensor

    def __init__(
        self, *, every: int = 1, decay: float = 0.999, temperature: float = 0.1, lookback: float = 0.999
    ) -> None:
        super().__init__(every=every)
        self.decay = require_decay(type(self).__name__, decay)
        if not (0.0 < temperature < math.inf and 0.0 <= lookback <= 1.0):
            raise SpecificationError(
                f"`ReLoBRaLo` needs a finite temperature > 0 and lookback in [0, 1], got {temperature} and {lookback}"
            )
        self.temperature, self.lookback = float(temperature), float(lookback)
        for name in ("first", "previous"):  # 0: not seen yet
            self.register_buffer(name, torch.empty(0, dtype=torch.float64))

    def bind(self, names: Sequence[str]) -> None:
        """See `Balance`."""
        if not self.names:
            self.first, self.previous = (torch.zeros(len(names), dtype=torch.float64) for _ in range(2))
        super().bind(names)

    def observe(self, terms: Sequence[Term], module: nn.Module) -> Tensor:
        """The losses, `(n,)`."""
        return torch.stack([term.loss for term in terms])

    def renew(self, seen: Tensor) -> Tensor:
        """See the class."""
        good = seen.isfinite() & (seen > 0.0)
        first, previous = self.first.to(seen), self.previous.to(seen)
        first = torch.where(good & (first == 0.0), seen, first)
        old = self.weights
        if not bool(torch.rand(()) < self.lookback):  # torch.rand is below 1: a lookback of 1 never forgets
            old = relative_weights(seen, first, self.temperature)
        new = relative_weights(seen, torch.where(previous > 0.0, previous, first), self.temperature)
        self.first, self.previous = first, torch.where(good, seen, previous)
        return torch.lerp(new, old, self.decay)

    def extra_repr(self) -> str:
        """The numbers."""
        return f"every={self.every}, decay={self.decay}, temperature={self.temperature}, lookback={self.lookback}"
