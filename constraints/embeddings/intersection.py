"""Several hard rules on the same outputs, as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from constraints.errors import SpecificationError, UnsupportedError
from constraints.rules import OutputRule
from constraints.rules.linear_rows import LinearRows, linear_rows, output_width, sample_numbers, sample_rows, stack_rows
from constraints.sets import (
    Affine,
    Box,
    BoxEquality,
    Fallback,
    Interior,
    Polytope,
    ProjectableConstraint,
    Raise,
    VaryingPolytope,
)

__all__ = ["JointRule", "common_fallback"]


@final
class JointRule(OutputRule):
    """The intersection of linear rules as one rule, with one projection.

    Args:
        rules: the rules by name, at least two.
        outputs: how many outputs there are, where that is known.

    Raises:
        UnsupportedError: no joint projection is known for this combination.
        SpecificationError: equalities that depend on each other and on the input, a number of outputs that nobody has
            said, or rules with different fallbacks.

    Example:
        >>> from constraints.rules import Bounds, LinearEquality
        >>> joint = JointRule({"sum": LinearEquality([[1.0, 1.0]], [1.0]), "positive": Bounds(low=0.0)})
        >>> joint.enforce(torch.tensor([[2.0, 0.0]]))
        tensor([[1., 0.]])
    """

    def __init__(self, rules: Mapping[str, OutputRule], outputs: int | None = None) -> None:
        width, known = output_width(rules, outputs)
        names = ", ".join(f"`{name}`" for name in rules)
        if not known:
            raise SpecificationError(
                f"rules {names} apply to all outputs, and it is not known how many there are: name the outputs in "
                f"the module, or pass `outputs` to each rule"
            )
        systems = {name: linear_rows(rule, width) for name, rule in rules.items()}
        varying = {name for name, rule in rules.items() if isinstance(rule.constraint, VaryingPolytope)}
        unknown = [name for name, system in systems.items() if system is None and name not in varying]
        if unknown:
            raise UnsupportedError(
                f"no joint projection is known for rules {names}: `{unknown[0]}` is not linear. Embed it as Soft"
            )
        fallback = common_fallback(list(rules.values()), names, width)
        total = stack_rows([system for system in systems.values() if system is not None] or [_nothing(width)])
        bounded = np.isfinite(total.floor) | np.isfinite(total.ceiling)
        constraint: ProjectableConstraint
        try:
            if varying:
                count = [_count(rules[name], systems[name]) for name in rules]
                p = sum(equalities for equalities, _ in count)
                constraint = VaryingPolytope(
                    p + sum(rows for _, rows in count) + int(bounded.sum()), width, equalities=p, fallback=fallback
                )
            else:
                constraint = _intersect(total, bounded, fallback)
        except SpecificationError as error:
            raise type(error)(f"rules {names}: {error}") from None
        super().__init__(constraint, name=" and ".join(rules), outputs=list(range(width)))
        self.parts = torch.nn.ModuleDict(dict(rules))
        self.width = width
        self.depends = total.depends or bool(varying)
        self.register_buffer("limited", torch.from_numpy(bounded), persistent=False)
        self.register_buffer("floor", torch.from_numpy(total.floor[bounded]), persistent=False)
        self.register_buffer("ceiling", torch.from_numpy(total.ceiling[bounded]), persistent=False)
        self.part_depends = [system is None or system.depends for system in systems.values()]
        for i, system in enumerate(systems.values()):
            for name in ("target", "low", "high") if system is not None else ():
                self.register_buffer(f"{name}_{i}", torch.from_numpy(getattr(system, name)), persistent=False)

    limited: Tensor
    floor: Tensor
    ceiling: Tensor

    @property
    def context_width(self) -> int:
        """How many numbers the context of a sample has, where it is not a whole system."""
        if not self.depends:
            return 0
        constraint = self.constraint
        rows = 2 * len(constraint.matrix) if isinstance(constraint, Polytope) else 0
        return constraint.equalities + rows

    def context(self, x: Tensor | None) -> Tensor | None:
        """All numbers of the joint set, fixed or not, in the order that it takes them."""
        if not self.depends:
            return None
        if x is None:
            raise SpecificationError(f"rules `{self.name}` depend on the input, got x=None")
        parts = [rule for rule in self.parts.values() if isinstance(rule, OutputRule)]
        if isinstance(self.constraint, VaryingPolytope):
            return self._systems(parts, x)
        found = [
            sample_numbers(rule, rule.context(x), self._fixed(i), depends=self.part_depends[i])
            for i, rule in enumerate(parts)
        ]
        batch = torch.broadcast_shapes(*(part.shape[:-1] for numbers in found for part in numbers))
        target, low, high = (torch.cat([_spread(numbers[k], batch) for numbers in found], dim=-1) for k in range(3))
        if not isinstance(self.constraint, Polytope):
            return target
        floor, ceiling = _spread(self.floor, batch), _spread(self.ceiling, batch)
        return torch.cat([target, low, floor, high, ceiling], dim=-1)

    def _fixed(self, part: int) -> list[Tensor]:
        return [self.get_buffer(f"{name}_{part}") for name in ("target", "low", "high")]

    def _systems(self, parts: Sequence[OutputRule], x: Tensor) -> Tensor:
        """The whole system of each sample, `(*batch, m, n + 2)`."""
        rows = [sample_rows(rule, x, self.width) for rule in parts]
        batch = torch.broadcast_shapes(*(part[1].shape[:-1] for part in rows))
        equal, target, matrix, low, high = (
            torch.cat([_spread(part[k], batch, matrix=k in (0, 2)) for part in rows], dim=-2 if k in (0, 2) else -1)
            for k in range(5)
        )
        floor, ceiling = _spread(self.floor.to(target), batch), _spread(self.ceiling.to(target), batch)
        eye = torch.eye(self.width, dtype=matrix.dtype, device=x.device)[self.limited]
        coefficients = torch.cat([equal, matrix, _spread(eye, batch, matrix=True)], dim=-2)
        lower, upper = torch.cat([target, low, floor], dim=-1), torch.cat([target, high, ceiling], dim=-1)
        return torch.cat([coefficients, lower[..., None], upper[..., None]], dim=-1)


def _intersect(
    total: LinearRows, bounded: np.ndarray[tuple[int], np.dtype[np.bool]], fallback: Fallback
) -> ProjectableConstraint:
    """The set of all rows and bounds, as the most special set that holds it."""
    equal, low, high = (torch.from_numpy(part) for part in (total.equal, total.floor, total.ceiling))
    target = None if np.isnan(total.target).any() else torch.from_numpy(total.target)
    if not len(total.matrix):
        if not len(equal):
            return Box(low=low, high=high)
        if not bounded.any():
            return Affine(equal, target, fallback=fallback)
        if len(equal) == 1:
            goal = None if target is None else target[0]
            return BoxEquality(equal[0], target=goal, low=low, high=high, fallback=fallback)
    eye = np.eye(len(total.floor))[bounded]
    rows = torch.from_numpy(np.concatenate([total.matrix, eye]))
    if total.depends:
        return Polytope(rows, equal=equal, varies=True, fallback=fallback)
    lower = torch.from_numpy(np.concatenate([total.low, total.floor[bounded]]))
    upper = torch.from_numpy(np.concatenate([total.high, total.ceiling[bounded]]))
    return Polytope(rows, lower, upper, equal=equal, target=target, fallback=fallback)


def _nothing(width: int) -> LinearRows:
    none, rows = np.zeros(0), np.zeros((0, width))
    return LinearRows(rows, none, rows, none, none, np.full(width, -np.inf), np.full(width, np.inf))


def _count(rule: OutputRule, system: LinearRows | None) -> tuple[int, int]:
    """How many equalities and how many inequalities a rule has, bounds of outputs left out."""
    if isinstance(rule.constraint, VaryingPolytope):
        return rule.constraint.equalities, rule.constraint.rows - rule.constraint.equalities
    assert system is not None
    return len(system.equal), len(system.matrix)


def _spread(part: Tensor, batch: torch.Size, *, matrix: bool = False) -> Tensor:
    return part.expand(*batch, *part.shape[-2 if matrix else -1 :])


def common_fallback(rules: Sequence[OutputRule], names: str, width: int) -> Fallback:
    """The fallback that the rules agree on; those that only raise leave it to the others."""
    given = [getattr(rule.constraint, "fallback", Raise()) for rule in rules]
    special = [fallback for fallback in given if not isinstance(fallback, Raise)]
    if any(fallback is not special[0] for fallback in special):
        raise SpecificationError(f"rules {names} are joined and need one fallback, got {len(special)} different ones")
    fallback = special[0] if special else Raise()
    if isinstance(fallback, Interior) and fallback.point.shape != (width,):
        raise SpecificationError(
            f"rules {names} are joined and need an `Interior` point of all {width} outputs, got one of shape "
            f"{tuple(fallback.point.shape)}"
        )
    return fallback
