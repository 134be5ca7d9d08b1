"""The verdict at its boundaries."""

from __future__ import annotations

import pytest

from dkmodels.study.statistics import Interval
from dkmodels.study.verdict import ALPHA, Verdict, judge, smallest_decidable_n

KEEP, HARMFUL, EQUIVALENT, UNDECIDED = Verdict.KEEP, Verdict.HARMFUL, Verdict.EQUIVALENT, Verdict.UNDECIDED


def verdict(
    low: float, high: float, *, p: float = 0.01, margin: float = 1.0, narrow: float = 1.0, n: int = 6
) -> Verdict:
    """Of an interval about its middle; the narrow one is that share of it."""
    mean, half = (low + high) / 2, (high - low) / 2
    wide, inner = Interval(mean, low, high), Interval(mean, mean - narrow * half, mean + narrow * half)
    found = judge(wide, inner, p, sign=1, margin=margin, n=n, family_size=1)
    turned = judge(wide, inner, p, sign=-1, margin=margin, n=n, family_size=1)
    assert turned is {KEEP: HARMFUL, HARMFUL: KEEP}.get(found, found)
    return found


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.0, 3.0, KEEP),
        (1e-9, 3.0, KEEP),
        (0.0, 3.0, UNDECIDED),
        (-1e-9, 3.0, UNDECIDED),
        (0.5, 1.5, KEEP),
        (0.4, 1.5, UNDECIDED),
        (-3.0, -1.0, HARMFUL),
        (-3.0, 0.0, UNDECIDED),
        (-0.5, 0.5, EQUIVALENT),
        (-1.0, 0.5, UNDECIDED),
        (-0.5, 1.0, UNDECIDED),
        (0.1, 0.2, EQUIVALENT),
        (0.0, 0.0, EQUIVALENT),
        (1.0, 1.0, KEEP),
    ],
)
def test_the_interval_decides(low: float, high: float, expected: Verdict) -> None:
    assert verdict(low, high) is expected


def test_p_may_be_the_level_itself() -> None:
    assert verdict(1.0, 3.0, p=ALPHA) is KEEP
    assert verdict(1.0, 3.0, p=ALPHA * 1.001) is UNDECIDED
    assert verdict(-0.5, 0.5, p=1.0) is EQUIVALENT, "an equivalence asks for no p"


def test_the_narrow_interval_decides_an_equivalence() -> None:
    assert verdict(-1.2, 1.2, narrow=0.8) is EQUIVALENT
    assert verdict(-1.2, 1.2, narrow=0.9) is UNDECIDED


def test_fewer_seeds_than_can_decide_decide_nothing() -> None:
    assert verdict(1.0, 3.0, n=5) is verdict(-0.1, 0.1, n=5) is UNDECIDED
    assert [smallest_decidable_n(size) for size in (1, 2, 3, 4, 6, 12, 13)] == [6, 7, 7, 8, 8, 9, 10]
    assert smallest_decidable_n(1, alpha=0.5) == 2
    with pytest.raises(ValueError, match="`family_size` must be at least 1, got 0"):
        smallest_decidable_n(0)
