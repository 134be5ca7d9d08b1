"""The stated power is met by the verdicts themselves, where effect and spread are the true ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from dkmodels.study.effect import effects
from dkmodels.study.metric import Contrast, Measurement, Metric
from dkmodels.study.power import MOST, POWER, decision_power, seeds_needed
from dkmodels.study.rule_advice import Judge
from dkmodels.study.statistics import paired_interval, sign_flip_p
from dkmodels.study.verdict import Verdict, judge, smallest_decidable_n

STUDIES = 1000  # a standard error of 1.3 points at 80 %


def share_decided(mean: float, sd: float, n: int, margin: float, comparisons: int) -> float:
    """Of simulated rows, those with a verdict."""
    generator = np.random.default_rng(7)
    decided = 0
    for _ in range(STUDIES):
        d = generator.normal(mean, sd, n)
        p = min(1.0, comparisons * sign_flip_p(d))
        verdict = judge(
            paired_interval(d), paired_interval(d, 0.9), p, sign=1, margin=margin, n=n, family_size=comparisons
        )
        decided += verdict is not Verdict.UNDECIDED
    return decided / STUDIES


@pytest.mark.parametrize(
    ("mean", "sd", "comparisons"),
    [(1.5, 1.0, 1), (1.5, 1.0, 3), (-1.3, 0.9, 1), (0.0, 1.2, 1), (0.3, 0.8, 2), (2.0, 1.8, 4), (0.0, 0.9, 3)],
)
def test_the_stated_power_is_met(mean: float, sd: float, comparisons: int) -> None:
    """Margin 1; a mean above it is to be kept, one below it found equivalent, whatever the number of comparisons."""
    n = seeds_needed(mean, sd, 1.0, comparisons=comparisons)
    assert n <= 18, "with more the p of a row is Monte Carlo, and slow"
    share = share_decided(mean, sd, n, 1.0, comparisons)
    print(f"mean {mean}, sd {sd}, {comparisons} comparisons: {n} seeds decide {share:.3f}")
    assert share >= POWER - 0.03
    assert share == pytest.approx(decision_power(mean, sd, n, 1.0, comparisons=comparisons), abs=0.04)


@pytest.mark.parametrize(("mean", "sd", "n"), [(1.0, 1.0, 60), (0.5, 2.0, 200), (-0.8, 0.7, 80)])
def test_with_next_to_no_margin_it_is_the_power_of_a_t_test(mean: float, sd: float, n: int) -> None:
    cut, shift = stats.t.ppf(0.975, n - 1), mean * math.sqrt(n) / sd
    exact = stats.nct.sf(cut, n - 1, shift) + stats.nct.cdf(-cut, n - 1, shift)
    assert decision_power(mean, sd, n, 1e-9) == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("sd", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("mean", [-3.0, -1.2, 0.0, 0.6, 1.5])
@pytest.mark.parametrize("comparisons", [1, 4])
def test_seeds_needed_are_the_fewest(mean: float, sd: float, comparisons: int) -> None:
    n = seeds_needed(mean, sd, 1.0, comparisons=comparisons)
    assert n == seeds_needed(-2 * mean, 2 * sd, 2.0, comparisons=comparisons), "sign and scale do not matter"
    assert decision_power(mean, sd, n, 1.0, comparisons=comparisons) >= POWER
    if n > smallest_decidable_n(comparisons):
        assert decision_power(mean, sd, n - 1, 1.0, comparisons=comparisons) < POWER


def test_a_mean_at_the_margin_is_never_decided() -> None:
    assert seeds_needed(1.0, 1.0, 1.0) == seeds_needed(1e-9, 1e9, 1e-9) == MOST
    assert decision_power(1.0, 1.0, 10**6, 1.0) < 0.6


@pytest.mark.parametrize(("mean", "sd", "margin"), [(0, -1, 1), (0, 1, 0), (0, math.nan, 1), (math.inf, 1, 1)])
def test_seeds_needed_refuses(mean: float, sd: float, margin: float) -> None:
    with pytest.raises(ValueError, match="needs finite mean, sd >= 0 and margin > 0"):
        seeds_needed(mean, sd, margin)


def test_the_power_of_a_rule_is_that_of_all_its_rows() -> None:
    """Two headline metrics: each row is decided with 90 %, so that the rule is with 80 %."""
    metrics = {name: Metric(name=name, direction="max", gain=1.0, primary=True) for name in ("x", "y")}
    d = np.random.default_rng(1).normal(0, 1, 8)
    d = 1.6 + 1.2 * (d - d.mean()) / d.std(ddof=1)
    rows = [
        Measurement(arm=arm, seed=seed, metric=name, value=float(value))
        for name in metrics
        for arm, values in (("none", 0 * d), ("a", d))
        for seed, value in enumerate(values)
    ]
    contrast = Contrast(rule="a", embedding="Hard", arm="a", baseline="none", family="add one in")
    table = effects("task", rows, list(metrics.values()), [contrast])
    short, more, _ = Judge(metrics=metrics, correctness=metrics, cost={}).needs(table)
    assert (short, more) == (0, seeds_needed(1.6, 1.2, 1.0, comparisons=2, power=0.9) - 8)
    assert more > seeds_needed(1.6, 1.2, 1.0, comparisons=2) - 8 > 0
