"""Advice: what each pattern of effects leads to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dkmodels.study.advice import Advice, Decision, advise
from dkmodels.study.effect import Effect, Verdict, effects
from dkmodels.study.metric import ADD_ONE_IN, ALL, LEAVE_ONE_OUT, Contrast, Measurement, Metric
from dkmodels.study.rule_advice import price
from dkmodels.study.statistics import FactorialEffect, ShapleyValue

SCORE = Metric(name="score", direction="max", gain=0.1, unit="mol", primary=True)
TIME = Metric(name="time", direction="min", unit="s", kind="cost", gain=0.05, primary=True)


def study(
    scores: Mapping[str, float], times: Mapping[str, float] | None = None, *, n: int = 8, noise: float = 0.005
) -> list[Effect]:
    """Effects from the mean of each arm; arms are "none", rules, "all" and "all but RULE".

    The noise of an arm has mean 0 and standard deviation ``noise`` to the last digit, so that no test hangs on luck.
    """
    rules = [arm for arm in scores if arm != "none" and not arm.startswith("all")]
    contrasts = [Contrast(rule=r, embedding="Hard", arm=r, baseline="none", family=ADD_ONE_IN) for r in rules]
    contrasts += [
        Contrast(rule=r, embedding="Hard", arm="all", baseline=f"all but {r}", family=LEAVE_ONE_OUT)
        for r in rules
        if "all" in scores
    ]
    if "all" in scores:
        contrasts.append(Contrast(rule="all", embedding="", arm="all", baseline="none", family=ALL))
    rows = []
    for number, arm in enumerate(scores):
        wobble = np.random.default_rng(number).permutation(np.linspace(-1, 1, n)) if n > 1 else np.zeros(1)
        wobble *= (arm != "none") / max(wobble.std(ddof=1) if n > 1 else 0.0, 1e-9)
        for seed, z in enumerate(wobble.tolist()):
            rows.append(Measurement(arm=arm, seed=seed, metric="score", value=scores[arm] + noise * z))
            if times:
                value = times[arm] * float(np.exp(0.002 * z))
                rows.append(Measurement(arm=arm, seed=seed, metric="time", phase="train_step", value=value))
    return effects("task", rows, [SCORE, TIME], contrasts)


def advice(rows: list[Effect], **more: Any) -> Advice:
    return advise(rows, **{"metrics": [SCORE, TIME], "seconds_per_seed": 60.0, "joules_per_seed": 500.0, **more})


def test_a_rule_that_helps_is_kept() -> None:
    found = advice(study({"none": 0.0, "a": 0.5}))
    assert found.rules[0].verdict is Verdict.KEEP
    assert (found.recommended_arm, found.decision, found.more_seeds, found.smoke) == ("a", Decision.STOP, 0, False)
    assert found.lines()[0].startswith("a (Hard): KEEP. It helps: score +0.5 mol against 'none'.")
    assert found.lines()[-1] == "STOP. Every rule is decided; further seeds would buy nothing."


def test_a_rule_that_harms_is_said_to() -> None:
    found = advice(study({"none": 0.0, "a": -0.5}))
    assert found.rules[0].verdict is Verdict.HARMFUL
    assert "It does harm, leave it out" in found.rules[0].reason
    assert found.recommended_arm == "none"


def test_an_equivalent_rule_may_be_dropped() -> None:
    found = advice(study({"none": 0.0, "a": 0.0}, {"none": 1.0, "a": 1.2}))
    assert found.rules[0].verdict is Verdict.EQUIVALENT
    assert "may be dropped" in found.rules[0].reason and "it costs: time in train_step +20.0%" in found.rules[0].reason
    assert (found.recommended_arm, found.decision) == ("none", Decision.STOP)


def test_a_cheaper_rule_is_kept_if_it_is_as_correct() -> None:
    cheaper = {"none": 1.0, "a": 0.8}
    assert advice(study({"none": 0.0, "a": 0.0}, cheaper)).rules[0].verdict is Verdict.KEEP
    assert advice(study({"none": 0.0, "a": -0.5}, cheaper)).rules[0].verdict is Verdict.HARMFUL
    unsure = advice(study({"none": 0.0, "a": 0.1}, cheaper, noise=0.3)).rules[0]
    assert unsure.verdict is Verdict.UNDECIDED


def test_the_price_of_a_kept_rule_is_named() -> None:
    found = advice(study({"none": 0.0, "a": 0.5}, {"none": 1.0, "a": 1.5}))
    assert found.rules[0].verdict is Verdict.KEEP
    assert "Its price: time in train_step +50.0%" in found.rules[0].reason


def test_several_headlines_are_several_looks() -> None:
    """At 6 seeds one contrast can just be decided (p = 1/32); with two headline phases it no longer can."""
    rows = study({"none": 0.0, "a": 0.5}, n=6)
    assert advice(rows).rules[0].verdict is Verdict.KEEP
    second = Metric(name="recall", direction="max", gain=0.1, primary=True)
    both = [Measurement(arm=arm, seed=s, metric=m, value=v + 0.001 * s * v) for m in ("score", "recall")
            for arm, v in (("none", 0.0), ("a", 0.5)) for s in range(6)]  # fmt: skip
    contrast = Contrast(rule="a", embedding="Hard", arm="a", baseline="none", family=ADD_ONE_IN)
    found = advise(effects("task", both, [SCORE, second], [contrast]), metrics=[SCORE, second], seconds_per_seed=1.0)
    assert found.rules[0].verdict is Verdict.UNDECIDED
    assert (found.rules[0].short, found.more_seeds) == (1, 1)


def test_rules_that_do_the_same_work() -> None:
    found = advice(study({"none": 0.0, "a": 0.5, "b": 0.5, "all": 0.5, "all but a": 0.5, "all but b": 0.5}))
    assert [rule.verdict for rule in found.rules] == [Verdict.KEEP, Verdict.KEEP]
    assert "Beside the other rules it adds nothing" in found.rules[0].reason
    assert found.recommended_arm == "all"


def test_a_rule_that_helps_alone_and_harms_in_company_is_a_trade_off() -> None:
    found = advice(study({"none": 0.0, "a": 0.5, "b": 0.5, "all": 0.3, "all but a": 0.6, "all but b": 0.2}))
    assert found.rules[0].verdict is Verdict.UNDECIDED
    assert found.rules[0].reason.startswith("A trade-off: score +0.5 mol against 'none'; but score -0.3 mol against")
    assert found.rules[0].more_seeds == 0


def test_rules_that_help_only_together() -> None:
    means = {
        "none": 0.0,
        "a": 0.0,
        "b": 0.0,
        "c": 0.0,
        "all": 0.5,
        "all but a": 0.5,
        "all but b": 0.5,
        "all but c": 0.5,
    }
    found = advice(study(means))
    assert {rule.verdict for rule in found.rules} == {Verdict.EQUIVALENT}
    assert found.keep == () and found.recommended_arm == "all"
    assert any("all together do" in note for note in found.notes)


def test_the_recommended_arm_is_the_one_with_the_kept_rules() -> None:
    means = {
        "none": 0.0,
        "a": 0.5,
        "b": 0.4,
        "c": -0.3,
        "all": 0.6,
        "all but a": 0.1,
        "all but b": 0.2,
        "all but c": 0.9,
    }
    assert advice(study(means)).recommended_arm == "all but c"
    means |= {"b": 0.0, "all but b": 0.6}
    assert advice(study(means)).recommended_arm == "a"


def test_an_arm_that_was_not_measured_is_not_recommended_as_if_it_were() -> None:
    rows = study({"none": 0.0, "a": 0.5, "b": 0.5, "c": 0.0})  # add one in only
    found = advice(rows)
    assert found.recommended_arm is None
    assert found.best_arm in ("a", "b")
    assert found.recommended == (
        f"{found.best_arm} (the best of those measured; none has exactly the rules to keep, a (Hard) + b (Hard))"
    )
    assert advice(rows, arms={"a + b": ["a", "b"]}).recommended_arm == "a + b"
    assert advice(rows, arms={"b + c": ["b", "c"], "a + b": ["a", "b"]}).recommended_arm == "a + b"


def test_all_rules_together_are_noted_by_each_quantity() -> None:
    means = {"none": 0.0, "a": 0.5, "all": 0.6, "all but a": 0.1}
    found = advice(study(means, {arm: 1.0 + mean for arm, mean in means.items()}))
    told = [note for note in found.notes if note.startswith("All rules together")]
    assert [note.split(", ")[0] for note in told] == ["All rules together: KEEP", "All rules together: HARMFUL"]
    assert "score +0.6" in told[0] and "time" in told[1] and all(note.endswith("against 'none'.") for note in told)


def test_the_better_embedding_is_recommended() -> None:
    rows = [Measurement(arm=arm, seed=s, metric="score", value=v + 0.01 * s * v)
            for arm, v in (("none", 0.0), ("hard", 0.5), ("soft", 0.7)) for s in range(8)]  # fmt: skip
    contrasts = [Contrast(rule="a", embedding=e, arm=e, baseline="none", family=ADD_ONE_IN) for e in ("hard", "soft")]
    found = advice(effects("task", rows, [SCORE], contrasts))
    assert len(found.rules) == 2
    assert (found.keep, found.recommended_arm) == ((("a", "soft"),), "soft")


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_smoke_result_is_never_a_verdict(n: int) -> None:
    found = advice(study({"none": 0.0, "a": 0.5}, n=n))
    assert found.smoke and found.rules[0].verdict is Verdict.UNDECIDED
    assert (found.recommended_arm, found.keep) == (None, ())
    assert "smoke result, never a verdict" in "\n".join(found.lines())
    assert (found.decision, found.more_seeds, found.seconds) == (Decision.GO_ON, 6 - n, 60.0 * (6 - n))
    assert ("unknown from so few seeds" in found.reason) is (n < 3)


def test_go_on_states_gain_and_price() -> None:
    found = advice(study({"none": 0.0, "a": 0.12}, n=8, noise=0.15), joules_method="cpu_time_estimate")
    assert found.decision is Decision.GO_ON
    rule = found.rules[0]
    assert rule.more_seeds == found.more_seeds > 0 and rule.expected_gain is not None and rule.expected_gain >= 0.1
    assert found.joules == 500.0 * found.more_seeds and rule.joules == found.joules
    assert found.joules_method == "cpu_time_estimate"
    for text in (f"{found.more_seeds} more seeds", "(cpu_time_estimate)"):
        assert text in found.reason
    gain = re.search(r"gain: ([\d.e-]+) smallest useful gains \(([\d.e-]+) mol of score\)", found.reason)
    assert gain is not None and float(gain[1]) == pytest.approx(rule.expected_gain, rel=0.05)
    assert float(gain[2]) == pytest.approx(SCORE.gain * rule.expected_gain, rel=0.05), "in units of the metric"


def test_stop_where_nothing_can_be_expected() -> None:
    found = advice(study({"none": 0.0, "a": -0.2}, n=8, noise=0.3))
    assert found.rules[0].verdict is Verdict.UNDECIDED and found.rules[0].more_seeds > 0
    assert found.decision is Decision.STOP and "below the 0.1 worth going on for" in found.reason


def test_stop_where_it_would_take_too_many_seeds() -> None:
    found = advice(study({"none": 0.0, "a": 0.5}, n=8, noise=2.0))
    assert found.decision is Decision.STOP and "more than 100 further seeds" in found.reason
    assert advice(study({"none": 0.0, "a": 0.5}, n=8, noise=2.0), limit_seeds=10**6).decision is Decision.GO_ON


def test_shares_and_interactions_are_noted() -> None:
    share = ShapleyValue(rule="a", mean=0.5, low=0.4, high=0.6, values=(0.5,))
    crossed = FactorialEffect(rules=("a", "b"), mean=0.2, low=0.1, high=0.3)
    unclear = FactorialEffect(rules=("a", "c"), mean=0.2, low=-0.1, high=0.5)
    text = "\n".join(advice(study({"none": 0.0, "a": 0.5}), shapley=[share], interactions=[crossed, unclear]).lines())
    assert "a +0.5 [+0.4, +0.6]" in text and "a x b interact" in text and "a x c" not in text


def test_no_rule() -> None:
    found = advice([])
    assert (found.decision, found.reason, found.smoke) == (Decision.STOP, "There is no rule to judge.", False)


def test_wrong_arguments_are_refused() -> None:
    rows = study({"none": 0.0, "a": 0.5})
    with pytest.raises(ValueError, match=r"must declare every metric of the effects, got none for \['score'\]"):
        advice(rows, metrics=[TIME])
    with pytest.raises(ValueError, match="at least one metric of kind 'correctness'"):
        advice([], metrics=[TIME])
    with pytest.raises(ValueError, match="prices must be >= 0"):
        advice(rows, seconds_per_seed=-1.0)


def test_price_in_words() -> None:
    assert price(30, None) == "30 s (energy not measured)"
    assert price(600, 5.0, "rapl") == "10 min and 5 J (rapl)"
    assert price(0, 0.0) == "0 s and 0 J"


def test_the_table_and_the_advice_agree() -> None:
    """Of the same row, whatever the number of seeds, of headlines and of rules."""
    names = ("score", "recall", "precision")
    for n in range(3, 11):
        for count in (1, 2, 3):
            metrics = [Metric(name=name, direction="max", gain=0.1, primary=True) for name in names[:count]]
            for rules in (["a"], ["a", "b"]):
                arms = {"none": 0.0, **dict.fromkeys(rules, 0.5), "all": 0.9}
                contrasts = [Contrast(rule=r, embedding="Hard", arm=r, baseline="none", family=ADD_ONE_IN)
                             for r in rules]  # fmt: skip
                contrasts.append(Contrast(rule="all", embedding="", arm="all", baseline="none", family=ALL))
                rows = [Measurement(arm=arm, seed=s, metric=m.name, value=v + 0.001 * s * (arm != "none"))
                        for m in metrics for arm, v in arms.items() for s in range(n)]  # fmt: skip
                table = effects("task", rows, metrics, contrasts)
                found = advise(table, metrics=metrics, seconds_per_seed=1.0)
                for rule in found.rules:
                    verdicts = {row.verdict for row in table if row.rule == rule.rule}
                    assert verdicts == {rule.verdict}, (n, count, rules)
                    assert (rule.short > 0) is (rule.verdict is Verdict.UNDECIDED)
                assert found.smoke is all(row.verdict is Verdict.UNDECIDED for row in table)


def test_seeds_that_are_enough_for_some_rules_name_the_others() -> None:
    quiet = study({"none": 0.0, "a": 0.14}, n=8, noise=0.2)
    loud = study({"none": 0.0, "b": 0.14, "c": 0.14}, n=8, noise=0.6)
    found = advice([*quiet, *loud])
    need = {rule.rule: rule.more_seeds for rule in found.rules}
    assert need["a"] == found.more_seeds < 100 < need["b"] == need["c"]
    text = f"enough to decide a (Hard); not all: b (Hard) needs {need['b']}, c (Hard) needs {need['c']}"
    assert text in found.reason
    assert "(enough to decide)" in advice(quiet).reason


def test_effects_of_an_older_version_give_no_advice() -> None:
    rows = [replace(row, comparisons=None) for row in study({"none": 0.0, "a": 0.5})]
    with pytest.raises(ValueError, match="effects of an older version"):
        advice(rows)


def test_the_best_embedding_is_judged_in_smallest_useful_gains() -> None:
    """Two headline metrics of unlike gains: +0.3 of a gain of 0.1 is more than +2 of a gain of 1."""
    coarse = Metric(name="coarse", direction="max", gain=1.0, primary=True)
    arms = {"none": (0.0, 0.0), "soft": (0.3, 0.0), "hard": (0.11, 2.0)}
    rows = [Measurement(arm=arm, seed=s, metric=m, value=v + 0.001 * s * (arm != "none"))
            for arm, pair in arms.items() for m, v in zip(("score", "coarse"), pair, strict=True)
            for s in range(9)]  # fmt: skip
    contrasts = [Contrast(rule="r", embedding=kind, arm=kind, baseline="none", family=ADD_ONE_IN)
                 for kind in ("soft", "hard")]  # fmt: skip
    metrics = [SCORE, coarse]
    found = advise(effects("task", rows, metrics, contrasts), metrics=metrics, seconds_per_seed=1.0)
    assert found.keep == (("r", "soft"),)


def test_the_best_arm_may_be_a_baseline() -> None:
    found = advice(study({"none": 0.0, "a": -0.5}))
    assert found.best_arm == "none"
    assert advice(study({"none": 0.0, "a": 0.5})).best_arm == "a"


def test_what_is_unknown_and_not_adjusted_is_said() -> None:
    assert "expected further gain: unknown from so few seeds." in advice(study({"none": 0.0, "a": 0.5}, n=2)).reason
    effect = FactorialEffect(rules=("a", "b"), mean=0.2, low=0.1, high=0.3)
    notes = advice(study({"none": 0.0, "a": 0.5}), interactions=[effect]).notes
    assert notes[-1] == "a x b interact: +0.2 [+0.1, +0.3] (not adjusted for the number of interactions)."
