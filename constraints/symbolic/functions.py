"""Statements on the function that a model is: signs of its derivatives, bounds of its slopes, its symmetries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import sympy
import torch
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from torch import nn

from constraints.domains import Cuboid
from constraints.errors import SpecificationError
from constraints.functional.real_functions import real_number
from constraints.networks import FiniteGroup, LinearAction, Permutation, SignChange
from constraints.rules import ConvexIn, Equivariance, FieldRule, Invariance, LipschitzIn, MonotoneIn
from constraints.sampling import Sampler
from constraints.sets import Box
from constraints.symbolic.field_equation import FieldEquation
from constraints.symbolic.learnable import Learnable
from constraints.symbolic.region import Region, read_region

__all__ = ["declare_function"]

HALF = sympy.Rational(1, 2)


@final
@dataclass(frozen=True, slots=True)
class _Shape:
    """What an architecture can hold: signs of first or second derivatives, or a bound of slopes.

    Attributes:
        order: 1 for a direction, 2 for a curvature, 0 for a bound of slopes.
        negative: falls instead of grows, concave instead of convex.
        inputs: names or columns, in the order of the statement.
        outputs: places among the fields.
        bound: of slopes.
        norm: of the changes of inputs by which slopes are measured.
    """

    order: int
    negative: bool
    inputs: tuple[int | str, ...]
    outputs: tuple[int, ...]
    bound: float = math.inf
    norm: float = 2.0

    def rule(self, fields: Sequence[AppliedUndef], told: Mapping[str, Any], **sampling: Any) -> FieldRule:
        """The rule of that shape."""
        outputs = None if len(self.outputs) == len(fields) else list(self.outputs)
        if self.order == 0:
            return LipschitzIn(self.bound, self.inputs, norm=self.norm, outputs=outputs, **told)
        if self.order == 1:
            return MonotoneIn(self.inputs, decreasing=self.negative, outputs=outputs, **told)
        return ConvexIn(self.inputs, concave=self.negative, outputs=outputs, **sampling, **told)


def declare_function(
    parts: Sequence[sympy.Basic],
    fields: Sequence[AppliedUndef],
    columns: Mapping[sympy.Symbol, int | str],
    *,
    domain: Region | None = None,
    draws: int | None = None,
    sampler: Sampler | None = None,
    parameters: Mapping[sympy.Symbol, Learnable] | None = None,
    nodes: int | None = None,
    name: str | None,
    unit: str,
    source: str,
) -> FieldRule:
    """The rule of structure that a statement on functions is, or its equation.

    Args:
        parts: what holds, all of it.
        fields: the outputs of the model as functions of its inputs, `Function("f")(x, y)`, in the order of its columns.
        columns: columns or names of the inputs; those left out are bound by their symbol's name.
        domain: see `FieldEquation`.
        draws: see `FieldEquation`.
        sampler: see `FieldEquation`.
        parameters: see `FieldEquation`.
        nodes: see `FieldEquation`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: fields that are none; draws or a sampler of a statement whose places are all fixed; see
            `FieldEquation`.

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

    if draws or sampler is not None:
        varying = {x for part in parts for x in part.free_symbols} & set(fields[0].args)
        if not varying:
            given = f"draws={draws}" if draws else f"sampler={type(sampler).__name__}"
            raise SpecificationError(
                f"rule `{name}` needs arguments that have a use, got {given}: at the places that it speaks of, all "
                f"coordinates are fixed"
            )

    def equation(structure: Sequence[FieldRule] = (), soft_because: str = "") -> FieldEquation:
        _require_positions(columns, fields)
        return FieldEquation(
            parts,
            fields,
            domain=domain,
            draws=draws,
            sampler=sampler,
            parameters=parameters,
            structure=structure,
            soft_because=soft_because,
            nodes=nodes,
            **told,
        )

    if parameters or nodes is not None:
        return equation()
    symmetric = _symmetry(parts, fields, told) if len(parts) == 1 else None
    if symmetric is not None:
        _require_positions(columns, fields)
        if domain is None:
            return symmetric
        rule = equation()  # a mirror condition, which can be combined with other conditions
        return rule if rule.architecture is not None else equation([symmetric])
    structures = [_structure(part, fields, columns) for part in parts]
    known = [structure for structure in structures if structure is not None]
    if len(known) < len(structures):
        return equation()
    shapes = _merge(known, fields)
    if len(shapes) == 1 and domain is None:
        return shapes[0].rule(fields, told)
    if len(shapes) == 1 and shapes[0].order == 2 and sampler is None:  # by chords, which a network with kinks has, too
        region = read_region(domain, fields[0].args) if domain is not None else None
        if isinstance(region, Cuboid) and len(shapes[0].inputs) == 1 and draws != 0:
            box = Box(low=region.low, high=region.high)
            return shapes[0].rule(fields, told, region=box, draws=draws)
    soft = _why_soft(shapes, fields)
    return equation((), soft) if soft else equation([one.rule(fields, told) for one in shapes])


def _why_soft(shapes: Sequence[_Shape], fields: Sequence[AppliedUndef]) -> str:
    """Why no architecture is known that has all shapes; empty where one is."""
    if any(one.order != 1 and len(one.outputs) < len(fields) for one in shapes):
        return (
            "an architecture gives all outputs the same curvature, and the same bound of slopes: for Hard declare the "
            "relations of each field apart, for a network of its own"
        )
    if sum(one.order == 2 for one in shapes) > 1:
        return "an architecture is convex in several inputs together, which is more than in each"
    return ""


def _require_fields(fields: Sequence[AppliedUndef]) -> None:
    for field in fields:
        plain = isinstance(field, AppliedUndef) and all(a.is_Symbol for a in field.args)
        if not plain or len(set(field.args)) < len(field.args):
            raise SpecificationError(
                f"`declare` needs fields that are functions of distinct symbols, Function('f')(x, y), got {field}"
            )
    if len({field.func for field in fields}) < len(fields):
        raise SpecificationError(f"`declare` needs distinct fields, got {list(fields)}")
    if any(set(field.args) != set(fields[0].args) for field in fields):
        raise SpecificationError(f"`declare` needs fields of the same coordinates, got {list(fields)}")


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


def _structure(
    relation: sympy.Basic, fields: Sequence[AppliedUndef], columns: Mapping[sympy.Symbol, int | str]
) -> _Shape | None:
    """What an architecture can hold of a relation; None where it is none."""
    gap = _gap(relation) if isinstance(relation, Relational) else None
    if gap is None:
        return None
    factor, inner = gap.as_coeff_Mul()
    found = _derivative(inner, fields)
    if found is None:
        return _steepness(gap, fields, columns)
    field, variable, order = found
    if order > 2:
        return None
    at = columns.get(variable, variable.name)
    return _Shape(order, bool(factor > 0), (at,), (list(fields).index(field),))


def _merge(shapes: Sequence[_Shape], fields: Sequence[AppliedUndef]) -> list[_Shape]:
    """Directions of the same fields in one, and fields of the same shape; curvatures of several inputs stay apart.

    A function that is convex in each input need not be in all together.
    """
    by_inputs: dict[object, _Shape] = {}
    for i, one in enumerate(dict.fromkeys(shapes)):
        key = (one.negative, one.outputs) if one.order == 1 else i
        old = by_inputs.get(key)
        by_inputs[key] = one if old is None else replace(old, inputs=(*old.inputs, *one.inputs))
    by_outputs: dict[object, _Shape] = {}
    for one in by_inputs.values():
        same = (one.order, one.negative, frozenset(one.inputs), one.bound, one.norm)
        before = by_outputs.get(same)
        outputs = tuple(sorted({*(before.outputs if before else ()), *one.outputs}))
        by_outputs[same] = replace(one, outputs=outputs)
    return list(by_outputs.values())


def _require_positions(columns: Mapping[sympy.Symbol, int | str], fields: Sequence[AppliedUndef]) -> None:
    """Refuse columns that are not the places of the fields' arguments, which an equation takes as all inputs."""
    for symbol, column in columns.items():
        if column not in (symbol.name, fields[0].args.index(symbol)):
            raise SpecificationError(
                f"`declare` needs the inputs of equations, symmetries and domains in the order of the fields' "
                f"arguments {fields[0].args}, got column {column} for {symbol}"
            )


def _steepness(
    gap: sympy.Expr, fields: Sequence[AppliedUndef], columns: Mapping[sympy.Symbol, int | str]
) -> _Shape | None:
    """A norm of slopes that is at most a number."""
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
    inputs = tuple(columns.get(variable, variable.name) for _, variable, _ in found)
    place = list(fields).index(found[0][0])
    return _Shape(0, False, inputs, (place,), real_number(bound / factor), p if len(inputs) > 1 else 2.0)


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
