"""Weights that make the gradients of all terms equally long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from dkmodels.balance.balance import Balance, Term, gradients_of, require_decay

__all__ = ["GradientNorm", "equal_shares"]


def equal_shares(sizes: Tensor, before: Tensor) -> Tensor:
    r"""Weights under which all terms have the same size, their sum: :math:`\sum_j s_j / s_k`, `(n,)`.

    Args:
        sizes: `s`, >= 0, `(n,)`.
        before: what a term of size 0 keeps, `(n,)`.

    Example:
        >>> equal_shares(torch.tensor([1.0, 3.0, 0.0]), torch.tensor([7.0, 7.0, 7.0]))
        tensor([4.0000, 1.3333, 7.0000])
    """
    alive = sizes > 0.0
    return torch.where(alive, sizes.sum() / torch.where(alive, sizes, 1.0), before)


@final
class GradientNorm(Balance):
    r"""The gradients of all weighted terms become equally long.

    .. math::
        \hat w_k = \frac{\sum_j \lVert \nabla_\theta L_j \rVert}{\lVert \nabla_\theta L_k \rVert}, \qquad
        w_k \leftarrow \alpha w_k + (1 - \alpha) \hat w_k

    What a rule's embedding weighs is undone thereby. Costs a backward pass a term each time.

    Args:
        every: see `Balance`.
        decay: :math:`\alpha` in [0, 1).

    Raises:
        SpecificationError: numbers out of range.

    Source: Wang, Sankaran, Wang and Perdikaris, "An expert's guide to training physics-informed neural networks",
    2023, arXiv:2308.08468, algorithm 1.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> terms = {"task": Term(3.0 * layer.weight[0, 0]), "rule": Term(layer.weight[0, 1])}
        >>> GradientNorm(decay=0.0).weigh(terms, layer)
        {'task': tensor(1.3333), 'rule': tensor(4.)}
    """

    def __init__(self, *, every: int = 100, decay: float = 0.9) -> None:
        super().__init__(every=every)
        self.decay = require_decay(type(self).__name__, decay)

    def observe(self, terms: Sequence[Term], module: nn.Module) -> Tensor:
        """Length of each gradient, `(n,)`."""
        return torch.stack([gradients_of(term.loss, module).norm() for term in terms])

    def renew(self, seen: Tensor) -> Tensor:
        """See the class."""
        return torch.lerp(equal_shares(seen, self.weights), self.weights, self.decay)

    def extra_repr(self) -> str:
        """The numbers."""
        return f"every={self.every}, decay={self.decay}"
