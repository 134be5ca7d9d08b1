"""Derivatives through jumps: what a derivative of a function with jumps leaves out is refused, not lost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import sympy
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

from constraints.errors import SpecificationError
from constraints.symbolic.terms import Equation, Term

__all__ = ["require_no_jump_derivatives", "require_smooth_coefficients"]

STEPS = (sympy.Heaviside, sympy.sign, sympy.floor, sympy.ceiling, sympy.frac, sympy.Mod, sympy.DiracDelta)
ADVICE = (
    "State what is differentiated as a field of its own, as in [Eq(q, -k*T.diff(x)), Eq(q.diff(x), 0)] (the mixed "
    "form), or the weak form by integrals"
)


def require_no_jump_derivatives(e: sympy.Basic) -> None:
    """Refuse derivatives of what jumps, where they are written: of steps, and of `Piecewise` whose pieces do not meet.

    Raises:
        SpecificationError: names the derivative and the jump.

    Example:
        >>> x = sympy.Symbol("x")
        >>> T = sympy.Function("T")(x)
        >>> require_no_jump_derivatives(sympy.Derivative(sympy.sign(x) * T, x))
        Traceback (most recent call last):
        constraints.errors.SpecificationError: a derivative through the jump of sign(x) is lost, got ...
    """
    for delta in e.atoms(sympy.DiracDelta):
        raise SpecificationError(f"a derivative through a jump is lost, got {delta}, which is one. {ADVICE}")
    for derivative in e.atoms(sympy.Derivative):
        inner, variables = derivative.expr, set(derivative.variables)
        if isinstance(inner, AppliedUndef):
            continue
        fields = {f for f in inner.atoms(AppliedUndef) if f in variables or set(f.args) & variables}
        for part in inner.atoms(*STEPS, sympy.Piecewise):
            if (part.free_symbols & variables or part.atoms(AppliedUndef) & fields) and _jumps(part):
                raise SpecificationError(f"a derivative through the jump of {part} is lost, got {derivative}. {ADVICE}")


def require_smooth_coefficients(equation: Equation, coordinates: Sequence[sympy.Symbol]) -> None:
    """Refuse `Piecewise` coefficients that jump along a coordinate and multiply the highest derivative along it.

    Such a product is what remains of a derivative through the jump once sympy has carried it out: of `(k T')'` where
    `k` jumps it leaves `k T''`. A first derivative in an equation of several fields is let pass, as in `q = -k T'`.

    Args:
        equation: with a symbol for each derivative.
        coordinates: of its fields.

    Raises:
        SpecificationError: names the coefficient and the derivative.

    Example:
        >>> from constraints.symbolic.terms import read_equation
        >>> x = sympy.Symbol("x")
        >>> T = sympy.Function("T")(x)
        >>> k = sympy.Piecewise((1, x < 1), (10, True))
        >>> require_smooth_coefficients(read_equation((k * T.diff(x)).diff(x), [T]), [x])
        Traceback (most recent call last):
        constraints.errors.SpecificationError: Piecewise((1, x < 1), (10, True)) jumps along x and multiplies ...
    """
    pieces = [p for p in equation.expression.atoms(sympy.Piecewise) if _jumps(p)]
    if not pieces:
        return
    fields = {term.field for term in equation.terms.values()}
    for symbol, term in equation.terms.items():
        factor = equation.expression.diff(symbol)
        for piece in pieces:
            decided_by = set().union(*(condition.free_symbols for _, condition in piece.args))
            through = symbol in piece.free_symbols or piece in factor.atoms(sympy.Piecewise)
            for axis, x in enumerate(coordinates):
                moves = bool(decided_by & set(equation.terms)) or x in decided_by
                if not through or not moves or not term.orders[axis]:
                    continue
                first = sum(term.orders) == 1 and len(fields) > 1
                if not first and not _is_derivative(factor, term, axis, equation, x):
                    raise SpecificationError(
                        f"{_shown(piece, equation)} jumps along {x} and multiplies a derivative of order "
                        f"{sum(term.orders)} in {equation.shown}: a derivative through the jump is lost. {ADVICE}; "
                        f"where none was meant, divide by the coefficient, or write it with Heaviside"
                    )


def _is_derivative(factor: sympy.Expr, term: Term, axis: int, equation: Equation, x: sympy.Symbol) -> bool:
    """Whether a coefficient is the derivative of that of the next higher derivative, as in `k T'' + k' T'`."""
    orders = tuple(n + (i == axis) for i, n in enumerate(term.orders))
    for symbol, other in equation.terms.items():
        if (other.field, other.place, other.orders) == (term.field, term.place, orders):
            return bool(sympy.simplify(equation.expression.diff(symbol).diff(x) - factor) == 0)
    return False


def _jumps(part: sympy.Basic) -> bool:
    """Whether a step, or the pieces of a `Piecewise`, do not meet somewhere; True where this cannot be told."""
    if not isinstance(part, sympy.Piecewise):
        return True
    pieces = [piece for piece in part.args if not isinstance(piece[1], sympy.Eq)]  # a single point is no jump
    for (one, condition), (other, _) in pairwise(pieces):
        gap, edges = one - other, condition.atoms(Relational)
        if not edges or any(_apart(gap, one, edge.lhs - edge.rhs) for edge in edges if not isinstance(edge, sympy.Eq)):
            return True
    return False


def _apart(gap: sympy.Expr, value: sympy.Expr, edge: sympy.Expr) -> bool:
    """Whether two pieces differ somewhere on an edge, tried at places of it; True where none is found."""
    symbols = {f: sympy.Dummy(real=True) for f in edge.atoms(AppliedUndef) | gap.atoms(AppliedUndef)}
    symbols |= {s: sympy.Dummy(real=True) for s in (edge.free_symbols | gap.free_symbols)}
    edge, gap, value = (e.xreplace(symbols) for e in (edge, gap, value))
    variables = sorted(edge.free_symbols, key=str)
    others = sorted((edge.free_symbols | gap.free_symbols) - set(variables[:1]), key=str)
    found = False
    for trial in range(3):
        at = {s: sympy.Rational(2 + 3 * trial + 5 * i, 17) for i, s in enumerate(others)}
        try:
            roots = sympy.solve(edge.subs(at), variables[0]) if variables else []
        except NotImplementedError:
            return True
        for root in roots:
            point = {variables[0]: root, **at}
            if not root.is_real:
                continue
            found = True
            difference, size = (complex(sympy.N(e.subs(point))) for e in (gap, value))
            if not abs(difference) <= 1e-9 * (1.0 + abs(size)):
                return True
    return not found


def _shown(piece: sympy.Basic, equation: Equation) -> str:
    """A coefficient without the symbols of terms, where it has none."""
    return "a Piecewise of a field" if piece.free_symbols & set(equation.terms) else str(piece)
