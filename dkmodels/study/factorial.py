"""What rules do together: factorial effects and Shapley values from the arms of a full factorial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from dkmodels.study.interval import Array, paired_interval, vector


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FactorialEffect:
    """One factorial effect: of one rule (main), of several together (interaction), or of none (the grand mean).

    ``mean``, ``low`` and ``high`` are on the scale of the cells; the bounds are those of a 95 % t interval over seeds.
    """

    rules: tuple[str, ...]
    mean: float
    low: float
    high: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ShapleyValue:
    """A rule's fair share of what all rules together change; ``values`` holds one share a seed."""

    rule: str
    mean: float
    low: float
    high: float
    values: tuple[float, ...]


def _subsets(rules: Sequence[str]) -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(rules, size) for size in range(len(rules) + 1)))


def _factorial(
    cells: Mapping[frozenset[str], ArrayLike], function: str
) -> tuple[list[str], dict[frozenset[str], Array]]:
    """Rules in order, and the cells as arrays, after checking that all 2^k subsets are there with the same seeds."""
    rules = sorted(frozenset().union(*cells))
    missing = [subset for subset in _subsets(rules) if frozenset(subset) not in cells]
    if missing or not rules:
        raise ValueError(f"`{function}` needs every subset of the rules {rules}, got none for {missing}")
    arrays = {subset: vector(values, function, 2) for subset, values in cells.items()}
    if len({len(values) for values in arrays.values()}) > 1:
        raise ValueError(f"`{function}` needs the same seeds in every cell, got {[len(v) for v in arrays.values()]}")
    return rules, arrays


def interactions(cells: Mapping[frozenset[str], ArrayLike]) -> tuple[FactorialEffect, ...]:
    r"""All 2^k factorial effects, in the usual +/- coding, taken at each seed.

    :math:`e_T = 2^{1-k} \sum_S (-1)^{|T \setminus S|}\, y_S`: for one rule, the mean with it less the mean without it;
    for two, half the difference of one rule's effect with and without the other. The empty T is the grand mean
    (:math:`2^{-k} \sum_S y_S`). For costs pass logarithms. The intervals are 95 % and not adjusted for their number.

    Source: Yates (1937), The Design and Analysis of Factorial Experiments; Box, Hunter and Hunter (2005), chapter 5.

    Args:
        cells: From the set of rules switched on to the values over seeds, shape ``(n,)``, n >= 2; all 2^k sets.

    Raises:
        ValueError: If a subset is missing, lengths differ, or a value is not finite.

    Example:
        >>> cells = {frozenset(): [0.0, 0.0], frozenset("a"): [1.0, 1.0],
        ...          frozenset("b"): [2.0, 2.0], frozenset("ab"): [5.0, 5.0]}
        >>> [(effect.rules, effect.mean) for effect in interactions(cells)]
        [((), 2.0), (('a',), 2.0), (('b',), 3.0), (('a', 'b'), 1.0)]
    """
    rules, arrays = _factorial(cells, "interactions")
    found = []
    for subset in _subsets(rules):
        contrast = sum(((-1.0) ** len(set(subset) - on) * y for on, y in arrays.items()), np.zeros(1))
        interval = paired_interval(contrast / 2.0 ** (len(rules) - (1 if subset else 0)))
        found.append(FactorialEffect(rules=subset, mean=interval.mean, low=interval.low, high=interval.high))
    return tuple(found)


def shapley(cells: Mapping[frozenset[str], ArrayLike]) -> tuple[ShapleyValue, ...]:
    r"""Shapley value of each rule at each seed; at every seed they sum to all less none.

    :math:`\phi_i = \sum_{S \not\ni i} \frac{|S|!\,(k-|S|-1)!}{k!}\, (y_{S \cup i} - y_S)`.

    Source: Shapley (1953), A value for n-person games, doi:10.1515/9781400881970-018.

    Args:
        cells: As in :func:`interactions`.

    Raises:
        ValueError: If a subset is missing, lengths differ, or a value is not finite.

    Example:
        >>> cells = {frozenset(): [0.0, 0.0], frozenset("a"): [1.0, 1.0],
        ...          frozenset("b"): [2.0, 2.0], frozenset("ab"): [5.0, 5.0]}
        >>> [(value.rule, value.mean) for value in shapley(cells)]
        [('a', 2.0), ('b', 3.0)]
    """
    rules, arrays = _factorial(cells, "shapley")
    k = len(rules)
    found = []
    for rule in rules:
        share = np.zeros(len(arrays[frozenset()]))
        for subset in _subsets([other for other in rules if other != rule]):
            weight = 1.0 / (k * math.comb(k - 1, len(subset)))
            share += weight * (arrays[frozenset(subset) | {rule}] - arrays[frozenset(subset)])
        interval = paired_interval(share)
        values = tuple(share.tolist())
        found.append(ShapleyValue(rule=rule, mean=interval.mean, low=interval.low, high=interval.high, values=values))
    return tuple(found)
