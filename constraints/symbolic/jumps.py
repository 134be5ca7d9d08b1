"""Derivatives through jumps: what a derivative of a function with jumps leaves out is refused, not lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, product

import sympy
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

from constraints.errors import SpecificationError, UnsupportedError
from constraints.symbolic.discontinuity import cancels_poles, has_jump, kinks
from constraints.symbolic.terms import Equation, Term

__all__ = [
    "local_parts",
    "require_no_jump_derivatives",
    "require_smooth_coefficients",
    "require_smooth_value",
    "with_limits",
    "without_far_steps",
    "without_tested",
]

Ranges = Mapping[sympy.Symbol, tuple[float, float]]
"""Of each coordinate the lowest and the highest number in the domain."""

AT_ZERO = (sympy.Heaviside, sympy.sign, sympy.DiracDelta)  # of their argument
ROUNDING = (sympy.floor, sympy.ceiling, sympy.frac)
STEPS = (*AT_ZERO, *ROUNDING, sympy.Mod)
ADVICE = (
    "State what is differentiated as a field of its own, as in [Eq(q, -k*T.diff(x)), Eq(q.diff(x), 0)] (the mixed "
    "form), or the weak form by integrals"
)


def without_far_steps(e: sympy.Basic, ranges: Ranges) -> sympy.Basic:
    """With steps whose jump is outside the ranges of the coordinates as the constants that they are inside.

    Example:
        >>> x = sympy.Symbol("x")
        >>> without_far_steps(x * sympy.Heaviside(x + 1) + sympy.DiracDelta(x - 2), {x: (0.0, 1.0)})
        x
    """
    far = [step for step in e.atoms(*AT_ZERO) if _beyond(step.args[0], ranges)]
    middle = {s: sympy.Float((low + high) / 2) for s, (low, high) in ranges.items()}
    kept = {step: sympy.Integer(round(step.subs(middle))) for step in far}
    for step in e.atoms(*ROUNDING):
        (inner,) = step.args
        ends = _ends(inner, ranges)
        if ends is not None and math.ceil(ends[1]) - math.floor(ends[0]) <= 1:  # no whole number is inside
            below = sympy.Integer(math.floor(ends[0]))
            constant = below + 1 if ends[1] > below else below
            kept[step] = {sympy.floor: below, sympy.ceiling: constant, sympy.frac: inner - below}[step.func]
    return e.xreplace(kept) if kept else e


def with_limits(e: sympy.Basic, ranges: Ranges) -> Ranges:
    """The ranges of the coordinates, and of the variables of integrals between numbers.

    Example:
        >>> s = sympy.Symbol("s")
        >>> with_limits(sympy.Integral(s, (s, 0, 2)), {})
        {s: (0.0, 2.0)}
    """
    limits = [limit for integral in e.atoms(sympy.Integral) for limit in integral.limits if len(limit) == 3]
    known = {v: (float(low), float(high)) for v, low, high in limits if low.is_number and high.is_number}
    return {**ranges, **{v: ends for v, ends in known.items() if ends[0] < ends[1]}}


def local_parts(
    e: sympy.Expr, coordinates: Sequence[sympy.Symbol], ranges: Ranges
) -> Iterator[tuple[sympy.Expr, Ranges]]:
    """An expression without its integrals, and their integrands by the coordinates that their variables stand for.

    Args:
        e: with fields of the coordinates.
        coordinates: of the fields.
        ranges: of the coordinates and of the variables of integrals.

    Example:
        >>> x, s = sympy.symbols("x s")
        >>> u = sympy.Function("u")
        >>> [part for part, _ in local_parts(u(x) + sympy.Integral(x * u(s), (s, 0, 1)), [x], {})]
        [u(x), _x*u(x)]
    """
    yield e.xreplace(dict.fromkeys(e.atoms(sympy.Integral), sympy.Integer(0))), ranges
    for integral in e.atoms(sympy.Integral):
        inner = integral.function
        if inner.has(sympy.Integral):
            continue
        stands = {
            v: x
            for v in integral.variables
            for field in inner.atoms(AppliedUndef)
            for x, place in zip(coordinates, field.args, strict=False)
            if place == v
        }
        aside = {x: sympy.Dummy(x.name) for x in stands.values() if x not in stands}
        known = {aside.get(s, s): ends for s, ends in ranges.items() if s not in stands}
        known |= {x: ranges[v] for v, x in stands.items() if v in ranges}
        yield inner.xreplace({**aside, **stands}), known


def without_tested(e: sympy.Expr) -> sympy.Expr:
    """Without derivatives of expressions that are written as such, which `require_no_jump_derivatives` has tested.

    Example:
        >>> x = sympy.Symbol("x")
        >>> without_tested(x + sympy.Derivative(x**2, x))
        x
    """
    written = [d for d in e.atoms(sympy.Derivative) if not isinstance(d.expr, AppliedUndef)]
    return e.xreplace(dict.fromkeys(written, sympy.Integer(0)))


def require_smooth_value(value: sympy.Expr, coordinates: Sequence[sympy.Symbol], ranges: Ranges) -> None:
    """Refuse a value whose kinks and jumps a Hard condition would carry from its place through the whole field.

    Args:
        value: of real coordinates.
        coordinates: of the fields.
        ranges: of the coordinates, where known.

    Raises:
        UnsupportedError: names the value and the coordinate.

    Example:
        >>> x = sympy.Symbol("x", real=True)
        >>> require_smooth_value(abs(x), [x], {})
        Traceback (most recent call last):
        constraints.errors.UnsupportedError: no smooth field is known with the value Abs(x), which has a kink along x...
    """
    if not kinks(value) and not value.atoms(*STEPS):
        return
    value = without_far_steps(value, ranges)
    for x in sorted(value.free_symbols & set(coordinates), key=str):
        for what, e in (("jump", value), ("kink", value.diff(x))):
            if e.atoms(sympy.DiracDelta) or has_jump(e, [x], ranges):
                raise UnsupportedError(
                    f"no smooth field is known with the value {value}, which has a {what} along {x} that the whole "
                    f"field would get: embed it as Soft, or state a smooth value"
                )


def require_no_jump_derivatives(e: sympy.Basic, ranges: Ranges | None = None) -> None:
    """Refuse derivatives of what jumps, where they are written: of steps, and of `Piecewise` whose pieces do not meet.

    Args:
        e: with fields and their derivatives.
        ranges: of the coordinates; a jump outside is none.

    Raises:
        SpecificationError: names the derivative and the jump.

    Example:
        >>> x = sympy.Symbol("x")
        >>> T = sympy.Function("T")(x)
        >>> require_no_jump_derivatives(sympy.Derivative(sympy.sign(x) * T, x))
        Traceback (most recent call last):
        constraints.errors.SpecificationError: a derivative through the jump of sign(x) is lost, got ...
    """
    for derivative in e.atoms(sympy.Derivative):
        inner, variables = derivative.expr, set(derivative.variables)
        if isinstance(inner, AppliedUndef):
            continue
        if _kinked(derivative, ranges or {}):
            raise SpecificationError(f"a derivative through the jump of a slope is lost, got {derivative}. {ADVICE}")
        fields = {f for f in inner.atoms(AppliedUndef) if f in variables or set(f.args) & variables}
        for part in inner.atoms(*STEPS, sympy.Piecewise):
            if (part.free_symbols & variables or part.atoms(AppliedUndef) & fields) and _jumps(part, ranges or {}):
                raise SpecificationError(f"a derivative through the jump of {part} is lost, got {derivative}. {ADVICE}")
        if _hides_jump(*_with_symbols(inner, variables), ranges or {}):
            raise SpecificationError(f"a derivative through the jump of {inner} is lost, got {derivative}. {ADVICE}")


def require_smooth_coefficients(
    equation: Equation,
    coordinates: Sequence[sympy.Symbol],
    ranges: Ranges | None = None,
    *,
    weak: bool = False,
) -> None:
    """Refuse coefficients that jump along a coordinate and multiply the highest derivative along it.

    Such a product is what remains of a derivative through the jump once sympy has carried it out: of `(k T')'` where
    `k` jumps it leaves `k T''`. A first derivative in an equation of several fields is let pass, as in `q = -k T'`,
    unless the coefficient jumps with a field other than that which is differentiated, as the density of
    `(rho(phi) v)_t` does.

    Args:
        equation: with a symbol for each derivative.
        coordinates: of its fields.
        ranges: of the coordinates; a jump outside is none.
        weak: whether this is an integrand, of which first derivatives are those of a weak form.

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
    ranges = ranges or {}
    if equation.expression.has(sympy.DiracDelta):
        raise SpecificationError(
            f"a derivative through a jump is lost, got {equation.shown}, with DiracDelta. {ADVICE}"
        )
    pieces = [p for p in equation.expression.atoms(sympy.Piecewise) if _jumps(p, ranges)]
    if not pieces and equation.expression.is_polynomial():
        return
    fields = {term.field for term in equation.terms.values()}
    for symbol, term in equation.terms.items():
        if not any(term.orders):
            continue
        factor = equation.expression.diff(symbol)
        first = sum(term.orders) == 1 and (weak or len(fields) > 1)
        for axis, x in enumerate(coordinates):
            if not term.orders[axis] or not factor.free_symbols:
                continue
            if cancels_poles(*_real(factor, [x, *equation.terms], ranges)):
                raise SpecificationError(
                    f"a derivative through a jump is lost: what multiplies a derivative of order {sum(term.orders)} "
                    f"along {x} in {equation.shown} cancels on both sides of it. {ADVICE}"
                )
            jump = next((p for p in pieces if _carries(p, symbol, factor, {x, *equation.terms})), None)
            if first and (weak or jump is None or not _of_other_field(jump, term, equation)):
                continue
            if jump is None and _hides_jump(factor, [x, *equation.terms], ranges):
                jump = factor
            if jump is not None and not _is_flux(equation, symbol, axis, x, ranges):
                raise SpecificationError(
                    f"{_shown(jump, equation)} jumps along {x} and multiplies a derivative of order "
                    f"{sum(term.orders)} in {equation.shown}: a derivative through the jump is lost. {ADVICE}; "
                    f"where none was meant, divide by the coefficient, or write it with Heaviside"
                )


def _of_other_field(jump: sympy.Piecewise, term: Term, equation: Equation) -> bool:
    """Whether a `Piecewise` jumps with a field other than that of a term."""
    decided_by = {s for _, condition in jump.args for s in condition.free_symbols}
    return any(equation.terms[s].field != term.field for s in decided_by & set(equation.terms))


def _with_symbols(e: sympy.Expr, variables: set[sympy.Symbol]) -> tuple[sympy.Expr, list[sympy.Symbol]]:
    """An expression with a symbol for each field and derivative, and what of it moves with the variables."""
    named = {f: sympy.Dummy(real=True) for f in (*e.atoms(sympy.Derivative), *e.atoms(AppliedUndef))}
    moved = [s for f, s in named.items() if set(f.free_symbols) & variables or f in variables]
    return e.xreplace(named), [*variables, *moved]


def _kinked(derivative: sympy.Derivative, ranges: Ranges) -> bool:
    """Whether a derivative of higher order takes that of a slope that jumps, as of `Abs`."""
    inner, orders = derivative.expr, list(derivative.variables)
    if not kinks(inner):
        return False
    for x in orders[:-1]:
        inner = inner.diff(x)
        if inner.has(sympy.DiracDelta) or has_jump(*_real(*_with_symbols(inner, set(orders)), ranges)):
            return True
    return False


def _real(
    e: sympy.Expr, moving: Iterable[sympy.Symbol], ranges: Ranges
) -> tuple[sympy.Expr, list[sympy.Symbol], dict[sympy.Symbol, tuple[float, float]]]:
    """An expression of real symbols, those that move, and their ranges."""
    real = {s: s if s.is_real else sympy.Dummy(s.name, real=True) for s in e.free_symbols}
    return (
        e.xreplace(real),
        [real[s] for s in moving if s in real],
        {real[s]: r for s, r in ranges.items() if s in real},
    )


def _carries(piece: sympy.Piecewise, symbol: sympy.Symbol, factor: sympy.Expr, moving: set[sympy.Symbol]) -> bool:
    """Whether a `Piecewise` that changes with what moves is in the coefficient of a term, or the term in it."""
    decided_by = set().union(*(condition.free_symbols for _, condition in piece.args))
    return bool(decided_by & moving) and (symbol in piece.free_symbols or piece in factor.atoms(sympy.Piecewise))


def _hides_jump(e: sympy.Expr, moving: Iterable[sympy.Symbol], ranges: Ranges) -> bool:
    """Whether what is left without steps and `Piecewise`, which are told by themselves, jumps: `Abs(x) / x`."""
    rest = e.replace(lambda part: isinstance(part, (*STEPS, sympy.Piecewise)), lambda _: sympy.Dummy(real=True))
    rest, moved, known = _real(rest, moving, ranges)
    return not rest.is_polynomial() and has_jump(rest, moved, known)


def _is_flux(equation: Equation, symbol: sympy.Symbol, axis: int, x: sympy.Symbol, ranges: Ranges) -> bool:
    """Whether a coefficient jumps only as the slope of a continuous one: `k T'' + k' T'` is the derivative of `k T'`.

    Such derivatives are taken off, the highest first; what then multiplies the term must not jump.
    """
    rest, moving = equation.expression, [x, *equation.terms]
    by_orders = {(t.field, t.place, t.orders): s for s, t in equation.terms.items()}

    def above(s: sympy.Symbol) -> sympy.Symbol | None:
        t = equation.terms[s]
        orders = tuple(n + (i == axis) for i, n in enumerate(t.orders))
        return by_orders.get((t.field, t.place, orders))

    for one, highest in sorted(equation.terms.items(), key=lambda item: -item[1].orders[axis]):
        below = next((s for s in equation.terms if above(s) == one), None)
        factor = rest.diff(one)
        if below is None or highest.orders[axis] < 2 or factor.is_number or factor.has(one):
            continue
        if has_jump(*_real(factor, moving, ranges)):
            return False
        slope = factor.diff(x) + sum((factor.diff(s) * up for s in equation.terms if (up := above(s))), sympy.S.Zero)
        rest -= factor * one + slope * below
    left = rest.diff(symbol)
    return not left.has(sympy.DiracDelta) and not has_jump(*_real(left, moving, ranges))


def _jumps(part: sympy.Basic, ranges: Ranges) -> bool:
    """Whether a step, or the pieces of a `Piecewise`, do not meet somewhere; True where this cannot be told."""
    if not isinstance(part, sympy.Piecewise):
        return True
    pieces = [piece for piece in part.args if not isinstance(piece[1], sympy.Eq)]  # a single point is no jump
    for (one, condition), (other, _) in pairwise(pieces):
        gap, edges = one - other, condition.atoms(Relational)
        kept = [e for e in edges if not isinstance(e, sympy.Eq) and not _beyond(e.lhs - e.rhs, ranges)]
        if not edges or any(_apart(gap, one, edge.lhs - edge.rhs, ranges) for edge in kept):
            return True
    return False


def _ends(e: sympy.Expr, ranges: Ranges) -> tuple[float, float] | None:
    """The least and the largest value over their ranges of what is linear in the coordinates, else None."""
    symbols = sorted(e.free_symbols, key=str)
    if not symbols or e.atoms(AppliedUndef) or any(s not in ranges for s in symbols):
        return None
    if not e.is_polynomial(*symbols) or sympy.Poly(e, *symbols).total_degree() > 1:
        return None
    corners = [float(e.subs(dict(zip(symbols, c, strict=True)))) for c in product(*(ranges[s] for s in symbols))]
    return min(corners), max(corners)


def _beyond(edge: sympy.Expr, ranges: Ranges) -> bool:
    """Whether an edge that is linear in the coordinates has one sign within their ranges, and is no edge there."""
    ends = _ends(edge, ranges)
    return ends is not None and (ends[0] >= 0 < ends[1] or ends[0] < 0 >= ends[1])


def _apart(gap: sympy.Expr, value: sympy.Expr, edge: sympy.Expr, ranges: Ranges) -> bool:
    """Whether two pieces differ somewhere on an edge, tried at places of it; True where none is found."""
    symbols = {f: sympy.Dummy(real=True) for f in edge.atoms(AppliedUndef) | gap.atoms(AppliedUndef)}
    symbols |= {s: sympy.Dummy(real=True) for s in (edge.free_symbols | gap.free_symbols)}
    within = {symbols[s]: ranges[s] for s in symbols if s in ranges}
    edge, gap, value = (e.xreplace(symbols) for e in (edge, gap, value))
    variables = sorted(edge.free_symbols, key=str)
    others = sorted((edge.free_symbols | gap.free_symbols) - set(variables[:1]), key=str)
    found = outside = False
    for trial in range(3):
        at = {s: sympy.Rational(2 + 3 * trial + 5 * i, 17) for i, s in enumerate(others)}
        for s in within.keys() & at.keys():
            low, high = within[s]
            at[s] = low + (high - low) * (at[s] % 1)
        try:
            roots = sympy.solve(edge.subs(at), variables[0]) if variables else []
        except NotImplementedError:
            return True
        for root in roots:
            point = {variables[0]: root, **at}
            if not root.is_real:
                continue
            low, high = within.get(variables[0], (-sympy.oo, sympy.oo))
            if not low < root < high:
                outside = True
                continue
            found = True
            difference, size = (complex(sympy.N(e.subs(point))) for e in (gap, value))
            if not abs(difference) <= 1e-9 * (1.0 + abs(size)):
                return True
    return not found and not (outside and len(variables) == 1)


def _shown(piece: sympy.Basic, equation: Equation) -> str:
    """A coefficient without the symbols of terms, where it has none."""
    return "a coefficient of a field" if piece.free_symbols & set(equation.terms) else str(piece)
