"""Confidence intervals: of a mean over seeds, and of a share of violated examples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the bounds of its confidence interval, all on the scale of the data."""

    mean: float
    low: float
    high: float


@lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t; cached, because a study asks for the same few many times.

    Example:
        >>> round(t_quantile(0.975, 9), 3)
        2.262
    """
    return float(special.stdtrit(freedom, probability))


def vector(values: ArrayLike, function: str, least: int) -> Array:
    """Finite differences as a vector of at least ``least``; ``function`` is named where they are not that."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"`{function}` needs a vector (one value a seed), got shape {array.shape}")
    if len(array) < least:
        raise ValueError(f"`{function}` needs at least {least} difference{'s' * (least > 1)}, got {len(array)}")
    if not np.isfinite(array).all():
        raise ValueError(f"`{function}` needs finite differences, got {array[~np.isfinite(array)][0]} among them")
    return array


def paired_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    r"""Student's t interval of the mean of paired differences: :math:`\bar d \pm t_{(1+level)/2,\,n-1}\, s/\sqrt n`.

    Zero variance (a hard rule often gives it) gives the degenerate interval ``[mean, mean]``.

    Source: Student (1908), The probable error of a mean, Biometrika 6, doi:10.1093/biomet/6.1.1.

    Args:
        differences: Differences, one a seed, shape ``(n,)``, n >= 2.
        level: Confidence level, in (0, 1).

    Raises:
        ValueError: If there are fewer than 2 differences, or one is not finite, or the level is outside (0, 1).

    Example:
        >>> interval = paired_interval([1.0, 2.0, 3.0])
        >>> round(interval.mean, 3), round(interval.low, 3), round(interval.high, 3)
        (2.0, -0.484, 4.484)
    """
    d = vector(differences, "paired_interval", 2)
    if not 0 < level < 1:
        raise ValueError(f"`level` of `paired_interval` must lie in (0, 1), got {level}")
    mean = float(d.mean())
    half = t_quantile((1 + level) / 2, len(d) - 1) * float(d.std(ddof=1)) / math.sqrt(len(d))
    return Interval(mean, mean - half, mean + half)


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    r"""Exact interval of a share: :math:`[B_{\alpha/2}(k, n-k+1),\; B_{1-\alpha/2}(k+1, n-k)]`, B a beta quantile.

    It does not collapse at k = 0, where a t interval would: "0 of 100 violated" still allows 3.6 %.

    Source: Clopper and Pearson (1934), Biometrika 26, 404-413, doi:10.1093/biomet/26.4.404.

    Args:
        k: Number of violated examples.
        n: Number of examples, >= 1.
        level: Confidence level, in (0, 1).

    Raises:
        ValueError: If not ``0 <= k <= n`` and ``n >= 1``, or the level is outside (0, 1).

    Example:
        >>> interval = clopper_pearson(0, 100)
        >>> interval.low, round(interval.high, 4)
        (0.0, 0.0362)
    """
    if not (n >= 1 and 0 <= k <= n):
        raise ValueError(f"`clopper_pearson` needs 0 <= k <= n and n >= 1, got k={k}, n={n}")
    if not 0 < level < 1:
        raise ValueError(f"`level` of `clopper_pearson` must lie in (0, 1), got {level}")
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, 1 - tail))
    return Interval(k / n, low, high)
