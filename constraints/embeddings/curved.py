"""Several hard rules on the same outputs, not all of them linear, as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from constraints.embeddings.conjunction import Conjunction
from constraints.embeddings.intersection import JointRule, common_fallback
from constraints.errors import InfeasibleError, SpecificationError, UnsupportedError
from constraints.rules import OutputRule
from constraints.rules.linear_rows import linear_rows, output_width
from constraints.sets import Intersection, ProjectableConstraint, VaryingPolytope
from constraints.sets.fallback import certified_point
from constraints.symbolic import DeclaredRule

__all__ = ["IntersectionRule", "intersect_rules"]


def intersect_rules(rules: Mapping[str, OutputRule], outputs: int | None = None) -> OutputRule:
    """The intersection of rules as one rule with one projection, the most special that is known.

    Args:
        rules: the rules by name, at least two.
        outputs: how many outputs there are, where that is known.

    Raises:
        UnsupportedError: no joint projection is known for this combination.
        InfeasibleError: rules that no output satisfies together.
        SpecificationError: see `JointRule`.
    """
    width, known = output_width(rules, outputs)
    linear = {
        name: rule
        for name, rule in rules.items()
        if isinstance(rule.constraint, VaryingPolytope) or linear_rows(rule, width) is not None
    }
    curved = {name: rule for name, rule in rules.items() if name not in linear}
    if not curved or not known:
        return JointRule(rules, outputs)
    parts = dict(curved)
    if len(linear) == 1:
        parts = linear | parts
    elif linear:
        joint = JointRule(linear, width)
        parts = {joint.name: joint} | parts
    if len(parts) == 1:
        return next(iter(parts.values()))
    declared = {name: rule for name, rule in rules.items() if isinstance(rule, DeclaredRule)}
    bent = [rule for rule in curved.values() if not getattr(rule.constraint, "convex", False)]
    if bent and len(declared) == len(rules):
        return Conjunction(declared, width)
    return IntersectionRule(parts, width)


@final
class IntersectionRule(OutputRule):
    """The intersection of rules whose sets are convex, as one rule: see `Intersection` for how and at which cost.

    Args:
        rules: the rules by name, at least two; the linear ones are best joined before.
        outputs: how many outputs there are.

    Raises:
        UnsupportedError: a rule whose set is not convex or has no projection onto its nearest point, or two curved
            rules that depend on the input.
        InfeasibleError: rules that no output satisfies together.

    Example:
        >>> from constraints.rules import Bounds
        >>> from constraints.sets import L2Ball
        >>> class Thrust(OutputRule):
        ...     def __init__(self):
        ...         super().__init__(L2Ball(2.0))
        >>> rule = IntersectionRule({"thrust": Thrust(), "positive": Bounds(low=0.0)}, outputs=2)
        >>> rule.enforce(torch.tensor([[3.0, -4.0]]))
        tensor([[2., 0.]])
    """

    def __init__(self, rules: Mapping[str, OutputRule], outputs: int) -> None:
        names = ", ".join(f"`{name}`" for name in rules)
        for name, rule in rules.items():
            mapped = type(rule).enforce is not OutputRule.enforce
            if not rule.enforceable or mapped:
                raise UnsupportedError(
                    f"no joint projection is known for rules {names}: `{name}` has no projection onto its nearest "
                    f"point. State the rules as one, declare([...]), or embed it as Soft"
                )
            if not getattr(rule.constraint, "convex", False):
                kind = type(rule.constraint).__name__
                raise UnsupportedError(
                    f"no joint projection is known for rules {names}: the set of `{name}`, a `{kind}`, is not convex, "
                    f"or is not mapped onto its nearest point. State the rules as one, declare([...]), or embed one of "
                    f"them as Soft"
                )
        widths = [rule.context_width for rule in rules.values()]
        if widths.count(None) > 1 or any(isinstance(rule.constraint, VaryingPolytope) for rule in rules.values()):
            raise UnsupportedError(
                f"no joint projection is known for rules {names}: at most one rule that is not linear can depend "
                f"on the input, and no matrix. Embed the others as Soft"
            )
        fallback = common_fallback(list(rules.values()), names, outputs)
        try:
            constraint = Intersection(
                [_OnColumns(rule, outputs) for rule in rules.values()], widths=widths, fallback=fallback
            )
        except InfeasibleError as error:
            raise InfeasibleError(
                f"rules contradict each other: no output satisfies {names} together, their sets have no common point"
            ) from error
        except SpecificationError as error:
            raise UnsupportedError(f"no joint projection is known for rules {names}: {error}") from None
        super().__init__(constraint, name=" and ".join(rules), outputs=list(range(outputs)))
        self.parts = torch.nn.ModuleDict({str(i): rule for i, rule in enumerate(rules.values())})

    def context(self, x: Tensor | None) -> Tensor | None:
        """The contexts of all rules that have one."""
        given = [part.context(x) for part in self.parts.values() if isinstance(part, OutputRule)]
        contexts = [context for context in given if context is not None]
        if not contexts:
            return None
        batch = torch.broadcast_shapes(*(context.shape[:-1] for context in contexts))
        return torch.cat([context.expand(*batch, context.shape[-1]) for context in contexts], dim=-1)


@final
class _OnColumns(ProjectableConstraint):
    """A rule's set, as a set of all outputs: those that the rule does not speak of are free."""

    def __init__(self, rule: OutputRule, width: int) -> None:
        super().__init__()
        assert isinstance(rule.constraint, ProjectableConstraint)
        if rule.constraint.event_dim != 1:
            raise SpecificationError(
                f"rule `{rule.name}` is about matrices, and cannot be joined with rules on vectors"
            )
        self.constraint = rule.constraint
        self.convex = rule.constraint.convex
        self.register_buffer("index", rule.index, persistent=False)
        self.size, self.equalities = width, rule.constraint.equalities

    index: Tensor | None

    def _select(self, value: Tensor) -> Tensor:
        return value if self.index is None else value.index_select(-1, self.index)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Of the rule's outputs."""
        return self.constraint.residual(self._select(value), context)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Of the rule's outputs."""
        return self.constraint.tolerance(self._select(value), context)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The nearest point in the rule's outputs, without a fallback: that is the intersection's."""
        inside = certified_point(self.constraint, self._select(value), context)[0]
        return inside if self.index is None else value.index_copy(-1, self.index, inside)
