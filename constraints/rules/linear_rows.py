"""What a rule on outputs says as rows of a linear system, over the columns of a module's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from constraints.errors import SpecificationError
from constraints.rules.output_rule import OutputRule
from constraints.rules.rule import Rule
from constraints.sets import (
    Affine,
    Box,
    BoxEquality,
    Constraint,
    HalfSpace,
    LinfBall,
    OrderedCone,
    PartialOrder,
    Polytope,
    Simplex,
    VaryingPolytope,
)

__all__ = [
    "LinearRows",
    "linear_rows",
    "output_width",
    "rows_of",
    "sample_numbers",
    "sample_rows",
    "stack_rows",
]

Numbers = NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True)
class LinearRows:
    """`C y = d`, `l <= A y <= u` and bounds, over `n` outputs; NaN stands for numbers that depend on the input.

    Attributes:
        equal: `C`, `(p, n)`.
        target: `d`, `(p,)`.
        matrix: `A`, `(m, n)`.
        low: `l`, `(m,)`.
        high: `u`, `(m,)`.
        floor: lower bounds of the outputs, `(n,)`.
        ceiling: upper bounds of the outputs, `(n,)`.
    """

    equal: Numbers
    target: Numbers
    matrix: Numbers
    low: Numbers
    high: Numbers
    floor: Numbers
    ceiling: Numbers

    @property
    def depends(self) -> bool:
        """Whether some number depends on the input."""
        return any(bool(np.isnan(part).any()) for part in (self.target, self.low, self.high))

    def known(self) -> LinearRows:
        """Without the rows whose numbers depend on the input."""
        e, r = ~np.isnan(self.target), ~(np.isnan(self.low) | np.isnan(self.high))
        return LinearRows(
            self.equal[e], self.target[e], self.matrix[r], self.low[r], self.high[r], self.floor, self.ceiling
        )


def linear_rows(rule: Rule, width: int) -> LinearRows | None:
    """The rows of a rule, or None where its set is not linear or its coefficients depend on the input."""
    if not isinstance(rule, OutputRule) or type(rule).quantity is not OutputRule.quantity:
        return None
    columns = list(range(width)) if rule.index is None else rule.index.tolist()
    k, size = len(columns), rule.constraint.size
    narrow = rows_of(rule.constraint, k, varies=depends_on_input(rule)) if size in (None, k) else None
    if narrow is not None and {len(narrow.floor), narrow.equal.shape[1], narrow.matrix.shape[1]} != {k}:
        size = len(narrow.floor)
    if size not in (None, k):
        raise SpecificationError(
            f"rule `{rule.name}` and others speak of different numbers of outputs: it of {size}, they of {width}; say "
            f"which `outputs` each speaks of"
        )
    if narrow is None:
        return None
    wide = [np.zeros((len(part), width)) for part in (narrow.equal, narrow.matrix)]
    for block, part in zip(wide, (narrow.equal, narrow.matrix), strict=True):
        block[:, columns] = part
    floor, ceiling = np.full(width, -np.inf), np.full(width, np.inf)
    floor[columns], ceiling[columns] = narrow.floor, narrow.ceiling
    return LinearRows(wide[0], narrow.target, wide[1], narrow.low, narrow.high, floor, ceiling)


def rows_of(constraint: Constraint, k: int, *, varies: bool) -> LinearRows | None:
    """The rows of a set over its own `k` outputs; NaN for what the context says where it `varies`."""
    equal, target, matrix = np.zeros((0, k)), np.zeros(0), np.zeros((0, k))
    low, high = np.zeros(0), np.zeros(0)
    floor, ceiling = np.full(k, -np.inf), np.full(k, np.inf)
    match constraint:
        case Box():
            floor, ceiling = np.zeros(k) + _array(constraint.low), np.zeros(k) + _array(constraint.high)
        case Affine():
            equal, target = _array(constraint.matrix), _given(constraint.target, constraint.equalities, varies)
        case Simplex():
            equal, target, floor = np.ones((1, k)), _given(constraint.total, 1, varies), np.zeros(k)
        case BoxEquality():
            equal, target = _array(constraint.coefficients)[None], _given(constraint.target, 1, varies)
            floor, ceiling = np.zeros(k) + _array(constraint.box.low), np.zeros(k) + _array(constraint.box.high)
        case HalfSpace():
            matrix = _array(constraint.normal)[None]
            low, high = np.full(1, -np.inf), _given(constraint.offset, 1, varies)
        case OrderedCone():
            matrix = np.diff(np.eye(k), axis=0) * (-1.0 if constraint.descending else 1.0)
            low, high = np.full(len(matrix), float(constraint.gap)), np.full(len(matrix), np.inf)
            floor = floor if constraint.low is None else np.full(k, float(constraint.low))
            ceiling = ceiling if constraint.high is None else np.full(k, float(constraint.high))
        case PartialOrder():
            matrix = _array(constraint.polytope.matrix)
            low, high = np.zeros(len(matrix)), np.full(len(matrix), np.inf)
        case LinfBall():
            radius, center = _given(constraint.radius, 1, varies), _array(constraint.center)
            if varies:
                matrix, low, high = np.eye(k), np.full(k, np.nan), np.full(k, np.nan)
            else:
                floor, ceiling = np.zeros(k) + center - radius, np.zeros(k) + center + radius
        case Polytope():
            equal, matrix = _array(constraint.equal), _array(constraint.matrix)
            target, low, high = (
                _given(part, len(part), varies) for part in (constraint.target, constraint.low, constraint.high)
            )
        case _:
            return None
    return LinearRows(equal, target, matrix, low, high, floor, ceiling)


def depends_on_input(rule: OutputRule) -> bool:
    """Whether the rule gives its set a context."""
    constraint = rule.constraint
    gives = rule.context_width != 0
    match constraint:
        case Affine():
            return constraint.target is None or gives
        case BoxEquality():
            return constraint.target is None or gives
        case HalfSpace():
            return constraint.offset is None or gives
        case LinfBall():
            return constraint.radius is None or gives
        case Polytope():
            return constraint.varies
        case Simplex():
            return gives
        case _:
            return False


def _given(numbers: Tensor | None, count: int, varies: bool) -> Numbers:
    return np.full(count, np.nan) if varies or numbers is None else _array(numbers).reshape(count)


def _array(tensor: Tensor) -> Numbers:
    return tensor.detach().double().cpu().numpy()


def stack_rows(systems: Sequence[LinearRows]) -> LinearRows:
    """All systems as one; bounds on one output become one."""
    return LinearRows(
        np.concatenate([s.equal for s in systems]),
        np.concatenate([s.target for s in systems]),
        np.concatenate([s.matrix for s in systems]),
        np.concatenate([s.low for s in systems]),
        np.concatenate([s.high for s in systems]),
        np.max([s.floor for s in systems], axis=0),
        np.min([s.ceiling for s in systems], axis=0),
    )


def sample_rows(rule: OutputRule, x: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """`C`, `d`, `A`, `l`, `u` of each sample, float64, without the bounds of outputs."""
    context = rule.context(x)
    constraint = rule.constraint
    batch = x.shape[:-1] if context is None else context.shape[: -2 if isinstance(constraint, VaryingPolytope) else -1]
    columns = list(range(width)) if rule.index is None else rule.index.tolist()
    if isinstance(constraint, VaryingPolytope):
        assert context is not None
        p = constraint.equalities
        coefficients, low, high = context[..., :-2], context[..., -2], context[..., -1]
        parts = coefficients[..., :p, :], low[..., :p], coefficients[..., p:, :], low[..., p:], high[..., p:]
    else:
        found = linear_rows(rule, width)
        assert found is not None
        columns = list(range(width))
        fixed = tuple(torch.from_numpy(part).to(x.device) for part in (found.target, found.low, found.high))
        target, low, high = sample_numbers(rule, context, fixed, depends=found.depends)
        equal, matrix = (torch.from_numpy(part).to(x.device) for part in (found.equal, found.matrix))
        parts = equal, target, matrix, low, high
    spread = [
        part.double().expand(*batch, *part.shape[-2:]) if i in (0, 2) else part.double().expand(*batch, part.shape[-1])
        for i, part in enumerate(parts)
    ]
    for i in (0, 2):
        wide = spread[i].new_zeros(*spread[i].shape[:-1], width)
        spread[i] = wide.index_copy(-1, torch.tensor(columns, device=x.device), spread[i])
    return spread[0], spread[1], spread[2], spread[3], spread[4]


def sample_numbers(
    rule: OutputRule, context: Tensor | None, fixed: Sequence[Tensor], *, depends: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """`d`, `l`, `u` of each sample of a rule whose coefficients are fixed, float64.

    Args:
        rule: the rule.
        context: what it says of the input.
        fixed: its numbers, NaN where they depend on the input.
        depends: whether some do.
    """
    target, low, high = fixed
    if context is not None:
        return _from_context(rule.constraint, context.double(), (target, low, high))
    if depends:
        raise SpecificationError(f"rule `{rule.name}` needs a context for the input, got None")
    return target, low, high


def _from_context(
    constraint: Constraint, given: Tensor, fixed: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """`d`, `l`, `u` of a set whose context is `given`, the fixed ones where it says nothing of them."""
    target, low, high = fixed
    match constraint:
        case Polytope():
            target, low, high = given.split([len(part) for part in fixed], dim=-1)
        case HalfSpace():
            high = given
        case LinfBall():
            center = constraint.center.to(given).expand(len(low))
            low, high = center - given, center + given
        case _:
            target = given
    return target, low, high


def output_width(rules: Mapping[str, Rule], outputs: int | None) -> tuple[int, bool]:
    """The number of outputs of the rules together, and whether it is known or only the least that is possible.

    Args:
        rules: the rules by name.
        outputs: the number, where it is known; by default as many as the module names to which the rules are bound.
    """
    bound = [rule.output_names for rule in rules.values() if isinstance(rule, OutputRule)]
    outputs = next((len(names) for names in bound if names is not None), None) if outputs is None else outputs
    if outputs is not None:
        beyond = [name for name, rule in rules.items() if _last_column(rule) >= outputs]
        if beyond:
            raise SpecificationError(f"rules {beyond} speak of outputs that do not exist, expected columns < {outputs}")
        return outputs, True
    widths, sizes = [1], set()
    known = True
    for rule in rules.values():
        if isinstance(rule, OutputRule) and rule.index is not None:
            widths.append(_last_column(rule) + 1)
        elif rule.constraint.size is not None:
            sizes.add(rule.constraint.size)
        else:
            known = False
    if len(sizes) > 1 or (sizes and max(widths) > min(sizes)):
        raise SpecificationError(
            f"rules {list(rules)} speak of different numbers of outputs: {sorted(sizes | {max(widths)})}; say which "
            f"`outputs` each speaks of"
        )
    return (sizes.pop(), True) if sizes else (max(widths), known)


def _last_column(rule: Rule) -> int:
    return int(rule.index.max()) if isinstance(rule, OutputRule) and rule.index is not None else -1
