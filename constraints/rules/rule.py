"""What a rule is: a quantity of a model, and the set in which it must lie."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.functional.precision import at_least_single, own_precision
from constraints.rules.explanation import Explanation
from constraints.rules.squares import Squares
from constraints.sets import Constraint
from constraints.sets.constraint import keep_precision

__all__ = ["Rule"]


class Rule(nn.Module, ABC):
    """A rule says that a quantity of a model lies in a set.

    Args:
        constraint: the set.
        name: how tables and errors call the rule; by default the class name in snake case.
        unit: unit of the quantity, as engineers write it ("mol", "K").
        source: where the rule is from: a DOI, a norm, a manual.
    """

    def __init__(self, constraint: Constraint, *, name: str | None = None, unit: str = "", source: str = "") -> None:
        super().__init__()
        if not isinstance(constraint, Constraint):
            raise SpecificationError(f"`{type(self).__name__}` needs a Constraint, got {type(constraint).__name__}")
        self.constraint = constraint
        self.name = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()
        self.unit = unit
        self.source = source

    @abstractmethod
    def evaluate(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The unreduced quantity, differentiable, `(*batch, n)`."""

    @property
    def sequential(self) -> bool:
        """Whether a sample alone cannot be measured, because the rule is about what came before it."""
        return False

    def bind(self, names: Sequence[str] | None) -> None:
        """Resolve the outputs that the rule names, in a module whose outputs are called `names`; by default none."""

    def bind_inputs(self, names: Sequence[str] | None) -> None:
        """Resolve the inputs that the rule names, in a module whose inputs are called `names`; by default none."""

    def context(self, x: Tensor | None) -> Tensor | None:
        """The set's input-dependent parameter (a target, a total) for each sample; None where it has none."""
        return None

    @final
    def context_for(self, value: Tensor, x: Tensor | None) -> Tensor | None:
        """The context of each sample of a quantity, in float32 at least; see `context`.

        Raises:
            ShapeError: inputs of other samples than the quantity's, also where one would be repeated for all.
        """
        context = self.context(None if x is None else at_least_single(x))
        if context is None or x is None or torch.compiler.is_compiling():
            return context
        batch = value.shape[: value.dim() - self.constraint.event_dim]
        own = context.shape[: max(0, context.dim() - self.constraint.context_dim)]
        if own and own != batch:
            raise ShapeError(
                f"rule `{self.name}` needs inputs and outputs of the same samples, got inputs of shape "
                f"{tuple(x.shape)}, from which it reads numbers of shape {tuple(context.shape)}, beside outputs of "
                f"shape {tuple(value.shape)}"
            )
        return context

    @property
    def context_width(self) -> int | None:
        """How many numbers `context` gives for a sample; None where only a call can tell."""
        return 0 if type(self).context is Rule.context else None

    def observed(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The quantity as it is measured, `(*batch, n)`; by default the one that is trained on."""
        return self.evaluate(model, x, y)

    @final
    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Violation of each sample as it is reported, `(*batch,)`, >= 0 and 0 iff satisfied; in float32 at least."""
        with own_precision(y):
            value = self.observed(model, x, y)
            return self.constraint.violation(value, self.context_for(value, x))

    def squares(self, model: nn.Module, x: Tensor) -> Squares | None:
        """The mean over samples of the sum of squares of what is violated, row by row; None where no rows are known."""
        return None

    def after_step(self, model: nn.Module) -> None:
        """Learn from the step of training that has just been taken; by default nothing is learnt."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Rule:
        """Move with the module, but keep the precision of the rule's own numbers."""
        rule: Rule = keep_precision(self, super()._apply, fn, recurse)
        return rule

    @abstractmethod
    def explain(self) -> Explanation:
        """The class found, the embeddings possible, what they guarantee and cost."""

    def extra_repr(self) -> str:
        """The name, and the unit where there is one."""
        return f"name={self.name!r}" + (f", unit={self.unit!r}" if self.unit else "")
