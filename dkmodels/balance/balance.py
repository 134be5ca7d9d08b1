"""What a balance is: a weight for each term of a loss, found anew every so many steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from constraints import SpecificationError, Squares
from dkmodels.optim.processes import average_

__all__ = ["Balance", "Term", "gradients_of"]


@final
@dataclass(frozen=True)
class Term:
    """A term of a loss at a step.

    Attributes:
        loss: its value with its graph, `()`.
        squares: the same as sums of squares; asked by those that need them.

    Example:
        >>> float(Term(torch.tensor(2.0)).loss)
        2.0
    """

    loss: Tensor
    squares: Callable[[], Sequence[Squares]] | None = None


class Balance(nn.Module, ABC):
    r"""Weights of terms: the loss becomes :math:`\sum_k w_k L_k`, for `KnowledgeModule(..., balance=...)`.

    Weights start at 1, multiply what a rule's embedding weighs already, and carry no gradient. They move once a step of
    the optimiser, every `every` steps, at the first evaluation after `advance`: a line search sees one loss.
    `KnowledgeModule` calls `advance`; in a loop of one's own, call it before each step. A term that is 0, or has no
    gradient, keeps its weight and takes no part. Of several processes, what is seen is averaged. What is minimised
    changes from step to step: `QuasiNewton` compares gradients within a step alone, `torch.optim.LBFGS` does not. A
    state is loaded by a balance that knows its terms (`bind`), as one in a module does.

    Args:
        every: steps between moves, >= 1.

    Attributes:
        names: of the terms; none before they are known.
        weights: in their order, float64, `(n,)`; saved.

    Raises:
        SpecificationError: `every` below 1.

    Example:
        >>> @final
        ... class Inverse(Balance):
        ...     '''Terms of equal size.'''
        ...     def observe(self, terms, module):
        ...         return torch.stack([term.loss for term in terms])
        ...     def renew(self, seen):
        ...         return torch.where(seen > 0, 1.0 / seen, self.weights)
        >>> terms = {"task": Term(torch.tensor(4.0)), "rule": Term(torch.tensor(0.0))}
        >>> Inverse(every=1).weigh(terms, nn.Identity())
        {'task': tensor(0.2500), 'rule': tensor(1.)}
    """

    weights: Tensor

    def __init__(self, *, every: int) -> None:
        super().__init__()
        if every < 1:
            raise SpecificationError(f"`{type(self).__name__}` needs every >= 1, got {every}")
        self.every = every
        self.names: tuple[str, ...] = ()
        self.register_buffer("weights", torch.empty(0, dtype=torch.float64))
        self._due = True

    @abstractmethod
    def observe(self, terms: Sequence[Term], module: nn.Module) -> Tensor:
        """What the weights follow from, one number or row a term, `(n, ...)`.

        Args:
            terms: in the order of `names`.
            module: holds the parameters.
        """

    @abstractmethod
    def renew(self, seen: Tensor) -> Tensor:
        """The new weights, `(n,)`, of what was observed, float64; entries that are not finite move nothing."""

    def bind(self, names: Sequence[str]) -> None:
        """Be told the terms.

        Raises:
            SpecificationError: no terms, one twice, or others than before.
        """
        given = tuple(names)
        if not given or len(set(given)) < len(given):
            raise SpecificationError(f"`{type(self).__name__}` needs distinct terms, at least one, got {list(given)}")
        if self.names and self.names != given:
            raise SpecificationError(
                f"`{type(self).__name__}` weighs {list(self.names)}, got {list(given)}: make one for each module"
            )
        if not self.names:
            self.names = given
            self.weights = torch.ones(len(given), dtype=torch.float64, device=self.weights.device)

    def advance(self, step: int) -> None:
        """A step of the optimiser begins.

        Args:
            step: how many it has taken before.
        """
        self._due = step % self.every == 0

    @final
    @torch.no_grad()
    def weigh(self, terms: Mapping[str, Term], module: nn.Module) -> dict[str, Tensor]:
        """The weights of this step by term, `()` each.

        Args:
            terms: by name, always the same.
            module: holds the parameters.

        Raises:
            SpecificationError: other terms than before.
        """
        if tuple(terms) != self.names:
            self.bind(tuple(terms))
        if self._due:
            self._due = False
            seen = average_(self.observe(list(terms.values()), module).detach().double())
            self.weights = self.weights.to(seen)  # the module may have been moved, or cast
            new = self.renew(seen)
            self.weights = torch.where(new.isfinite(), new, self.weights)
        found = self.weights.to(next(iter(terms.values())).loss)
        return dict(zip(self.names, found.unbind(), strict=True))

    def extra_repr(self) -> str:
        """How often."""
        return f"every={self.every}"


def gradients_of(loss: Tensor, module: nn.Module) -> Tensor:
    """The gradient of a loss by all parameters that are trained, as one vector, `(p,)`; the graph stays.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> gradients_of(3.0 * layer.bias.sum(), layer)
        tensor([0., 0., 3.])
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not loss.requires_grad or not parameters:
        return loss.new_zeros(max(1, sum(p.numel() for p in parameters)))
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    parts = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
    return torch.cat([part.reshape(-1).to(loss) for part in parts])


def require_decay(owner: str, decay: float) -> float:
    """A share of the old in a moving average.

    Raises:
        SpecificationError: not in [0, 1).
    """
    if not 0.0 <= decay < 1.0:
        raise SpecificationError(f"`{owner}` needs decay in [0, 1), got {decay}")
    return float(decay)
