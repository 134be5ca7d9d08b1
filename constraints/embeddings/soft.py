"""Soft: the rule as a loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import final

from torch import Tensor, nn

from constraints.embeddings.embedding import Embedding
from constraints.embeddings.emphasis import Emphasis
from constraints.errors import SpecificationError
from constraints.functional.precision import own_precision
from constraints.rules import FieldRule, Rule, Squares
from constraints.symbolic import FieldEquation

__all__ = ["Soft", "absolute", "squared"]


def squared(excess: Tensor) -> Tensor:
    """`excess ** 2`: smooth, but it lets small violations stand.

    Example:
        >>> import torch
        >>> squared(torch.tensor([0.0, 2.0]))
        tensor([0., 4.])
    """
    return excess.square()


def absolute(excess: Tensor) -> Tensor:
    """`|excess|`: an exact penalty, zero at a finite weight, but not smooth.

    Example:
        >>> import torch
        >>> absolute(torch.tensor([0.0, -2.0]))
        tensor([0., 2.])
    """
    return excess.abs()


@final
class Soft(Embedding):
    r"""The rule as a penalty :math:`w\,\frac1B\sum_b\sum_j \varphi(\text{excess}_{bj})` added to the task's loss.

    Args:
        rule: the rule.
        weight: `w > 0`, in units of the task's loss per unit of `measure`.
        measure: :math:`\varphi` of the violated part of each condition: `squared`, `absolute` or a function of yours.
        emphasis: weights of single samples that move in training (see `Emphasis`); none by default.

    Raises:
        SpecificationError: a weight that is not positive and finite, an emphasis of points that are drawn anew.

    Example:
        >>> import torch
        >>> from constraints.rules import Bounds
        >>> Soft(Bounds(low=0.0), weight=10.0).penalty(nn.Identity(), torch.zeros(1), torch.tensor([[-2.0], [1.0]]))
        tensor(20.)
    """

    trains = True
    penalises = True

    def __init__(
        self,
        rule: Rule,
        *,
        weight: float = 1.0,
        measure: Callable[[Tensor], Tensor] = squared,
        emphasis: Emphasis | None = None,
    ) -> None:
        super().__init__(rule)
        if not (weight > 0 and math.isfinite(weight)):
            raise SpecificationError(f"`Soft` needs a finite weight > 0, got weight={weight}")
        if emphasis is not None and not isinstance(emphasis, Emphasis):
            raise SpecificationError(f"`Soft` needs an Emphasis or None, got {type(emphasis).__name__}")
        if emphasis is not None and isinstance(rule, FieldEquation) and rule.domain is not None and rule.draws:
            raise SpecificationError(
                f"rule `{rule.name}` needs `draws=0` for `{type(emphasis).__name__}`, which knows points again, got "
                f"draws={rule.draws}"
            )
        self.weight = float(weight)
        self.penalised = measure
        self.emphasis = emphasis

    def penalty(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The weighted penalty, `()`."""
        value, context = self.differentiable(model, x, y)
        with own_precision(y), self.named():
            excess = self.rule.constraint.excess(value, context)
        losses = self.penalised(excess).sum(dim=-1)
        if self.emphasis is not None and self.training:
            points = self.rule.points(x) if isinstance(self.rule, FieldRule) else x[..., None].flatten(losses.dim())
            losses = losses * self.emphasis.weigh(losses, excess.detach().norm(dim=-1), points)
        return self.weight * (losses.mean() if losses.numel() else losses.sum())  # no samples violate nothing

    def squares(self, model: nn.Module, x: Tensor) -> Squares | None:
        """The weighted penalty row by row, where it is of squares and the rule knows its rows."""
        found = self.rule.squares(model, x) if self.penalised is squared else None
        if found is None:
            return None
        rows = found.residual

        def named(points: Tensor) -> Tensor:
            with self.named():
                return rows(points)

        found = replace(found, residual=named, weight=self.weight * found.weight)
        if self.emphasis is None or not self.training:
            return found
        if self.emphasis.due:
            self.penalty(model, x, model(x))
        return found.weighted(self.emphasis.weights)

    def advance(self) -> None:
        """See `Embedding.advance`: the emphasis may move."""
        if self.emphasis is not None:
            self.emphasis.advance()

    def settings(self) -> dict[str, float | str]:
        """Weight and penalty, and the emphasis where there is one."""
        found = {"weight": self.weight, "measure": getattr(self.penalised, "__name__", repr(self.penalised))}
        return found if self.emphasis is None else found | {"emphasis": repr(self.emphasis)}
