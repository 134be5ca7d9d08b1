"""Which derivatives travel through a network together, and how they mix where a layer is not linear."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from constraints.errors import SpecificationError
from constraints.fields.operators import DifferentialOperator, MultiIndex

__all__ = ["Plan", "Streams", "plan"]

HIGHEST = 4
Terms = dict[tuple[int, ...], float]  # a polynomial in streams: coefficient by the (sorted) places of the factors


@final
@dataclass(frozen=True, eq=False)
class Streams:
    r"""The operators whose values a jet carries, after the value itself (stream 0).

    Closed: every proper part of every derivative in them is a stream of its own, so that the chain rule
    (Faà di Bruno) and the product rule (Leibniz) need nothing else. Sums are one stream where only the sum is wanted.

    Attributes:
        coordinates: how many coordinates the field has.
        operators: what stream 1, 2, ... carries; single derivatives first, by order.
        programs: what was compiled for them, by the streams kept.
        units: unit matrices of the coordinates.

    Example:
        >>> streams = plan([DifferentialOperator({(2, 0): 1.0, (0, 2): 1.0})]).streams
        >>> [dict(operator.terms) for operator in streams.operators]
        [{(1, 0): 1.0}, {(0, 1): 1.0}, {(0, 2): 1.0, (2, 0): 1.0}]
        >>> streams.chain[2]  # of f(u), beside f'(u) times the stream: f''(u) (u_x^2 + u_y^2)
        {(1, 1): 1.0, (2, 2): 1.0}
    """

    coordinates: int
    operators: tuple[DifferentialOperator, ...]
    programs: dict[tuple[int, ...], object] = field(default_factory=dict, repr=False)
    units: dict[tuple[torch.dtype, torch.device], Tensor] = field(default_factory=dict, repr=False)

    def unit(self, like: Tensor) -> Tensor:
        """The slopes of the coordinates themselves, `(coordinates, coordinates)`."""
        if torch.compiler.is_compiling():
            return torch.eye(self.coordinates, dtype=like.dtype, device=like.device)
        key = (like.dtype, like.device)
        if key not in self.units:
            with torch.inference_mode(False):
                self.units[key] = torch.eye(self.coordinates, dtype=like.dtype, device=like.device)
        return self.units[key]

    def __len__(self) -> int:
        return 1 + len(self.operators)

    @cached_property
    def place(self) -> dict[MultiIndex, int]:
        """Of the streams that carry a single derivative."""
        return {
            next(iter(operator.terms)): i
            for i, operator in enumerate(self.operators, start=1)
            if len(operator.terms) == 1
        }

    @cached_property
    def order(self) -> int:
        """The highest order of derivatives."""
        return max((operator.order for operator in self.operators), default=0)

    @cached_property
    def chain(self) -> tuple[Terms, ...]:
        """Of each stream of `f(u)`, the products of streams of `u` that the second and higher derivatives multiply."""
        return tuple(self._sum(operator) for operator in self.operators)

    @cached_property
    def product(self) -> tuple[Terms, ...]:
        """Of each stream of `u v`, the products of a stream of `u` and one of `v`, neither of them stream 0."""
        found = []
        for operator in self.operators:
            terms: Terms = {}
            for alpha, factor in operator.terms.items():
                for beta in _proper(alpha):
                    rest = _minus(alpha, beta)
                    ways = math.prod(math.comb(a, b) for a, b in zip(alpha, beta, strict=True))
                    key = (self.place[beta], self.place[rest])
                    terms[key] = terms.get(key, 0.0) + factor * ways
            found.append(terms)
        return tuple(found)

    @cached_property
    def affine(self) -> tuple[Terms, ...]:
        """Of each stream of `f(u)` where `u` is affine, the products of slopes (by coordinate) by derivative of `f`."""
        return tuple(
            {
                tuple(i for i, times in enumerate(alpha) for _ in range(times)): factor
                for alpha, factor in operator.terms.items()
            }
            for operator in self.operators
        )

    def _sum(self, operator: DifferentialOperator) -> Terms:
        terms: Terms = {}
        for alpha, factor in operator.terms.items():
            for blocks in _chain(alpha):
                key = tuple(sorted(self.place[block] for block in blocks))
                terms[key] = terms.get(key, 0.0) + factor
        return dict(sorted(terms.items()))


@final
@dataclass(frozen=True, eq=False)
class Plan:
    """How wanted operators are found.

    Attributes:
        streams: what travels through the network.
        sums: of each operator, the places and factors of the streams that it is the sum of.
        keep: the places that occur in them.
    """

    streams: Streams
    sums: tuple[tuple[tuple[int, float], ...], ...]
    keep: tuple[int, ...]


def plan(wanted: Sequence[DifferentialOperator]) -> Plan:
    """The fewest streams that give all wanted operators, and how: places and factors of each one's sum.

    Raises:
        SpecificationError: nothing wanted, different numbers of coordinates, an order above 4.

    Example:
        >>> heat = DifferentialOperator({(0, 1): 1.0, (2, 0): -0.1})  # one stream, beside u and u_x
        >>> found = plan([heat])
        >>> len(found.streams), found.sums
        (3, (((2, 1.0),),))
    """
    if not wanted:
        raise SpecificationError("`Derivatives` needs at least one operator, got none")
    coordinates = wanted[0].coordinates
    for operator in wanted:
        if operator.coordinates != coordinates:
            raise SpecificationError(
                f"operators need as many coordinates as each other, got {coordinates} and {operator.coordinates}"
            )
        if operator.order > HIGHEST:
            raise SpecificationError(f"derivatives need an order <= {HIGHEST}, got order {operator.order}")
    parts = {beta for operator in wanted for alpha in operator.terms for beta in _proper(alpha)}
    single = sorted(parts, key=lambda alpha: (sum(alpha), tuple(-a for a in alpha)))
    rest = [
        {alpha: c for alpha, c in operator.terms.items() if alpha not in parts and any(alpha)} for operator in wanted
    ]
    tops = sorted({alpha for terms in rest for alpha in terms})
    table = np.array([[terms.get(alpha, 0.0) for alpha in tops] for terms in rest]).reshape(len(rest), len(tops))
    basis, weights = _independent(table)
    sums = [DifferentialOperator(dict(zip(tops, row, strict=True))) for row in basis]
    operators = (*(DifferentialOperator({alpha: 1.0}) for alpha in single), *sums)
    streams = Streams(coordinates, operators)
    readout = []
    for operator, weight in zip(wanted, weights, strict=True):
        factors = {0: operator.terms.get((0,) * coordinates, 0.0)}
        factors |= {i: operator.terms.get(alpha, 0.0) for i, alpha in enumerate(single, start=1)}
        factors |= dict(enumerate(weight, start=1 + len(single)))
        readout.append(tuple((i, float(c)) for i, c in factors.items() if c))
    keep = tuple(sorted({place for terms in readout for place, _ in terms})) or (0,)
    return Plan(streams, tuple(readout), keep)


def _independent(table: npt.NDArray[np.float64]) -> tuple[list[list[float]], npt.NDArray[np.float64]]:
    """Rows that span all rows, and the weights that make the rows of them; single entries become 1."""
    rows: list[list[float]] = []
    weights = np.zeros((len(table), 0))
    size = float(np.abs(table).max(initial=0.0))
    if not size:
        return rows, weights
    used = [i for i, row in enumerate(table) if np.any(row)]
    unique = {tuple(table[i] / table[i][np.flatnonzero(table[i])[0]]): i for i in used}
    basis = np.array([key if np.count_nonzero(key) == 1 else table[i] for key, i in unique.items()])
    if np.linalg.matrix_rank(basis) < len(basis):
        basis = _echelon(basis)
    weights = np.linalg.lstsq(basis.T, table.T, rcond=None)[0].T
    weights[np.abs(weights) < 1e-13 * np.abs(weights).max()] = 0.0
    weights[np.abs(weights - np.round(weights)) < 1e-13] = np.round(
        weights[np.abs(weights - np.round(weights)) < 1e-13]
    )
    return [[float(c) for c in row] for row in basis], weights


def _echelon(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The reduced row echelon form without its zero rows."""
    rows, top = rows.copy(), 0
    small = 1e-12 * np.abs(rows).max()
    for column in range(rows.shape[1]):
        if top == len(rows):
            break
        pivot = top + int(np.abs(rows[top:, column]).argmax())
        if abs(rows[pivot, column]) <= small:
            rows[top:, column] = 0.0
            continue
        rows[[top, pivot]] = rows[[pivot, top]]
        rows[top] /= rows[top, column]
        for i in range(len(rows)):
            if i != top:
                rows[i] -= rows[i, column] * rows[top]
        top += 1
    rows[np.abs(rows) <= small] = 0.0
    return rows[:top]


def _proper(alpha: MultiIndex) -> Iterator[MultiIndex]:
    """All parts of a derivative but none and itself."""
    for beta in itertools.product(*(range(a + 1) for a in alpha)):
        if any(beta) and beta != alpha:
            yield beta


def _minus(alpha: MultiIndex, beta: MultiIndex) -> MultiIndex:
    return tuple(a - b for a, b in zip(alpha, beta, strict=True))


def _chain(alpha: MultiIndex) -> Iterator[list[MultiIndex]]:
    """All ways to part a derivative into two or more blocks, repeated as often as they occur."""
    letters = [i for i, times in enumerate(alpha) for _ in range(times)]
    for blocks in _partitions(letters):
        if len(blocks) > 1:
            yield [tuple(block.count(i) for i in range(len(alpha))) for block in blocks]


def _partitions(letters: list[int]) -> Iterator[list[list[int]]]:
    if not letters:
        yield []
        return
    first, *rest = letters
    for blocks in _partitions(rest):
        yield [[first], *blocks]
        for i, block in enumerate(blocks):
            yield [*blocks[:i], [first, *block], *blocks[i + 1 :]]
