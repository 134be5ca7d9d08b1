"""Several hard rules on the same outputs, as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from torch import Tensor

from constraints.errors import SpecificationError, UnsupportedError
from constraints.rules import AllowedClasses, LinearEquality, OutputRule, Rule
from constraints.sets import Affine, Box, BoxEquality, ProjectableConstraint, Simplex

__all__ = ["JointRule", "find_conflict"]


@final
@dataclass(frozen=True, slots=True)
class _Linear:
    """A linear system on named columns: `matrix y = target` (NaN where the target depends on the input), bounds."""

    columns: tuple[int, ...]
    matrix: NDArray[np.float64]
    target: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def _linear(rule: OutputRule, width: int) -> _Linear | None:
    """The linear system of a rule, or None where its set is of another kind."""
    constraint = rule.constraint
    columns = tuple(range(width)) if rule.index is None else tuple(rule.index.tolist())
    n = len(columns)
    low, high = np.full(n, -np.inf), np.full(n, np.inf)
    matrix, target = np.zeros((0, n)), np.zeros(0)
    match constraint:
        case Box():
            low, high = np.zeros(n) + _array(constraint.low), np.zeros(n) + _array(constraint.high)
        case Affine():
            matrix = _array(constraint.matrix)
            target = np.full(len(matrix), np.nan) if constraint.target is None else _array(constraint.target)
        case Simplex():
            matrix, target, low = np.ones((1, n)), _array(constraint.total).reshape(1), np.zeros(n)
        case BoxEquality():
            matrix = _array(constraint.coefficients)[None]
            target = np.full(1, np.nan) if constraint.target is None else _array(constraint.target).reshape(1)
            low, high = np.zeros(n) + _array(constraint.box.low), np.zeros(n) + _array(constraint.box.high)
        case _:
            return None
    if _depends(rule):
        target = np.full(len(target), np.nan)
    return _Linear(columns, matrix, target, low, high)


def _depends(rule: OutputRule) -> bool:
    """Whether the set's target comes from the input."""
    if isinstance(rule, LinearEquality):
        return getattr(rule.constraint, "target", None) is None
    return type(rule).context is not OutputRule.context


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().double().cpu().numpy()


def _width(rules: Mapping[str, Rule], outputs: int | None) -> tuple[int, bool]:
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
            f"hard rules {list(rules)} speak of different numbers of outputs: {sorted(sizes | {max(widths)})}; "
            f"say which `outputs` each speaks of"
        )
    return (sizes.pop(), True) if sizes else (max(widths), known)


def _stack(systems: list[_Linear], width: int) -> _Linear:
    """All systems as one over `width` columns."""
    low, high = np.full(width, -np.inf), np.full(width, np.inf)
    rows = []
    for s in systems:
        cols = list(s.columns)
        low[cols], high[cols] = np.maximum(low[cols], s.low), np.minimum(high[cols], s.high)
        block = np.zeros((len(s.matrix), width))
        block[:, cols] = s.matrix
        rows.append(block)
    matrix = np.concatenate(rows) if rows else np.zeros((0, width))
    target = np.concatenate([s.target for s in systems]) if systems else np.zeros(0)
    return _Linear(tuple(range(width)), matrix, target, low, high)


def _feasible(system: _Linear) -> bool:
    """Whether some point satisfies the bounds and the equalities whose target is fixed."""
    if (system.low > system.high).any():
        return False
    fixed = ~np.isnan(system.target)
    if not fixed.any():
        return True
    bounds = list(zip(system.low.tolist(), system.high.tolist(), strict=True))
    found = linprog(np.zeros(len(bounds)), A_eq=system.matrix[fixed], b_eq=system.target[fixed], bounds=bounds)
    return int(found.status) != 2  # 2: infeasible


def find_conflict(rules: Mapping[str, Rule], outputs: int | None = None) -> tuple[str, ...]:
    """The names of the smallest subset of linear rules that no output satisfies together; empty where all can hold.

    Equalities whose target depends on the input are left out: whether they can hold is a question for each sample.
    So are sums over all outputs where it is not known how many there are.

    Args:
        rules: the rules by name, bound.
        outputs: how many outputs there are, where that is known.

    Example:
        >>> from constraints.rules import Bounds
        >>> find_conflict({"up": Bounds(low=1.0), "down": Bounds(high=0.0), "any": Bounds(low=-5.0)})
        ('up', 'down')
    """
    width, known = _width(rules, outputs)
    systems: dict[str, _Linear] = {}
    for name, rule in rules.items():
        if not known and isinstance(rule.constraint, Simplex) and isinstance(rule, OutputRule) and rule.index is None:
            continue
        if isinstance(rule, OutputRule) and not isinstance(rule, AllowedClasses):
            system = _linear(rule, width)
            if system is not None:
                if len(system.low) != len(system.columns) or system.matrix.shape[1] != len(system.columns):
                    raise SpecificationError(
                        f"hard rules speak of different numbers of outputs: `{name}` of {system.matrix.shape[1]}, "
                        f"others of {width}; say which `outputs` each speaks of"
                    )
                systems[name] = system
    if _feasible(_stack(list(systems.values()), width)):
        return ()
    for count in range(1, len(systems) + 1):
        for names in combinations(systems, count):
            if not _feasible(_stack([systems[n] for n in names], width)):
                return names
    return tuple(systems)


@final
class JointRule(OutputRule):
    """The intersection of linear rules as one rule, with one projection.

    Args:
        rules: the rules by name, at least two.
        outputs: how many outputs there are, where that is known.

    Raises:
        UnsupportedError: no joint projection is known for this combination.
        SpecificationError: equalities that depend on each other and on the input, or a number of outputs that nobody
            has said.
    """

    def __init__(self, rules: Mapping[str, OutputRule], outputs: int | None = None) -> None:
        width, known = _width(rules, outputs)
        names = ", ".join(f"`{name}`" for name in rules)
        if not known:
            raise SpecificationError(
                f"hard rules {names} speak of all outputs, and it is not known how many there are: name the outputs in "
                f"the module, or say which `outputs` each rule speaks of"
            )
        systems = [_linear(rule, width) for rule in rules.values()]
        if any(system is None for system in systems):
            raise UnsupportedError(f"no joint projection is known for hard rules {names}: embed all but one as Soft")
        total = _stack([system for system in systems if system is not None], width)
        bounded = bool(np.isfinite(total.low).any() or np.isfinite(total.high).any())
        depends = bool(np.isnan(total.target).any())
        matrix, target = torch.from_numpy(total.matrix), None if depends else torch.from_numpy(total.target)
        low, high = torch.from_numpy(total.low), torch.from_numpy(total.high)
        constraint: ProjectableConstraint
        if not len(matrix):
            constraint = Box(low=low, high=high)
        elif not bounded:
            try:
                constraint = Affine(matrix, target)
            except SpecificationError as error:
                raise type(error)(f"hard rules {names}: {error}") from None
        elif len(matrix) == 1:
            constraint = BoxEquality(matrix[0], target=None if target is None else target[0], low=low, high=high)
        else:
            raise UnsupportedError(
                f"no joint projection is known for hard rules {names}: bounds with {len(matrix)} equalities (one is). "
                f"Embed the bounds as Soft"
            )
        super().__init__(constraint, name=" and ".join(rules), outputs=list(range(width)))
        self.parts = torch.nn.ModuleDict(dict(rules))
        self.depends = depends

    def context(self, x: Tensor | None) -> Tensor | None:
        """The targets of all equalities, fixed or not, `(*batch, m)`."""
        if not self.depends:
            return None
        targets: list[Tensor] = []
        for rule in self.parts.values():
            assert isinstance(rule, OutputRule)
            given = rule.context(x)
            fixed = getattr(rule.constraint, "target", None)
            fixed = getattr(rule.constraint, "total", None) if fixed is None else fixed
            if given is not None:
                targets.append(given)
            elif fixed is not None and x is not None:
                targets.append(fixed.to(x.device).reshape(-1).expand(*x.shape[:-1], -1))
        return torch.cat(targets, dim=-1)
