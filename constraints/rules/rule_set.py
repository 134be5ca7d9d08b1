"""Rules looked at together: can they hold at once, and is each of them needed?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import final

import numpy as np
import torch
from torch import Tensor

from constraints.errors import InfeasibleError, SpecificationError
from constraints.rules.linear_rows import (
    LinearRows,
    linear_rows,
    maximise,
    output_width,
    sample_rows,
    stack_rows,
)
from constraints.rules.rule import OutputRule, Rule
from constraints.sets import OrderedCone, Simplex, VaryingPolytope

__all__ = ["RuleReport", "RuleSet"]

SEARCHED = 2000  # subsets tried for a conflict smaller than an irreducible one


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RuleReport:
    """What is known of rules together.

    Attributes:
        conflict: names of the smallest subset that no output satisfies; empty where all can hold.
        redundant: names of rules that hold wherever the others do; each is judged with all others there.
        rank: rank of all equalities together.
        equalities: how many there are.
        unchecked: names of rules that are not linear, or whose numbers depend on the input: nothing is said of them.
        feasible: for each sample given, whether some output satisfies all linear rules, `(batch,)`.
    """

    conflict: tuple[str, ...]
    redundant: tuple[str, ...]
    rank: int
    equalities: int
    unchecked: tuple[str, ...]
    feasible: Tensor | None = None

    @property
    def satisfiable(self) -> bool:
        """Whether no contradiction was found."""
        return not self.conflict and (self.feasible is None or bool(self.feasible.all()))

    def __str__(self) -> str:
        told = [f"contradict each other: {', '.join(self.conflict)}" if self.conflict else "can hold together"]
        if self.redundant:
            told.append(f"redundant: {', '.join(self.redundant)}")
        told.append(f"{self.equalities} equalities of rank {self.rank}")
        if self.unchecked:
            told.append(f"not checked: {', '.join(self.unchecked)}")
        if self.feasible is not None:
            told.append(f"{int((~self.feasible).sum())} of {self.feasible.numel()} samples without a feasible output")
        return "; ".join(told)


@final
class RuleSet(Mapping[str, Rule]):
    """Rules by name, and questions about all of them.

    Args:
        rules: the rules by name, bound to their outputs.
        outputs: how many outputs the model has, where the rules alone do not say.

    Example:
        >>> from constraints.rules import Bounds, FixedSum
        >>> print(RuleSet({"sum": FixedSum(total=3.0), "cap": Bounds(high=0.5)}, outputs=3).check())
        contradict each other: sum, cap; 1 equalities of rank 1
        >>> print(RuleSet({"sum": FixedSum(total=3.0), "loose": Bounds(high=9.0)}, outputs=3).check())
        can hold together; redundant: loose; 1 equalities of rank 1
    """

    def __init__(self, rules: Mapping[str, Rule], outputs: int | None = None) -> None:
        for name, rule in rules.items():
            if not isinstance(rule, Rule):
                raise SpecificationError(f"`RuleSet` needs rules, got {type(rule).__name__} for {name!r}")
        self._rules = dict(rules)
        self._width, known = output_width(self._rules, outputs)
        self._rows: dict[str, LinearRows] = {}
        for name, rule in self._rules.items():
            # A sum over all outputs says something else for each number of outputs, and so does an order of them.
            everywhere = isinstance(rule, OutputRule) and rule.index is None
            if not known and everywhere and isinstance(rule.constraint, (OrderedCone, Simplex)):
                continue
            rows = linear_rows(rule, self._width)
            if rows is not None:
                self._rows[name] = rows

    def __getitem__(self, name: str) -> Rule:
        return self._rules[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def check(self, x: Tensor | None = None) -> RuleReport:
        """Are the rules satisfiable together, which are redundant, and what is the rank of the equalities?

        Exact for linear rules with fixed numbers, by linear programming (HiGHS). Rows whose numbers depend on the input
        are judged for each sample of `x`, where it is given.

        Args:
            x: inputs, `(batch, d)`.
        """
        conflict = self.find_conflict()
        rank = int(np.linalg.matrix_rank(self._equalities())) if len(self._equalities()) else 0
        unchecked = tuple(n for n in self._rules if n not in self._rows or self._rows[n].depends)
        return RuleReport(
            conflict=conflict,
            redundant=self._redundant(),
            rank=rank,
            equalities=len(self._equalities()),
            unchecked=unchecked,
            feasible=None if x is None else self.feasible(x),
        )

    def require(self) -> None:
        """Refuse a contradiction, naming the rules.

        Raises:
            InfeasibleError: names the smallest subset that no output satisfies.
        """
        conflict = self.find_conflict()
        if conflict:
            named = ", ".join(f"`{name}`" for name in conflict)
            raise InfeasibleError(f"rules contradict each other: no output satisfies {named} together")

    def find_conflict(self) -> tuple[str, ...]:
        """The names of the smallest subset of linear rules that no output satisfies; empty where all can hold."""
        names = list(self._rows)
        if self._hold(names):
            return ()
        kept = list(names)
        for name in names:  # what can be left out without losing the contradiction is not needed for it
            rest = [other for other in kept if other != name]
            if not self._hold(rest):
                kept = rest
        for count in range(1, len(kept)):
            if comb(len(names), count) > SEARCHED:
                break
            for some in combinations(names, count):
                if not self._hold(some):
                    return some
        return tuple(kept)

    def feasible(self, x: Tensor) -> Tensor:
        """Whether some output satisfies all linear rules, for each sample: `(batch,)`."""
        if x.dim() != 2:
            raise SpecificationError(f"`RuleSet.feasible` needs inputs (batch, d), got shape {tuple(x.shape)}")
        rules = {
            name: rule
            for name, rule in self._rules.items()
            if isinstance(rule, OutputRule) and (name in self._rows or isinstance(rule.constraint, VaryingPolytope))
        }
        blocks = [[part.detach().cpu().numpy() for part in sample_rows(r, x, self._width)] for r in rules.values()]
        bounds = [self._rows[name] for name in rules if name in self._rows]
        floor = np.max([b.floor for b in bounds], axis=0) if bounds else np.full(self._width, -np.inf)
        ceiling = np.min([b.ceiling for b in bounds], axis=0) if bounds else np.full(self._width, np.inf)
        none = [np.zeros((0, self._width)) if k in (0, 2) else np.zeros(0) for k in range(5)]
        found = []
        for i in range(len(x)):
            c, d, a, low, high = (
                np.concatenate([block[k][i] for block in blocks]) if blocks else none[k] for k in range(5)
            )
            found.append(maximise(LinearRows(c, d, a, low, high, floor, ceiling))[0] != "empty")
        return torch.tensor(found, dtype=torch.bool)

    def _equalities(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.concatenate([r.equal for r in self._rows.values()] or [np.zeros((0, self._width))])

    def _hold(self, names: list[str] | tuple[str, ...]) -> bool:
        if not names:
            return True
        return maximise(stack_rows([self._rows[name].known() for name in names]))[0] != "empty"

    def _redundant(self) -> tuple[str, ...]:
        """Rules with fixed numbers that every point obeying the others obeys."""
        names = [name for name, rows in self._rows.items() if not rows.depends]
        found = []
        for name in names:
            others = [self._rows[other].known() for other in self._rows if other != name]
            if others and self._implied(self._rows[name], stack_rows(others)):
                found.append(name)
        return tuple(found)

    def _implied(self, rows: LinearRows, others: LinearRows) -> bool:
        if maximise(others)[0] == "empty":
            return False
        eye = np.eye(self._width)
        wanted = [
            *zip(rows.equal, rows.target, strict=True),
            *zip(-rows.equal, -rows.target, strict=True),
            *zip(rows.matrix, rows.high, strict=True),
            *zip(-rows.matrix, -rows.low, strict=True),
            *zip(eye, rows.ceiling, strict=True),
            *zip(-eye, -rows.floor, strict=True),
        ]
        for direction, most in wanted:
            if np.isfinite(most):
                status, value = maximise(others, direction)
                if status != "optimal" or value > most + 1e-7 * max(1.0, abs(most)):
                    return False
        return True
