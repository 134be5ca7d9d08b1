"""How probably a number of seeds decides, and how many seeds decide with a given probability."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import special

from dkmodels.study.interval import Array, t_quantile
from dkmodels.study.verdict import ALPHA, smallest_decidable_n

__all__ = ["POWER", "decision_power", "seeds_needed"]

POWER = 0.8
MOST = 10**7  # more seeds than anybody trains
EXACT = 40  # seeds up to which the steps of the sign-flip p matter
NODES = 48


@lru_cache(maxsize=1)
def _quadrature() -> tuple[Array, Array]:
    """Nodes and weights of an integral over a probability."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return (nodes + 1) / 2, weights / 2


def decision_power(mean: float, sd: float, n: int, margin: float, *, comparisons: int = 1) -> float:
    r"""Probability that :func:`dkmodels.study.verdict.judge` decides a row of ``n`` seeds: any verdict but UNDECIDED.

    With normal differences the mean :math:`\bar d` and the spread :math:`s` are independent,
    :math:`\bar d \sim N(\mu, \sigma^2/n)` and :math:`(n-1)s^2/\sigma^2 \sim \chi^2_{n-1}`. Given s, KEEP is
    :math:`\bar d \ge \max(m, t_{1-\alpha/2,n-1}\, s/\sqrt n)` with the margin m, HARMFUL its mirror image, and
    EQUIVALENT is :math:`|\bar d| + t_{.95,n-1}\, s/\sqrt n < m`; these exclude each other, and the sum is
    integrated over s. The level :math:`\alpha` is 5 % over the number of comparisons (what Holm's method asks of the
    smallest p), taken in the steps :math:`2/2^n` of a sign-flip p of n seeds, less half a step, since with few
    seeds it finds a little less than t.
    In simulations the probability is that of verdicts to within 2 points where it is about 80 % (4 elsewhere).

    Sources: Cohen (1988), Statistical Power Analysis, chapter 2, doi:10.4324/9780203771587; Phillips (1990),
    doi:10.1007/BF01063556, for equivalence.

    Args:
        mean: True mean of the differences.
        sd: Their true standard deviation, >= 0.
        n: Number of seeds, >= 2.
        margin: Smallest useful gain, > 0, on the same scale.
        comparisons: By how much the smallest p is multiplied.

    Example:
        >>> round(decision_power(1.5, 1.0, 8, 1.0), 2), decision_power(1.5, 1.0, 5, 1.0)
        (0.9, 0.0)
    """
    if n < smallest_decidable_n(comparisons):
        return 0.0
    if sd == 0:
        return 1.0
    level = ALPHA / comparisons
    if n <= EXACT:
        level = (math.floor(level * 2 ** (n - 1)) - 0.5) / 2 ** (n - 1)
    probabilities, weights = _quadrature()
    spread = np.sqrt(special.chdtri(n - 1, 1 - probabilities) / (n - 1))  # s / sigma, shape (NODES,)
    root = math.sqrt(n)
    size, useful = mean * root / sd, margin * root / sd  # in standard errors
    cut = np.maximum(useful, t_quantile(1 - level / 2, n - 1) * spread)
    room = np.maximum(0.0, useful - t_quantile(0.95, n - 1) * spread)
    certain = special.ndtr(size - cut) + special.ndtr(-size - cut)
    equivalent = special.ndtr(room - size) - special.ndtr(-room - size)
    return float(weights @ (certain + equivalent))


def seeds_needed(mean: float, sd: float, margin: float, *, comparisons: int = 1, power: float = POWER) -> int:
    """Seeds that decide a row with a given probability, where its mean and spread are the true ones.

    The fewest from which on the probability stays at ``power`` or above, found by doubling and bisection. A mean at the
    margin is never decided with more than one half: the answer is then ``MOST``, as it is wherever more were needed.

    Args:
        mean: Mean of the differences.
        sd: Their standard deviation, >= 0.
        margin: Smallest useful gain, > 0, on the same scale.
        comparisons: By how much the smallest p is multiplied.
        power: Probability of a verdict.

    Raises:
        ValueError: If ``sd`` is negative, ``margin`` is not positive, or a value is not finite.

    Example:
        >>> seeds_needed(1.5, 1.0, 1.0), seeds_needed(0.0, 1.0, 1.0), seeds_needed(1.0, 1.0, 1.0) == MOST
        (7, 11, True)
    """
    if not (math.isfinite(mean) and math.isfinite(sd) and sd >= 0 and math.isfinite(margin) and margin > 0):
        raise ValueError(
            f"`seeds_needed` needs finite mean, sd >= 0 and margin > 0, got mean={mean}, sd={sd}, margin={margin}"
        )
    low = smallest_decidable_n(comparisons)
    if decision_power(mean, sd, low, margin, comparisons=comparisons) >= power:
        return low
    high = 2 * low
    while high < MOST and decision_power(mean, sd, high, margin, comparisons=comparisons) < power:
        low, high = high, 2 * high
    if high >= MOST:
        return MOST
    while high - low > 1:
        middle = (low + high) // 2
        if decision_power(mean, sd, middle, margin, comparisons=comparisons) < power:
            low = middle
        else:
            high = middle
    return high
