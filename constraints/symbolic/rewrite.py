"""Conditions in simpler words: invertible functions undone, kinks and cases taken apart, polynomials solved."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import final

import sympy
from sympy.functions.elementary.piecewise import ExprCondPair

from constraints.errors import SpecificationError
from constraints.symbolic.forms import affine_form, degree
from constraints.symbolic.statement import FALSE, TRUE, Condition, Node, Reading, every, some, transform

__all__ = ["Rewriter"]

KINKS = (sympy.Abs, sympy.Max, sympy.Min)
CASES = 3  # kinks and cases taken apart in one condition; more stay as they are
CORNERS = 5  # kinks taken apart in an equality that is linear but for them: each piece is a polytope
HIGHEST = 700.0  # whose exponential fits into 64 bits
ROOTS = 12  # degree up to which a polynomial of one output is solved

Inverse = tuple[Callable[[sympy.Expr], sympy.Expr], sympy.Expr, sympy.Expr]
"""An inverse, and the open range of the function."""

INVERSES: dict[type[sympy.Basic], Inverse] = {
    sympy.exp: (sympy.log, sympy.Integer(0), sympy.oo),
    sympy.tanh: (sympy.atanh, sympy.Integer(-1), sympy.Integer(1)),
    sympy.atan: (sympy.tan, -sympy.pi / 2, sympy.pi / 2),
    sympy.sinh: (sympy.asinh, -sympy.oo, sympy.oo),
    sympy.asinh: (sympy.sinh, -sympy.oo, sympy.oo),
    sympy.erf: (sympy.erfinv, sympy.Integer(-1), sympy.Integer(1)),
}
"""Strictly rising functions of all real numbers."""


@final
@dataclass(frozen=True, slots=True)
class Rewriter:
    """Rewrites the conditions of a statement into simpler ones that mean the same.

    Attributes:
        reading: how the statement was read, for the conditions inside a `Piecewise`.
    """

    reading: Reading

    def rewrite(self, node: Node) -> Node:
        """Every condition rewritten until nothing changes."""
        return transform(node, self._condition)

    def _condition(self, c: Condition) -> Node:
        e, ys = c.expression, c.expression.free_symbols & self.reading.outputs
        form = affine_form(e, ys) if ys else None
        if form is not None and not form.coefficients and form.constant.is_number:  # all that varies cancels
            held = form.constant == 0 if c.equality else form.constant <= 0
            never = FALSE if c.when is sympy.true else replace(c, expression=sympy.Integer(1), equality=False)
            return TRUE if held else never
        if not ys or form is not None:
            return c
        simpler = self._simpler(e, ys, equality=c.equality)
        if simpler is None:
            return c
        return self.rewrite(transform(simpler, lambda part: replace(part, when=sympy.And(part.when, c.when))))

    def _simpler(self, e: sympy.Expr, ys: set[sympy.Symbol], *, equality: bool) -> Node | None:
        if equality and isinstance(e, sympy.Mul):
            factors = [f for f in e.args if f.free_symbols & ys]
            rest = sympy.Mul(*(f for f in e.args if not f.free_symbols & ys))
            whole = not any(has_domain(f) for f in factors)  # 0 times what is not defined is not 0
            if whole and rest.is_number and (len(factors) > 1 or rest != 1):
                return some([Condition(f, equality=True) for f in factors])
        if e.is_positive:
            return FALSE
        if not equality and e.is_nonnegative:
            return every([Condition(term, equality=True) for term in sympy.Add.make_args(e)])
        if not equality and is_cross(e, ys):
            return None
        constant, rest = e.as_independent(*ys, as_Add=True)
        factor, inner = rest.as_coeff_Mul()
        if constant.is_number and not isinstance(inner, sympy.Add):
            found = _undo(inner, -constant / factor, rising=bool(factor > 0), equality=equality)
            if found is not None:
                return found
        if not equality:
            found = _at_top(e, ys)
            if found is not None:
                return found
        found = self._cases(e, ys, equality=equality)
        if found is not None:
            return found
        return _intervals(e, ys, equality=equality)

    def _cases(self, e: sympy.Expr, ys: set[sympy.Symbol], *, equality: bool) -> Node | None:
        """The first kink or `Piecewise` of outputs taken apart."""
        kinks = [a for a in e.atoms(*KINKS, sympy.Piecewise) if a.free_symbols & ys]
        most = CORNERS if equality and _is_piecewise_linear(e, ys) else CASES
        if not kinks or len(kinks) > most:
            return None
        # Smallest first, so that what is inside a kink is plain.
        kink = min(kinks, key=lambda a: (len(a.atoms(*KINKS, sympy.Piecewise)), sympy.default_sort_key(a)))

        def put(value: sympy.Expr) -> Condition:
            return Condition(e.xreplace({kink: value}), equality)

        if isinstance(kink, sympy.Abs):
            inner = kink.args[0]
            return some([every([Condition(-inner), put(inner)]), every([Condition(inner), put(-inner)])])
        if isinstance(kink, (sympy.Max, sympy.Min)):
            sign = 1 if isinstance(kink, sympy.Max) else -1
            return some(
                [
                    every([*(Condition(sign * (b - a)) for b in kink.args if b != a), put(a)])
                    for a in sorted(kink.args, key=sympy.default_sort_key)
                ]
            )
        cases = [(p.expr, p.cond) for p in kink.args if isinstance(p, ExprCondPair)]
        if not any(condition.free_symbols & ys for _, condition in cases):
            return self._cases_of_input(cases, put)
        parts: list[Node] = []
        before: list[sympy.Basic] = []
        for value, condition in cases:
            holds = sympy.And(condition, *(sympy.Not(other) for other in before))
            parts.append(every([self.reading.read(holds), put(value)]))
            before.append(condition)
        return some(parts)

    def _cases_of_input(
        self, cases: list[tuple[sympy.Expr, sympy.Basic]], put: Callable[[sympy.Expr], Condition]
    ) -> Node:
        """Which case it is, the input says: each holds where its condition does."""
        parts: list[Node] = []
        before: list[sympy.Basic] = []
        for value, condition in cases:
            when = sympy.And(condition, *(sympy.Not(other) for other in before))
            parts.append(replace(put(value), when=when))
            before.append(condition)
        return every(parts)


def _is_piecewise_linear(e: sympy.Expr, ys: set[sympy.Symbol]) -> bool:
    """Whether it is linear in the outputs but for `Abs`, `Max` and `Min` of what is."""
    kinks = [kink for kink in e.atoms(*KINKS) if kink.free_symbols & ys]
    flat = e.replace(lambda part: isinstance(part, KINKS) and bool(part.free_symbols & ys), lambda part: sympy.Dummy())
    parts = [part for kink in kinks for part in kink.args]
    return degree(flat, flat.free_symbols) <= 1 and all(degree(part, ys) <= 1 for part in parts)


def has_domain(e: sympy.Basic) -> bool:
    """Whether an expression is defined for some real numbers only."""
    bounded = (sympy.log, sympy.asin, sympy.acos, sympy.acosh, sympy.atanh)
    return bool(e.atoms(*bounded)) or any(not p.exp.is_Integer or p.exp < 0 for p in e.atoms(sympy.Pow))


def is_cross(e: sympy.Expr, ys: set[sympy.Symbol]) -> bool:
    """Whether it is `sum_i k |y_i - m_i| - r`, `k > 0`, of two outputs at least: a cross-polytope, which has a set."""
    if not e.atoms(sympy.Abs):
        return False
    _, rest = e.as_independent(*ys, as_Add=True)
    terms = [term.as_coeff_Mul() for term in sympy.Add.make_args(rest)]
    inner = [part.args[0] for _, part in terms if isinstance(part, sympy.Abs)]
    one = {len(part.free_symbols & ys) for part in inner} == {1} and len(inner) == len(terms) == len(ys) > 1
    return one and len({k for k, _ in terms}) == 1 and bool(terms[0][0] > 0) and _shifted(inner, ys)


def _shifted(inner: list[sympy.Expr], ys: set[sympy.Symbol]) -> bool:
    """Whether each is an output less a number, and no output is there twice."""
    forms = [affine_form(part, ys) for part in inner]
    plain = all(
        f is not None and f.constant.is_number and all(abs(k) == 1 for k in f.coefficients.values()) for f in forms
    )
    return plain and len({s for f in forms if f is not None for s in f.coefficients}) == len(inner)


def _undo(f: sympy.Expr, b: sympy.Expr, *, rising: bool, equality: bool) -> Node | None:
    """`f <= b` (`>=` where not `rising`, `=` for an equality) in terms of what is inside `f`; `b` is a number."""
    if not b.is_extended_real:
        raise SpecificationError(f"`declare` needs real numbers, got {b} against {f}")
    if not isinstance(f, sympy.Abs | sympy.Pow) and abs(float(b)) > HIGHEST:
        return None  # its inverse may be too large to write
    known = INVERSES.get(f.func)
    if known is not None:
        inverse, low, high = known
        u = f.args[0]
        if low < b < high:
            return _compare(u, inverse(b), rising=rising, equality=equality)
        return FALSE if equality or (b <= low) == rising else TRUE
    if isinstance(f, sympy.log) and len(f.args) == 1:
        u = f.args[0]
        bound = _compare(u, sympy.exp(b), rising=rising, equality=equality)
        return every([bound, *_domain(u)]) if rising and not equality else bound
    if isinstance(f, sympy.Abs):
        return _two_sided(f.args[0], b, rising=rising, equality=equality)
    if isinstance(f, sympy.Pow) and f.exp.is_Rational:
        return _undo_power(f.base, f.exp, b, rising=rising, equality=equality)
    return None


def _undo_power(u: sympy.Expr, p: sympy.Rational, b: sympy.Expr, *, rising: bool, equality: bool) -> Node | None:
    if p.is_Integer and p > 0 and p % 2 == 1:
        return _compare(u, sympy.real_root(b, p), rising=rising, equality=equality)
    if p.is_Integer and p > 0:
        # A sum of squares, or a square of something curved, is no easier without its square.
        if degree(u, u.free_symbols) > 1 and not equality:
            return None
        if b < 0:
            return FALSE if equality or rising else TRUE
        return _two_sided(u, sympy.real_root(b, p), rising=rising, equality=equality)
    if p > 0:  # roots: of what is not negative, to what is not negative
        if b < 0:
            return FALSE if equality or rising else every(_domain(u))
        if b > 0 and abs(math.log(float(b)) / float(p)) > HIGHEST:
            return None
        bound = _compare(u, b ** (1 / p), rising=rising, equality=equality)
        return every([bound, *_domain(u)]) if rising and not equality else bound
    return None


def _compare(u: sympy.Expr, b: sympy.Expr, *, rising: bool, equality: bool) -> Condition:
    gap = u - b if rising or equality else b - u
    return Condition(gap, equality)


def _two_sided(u: sympy.Expr, b: sympy.Expr, *, rising: bool, equality: bool) -> Node:
    """`|u| <= b` and its kin."""
    if b < 0:
        return FALSE if equality or rising else TRUE
    if equality:
        return some([Condition(u - b, equality=True), Condition(u + b, equality=True)])
    return every([Condition(u - b), Condition(-u - b)]) if rising else some([Condition(b - u), Condition(u + b)])


def _domain(u: sympy.Expr) -> list[Condition]:
    return [] if u.is_nonnegative else [Condition(-u)]


def _at_top(e: sympy.Expr, ys: set[sympy.Symbol]) -> Node | None:
    """`k |u| + rest <= 0`: both signs where `k > 0`, one of them where `k < 0`; `Max` and `Min` likewise."""
    terms: tuple[sympy.Expr, ...] = sympy.Add.make_args(e)
    split: list[tuple[sympy.Expr, sympy.Expr, sympy.Expr]] = [(term, *term.as_coeff_Mul()) for term in terms]
    kinks = [part for part in split if isinstance(part[2], KINKS) and part[2].free_symbols & ys]
    if not kinks or len(kinks) > CASES:
        return None
    term, k, kink = kinks[0]
    rest = sympy.Add(*(other for other in terms if other is not term))
    values = [kink.args[0], -kink.args[0]] if isinstance(kink, sympy.Abs) else list(kink.args)
    all_of = (k > 0) == (not isinstance(kink, sympy.Min))
    parts = [Condition(k * value + rest) for value in values]
    return every(parts) if all_of else some(parts)


def _intervals(e: sympy.Expr, ys: set[sympy.Symbol], *, equality: bool) -> Node | None:
    """A polynomial of one output with fixed coefficients: where it is 0, or not positive."""
    if len(ys) != 1 or len(e.free_symbols) != 1 or degree(e, ys) > ROOTS:
        return None
    (y,) = ys
    polynomial = sympy.Poly(sympy.expand(e), y)
    if not all(c.is_Rational for c in polynomial.all_coeffs()):
        return None
    roots = sorted(set(polynomial.real_roots(multiple=True)), key=float)
    points = [sympy.Rational(repr(float(root.evalf(30)))) for root in roots]
    if equality:
        return some([Condition(y - point, equality=True) for point in points])
    if not points:
        return TRUE if polynomial.eval(0) <= 0 else FALSE
    inner = [(a + b) / 2 for a, b in pairwise(points)]
    probes = [points[0] - 1, *inner, points[-1] + 1]
    low = [polynomial.eval(probe) < 0 for probe in probes]
    parts: list[Node] = []
    for i, point in enumerate(points):
        if low[i]:
            edges = [Condition(y - point)] + ([Condition(points[i - 1] - y)] if i else [])
            parts.append(every(edges))
        elif not low[i + 1]:
            parts.append(Condition(y - point, equality=True))
    if low[-1]:
        parts.append(Condition(points[-1] - y))
    return some(parts)
