"""A rule made of a statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import sympy
import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.rules.explanation import Explanation
from constraints.rules.output_rule import OutputRule, distinct_names, resolve_columns
from constraints.rules.statements import output_symbol
from constraints.symbolic.context import Reader
from constraints.symbolic.found import Found
from constraints.symbolic.learnable import Learnable
from constraints.symbolic.statement import Node, as_sympy

__all__ = ["DeclaredRule"]


@final
class DeclaredRule(OutputRule):
    """What `declare` makes of a statement on outputs: its set, its columns by name, its numbers from the input.

    Made by `declare`, not by hand.

    Args:
        statement: as the user wrote it.
        found: what it was found to be.
        read: its normal form.
        simple: the same, rewritten into simpler conditions.
        outputs: the columns or names of the set's outputs, in its order.
        inputs: the column or name of each input, by its real symbol.
        learnables: what is learnt, by its real symbol.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.
        notes: what else there is to say in `explain()`.

    Attributes:
        statement: as the user wrote it.
        found: what it was found to be, and why.

    Example:
        >>> from constraints.symbolic import declare
        >>> a, b, total = sympy.symbols("a b total")
        >>> rule = declare(sympy.Eq(a + b, total), outputs={a: 0, b: 1}, inputs={total: 0}, name="mass")
        >>> rule.enforce(torch.zeros(1, 2), torch.tensor([[4.0]]))
        tensor([[2., 2.]])
    """

    columns: Tensor | None

    def __init__(
        self,
        statement: sympy.Basic,
        found: Found,
        read: Node,
        simple: Node,
        *,
        outputs: Sequence[int | str],
        inputs: Mapping[sympy.Symbol, int | str],
        learnables: Mapping[sympy.Symbol, Learnable],
        name: str,
        unit: str = "",
        source: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(found.constraint, outputs=outputs, name=name, unit=unit, source=source)
        self.statement, self.found, self.notes = statement, found, tuple(notes)
        self.read, self.simple = read, simple
        self.inputs, self.learnables = dict(inputs), dict(learnables)
        self.input_names: tuple[str, ...] | None = None
        self.reader = Reader(found.entries)
        self.raw = nn.ParameterDict({str(symbol): one.start() for symbol, one in learnables.items()})
        self.register_buffer("columns", None, persistent=False)
        if all(isinstance(column, int) for column in self.inputs.values()):
            self.columns = torch.tensor(list(self.inputs.values()), dtype=torch.long)

    @property
    def context_width(self) -> int:
        """How many numbers it reads for each sample."""
        return len(self.found.entries)

    @property
    def learnt(self) -> dict[str, Tensor]:
        """What is learnt, as it is now, by name, `()` each.

        Example:
            >>> from constraints.symbolic import declare
            >>> y, k = sympy.symbols("y k")
            >>> declare(y <= k, outputs={y: 0}, parameters={k: Learnable(initial=2.0)}).learnt
            {'k': tensor(2.)}
        """
        return {str(symbol): one.value(self.raw[str(symbol)]).detach() for symbol, one in self.learnables.items()}

    def bind_inputs(self, names: Sequence[str] | None) -> None:
        """Resolve the inputs that the rule names, in a module whose inputs are called `names`.

        Raises:
            SpecificationError: the rule names an input that does not exist.
        """
        self.input_names = self.input_names if names is None else distinct_names(f"rule `{self.name}`", "inputs", names)
        if self.inputs and (names is not None or self.columns is None):
            self.columns = resolve_columns(self.name, "inputs", list(self.inputs.values()), names, bound=self.columns)

    def symbols(self, prefix: str) -> dict[sympy.Symbol, sympy.Symbol]:
        """What stands for its symbols where it is looked at together with others: columns, and learnt numbers by name.

        Args:
            prefix: a name of its own, for what is learnt.
        """
        outputs = [output_symbol(column) for column in self.columns_of_outputs()]
        put = dict(zip(self.found.outputs, outputs, strict=True))
        where = list(self.inputs.values()) if self.columns is None else self.columns.tolist()
        put |= {s: sympy.Symbol(f"x[{i}]", real=True) for s, i in zip(self.inputs, where, strict=True)}
        return put | {s: sympy.Symbol(f"{prefix}.{s}", real=True) for s in self.learnables}

    def columns_of_outputs(self) -> list[int]:
        """The columns of its outputs, in the order of its set.

        Raises:
            SpecificationError: names that have not been bound.
        """
        if self.index is None:
            raise SpecificationError(f"rule `{self.name}` names outputs {self.outputs}: call `bind(names)` first")
        return [int(column) for column in self.index.tolist()]

    def statement_on(self, outputs: Sequence[sympy.Symbol], x: Tensor | None = None) -> sympy.Basic | None:
        """The statement in its normal form; what is learnt stays open, and inputs too where there is no `x`."""
        put: dict[sympy.Symbol, sympy.Basic] = dict(self.symbols(self.name))
        put |= dict(zip(self.found.outputs, outputs, strict=True))
        if x is not None and self.columns is not None:
            read = zip(self.inputs, self.columns.tolist(), strict=True)
            put |= {symbol: sympy.Rational(repr(float(x[column]))) for symbol, column in read}
        return as_sympy(self.read).xreplace(put).doit()

    def context(self, x: Tensor | None) -> Tensor | None:
        """The numbers that the set reads for each sample, in the shape in which it takes them."""
        if not self.found.entries:
            return None
        leaves, like = self.leaves(x)
        return self.reader(leaves, like).reshape(*like.shape, *self.found.shape)

    def leaves(self, x: Tensor | None) -> tuple[dict[sympy.Symbol, Tensor], Tensor]:
        """What stands for each input and each learnt number, `(*batch,)`, and a tensor of that shape and dtype.

        Raises:
            SpecificationError: no input, or names of inputs that have not been bound.
            ShapeError: an input with too few columns.
        """
        if self.inputs:
            leaves, like = self._inputs(x)
        else:
            leaves, like = {}, torch.zeros((), dtype=torch.get_default_dtype() if x is None else x.dtype)
        for symbol, one in self.learnables.items():
            value = one.value(self.raw[str(symbol)])
            like = like if self.inputs else value.detach()
            leaves[symbol] = value.to(like)
        return leaves, like

    def _inputs(self, x: Tensor | None) -> tuple[dict[sympy.Symbol, Tensor], Tensor]:
        if x is None:
            raise SpecificationError(f"rule `{self.name}` depends on the input, got x=None")
        if self.columns is None:
            names = list(self.inputs.values())
            raise SpecificationError(f"rule `{self.name}` names inputs {names}: call `bind_inputs(names)` first")
        if self.input_names is not None and x.shape[-1:] != (len(self.input_names),):
            raise ShapeError(
                f"rule `{self.name}` needs the {len(self.input_names)} inputs {list(self.input_names)} along the last "
                f"dimension, got shape {tuple(x.shape)}"
            )
        if not torch.compiler.is_compiling():  # in a graph the numbers of a tensor are not known
            last = max(c if isinstance(c, int) else -1 for c in self.columns.tolist())
            if x.dim() == 0 or last >= x.shape[-1]:
                raise ShapeError(f"rule `{self.name}` reads input {last}, got inputs of shape {tuple(x.shape)}")
        real = x if x.is_floating_point() else x.to(torch.get_default_dtype())
        chosen = real.index_select(-1, self.columns)
        return {symbol: chosen[..., i] for i, symbol in enumerate(self.inputs)}, chosen[..., 0]

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        told = super().explain()
        learnt = [f"learnt: {', '.join(self.raw)}"] if self.learnables else []
        return Explanation(
            rule=told.rule,
            kind=f"{self.found.kind} ({type(self.constraint).__name__})",
            embeddings=told.embeddings,
            guarantee=told.guarantee,
            cost=self.found.cost,
            why="; ".join([self.found.why, *learnt, *self.notes]),
        )
