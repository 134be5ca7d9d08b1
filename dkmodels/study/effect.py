"""An effect: what one rule changes in one metric, with its interval and its verdict."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from dkmodels.study.metric import Contrast, Direction, Measurement, Metric, headlines
from dkmodels.study.records import EFFECT, Rows, decode_json
from dkmodels.study.statistics import Interval, holm, paired_interval, pairing_correlation, sign_flip_p
from dkmodels.study.store import write_atomic
from dkmodels.study.verdict import ALPHA, Verdict, judge, smallest_decidable_n

__all__ = ["ALPHA", "Effect", "Verdict", "effects", "judge", "read_effects", "smallest_decidable_n", "write_effects"]


LARGEST_LOG = 700.0  # exp of more overflows


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The effect of one rule on one metric: arm against baseline, paired by seed.

    Attributes:
        task: Name of the task.
        rule: Rule in which the arms differ.
        embedding: How it is imposed.
        arm: Arm with the rule.
        baseline: Arm without it.
        metric: Name of the metric.
        direction: ``"max"`` where more is better, ``"min"`` where less is.
        unit: Unit of the metric.
        baseline_mean: Mean of the baseline over the paired seeds, in ``unit``: arithmetic for correctness, geometric
            for cost, so that ``arm_mean / baseline_mean`` of a cost is ``exp(difference)``.
        arm_mean: The same of the arm.
        difference: Correctness: mean of arm - baseline, in ``unit``. Cost: mean of log(arm / baseline), without unit.
        relative: Correctness: difference / |baseline_mean|, None where that mean is 0. Cost: exp(difference) - 1.
        low: Lower bound of the 95 % t interval of ``difference``, on its scale; None below 2 seeds.
        high: Upper bound.
        p: Two-sided sign-flip p.
        p_adjusted: The same after Holm's method over the family, times the number of headline quantities of its kind
            where it is one of them; see :func:`effects`.
        n_seeds: Number of paired seeds.
        verdict: What the row says.
        method: How a cost was measured, None where it has no method.
        phase: Which phase was measured, None where it has none.
        improved: Fraction of seeds where the arm is strictly better.
        correlation: Pearson's correlation of the pairs; None where undefined.
        family: Family of the contrast.
        scale: Scale of ``difference``, ``low`` and ``high``: ``"difference"`` or ``"log ratio"``.
        relative_low: ``low`` on the scale of ``relative``; None where either is.
        relative_high: The same of ``high``.
        margin: Smallest useful gain on the scale of ``difference``.
        comparisons: By how much the smallest p of the family was multiplied.
    """

    task: str
    rule: str
    embedding: str
    arm: str
    baseline: str
    metric: str
    direction: Direction
    unit: str
    baseline_mean: float
    arm_mean: float
    difference: float
    relative: float | None
    low: float | None
    high: float | None
    p: float
    p_adjusted: float
    n_seeds: int
    verdict: Verdict
    method: str | None = None
    phase: str | None = None
    improved: float | None = None
    correlation: float | None = None
    family: str | None = None
    scale: Literal["difference", "log ratio"] | None = None
    relative_low: float | None = None
    relative_high: float | None = None
    margin: float | None = None
    comparisons: int | None = None

    @property
    def sign(self) -> int:
        """+1 where more is better, -1 where less is."""
        return 1 if self.direction == "max" else -1


_Table = dict[tuple[str, str, str], dict[int, dict[str, float]]]  # (metric, phase, arm) -> seed -> method -> value


def _tabulate(measurements: Iterable[Measurement], metrics: dict[str, Metric]) -> _Table:
    table: _Table = {}
    for row in measurements:
        if row.metric not in metrics:
            continue  # a cell may log more than the study asks about; without direction and gain it has no effect
        if not math.isfinite(row.value):
            raise ValueError(f"`effects` needs finite values, got {row.value} for {row}")
        if metrics[row.metric].kind == "cost" and row.value <= 0:
            raise ValueError(
                f"`effects` compares costs by log ratio, which needs values > 0, got {row.value} for {row}"
            )
        by_method = table.setdefault((row.metric, row.phase, row.arm), {}).setdefault(row.seed, {})
        if row.method in by_method:
            raise ValueError(f"`effects` needs one value each, got a second one for {row}, method {row.method!r}")
        by_method[row.method] = row.value
    return table


def _pairs(table: _Table, metric: str, phase: str, contrast: Contrast) -> dict[str, list[tuple[float, float]]]:
    """Pairs (arm, baseline) of the seeds that both arms have, split by method."""
    arm = table.get((metric, phase, contrast.arm), {})
    baseline = table.get((metric, phase, contrast.baseline), {})
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in sorted(arm.keys() & baseline.keys()):
        shared = [method for method in arm[seed] if method in baseline[seed]]
        if not shared:
            raise ValueError(
                f"`effects` compares values of one method only: metric {metric!r}, phase {phase!r}, seed {seed} has "
                f"{sorted(arm[seed])} for arm {contrast.arm!r} but {sorted(baseline[seed])} for {contrast.baseline!r}"
            )
        for method in shared:
            found.setdefault(method, []).append((arm[seed][method], baseline[seed][method]))
    return found


def effects(
    task: str, measurements: Iterable[Measurement], metrics: Sequence[Metric], contrasts: Sequence[Contrast]
) -> list[Effect]:
    """Compare arms, paired by seed, and judge every row.

    A Holm family is one (metric, phase, method) and one family of contrasts: the rows that answer one question ("which
    rule helps when added?"), from which a reader would pick the best. Adding in and leaving out are two questions on
    the same rules: at level 0.05 two-sided each, the chance of any false KEEP is at most 0.025 in each and so at most
    0.05 in the two together. Other metrics and phases are apart because they are read on their own; but where several
    are headlines of one kind, they bear on one decision: the p of their rows is multiplied by the number of these
    quantities (metric, phase, method), after Bonferroni. The verdict on a row is decided here and nowhere else.

    Only seeds present in both arms count. A contrast without a common seed gives no row. Metrics that are measured
    but not declared are left out. Where seeds were measured by several methods, each method has its own row.

    Args:
        task: Name of the task.
        measurements: All values.
        metrics: Declared metrics.
        contrasts: Which arms to compare.

    Returns:
        One effect a metric, phase, contrast and method, in this order.

    Raises:
        ValueError: If a value is not finite, a cost is not positive, a value is there twice, names of metrics or
            contrasts repeat, or a seed has no method in common in its two arms.

    Example:
        >>> rows = [Measurement(arm=arm, seed=seed, metric="mae", value=value + 0.01 * seed * (arm == "all"))
        ...         for arm, value in (("none", 2.0), ("all", 1.0)) for seed in range(6)]
        >>> metric = Metric(name="mae", direction="min", gain=0.1)
        >>> contrast = Contrast(rule="carbon", embedding="Hard", arm="all", baseline="none", family="add one in")
        >>> effect, = effects("cracker", rows, [metric], [contrast])
        >>> round(effect.difference, 3), effect.p, effect.verdict
        (-0.975, 0.03125, <Verdict.KEEP: 'KEEP'>)
    """
    by_name = {metric.name: metric for metric in metrics}
    if len(by_name) < len(metrics):
        raise ValueError(f"`metrics` must have distinct names, got {[metric.name for metric in metrics]}")
    if len(set(contrasts)) < len(contrasts):
        raise ValueError(
            f"`contrasts` must be distinct, got twice: {[c for c, k in Counter(contrasts).items() if k > 1]}"
        )
    table = _tabulate(measurements, by_name)
    rows: list[tuple[Effect, Interval | None, Interval | None]] = []
    for metric in metrics:
        for phase in dict.fromkeys(phase for name, phase, _ in table if name == metric.name):
            for contrast in contrasts:
                for method, pairs in _pairs(table, metric.name, phase, contrast).items():
                    rows.append(_row(task, metric, phase, method, contrast, np.asarray(pairs)))
    families: dict[tuple[str | None, ...], list[int]] = {}
    for index, (effect, *_) in enumerate(rows):
        families.setdefault((effect.metric, effect.phase, effect.method, effect.family), []).append(index)
    found = [effect for effect, *_ in rows]
    looks = _looks(found, metrics)
    for indices in families.values():
        times = looks.get(found[indices[0]].metric, 1)
        for index, p in zip(indices, holm([found[i].p for i in indices]).tolist(), strict=True):
            effect, interval, narrow = rows[index]
            p_adjusted, size, verdict = min(1.0, times * p), times * len(indices), Verdict.UNDECIDED
            if interval is not None and narrow is not None:
                margin = by_name[effect.metric].margin
                verdict = judge(
                    interval, narrow, p_adjusted, sign=effect.sign, margin=margin, n=effect.n_seeds, family_size=size
                )
            found[index] = replace(effect, p_adjusted=p_adjusted, verdict=verdict, comparisons=size)
    return found


def _looks(rows: Sequence[Effect], metrics: Sequence[Metric]) -> dict[str, int]:
    """By headline metric, how many headline quantities (metric, phase, method) of its kind there are."""
    found: dict[str, int] = {}
    for kind in ("correctness", "cost"):
        names = headlines(metrics, kind)
        count = len({(row.metric, row.phase, row.method) for row in rows if row.metric in names})
        found |= dict.fromkeys(names, count)
    return found


def _row(
    task: str, metric: Metric, phase: str, method: str, contrast: Contrast, pairs: np.ndarray[Any, np.dtype[np.float64]]
) -> tuple[Effect, Interval | None, Interval | None]:
    """One row before its family is known, with its 95 % and 90 % intervals; pairs: ``(n, 2)``, arm then baseline."""
    arm, baseline = pairs[:, 0], pairs[:, 1]
    differences = np.log(arm / baseline) if metric.kind == "cost" else arm - baseline
    n, mean = len(pairs), float(differences.mean())
    arm_mean, baseline_mean = (_mean(values, metric) for values in (arm, baseline))
    interval, narrow = (
        (paired_interval(differences, 0.95), paired_interval(differences, 0.90)) if n > 1 else (None, None)
    )
    p = sign_flip_p(differences)
    effect = Effect(
        task=task,
        rule=contrast.rule,
        embedding=contrast.embedding,
        arm=contrast.arm,
        baseline=contrast.baseline,
        metric=metric.name,
        direction=metric.direction,
        unit=metric.unit,
        baseline_mean=baseline_mean,
        arm_mean=arm_mean,
        difference=mean,
        relative=_relative(mean, baseline_mean, metric),
        scale="log ratio" if metric.kind == "cost" else "difference",
        relative_low=_relative(interval.low, baseline_mean, metric) if interval else None,
        relative_high=_relative(interval.high, baseline_mean, metric) if interval else None,
        margin=metric.margin,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        p=p,
        p_adjusted=p,
        n_seeds=n,
        verdict=Verdict.UNDECIDED,
        method=method or None,
        phase=phase or None,
        improved=float(np.mean(metric.sign * differences > 0)),
        correlation=pairing_correlation(arm, baseline),
        family=contrast.family,
    )
    return effect, interval, narrow


def _mean(values: np.ndarray[Any, np.dtype[np.float64]], metric: Metric) -> float:
    """The arithmetic mean; of a cost the geometric one, whose ratios are what is compared."""
    return float(np.exp(np.log(values).mean())) if metric.kind == "cost" else float(values.mean())


def _relative(difference: float, baseline: float, metric: Metric) -> float | None:
    """A difference as a share of the baseline; None where a float cannot hold it."""
    if metric.kind == "cost":
        return math.expm1(difference) if difference < LARGEST_LOG else None
    share = difference / abs(baseline) if baseline else math.inf
    return share if math.isfinite(share) else None


def write_effects(path: str | os.PathLike[str], effects: Sequence[Effect]) -> None:
    """Write effects as a JSON list of objects; the file is there whole or not at all.

    Args:
        path: File to write; its folder is made where it is not there.
        effects: Effects.

    Raises:
        ValueError: If a number is NaN or infinite.
        StoreError: If the file cannot be written.
    """
    write_atomic(Path(path), json.dumps([asdict(effect) for effect in effects], indent=1, allow_nan=False) + "\n")


def read_effects(path: str | os.PathLike[str]) -> list[Effect]:
    """Read what :func:`write_effects` wrote.

    Raises:
        ValueError: If the file is not a JSON list of effects.
    """
    try:
        rows = decode_json(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r} must be a JSON list of effects: {error}") from None
    fault = Rows(EFFECT).fault(rows, "effects")
    unknown = [] if fault else sorted({name for row in rows for name in row} - {*EFFECT.required, *EFFECT.optional})
    if fault or unknown:
        fault = fault or f"fields {unknown} are none of an effect"
        raise ValueError(
            f"{os.fspath(path)!r} must be a JSON list of objects with the fields {sorted(EFFECT.required)}: {fault}"
        )
    return [Effect(**{**row, "verdict": Verdict(row["verdict"])}) for row in rows]
