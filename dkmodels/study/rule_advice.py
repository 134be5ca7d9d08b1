"""Advice on one rule: one verdict over all its rows, and what deciding it would cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from dkmodels.study.effect import Effect, Verdict, smallest_decidable_n
from dkmodels.study.metric import LEAVE_ONE_OUT, Metric
from dkmodels.study.power import MOST, POWER, seeds_needed
from dkmodels.study.statistics import expected_gain, t_quantile

SMOKE = "smoke result, never a verdict"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RuleAdvice:
    """What to do with one rule in one embedding.

    Attributes:
        rule: Name of the rule.
        embedding: How it is imposed.
        verdict: Verdict over correctness and cost together.
        reason: One sentence in plain words.
        more_seeds: Further seeds (of every arm) with which all rows of an UNDECIDED rule are decided with a probability
            of 80 %, if effects and spreads are those measured so far; 0 where decided or where no number would do.
        expected_gain: What these seeds can be expected to bring, in units of the smallest useful gain of the headline
            metric; see :func:`expected_gain`. 0 where decided, None where nothing can be expected from the data.
        seconds: Price of these seeds in seconds.
        joules: Price in joules, None where energy is unknown.
        short: Seeds short of the fewest that allow any verdict; above 0 the row is a smoke result.
    """

    rule: str
    embedding: str
    verdict: Verdict
    reason: str
    more_seeds: int = 0
    expected_gain: float | None = 0.0
    seconds: float = 0.0
    joules: float | None = None
    short: int = 0

    @property
    def label(self) -> str:
        """Name for display."""
        return f"{self.rule} ({self.embedding})" if self.embedding else self.rule


def price(seconds: float, joules: float | None, method: str | None = None) -> str:
    """A price in words.

    Example:
        >>> price(7200, 3.6e6, "cpu_time_estimate")
        '2 h and 3.6 MJ (cpu_time_estimate)'
    """
    for size, unit in ((3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= 2 * size or unit == "s":
            text = f"{seconds / size:.3g} {unit}"
            break
    if joules is None:
        return f"{text} (energy not measured)"
    for size, unit in ((1e6, "MJ"), (1e3, "kJ"), (1.0, "J")):
        if joules >= size or unit == "J":
            text += f" and {joules / size:.3g} {unit}"
            break
    return text + (f" ({method})" if method else "")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges rules, one after the other, with what is common to all of them.

    Attributes:
        metrics: All metrics by name.
        correctness: The headline metrics of correctness.
        cost: The headline metrics of cost.
    """

    metrics: dict[str, Metric]
    correctness: dict[str, Metric]
    cost: dict[str, Metric]

    def verdict(self, rows: Sequence[Effect]) -> Verdict | None:
        """One verdict over rows: a good or bad one anywhere wins, both together are a trade-off; None without rows.

        The verdicts of rows stand as `effects` decided them, which corrects for the number of headline quantities.
        """
        if not rows:
            return None
        sure = {row.verdict for row in rows}
        if {Verdict.KEEP, Verdict.HARMFUL} <= sure:
            return Verdict.UNDECIDED
        for verdict in (Verdict.HARMFUL, Verdict.KEEP):
            if verdict in sure:
                return verdict
        return Verdict.EQUIVALENT if all(row.verdict is Verdict.EQUIVALENT for row in rows) else Verdict.UNDECIDED

    def needs(self, rows: Sequence[Effect]) -> tuple[int, int, float | None]:
        """Of correctness rows: seeds short of any verdict, of 80 % power (0: beyond reach), further gain in margins."""
        floors = [smallest_decidable_n(row.comparisons or 1) - row.n_seeds for row in rows]
        short, more, gain = max(0, min(floors, default=0)), max([0, *floors]), 0.0
        power = 1 - (1 - POWER) / max(1, len(rows))  # of each row, so that all of them are decided with POWER
        for row in rows:
            n, margin = row.n_seeds, self.metrics[row.metric].margin
            if row.low is None or row.high is None or n < 3:
                return short, more, None
            sd = (row.high - row.low) / 2 * math.sqrt(n) / t_quantile(0.975, n - 1)
            needed = seeds_needed(row.difference, sd, margin, comparisons=row.comparisons or 1, power=power)
            if needed == MOST and short == 0:
                return short, 0, 0.0
            missing = needed - n
            if missing > 0:
                more = max(more, missing)
                gain = max(gain, (expected_gain(row.sign * row.difference, sd, n, missing, margin) or 0.0) / margin)
        return short, more, gain

    def words(self, rows: Sequence[Effect], verdict: Verdict) -> str:
        """The rows with a verdict, in words."""
        found = [
            f"{shift(row, self.metrics[row.metric])} against {row.baseline!r}" for row in rows if row.verdict is verdict
        ]
        return "; ".join(found)

    def judge(self, right: Sequence[Effect], dear: Sequence[Effect]) -> tuple[Verdict, str]:
        """Verdict over the correctness rows and the cost rows of one rule, and why."""
        correct, cheap = self.verdict(right), self.verdict(dear)
        dearer = self.words(dear, Verdict.HARMFUL)
        if correct is Verdict.KEEP:
            late = [row for row in right if row.family == LEAVE_ONE_OUT]
            why = f"It helps: {self.words(right, Verdict.KEEP)}."
            if late and all(row.verdict is Verdict.EQUIVALENT for row in late):
                why += " Beside the other rules it adds nothing: one of them does the same work."
            return Verdict.KEEP, why + (f" Its price: {dearer}." if dearer else "")
        if correct is Verdict.HARMFUL:
            return Verdict.HARMFUL, f"It does harm, leave it out: {self.words(right, Verdict.HARMFUL)}."
        if correct is Verdict.EQUIVALENT and cheap is Verdict.KEEP:
            return Verdict.KEEP, f"As correct, and cheaper: {self.words(dear, Verdict.KEEP)}."
        if correct is Verdict.EQUIVALENT:
            why = "It may be dropped: it changes correctness by less than the smallest useful gain"
            return Verdict.EQUIVALENT, why + (f", and it costs: {dearer}." if dearer else ".")
        if correct is None:
            return Verdict.UNDECIDED, "No headline metric of correctness was measured for it."
        good, bad = self.words(right, Verdict.KEEP), self.words(right, Verdict.HARMFUL)
        return Verdict.UNDECIDED, f"A trade-off: {good}; but {bad}." if good and bad else ""

    def advise(self, rows: Sequence[Effect], seconds: float, joules: float | None, method: str | None) -> RuleAdvice:
        """Advice on one rule from its rows; ``seconds`` and ``joules`` are the price of one seed of all arms."""
        right = [row for row in rows if row.metric in self.correctness]
        verdict, why = self.judge(right, [row for row in rows if row.metric in self.cost])
        short, more, gain = self.needs(right)
        if why:  # decided, or a trade-off that seeds do not resolve
            more, gain = 0, 0.0
        elif short > 0:
            # How many seeds an effect needs cannot be told from so few: only how many allow a verdict at all.
            more, why = short, f"Too few seeds: a {SMOKE}."
        elif more > 0:
            why = "Too few seeds for so small or so noisy an effect."
        else:
            why = "It lies too close to the smallest useful gain to tell, with any number of seeds: your choice."
        paid = None if joules is None else more * joules
        if short > 0 and more:
            why += f" {more} more seeds allow one, for {price(more * seconds, paid, method)}."
        elif more:
            why += (
                f" {more} more seeds should decide it (80 % power, if effect and spread are those measured), "
                f"for {price(more * seconds, paid, method)}."
            )
        return RuleAdvice(
            rule=rows[0].rule,
            embedding=rows[0].embedding,
            verdict=verdict,
            reason=why,
            more_seeds=more,
            expected_gain=gain,
            seconds=more * seconds,
            joules=paid,
            short=short,
        )


def shift(row: Effect, metric: Metric) -> str:
    """A row in words.

    The amount is a percentage for cost and a difference in the unit of the metric for correctness.
    """
    where = metric.name + (f" in {row.phase}" if row.phase else "") + (f" [{row.method}]" if row.method else "")
    if metric.kind == "cost":
        return f"{where} {math.expm1(row.difference):+.1%}"
    return f"{where} {row.difference:+.3g}{f' {row.unit}' if row.unit else ''}"
