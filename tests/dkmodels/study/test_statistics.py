"""Each statistic against an independent one: scipy, brute force, a formula, or a law."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dkmodels.study import statistics
from dkmodels.study.statistics import (
    clopper_pearson,
    expected_gain,
    holm,
    interactions,
    paired_interval,
    pairing_correlation,
    shapley,
    sign_flip_p,
)

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


def cells(k: int, n: int, seed: int = 0) -> dict[frozenset[str], np.ndarray]:
    generator = np.random.default_rng(seed)
    rules = "abcd"[:k]
    return {
        frozenset(subset): generator.normal(size=n)
        for size in range(k + 1)
        for subset in itertools.combinations(rules, size)
    }


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("n", [2, 3, 10, 50])
def test_paired_interval_is_scipys(n: int, level: float) -> None:
    generator = np.random.default_rng(n)
    a, b = generator.normal(3, 2, n), generator.normal(1, 1, n)
    theirs = stats.ttest_rel(a, b).confidence_interval(level)
    ours = paired_interval(a - b, level)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_paired_interval_without_variance_is_a_point() -> None:
    interval = paired_interval([0.25, 0.25, 0.25])
    assert (interval.mean, interval.low, interval.high) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "`paired_interval` needs at least 2 differences, got 1"),
        ([1.0, math.nan], "needs finite differences, got nan"),
        ([[1.0, 2.0]], r"needs a vector \(one value a seed\), got shape \(1, 2\)"),
    ],
)
def test_paired_interval_refuses(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_interval(values)


def test_levels_are_checked() -> None:
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\), got 95"):
        paired_interval([1.0, 2.0], 95)
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\), got 0"):
        clopper_pearson(1, 2, 0)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8))
def test_sign_flip_is_brute_force(values: list[int]) -> None:
    """Small integers make many ties, and are exact, so that the brute force needs no tolerance."""
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(values))
    ]
    expected = sum(total >= abs(sum(values)) for total in sums) / len(sums)
    assert sign_flip_p([float(v) for v in values]) == expected
    assert sign_flip_p([0.1 * v for v in values]) == expected  # tenths are not exact: ties must still be ties


@given(st.lists(numbers, min_size=1, max_size=10), st.sampled_from([-1.0, 1e-150, 1e150, 3.0]))
def test_sign_flip_does_not_depend_on_order_sign_or_scale(values: list[float], factor: float) -> None:
    p = sign_flip_p(values)
    assert sign_flip_p(values[::-1]) == p
    assert sign_flip_p([-v for v in values]) == p
    if all(v == 0 or abs(v) > 1e-100 for v in values):
        assert sign_flip_p([factor * v for v in values]) == p


@pytest.mark.parametrize("n", [1, 5, 10, 18])
def test_sign_flip_floor(n: int) -> None:
    assert sign_flip_p(np.linspace(1, 2, n)) == 2 / 2**n


def test_sign_flip_is_scipys() -> None:
    d = np.random.default_rng(0).normal(0.4, 1, 12)
    test = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=9999)  # more than 2^12: exact
    assert sign_flip_p(d) == pytest.approx(test.pvalue, abs=1e-12)


def test_sign_flip_by_monte_carlo_agrees_with_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.random.default_rng(1).normal(0.5, 1, 16)
    exact = sign_flip_p(d)
    monkeypatch.setattr(statistics, "EXACT_SEEDS", 10)
    assert sign_flip_p(d) == sign_flip_p(d)
    assert sign_flip_p(d) == pytest.approx(exact, abs=4 * math.sqrt(exact / statistics.MONTE_CARLO_FLIPS))


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200, 5e307])
def test_sign_flip_at_the_ends_of_the_floats(scale: float) -> None:
    assert sign_flip_p([1.0 * scale, 2.0 * scale, 3.0 * scale]) == 0.25
    assert sign_flip_p([1.0 * scale, -1.0 * scale, 3.0 * scale]) == 0.75


def test_sign_flip_by_monte_carlo_is_one_where_every_flip_is_as_far() -> None:
    assert sign_flip_p([1.0, -1.0] * 20) == 1.0


def test_sign_flip_by_monte_carlo_is_never_zero() -> None:
    assert sign_flip_p(np.ones(60)) == 1 / (1 + statistics.MONTE_CARLO_FLIPS)


def test_holm_by_hand() -> None:
    """m = 4: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1 raised to the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_stepwise_procedure_rejects(ps: list[float]) -> None:
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    rejected = set()
    for rank, i in enumerate(order):  # Holm's own wording: stop at the first that is not small enough
        if ps[i] * (len(ps) - rank) > 0.05:
            break
        rejected.add(i)
    adjusted = holm(ps)
    assert {i for i in range(len(ps)) if adjusted[i] <= 0.05} == rejected
    assert all(adjusted >= np.asarray(ps)) and all(adjusted <= 1)


def test_holm_leaves_nan_out() -> None:
    assert holm([0.01, math.nan, 0.04]).tolist() == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)
    assert holm([]).tolist() == []
    with pytest.raises(ValueError, match=r"needs p values in \[0, 1\], got \[1.5\]"):
        holm([1.5])


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 100), (3, 40), (40, 40), (500, 4000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_clopper_pearson_is_scipys(k: int, n: int, level: float) -> None:
    theirs = stats.binomtest(k, n).proportion_ci(level, method="exact")
    ours = clopper_pearson(k, n, level)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_clopper_pearson_refuses(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="needs 0 <= k <= n and n >= 1"):
        clopper_pearson(k, n)


def test_pairing_correlation_is_scipys() -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(size=9)
    b = a + generator.normal(size=9)
    assert pairing_correlation(a, b) == pytest.approx(stats.pearsonr(a, b).statistic)
    assert pairing_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert pairing_correlation([1.0, 2.0], [1.0, 2.0]) is None


@pytest.mark.parametrize("size", [1e-300, 1.0, 1.7e308])
def test_pairing_correlation_at_any_size(size: float) -> None:
    a, b = np.array([1.0, 0.7, 0.8, 0.5]), np.array([0.9, 0.6, 0.5, 0.4])
    for pair in ((size * a, b), (a, size * b)):
        assert pairing_correlation(*pair) == pytest.approx(stats.pearsonr(a, b).statistic)


@pytest.mark.parametrize("mean", [-1.0, 0.5, 2.0])
def test_expected_gain_by_simulation(mean: float) -> None:
    n, more, sd, margin = 6, 8, 1.3, 1.0
    spread = sd * math.sqrt(1 / n - 1 / (n + more))
    after = mean + spread * np.random.default_rng(0).standard_t(n - 1, 400_000)
    simulated = np.where(after >= margin, after, 0.0)
    expected = expected_gain(mean, sd, n, more, margin)
    assert expected == pytest.approx(simulated.mean(), abs=5 * simulated.std() / math.sqrt(len(after)))


def test_expected_gain_is_unknown_from_two_seeds() -> None:
    assert expected_gain(1.0, 1.0, 2, 5, 1.0) is None


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_shapley_values_sum_to_all_less_none(k: int) -> None:
    table = cells(k, 6)
    values = shapley(table)
    total = np.sum([value.values for value in values], axis=0)
    assert total == pytest.approx(table[frozenset("abcd"[:k])] - table[frozenset()], abs=1e-12)


def test_shapley_is_the_mean_over_orders() -> None:
    table = cells(3, 4)
    for value in shapley(table):
        gains = []
        for order in itertools.permutations("abc"):
            before = frozenset(order[: order.index(value.rule)])
            gains.append(table[before | {value.rule}] - table[before])
        assert np.asarray(value.values) == pytest.approx(np.mean(gains, axis=0))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_interactions_are_regression_on_plus_and_minus_one(k: int) -> None:
    table = cells(k, 5)
    effects = interactions(table)
    assert len(effects) == 2**k
    subsets = list(table)
    signs = np.array([[1.0 if rule in on else -1.0 for rule in "abcd"[:k]] for on in subsets])
    columns = [
        np.prod([signs[:, "abcd".index(rule)] for rule in effect.rules] or [np.ones(2**k)], axis=0)
        for effect in effects
    ]
    coefficients = np.linalg.solve(np.stack(columns, axis=1), np.stack([table[on] for on in subsets]))  # (2^k, n)
    for effect, row in zip(effects, coefficients, strict=True):
        interval = paired_interval(row * (2.0 if effect.rules else 1.0))  # an effect is from -1 to +1: twice the slope
        assert (effect.mean, effect.low, effect.high) == pytest.approx((interval.mean, interval.low, interval.high))


@pytest.mark.parametrize("function", [shapley, interactions])
def test_factorial_needs_every_cell(function: object) -> None:
    assert callable(function)
    table = cells(2, 3)
    del table[frozenset("a")]
    with pytest.raises(ValueError, match=r"needs every subset of the rules \['a', 'b'\], got none for \[\('a',\)\]"):
        function(table)
    with pytest.raises(ValueError, match="needs the same seeds in every cell"):
        function({**cells(1, 3), frozenset(): [1.0, 2.0]})
    with pytest.raises(ValueError, match="needs every subset"):
        function({})


def test_a_random_share_of_the_flips_is_counted_once_each() -> None:
    """Beyond 18 seeds 99,999 flips from a fixed seed: the same p at each call, a whole number of 100,000, and right."""
    d = np.linspace(-1.0, 1.2, 20) ** 3 + 0.11
    p = sign_flip_p(d)
    assert p == sign_flip_p(d) == 0.09811
    assert round(p * 100_000) == pytest.approx(p * 100_000, abs=1e-6)
    sums = d[:1]
    for value in d[1:]:
        sums = np.concatenate([sums + value, sums - value])
    exact = float(np.mean(np.abs(sums) >= abs(d.sum()) * (1 - 1e-12)))
    assert p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 100_000))


def test_what_is_wrong_is_told_by_the_function_that_was_called() -> None:
    nan = math.nan
    with pytest.raises(ValueError, match="`sign_flip_p` needs finite differences, got nan"):
        sign_flip_p([1.0, nan])
    with pytest.raises(ValueError, match="`sign_flip_p` needs at least 1 difference, got 0"):
        sign_flip_p([])
    with pytest.raises(ValueError, match="`paired_interval` needs at least 2 differences, got 1"):
        paired_interval([1.0])
    for pair in (([1.0, nan], [1.0, 2.0]), ([1.0, 2.0], [1.0, nan])):
        with pytest.raises(ValueError, match="`pairing_correlation` needs finite differences"):
            pairing_correlation(*pair)
    with pytest.raises(ValueError, match="`pairing_correlation` needs arms of one length, got 2 and 1"):
        pairing_correlation([1.0, 2.0], [1.0])


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5, -0.5, math.nan])
def test_levels_lie_between_0_and_1(level: float) -> None:
    with pytest.raises(ValueError, match="`level` of `paired_interval` must lie in"):
        paired_interval([1.0, 2.0], level)
    with pytest.raises(ValueError, match="`level` of `clopper_pearson` must lie in"):
        clopper_pearson(1, 2, level)


def test_missing_values_are_nan() -> None:
    assert holm([None, 0.01])[1] == 0.01 and np.isnan(holm([None, 0.01])[0])
    with pytest.raises(ValueError, match="needs finite differences, got nan"):
        paired_interval([1.0, None])


def test_a_rate_is_the_middle_of_nothing_but_itself() -> None:
    assert [clopper_pearson(k, 8).mean for k in (0, 3, 8)] == [0.0, 0.375, 1.0]


def test_expected_gain_without_spread() -> None:
    assert [expected_gain(mean, 0.0, 6, 6, 1.0) for mean in (2.0, 1.0, 0.999, -3.0)] == [2.0, 1.0, 0.0, 0.0]
    assert expected_gain(0.2, 0.5, 3, 6, 1.0) is not None and expected_gain(0.2, 0.5, 2, 6, 1.0) is None


def test_pairing_correlation_of_three_and_of_a_lost_spread() -> None:
    assert pairing_correlation([1.0, 2.0, 4.0], [1.0, 2.0, 3.0]) == pytest.approx(
        stats.pearsonr([1, 2, 4], [1, 2, 3])[0]
    )
    assert pairing_correlation([1.0, 2.0], [1.0, 2.0]) is None
    for scale in (1e-300, 1e-200, 1e-9, 1.0, 1e140):  # squares of small spreads underflow
        assert pairing_correlation([0.0, scale, 2 * scale], [1.0, 3.0, 2.0]) == pytest.approx(0.5)
        assert pairing_correlation([1.0, 3.0, 2.0], [0.0, -scale, -2 * scale]) == pytest.approx(-0.5)
    assert pairing_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
