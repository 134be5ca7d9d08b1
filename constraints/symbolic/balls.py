"""Norms recognised: balls and the second-order cone."""

from __future__ import annotations

from collections.abc import Sequence

import sympy

from constraints.errors import InfeasibleError
from constraints.sets import Box, Fallback, L1Ball, L2Ball, SecondOrderCone
from constraints.symbolic.context import Entry
from constraints.symbolic.forms import affine_form, polynomial_terms
from constraints.symbolic.found import Found
from constraints.symbolic.rewrite import is_cross
from constraints.symbolic.statement import Condition

__all__ = ["ball_set"]

HALF = sympy.Rational(1, 2)


def ball_set(condition: Condition, outputs: Sequence[sympy.Symbol], fallback: Fallback | None) -> Found | None:
    """The ball or cone that one inequality is, or None."""
    if condition.equality:
        return None
    e, ys = condition.expression, list(outputs)
    if is_cross(e, set(ys)):
        return _cross(e, ys, fallback)
    found = _squares(e, ys, fallback)
    return found if found is not None else _norm(e, ys, fallback)


def _cross(e: sympy.Expr, ys: list[sympy.Symbol], fallback: Fallback | None) -> Found:
    constant, rest = e.as_independent(*ys, as_Add=True)
    center = {}
    factor = sympy.Integer(1)
    for term in sympy.Add.make_args(rest):
        factor, inner = term.as_coeff_Mul()
        form = affine_form(inner.args[0], ys)
        assert form is not None
        ((symbol, sign),) = form.coefficients.items()
        center[symbol] = float(-form.constant / sign)
    return _ball(L1Ball, "ball of the sum norm", -constant / factor, [center[y] for y in ys], ys, fallback)


def _sphere(e: sympy.Expr, ys: Sequence[sympy.Symbol]) -> tuple[sympy.Expr, list[sympy.Expr], sympy.Expr] | None:
    """`k`, `m` and `c` of `k |y - m|^2 + c`, exact; squaring far from 0 in floating point would lose the radius."""
    found = polynomial_terms(e, ys, most=2)
    if found is None:
        return None
    offset = found.pop((), sympy.Integer(0))
    squares = {powers[0][0]: c for powers, c in found.items() if powers[0][1] == 2}
    linear = {powers[0][0]: c for powers, c in found.items() if len(powers) == 1 and powers[0][1] == 1}
    crossed = len(found) > len(squares) + len(linear)
    if crossed or set(squares) != set(ys) or len(set(squares.values())) != 1:
        return None
    k = squares[ys[0]]
    if not (k.is_number and k.is_positive and all(c.is_number for c in linear.values())):
        return None
    center = [-linear.get(y, sympy.Integer(0)) / (2 * k) for y in ys]
    return k, center, sympy.expand(offset - k * sum(c**2 for c in center))


def _squares(e: sympy.Expr, ys: list[sympy.Symbol], fallback: Fallback | None) -> Found | None:
    """`k |y - m|^2 <= r`."""
    sphere = _sphere(e, ys) if len(ys) > 1 else None
    if sphere is None:
        return None
    k, center, rest = sphere
    squared = -rest / k
    if squared.is_number:
        if squared < 0:
            raise InfeasibleError(f"a sum of squares would be at most {float(squared):.6g}")
        radius = sympy.sqrt(squared)
    else:  # where it is negative so is the radius, which the ball knows as empty
        radius = sympy.Piecewise((sympy.sqrt(squared), squared > 0), (squared, True))
    return _ball(L2Ball, "ball", radius, [float(c) for c in center], ys, fallback)


def _norm(e: sympy.Expr, ys: list[sympy.Symbol], fallback: Fallback | None) -> Found | None:
    """`|y - m| <= r` with a radius from the input, or `|y| <= t` with an output `t`."""
    roots = [t for t in sympy.Add.make_args(e) if isinstance(t, sympy.Pow) and t.exp == HALF]
    if len(roots) != 1:
        return None
    rest = e - roots[0]
    inside = [y for y in ys if y in roots[0].free_symbols]
    sphere = _sphere(roots[0].base, inside) if inside else None
    if sphere is None or sphere[0] != 1 or sphere[2] != 0:
        return None
    center = [float(c) for c in sphere[1]]
    if inside == ys and not rest.free_symbols & set(ys):
        return _ball(L2Ball, "ball", -rest, center, ys, fallback)
    outer = affine_form(rest, ys)
    tops = [y for y in ys if y not in inside]
    if outer is None or len(tops) != 1 or outer.constant != 0 or any(center) or outer.coefficients != {tops[0]: -1}:
        return None
    return Found(
        kind="second-order cone",
        why="the length of some outputs is at most another output",
        cost="closed form",
        constraint=SecondOrderCone(),
        outputs=(*inside, tops[0]),
    )


def _ball(
    ball: type[L1Ball] | type[L2Ball],
    kind: str,
    radius: sympy.Expr,
    center: Sequence[float],
    ys: Sequence[sympy.Symbol],
    fallback: Fallback | None,
) -> Found:
    fixed = radius.is_number
    if fixed and not radius >= 0:
        raise InfeasibleError(f"a distance would be at most {float(radius):.6g}")
    if fixed and radius == 0:
        return Found(
            kind="point",
            why="a distance of the outputs from a point is 0",
            cost="closed form",
            constraint=Box(low=list(center), high=list(center)),
            outputs=tuple(ys),
        )
    read = "" if fixed else f"; the radius read from {', '.join(sorted(map(str, radius.free_symbols)))}"
    return Found(
        kind=kind,
        why=f"a distance of the outputs from a point is bounded{read}",
        cost="closed form",
        constraint=ball(float(radius) if fixed else None, center=list(center), fallback=fallback),
        outputs=tuple(ys),
        entries=() if fixed else (Entry(radius),),
        shape=() if fixed else (1,),
    )
