"""Advice: which rules to keep, and whether more seeds are worth their price."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import final

from dkmodels.study.effect import Effect, Verdict
from dkmodels.study.metric import ADD_ONE_IN, ALL, LEAVE_ONE_OUT, Metric, headlines
from dkmodels.study.rule_advice import SMOKE, Judge, RuleAdvice, price, shift
from dkmodels.study.statistics import FactorialEffect, ShapleyValue


@final
class Decision(StrEnum):
    """Whether to train further seeds."""

    STOP = "STOP"
    GO_ON = "GO ON"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a study recommends.

    Attributes:
        rules: Advice on each rule.
        keep: The rules to keep, as (rule, embedding).
        recommended_arm: Measured arm with exactly the rules to keep; None where none was measured, or in a smoke study.
        best_arm: Of the measured arms that stand in a contrast, the one with the best headline metrics, each in its
            smallest useful gains; None in a smoke study.
        decision: STOP or GO ON.
        reason: Why, with the expected further gain against its price.
        more_seeds: Further seeds to train, 0 for STOP.
        seconds: Their price in seconds.
        joules: Their price in joules, None where energy is unknown.
        joules_method: How energy was measured, e.g. ``"rapl"``; an estimate is called one.
        smoke: True where there are too few seeds for any verdict.
        notes: Further remarks.
    """

    rules: tuple[RuleAdvice, ...]
    keep: tuple[tuple[str, str], ...]
    recommended_arm: str | None
    decision: Decision
    reason: str
    more_seeds: int = 0
    seconds: float = 0.0
    joules: float | None = None
    joules_method: str | None = None
    smoke: bool = False
    notes: tuple[str, ...] = ()
    best_arm: str | None = None

    def lines(self) -> list[str]:
        """The advice as plain text, one line each."""
        found = [f"{rule.label}: {rule.verdict}. {rule.reason}" for rule in self.rules]
        found.append(f"Recommended arm: {self.recommended}")
        found += [f"Note: {note}" for note in self.notes]
        return [*found, f"{self.decision}. {self.reason}"]

    @property
    def recommended(self) -> str:
        """The recommendation in words, whether or not that arm was measured."""
        if self.smoke:
            return f"none yet ({SMOKE})"
        if self.recommended_arm is not None:
            return self.recommended_arm
        rules = " + ".join(f"{rule} ({embedding})" for rule, embedding in self.keep) or "no rule"
        if self.best_arm is not None:
            return f"{self.best_arm} (the best of those measured; none has exactly the rules to keep, {rules})"
        return f"{rules} (no measured arm has exactly these rules: run one before relying on it)"


def advise(
    effects: Sequence[Effect],
    *,
    metrics: Sequence[Metric],
    seconds_per_seed: float,
    joules_per_seed: float | None = None,
    joules_method: str | None = None,
    shapley: Sequence[ShapleyValue] | None = None,
    interactions: Sequence[FactorialEffect] | None = None,
    arms: Mapping[str, Iterable[str]] | None = None,
    worthwhile: float = 0.1,
    limit_seeds: int = 100,
) -> Advice:
    """Turn effects into advice.

    A rule is judged on the headline metrics (the primary ones; all of a kind where none is primary), over all its rows
    but those of the family "all". KEEP: correctness is better somewhere and worse nowhere; or it is equivalent
    everywhere while a cost is better and none is worse. HARMFUL: correctness is worse somewhere and better nowhere.
    EQUIVALENT: equivalent everywhere, so the rule may be dropped. UNDECIDED otherwise.

    GO ON if some undecided rule has an expected further gain of at least ``worthwhile`` smallest useful gains for at
    most ``limit_seeds`` further seeds; a smoke study first goes on to the fewest seeds that allow any verdict. Going on
    is a second look at the same data: plan it once, not seed by seed until a verdict appears.

    Args:
        effects: What :func:`dkmodels.study.effect.effects` returned.
        metrics: The declared metrics.
        seconds_per_seed: Seconds that one further seed of all arms takes.
        joules_per_seed: Joules of the same, None where unknown.
        joules_method: How these joules were measured.
        shapley: Shapley values of the headline correctness metric.
        interactions: Factorial effects of the same.
        arms: Names of the rules in each measured arm; needed only for arms that stand in no contrast "add one in" or
            "leave one out", such as the middle of a factorial.
        worthwhile: Smallest expected further gain worth going on for, in smallest useful gains.
        limit_seeds: Most further seeds to advise.

    Raises:
        ValueError: If an effect is of an undeclared metric or of an older version, there is no correctness metric, or a
            price is negative.
    """
    names = {metric.name: metric for metric in metrics}
    if unknown := sorted({row.metric for row in effects} - names.keys()):
        raise ValueError(f"`metrics` must declare every metric of the effects, got none for {unknown}")
    if any(row.comparisons is None for row in effects):
        raise ValueError(
            "`advise` needs effects that say for how many comparisons they were corrected, got effects of an older "
            "version: make them anew with `effects`, or `python -m dkmodels report RESULTS`"
        )
    if min(seconds_per_seed, joules_per_seed or 0.0) < 0:
        raise ValueError(f"prices must be >= 0, got {seconds_per_seed} s and {joules_per_seed} J a seed")
    judge = _judge(effects, names)
    single = [row for row in effects if row.family != ALL]
    rules = [
        judge.advise(
            [row for row in single if (row.rule, row.embedding) == pair],
            seconds_per_seed,
            joules_per_seed,
            joules_method,
        )
        for pair in dict.fromkeys((row.rule, row.embedding) for row in single)
    ]
    keep = _best([rule for rule in rules if rule.verdict is Verdict.KEEP], effects, judge.correctness)
    decided = any(row.verdict is not Verdict.UNDECIDED for row in effects if row.metric in judge.correctness)
    smoke = bool(rules) and all(rule.short > 0 for rule in rules) and not decided
    arm = None if smoke else _arm_of(keep, effects, arms or {})
    notes = _notes(effects, judge, shapley or (), interactions or ())
    together = [row for row in effects if row.family == ALL and row.metric in judge.correctness]
    if not keep and not smoke and judge.verdict(together) is Verdict.KEEP:
        arm = together[0].arm
        notes.append(
            f"No rule alone could be shown to help, but all together do: keep {arm!r} until they are told apart."
        )
    gain, seeds = _further(rules, smoke, worthwhile, limit_seeds)
    joules = None if joules_per_seed is None else seeds * joules_per_seed
    cost = price(seeds * seconds_per_seed, joules, joules_method)
    if seeds:
        expected = "unknown from so few seeds" if gain is None else f"{gain:.2g} smallest useful gains"
        if gain is not None and len(judge.correctness) == 1:
            (headline,) = judge.correctness.values()
            expected += f" ({gain * headline.gain:.2g}{' ' * bool(headline.unit)}{headline.unit} of {headline.name})"
        goal = "the fewest that allow a verdict" if smoke else _goal(rules, seeds)
        reason = f"{seeds} more seeds of every arm ({goal}) cost {cost}; expected further gain: {expected}."
    else:
        reason = _why_stop(rules, worthwhile, limit_seeds)
    return Advice(
        rules=tuple(rules),
        keep=keep,
        recommended_arm=arm,
        decision=Decision.GO_ON if seeds else Decision.STOP,
        reason=reason,
        more_seeds=seeds,
        seconds=seeds * seconds_per_seed,
        joules=joules,
        joules_method=joules_method,
        smoke=smoke,
        notes=tuple(notes),
        best_arm=None if smoke else _best_arm(effects, judge.correctness),
    )


def _judge(effects: Sequence[Effect], metrics: dict[str, Metric]) -> Judge:
    chosen = {kind: headlines(list(metrics.values()), kind) for kind in ("correctness", "cost")}
    if not chosen["correctness"]:
        raise ValueError(f"`advise` needs at least one metric of kind 'correctness', got {sorted(metrics)}")
    return Judge(metrics=metrics, correctness=chosen["correctness"], cost=chosen["cost"])


def _further(rules: Sequence[RuleAdvice], smoke: bool, worthwhile: float, limit_seeds: int) -> tuple[float | None, int]:
    """Expected further gain, in smallest useful gains (None: unknown), and the seeds to go on for (0: stop)."""
    worth = [
        rule for rule in rules if rule.more_seeds and (rule.expected_gain is None or rule.expected_gain >= worthwhile)
    ]
    if smoke and worth:
        seeds = max(rule.short for rule in worth)
    else:
        worth = [rule for rule in worth if rule.more_seeds <= limit_seeds]
        seeds = max((rule.more_seeds for rule in worth), default=0)
    known = [rule.expected_gain for rule in worth if rule.expected_gain is not None]
    return (max(known) if known else None), seeds


def _goal(rules: Sequence[RuleAdvice], seeds: int) -> str:
    """Which undecided rules so many further seeds should decide, and which need more."""
    left = [rule for rule in rules if rule.verdict is Verdict.UNDECIDED and rule.more_seeds]
    more = [f"{rule.label} needs {rule.more_seeds}" for rule in left if rule.more_seeds > seeds]
    enough = [rule.label for rule in left if rule.more_seeds <= seeds]
    if not more:
        return "enough to decide"
    return f"enough to decide {', '.join(enough)}; not all: {', '.join(more)}"


def _why_stop(rules: Sequence[RuleAdvice], worthwhile: float, limit_seeds: int) -> str:
    if not rules:
        return "There is no rule to judge."
    open_rules = [rule for rule in rules if rule.verdict is Verdict.UNDECIDED]
    if not open_rules:
        return "Every rule is decided; further seeds would buy nothing."
    if any((rule.expected_gain or 0.0) >= worthwhile and rule.more_seeds > limit_seeds for rule in open_rules):
        return (
            f"What is undecided would need more than {limit_seeds} further seeds; a quieter metric or task is cheaper."
        )
    best = max(rule.expected_gain or 0.0 for rule in open_rules)
    return f"Expected further gain {best:.2g} smallest useful gains, below the {worthwhile:g} worth going on for."


def _notes(
    effects: Sequence[Effect], judge: Judge, shapley: Sequence[ShapleyValue], interactions: Sequence[FactorialEffect]
) -> list[str]:
    """What else a reader should know."""
    found = [
        f"All rules together: {row.verdict}, {shift(row, judge.metrics[row.metric])} against {row.baseline!r}."
        for row in effects
        if row.family == ALL and (row.metric in judge.correctness or row.metric in judge.cost)
    ]
    if shapley:
        shares = ", ".join(f"{v.rule} {v.mean:+.3g} [{v.low:+.3g}, {v.high:+.3g}]" for v in shapley)
        found.append(f"Shapley shares of all less none (95 % intervals): {shares}.")
    for effect in interactions:
        if len(effect.rules) > 1 and (effect.low > 0 or effect.high < 0):
            found.append(
                f"{' x '.join(effect.rules)} interact: {effect.mean:+.3g} [{effect.low:+.3g}, {effect.high:+.3g}] "
                "(not adjusted for the number of interactions)."
            )
    return found


def _arm_of(
    keep: Sequence[tuple[str, str]], effects: Sequence[Effect], arms: Mapping[str, Iterable[str]]
) -> str | None:
    """The measured arm with exactly these rules, as far as contrasts and the given names tell."""
    known = _arms(effects)
    by_pairs = [arm for arm, pairs in known.items() if pairs == frozenset(keep)]
    wanted = {rule for rule, _ in keep}
    by_names = [arm for arm, rules in arms.items() if arm not in known and set(rules) == wanted]
    return next(iter(by_pairs + by_names), None)


def _best_arm(effects: Sequence[Effect], headline: Mapping[str, Metric]) -> str | None:
    """The arm with the best means, summed over the headline metrics in smallest useful gains."""
    means: dict[str, dict[str, float]] = {}
    for row in effects:
        if row.metric in headline:
            worth = row.sign / headline[row.metric].margin
            means.setdefault(row.arm, {})[row.metric] = worth * row.arm_mean
            means.setdefault(row.baseline, {})[row.metric] = worth * row.baseline_mean
    whole = {arm: sum(found.values()) for arm, found in means.items() if found.keys() == headline.keys()}
    return max(whole, key=lambda arm: whole[arm], default=None)


def _arms(effects: Sequence[Effect]) -> dict[str, frozenset[tuple[str, str]]]:
    """Which (rule, embedding) pairs each arm holds, as far as the contrasts tell."""
    found: dict[str, frozenset[tuple[str, str]]] = {}
    for row in effects:
        pair = (row.rule, row.embedding)
        if row.family == ADD_ONE_IN:
            found[row.baseline], found[row.arm] = frozenset(), frozenset({pair})
        elif row.family == LEAVE_ONE_OUT:
            whole = {(r.rule, r.embedding) for r in effects if r.family == LEAVE_ONE_OUT and r.arm == row.arm}
            found[row.arm], found[row.baseline] = frozenset(whole), frozenset(whole - {pair})
    return found


def _best(
    kept: Sequence[RuleAdvice], effects: Sequence[Effect], headline: Mapping[str, Metric]
) -> tuple[tuple[str, str], ...]:
    """Of each rule the embedding with the largest gain, in smallest useful gains of a headline metric."""

    def gain(pair: tuple[str, str]) -> float:
        rows = [row for row in effects if (row.rule, row.embedding) == pair and row.metric in headline]
        return max((row.sign * row.difference / headline[row.metric].margin for row in rows), default=-math.inf)

    best: dict[str, tuple[str, str]] = {}
    for rule in kept:
        pair = (rule.rule, rule.embedding)
        if rule.rule not in best or gain(pair) > gain(best[rule.rule]):
            best[rule.rule] = pair
    return tuple(best.values())
