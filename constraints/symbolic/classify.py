"""From the normal form of a statement to the most specific set that it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import sympy
import torch

from constraints.errors import InfeasibleError, MissingExtraError, SpecificationError
from constraints.functional.real_functions import real_number
from constraints.functional.solver_formula import SolverFormulas, solver_installed
from constraints.sets import Convex, Disjunction, Fallback, NonlinearEquality, ProjectableConstraint
from constraints.sets.formula import Formula
from constraints.sets.given import Given
from constraints.symbolic.balls import ball_set
from constraints.symbolic.context import Entry
from constraints.symbolic.forms import affine_form, degree, quadratic_form
from constraints.symbolic.found import Found
from constraints.symbolic.linear import Row, linear_set
from constraints.symbolic.residuals import Residuals, StatementResiduals
from constraints.symbolic.statement import FALSE, TRUE, Condition, Node, as_sympy, branches, conditions, every

__all__ = ["Classifier"]

BRANCHES = 32  # alternatives up to which a union is projected onto branch by branch
PROBES = 64  # points from which a curved surface is looked for before it is taken to exist


@final
@dataclass(frozen=True, slots=True)
class Classifier:
    """Finds the set of a statement.

    Attributes:
        outputs: real symbols of the outputs that the statement speaks of, in the order of the user.
        given: real symbols of the inputs and learnt numbers that it speaks of.
        fallback: what the set is to do with samples that it cannot bring inside.
    """

    outputs: tuple[sympy.Symbol, ...]
    given: tuple[sympy.Symbol, ...]
    fallback: Fallback | None

    def classify(self, read: Node, simple: Node) -> Found:
        """The most specific set.

        Args:
            read: the statement as it was read.
            simple: the same, rewritten into simpler conditions.

        Raises:
            InfeasibleError: a statement that no output satisfies.
            SpecificationError: one that every output satisfies.
        """
        if simple == FALSE:
            raise InfeasibleError("no output satisfies it")
        if simple == TRUE:
            raise SpecificationError("it says nothing: every output satisfies it")
        alternatives = branches(simple, BRANCHES)
        if alternatives is None:
            return self._unknown(
                read,
                f"more than {BRANCHES} alternatives; parts on different outputs can be declared one by one",
            )
        if len(alternatives) == 1:
            return self._branch(alternatives[0], whole=True) or self._unknown(read, self._why_not(alternatives[0]))
        return self._union(read, alternatives)

    def _union(self, read: Node, alternatives: list[list[Condition]]) -> Found:
        found, empty = [], []
        for branch in alternatives:
            try:
                part = self._branch(branch, whole=False)
            except InfeasibleError as error:
                empty.append(str(error))
                continue
            if part is None:
                return self._unknown(read, f"one of {len(alternatives)} alternatives is {self._why_not(branch)}")
            found.append(part)
        if not found:
            raise InfeasibleError(f"no output satisfies it: {'; '.join(dict.fromkeys(empty))}")
        if len(found) == 1:
            (left,) = (branch for branch in alternatives if not self._is_empty(branch))
            return self._branch(left, whole=True) or found[0]
        parts: list[ProjectableConstraint] = []
        entries: list[Entry] = []
        for one in found:
            assert isinstance(one.constraint, ProjectableConstraint)
            parts.append(Given(one.constraint, start=len(entries), shape=one.shape))
            entries += one.entries
        bare = [part.constraint for part in parts if isinstance(part, Given)]
        whole = parts if entries else [part for part in bare if isinstance(part, ProjectableConstraint)]
        kinds = ", ".join(dict.fromkeys(one.kind for one in found))
        return Found(
            kind="disjunction",
            why=f"at least one of {len(found)} alternatives holds, each of a known kind ({kinds})",
            cost=f"{len(found)} projections; the answer jumps where two are equally near",
            constraint=Disjunction(whole, fallback=self.fallback),
            outputs=self.outputs,
            entries=tuple(entries),
            shape=(len(entries),) if entries else (),
        )

    def _is_empty(self, branch: list[Condition]) -> bool:
        try:
            self._branch(branch, whole=False)
        except InfeasibleError:
            return True
        return False

    def _branch(self, branch: Sequence[Condition], *, whole: bool) -> Found | None:
        """The set of conditions that all hold, over all outputs unless it is the `whole` statement; None if unknown."""
        rows, curved = [], []
        for condition in branch:
            form = affine_form(condition.expression, self.outputs)
            if form is None:
                curved.append(condition)
            else:
                rows.append(Row.of(condition, form))
        if not curved:
            return linear_set(rows, self.outputs, self.fallback, reorder=whole)
        if any(condition.when is not sympy.true for condition in branch):
            return None
        if whole and len(branch) == 1:
            ball = ball_set(branch[0], self.outputs, self.fallback)
            if ball is not None:
                return ball
        if not any(condition.equality for condition in curved):
            return self._convex(branch)
        if all(condition.equality for condition in branch) and len(branch) <= len(self.outputs):
            return self._surface(branch)
        return None

    def _convex(self, branch: Sequence[Condition]) -> Found | None:
        if self._bent(branch) is not None:
            return None
        read = _Read(self.outputs)
        relations = [read.relation(c) for c in branch]
        given = self._given(branch)
        try:
            numbers = [*read.entries, *(s for s in given if any(s in r.free_symbols for r in relations))]
            constraint = Convex(relations, self.outputs, numbers, fallback=self.fallback)
        except InfeasibleError:
            raise
        except (SpecificationError, MissingExtraError):
            return None
        quadratic = all(quadratic_form(c.expression, list(self.outputs)) is not None for c in branch)
        how = "quadratic, by the eigenvalues of its Hessian (none negative)" if quadratic else "by composition"
        return Found(
            kind="quadratic" if quadratic else "convex",
            why=f"convex: {how}{self._from(given)}",
            cost="a conic solver and Newton's method, milliseconds",
            constraint=constraint,
            outputs=self.outputs,
            entries=tuple(Entry(read.entries.get(symbol, symbol)) for symbol in numbers),
            shape=(len(numbers),) if numbers else (),
        )

    def _surface(self, branch: Sequence[Condition]) -> Found | None:
        if self._kinks(branch):
            return None
        given = self._given(branch)
        residuals = Residuals(tuple(branch), self.outputs, given)
        try:
            residuals(torch.zeros(len(self.outputs), dtype=torch.float64), torch.zeros(len(given), dtype=torch.float64))
        except SpecificationError:
            return None
        constraint = NonlinearEquality(
            residuals, size=len(self.outputs), conditions=len(branch), fallback=self.fallback
        )
        reached = ""
        if not given:
            self._require_satisfiable(every(branch))
            count = self._reached(constraint, branch)
            if not count:
                return None
            reached = f"; of {PROBES} random values, up to 100 times its size away, {count} were brought onto it"
        smooth = all(degree(c.expression, self.outputs) < float("inf") for c in branch)
        return Found(
            kind="polynomial equality" if smooth else "nonlinear equality",
            why=f"{'one equality' if len(branch) == 1 else f'{len(branch)} equalities'}, "
            f"{'polynomial' if smooth else 'nonlinear'} in the outputs{self._from(given)}{reached}",
            cost="Newton's method to a stationary point, which need not be the nearest",
            constraint=constraint,
            outputs=self.outputs,
            entries=tuple(Entry(symbol) for symbol in given),
            shape=(len(given),) if given else (),
        )

    def _kinks(self, branch: Sequence[Condition]) -> set[sympy.Basic]:
        """Kinks of the outputs: where a curved surface is nearest there, no derivative tells so."""
        outputs = set(self.outputs)
        kinks = {part for c in branch for part in c.expression.atoms(sympy.Abs, sympy.Max, sympy.Min)}
        return {part for part in kinks if part.free_symbols & outputs}

    def _reached(self, constraint: NonlinearEquality, branch: Sequence[Condition]) -> int:
        """From how many of `PROBES` random starts a point of the surface is found; that none is proves nothing."""
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(PROBES, len(self.outputs), generator=generator, dtype=torch.float64)
        reach = max(self._reach(c.expression) for c in branch)
        start = start * reach * torch.logspace(-1, 2, PROBES, dtype=torch.float64)[:, None]
        return int(constraint.solve(start)[1].feasible.sum())

    def _reach(self, e: sympy.Expr) -> float:
        """How large outputs are where a polynomial reaches its constant: `c ** (1 / degree)`."""
        power = degree(e, self.outputs)
        constant = e.as_independent(*self.outputs, as_Add=True)[0]
        return max(1.0, abs(real_number(constant))) ** (1.0 / power) if 0 < power < float("inf") else 1.0

    def _require_satisfiable(self, read: Node) -> None:
        """Refuse a contradiction that a solver finds, where one is installed: such a rule could not even be soft."""
        if not solver_installed():
            return
        formulas = SolverFormulas({"it": as_sympy(read)}, slack=0.0, timeout=1000)
        if formulas.known and formulas.satisfiable(["it"]) is False:
            raise InfeasibleError("no output satisfies it")

    def _given(self, branch: Sequence[Condition]) -> tuple[sympy.Symbol, ...]:
        used = {symbol for condition in branch for symbol in condition.expression.free_symbols}
        return tuple(symbol for symbol in self.given if symbol in used)

    def _from(self, given: Sequence[sympy.Symbol]) -> str:
        return f"; numbers read from {', '.join(map(str, given))}" if given else ""

    def _bent(self, branch: Sequence[Condition]) -> str | None:
        """Why a branch cannot be convex, where a quadratic shows it."""
        for condition in branch:
            form = quadratic_form(condition.expression, list(self.outputs))
            if form is not None and form.eigenvalues.min(initial=0.0) < 0:
                low, high = form.eigenvalues[0], form.eigenvalues[-1]
                kind = "indefinite" if high > 0 else "negative semidefinite"
                return f"quadratic with a Hessian that is {kind} (eigenvalues {low:.4g} to {high:.4g}): not convex"
        return None

    def _why_not(self, branch: Sequence[Condition]) -> str:
        """Why no map onto a branch is known."""
        curved = [c for c in branch if affine_form(c.expression, self.outputs) is None]
        if any(c.when is not sympy.true for c in branch):
            return "curved, and holds for some inputs only"
        if all(c.equality for c in branch) and len(branch) <= len(self.outputs):
            kinks = self._kinks(branch)
            if kinks:
                return (
                    f"a curved equality with kinks ({', '.join(sorted(map(str, kinks)))}), where it has no derivative"
                )
            return f"a curved equality of which no point was found from {PROBES} starts"
        if any(c.equality for c in curved):
            rest = "inequalities" if len(branch) <= len(self.outputs) else "more conditions than outputs"
            return f"a curved equality beside {rest}"
        bent = self._bent(branch)
        if bent is not None:
            return bent
        read = _Read(self.outputs)
        relations = [read.relation(c) for c in branch if not c.equality]
        try:
            Convex(relations, self.outputs, [*read.entries, *self._given(branch)])
        except MissingExtraError as error:
            return f"perhaps convex, but {error}"
        except SpecificationError as error:
            return f"not known to be convex ({error})"
        return "of a form that no set is known for"

    def _unknown(self, read: Node, why: str) -> Found:
        """The statement as it is: it can be measured and penalised."""
        self._require_satisfiable(read)
        used = {s for c in conditions(read) for part in (c.expression, c.when) for s in part.free_symbols}
        given = tuple(symbol for symbol in self.given if symbol in used)
        residuals = StatementResiduals(read, self.outputs, given)
        constraint = Formula(
            residuals, size=len(self.outputs), conditions=residuals.count, equalities=residuals.equalities
        )
        probe = torch.full((len(self.outputs),), 0.5, dtype=torch.float64)
        constraint.residual(probe, torch.full((len(given),), 0.5, dtype=torch.float64))  # refuses unknown functions
        return Found(
            kind="unknown",
            why=why,
            cost="one evaluation of the statement",
            constraint=constraint,
            outputs=self.outputs,
            entries=tuple(Entry(symbol) for symbol in given),
            shape=(len(given),) if given else (),
        )


@final
class _Read:
    """Takes what is added and depends on the input alone out of conditions, as one number a sample.

    A solver of convex problems need not understand it then.

    Args:
        outputs: the symbols of the outputs.
    """

    def __init__(self, outputs: Sequence[sympy.Symbol]) -> None:
        self.outputs = outputs
        self.entries: dict[sympy.Symbol, sympy.Expr] = {}

    def relation(self, c: Condition) -> sympy.Basic:
        """The condition as a relation of outputs, inputs that multiply them, and numbers that were taken out."""
        number, rest = c.expression.as_independent(*self.outputs, as_Add=True)
        if number.free_symbols:
            sign = {"nonnegative": number.is_nonnegative, "nonpositive": number.is_nonpositive}
            known = {name: True for name, holds in sign.items() if holds}
            symbol = sympy.Symbol(f"number_{len(self.entries)}", real=True, **known)
            self.entries[symbol] = number
            number = symbol
        kind = sympy.Eq if c.equality else sympy.Le
        return kind(rest + number, 0, evaluate=False)
