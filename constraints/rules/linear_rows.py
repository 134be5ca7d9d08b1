"""What a rule on outputs says as rows of a linear system, over the columns of a module's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from torch import Tensor

from constraints.errors import SpecificationError
from constraints.rules.rule import OutputRule, Rule
from constraints.sets import Affine, Box, BoxEquality, Polytope, Simplex, VaryingPolytope

__all__ = ["LinearRows", "linear_rows", "maximise", "output_width", "sample_rows", "stack_rows"]

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
    constraint, n = rule.constraint, width
    columns = list(range(n)) if rule.index is None else rule.index.tolist()
    k = len(columns)
    equal, target, matrix = np.zeros((0, k)), np.zeros(0), np.zeros((0, k))
    low, high = np.zeros(0), np.zeros(0)
    floor, ceiling = np.full(k, -np.inf), np.full(k, np.inf)
    match constraint:
        case Box():
            floor, ceiling = np.zeros(k) + _array(constraint.low), np.zeros(k) + _array(constraint.high)
        case Affine():
            equal, target = _array(constraint.matrix), _fixed(constraint.target, constraint.equalities)
        case Simplex():
            equal, target, floor = np.ones((1, k)), _fixed(constraint.total, 1), np.zeros(k)
        case BoxEquality():
            equal, target = _array(constraint.coefficients)[None], _fixed(constraint.target, 1)
            floor, ceiling = np.zeros(k) + _array(constraint.box.low), np.zeros(k) + _array(constraint.box.high)
        case Polytope():
            equal, matrix = _array(constraint.equal), _array(constraint.matrix)
            target, low, high = (_array(part) for part in (constraint.target, constraint.low, constraint.high))
            if constraint.varies:
                target, low, high = (np.full_like(part, np.nan) for part in (target, low, high))
        case _:
            return None
    if len(floor) != k or equal.shape[1] != k or matrix.shape[1] != k:
        raise SpecificationError(
            f"rules speak of different numbers of outputs: `{rule.name}` of {constraint.size}, others of {width}; say "
            f"which `outputs` each speaks of"
        )
    if depends_on_input(rule):
        target = np.full_like(target, np.nan)
    wide = [np.zeros((len(part), n)) for part in (equal, matrix)]
    for block, part in zip(wide, (equal, matrix), strict=True):
        block[:, columns] = part
    all_low, all_high = np.full(n, -np.inf), np.full(n, np.inf)
    all_low[columns], all_high[columns] = floor, ceiling
    return LinearRows(wide[0], target, wide[1], low, high, all_low, all_high)


def depends_on_input(rule: OutputRule) -> bool:
    """Whether the rule gives its set a context."""
    target = getattr(rule.constraint, "target", rule.constraint)
    return target is None or (isinstance(rule.constraint, (Simplex, BoxEquality)) and _gives_context(rule))


def _gives_context(rule: OutputRule) -> bool:
    return type(rule).context is not OutputRule.context


def _fixed(target: Tensor | None, count: int) -> Numbers:
    return np.full(count, np.nan) if target is None else _array(target).reshape(count)


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
        p, m = len(found.target), len(found.low)
        tensors = [torch.from_numpy(part).to(x.device) for part in (found.target, found.low, found.high)]
        if context is not None:
            given = context.double()
            tensors = (
                list(given.split([p, m, m], dim=-1)) if isinstance(constraint, Polytope) else [given, *tensors[1:]]
            )
        target, low, high = tensors
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


def maximise(system: LinearRows, direction: Numbers | None = None) -> tuple[str, float]:
    """The most that `direction . y` can be, by HiGHS: `("optimal", value)`, `("unbounded", inf)`, `("empty", nan)`.

    Rows are scaled to length one, so that HiGHS's tolerance means the same in each.
    """
    n = system.matrix.shape[1]
    if (system.floor > system.ceiling).any():
        return "empty", np.nan
    lengths = [np.maximum(np.linalg.norm(part, axis=1), 1e-300) for part in (system.equal, system.matrix)]
    above, below = np.isfinite(system.high), np.isfinite(system.low)
    rows, high, low = system.matrix / lengths[1][:, None], system.high / lengths[1], system.low / lengths[1]
    upper = np.concatenate([rows[above], -rows[below]])
    found = linprog(
        np.zeros(n) if direction is None else -direction,
        A_ub=upper if len(upper) else None,
        b_ub=np.concatenate([high[above], -low[below]]) if len(upper) else None,
        A_eq=system.equal / lengths[0][:, None] if len(system.equal) else None,
        b_eq=system.target / lengths[0] if len(system.equal) else None,
        bounds=list(zip(system.floor.tolist(), system.ceiling.tolist(), strict=True)),
    )
    if found.status == 0:
        return "optimal", -float(found.fun or 0.0)
    if found.status == 3:
        return "unbounded", np.inf
    if found.status == 2 and direction is not None:  # HiGHS may call an unbounded problem infeasible
        return ("unbounded", np.inf) if maximise(system)[0] != "empty" else ("empty", np.nan)
    return "empty" if found.status == 2 else "optimal", np.nan


def output_width(rules: Mapping[str, Rule], outputs: int | None) -> tuple[int, bool]:
    """How many outputs the rules speak of together, and whether that is known or only the least it can be."""
    if outputs is not None:
        return outputs, True
    widths, sizes = [1], set()
    known = True
    for rule in rules.values():
        if isinstance(rule, OutputRule) and rule.index is not None:
            widths.append(int(rule.index.max()) + 1)
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
