"""Effects: what is compared with what, and which verdict a row gets."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from scipy import stats

from dkmodels.study.effect import (
    Effect,
    Verdict,
    effects,
    judge,
    read_effects,
    smallest_decidable_n,
    write_effects,
)
from dkmodels.study.metric import ADD_ONE_IN, Contrast, Measurement, Metric
from dkmodels.study.statistics import Interval

CONTRAST = Contrast(rule="carbon", embedding="Hard", arm="carbon", baseline="none", family=ADD_ONE_IN)
MAE = Metric(name="mae", direction="min", unit="mol", gain=0.1, primary=True)
TIME = Metric(name="time", direction="min", unit="s", kind="cost", gain=0.05)


def rows(metric: str, arm: list[float], baseline: list[float], method: str = "", phase: str = "") -> list[Measurement]:
    return [
        Measurement(arm=name, seed=seed, metric=metric, value=value, method=method, phase=phase)
        for name, values in (("carbon", arm), ("none", baseline))
        for seed, value in enumerate(values)
    ]


def one(metric: Metric, arm: list[float], baseline: list[float]) -> Effect:
    (effect,) = effects("task", rows(metric.name, arm, baseline), [metric], [CONTRAST])
    return effect


def test_correctness_is_a_difference() -> None:
    effect = one(MAE, [1.0, 1.1, 1.2, 1.1, 1.0, 0.9], [2.0, 2.0, 2.3, 2.1, 2.0, 2.1])
    assert effect.difference == pytest.approx(-6.2 / 6)
    assert effect.relative == pytest.approx(-6.2 / 12.5)
    assert effect.low is not None and effect.high is not None and effect.low < effect.difference < effect.high < 0
    assert (effect.p, effect.p_adjusted, effect.n_seeds, effect.improved) == (2 / 64, 2 / 64, 6, 1.0)
    assert effect.verdict is Verdict.KEEP


def test_cost_is_a_log_ratio() -> None:
    base = [1.0, 2.0, 4.0, 1.0, 2.0, 4.0]
    effect = one(TIME, [1.1 * b for b in base], base)
    assert effect.difference == pytest.approx(math.log(1.1))
    assert effect.relative == pytest.approx(0.1)
    assert (effect.improved, effect.sign) == (0.0, -1)
    assert effect.verdict is Verdict.HARMFUL


def test_relative_of_a_zero_baseline_is_none() -> None:
    assert one(MAE, [1.0, 2.0], [0.0, 0.0]).relative is None


@pytest.mark.parametrize(("direction", "verdict"), [("max", Verdict.KEEP), ("min", Verdict.HARMFUL)])
def test_direction_turns_the_verdict(direction: Literal["max", "min"], verdict: Verdict) -> None:
    metric = Metric(name="score", direction=direction, gain=0.1)
    assert one(metric, [1.0, 1.1, 1.2, 1.1, 1.0, 0.9], [0.0] * 6).verdict is verdict


def test_a_hard_rule_without_variance_is_judged() -> None:
    assert one(MAE, [0.0] * 6, [0.5] * 6).verdict is Verdict.KEEP
    assert one(MAE, [0.5] * 6, [0.5] * 6).verdict is Verdict.EQUIVALENT
    assert one(MAE, [0.5] * 6, [0.5] * 6).p == 1.0


def test_certain_but_useless_gain_is_equivalent() -> None:
    effect = one(MAE, [1.99, 1.98, 1.99, 1.98, 1.99, 1.98], [2.0] * 6)
    assert effect.p == 2 / 64
    assert effect.verdict is Verdict.EQUIVALENT


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_too_few_seeds_are_undecided(n: int) -> None:
    effect = one(MAE, [1.0 + 0.001 * i for i in range(n)], [2.0] * n)
    assert effect.verdict is Verdict.UNDECIDED
    assert (effect.low is None) is (n == 1)


def test_only_common_seeds_count() -> None:
    measured = [
        row for row in rows("mae", [1.0] * 8, [2.0] * 8) if (row.arm, row.seed) not in {("none", 3), ("carbon", 5)}
    ]
    (effect,) = effects("task", measured, [MAE], [CONTRAST])
    assert effect.n_seeds == 6


def test_contrast_without_common_seeds_has_no_row() -> None:
    assert effects("task", rows("mae", [1.0], []), [MAE], [CONTRAST]) == []


def test_what_is_not_declared_is_left_out() -> None:
    """Whatever its values, and wherever it is among the others."""
    other, own = rows("undeclared", [math.nan], []), rows("mae", [1.0] * 6, [2.0] * 6)
    alone = effects("task", own, [MAE], [CONTRAST])
    assert effects("task", other, [MAE], [CONTRAST]) == []
    for measured in (other + own, own + other):
        assert effects("task", measured, [MAE], [CONTRAST]) == alone != []


def test_methods_are_split_and_never_mixed() -> None:
    measured = rows("time", [1.0, 1.1], [2.0, 2.2], "rapl", "train") + rows("time", [3.0], [4.0], "estimate", "train")
    found = effects("task", measured, [TIME], [CONTRAST])
    assert [(row.method, row.phase, row.n_seeds) for row in found] == [("rapl", "train", 2), ("estimate", "train", 1)]
    mixed = [replace(row, method="rapl" if row.arm == "none" else "estimate") for row in rows("time", [1.0], [2.0])]
    with pytest.raises(
        ValueError, match=r"one method only: metric 'time'.*seed 0 has \['estimate'\].*'carbon'.*\['rapl'\]"
    ):
        effects("task", mixed, [TIME], [CONTRAST])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"needs finite values, got .* for arm 'carbon', seed 1, metric 'mae'"):
        one(MAE, [1.0, value], [1.0, 1.0])


def test_costs_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"log ratio, which needs values > 0, got 0.0 for arm 'none', seed 0"):
        one(TIME, [1.0], [0.0])


def test_repetitions_are_refused() -> None:
    with pytest.raises(ValueError, match="one value each, got a second one for arm 'carbon', seed 0"):
        effects("task", rows("mae", [1.0], [2.0]) * 2, [MAE], [CONTRAST])
    with pytest.raises(ValueError, match="distinct names"):
        effects("task", [], [MAE, MAE], [CONTRAST])
    other = replace(CONTRAST, arm="b")
    with pytest.raises(ValueError, match="`contrasts` must be distinct") as caught:
        effects("task", [], [MAE], [CONTRAST, CONTRAST, other])
    assert repr(CONTRAST) in str(caught.value) and repr(other) not in str(caught.value)


def test_holm_families_are_a_metric_a_phase_and_a_family_of_contrasts() -> None:
    arms = [f"r{i}" for i in range(3)]
    contrasts = [replace(CONTRAST, rule=arm, arm=arm) for arm in arms]
    contrasts.append(replace(CONTRAST, rule="r0", arm="r0", family="extra"))
    measured = [
        Measurement(arm=arm, seed=seed, metric="time", value=2.0 - 0.5 * (arm != "none"), phase=phase)
        for arm in ("none", *arms)
        for seed in range(6)
        for phase in ("train", "infer")
    ]
    headline = Metric(name="energy", direction="min", kind="cost", gain=0.1, primary=True)  # so that time is none
    found = effects("task", measured, [TIME, headline], contrasts)
    assert {(row.family, row.p_adjusted) for row in found} == {(ADD_ONE_IN, 3 * 2 / 64), ("extra", 2 / 64)}
    assert {row.verdict for row in found if row.family == ADD_ONE_IN} == {Verdict.UNDECIDED}  # three need seven seeds
    assert {row.verdict for row in found if row.family == "extra"} == {Verdict.KEEP}


@pytest.mark.parametrize("size", range(1, 40))
def test_smallest_decidable_n(size: int) -> None:
    n = smallest_decidable_n(size)
    assert size * 2 / 2**n <= 0.05 < size * 2 / 2 ** (n - 1)


def test_verdicts_exclude_each_other() -> None:
    """Over a grid of intervals, at most one of the three conditions can hold, so that their order is of no effect."""
    for mean in (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0):
        for half in (0.0, 0.1, 0.6, 1.5):
            wide, narrow = (
                Interval(mean, mean - half, mean + half),
                Interval(mean, mean - 0.8 * half, mean + 0.8 * half),
            )
            found = judge(wide, narrow, 0.01, sign=1, margin=1.0, n=9, family_size=1)
            mirrored = judge(wide, narrow, 0.01, sign=-1, margin=1.0, n=9, family_size=1)
            swap = {Verdict.KEEP: Verdict.HARMFUL, Verdict.HARMFUL: Verdict.KEEP}
            assert mirrored is swap.get(found, found)
            inside = max(abs(narrow.low), abs(narrow.high)) < 1.0
            assert (found is Verdict.EQUIVALENT) is inside
            assert (found is Verdict.KEEP) is (wide.low > 0 and mean >= 1.0)


def test_files_keep_everything(tmp_path: Path) -> None:
    found = [one(MAE, [1.0], [2.0]), one(TIME, [1.0, 1.2, 1.4], [2.0, 2.2, 2.5])]
    write_effects(tmp_path / "effects.json", found)
    assert read_effects(tmp_path / "effects.json") == found
    assert [path.name for path in tmp_path.iterdir()] == ["effects.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "effects.json"
    effect = one(MAE, [1.0], [2.0])
    write_effects(path, [effect])
    with pytest.raises(ValueError, match="JSON compliant"):
        write_effects(path, [replace(effect, p=math.nan)])
    assert read_effects(path) == [effect]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("text", ["{}", '[{"task": "t"}]', "[1]"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"must be a JSON list of objects with the fields .*: effects(\[0\])? needs"):
        read_effects(tmp_path / "x.json")


def test_unknown_verdict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "effects.json"
    write_effects(path, [one(MAE, [1.0], [2.0])])
    path.write_text(json.dumps([{**json.loads(path.read_text())[0], "verdict": "MAYBE"}]))
    with pytest.raises(ValueError, match="MAYBE"):
        read_effects(path)


@pytest.mark.parametrize(
    "change",
    [
        {"name": " "},
        {"direction": "up"},
        {"kind": "speed"},
        {"gain": 0.0},
        {"gain": math.nan},
        {"kind": "cost", "rate": True},
    ],
)
def test_metric_is_checked(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"metric|Metric"):
        Metric(**{"name": "m", "direction": "max", "gain": 1.0, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [(-1, 2), (3, 2), (0, 0)])
def test_count_is_checked(count: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="0 <= k <= n"):
        Measurement(arm="a", seed=0, metric="m", value=0.0, count=count)


def test_contrast_is_of_two_arms() -> None:
    with pytest.raises(ValueError, match="two different arms, got 'a' twice"):
        Contrast(rule="r", embedding="", arm="a", baseline="a", family="x")


def test_headline_quantities_are_corrected_for_in_the_row_itself() -> None:
    """Bonferroni over the headline quantities of a kind, after Holm; what is no headline is read on its own."""
    second, third = replace(MAE, name="rmse"), replace(MAE, name="bias", primary=False)
    measured = [row for name in ("mae", "rmse", "bias") for row in rows(name, [1.0] * 7, [2.0] * 7)]
    found = {row.metric: row for row in effects("task", measured, [MAE, second, third], [CONTRAST])}
    assert {name: (row.p_adjusted, row.comparisons) for name, row in found.items()} == {
        "mae": (4 / 128, 2), "rmse": (4 / 128, 2), "bias": (2 / 128, 1)}  # fmt: skip
    assert {row.verdict for row in found.values()} == {Verdict.KEEP}
    short = [row for name in ("mae", "rmse", "bias") for row in rows(name, [1.0] * 6, [2.0] * 6)]
    verdicts = {row.metric: row.verdict for row in effects("task", short, [MAE, second, third], [CONTRAST])}
    assert verdicts == {"mae": Verdict.UNDECIDED, "rmse": Verdict.UNDECIDED, "bias": Verdict.KEEP}


def test_means_of_costs_are_geometric_and_the_scales_are_named() -> None:
    base, arm = [1.0, 2.0, 4.0], [1.0, 4.0, 16.0]
    cost, right = one(TIME, arm, base), one(MAE, arm, base)
    assert (cost.baseline_mean, cost.arm_mean) == pytest.approx((2.0, 4.0))
    assert cost.arm_mean / cost.baseline_mean == pytest.approx(math.exp(cost.difference))
    assert cost.relative == pytest.approx(cost.arm_mean / cost.baseline_mean - 1)
    assert (cost.scale, right.scale) == ("log ratio", "difference")
    assert cost.low is not None and cost.high is not None and right.low is not None
    assert (cost.relative_low, cost.relative_high) == pytest.approx((math.expm1(cost.low), math.expm1(cost.high)))
    assert right.high is not None
    assert (right.baseline_mean, right.relative_low) == pytest.approx((7 / 3, right.low / (7 / 3)))
    assert right.relative_high == pytest.approx(right.high / (7 / 3))
    assert (cost.margin, right.margin) == pytest.approx((math.log(1.05), 0.1))


def test_an_equivalence_is_two_tests_at_five_percent() -> None:
    """The 90 % interval, not the 95 % one: at these differences they fall on two sides of the margin."""
    differences = [0.25, -0.25, 0.2, -0.2, 0.15, -0.15, 0.1, 0.1]
    n = len(differences)
    mean = sum(differences) / n
    sd = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1))
    t90, t95 = stats.t.ppf(0.95, n - 1), stats.t.ppf(0.975, n - 1)
    narrow, wide = mean + t90 * sd / math.sqrt(n), mean + t95 * sd / math.sqrt(n)
    for gain, verdict in ((narrow * 1.001, Verdict.EQUIVALENT), (narrow * 0.999, Verdict.UNDECIDED)):
        metric = replace(MAE, gain=gain)
        assert gain < wide
        assert one(metric, [1.0 + d for d in differences], [1.0] * n).verdict is verdict
        assert one(metric, [1.0 - d for d in differences], [1.0] * n).verdict is verdict
