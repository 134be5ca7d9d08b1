"""Of which inputs and outputs a rule on the function speaks, and where it is tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError, UnsupportedError
from constraints.functional.one_tensor import require_tensor
from constraints.rules.output_rule import OutputRule, distinct_names, resolve_columns
from constraints.rules.rule import Rule
from constraints.sets import Box, OrderedCone

__all__ = ["Scope", "apart", "clips", "sorts"]


@final
class Scope(nn.Module):
    """Chosen inputs and outputs, and points: those given, and some drawn uniformly in a region.

    Args:
        rule: name of the rule, for errors.
        inputs: columns of the input, or names that `bind` resolves.
        outputs: columns of the output; all by default.
        region: bounds of the whole input, finite, in which further points are drawn.
        draws: how many for each given point, >= 1, by default 1; only with a region.

    Raises:
        SpecificationError: no inputs, one twice, a column below 0, a region without finite bounds, draws
            without a region.

    Example:
        >>> scope = Scope("rising", [0], region=Box(low=[0.0, 5.0], high=[1.0, 6.0]))
        >>> scope.points(torch.zeros(7, 2)).shape
        torch.Size([7, 2, 2])
    """

    index: Tensor | None

    def __init__(
        self,
        rule: str,
        inputs: Sequence[int | str],
        *,
        outputs: Sequence[int] | None = None,
        region: Box | None = None,
        draws: int | None = None,
    ) -> None:
        super().__init__()
        self.rule = rule
        self.inputs = tuple(inputs)
        self.outputs = None if outputs is None else tuple(outputs)
        _require_distinct(rule, "inputs, columns >= 0 or names", self.inputs)
        if self.outputs is not None:
            _require_distinct(rule, "outputs, columns >= 0", self.outputs)
        if region is not None and not (region.low.isfinite() & region.high.isfinite()).all():
            raise SpecificationError(
                f"rule `{rule}` needs a region with finite bounds, got low={region.low.tolist()}, "
                f"high={region.high.tolist()}"
            )
        if draws is not None and region is None:
            raise SpecificationError(f"rule `{rule}` needs a region for its draws, got draws={draws} without one")
        self.region, self.draws = region, 1 if draws is None else draws
        if self.draws < 1:
            raise SpecificationError(f"rule `{rule}` needs draws >= 1, got {draws}")
        self.names: tuple[str, ...] | None = None
        self.register_buffer("index", None, persistent=False)
        self._columns: tuple[int, ...] = ()  # as the index, without waiting for a device
        columns = [i for i in self.inputs if isinstance(i, int)]
        if len(columns) == len(self.inputs):
            self._resolve(columns)

    def bind(self, names: Sequence[str] | None) -> None:
        """Resolve the inputs that the rule names, where the model's inputs are called `names`.

        Raises:
            SpecificationError: the rule names an input that does not exist, or one twice.
        """
        self.names = self.names if names is None else distinct_names(f"rule `{self.rule}`", "inputs", names)
        if names is not None or self.index is None:
            self._resolve(resolve_columns(self.rule, "inputs", self.inputs, names, bound=self.index).tolist())

    @property
    def columns(self) -> frozenset[int]:
        """The chosen inputs."""
        self._bound()
        return frozenset(self._columns)

    def require_all(self, outputs: int) -> None:
        """Refuse a rule that leaves out some of so many outputs: an architecture shapes all.

        Raises:
            UnsupportedError: some output is left out.
        """
        if self.outputs is not None and set(self.outputs) != set(range(outputs)):
            raise UnsupportedError(
                f"rule `{self.rule}` speaks of outputs {self.outputs} of {outputs}, but an architecture shapes all of "
                f"them: use a network for each, or Soft"
            )

    def points(self, x: Tensor) -> Tensor:
        """Where the rule is tested: `x`, or with a region `(*batch, 1 + draws, d)` by torch's generator."""
        if self.region is None:
            return x
        low, high = self.region.low.to(x), self.region.high.to(x)
        if low.dim() and low.shape[-1] != x.shape[-1]:
            raise ShapeError(f"rule `{self.rule}` has a region of {low.shape[-1]} inputs, got {x.shape[-1]}")
        random = torch.rand(*x.shape[:-1], self.draws, x.shape[-1], dtype=x.dtype, device=x.device)
        return torch.cat([x.unsqueeze(-2), low + (high - low) * random], dim=-2)

    def by_sample(self, quantity: Tensor) -> Tensor:
        """`(*points, n)` to `(*batch, m)`: what was found at the points of one sample side by side."""
        return quantity if self.region is None else quantity.flatten(-2)

    def values(self, field: nn.Module, points: Tensor) -> Tensor:
        """The chosen outputs at points, `(*points, d)` to `(*points, k)`; the network sees one batch dimension."""
        given: Tensor = field(points if points.dim() == 2 else points.reshape(-1, points.shape[-1]))
        require_tensor(f"rule `{self.rule}`", given)
        value = given if points.dim() == 2 else given.reshape(*points.shape[:-1], given.shape[-1])
        if self.outputs is None:
            return value
        if max(self.outputs) >= value.shape[-1]:
            raise ShapeError(
                f"rule `{self.rule}` speaks of output {max(self.outputs)}, but the model has only {value.shape[-1]}"
            )
        return value[..., list(self.outputs)]

    @torch.compiler.disable(reason="cannot be differentiated again in a graph")  # type: ignore[untyped-decorator]
    def gradients(self, field: nn.Module, points: Tensor) -> Tensor:
        """Partial derivatives, differentiable themselves: `(*points, d)` to `(*points, outputs, inputs)`."""
        index = self._within(points)
        value = self.values(field, points)
        if not value.requires_grad:  # a constant function
            return value.new_zeros(*value.shape, len(index))
        parts = [
            torch.autograd.grad(one.sum(), points, create_graph=True, materialize_grads=True)[0].index_select(-1, index)
            for one in value.unbind(dim=-1)
        ]
        return torch.stack(parts, dim=-2)

    def moved(self, points: Tensor, steps: Tensor) -> Tensor:
        """Points whose chosen inputs are moved by `steps`, `(*points, inputs)`; the others are held."""
        return points.index_add(-1, self._within(points), steps)

    def _within(self, points: Tensor) -> Tensor:
        """The index of the chosen inputs, all of which the points must have."""
        index = self._bound()
        if self.names is not None and points.shape[-1] != len(self.names):
            raise ShapeError(
                f"rule `{self.rule}` needs the {len(self.names)} inputs {list(self.names)} along the last dimension, "
                f"got shape {tuple(points.shape)}"
            )
        if max(self._columns) >= points.shape[-1]:
            raise ShapeError(
                f"rule `{self.rule}` speaks of input {max(self._columns)}, but the model has only {points.shape[-1]}"
            )
        return index

    def _resolve(self, columns: Sequence[int]) -> None:
        self._columns = tuple(columns)
        self.index = torch.tensor(self._columns, dtype=torch.long)

    def _bound(self) -> Tensor:
        if self.index is None:
            raise SpecificationError(
                f"rule `{self.rule}` names inputs {list(self.inputs)}: call `bind_inputs(names)` first"
            )
        return self.index


def clips(rule: OutputRule) -> bool:
    """Whether a rule's map clips each output to fixed bounds, and does nothing else."""
    return type(rule.constraint) is Box and _plain(rule)


def sorts(rule: OutputRule, outputs: tuple[int, ...] | None) -> bool:
    """Whether a rule's map is isotonic regression of outputs that are all among those given.

    Each of its outputs is a least of greatest of means of its inputs, so it grows with every one of them, and moves by
    no more than the input that moves most.
    """
    within = outputs is None or (rule.index is not None and set(rule.index.tolist()) <= set(outputs))
    return type(rule.constraint) is OrderedCone and _plain(rule) and within


def apart(rule: OutputRule, outputs: tuple[int, ...] | None) -> bool:
    """Whether a rule's map leaves the outputs given alone."""
    plain = type(rule).enforce is OutputRule.enforce
    return plain and outputs is not None and rule.index is not None and not set(rule.index.tolist()) & set(outputs)


def _plain(rule: OutputRule) -> bool:
    own = type(rule).enforce is OutputRule.enforce and type(rule).context is Rule.context
    return own and rule.enforceable


def _require_distinct(rule: str, what: str, given: tuple[int | str, ...]) -> None:
    wrong = any(isinstance(g, bool) or (isinstance(g, int) and g < 0) for g in given)
    if not given or wrong or len(set(given)) != len(given):
        raise SpecificationError(f"rule `{rule}` needs distinct {what}, got {list(given)}")
