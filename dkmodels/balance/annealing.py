"""Weights by the largest and the mean entry of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints import SpecificationError
from dkmodels.balance.balance import Balance, Term, gradients_of, require_decay

__all__ = ["LearningRateAnnealing"]


@final
class LearningRateAnnealing(Balance):
    r"""Every term's mean gradient entry becomes as large as the largest entry of the equation's gradient.

    .. math::
        \hat w_k = \frac{\max_\theta |\nabla_\theta L_r|}{\overline{|\nabla_\theta L_k|}}, \qquad
        w_k \leftarrow \alpha w_k + (1 - \alpha) \hat w_k

    for all terms but the reference r, whose weight stays 1. What a rule's embedding weighs is undone thereby, but for
    the reference. A term that is nearly fulfilled has next to no gradient, and so gets a weight without bound, beside
    which the equation may be lost; `GradientNorm` is gentler. Costs a backward pass a term each time.

    Args:
        reference: name of term r, the rule that is the equation.
        every: see `Balance`.
        decay: :math:`\alpha` in [0, 1).

    Raises:
        SpecificationError: numbers out of range, no term of that name.

    Source: Wang, Teng and Perdikaris, "Understanding and mitigating gradient flow pathologies in physics-informed
    neural networks", SIAM Journal on Scientific Computing 43, 2021, doi:10.1137/20M1318043, arXiv:2001.04536; there
    the text calls `1 - decay` alpha.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> weight = layer.weight[0]
        >>> terms = {"equation": Term(3.0 * weight[0]), "walls": Term(weight[0] + weight[1])}
        >>> LearningRateAnnealing("equation", decay=0.5).weigh(terms, layer)  # 0.5 * 1 + 0.5 * 3 / 1
        {'equation': tensor(1.), 'walls': tensor(2.)}
    """

    def __init__(self, reference: str, *, every: int = 10, decay: float = 0.9) -> None:
        super().__init__(every=every)
        self.reference, self.decay = reference, require_decay(type(self).__name__, decay)

    def bind(self, names: Sequence[str]) -> None:
        """See `Balance`."""
        if self.reference not in names:
            raise SpecificationError(
                f"`LearningRateAnnealing` needs a reference among the terms {list(names)}, got {self.reference!r}"
            )
        super().bind(names)

    def observe(self, terms: Sequence[Term], module: nn.Module) -> Tensor:
        """Largest and mean entry of each gradient, `(n, 2)`."""
        sizes = [gradients_of(term.loss, module).abs() for term in terms]
        return torch.stack([torch.stack([size.max(), size.mean()]) for size in sizes])

    def renew(self, seen: Tensor) -> Tensor:
        """See the class."""
        place = self.names.index(self.reference)
        largest, mean = seen[place, 0], seen[:, 1]
        moves = (mean > 0.0) & (largest > 0.0) & (torch.arange(len(seen), device=seen.device) != place)
        wanted = largest / torch.where(moves, mean, 1.0)
        return torch.where(moves, torch.lerp(wanted, self.weights, self.decay), self.weights)

    def extra_repr(self) -> str:
        """The numbers."""
        return f"reference={self.reference!r}, every={self.every}, decay={self.decay}"
