"""The statistics of a study: pure functions of numbers, each with its formula, its source and an example.

A *difference* is arm minus baseline at one seed; seeds are the independent units, so every n below counts seeds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dkmodels.study.factorial import FactorialEffect, ShapleyValue, interactions, shapley
from dkmodels.study.interval import Array, Interval, clopper_pearson, paired_interval, t_quantile, vector

__all__ = [
    "FactorialEffect",
    "Interval",
    "ShapleyValue",
    "clopper_pearson",
    "expected_gain",
    "holm",
    "interactions",
    "paired_interval",
    "pairing_correlation",
    "shapley",
    "sign_flip_p",
    "t_quantile",
]

EXACT_SEEDS = 18  # 2^17 sums are 1 MB and some milliseconds; beyond, Monte Carlo is as good
MONTE_CARLO_FLIPS = 99_999


def sign_flip_p(differences: ArrayLike) -> float:
    r"""Two-sided sign-flip (Fisher's randomisation) p of the null that differences are symmetric about 0.

    :math:`p = \#\{\sigma \in \{-1, 1\}^n : |\sum \sigma_i d_i| \ge |\sum d_i|\} / 2^n`, over all flips up to
    ``EXACT_SEEDS`` seeds; above, over ``MONTE_CARLO_FLIPS`` random flips from a fixed seed, the data counted as one of
    them: (1 + hits) / (1 + flips). The smallest p possible is :math:`2 / 2^n`.

    Sources: Fisher (1935), The Design of Experiments, section 21; Phipson and Smyth (2010), doi:10.2202/1544-6115.1585
    for the +1.

    Args:
        differences: Differences, one a seed, shape ``(n,)``, n >= 1.

    Raises:
        ValueError: If there is no difference or one is not finite.

    Example:
        >>> sign_flip_p([1.0, 2.0, 3.0])
        0.25
        >>> sign_flip_p([0.0, 0.0])
        1.0
    """
    d = vector(differences, "sign_flip_p", 1)
    scale = float(np.abs(d).max())
    if scale == 0:
        return 1.0
    d = d / scale  # else sums of the largest or smallest floats over- or underflow
    # The same sum added up in another order differs in its last bits: ties must count as ties.
    threshold = abs(float(d.sum())) - 1e-11 * float(np.abs(d).sum())
    if len(d) <= EXACT_SEEDS:
        sums = d[:1]  # the sign of one difference is fixed: turning all of them leaves |sum| as it is
        for value in d[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= threshold))
    generator = np.random.default_rng(0)
    hits = 0
    for start in range(0, MONTE_CARLO_FLIPS, 10_000):
        size = min(10_000, MONTE_CARLO_FLIPS - start)
        signs = 2.0 * generator.integers(0, 2, (size, len(d))) - 1.0  # (size, n)
        hits += int(np.sum(np.abs(signs @ d) >= threshold))
    return (1 + hits) / (1 + MONTE_CARLO_FLIPS)


def holm(ps: ArrayLike) -> Array:
    r"""Holm's adjusted p values: :math:`\tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1)\, p_{(j)})`.

    NaN means "not tested": it stays NaN and does not count in m.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 65-70,
    https://www.jstor.org/stable/4615733.

    Args:
        ps: The p values of one family, shape ``(m,)``.

    Returns:
        The adjusted values in the order given, shape ``(m,)``.

    Raises:
        ValueError: If a value lies outside [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(4).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.atleast_1d(np.asarray(ps, dtype=np.float64))
    tested = np.flatnonzero(~np.isnan(p))
    if np.any((p[tested] < 0) | (p[tested] > 1)):
        raise ValueError(f"`holm` needs p values in [0, 1], got {p.tolist()}")
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def expected_gain(mean: float, sd: float, n: int, more: int, margin: float) -> float | None:
    r"""Expected gain from training ``more`` seeds and then keeping the rule if its mean reaches the margin.

    Before the further seeds, the mean after them is distributed as :math:`m = \bar d + \tau T_{n-1}` with
    :math:`\tau^2 = s^2 (1/n - 1/(n + more))` (flat prior), and the value is :math:`E[m\, 1(m \ge margin)]`, set against
    leaving the rule out, which gains 0.

    Source: Raiffa and Schlaifer (1961), Applied Statistical Decision Theory, chapter 5 (preposterior analysis).

    Args:
        mean: Mean difference, turned so that positive is better.
        sd: Standard deviation of the differences.
        n: Seeds so far.
        more: Further seeds.
        margin: Smallest useful gain, on the same scale.

    Returns:
        The expected gain on the scale of ``mean``, or None below 3 seeds, where the expectation does not exist.

    Example:
        >>> round(expected_gain(0.5, 1.0, 6, 6, 1.0), 3), expected_gain(2.0, 0.0, 6, 6, 1.0)
        (0.089, 2.0)
    """
    freedom = n - 1
    if freedom < 2:
        return None
    spread = sd * math.sqrt(1 / n - 1 / (n + more))
    if spread == 0:
        return mean if mean >= margin else 0.0
    cut = (margin - mean) / spread
    upper = float(stats.t.sf(cut, freedom))
    return mean * upper + spread * float(stats.t.pdf(cut, freedom)) * (freedom + cut**2) / (freedom - 1)


def pairing_correlation(a: ArrayLike, b: ArrayLike) -> float | None:
    """Pearson's correlation of two arms over seeds: near 1 where pairing pays, below 0 where it does harm.

    Args:
        a: Values of the arm, one a seed, shape ``(n,)``.
        b: Values of the baseline at the same seeds, shape ``(n,)``.

    Returns:
        The correlation, or None where it is undefined: below 3 seeds (where it is always +1 or -1), or a constant arm.

    Raises:
        ValueError: If the lengths differ or a value is not finite.

    Example:
        >>> round(pairing_correlation([1.0, 2.0, 3.0], [2.0, 4.0, 6.5]), 3)
        0.998
    """
    x, y = vector(a, "pairing_correlation", 1), vector(b, "pairing_correlation", 1)
    if len(x) != len(y):
        raise ValueError(f"`pairing_correlation` needs arms of one length, got {len(x)} and {len(y)}")
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    x, y = (x - x.min()) / np.ptp(x), (y - y.min()) / np.ptp(y)  # else squares of small spreads underflow
    return float(np.corrcoef(x, y)[0, 1])
