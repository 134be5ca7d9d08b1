"""Rules on outputs."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from typing import final

import sympy
import torch
from torch import Tensor, nn

from constraints.errors import NonFiniteError, ShapeError, SpecificationError, UnsupportedError, naming
from constraints.functional.one_tensor import require_batch, require_tensor
from constraints.functional.precision import at_least_single, own_precision
from constraints.rules.explanation import Explanation, Guarantee
from constraints.rules.rule import Rule
from constraints.rules.squares import Squares
from constraints.sets import Certifying, Constraint, ProjectableConstraint, Squashing

__all__ = ["OutputRule", "distinct_names", "resolve_columns"]


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
        self.output_names: tuple[str, ...] | None = None
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
            SpecificationError: the rule names an output that does not exist, or two outputs have one name.
        """
        if names is not None:
            self.output_names = distinct_names(f"rule `{self.name}`", "outputs", names)
        if self.outputs is None or (names is None and self.index is not None):
            return
        self.index = resolve_columns(self.name, "outputs", self.outputs, names, bound=self.index)

    def select(self, y: Tensor) -> Tensor:
        """The outputs that the rule speaks of, in float32 at least, `(*batch, k)`.

        Raises:
            SpecificationError: names that have not been bound; several tensors.
            ShapeError: as many outputs as the module does not name.
        """
        require_tensor(f"rule `{self.name}`", y)
        y = at_least_single(y)
        if self.output_names is not None and y.shape[-1:] != (len(self.output_names),):
            names = list(self.output_names)
            raise ShapeError(
                f"rule `{self.name}` needs the {len(names)} outputs {names} along the last dimension, got shape "
                f"{tuple(y.shape)}"
            )
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
        self._require_batch(x, y)
        return self.quantity(self.select(y), x)

    @final
    def observed(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The quantity of the model's answer `y` as it is measured."""
        self._require_batch(x, y)
        return self.observe(self.select(y), x)

    def _require_batch(self, x: Tensor | None, y: Tensor) -> None:
        """Refuse outputs `(batch,)`: as many samples as the rule has outputs are no sample of it."""
        require_tensor(f"rule `{self.name}`", y)
        names = "" if self.output_names is None else f"the {len(self.output_names)} outputs {list(self.output_names)}"
        require_batch(f"rule `{self.name}`", names or "outputs", x, y)

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
        return self._put(y, x, constraint.project)

    def _put(self, y: Tensor, x: Tensor | None, into: Callable[[Tensor, Tensor | None], Tensor]) -> Tensor:
        """The outputs with those of the rule mapped, in float32 at least: half precision would break it."""
        with own_precision(y):
            self._require_batch(x, y)
            value = self.select(y)
            context = self.context_for(value, x)
            if torch.compiler.is_compiling():
                obeying = into(value, context)
            else:
                with naming(f"rule `{self.name}`"):
                    try:
                        obeying = into(value, context)
                    except NonFiniteError as error:
                        raise _blamed(value, context, self.constraint) or error from error
            return obeying if self.index is None else at_least_single(y).index_copy(-1, self.index, obeying)

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
        return self._put(y, x, constraint.squash)

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


def _blamed(value: Tensor, context: Tensor | None, constraint: Constraint) -> NonFiniteError | None:
    """The error of numbers that come from the input and are NaN, as a root of a negative one; None where none is."""
    if context is None or not bool(value.isfinite().all()) or not bool(context.isnan().any()):
        return None
    broken = context.isnan().flatten(max(0, context.dim() - constraint.context_dim)).any(dim=-1).flatten()
    return NonFiniteError(
        f"`{type(constraint).__name__}` needs finite numbers from the input, got {int(broken.sum())} of {len(broken)} "
        f"samples whose numbers are not finite, the first is sample {int(broken.nonzero()[0])}"
    )


def distinct_names(owner: str, what: str, names: Sequence[str]) -> tuple[str, ...]:
    """Names of columns, each of which is there once.

    Args:
        owner: whose they are, for the error.
        what: "outputs" or "inputs".
        names: one a column.

    Raises:
        SpecificationError: one that two columns have, or a text in the place of names.

    Example:
        >>> distinct_names("`Module`", "outputs", ["a", "b", "b"])
        Traceback (most recent call last):
        constraints.errors.SpecificationError: `Module` needs distinct names of its outputs, got 'b' twice in ['a', ...
    """
    if isinstance(names, str):
        raise SpecificationError(f"{owner} needs a list of names of its {what}, got {names!r}")
    known = list(names)
    twice = [name for name in dict.fromkeys(known) if known.count(name) > 1]
    if twice:
        raise SpecificationError(f"{owner} needs distinct names of its {what}, got {twice[0]!r} twice in {known}")
    return tuple(known)


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
        SpecificationError: a name that does not exist, that nobody gave, that two columns have, one column twice, or
            other columns than those that the rule is bound to: the module that it is part of would then speak of the
            wrong ones.
    """
    if names is None:
        if not all(isinstance(one, int) for one in wanted):
            raise SpecificationError(
                f"rule `{rule}` names {what} {list(wanted)}, but the module does not name its {what}: pass "
                f"{what}=[...] to it"
            )
        return torch.tensor(list(wanted), dtype=torch.long)
    known = list(distinct_names(f"rule `{rule}`", what, names))
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
