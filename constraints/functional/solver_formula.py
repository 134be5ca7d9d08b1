"""Sympy statements as formulas of z3: is there a point, and does one statement follow from others?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from typing import Any, final

import sympy
from sympy.functions.elementary.piecewise import ExprCondPair

from constraints.errors import MissingExtraError, SpecificationError

__all__ = ["SolverFormulas", "solver_installed"]

TIMEOUT = 5000  # milliseconds for one question


def solver_installed() -> bool:
    """Whether z3, of the extra `logic`, can be imported.

    Example:
        >>> solver_installed() in (True, False)
        True
    """
    return find_spec("z3") is not None


@final
class SolverFormulas:
    """Statements of sympy over real symbols, each translated once, and questions about them.

    Polynomial arithmetic, `Abs`, `Max`, `Min`, `Piecewise` and all logic are decided; other functions are refused. Each
    comparison is loosened by `slack` times its largest number: what only rounding contradicts is no contradiction.

    Args:
        statements: by name.
        slack: by how much, relative to the largest coefficient or constant of each comparison.
        timeout: milliseconds for one question.

    Raises:
        MissingExtraError: z3 is not installed.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> formulas = SolverFormulas({"disc": x**2 + y**2 <= 1, "far": x >= 2, "any": sympy.Or(x <= 0, y <= 5)})
        >>> formulas.satisfiable(["disc", "far"]), formulas.satisfiable(["disc", "any"])
        (False, True)
        >>> formulas.implied("any", ["disc"])
        True
    """

    def __init__(self, statements: Mapping[str, sympy.Basic], *, slack: float = 1e-9, timeout: int = TIMEOUT) -> None:
        try:
            self._z3: Any = import_module("z3")
        except ImportError as error:
            raise MissingExtraError(
                'mixed logic and arithmetic needs z3, which the extra "logic" installs: pip install "dkmodels[logic]"'
            ) from error
        self._symbols: dict[str, Any] = {}
        self._timeout = timeout
        self._statements, self._slack = dict(statements), slack
        self._loose: dict[str, Any] = {}
        for name, statement in statements.items():
            with suppress(SpecificationError):
                self._loose[name] = self._boolean(statement, slack)

    @property
    def known(self) -> list[str]:
        """Names of the statements that could be translated."""
        return list(self._loose)

    def satisfiable(self, names: Sequence[str]) -> bool | None:
        """Whether some point satisfies these statements together; None where the solver does not know in time."""
        return self._ask([self._loose[name] for name in names])

    def implied(self, name: str, others: Sequence[str]) -> bool | None:
        """Whether a statement holds wherever others do, up to 100 times the slack; None where it is not known."""
        wider = self._boolean(self._statements[name], 100.0 * self._slack)
        found = self._ask([self._z3.Not(wider), *(self._loose[other] for other in others)])
        return None if found is None else not found

    def _ask(self, formulas: Sequence[Any]) -> bool | None:
        solver = self._z3.Solver()
        solver.set("timeout", self._timeout)
        solver.add(*formulas)
        answer = solver.check()
        return None if answer == self._z3.unknown else bool(answer == self._z3.sat)

    def _boolean(self, s: sympy.Basic, slack: float) -> Any:
        z3 = self._z3
        if s in (sympy.true, sympy.false):
            return z3.BoolVal(bool(s))
        if isinstance(s, sympy.core.relational.Relational):
            return self._relation(s, slack)
        parts = [self._boolean(part, slack) for part in s.args]
        if isinstance(s, sympy.And):
            return z3.And(*parts)
        if isinstance(s, sympy.Or):
            return z3.Or(*parts)
        if isinstance(s, sympy.Not):
            return z3.Not(self._boolean(s.args[0], -slack))
        raise SpecificationError(f"a statement needs to be made of relations, And, Or and Not, got {s}")

    def _relation(self, s: sympy.core.relational.Relational, slack: float) -> Any:
        z3 = self._z3
        gap, room = self._number(s.lhs) - self._number(s.rhs), _exact(slack * _size(s.lhs - s.rhs))
        if isinstance(s, sympy.Eq):
            return z3.And(gap <= room, gap >= -room) if slack >= 0 else gap == 0
        if isinstance(s, sympy.Ne):
            return gap != 0
        if isinstance(s, sympy.Le | sympy.Lt):
            return gap <= room if isinstance(s, sympy.Le) else gap < room
        return gap >= -room if isinstance(s, sympy.Ge) else gap > -room

    def _number(self, e: sympy.Basic) -> Any:
        z3 = self._z3
        if isinstance(e, sympy.Symbol):
            return self._symbols.setdefault(e.name, z3.Real(e.name))
        if e.is_number:
            return z3.RealVal(_exact(e))
        if isinstance(e, sympy.Piecewise):
            return self._piecewise(e)
        if isinstance(e, sympy.Pow) and e.exp.is_Integer and e.exp > 0:
            return self._number(e.base) ** int(e.exp)
        parts = [self._number(part) for part in e.args]
        if isinstance(e, sympy.Add):
            return z3.Sum(*parts)
        if isinstance(e, sympy.Mul):
            return z3.Product(*parts)
        if isinstance(e, sympy.Abs):
            return z3.If(parts[0] >= 0, parts[0], -parts[0])
        if isinstance(e, sympy.Max | sympy.Min):
            best = parts[0]
            for part in parts[1:]:
                best = z3.If(part >= best if isinstance(e, sympy.Max) else part <= best, part, best)
            return best
        raise SpecificationError(f"a solver of polynomial arithmetic cannot take {e}")

    def _piecewise(self, e: sympy.Piecewise) -> Any:
        cases = [(p.expr, p.cond) for p in e.args if isinstance(p, ExprCondPair)]
        if cases[-1][1] is not sympy.true:
            raise SpecificationError(f"a solver needs a last case for all else, got {e}")
        value = self._number(cases[-1][0])
        for expression, condition in reversed(cases[:-1]):
            value = self._z3.If(self._boolean(condition, 0.0), self._number(expression), value)
        return value


def _size(gap: sympy.Expr) -> float:
    """The largest number in a comparison."""
    found = [abs(term.as_coeff_Mul()[0]) for term in sympy.Add.make_args(sympy.expand(gap))]
    return max((float(c) for c in found if c.is_number and c.is_finite), default=1.0) or 1.0


def _exact(number: sympy.Basic | float) -> Any:
    """A number as a fraction, decimal ones as they are written."""
    if isinstance(number, sympy.Rational):
        found = Fraction(int(number.p), int(number.q))
    else:
        try:
            found = Fraction(repr(float(number)))
        except (TypeError, ValueError, OverflowError) as error:
            raise SpecificationError(f"a solver needs real and finite numbers, got {number}") from error
    return import_module("z3").Q(found.numerator, found.denominator)
