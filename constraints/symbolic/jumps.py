"""Derivatives through jumps: what a derivative of a function with jumps leaves out is refused, not lost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import sympy
from sympy.core.function import AppliedUndef

from constraints.errors import SpecificationError
from constraints.symbolic.terms import Equation

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
    for piece in pieces:
        decided_by = set().union(*(condition.free_symbols for _, condition in piece.args))
        moves = [decided_by & set(equation.terms) or x in decided_by for x in coordinates]
        for symbol, term in equation.terms.items():
            for axis, x in enumerate(coordinates):
                same = [one.orders[axis] for one in equation.terms.values() if one.field == term.field]
                if not moves[axis] or not term.orders[axis] or term.orders[axis] < max(same):
                    continue
                first = sum(term.orders) == 1 and len(fields) > 1
                through = symbol in piece.free_symbols or piece in equation.expression.diff(symbol).atoms(
                    sympy.Piecewise
                )
                if through and not first:
                    raise SpecificationError(
                        f"{_shown(piece, equation)} jumps along {x} and multiplies {_name(symbol, equation)} "
                        f"in {equation.shown}: a derivative through the jump is lost. {ADVICE}; where none was meant, "
                        f"divide by the coefficient"
                    )


def _jumps(part: sympy.Basic) -> bool:
    """Whether a step, or pieces, do not meet somewhere; pieces of which this cannot be told do not."""
    if not isinstance(part, sympy.Piecewise):
        return True
    pieces = list(part.args)
    for (one, condition), (other, _) in pairwise(pieces):
        for relation in condition.atoms(sympy.core.relational.Relational) or {condition}:
            if not isinstance(relation, sympy.core.relational.Relational):
                return True
            gap = sympy.simplify(one - other)
            edge = relation.lhs - relation.rhs
            variables = sorted(edge.free_symbols | edge.atoms(AppliedUndef), key=str)
            if gap == 0:
                continue
            slope = edge.diff(variables[0]) if variables else sympy.Integer(0)
            if not slope.is_number or slope == 0:
                return True
            (at,) = sympy.solve(edge, variables[0])
            if sympy.simplify(gap.subs(variables[0], at)) != 0:
                return True
    return False


def _name(symbol: sympy.Symbol, equation: Equation) -> str:
    orders = equation.terms[symbol].orders
    return f"a derivative of order {sum(orders)}"


def _shown(piece: sympy.Basic, equation: Equation) -> str:
    """A coefficient without the symbols of terms, where it has none."""
    return "a Piecewise of a field" if piece.free_symbols & set(equation.terms) else str(piece)
