"""Hard: a network that obeys by construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import combinations
from typing import final

import torch
from torch import Tensor, nn

from constraints import sets
from constraints.embeddings.curved import intersect_rules
from constraints.embeddings.embedding import Embedding
from constraints.embeddings.overlapping import overlapping
from constraints.errors import InfeasibleError, ShapeError, UnsupportedError, keyed
from constraints.functional.one_tensor import require_tensor
from constraints.functional.precision import one_precision
from constraints.rules import AllowedClasses, CellRule, FieldRule, OutputRule, Rule, RuleSet
from constraints.sets import Constraint, Squashing

__all__ = ["ConstrainedNetwork", "Hard", "join"]


@final
class Hard(Embedding):
    """The network's answer is mapped onto the rule, in training and after; the gradient flows through the map.

    The map is the rule's own, by default the nearest obeying answer: an answer that obeys stays as it is, but of one
    that does not the gradient is lost across the boundary (a clipped output learns nothing). With `smooth` it is the
    set's `squash` instead: as feasible, and with a gradient everywhere, however far outside the network is. It is
    **not idempotent** and not the nearest point: every answer is moved, obeying ones too, and the boundary itself is
    only approached. Choose it where the network is trained through it from the start.

    A rule on the function that the network is (monotone in an input, symmetric) is guaranteed by an architecture:
    `join` has it `wrap` the network.

    Args:
        rule: a rule with a map onto its set, or with an architecture: one whose `explain()` lists Hard.
        smooth: whether to use the set's smooth map; for rules whose `explain()` lists Hard(smooth=True), on outputs of
            which no other Hard rule speaks (`join` refuses, as no smooth map into an intersection is known).

    Raises:
        UnsupportedError: no such map is known; nothing is ever "hard" in name only.

    Example:
        >>> import torch
        >>> from constraints.rules import FixedSum
        >>> network = join(nn.Linear(4, 3), {"shares": Hard(FixedSum())})
        >>> torch.allclose(network(torch.randn(5, 4)).sum(-1), torch.ones(5))
        True
        >>> Hard(FixedSum(), smooth=True).enforce(torch.tensor([[1.0, 0.0]]))  # a softmax; projected, it would stay
        tensor([[0.7311, 0.2689]])
    """

    trains = True

    def __init__(self, rule: Rule, *, smooth: bool = False) -> None:
        super().__init__(rule)
        known = rule.explain()
        possible = known.embeddings
        if not isinstance(rule, OutputRule | FieldRule) or "Hard" not in possible:
            why = f"{known.kind}; {known.why}" if known.why else known.kind
            raise UnsupportedError(
                f"rule `{rule.name}` cannot be Hard: no map onto it is known ({why}). It can be {', '.join(possible)}"
            )
        if smooth and isinstance(rule, FieldRule):
            raise UnsupportedError(
                f"rule `{rule.name}` cannot be Hard with smooth=True: an architecture holds it, not a map of outputs"
            )
        if smooth and isinstance(rule, OutputRule) and not rule.squashable:
            raise UnsupportedError(_not_smooth(rule))
        self.smooth = smooth

    def enforce(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """The nearest obeying answer, or that of the smooth map."""
        if not isinstance(self.rule, OutputRule):
            raise UnsupportedError(f"rule `{self.rule.name}` is held by an architecture: use `join`, not `enforce`")
        return self.rule.squash(y, x) if self.smooth else self.rule.enforce(y, x)

    def settings(self) -> dict[str, float | str]:
        """Whether the map is the smooth one, where it is."""
        return {"smooth": True} if self.smooth else {}


@final
class ConstrainedNetwork(nn.Module):
    """A network followed by maps onto rules.

    Args:
        network: the network, called with `x` alone.
        rules: rules to enforce, on outputs that do not overlap (or masks, which do not disturb each other); by the key
            that errors call them, or without keys.
        smooth: those of them to enforce by the smooth map of their set.
        outputs: how many outputs the network must have, where that is known.

    Rules compute in float32 at least, and so is the answer: one rounded to half precision would break them, by about
    1/256 of its size in bfloat16 and 1/2048 in float16.

    Raises:
        ShapeError: when called, a network of another number of outputs, or one that squeezes them.
        SpecificationError: when called, a network that gives several tensors.

    Example:
        >>> import torch
        >>> from constraints.rules import Bounds
        >>> ConstrainedNetwork(nn.Identity(), [Bounds(low=0.0)])(torch.tensor([[-1.0, 2.0]]))
        tensor([[0., 2.]])
    """

    def __init__(
        self,
        network: nn.Module,
        rules: Sequence[OutputRule] | Mapping[str, OutputRule],
        *,
        smooth: Sequence[OutputRule] = (),
        outputs: int | None = None,
    ) -> None:
        super().__init__()
        self.network, self.outputs = network, outputs
        several = list(rules.values()) if isinstance(rules, Mapping) else list(rules)
        self.keys = tuple(rules) if isinstance(rules, Mapping) else tuple(rule.name for rule in rules)
        self.enforced = nn.ModuleList(several)
        self.smooth = tuple(any(rule is other for other in smooth) for rule in several)

    def forward(self, x: Tensor) -> Tensor:
        """The obeying answer."""
        with one_precision("`ConstrainedNetwork`", self.network, x):
            y: Tensor = self.network(x)
        require_tensor(f"hard rules {self._keys()}", y)
        if self.outputs is not None and y.shape[-1:] != (self.outputs,):
            named = next((list(rule.output_names) for rule in self.rules() if rule.output_names), "")
            raise ShapeError(
                f"hard rules {self._keys()} need the {self.outputs} outputs {named} along the last dimension, got "
                f"shape {tuple(y.shape)}"
            )
        for key, rule, smooth in zip(self.keys, self.rules(), self.smooth, strict=True):
            with nullcontext() if torch.compiler.is_compiling() else keyed(key, rule.name):
                y = rule.squash(y, x) if smooth else rule.enforce(y, x)
        return y

    def _keys(self) -> str:
        return ", ".join(f"`{key}`" for key in self.keys)

    def rules(self) -> list[OutputRule]:
        """The rules that are enforced, in their order."""
        return [rule for rule in self.enforced if isinstance(rule, OutputRule)]

    def forward_cells(self, x: Tensor, cells: Tensor) -> Tensor:
        """The answer for some cells only, of a network that has such a method itself, `(k, classes)`."""
        y: Tensor = self.network.forward_cells(x, cells)  # type: ignore[operator]
        for key, rule in zip(self.keys, self.enforced, strict=True):
            if not isinstance(rule, AllowedClasses):
                raise UnsupportedError(f"rule `{key}` needs all outputs, so the network cannot be asked for some")
            y = rule.enforce_at(y, cells)
        return y


def join(network: nn.Module, embeddings: Mapping[str, Embedding], *, outputs: int | None = None) -> nn.Module:
    """Wrap a network so that all Hard rules hold together.

    Hard rules on overlapping outputs become one projection onto their intersection: projecting in turn would not keep
    the first. Hard rules on the function (`FieldRule`) wrap the network before, and what they guarantee must survive
    the maps of the others. Without Hard rules the network itself is returned.

    Args:
        network: the network.
        embeddings: all of a module's embeddings; only the Hard ones act. The domains of all together are the domain
            of the fields, of which a Hard rule must not bind more than it says.
        outputs: how many outputs there are, where that is known.

    Raises:
        InfeasibleError: rules that contradict each other; names the smallest conflicting subset.
        UnsupportedError: rules that overlap and for which no joint projection, or no smooth map, is known; rules on the
            function that no architecture holds together with the others.

    Example:
        >>> import torch
        >>> from constraints.rules import Bounds, FixedSum
        >>> both = join(nn.Identity(), {"sum": Hard(FixedSum()), "cap": Hard(Bounds(high=0.6))}, outputs=3)
        >>> both(torch.tensor([[2.0, 0.1, 0.1]]))
        tensor([[0.6000, 0.2000, 0.2000]])
    """
    for name, embedding in embeddings.items():  # errors of penalties call it so, too
        embedding.key = embedding.key or name
    hard = {name: e.rule for name, e in embeddings.items() if isinstance(e, Hard)}
    if not hard:
        return network
    RuleSet(hard, outputs).require()
    masks = {name: rule for name, rule in hard.items() if isinstance(rule, CellRule)}
    _require_compatible({name: rule for name, rule in hard.items() if isinstance(rule, AllowedClasses)})
    vectors = {name: rule for name, rule in hard.items() if isinstance(rule, OutputRule) and name not in masks}
    if masks and vectors:
        raise UnsupportedError(f"hard rules on cells and on vectors cannot be joined, got {list(hard)}")
    smooth = {name: hard[name] for name, e in embeddings.items() if isinstance(e, Hard) and e.smooth}
    rules: dict[str, OutputRule] = dict(masks)
    for group in overlapping(vectors):
        _require_alone(group, smooth)
        joint = group if len(group) == 1 else {" and ".join(group): intersect_rules(group, outputs)}
        rules |= joint
    smoothly = [rule for rule in smooth.values() if isinstance(rule, OutputRule)]
    fields = {name: rule for name, rule in hard.items() if isinstance(rule, FieldRule)}
    for field in fields.values():
        field.bind_rules([embedding.rule for embedding in embeddings.values()])
    network = _wrap(network, fields, rules, smoothly)
    return ConstrainedNetwork(network, rules, smooth=smoothly, outputs=outputs) if rules else network


def _wrap(
    network: nn.Module, fields: Mapping[str, FieldRule], rules: Mapping[str, OutputRule], smooth: Sequence[OutputRule]
) -> nn.Module:
    """The network as one that obeys every rule on the function, also after the maps of output rules."""
    for name, field in fields.items():
        for other, rule in rules.items():
            if not field.survives(rule, smooth=any(rule is one for one in smooth)):
                raise UnsupportedError(
                    f"hard rules `{name}` and `{other}` cannot hold together: the map onto `{other}` does not "
                    f"keep what the architecture of `{name}` guarantees. Embed one of them as Soft"
                )
    lost = []
    for name, field in fields.items():
        with keyed(name, field.name):
            network = network if field.guaranteed(network) else field.wrap(network)
    for name, field in fields.items():
        with keyed(name, field.name):
            lost += [] if field.guaranteed(network) else [name]
    if lost:
        named = ", ".join(f"`{name}`" for name in fields)
        raise UnsupportedError(
            f"hard rules {named} cannot hold together: wrapped for the others, the network no longer guarantees "
            f"`{lost[0]}`. Pass a network whose architecture holds all of them, or embed one as Soft"
        )
    return network


def _not_smooth(rule: OutputRule) -> str:
    """Why a rule has no smooth map."""
    if isinstance(rule.constraint, Squashing):
        return (
            f"rule `{rule.name}` cannot be Hard with smooth=True: `{type(rule).__name__}` maps its outputs in a way of "
            f"its own, for which the smooth map of `{type(rule.constraint).__name__}` would be something else"
        )
    found = (getattr(sets, name) for name in sets.__all__)
    known = [
        kind.__name__
        for kind in found
        if isinstance(kind, type) and issubclass(kind, Constraint) and hasattr(kind, "squash")
    ]
    return (
        f"rule `{rule.name}` cannot be Hard with smooth=True: `{type(rule.constraint).__name__}` has no smooth map. "
        f"These have one: {', '.join(known)}"
    )


def _require_alone(group: Mapping[str, OutputRule], smooth: Mapping[str, Rule]) -> None:
    """Refuse a smooth map of a rule that must be joined with others."""
    asked = [name for name in group if name in smooth]
    if asked and len(group) > 1:
        named = ", ".join(f"`{name}`" for name in group)
        raise UnsupportedError(
            f"hard rules {named} share outputs and must be joined, but no smooth map into their intersection is known: "
            f"make `{asked[0]}` Hard without smooth=True, or state them as one rule on a `RayMap` set, which has one"
        )


def _require_compatible(masks: Mapping[str, AllowedClasses]) -> None:
    """Refuse masks that together leave a cell without a class."""
    for one, two in combinations(masks, 2):
        a, b = masks[one].forbidden, masks[two].forbidden
        if a.shape != b.shape:
            raise ShapeError(f"hard rules `{one}` and `{two}` need masks of one shape, got {a.shape} and {b.shape}")
        empty = (a | b).all(dim=-1).nonzero().flatten().tolist()
        if empty:
            raise InfeasibleError(
                f"rules contradict each other: `{one}` and `{two}` together leave no class for cells {empty}"
            )
