"""Declared rules on the same outputs, of which some are not convex, as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import sympy
import torch
from torch import Tensor, nn

from constraints.embeddings.intersection import common_fallback
from constraints.errors import InfeasibleError, UnsupportedError
from constraints.rules import OutputRule
from constraints.rules.statements import output_symbol
from constraints.symbolic import DeclaredRule
from constraints.symbolic.classify import Classifier
from constraints.symbolic.context import Reader
from constraints.symbolic.statement import every, transform

__all__ = ["Conjunction"]


@final
class Conjunction(OutputRule):
    """The statement that several declared rules hold, classified as if it had been declared at once.

    Implications become one union of sets that way, which can be projected onto; projecting on one after the other would
    not keep the first.

    Args:
        rules: the rules by name, bound to their outputs, at least two.
        outputs: how many outputs there are.

    Raises:
        UnsupportedError: no projection onto the whole statement is known; says why.
        InfeasibleError: rules that no output satisfies together.

    Example:
        >>> from sympy import Implies, symbols
        >>> from constraints.symbolic import declare
        >>> a, b = symbols("a b")
        >>> fast = declare(Implies(a > 80, b >= 40), outputs={a: 0, b: 1})
        >>> far = declare(Implies(b > 50, a >= 60), outputs={a: 0, b: 1})
        >>> Conjunction({"fast": fast, "far": far}, outputs=2).enforce(torch.tensor([[90.0, 39.0], [40.0, 51.0]]))
        tensor([[90., 40.],
                [40., 50.]])
    """

    def __init__(self, rules: Mapping[str, DeclaredRule], outputs: int) -> None:
        names = ", ".join(f"`{name}`" for name in rules)
        puts = {name: rule.symbols(name) for name, rule in rules.items()}
        parts = [
            transform(rule.simple, lambda c, put=puts[name]: c.put(put))  # type: ignore[misc]
            for name, rule in rules.items()
        ]
        columns = sorted({int(i) for rule in rules.values() for i in rule.columns_of_outputs()})
        given = {symbol for put in puts.values() for symbol in put.values()} - {output_symbol(c) for c in columns}
        fallback = common_fallback(list(rules.values()), names, outputs)
        classifier = Classifier(tuple(output_symbol(c) for c in columns), tuple(sorted(given, key=str)), fallback)
        whole = every(parts)
        try:
            found = classifier.classify(whole, whole)
        except InfeasibleError as error:
            raise InfeasibleError(
                f"rules contradict each other: no output satisfies {names} together ({error})"
            ) from None
        if found.kind == "unknown":
            raise UnsupportedError(
                f"no joint projection is known for rules {names}: they are {found.why}. Embed some as Soft"
            )
        place = {output_symbol(c): c for c in columns}
        super().__init__(found.constraint, name=" and ".join(rules), outputs=[place[s] for s in found.outputs])
        self.found = found
        self.reader = Reader(found.entries)
        self.names = tuple(rules)
        self.parts = nn.ModuleList(rules.values())

    @property
    def context_width(self) -> int:
        """How many numbers it reads for each sample."""
        return len(self.found.entries)

    def context(self, x: Tensor | None) -> Tensor | None:
        """The numbers of all rules that the set reads."""
        if not self.found.entries:
            return None
        leaves: dict[sympy.Symbol, Tensor] = {}
        likes = []
        for name, rule in zip(self.names, self.parts, strict=True):
            assert isinstance(rule, DeclaredRule)
            own, like = rule.leaves(x)
            put = rule.symbols(name)
            leaves |= {put[symbol]: value for symbol, value in own.items()}
            likes.append(like)
        like = torch.broadcast_tensors(*likes)[0]
        return self.reader(leaves, like).reshape(*like.shape, *self.found.shape)
