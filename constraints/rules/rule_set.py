"""Rules looked at together: can they hold at once, and is each of them needed?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import final

import numpy as np
import torch
from torch import Tensor

from constraints.errors import InfeasibleError, SpecificationError, keyed
from constraints.functional.solver_formula import SolverFormulas, solver_installed
from constraints.rules.linear_program import maximise, row_lengths, unit_of
from constraints.rules.linear_rows import LinearRows, linear_rows, output_width, sample_rows, stack_rows
from constraints.rules.output_rule import OutputRule
from constraints.rules.rule import Rule
from constraints.rules.statements import statement_of
from constraints.sets import OrderedCone, Simplex, VaryingPolytope

__all__ = ["RuleReport", "RuleSet"]

SEARCHED = 2000  # subsets tried for a conflict smaller than an irreducible one


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RuleReport:
    """What is known of rules together.

    Attributes:
        conflict: names of the smallest subset that no output satisfies; empty where all can hold.
        redundant: names of rules that hold wherever all the others do. Each is judged with all others there: of two
            equal rules both are named, and only one of them can go. None is named where the others contradict.
        rank: rank of all equalities together.
        equalities: how many there are.
        unchecked: names of rules of which nothing is said: neither linear with fixed numbers, nor a statement that z3
            (extra `logic`) could decide.
        feasible: for each sample given, whether some output satisfies all rules that could be judged, `(batch,)`.
        sample_conflict: names of the smallest subset that no output satisfies for the first sample that is not
            feasible.

    Example:
        >>> from constraints.rules import Bounds, FixedSum
        >>> report = RuleSet({"sum": FixedSum(total=3.0), "loose": Bounds(high=9.0)}, outputs=3).check()
        >>> report.satisfiable, report.redundant
        (True, ('loose',))
    """

    conflict: tuple[str, ...]
    redundant: tuple[str, ...]
    rank: int
    equalities: int
    unchecked: tuple[str, ...]
    feasible: Tensor | None = None
    sample_conflict: tuple[str, ...] = ()

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
        if self.sample_conflict:
            told[-1] += f" (the first for {', '.join(self.sample_conflict)})"
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
            if isinstance(rule, OutputRule) and rule.outputs is not None and rule.index is None:
                raise SpecificationError(
                    f"`RuleSet` needs rules that are bound to their outputs, got `{name}` on {list(rule.outputs)}: "
                    f"call `bind(names)` first"
                )
        self._rules = dict(rules)
        self._width, self._known = output_width(self._rules, outputs)
        self._rows: dict[str, LinearRows] = {}
        for name, rule in self._rules.items():
            # A sum over all outputs says something else for each number of outputs, and so does an order of them.
            everywhere = isinstance(rule, OutputRule) and rule.index is None
            if not self._known and everywhere and isinstance(rule.constraint, (OrderedCone, Simplex)):
                continue
            with keyed(name, rule.name):
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

        Exact for linear rules with fixed numbers, by linear programming (HiGHS), up to its tolerance: a contradiction
        of less than 1e-7 of a row's length, or of the numbers where these are all smaller than 1, is not seen. Rows
        whose numbers depend on the input are judged for each sample of `x`, where it is given, by one program each.

        Where z3 is installed (extra `logic`) and some rule is not linear, it decides over all rules that it can state:
        unions, implications, balls, polynomials, declared statements of polynomial arithmetic and logic; of declared
        ones that depend on the input, whether any input lets them hold together. What it does not decide in seconds,
        and what it cannot state (means of groups, exponentials, a `quantity` of one's own), is named as unchecked.
        The search for the smallest conflict ends with an irreducible one, of which every rule is needed, where there
        would be more than 2000 smaller subsets to try.

        Args:
            x: inputs, `(batch, d)`.
        """
        conflict = self.find_conflict()
        feasible = None if x is None else self.feasible(x)
        first = None if feasible is None or bool(feasible.all()) else int((~feasible).to(torch.uint8).argmax())
        rank = int(np.linalg.matrix_rank(self._equalities())) if len(self._equalities()) else 0
        logic = self._logic()
        linear = {name for name, rows in self._rows.items() if not rows.depends}
        decided = set(logic.known) if logic is not None and logic.satisfiable(logic.known) is not None else set()
        unchecked = tuple(n for n in self._rules if n not in linear | decided)
        return RuleReport(
            conflict=conflict,
            redundant=() if conflict else self._redundant(logic),
            rank=rank,
            equalities=len(self._equalities()),
            unchecked=unchecked,
            feasible=feasible,
            sample_conflict=() if first is None or x is None else self.find_conflict(x[first]),
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

    def find_conflict(self, x: Tensor | None = None) -> tuple[str, ...]:
        """The names of the smallest subset of rules that no output satisfies; empty where none was found.

        Args:
            x: one input, `(d,)`, where rows that depend on it are to be counted too.
        """
        if x is not None and x.dim() != 1:
            raise SpecificationError(f"`RuleSet.find_conflict` needs one input (d,), got shape {tuple(x.shape)}")
        if x is None:
            systems = {name: rows.known() for name, rows in self._rows.items()}
        else:
            systems = self._samples(x[None])[0]
        found = _smallest_conflict(list(systems), lambda names: _hold([systems[name] for name in names]))
        logic = None if found else self._logic(x)
        if logic is None:
            return found
        return _smallest_conflict(logic.known, lambda names: logic.satisfiable(names) is not False)

    def feasible(self, x: Tensor) -> Tensor:
        """Whether some output satisfies all linear rules, for each sample: `(batch,)`.

        A sample whose numbers are NaN, or whose targets are infinite, has none. Rules that are not linear count where
        z3 can decide them for the sample.
        """
        if x.dim() != 2:
            raise SpecificationError(f"`RuleSet.feasible` needs inputs (batch, d), got shape {tuple(x.shape)}")
        found = [_hold(list(systems.values())) for systems in self._samples(x)]
        for i, sample in enumerate(x):
            logic = self._logic(sample) if found[i] else None
            found[i] = found[i] and (logic is None or logic.satisfiable(logic.known) is not False)
        return torch.tensor(found, dtype=torch.bool)

    def _logic(self, x: Tensor | None = None) -> SolverFormulas | None:
        """All rules that sympy can state, as formulas of a solver; None where linear programs say it all."""
        beyond = [name for name in self._rules if name not in self._rows]
        if x is None:
            beyond += [name for name, rows in self._rows.items() if rows.depends]
        if not beyond or not solver_installed():
            return None
        if x is not None and not bool(x.isfinite().all()):
            return None
        said = {
            name: statement_of(rule, self._width, x)
            for name, rule in self._rules.items()
            if self._known or (isinstance(rule, OutputRule) and rule.index is not None)
        }
        if all(said.get(name) is None for name in beyond):
            return None
        return SolverFormulas({name: statement for name, statement in said.items() if statement is not None})

    def _samples(self, x: Tensor) -> list[dict[str, LinearRows]]:
        """The rows of all rules for each sample."""
        count, width = len(x), self._width
        samples: list[dict[str, LinearRows]] = [{} for _ in range(count)]
        for name, rule in self._rules.items():
            known = self._rows.get(name)
            if not isinstance(rule, OutputRule) or (known is None and not isinstance(rule.constraint, VaryingPolytope)):
                continue
            floor = np.full(width, -np.inf) if known is None else known.floor
            ceiling = np.full(width, np.inf) if known is None else known.ceiling
            spread = [
                part.detach().expand(count, *part.shape[-2 if k in (0, 2) else -1 :]).cpu().numpy()
                for k, part in enumerate(sample_rows(rule, x, width))
            ]
            for systems, c, d, a, low, high in zip(samples, *spread, strict=True):
                systems[name] = LinearRows(c, d, a, low, high, floor, ceiling)
        return samples

    def _equalities(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.concatenate([r.equal for r in self._rows.values()] or [np.zeros((0, self._width))])

    def _redundant(self, logic: SolverFormulas | None) -> tuple[str, ...]:
        """Rules that every point obeying the others obeys."""
        if logic is not None:
            known = logic.known
            alone = len(known) > 1
            return tuple(n for n in known if alone and logic.implied(n, [other for other in known if other != n]))
        names = [name for name, rows in self._rows.items() if not rows.depends]
        found = []
        for name in names:
            others = [self._rows[other].known() for other in self._rows if other != name]
            if others and self._implied(self._rows[name], stack_rows(others)):
                found.append(name)
        return tuple(found)

    def _implied(self, rows: LinearRows, others: LinearRows) -> bool:
        eye = np.eye(self._width)
        lengths, sizes = row_lengths(rows.equal), row_lengths(rows.matrix)
        equal, matrix, target = rows.equal / lengths[:, None], rows.matrix / sizes[:, None], rows.target / lengths
        wanted = [
            *zip(equal, target, strict=True),
            *zip(-equal, -target, strict=True),
            *zip(matrix, rows.high / sizes, strict=True),
            *zip(-matrix, -rows.low / sizes, strict=True),
            *zip(eye, rows.ceiling, strict=True),
            *zip(-eye, -rows.floor, strict=True),
        ]
        unit = unit_of([rows, others])
        for direction, most in wanted:
            if np.isfinite(most):
                status, value = maximise(others, direction)
                if status != "optimal" or not value <= most + 1e-7 * unit:
                    return False
        return True


def _hold(systems: Sequence[LinearRows]) -> bool:
    return not systems or maximise(stack_rows(systems))[0] != "empty"


def _smallest_conflict(names: Sequence[str], hold: Callable[[Sequence[str]], bool]) -> tuple[str, ...]:
    if not names or hold(names):
        return ()
    kept = list(names)
    for name in names:  # what can be left out without losing the contradiction is not needed for it
        rest = [other for other in kept if other != name]
        if not hold(rest):
            kept = rest
    for count in range(1, len(kept)):
        if comb(len(names), count) > SEARCHED:
            break
        for some in combinations(names, count):
            if not hold(some):
                return some
    return tuple(kept)
