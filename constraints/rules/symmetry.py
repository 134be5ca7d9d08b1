"""Symmetries of the function that a model is: invariance and equivariance under a group."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

from torch import Tensor, nn

from constraints.errors import SpecificationError, UnsupportedError
from constraints.functional.precision import one_precision
from constraints.networks import (
    Averaged,
    Canonicalised,
    FiniteGroup,
    Group,
    Permutations,
    Representation,
)
from constraints.networks.representation import OutputActions
from constraints.networks.symmetric import averaging_fails, canonicalisation_fails
from constraints.rules.explanation import Explanation, Guarantee
from constraints.rules.field_rule import FieldRule
from constraints.rules.map_symmetry import ignores_input, keeps_actions
from constraints.rules.output_rule import OutputRule
from constraints.sets import Agreement

__all__ = ["Averaging", "Canonicalisation", "Equivariance", "Invariance", "Symmetriser"]


class Symmetriser(nn.Module, ABC):
    """How a network is made symmetric by construction."""

    @abstractmethod
    def wrap(self, network: nn.Module, representation: Representation) -> nn.Module:
        """A symmetric network made of any."""

    @abstractmethod
    def fails(self, representation: Representation) -> str:
        """Why it cannot be done for a representation; empty where it can."""

    @abstractmethod
    def cost(self, representation: Representation) -> str:
        """What it costs a sample, in words."""


@final
class Averaging(Symmetriser):
    """The mean over the group: smooth, one evaluation of the network an element. See `Averaged`.

    Example:
        >>> from constraints.networks import turns_and_flips
        >>> Averaging().cost(Representation(turns_and_flips()))
        '8 evaluations of the network'
    """

    def wrap(self, network: nn.Module, representation: Representation) -> nn.Module:
        """See `Averaged`."""
        return Averaged(network, representation)

    def fails(self, representation: Representation) -> str:
        """See `averaging_fails`."""
        return averaging_fails(representation)

    def cost(self, representation: Representation) -> str:
        """An evaluation an element."""
        group = representation.group
        return f"{len(group) if isinstance(group, FiniteGroup) else 'many'} evaluations of the network"


@final
class Canonicalisation(Symmetriser):
    """One member of each orbit stands for all: one evaluation of the network, but discontinuous. See `Canonicalised`.

    Args:
        key: inputs `(batch, ...)` to a number each, `(batch,)`: of an orbit the member with the greatest is taken;
            by default the lexicographically last one.

    Example:
        >>> from constraints.networks import turns_and_flips
        >>> Canonicalisation().cost(Representation(turns_and_flips()))
        'one evaluation of the network, after comparing the 8 members of an orbit; discontinuous'
    """

    def __init__(self, key: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.key = key

    def wrap(self, network: nn.Module, representation: Representation) -> nn.Module:
        """See `Canonicalised`."""
        return Canonicalised(network, representation, self.key)

    def fails(self, representation: Representation) -> str:
        """See `canonicalisation_fails`."""
        return canonicalisation_fails(representation)

    def cost(self, representation: Representation) -> str:
        """One evaluation."""
        group = representation.group
        if isinstance(group, FiniteGroup):
            how = f"comparing the {len(group)} members of an orbit; discontinuous"
        else:
            how = "sorting"
        return f"one evaluation of the network, after {how}"


@final
class Invariance(FieldRule):
    r"""The answer does not change when a group acts on the input: :math:`f(g\,x) = f(x)`.

    The violation is the largest difference of an output, in the outputs' unit (of a classifier, logits), over the
    elements tested. In training (Soft, AugmentedLagrangian) each sample is moved by one random element other than the
    identity, or by all; measured is over all elements of a finite group, over one draw of any other.

    Hard makes the network symmetric by construction, through `by`, where the group is finite, or all permutations of an
    axis. It holds in evaluation mode (dropout is chance), and after any output rule that does not look at the input.

    Args:
        group: the group, as it acts on inputs `(batch, ..., *event)`.
        by: `Averaging()` or `Canonicalisation()`; by default the first for finite groups, the second for permutations.
        every: whether to train on all elements of a finite group at once instead of a random one.
        name: see `Rule`.
        unit: see `Rule`; that of the outputs.
        source: see `Rule`.

    Raises:
        SpecificationError: no group, or one of the identity alone.

    Example:
        >>> import torch
        >>> from constraints.networks import quarter_turns
        >>> rule = Invariance(quarter_turns())
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(9, 2))
        >>> images = torch.rand(4, 3, 3)
        >>> bool((rule.measure(network, images, network(images)) > 1e-3).any())
        True
        >>> turned = rule.wrap(network)
        >>> bool((rule.measure(turned, images, turned(images)) < 1e-5).all())
        True
    """

    def __init__(
        self,
        group: Group,
        *,
        by: Symmetriser | None = None,
        every: bool = False,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        super().__init__(Agreement(), name=name, unit=unit, source=source)
        self.representation = Representation(group)
        self.by = _symmetriser(self, by, group)
        self.every = _require_list(self, every, group)

    def quantity(self, field: nn.Module, points: Tensor) -> Tensor:
        """Answers to moved inputs beside those to the inputs, `(batch, 2 n)`."""
        return self.representation.compare(field, points, every=self.every)

    def observed(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """By every element, where the group is finite."""
        with one_precision(f"rule `{self.name}`", model, x):
            return self.representation.compare(model, self.points(x), every=True)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network made invariant; one that is already stays as it is."""
        return _wrap(self, self.by, self.representation, network)

    def guaranteed(self, network: nn.Module) -> bool:
        """Whether it is invariant by construction, under this group or a larger one."""
        return _guaranteed(self.representation, network)

    def survives(self, rule: OutputRule, *, smooth: bool = False) -> bool:
        """Any map that does not look at the input keeps it; of others it is not known."""
        return ignores_input(rule)

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        return _explain(self, "invariance", self.by, self.representation)


@final
class Equivariance(FieldRule):
    r"""The answer moves with the input: :math:`f(g\,x) = \rho(g)\,f(x)`.

    As `Invariance`, but a group acts on outputs too. Hard survives an output rule whose set those actions keep: equal
    bounds of all outputs that are permuted, for example; where that is not known, `join` refuses.

    Args:
        group: the group, as it acts on inputs `(batch, ..., *event)`.
        on_output: the action on outputs of each element, in the group's order; for a group that is not finite (or
            instead) a function from the action on inputs to that on outputs; by default outputs move as inputs do.
        output_example: one output event, for actions on outputs that do not know its shape.
        by: see `Invariance`.
        every: see `Invariance`.
        name: see `Rule`.
        unit: see `Rule`; that of the outputs.
        source: see `Rule`.

    Raises:
        SpecificationError: actions on outputs that are not composed as the group's elements are.

    Example:
        >>> import torch
        >>> from constraints.networks import sign_flips
        >>> odd = Equivariance(sign_flips(1, [0]))
        >>> network = odd.wrap(nn.Linear(1, 1))
        >>> x = torch.tensor([[2.0]])
        >>> bool((network(x) + network(-x)).abs() < 1e-6)
        True
    """

    def __init__(
        self,
        group: Group,
        on_output: OutputActions | None = None,
        *,
        output_example: Tensor | None = None,
        by: Symmetriser | None = None,
        every: bool = False,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        super().__init__(Agreement(), name=name, unit=unit, source=source)
        if on_output is None and output_example is None and isinstance(group, FiniteGroup):
            output_example = group.example
        actions = on_output if on_output is not None else _same
        self.representation = Representation(group, actions, example=output_example)
        self.by = _symmetriser(self, by, group)
        self.every = _require_list(self, every, group)

    def quantity(self, field: nn.Module, points: Tensor) -> Tensor:
        """Answers to moved inputs beside the moved answers, `(batch, 2 n)`."""
        return self.representation.compare(field, points, every=self.every)

    def observed(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """By every element, where the group is finite."""
        with one_precision(f"rule `{self.name}`", model, x):
            return self.representation.compare(model, self.points(x), every=True)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network made equivariant; one that is already stays as it is."""
        return _wrap(self, self.by, self.representation, network)

    def guaranteed(self, network: nn.Module) -> bool:
        """Whether it is equivariant by construction, under this group or a larger one."""
        return _guaranteed(self.representation, network)

    def survives(self, rule: OutputRule, *, smooth: bool = False) -> bool:
        """Where the map does not look at the input and is known to commute with the actions on outputs."""
        actions = self.representation.on_output
        return actions is not None and ignores_input(rule) and keeps_actions(rule, list(actions), smooth=smooth)

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        return _explain(self, "equivariance", self.by, self.representation)


def _same(action: nn.Module) -> nn.Module:
    return action


def _require_list(rule: FieldRule, every: bool, group: Group) -> bool:
    if every and not isinstance(group, FiniteGroup):
        raise SpecificationError(f"rule `{rule.name}` needs a FiniteGroup for every=True, got {type(group).__name__}")
    return every


def _symmetriser(rule: FieldRule, by: Symmetriser | None, group: Group) -> Symmetriser:
    if by is not None and not isinstance(by, Symmetriser):
        raise SpecificationError(f"rule `{rule.name}` needs a Symmetriser as `by`, got {type(by).__name__}")
    return by or (Canonicalisation() if isinstance(group, Permutations) else Averaging())


def _wrap(rule: FieldRule, by: Symmetriser, representation: Representation, network: nn.Module) -> nn.Module:
    reason = by.fails(representation)
    if reason:
        raise UnsupportedError(f"rule `{rule.name}` cannot be Hard by {type(by).__name__}: {reason}")
    return network if rule.guaranteed(network) else by.wrap(network, representation)


def _guaranteed(representation: Representation, network: nn.Module) -> bool:
    return isinstance(network, Averaged | Canonicalised) and representation.within(network.representation)


def _explain(rule: FieldRule, kind: str, by: Symmetriser, representation: Representation) -> Explanation:
    group, reason = representation.group, by.fails(representation)
    of = f"{len(group)} elements" if isinstance(group, FiniteGroup) else type(group).__name__
    soft = ("Soft", "AugmentedLagrangian", "Monitor")
    return Explanation(
        rule=rule.name,
        kind=f"{kind} under {of}" + (f"; not Hard: {reason}" if reason else ""),
        embeddings=soft if reason else ("Hard", *soft),
        guarantee=Guarantee.SOFT if reason else Guarantee.EXACT,
        cost="one more evaluation of the model in training" if reason else by.cost(representation),
    )
