"""Statements of sympy in one normal form: conditions `e = 0` and `e <= 0`, joined by "every" and "some"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import final

import sympy
from sympy.core.relational import Relational

from constraints.errors import SpecificationError
from constraints.symbolic.labels import LABELS, alternatives, is_formula, least_score

__all__ = [
    "FALSE",
    "TRUE",
    "Condition",
    "Every",
    "Node",
    "Reading",
    "Some",
    "as_sympy",
    "branches",
    "conditions",
    "every",
    "some",
]


LABEL_MARGIN = 1e-4  # of the threshold


@final
@dataclass(frozen=True, slots=True)
class Condition:
    """`expression = 0`, or `expression <= 0`, for the samples whose input makes `when` true.

    Attributes:
        expression: of real symbols, its numbers exact.
        equality: whether it must be 0.
        when: a condition on the input alone.
    """

    expression: sympy.Expr
    equality: bool = False
    when: sympy.Basic = sympy.true

    def put(self, values: Mapping[sympy.Symbol, sympy.Basic]) -> Condition:
        """The same with other symbols."""
        return Condition(self.expression.xreplace(values), self.equality, self.when.xreplace(values))

    def __str__(self) -> str:
        told = f"{self.expression} {'=' if self.equality else '<='} 0"
        return told if self.when is sympy.true else f"{told} where {self.when}"


@final
@dataclass(frozen=True, slots=True)
class Every:
    """All of the parts hold."""

    parts: tuple[Node, ...]


@final
@dataclass(frozen=True, slots=True)
class Some:
    """At least one of the parts holds."""

    parts: tuple[Node, ...]


Node = Condition | Every | Some
TRUE, FALSE = Every(()), Some(())


def every(parts: Sequence[Node]) -> Node:
    """All parts, flattened; `FALSE` where one of them is.

    Example:
        >>> every([TRUE, FALSE]) == FALSE
        True
    """
    if FALSE in parts:
        return FALSE
    flat = [q for p in parts for q in (p.parts if isinstance(p, Every) else (p,))]
    flat = list(dict.fromkeys(flat))
    return flat[0] if len(flat) == 1 else Every(tuple(flat))


def some(parts: Sequence[Node]) -> Node:
    """At least one part, flattened; `TRUE` where one of them is.

    Example:
        >>> some([TRUE, FALSE]) == TRUE
        True
    """
    if TRUE in parts:
        return TRUE
    flat = [q for p in parts for q in (p.parts if isinstance(p, Some) else (p,))]
    flat = list(dict.fromkeys(flat))
    return flat[0] if len(flat) == 1 else Some(tuple(flat))


def conditions(node: Node) -> Iterator[Condition]:
    """Every condition in a statement.

    Example:
        >>> x = sympy.Symbol("x", real=True)
        >>> [str(c) for c in conditions(Every((Condition(x), Condition(-x))))]
        ['x <= 0', '-x <= 0']
    """
    if isinstance(node, Condition):
        yield node
    else:
        for part in node.parts:
            yield from conditions(part)


def transform(node: Node, function: Callable[[Condition], Node]) -> Node:
    """The same statement with each condition replaced."""
    if isinstance(node, Condition):
        return function(node)
    parts = [transform(part, function) for part in node.parts]
    return every(parts) if isinstance(node, Every) else some(parts)


def branches(node: Node, most: int) -> list[list[Condition]] | None:
    """The statement as alternatives, each a list of conditions; None where there would be more than `most`.

    Example:
        >>> x = sympy.Symbol("x", real=True)
        >>> either = Some((Condition(x), Condition(1 - x)))
        >>> [[str(c) for c in branch] for branch in branches(Every((either, Condition(x - 2))), most=8)]
        [['x - 2 <= 0', 'x <= 0'], ['x - 2 <= 0', '1 - x <= 0']]
    """
    if isinstance(node, Condition):
        return [[node]]
    each = [branches(part, most) for part in node.parts]
    known = [found for found in each if found is not None]
    if len(known) < len(each):
        return None
    if isinstance(node, Some):
        whole = _shortest([branch for found in known for branch in found])
        return None if len(whole) > most else whole
    single = [c for found in known if len(found) == 1 for c in found[0]]
    joined = [list(dict.fromkeys(single))]
    for found in known:
        if len(found) != 1:
            joined = _shortest([list(dict.fromkeys([*one, *other])) for one, other in product(joined, found)])
        if len(joined) > most:
            return None
    return joined


def _shortest(each: list[list[Condition]]) -> list[list[Condition]]:
    """Alternatives without those that say all that another says, and more."""
    sets = [frozenset(branch) for branch in each]
    kept = dict(zip(sets, each, strict=True))
    return [branch for own, branch in kept.items() if not any(other < own for other in kept)]


def as_sympy(node: Node) -> sympy.Basic:
    """The statement in sympy again.

    Example:
        >>> x = sympy.Symbol("x", real=True)
        >>> as_sympy(Some((Condition(x), Condition(x - 2, equality=True))))
        (x <= 0) | Eq(x - 2, 0)
    """
    if isinstance(node, Condition):
        e = node.expression
        holds = sympy.Eq(e, 0) if node.equality else sympy.Le(e, 0)
        return holds if node.when is sympy.true else sympy.Or(sympy.Not(node.when), holds)
    parts = [as_sympy(part) for part in node.parts]
    return sympy.And(*parts) if isinstance(node, Every) else sympy.Or(*parts)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a statement of sympy becomes its normal form.

    Attributes:
        real: the real symbol that stands for each symbol of the user.
        outputs: the real symbols of the outputs.
        margin: what `<` leaves free; None where strict conditions on outputs are refused.
        threshold: a name used as a statement, such as `cat` in `Implies(cat, animal)`, means a score of at least this;
            `Not(cat)` a score below it, by at least `label_margin`.
    """

    real: dict[sympy.Symbol, sympy.Symbol]
    outputs: frozenset[sympy.Symbol]
    margin: float | None
    threshold: float

    @property
    def label_margin(self) -> float:
        """How far below the threshold a label is false: more than rounding of float32, and at least the margin."""
        return max(self.margin or 0.0, LABEL_MARGIN * max(1.0, abs(self.threshold)))

    def read(self, statement: sympy.Basic) -> Node:
        """The normal form.

        Raises:
            SpecificationError: what is no statement, and strict conditions on outputs without a margin.
        """
        return self._split(exact(statement, self.real), positive=True)

    def _split(self, s: sympy.Basic, *, positive: bool) -> Node:
        if s in (sympy.true, sympy.false):
            return TRUE if bool(s) == positive else FALSE
        if isinstance(s, sympy.Symbol):
            gap = s - exact(sympy.Float(self.threshold))
            if s not in self.outputs:
                return self._guard(Condition(-gap if positive else gap), strict=not positive)
            if positive:  # also where the score is rounded to float32
                return Condition(exact(sympy.Float(least_score(self.threshold))) - s)
            # Sets are closed: a score at the threshold is a label that holds, so one that does not stays below.
            return Condition(gap + exact(sympy.Float(self.label_margin)))
        if isinstance(s, Relational):
            return self._relation(s, positive=positive)
        if isinstance(s, sympy.Not):
            return self._split(s.args[0], positive=not positive)
        if self._is_formula(s):
            return self._formula(s, positive=positive)
        parts = s.args
        if isinstance(s, sympy.And | sympy.Or):
            join = every if isinstance(s, sympy.And) == positive else some
            labels = [part for part in parts if is_formula(part, self.outputs)]
            rest = [part for part in parts if part not in labels]
            if rest and labels:  # what is said of labels, together
                return join([self._split(s.func(*own), positive=positive) for own in (labels, rest)])
            return join([self._split(part, positive=positive) for part in parts])
        if isinstance(s, sympy.Implies):
            one, two = parts
            join = some if positive else every
            return join([self._split(one, positive=not positive), self._split(two, positive=positive)])
        if isinstance(s, sympy.ITE):
            condition, yes, no = parts
            return every(
                [
                    some([self._split(condition, positive=False), self._split(yes, positive=positive)]),
                    some([self._split(condition, positive=True), self._split(no, positive=positive)]),
                ]
            )
        if isinstance(s, sympy.Equivalent) and len(parts) > 2:
            pairs = [sympy.Equivalent(parts[0], part) for part in parts[1:]]
            return self._split(sympy.And(*pairs), positive=positive)
        if isinstance(s, sympy.Equivalent | sympy.Xor):
            same = isinstance(s, sympy.Equivalent) == positive
            one, two = parts[0], sympy.Xor(*parts[1:]) if len(parts) > 2 else parts[1]
            return every(
                [
                    some([self._split(one, positive=True), self._split(two, positive=not same)]),
                    some([self._split(one, positive=False), self._split(two, positive=same)]),
                ]
            )
        raise SpecificationError(
            f"`declare` needs a statement: a relation such as Eq(a, b) or a <= b, or And, Or, Not, Implies of them; "
            f"got {s} ({type(s).__name__})"
        )

    def _is_formula(self, s: sympy.Basic) -> bool:
        """Whether it speaks of labels alone, and of so few that their truth table is written out."""
        return len(s.free_symbols) <= LABELS and is_formula(s, self.outputs)

    def _formula(self, s: sympy.Basic, *, positive: bool) -> Node:
        """As few alternatives as are needed, each of which says of some labels whether they hold."""
        labels = sorted(s.free_symbols, key=sympy.default_sort_key)
        found = alternatives(s if positive else sympy.Not(s), labels)
        return some([every([self._split(label, positive=one) for label, one in own.items()]) for own in found])

    def _relation(self, s: Relational, *, positive: bool) -> Node:
        if any(isinstance(side, sympy.logic.boolalg.Boolean) and not side.is_Symbol for side in (s.lhs, s.rhs)):
            same = isinstance(s, sympy.Eq) == positive
            both = sympy.Equivalent(s.lhs, s.rhs)
            return self._split(both, positive=same)
        gap = s.lhs - s.rhs
        if isinstance(s, sympy.Eq | sympy.Ne):
            if isinstance(s, sympy.Eq) == positive:
                return self._guard(Condition(gap, equality=True))
            return some([self._less(gap, s, strict=True), self._less(-gap, s, strict=True)])
        below = isinstance(s, sympy.Lt | sympy.Le)
        strict = isinstance(s, sympy.Lt | sympy.Gt) == positive
        return self._less(gap if below == positive else -gap, s, strict=strict)

    def _less(self, gap: sympy.Expr, s: Relational, *, strict: bool) -> Node:
        if not gap.free_symbols & self.outputs:
            return self._guard(Condition(gap), strict=strict)
        if not strict:
            return Condition(gap)
        if self.margin is None:
            raise SpecificationError(
                f"`declare` needs conditions that include their boundary, got a strict one from {s}: write `<=` (in "
                f"the premise of an implication, `>`), or say with margin= how far from the boundary to stay"
            )
        if self.margin == 0 and isinstance(s, sympy.Eq | sympy.Ne):
            raise SpecificationError(f"`declare` needs margin > 0 where two sides must differ, got 0 for {s}")
        return Condition(gap + exact(sympy.Float(self.margin)))

    def _guard(self, condition: Condition, *, strict: bool = False) -> Node:
        """Conditions on the input alone keep their strictness: nothing is projected onto them."""
        gap = condition.expression
        if gap.free_symbols & self.outputs:
            return condition
        if gap.is_number:
            value = float(gap)
            held = value == 0 if condition.equality else (value < 0 if strict else value <= 0)
            return TRUE if held else FALSE
        holds = sympy.Eq(gap, 0) if condition.equality else (sympy.Lt(gap, 0) if strict else sympy.Le(gap, 0))
        return Condition(sympy.Integer(1), when=sympy.Not(holds))


def exact(expression: sympy.Basic, symbols: Mapping[sympy.Symbol, sympy.Symbol] | None = None) -> sympy.Basic:
    """The same with decimal numbers as fractions, so that what cancels on paper cancels here: .1 y + .2 y - .3 y.

    Args:
        expression: the expression.
        symbols: other symbols to put in, in the same go.

    Example:
        >>> exact(sympy.Float(0.1) + sympy.Symbol("x"))
        x + 1/10
    """
    fractions = {f: sympy.Rational(repr(float(f))) for f in expression.atoms(sympy.Float)}
    return expression.xreplace({**(symbols or {}), **fractions})


def is_guard(node: Node) -> bool:
    """Whether it is a condition on the input alone: one that no output satisfies where `when` is true."""
    return isinstance(node, Condition) and node.expression == 1


def push_guards(node: Node) -> Node:
    """Alternatives that are conditions on the input become the `when` of the others: "if hot, then y <= 5"."""
    if isinstance(node, Condition):
        return node
    parts = [push_guards(part) for part in node.parts]
    if isinstance(node, Every):
        return every(parts)
    guards = [part.when for part in parts if isinstance(part, Condition) and is_guard(part)]
    rest = [part for part in parts if not is_guard(part)]
    if not guards:
        return some(rest)
    when = sympy.And(*guards)
    if not rest:
        return Condition(sympy.Integer(1), when=when)
    return some([transform(part, lambda c: replace(c, when=sympy.And(c.when, when))) for part in rest])
