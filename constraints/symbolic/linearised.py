"""Equations and conditions linearised about a random field, on polynomials over a box."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor

from constraints.domains import Cuboid
from constraints.fields import DifferentialOperator
from constraints.functional.legendre import legendre_table
from constraints.symbolic.field_equation import FieldEquation

__all__ = ["Linearised", "Polynomials", "find_imbalance", "linearise"]

LOW = 4  # the degree of polynomials that show the size of an equation: derivatives are of this order at most
SLOW, SLOW_1D = (
    3,
    14,
)  # the degree of the weights in a condition of solvability; along a line exponentials are near some
ENOUGH, ENOUGH_1D = SLOW + 4, 30  # the degree of fields that tell such weights from all others
UNSEEN, UNSEEN_1D = 1e-14, 1e-9  # what equations see of any field under such weights, of their size: rounding
NAMED = 1e-5  # of the largest weight: rules of a smaller one have no part in a contradiction
RANDOM = 32  # degrees of the random field
ROUNDING = 1e-6  # of the size of all sources
LEAST = 1e-3  # of what flows in and out: a smaller imbalance may be the user's rounding


@final
class Polynomials:
    """Products of Legendre's polynomials over a box, of unit mean square each.

    Args:
        low: the lowest of each coordinate, `(d,)`.
        high: the highest, `(d,)`.
        degree: along each coordinate.
        total: whether it is the degree of a product as a whole, of which far fewer are needed in three coordinates.

    Example:
        >>> unit = Polynomials(torch.zeros(1).double(), torch.ones(1).double(), 1)
        >>> unit(DifferentialOperator({(0,): 1.0}), torch.tensor([[0.5], [1.0]], dtype=torch.float64))
        tensor([[1.0000, 0.0000],
                [1.0000, 1.7321]], dtype=torch.float64)
    """

    def __init__(self, low: Tensor, high: Tensor, degree: int, *, total: bool = False) -> None:
        self.low, self.high, self.degree = low, high, degree
        exponents = torch.tensor(list(itertools.product(range(degree + 1), repeat=len(low))))
        self.exponents = exponents[exponents.sum(dim=1) <= degree] if total else exponents

    def __len__(self) -> int:
        """How many products there are."""
        return len(self.exponents)

    def __call__(self, operator: DifferentialOperator, points: Tensor) -> Tensor:
        """An operator on each product at points, `(n, d)` to `(n, k)`."""
        scale = 2.0 / (self.high - self.low)
        z = (points - self.low) * scale - 1.0
        found = points.new_zeros(len(points), len(self))
        for orders, factor in operator.terms.items():
            part = points.new_full((len(points), len(self)), factor)
            for axis, order in enumerate(orders):
                table = legendre_table(z[:, axis], self.degree, order) * scale[axis] ** order
                part = part * table[:, self.exponents[:, axis]]
            found += part
        return found

    def values(self, points: Tensor) -> Tensor:
        """The products themselves, `(n, d)` to `(n, k)`."""
        return self(DifferentialOperator({(0,) * len(self.low): 1.0}), points)

    def nodes(self, count: int) -> tuple[Tensor, Tensor]:
        """Gauss's nodes of the box, `count` along each coordinate, and the roots of their weights, whose sum is 1."""
        z, w = (torch.from_numpy(one) for one in np.polynomial.legendre.leggauss(count))
        d = len(self.low)
        grid = torch.cartesian_prod(*[z] * d).reshape(-1, d)
        weights = torch.cartesian_prod(*[w / 2.0] * d).reshape(-1, d).prod(dim=1)
        return self.low + (grid + 1.0) / 2.0 * (self.high - self.low), weights.sqrt()


@final
@dataclass(frozen=True)
class Linearised:
    """Slopes of the residuals about a random field, each equation by its unit.

    Attributes:
        slopes: of each rule how its residuals change with each coefficient, `(points, equations, coefficients)`.
        units: of each rule by what its residuals are divided, `(equations,)`.
        linear: of each rule whether its residuals are linear in the fields.
        spaces: of each rule the slowly varying polynomials over its own box.
        count: of nodes along each coordinate.
    """

    slopes: tuple[Tensor, ...]
    units: tuple[Tensor, ...]
    linear: tuple[bool, ...]
    spaces: tuple[Polynomials, ...]
    count: int

    @cached_property
    def _decomposition(self) -> tuple[Tensor, Tensor]:
        slopes = torch.cat([s.flatten(0, 1) for s in self.slopes])
        missing = max(slopes.shape[1] - slopes.shape[0], 0)  # fewer equations than coefficients see nothing of some
        _, sizes, vectors = torch.linalg.svd(slopes, full_matrices=missing > 0)
        return torch.cat([sizes, sizes.new_zeros(missing)]), vectors

    @property
    def sizes(self) -> Tensor:
        """What the rules see of changes of unit size, falling, `(n,)`."""
        return self._decomposition[0]

    @property
    def vectors(self) -> Tensor:
        """These changes, `(n, coefficients)`."""
        return self._decomposition[1]


def linearise(rules: Mapping[str, FieldEquation], space: Polynomials) -> Linearised:
    """How the residuals of rules change with each coefficient of polynomials.

    Args:
        rules: of the same fields.
        space: the polynomials.
    """
    fields = len(next(iter(rules.values())).fields)
    draw = torch.Generator().manual_seed(0)
    small = 0.3 ** space.exponents.sum(dim=1)  # smooth, so that what is free is near a polynomial
    start, other = (
        0.1 * small * torch.randn(fields, len(space), generator=draw, dtype=torch.float64) for _ in range(2)
    )
    slopes, units, linear, spaces = [], [], [], []
    count = space.degree + 3
    for rule in rules.values():
        slow = Polynomials(*_own_bounds(rule, space), _slow(space))
        points, roots = _points(rule, slow, count)
        residual, slope = rule.linearise(space, start, points)
        predicted = residual + torch.einsum("pmfk,fk->pm", slope, other - start)
        found = rule.linearise(space, other, points)[0]
        size = max(float(residual.abs().max()), float(found.abs().max()))
        linear.append(bool((predicted - found).abs().max() <= 1e-9 * size))
        slope = roots[:, None, None] * slope.flatten(2)
        units.append(_unit(slope, space))
        slopes.append(slope / units[-1][:, None])
        spaces.append(slow)
    return Linearised(tuple(slopes), tuple(units), tuple(linear), tuple(spaces), count)


def _random_field(fields: int, space: Polynomials, seed: int) -> Tensor:
    """Coefficients of a smooth field, so that what is free is near a polynomial; the same of every degree."""
    draw = torch.Generator().manual_seed(seed)
    table = torch.randn(fields, *[RANDOM] * space.exponents.shape[1], generator=draw, dtype=torch.float64)
    kept = space.exponents.clamp(max=RANDOM - 1)
    small = torch.where((space.exponents < RANDOM).all(dim=1), 0.3 ** space.exponents.sum(dim=1), 0.0)
    places = list(kept.unbind(dim=1))
    return 0.1 * small * torch.stack([one[places] for one in table])


def find_imbalance(rules: Mapping[str, FieldEquation], space: Polynomials) -> str:
    r"""Why the linear rules have no solution together; empty where they may have one.

    Weights of the equations under whose integral no field is seen, :math:`\sum_i \int \lambda_i L_i u = 0`, must not
    see the sources either (Fredholm's alternative). Those that are nearly polynomials of a low degree are found; the
    sources are integrated by several of Gauss's rules, and what these do not resolve is no imbalance.

    Args:
        rules: of the same fields.
        space: polynomials over the box of all.
    """
    line = len(space.low) == 1
    enough, unseen_size = (ENOUGH_1D, UNSEEN_1D) if line else (ENOUGH, UNSEEN)
    system = linearise(rules, Polynomials(space.low, space.high, max(space.degree, enough)))
    kept = [  # what is learnt may balance the rest
        (name, rule, i) for i, (name, rule) in enumerate(rules.items()) if system.linear[i] and not rule.learnables
    ]
    if not kept:
        return ""
    seen = []
    for _, rule, i in kept:
        basis = _weights(rule, system.spaces[i], system.count)
        seen.append(torch.einsum("pmc,pq->mqc", system.slopes[i], basis).flatten(0, 1))
    together = torch.cat(seen)
    if line:  # each polynomial by what all rules see of it, so that high ones, of large derivatives, do not outweigh
        together = together / torch.cat([s.flatten(0, 1) for s in system.slopes]).norm(dim=0).clamp(min=1e-300)
    left, sizes, _ = torch.linalg.svd(together)
    rank = int((sizes > unseen_size * sizes.max().clamp(min=1.0)).sum())
    unseen = left[:, rank:]
    sums = [_sums(kept, system, unseen, n * system.count) for n in ((2, 3, 5, 7, 4) if line else (2, 3, 4))]
    value, worst, flow, size = sums[-1]
    imbalance, error = float(value.norm()), max(float((value - other[0]).norm()) for other in sums[:-1])
    if imbalance <= max(ROUNDING * size, LEAST * flow, 4.0 * error):
        return ""
    shares = [float(weight.norm()) for weight in worst]
    named = ", ".join(
        f"`{name}`" for (name, *_), share in zip(kept, shares, strict=True) if share > NAMED * max(shares)
    )
    return (
        f"rules {named} have no solution together: whatever the fields are, {100 * imbalance / flow:.3g} % of their "
        f"sources remain. What flows in must flow out: check that sources and values at the boundary are in balance"
    )


Kept = list[tuple[str, FieldEquation, int]]


def _sums(kept: Kept, system: Linearised, unseen: Tensor, count: int) -> tuple[Tensor, list[Tensor], float, float]:
    """The sources under each weight, the worst weights by rule, how much flows under them, the norm of all sources."""
    integrands, size = [], 0.0
    for _, rule, i in kept:
        points, roots = _points(rule, system.spaces[i], count)
        zero = torch.zeros(len(rule.fields), 1, dtype=torch.float64)
        source = roots[:, None] * rule.linearise(_nothing, zero, points)[0] / system.units[i]
        integrands.append(torch.einsum("pm,pq->pmq", source, _weights(rule, system.spaces[i], count)))
        size = math.hypot(size, float(source.norm()))
    value = unseen.mT @ torch.cat([one.sum(dim=0).flatten() for one in integrands])
    worst = (unseen @ (value / value.norm().clamp(min=1e-300))).split([one[0].numel() for one in integrands])
    flow = 0.0
    for one, weight in zip(integrands, worst, strict=True):
        flow += float((one * weight.reshape(one.shape[1:])).sum(dim=2).abs().sum())
    return value, list(worst), flow, size


def _slow(space: Polynomials) -> int:
    return SLOW_1D if len(space.low) == 1 else SLOW


def _nothing(operator: DifferentialOperator, points: Tensor) -> Tensor:
    """A basis of the field that is 0 everywhere."""
    return torch.zeros_like(points[:, :1])


def _points(rule: FieldEquation, space: Polynomials, count: int) -> tuple[Tensor, Tensor]:
    """Where a rule is tested, and the roots of the weights; of a rule that is the same everywhere one point."""
    return space.nodes(1 if rule.constant else count)


def _weights(rule: FieldEquation, space: Polynomials, count: int) -> Tensor:
    """Slow polynomials by the roots of the weights, orthonormal, `(points, q)`."""
    points, roots = _points(rule, space, count)
    table = roots[:, None] * space.values(points)
    return table[:, :1] if rule.constant else table


def _own_bounds(rule: FieldEquation, space: Polynomials) -> tuple[Tensor, Tensor]:
    """Where a rule is tested: its own box, without the coordinates that this fixes."""
    if not isinstance(rule.domain, Cuboid):
        return space.low, space.high
    low, high = rule.domain.bounds
    fixed = low == high
    return torch.where(fixed, space.low, low), torch.where(fixed, space.high, high)


def _unit(slopes: Tensor, space: Polynomials) -> Tensor:
    """By what to divide each equation so that it sees 1 to 1000 of low polynomials: units may make it any size."""
    low = (space.exponents <= LOW).all(dim=1).repeat(slopes.shape[2] // len(space))
    seen = slopes[:, :, low].square().sum(dim=0).sqrt().amax(dim=-1)
    return torch.where(seen > 0, seen / seen.clamp(1.0, 1000.0), 1.0)
