"""Rules on the function that a model is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import SpecificationError, UnsupportedError
from constraints.functional.precision import one_precision
from constraints.rules.explanation import Explanation, Guarantee
from constraints.rules.output_rule import OutputRule
from constraints.rules.rule import Rule

__all__ = ["FieldRule"]


class FieldRule(Rule, ABC):
    """A rule on the function that a model is: its derivatives, its symmetries.

    `quantity` is called with gradients enabled and `points` that require them, also in validation. A rule that an
    architecture can guarantee lists "Hard" in `explain()` and writes `wrap`, `guaranteed` and `survives`.

    Example:
        >>> from constraints.sets import Box
        >>> class Rising(FieldRule):
        ...     '''The output does not fall as the input grows.'''
        ...     def __init__(self):
        ...         super().__init__(Box(low=0.0))
        ...     def quantity(self, field, points):
        ...         u = field(points)
        ...         return torch.autograd.grad(u.sum(), points, create_graph=True)[0]
        >>> falling = nn.Linear(1, 1)
        >>> _ = nn.init.constant_(falling.weight, -2.0)
        >>> Rising().measure(falling, torch.zeros(3, 1), torch.zeros(3, 1)).tolist()
        [2.0, 2.0, 2.0]
    """

    @abstractmethod
    def quantity(self, field: nn.Module, points: Tensor) -> Tensor:
        """The quantity at each point, `(*batch, d)` to `(*batch, n)`."""

    def points(self, x: Tensor) -> Tensor:
        """Where the rule is tested; by default at the model's own inputs."""
        return x

    def bind_rules(self, rules: Sequence[Rule]) -> None:
        """Take note of all rules of a module, before `wrap`: some hold where this one does not.

        Args:
            rules: of the module, however they are embedded, this one among them.
        """

    def wrap(self, network: nn.Module) -> nn.Module:
        """A network that obeys by construction, made of the user's; one that already obeys is returned as it is.

        Raises:
            UnsupportedError: no sound way is known; says why, and which architecture to use.
        """
        raise UnsupportedError(
            f"rule `{self.name}` cannot be guaranteed: no architecture is known that obeys it. "
            f"Use Soft, AugmentedLagrangian or Monitor"
        )

    def guaranteed(self, network: nn.Module) -> bool:
        """Whether a network obeys by its construction, whatever its weights are."""
        return False

    def survives(self, rule: OutputRule, *, smooth: bool = False) -> bool:
        """Whether what an obeying network gives still obeys after an output rule's map (`smooth`: its smooth map)."""
        return False

    @final
    def evaluate(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The quantity at the rule's points, in the dtype of the network, which must be that of the inputs.

        Lightning validates in inference mode, whose tensors can never carry a gradient: the points are copied
        outside it, where derivatives work as in training.
        """
        with torch.inference_mode(False), torch.enable_grad():
            points = self.points(x)
            if not points.is_floating_point():
                raise SpecificationError(f"rule `{self.name}` needs floating-point inputs, got {points.dtype}")
            points = (points.clone() if points.is_inference() else points.detach()).requires_grad_()
            with one_precision(f"rule `{self.name}`", model, points):
                return self.quantity(model, points)

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        return Explanation(
            rule=self.name,
            kind=f"field in {type(self.constraint).__name__}",
            embeddings=("Soft", "AugmentedLagrangian", "Monitor"),
            guarantee=Guarantee.SOFT,
            cost="one more evaluation of the model, with the derivatives that the quantity asks for",
        )
