"""What an embedding is: a rule, and the strength with which a model must obey it."""

from __future__ import annotations

from abc import ABC
from contextlib import AbstractContextManager, nullcontext
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import NonFiniteError, SpecificationError, keyed
from constraints.functional.precision import is_transforming, own_precision
from constraints.rules import Rule, Squares

__all__ = ["Embedding", "Monitor"]


class Embedding(nn.Module, ABC):
    """A rule and how strongly it is imposed. Whatever the strength, its violation can be measured.

    Args:
        rule: the rule.

    Attributes:
        key: what errors call the rule, before its own name: the name under which a module has it.
        trains: whether it acts in training; if not, a network trained without it is the same network.
        penalises: whether `penalty` gives a loss.
        decodes: whether `decode` changes the answer at inference.

    Example:
        >>> from typing import final
        >>> from constraints.rules import Bounds
        >>> @final
        ... class Worst(Embedding):
        ...     '''The largest violation of a batch as a loss.'''
        ...     penalises = trains = True
        ...     def penalty(self, model, x, y):
        ...         return self.measure(model, x, y).amax()
        >>> import torch
        >>> Worst(Bounds(low=0.0)).penalty(nn.Identity(), torch.zeros(2, 1), torch.tensor([[-2.0], [-1.0]]))
        tensor(2.)
    """

    trains: bool = False
    penalises: bool = False
    decodes: bool = False

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        if not isinstance(rule, Rule):
            raise SpecificationError(f"`{type(self).__name__}` needs a Rule, got {type(rule).__name__}")
        self.rule = rule
        self.key: str | None = None

    def penalty(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """A scalar loss, >= 0 and 0 where the rule holds; 0 for embeddings that do not penalise."""
        return y.new_zeros(())

    def squares(self, model: nn.Module, x: Tensor) -> Squares | None:
        """The same as a sum of squares, row by row; None where it is none, or no rows are known."""
        return None

    def advance(self) -> None:
        """A step of the optimiser begins: what moves from step to step moves at the next `penalty`; by default none.

        `KnowledgeModule` calls it once a step, however often the optimiser asks for the loss in it.
        """

    def repeat(self) -> None:
        """The next `penalty` is asked for on a batch that was seen, as in a line search: what counts samples skips it.

        `KnowledgeModule` calls it before each evaluation in a step but the first; by default nothing is counted.
        """

    def after_step(self, model: nn.Module) -> None:
        """Called once after each step of the optimiser, however often it asked for the penalty; the rule may learn."""
        self.rule.after_step(model)

    def decode(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """The answer given at inference; by default the model's own."""
        return y

    @final
    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Violation of each sample, `(*batch,)`."""
        with self.named():
            return self.rule.measure(model, x, y)

    @final
    def differentiable(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """The rule's quantity for a penalty and its context, in float32 at least.

        A gradient that is not finite raises, before any weight is written.

        Raises:
            NonFiniteError: in the backward pass; names the rule and the first sample.
        """
        with own_precision(y), self.named():
            value = self.rule.evaluate(model, x, y)
            context = self.rule.context_for(value, x)
        if not value.requires_grad or not torch.is_grad_enabled():
            return value, context
        value = value.view_as(value)

        def check(gradient: Tensor) -> None:
            broken = ~gradient.flatten(1).isfinite().all(dim=1) if gradient.dim() > 1 else ~gradient.isfinite()
            if gradient.device.type == "cpu" and bool(broken.any()):
                with self.named():
                    raise NonFiniteError(
                        f"rule `{self.rule.name}` needs a finite gradient of its penalty, got {int(broken.sum())} of "
                        f"{len(broken)} samples without one, the first {int(broken.nonzero()[0])}"
                    )

        if not torch.compiler.is_compiling() and not is_transforming():
            value.register_hook(check)
        return value, context

    @final
    def named(self) -> AbstractContextManager[None]:
        """Puts the key and the name of the rule into the message of an error; not in a graph that is compiled."""
        return nullcontext() if torch.compiler.is_compiling() else keyed(self.key or self.rule.name, self.rule.name)

    def settings(self) -> dict[str, float | str]:
        """The numbers that define this embedding, for records."""
        return {}

    def extra_repr(self) -> str:
        """The settings."""
        return ", ".join(f"{key}={value}" for key, value in self.settings().items())


@final
class Monitor(Embedding):
    """The rule is measured and nothing else: what a model obeys by itself.

    Example:
        >>> import torch
        >>> from constraints.rules import Bounds
        >>> Monitor(Bounds(low=0.0)).measure(nn.Identity(), torch.zeros(1), torch.tensor([[-2.0]]))
        tensor([2.])
    """
