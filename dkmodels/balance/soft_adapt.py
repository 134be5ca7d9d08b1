"""Weights by how fast each term falls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints import SpecificationError
from dkmodels.balance.balance import Balance, Term, require_decay

__all__ = ["SoftAdapt", "soft_weights"]


def soft_weights(losses: Tensor, rates: Tensor, beta: float, *, normalised: bool, weighted: bool) -> Tensor:
    r"""Weights of rates of change: :math:`m\,\mathrm{softmax}_k(\beta s_k)`, `(n,)`.

    Args:
        losses: >= 0, `(n,)`.
        rates: `s`, `(n,)`.
        beta: > 0 favours what falls least.
        normalised: whether rates are divided by :math:`\sum_j |s_j|` before.
        weighted: whether :math:`e^{\beta s_k}` is multiplied by the loss before it is divided by the sum.

    Returns:
        For the m terms with a loss > 0; infinity elsewhere.

    Example:
        >>> losses, rates = torch.tensor([1.0, 3.0, 0.0]), torch.tensor([-1.0, -1.0, 0.0])
        >>> soft_weights(losses, rates, 0.1, normalised=True, weighted=True)
        tensor([0.5000, 1.5000,    inf])
    """
    alive = losses > 0.0
    rates = torch.where(alive, rates, 0.0)
    if normalised:
        rates = rates / rates.abs().sum().clamp(min=torch.finfo(rates.dtype).tiny)
    exponent = beta * rates + (torch.where(alive, losses, 1.0).log() if weighted else 0.0)
    share = torch.softmax(torch.where(alive, exponent, -math.inf), dim=0) * alive.sum()
    return torch.where(alive, share, math.inf)


@final
class SoftAdapt(Balance):
    r"""Terms that fall more slowly than others, or rise, weigh more.

    .. math::
        \hat w_k = m\,\mathrm{softmax}_k(\beta s_k), \quad s_k = L_k(t) - L_k(t - 1), \qquad
        w_k \leftarrow \alpha w_k + (1 - \alpha) \hat w_k

    with the source's variants. Steps count from move to move. The factor m, the number of terms, is ours, so that equal
    weights are 1; so is the moving average. Costs next to nothing.

    Args:
        every: see `Balance`.
        decay: :math:`\alpha` in [0, 1).
        beta: :math:`\beta`, finite; negative favours what falls most.
        normalised: see `soft_weights`; without, losses of small numbers all weigh alike.
        weighted: see `soft_weights`.

    Raises:
        SpecificationError: numbers out of range.

    Source: Heydari, Thompson and Mehmood, "SoftAdapt: techniques for adaptive loss weighting of neural networks with
    multi-part loss functions", 2019, arXiv:1912.12355.

    Example:
        >>> balance = SoftAdapt(decay=0.0, beta=1.0)
        >>> task = Term(torch.tensor(2.0))
        >>> for falling in (1.0, 0.5):
        ...     balance.advance(0)
        ...     found = balance.weigh({"task": task, "rule": Term(torch.tensor(falling))}, nn.Identity())
        >>> found
        {'task': tensor(1.4621), 'rule': tensor(0.5379)}
    """

    previous: Tensor

    def __init__(
        self,
        *,
        every: int = 1,
        decay: float = 0.9,
        beta: float = 0.1,
        normalised: bool = True,
        weighted: bool = False,
    ) -> None:
        super().__init__(every=every)
        self.decay = require_decay(type(self).__name__, decay)
        if not math.isfinite(beta):
            raise SpecificationError(f"`SoftAdapt` needs a finite beta, got {beta}")
        self.beta, self.normalised, self.weighted = float(beta), normalised, weighted
        self.register_buffer("previous", torch.empty(0, dtype=torch.float64))  # 0: not seen yet

    def bind(self, names: Sequence[str]) -> None:
        """See `Balance`."""
        if not self.names:
            self.previous = torch.zeros(len(names), dtype=torch.float64)
        super().bind(names)

    def observe(self, terms: Sequence[Term], module: nn.Module) -> Tensor:
        """The losses, `(n,)`."""
        return torch.stack([term.loss for term in terms])

    def renew(self, seen: Tensor) -> Tensor:
        """See the class."""
        previous = self.previous.to(seen)
        rates = torch.where(previous > 0.0, seen - previous, 0.0)
        new = soft_weights(seen, rates, self.beta, normalised=self.normalised, weighted=self.weighted)
        self.previous = torch.where(seen.isfinite() & (seen > 0.0), seen, previous)
        return torch.lerp(new, self.weights, self.decay)

    def extra_repr(self) -> str:
        """The numbers."""
        return (
            f"every={self.every}, decay={self.decay}, beta={self.beta}, normalised={self.normalised}, "
            f"weighted={self.weighted}"
        )
