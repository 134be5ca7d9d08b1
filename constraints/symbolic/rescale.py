"""Equations in other units, and without any: fields and coordinates measured by scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import sympy
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

from constraints.errors import SpecificationError
from constraints.sympy_input import as_expression, require_fields

__all__ = ["Dimensionless", "nondimensionalise", "rescale"]

Scales = Mapping[sympy.Symbol | AppliedUndef, sympy.Expr | float]


@final
@dataclass(frozen=True, slots=True)
class Dimensionless:
    """Statements in which every coordinate and field is measured by its scale.

    Attributes:
        statements: of the same symbols, which now stand for numbers of order 1.
        groups: of each statement its coefficients, the largest of which is 1: the dimensionless groups.

    Example:
        >>> x = sympy.Symbol("x")
        >>> u = sympy.Function("u")(x)
        >>> nondimensionalise(sympy.Eq(u.diff(x), 5), [u], {x: 2, u: 10}).groups
        ((1, 1),)
    """

    statements: tuple[Relational, ...]
    groups: tuple[tuple[sympy.Expr, ...], ...]


def rescale(e: sympy.Basic, fields: Sequence[AppliedUndef], scales: Scales) -> sympy.Basic:
    """The same statement of coordinates and fields that are measured by scales.

    What was `x` is written `L x`, what was `u` is written `U u`; derivatives, places and integrals change with them.

    Args:
        e: an expression or a relation.
        fields: all of the same coordinates.
        scales: by coordinate and by field, positive; 1 of those left out.

    Raises:
        SpecificationError: a scale that is not positive, or of something else; an integral along what is no coordinate.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> u = sympy.Function("u")(x, t)
        >>> rescale(u.diff(t) - 3 * u.diff(x, 2), [u], {x: 10, u: 2})
        2*Derivative(u(x, t), t) - 3*Derivative(u(x, t), (x, 2))/50
        >>> rescale(u.subs(x, 5) - x, [u], {x: 10})
        -10*x + u(1/2, t)
    """
    if not isinstance(e, sympy.Basic):
        raise SpecificationError(
            f"`rescale` needs an expression or a statement of sympy, got {e!r} ({type(e).__name__})"
        )
    require_fields(fields, "`rescale`")
    coordinates = fields[0].args
    known = {s: as_expression(v, f"the scale of {s}") for s, v in scales.items()}
    strange = [s for s, v in known.items() if s not in (*coordinates, *fields) or v.is_positive is False or v == 0]
    if strange:
        raise SpecificationError(
            f"scales need to be positive, of coordinates {coordinates} or fields {list(fields)}, got {strange[0]}: "
            f"{known[strange[0]]}"
        )
    lengths = [known.get(x, sympy.Integer(1)) for x in coordinates]
    sizes = {field.func: known.get(field, sympy.Integer(1)) for field in fields}

    def place(args: Sequence[Any]) -> list[sympy.Expr]:
        return [walk(a) / length for a, length in zip(args, lengths, strict=True)]

    def slope(d: sympy.Derivative, variables: Sequence[sympy.Symbol]) -> sympy.Expr:
        inner = d.expr
        if not isinstance(inner, AppliedUndef) or inner.func not in sizes:
            raise SpecificationError(f"an equation needs derivatives of its fields, got {d}")
        factor = sizes[inner.func]
        for variable, count in d.variable_count:
            factor /= lengths[[a == variable for a in inner.args].index(True)] ** count
        places = zip(inner.args, coordinates, place(inner.args), strict=True)
        moved = [a if a in variables or a == x else p for a, x, p in places]
        return factor * inner.func(*moved).diff(*d.variable_count)

    def walk(part: Any) -> Any:
        if part in coordinates:
            return lengths[coordinates.index(part)] * part
        if isinstance(part, AppliedUndef) and part.func in sizes:
            return sizes[part.func] * part.func(*place(part.args))
        if isinstance(part, sympy.Derivative):
            return slope(part, ())
        if isinstance(part, sympy.Subs) and isinstance(part.expr, sympy.Derivative):
            args = list(part.expr.expr.args)
            points = [walk(p) / lengths[args.index(v)] for v, p in zip(part.variables, part.point, strict=True)]
            factor, inner = slope(part.expr, part.variables).as_independent(sympy.Derivative)
            return factor * sympy.Subs(inner, part.variables, points)
        if isinstance(part, sympy.Subs):  # of a sum, or of values
            done = part.doit()
            if done == part:
                raise SpecificationError(f"an equation needs fields and their derivatives at places, got {part}")
            return walk(done)
        if isinstance(part, sympy.Integral):
            factor, limits = sympy.Integer(1), []
            for variable, *ends in part.limits:
                if variable not in coordinates:
                    raise SpecificationError(f"an integral needs a coordinate to be along, got {variable} in {part}")
                length = lengths[coordinates.index(variable)]
                factor *= length
                limits.append((variable, *(walk(end) / length for end in ends)))
            return factor * sympy.Integral(walk(part.function), *limits)
        return part.func(*map(walk, part.args)) if part.args else part

    return walk(e)


def nondimensionalise(
    statements: Relational | Sequence[Relational], fields: Sequence[AppliedUndef], scales: Scales
) -> Dimensionless:
    r"""Statements measured by scales, each divided by its largest coefficient.

    With lengths, times and sizes of fields of the problem for scales, all quantities that a network meets are of order
    1, and so are the residuals: the terms' coefficients are the dimensionless groups (1/Re, the Fourier number).

    Args:
        statements: equations, or inequalities.
        fields: see `rescale`.
        scales: see `rescale`; numbers, or symbols declared positive.

    Raises:
        SpecificationError: see `rescale`; other statements than relations.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> u = sympy.Function("u")(x, t)
        >>> heat = sympy.Eq(u.diff(t), sympy.Rational(1, 10**4) * u.diff(x, 2))  # metres, seconds, kelvin
        >>> found = nondimensionalise(heat, [u], {x: sympy.Rational(1, 10), t: 60, u: 300})
        >>> found.statements[0]
        Eq(Derivative(u(x, t), t) - 3*Derivative(u(x, t), (x, 2))/5, 0)
        >>> found.groups
        ((1, 3/5),)
    """
    relations = [statements] if isinstance(statements, sympy.Basic) else list(statements)
    found, groups = [], []
    for relation in relations:
        if not isinstance(relation, Relational):
            raise SpecificationError(f"`nondimensionalise` needs equations or inequalities, got {relation}")
        gap = sympy.expand(rescale(relation.lhs - relation.rhs, fields, scales))
        functions = gap.atoms(AppliedUndef, sympy.Derivative, sympy.Subs, sympy.Integral)
        parts = [part.as_independent(*functions, *fields[0].args, as_Add=False) for part in gap.as_ordered_terms()]
        sizes = [abs(factor) for factor, _ in parts]
        numbers = [size for size in sizes if size.is_number]
        largest = max(numbers, key=float) if len(numbers) == len(sizes) else sizes[0]
        found.append(relation.func(sympy.Add(*(factor / largest * rest for factor, rest in parts)), 0))
        groups.append(tuple(sympy.simplify(size / largest) for size in sizes))
    return Dimensionless(tuple(found), tuple(groups))
