"""What a rule is: a quantity of a model, and the set in which it must lie."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import final

import sympy
import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError, UnsupportedError
from constraints.rules.squares import Squares
from constraints.sets import Certifying, Constraint, ProjectableConstraint, Squashing
from constraints.sets.constraint import keep_precision

__all__ = ["Explanation", "FieldRule", "Guarantee", "OutputRule", "Rule", "resolve_columns"]


class Guarantee(StrEnum):
    """How sure the strongest possible embedding of a rule is.

    Example:
        >>> from constraints.rules import Bounds
        >>> Bounds(low=0.0).explain().guarantee is Guarantee.EXACT
        True
    """

    EXACT = "exact to rounding"
    TOLERANCE = "to tolerance, with a certificate a sample"
    SOFT = "none: encouraged or measured only"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is known of a rule before it is trained.

    Attributes:
        rule: its name.
        kind: the class of set found.
        embeddings: names of the embeddings that can hold it, strongest first; "Hard(smooth=True)" among them where a
            smooth map is known: feasible as the projection is, but neither the nearest point nor idempotent.
        guarantee: what the strongest of them guarantees.
        cost: what that costs a sample, in words.
        why: what was seen that makes it of this kind; empty where the class says it.

    Example:
        >>> from constraints.rules import Bounds
        >>> print(Bounds(low=0.0, name="positive").explain())
        positive: output in Box
          embeddings: Hard, Hard(smooth=True), Decode, Soft, AugmentedLagrangian, Monitor
          guarantee: exact to rounding
          cost: closed-form projection
    """

    rule: str
    kind: str
    embeddings: tuple[str, ...]
    guarantee: Guarantee
    cost: str
    why: str = ""

    def __str__(self) -> str:
        why = f"  why: {self.why}\n" if self.why else ""
        return (
            f"{self.rule}: {self.kind}\n{why}  embeddings: {', '.join(self.embeddings)}\n"
            f"  guarantee: {self.guarantee.value}\n  cost: {self.cost}"
        )


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

    def bind_inputs(self, names: Sequence[str] | None) -> None:
        """Resolve the inputs that the rule names, in a module whose inputs are called `names`; by default none."""

    def context(self, x: Tensor | None) -> Tensor | None:
        """The set's input-dependent parameter (a target, a total) for each sample; None where it has none."""
        return None

    @property
    def context_width(self) -> int | None:
        """How many numbers `context` gives for a sample; None where only a call can tell."""
        return 0 if type(self).context is Rule.context else None

    def observed(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The quantity as it is measured, `(*batch, n)`; by default the one that is trained on."""
        return self.evaluate(model, x, y)

    @final
    def measure(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Violation of each sample as it is reported, `(*batch,)`, >= 0 and 0 iff satisfied."""
        return self.constraint.violation(self.observed(model, x, y), self.context(x))

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


class OutputRule(Rule, ABC):
    """A rule on one output of the model, its input allowed.

    Args:
        constraint: the set in which the quantity must lie.
        outputs: which outputs it speaks of, by column or, in a module that names its outputs, by name; all by default.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Example:
        >>> from constraints.sets import Box
        >>> class Positive(OutputRule):
        ...     def __init__(self):
        ...         super().__init__(Box(low=0.0), outputs=[0])
        >>> rule = Positive()
        >>> rule.enforce(torch.tensor([[-1.0, -2.0]]), x=None)
        tensor([[ 0., -2.]])
    """

    index: Tensor | None

    def __init__(
        self,
        constraint: Constraint,
        *,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        super().__init__(constraint, name=name, unit=unit, source=source)
        self.outputs = None if outputs is None else tuple(outputs)
        self._last_column = max([o for o in self.outputs or () if isinstance(o, int)], default=-1)
        self.register_buffer("index", None, persistent=False)
        if self.outputs is not None:
            self._check_outputs(self.outputs)
            if all(isinstance(o, int) for o in self.outputs):
                self.index = torch.tensor(self.outputs, dtype=torch.long)

    def _check_outputs(self, outputs: tuple[int | str, ...]) -> None:
        size = self.constraint.size
        if not outputs or len(set(outputs)) != len(outputs) or any(isinstance(o, int) and o < 0 for o in outputs):
            raise SpecificationError(
                f"rule `{self.name}` needs distinct outputs, columns >= 0 or names, got {list(outputs)}"
            )
        if size is not None and type(self).quantity is OutputRule.quantity and len(outputs) != size:
            raise SpecificationError(f"rule `{self.name}` needs {size} outputs, got {len(outputs)}: {list(outputs)}")

    def bind(self, names: Sequence[str] | None) -> None:
        """Resolve the outputs that the rule names, in a module whose outputs are called `names`.

        Raises:
            SpecificationError: the rule names an output that does not exist.
        """
        if self.outputs is None or (names is None and self.index is not None):
            return
        self.index = resolve_columns(self.name, "outputs", self.outputs, names, bound=self.index)

    def select(self, y: Tensor) -> Tensor:
        """The outputs that the rule speaks of, `(*batch, k)`."""
        if self.outputs is None:
            return y
        if self.index is None:
            raise SpecificationError(f"rule `{self.name}` names outputs {list(self.outputs)}: call `bind(names)` first")
        if self._last_column >= y.shape[-1]:
            raise ShapeError(
                f"rule `{self.name}` speaks of output {self._last_column}, but the model has only {y.shape[-1]}"
            )
        return y.index_select(-1, self.index)

    def quantity(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """The quantity of the selected outputs, differentiable, `(*batch, k)` to `(*batch, n)`; by default they."""
        return y

    def observe(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """The quantity as it is measured; differs from `quantity` where a model's answer is a decision (argmax)."""
        return self.quantity(y, x)

    @final
    def evaluate(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The quantity of the model's output `y`."""
        return self.quantity(self.select(y), x)

    @final
    def observed(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The quantity of the model's answer `y` as it is measured."""
        return self.observe(self.select(y), x)

    def statement_on(self, outputs: Sequence[sympy.Symbol], x: Tensor | None = None) -> sympy.Basic | None:
        """What the rule says, in sympy, on symbols of its outputs; None where the set alone tells.

        Args:
            outputs: a symbol for each selected output.
            x: one input, `(d,)`, whose numbers to put in.
        """
        return None

    @final
    def squares(self, model: nn.Module, x: Tensor) -> Squares | None:
        """See `Rule.squares`: each input is a row, where it is a vector."""
        if x.dim() != 2:
            return None

        def residual(rows: Tensor) -> Tensor:
            return self.constraint.excess(self.quantity(self.select(model(rows)), rows), self.context(rows))

        return Squares(residual, x, 1.0 / len(x))

    @property
    def enforceable(self) -> bool:
        """Whether an output can be mapped onto the rule: Hard, and projection in Decode, are possible."""
        return isinstance(self.constraint, ProjectableConstraint) and type(self).quantity is OutputRule.quantity

    def enforce(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """The nearest output that obeys, `(*batch, n)`; outputs that the rule does not speak of stay as they are.

        Raises:
            UnsupportedError: no map onto the rule is known.
        """
        constraint = self.constraint
        if not self.enforceable or not isinstance(constraint, ProjectableConstraint):
            raise UnsupportedError(
                f"rule `{self.name}` cannot be guaranteed: no map onto it is known. "
                f"Use Soft, AugmentedLagrangian or Monitor"
            )
        obeying = constraint.project(self.select(y), self.context(x))
        return obeying if self.index is None else y.index_copy(-1, self.index, obeying)

    @property
    def squashable(self) -> bool:
        """Whether a smooth map into the rule is known: of its set, and not in the place of a map that the rule has."""
        own = type(self).enforce is not OutputRule.enforce
        return self.enforceable and isinstance(self.constraint, Squashing) and not own

    @final
    def squash(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """An obeying output with a gradient everywhere, `(*batch, n)`; not the nearest one, and not idempotent.

        Raises:
            UnsupportedError: no smooth map into the rule is known.
        """
        constraint = self.constraint
        if not self.squashable or not isinstance(constraint, Squashing):
            raise UnsupportedError(
                f"rule `{self.name}` has no smooth map: its set `{type(constraint).__name__}` has no `squash`, or the "
                f"rule has a `quantity` or a map of its own"
            )
        obeying = constraint.squash(self.select(y), self.context(x))
        return obeying if self.index is None else y.index_copy(-1, self.index, obeying)

    def decode(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """The obeying answer at inference; by default the enforced output."""
        return self.enforce(y, x)

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        kind = f"output in {type(self.constraint).__name__}"
        soft = ("Soft", "AugmentedLagrangian", "Monitor")
        iterative = isinstance(self.constraint, Certifying) and not getattr(self.constraint, "closed_form", False)
        if self.enforceable:
            return Explanation(
                rule=self.name,
                kind=kind,
                embeddings=("Hard", *(("Hard(smooth=True)",) if self.squashable else ()), "Decode", *soft),
                guarantee=Guarantee.TOLERANCE if iterative else Guarantee.EXACT,
                cost="active-set projection" if iterative else "closed-form projection",
            )
        return Explanation(
            rule=self.name, kind=kind, embeddings=soft, guarantee=Guarantee.SOFT, cost="one evaluation of the quantity"
        )


def resolve_columns(
    rule: str, what: str, wanted: Sequence[int | str], names: Sequence[str] | None, *, bound: Tensor | None = None
) -> Tensor:
    """The columns of a module that a rule speaks of, `(k,)`.

    Args:
        rule: name of the rule.
        what: "outputs" or "inputs".
        wanted: columns, or names to look up.
        names: what the module calls its columns; None where it does not name them.
        bound: the columns that the rule speaks of already, in another module perhaps.

    Raises:
        SpecificationError: a name that does not exist, that nobody gave, one column twice, or other columns than those
            that the rule is bound to: the module that it is part of would then speak of the wrong ones.
    """
    if names is None:
        if not all(isinstance(one, int) for one in wanted):
            raise SpecificationError(
                f"rule `{rule}` names {what} {list(wanted)}, but the module does not name its {what}: pass "
                f"{what}=[...] to it"
            )
        return torch.tensor(list(wanted), dtype=torch.long)
    known = list(names)
    missing = [one for one in wanted if (one >= len(known) if isinstance(one, int) else one not in known)]
    if missing:
        raise SpecificationError(f"rule `{rule}` names {what} {missing}, expected some of {known}")
    columns = [one if isinstance(one, int) else known.index(one) for one in wanted]
    if len(set(columns)) < len(columns):
        raise SpecificationError(f"rule `{rule}` names one of its {what} twice: {list(wanted)} of {known}")
    if bound is not None and bound.tolist() != columns:
        raise SpecificationError(
            f"rule `{rule}` speaks of {what} {bound.tolist()} of another module, and would speak of {columns} here: "
            f"make a rule of its own for each"
        )
    return torch.tensor(columns, dtype=torch.long)


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
        """The quantity at the rule's points.

        Lightning validates in inference mode, whose tensors can never carry a gradient: the points are copied
        outside it, where derivatives work as in training.
        """
        with torch.inference_mode(False), torch.enable_grad():
            points = self.points(x)
            points = (points.clone() if points.is_inference() else points.detach()).requires_grad_()
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
