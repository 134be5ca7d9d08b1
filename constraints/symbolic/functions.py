"""Statements on the function that a model is: signs of its derivatives, bounds of its slopes, its symmetries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import sympy
import torch
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from torch import nn

from constraints.errors import SpecificationError
from constraints.functional.real_functions import real_number
from constraints.networks import FiniteGroup, LinearAction, Permutation, SignChange
from constraints.rules import ConvexIn, Equivariance, FieldRule, Invariance, LipschitzIn, MonotoneIn
from constraints.sampling import Sampler
from constraints.symbolic.field_equation import FieldEquation
from constraints.symbolic.learnable import Learnable
from constraints.symbolic.region import Region

__all__ = ["declare_function"]

HALF = sympy.Rational(1, 2)


@final
@dataclass(frozen=True, slots=True)
class _Sign:
    """The sign of one derivative: `derivative >= 0`, or `<= 0` where `negative`."""

    field: AppliedUndef
    variable: sympy.Symbol
    order: int
    negative: bool


def declare_function(
    parts: Sequence[sympy.Basic],
    fields: Sequence[AppliedUndef],
    columns: Mapping[sympy.Symbol, int],
    *,
    domain: Region | None = None,
    draws: int = 1,
    sampler: Sampler | None = None,
    parameters: Mapping[sympy.Symbol, Learnable] | None = None,
    name: str | None,
    unit: str,
    source: str,
) -> FieldRule:
    """The rule of structure that a statement on functions is, or its equation.

    Args:
        parts: what holds, all of it.
        fields: the outputs of the model as functions of its inputs, `Function("f")(x, y)`, in the order of its columns.
        columns: columns of the inputs; those left out are bound by name.
        domain: see `FieldEquation`.
        draws: see `FieldEquation`.
        sampler: see `FieldEquation`.
        parameters: see `FieldEquation`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: fields that are none; see `FieldEquation`.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> f = sympy.Function("f")(x, y)
        >>> rule = declare_function([f.diff(x) <= 0], [f], {}, name="falls", unit="", source="")
        >>> type(rule).__name__, rule.scope.inputs, rule.decreasing
        ('MonotoneIn', ('x',), True)
    """
    _require_fields(fields)
    parts = [one for part in parts for one in (part.args if isinstance(part, sympy.And) else [part])]
    told: dict[str, Any] = {"name": name, "unit": unit, "source": source}

    def equation() -> FieldEquation:
        return FieldEquation(parts, fields, domain=domain, draws=draws, sampler=sampler, parameters=parameters, **told)

    if domain is not None or parameters:
        return equation()
    symmetric = _symmetry(parts, fields, told) if len(parts) == 1 else None
    if symmetric is not None:
        return symmetric
    steep = _steepness(parts[0], fields, columns, told) if len(parts) == 1 else None
    if steep is not None:
        return steep
    signs = [_sign(part, fields) for part in parts]
    known = [sign for sign in signs if sign is not None]
    if len(known) < len(signs) or len({(s.field, s.order, s.negative) for s in known}) != 1:
        return equation()
    first, inputs = known[0], [columns.get(s.variable, s.variable.name) for s in known]
    outputs = None if len(fields) == 1 else [list(fields).index(first.field)]
    if first.order == 1:
        return MonotoneIn(inputs, decreasing=first.negative, outputs=outputs, **told)
    if len(inputs) > 1:  # convex in each of them is less than convex in all together
        return equation()
    return ConvexIn(inputs, concave=first.negative, outputs=outputs, **told)


def _require_fields(fields: Sequence[AppliedUndef]) -> None:
    for field in fields:
        plain = isinstance(field, AppliedUndef) and all(a.is_Symbol for a in field.args)
        if not plain or len(set(field.args)) < len(field.args):
            raise SpecificationError(
                f"`declare` needs fields that are functions of distinct symbols, Function('f')(x, y), got {field}"
            )
    if len({field.func for field in fields}) < len(fields):
        raise SpecificationError(f"`declare` needs distinct fields, got {list(fields)}")


def _derivative(e: sympy.Expr, fields: Sequence[AppliedUndef]) -> tuple[AppliedUndef, sympy.Symbol, int] | None:
    """Field, variable and order of a derivative by one variable."""
    if not isinstance(e, sympy.Derivative) or e.expr not in fields or len(e.variable_count) != 1:
        return None
    variable, order = e.variable_count[0]
    return e.expr, variable, int(order)


def _gap(relation: sympy.Basic) -> sympy.Expr | None:
    """What must be at most 0."""
    if isinstance(relation, sympy.Le):
        return relation.lhs - relation.rhs
    if isinstance(relation, sympy.Ge):
        return relation.rhs - relation.lhs
    if isinstance(relation, sympy.Lt | sympy.Gt):
        raise SpecificationError(
            f"`declare` needs conditions that include their boundary, got {relation}: write <= or >="
        )
    return None


def _sign(relation: sympy.Basic, fields: Sequence[AppliedUndef]) -> _Sign | None:
    gap = _gap(relation)
    if gap is None:
        return None
    factor, inner = gap.as_coeff_Mul()
    found = _derivative(inner, fields)
    if found is None or found[2] > 2:
        return None
    return _Sign(*found, negative=bool(factor > 0))


def _steepness(
    relation: sympy.Basic,
    fields: Sequence[AppliedUndef],
    columns: Mapping[sympy.Symbol, int],
    told: dict[str, Any],
) -> LipschitzIn | None:
    """A norm of slopes that is at most a number."""
    gap = _gap(relation) if isinstance(relation, Relational) else None
    if gap is None:
        return None
    number, norm = gap.as_independent(*fields, as_Add=True)
    bound, slopes, p = -number, [], 2.0
    factor, norm = norm.as_coeff_Mul()
    if isinstance(norm, sympy.Pow) and norm.exp == HALF:
        squares = sympy.Add.make_args(norm.base)
        slopes = [square.base for square in squares if isinstance(square, sympy.Pow) and square.exp == 2]
        count = len(squares)
    else:
        parts = norm.args if isinstance(norm, sympy.Max) else sympy.Add.make_args(norm)
        slopes = [part.args[0] for part in parts if isinstance(part, sympy.Abs)]
        count, p = len(parts), 1.0 if isinstance(norm, sympy.Max) else math.inf  # the norm of inputs is the dual one
    found = [part for slope in slopes if (part := _derivative(slope, fields)) is not None and part[2] == 1]
    if not found or len(found) < count or len({f for f, _, _ in found}) != 1 or not factor > 0:
        return None
    inputs = [columns.get(variable, variable.name) for _, variable, _ in found]
    outputs = None if len(fields) == 1 else [list(fields).index(found[0][0])]
    return LipschitzIn(real_number(bound / factor), inputs, norm=p if len(inputs) > 1 else 2.0, outputs=outputs, **told)


def _symmetry(parts: Sequence[sympy.Basic], fields: Sequence[AppliedUndef], told: dict[str, Any]) -> FieldRule | None:
    """`f(g x) = f(x)`, or `= -f(x)` where doing `g` twice changes nothing; `g` moves inputs and changes signs."""
    relation = parts[0]
    if not isinstance(relation, sympy.Eq) or len(fields) != 1:
        return None
    (field,) = fields
    sides = [side.as_coeff_Mul() for side in (relation.lhs, relation.rhs)]
    if any(getattr(inner, "func", None) != field.func or abs(factor) != 1 for factor, inner in sides):
        return None
    moved = [(factor, inner) for factor, inner in sides if inner != field]
    if len(moved) != 1:
        return None
    found = _action(list(field.args), list(moved[0][1].args))
    if found is None:
        return None
    action, order = found
    if sides[0][0] == sides[1][0]:
        return Invariance(FiniteGroup.generated([action]), **told)
    if order != 2:
        return None
    same = Permutation(list(range(len(field.args))))
    return Equivariance(FiniteGroup([same, action]), [SignChange([1.0]), SignChange([-1.0])], **told)


def _action(base: list[sympy.Symbol], moved: list[sympy.Expr]) -> tuple[nn.Module, int] | None:
    """The signed permutation that takes one list of arguments to the other, and after how many times it is undone."""
    places: list[int] = []
    signs: list[float] = []
    for argument in moved:
        sign, symbol = argument.as_coeff_Mul()
        if symbol not in base or abs(sign) != 1 or base.index(symbol) in places:
            return None
        places.append(base.index(symbol))
        signs.append(float(sign))
    matrix = torch.zeros(len(base), len(base), dtype=torch.float64)
    for row, (place, sign) in enumerate(zip(places, signs, strict=True)):
        matrix[row, place] = sign
    order, power, eye = 1, matrix, torch.eye(len(base), dtype=torch.float64)
    while not torch.equal(power, eye):
        order, power = order + 1, power @ matrix
    if all(sign == 1.0 for sign in signs):
        return Permutation(places), order
    if places == list(range(len(base))):
        return SignChange(signs), order
    return LinearAction(matrix), order
