"""Convex conditions in sympy, brought into a form that a solver and Newton's method can both work with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import sympy
import torch
from sympy.polys.polyerrors import PolynomialError

from constraints.errors import SpecificationError
from constraints.functional.expressions import (
    GeometricMean,
    LogSumExp,
    NegativeEntropy,
    Norm,
    QuadraticOverLinear,
    RelativeEntropy,
    SumSquares,
    TorchTarget,
    evaluate,
)
from constraints.functional.quadratic_terms import complete_squares, squares_of_form

__all__ = ["Coefficients", "Normaliser", "size_of_terms"]

HALF = sympy.Rational(1, 2)


def size_of_terms(row: sympy.Basic) -> sympy.Basic:
    """The sum of the sizes of what a row adds up, within kinks too: what its rounding is relative to.

    Example:
        >>> x = sympy.Symbol("x", real=True)
        >>> size_of_terms(sympy.Abs(x - 3) + sympy.exp(x) - 2)
        Abs(x) + Abs(exp(x)) + 5
    """
    if row.is_number:
        return abs(row)
    if isinstance(row, sympy.Add):
        return sympy.Add(*(size_of_terms(part) for part in row.args))
    if isinstance(row, sympy.Mul):
        return sympy.Mul(*(size_of_terms(part) for part in row.args))
    if isinstance(row, sympy.Abs | sympy.Max | sympy.Min):
        return sympy.Add(*(size_of_terms(part) for part in row.args))
    return sympy.Abs(row, evaluate=False)


@final
class Coefficients:
    """The parts of expressions that depend on parameters alone: each becomes one number a sample, of known sign.

    Whatever is done to parameters among themselves (`p**2`, `exp(p) / q`) is then no concern of the solver.
    """

    def __init__(self) -> None:
        self.symbols: dict[sympy.Basic, sympy.Dummy] = {}

    def of(self, expression: sympy.Basic) -> sympy.Basic:
        """A number as it is, anything else as a symbol of its own, times its number."""
        if expression.is_number:
            return expression
        factor, rest = expression.as_coeff_Mul()
        if rest not in self.symbols:
            one = torch.ones(())
            evaluate(rest, TorchTarget(one), dict.fromkeys(rest.free_symbols, one))  # refuses what is not known
            sign = {"nonnegative": rest.is_nonnegative, "nonpositive": rest.is_nonpositive}
            known = {name: True for name, holds in sign.items() if holds}
            self.symbols[rest] = sympy.Dummy(str(rest), real=True, **known)
        return factor * self.symbols[rest]


@final
@dataclass
class Normaliser:
    """Rewrites expressions so that every function in them is one whose curvature is known.

    Sums of squares, quadratic forms (by the eigenvalues of their Hessian), norms, squares over linear, log-sum-exp,
    entropies and geometric means are recognised. With `lift`, each `Abs`, `Max`, `Min` and norm becomes a variable of
    its own, bounded by `rows`: these are smooth, and mean the same where the original is convex.

    Args:
        variables: the outputs; lifted variables are added.
        inequalities: rows `<= 0` that also hold: what tells that the base of a reciprocal is positive.
        coefficients: what depends on parameters alone.
        lift: whether to lift.
    """

    variables: list[sympy.Symbol]
    inequalities: Sequence[sympy.Basic]
    coefficients: Coefficients
    lift: bool = False
    rows: list[sympy.Basic] = field(default_factory=list)
    norms: list[tuple[sympy.Symbol, tuple[sympy.Basic, ...]]] = field(default_factory=list)
    lifted: dict[sympy.Basic, sympy.Symbol] = field(default_factory=dict)
    domains: list[sympy.Basic] = field(default_factory=list)

    def normalise(self, expression: sympy.Basic) -> sympy.Basic:
        """The same function of the outputs, in known functions.

        Raises:
            SpecificationError: what is not convex or concave, or not known.
        """
        if not expression.free_symbols & set(self.variables):
            return self.coefficients.of(expression)
        if isinstance(expression, sympy.Symbol):
            return expression
        if isinstance(expression, sympy.Add | sympy.Mul):
            return self._sum(sympy.Add.make_args(expression))
        if isinstance(expression, sympy.Pow):
            return self._power(expression)
        if isinstance(expression, sympy.exp):
            return sympy.exp(self.normalise(expression.args[0]), evaluate=False)
        if isinstance(expression, sympy.log):
            return self._logarithm(expression.args[0])
        if isinstance(expression, sympy.Abs | sympy.Max | sympy.Min):
            kind = type(expression)
            return self._bounded(kind, tuple(self.normalise(part) for part in expression.args))
        raise SpecificationError(
            f"a function needs to be one of Abs, Max, Min, exp, log, sqrt and powers, got {expression.func.__name__}"
        )

    def _degree(self, expression: sympy.Basic) -> float:
        """Total degree in the variables; infinite where it is no polynomial."""
        try:
            return float(sympy.Poly(expression, *self.variables).total_degree())
        except PolynomialError:
            return math.inf

    def _sum(self, terms: Sequence[sympy.Basic]) -> sympy.Basic:
        """Terms of degree two together, the others one by one."""
        rest: list[sympy.Basic] = []
        fixed: list[sympy.Basic] = []
        squares: list[tuple[sympy.Basic, sympy.Basic]] = []
        quadratic: list[sympy.Basic] = []
        for term in terms:
            if not term.free_symbols & set(self.variables):
                fixed.append(term)
                continue
            outer, inner = term.as_independent(*self.variables, as_Add=False)
            if isinstance(inner, sympy.Pow) and inner.exp == 2 and self._degree(inner.base) == 1:
                if outer.is_nonnegative:
                    squares.append((outer, inner.base))
                elif outer.is_number:
                    quadratic.append(term)
                elif outer.is_nonpositive:
                    rest.append(self.coefficients.of(outer) * SumSquares(self._affine(inner.base)))
                else:
                    raise SpecificationError(
                        f"{outer} multiplies a square, so that its sign decides: declare symbols positive or negative"
                    )
            elif self._degree(term) == 2 and self._numeric(term):
                quadratic.append(term)
            else:
                rest.append(self._product(outer, inner))
        if fixed:
            rest.append(self.coefficients.of(sympy.Add(*fixed)))
        if quadratic:
            squared = [(outer, base) for outer, base in squares if self._numeric(outer * base**2)]
            squares = [pair for pair in squares if pair not in squared]
            rest.append(self._quadratic(sympy.Add(*quadratic, *(outer * base**2 for outer, base in squared))))
        roots = []
        for outer, base in squares:
            if outer.is_number or base.free_symbols - set(self.variables):
                roots.append(self._affine(sympy.sqrt(outer) * base))
            else:
                rest.append(self.coefficients.of(outer) * SumSquares(self._affine(base)))
        if roots:
            rest.append(SumSquares(*roots))
        return sympy.Add(*rest)

    def _affine(self, expression: sympy.Basic) -> sympy.Basic:
        """`a y + b` with one coefficient for each variable."""
        poly = sympy.Poly(expression, *self.variables)
        parts = [self.coefficients.of(poly.coeff_monomial(v)) * v for v in self.variables]
        return sympy.Add(*parts, self.coefficients.of(poly.coeff_monomial(1)))

    def _numeric(self, term: sympy.Basic) -> bool:
        """Whether the coefficients of the second degree are numbers."""
        poly = sympy.Poly(term, *self.variables)
        return all(c.is_number for powers, c in poly.terms() if sum(powers) == 2)

    def _quadratic(self, expression: sympy.Basic) -> sympy.Basic:
        """A quadratic form by the eigenvalues of its Hessian, plus what is affine."""
        poly = sympy.Poly(expression, *self.variables)
        if any(not c.is_number for powers, c in poly.terms() if sum(powers) == 2):
            raise SpecificationError(
                f"a quadratic with products of outputs needs numbers as their coefficients, got {expression}"
            )
        squares = squares_of_form(poly.as_expr(), self.variables)
        affine = sympy.Add(*(poly.coeff_monomial(v) * v for v in self.variables), poly.coeff_monomial(1))
        return squares + self._affine(affine)

    def _product(self, outer: sympy.Basic, inner: sympy.Basic) -> sympy.Basic:
        """A coefficient times one function, or one of the products that are convex."""
        if isinstance(inner, sympy.Add):
            if outer == 1:
                return self._sum(inner.args)
            return self._sum([outer * term for term in inner.args])
        factors = sympy.Mul.make_args(inner)
        factor = self.coefficients.of(outer)
        if len(factors) == 1:
            return factor * self.normalise(inner)
        logs = [f for f in factors if isinstance(f, sympy.log)]
        below = [f for f in factors if isinstance(f, sympy.Pow) and f.exp == -1]
        roots = [f.base for f in factors if isinstance(f, sympy.Pow) and f.exp == HALF]
        if len(logs) == 1 and len(factors) == 2:
            other = sympy.Mul(*(f for f in factors if f is not logs[0]))
            ratio = sympy.simplify(other / logs[0].args[0])
            if ratio == 1:
                self._defined(self._affine(other))
                return factor * NegativeEntropy(self._affine(other))
            if self._degree(other) == 1 and self._degree(ratio) == 1:
                self._require_positive(other if self._positive(other) else ratio, inner)
                self._defined(self._affine(other))
                self._defined(self._affine(ratio))
                return factor * RelativeEntropy(self._affine(other), self._affine(ratio))
        if len(below) == 1 and self._degree(below[0].base) == 1:
            top = self.normalise(sympy.Mul(*(f for f in factors if f is not below[0])))
            if isinstance(top, SumSquares):
                self._require_positive(below[0].base, inner)
                return factor * QuadraticOverLinear(*top.args, self._affine(below[0].base))
        bases = {f.base if isinstance(f, sympy.Pow) else f.args[0] for f in factors if f.args}
        if len(factors) == 2 and len(bases) == 1 and any(isinstance(f, sympy.Abs) for f in factors):
            power = sympy.Add(*(f.exp if isinstance(f, sympy.Pow) else 1 for f in factors))  # x**2 Abs(x) is Abs(x)**3
            return factor * sympy.Pow(self._bounded(sympy.Abs, (self._affine(bases.pop()),)), power, evaluate=False)
        if len(roots) == 2 and len(factors) == 2 and all(self._degree(root) == 1 for root in roots):
            return factor * GeometricMean(*(self._affine(root) for root in roots))
        if self._degree(inner) == 2:
            if outer.is_number:
                return self._quadratic(outer * inner)
            return factor * self._quadratic(inner)
        raise SpecificationError(f"a product needs at most one factor that depends on outputs, got {inner}")

    def _power(self, expression: sympy.Basic) -> sympy.Basic:
        base, exponent = expression.args
        if base.is_number and base.is_positive:
            return sympy.exp(self.normalise(exponent * sympy.log(base)), evaluate=False)
        if not exponent.is_number or not exponent.is_real:
            raise SpecificationError(f"a power needs a real number as its exponent, got {expression}")
        if exponent.is_integer and not (exponent.is_even and exponent.is_positive):
            self._require_positive(base, expression)
        if exponent == HALF and isinstance(base, sympy.Mul):
            factors = [f for f in base.args if f.free_symbols & set(self.variables)]
            if len(factors) == 2 and all(self._degree(f) == 1 for f in factors):
                first, second = factors[0], base / factors[0]
                self._require_positive(first, expression)
                self._require_positive(second, expression)
                self._defined(self._affine(first))
                self._defined(self._affine(second))
                return GeometricMean(self._affine(first), self._affine(second))
        if exponent == 2 and self._degree(base) == 1:
            return SumSquares(self._affine(base))
        inner = self.normalise(base)
        if exponent.is_Rational and exponent.q == 2 and exponent.is_positive:
            parts = complete_squares(inner, self.variables)
            if parts:
                norm = self._bounded(Norm, parts)
                return norm if exponent == HALF else sympy.Pow(norm, 2 * exponent, evaluate=False)
        if not (exponent.is_even and exponent.is_positive):
            self._defined(inner)
        return sympy.Pow(inner, exponent, evaluate=False)

    def _logarithm(self, argument: sympy.Basic) -> sympy.Basic:
        terms = sympy.Add.make_args(argument)
        pairs = [term.as_independent(*self.variables, as_Add=False) for term in terms]
        exponentials = all(inner == 1 or isinstance(inner, sympy.exp) for _, inner in pairs)
        if len(terms) > 1 and exponentials and all(outer.is_positive for outer, _ in pairs):
            powers = [(inner.args[0] if inner != 1 else 0) + sympy.log(outer) for outer, inner in pairs]
            return LogSumExp(*(self.normalise(power) for power in powers))
        inner = self.normalise(argument)
        self._defined(inner)
        return sympy.log(inner, evaluate=False)

    def _bounded(self, kind: type[sympy.Basic], parts: tuple[sympy.Basic, ...]) -> sympy.Basic:
        """A function with a kink, or the variable that stands for it."""
        function = kind(*parts, evaluate=False)
        smooth = kind is Norm and parts[-1].is_positive  # sqrt(|u|^2 + c) has no kink
        if not self.lift or smooth or (kind in (sympy.Abs, Norm) and any(self._degree(p) > 1 for p in parts)):
            return function
        if function not in self.lifted:
            bound = sympy.Dummy(kind.__name__, real=True)
            self.lifted[function] = bound
            self.variables.append(bound)
            if kind is Norm:
                self.norms.append((bound, parts))
            else:
                ends = (*parts, *(-part for part in parts)) if kind is sympy.Abs else parts
                sign = -1 if kind is sympy.Min else 1
                self.rows.extend(sign * (end - bound) for end in ends)
        return self.lifted[function]

    def _defined(self, base: sympy.Basic) -> None:
        """Where a function ends, the solver and Newton's method need a row that says so."""
        if self._degree(base) == 1 and base not in self.domains:
            self.domains.append(base)
        if self.lift and self._degree(base) == 1 and -base not in self.rows:
            self.rows.append(-base)

    def _require_positive(self, base: sympy.Basic, whole: sympy.Basic) -> None:
        if not self._positive(base):
            raise SpecificationError(
                f"{whole} is convex or concave only where {base} is positive: declare the symbol positive, or add the "
                f"condition {base} >= 0"
            )

    def _positive(self, base: sympy.Basic) -> bool:
        """`row <= 0` and `row + base >= 0` prove that `base >= 0`."""
        return bool(base.is_nonnegative or any((row + base).is_nonnegative for row in self.inequalities))
