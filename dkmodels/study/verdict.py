"""The verdict on one row, and the fewest seeds that allow one."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import final

from dkmodels.study.statistics import Interval

ALPHA = 0.05


@final
class Verdict(StrEnum):
    """What a row says; see :func:`judge`."""

    KEEP = "KEEP"
    HARMFUL = "HARMFUL"
    EQUIVALENT = "EQUIVALENT"
    UNDECIDED = "UNDECIDED"


def smallest_decidable_n(family_size: int, alpha: float = ALPHA) -> int:
    """Fewest seeds with which a verdict is possible: the smallest n with ``family_size * 2 / 2^n <= alpha``.

    The sign-flip p cannot fall below 2 / 2^n, and Holm's method multiplies the smallest p by the size of the family.

    Args:
        family_size: Number of comparisons in the family, >= 1.
        alpha: Level of the test.

    Raises:
        ValueError: If ``family_size`` is below 1.

    Example:
        >>> [smallest_decidable_n(size) for size in (1, 2, 3, 4)]
        [6, 7, 7, 8]
    """
    if family_size < 1:
        raise ValueError(f"`family_size` must be at least 1, got {family_size}")
    return 1 + math.ceil(math.log2(family_size / alpha))


def judge(
    interval: Interval, narrow: Interval, p_adjusted: float, *, sign: int, margin: float, n: int, family_size: int
) -> Verdict:
    """Verdict of one row.

    With the differences turned so that positive is better:

    - UNDECIDED below :func:`smallest_decidable_n`, whatever the numbers: too few seeds give a smoke result only.
    - KEEP: the 95 % interval lies above 0, the adjusted p is <= 0.05, and the mean is >= the margin.
    - HARMFUL: the 95 % interval lies below 0, the adjusted p is <= 0.05, and the mean is <= minus the margin.
    - EQUIVALENT: the 90 % interval lies inside (-margin, margin): two one-sided tests at 5 % (Schuirmann 1987,
      doi:10.1007/BF01068419).
    - UNDECIDED otherwise; so a certain but useless gain whose interval crosses the margin is undecided.

    The middle three exclude each other, so that their order does not matter: an interval inside the margins has its
    mean inside them, where neither KEEP nor HARMFUL can be.

    Args:
        interval: 95 % interval of the difference.
        narrow: 90 % interval.
        p_adjusted: Adjusted p.
        sign: +1 where more is better, -1 where less is.
        margin: Smallest useful gain on the scale of the difference, > 0.
        n: Number of seeds.
        family_size: Number of comparisons in the family.
    """
    low, high = sorted((sign * interval.low, sign * interval.high))
    mean = sign * interval.mean
    if n < smallest_decidable_n(family_size):
        return Verdict.UNDECIDED
    if low > 0 and p_adjusted <= ALPHA and mean >= margin:
        return Verdict.KEEP
    if high < 0 and p_adjusted <= ALPHA and mean <= -margin:
        return Verdict.HARMFUL
    if -margin < narrow.low and narrow.high < margin:
        return Verdict.EQUIVALENT
    return Verdict.UNDECIDED
