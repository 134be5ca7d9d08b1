"""What a study measures: metrics, single measurements, and the contrasts between arms.

Everything a verdict depends on (direction, smallest useful gain, which metric is the headline) is declared here, before
the run, so that nobody can choose it after seeing the results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

Direction = Literal["max", "min"]
Kind = Literal["correctness", "cost"]

ADD_ONE_IN = "add one in"
LEAVE_ONE_OUT = "leave one out"
ALL = "all"
EXTRA = "extra"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A measured quantity and what counts as useful in it.

    Attributes:
        name: Name, unique in a study.
        direction: ``"max"`` where more is better, ``"min"`` where less is.
        unit: Unit for display, e.g. ``"s"``; empty for a pure number.
        kind: ``"correctness"`` is compared by differences, ``"cost"`` by log ratios.
        gain: Smallest useful gain, > 0. Absolute, in ``unit``, for correctness; a relative fraction for cost (0.05 is
            5 %). It is the equivalence margin too.
        primary: True where the metric is a headline, that is, bears on the advice.
        rate: True where the value is a share of violated examples in [0, 1], which gets a Clopper-Pearson interval.

    Raises:
        ValueError: If a field is outside the values above.

    Example:
        >>> Metric(name="mae", direction="min", unit="mol", gain=0.01, primary=True).sign
        -1
        >>> round(Metric(name="time", direction="min", unit="s", kind="cost", gain=0.05).margin, 4)
        0.0488
    """

    name: str
    direction: Direction
    unit: str = ""
    kind: Kind = "correctness"
    gain: float
    primary: bool = False
    rate: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError(f"`Metric.name` must be a non-empty string, got {self.name!r}")
        if self.direction not in ("max", "min"):
            raise ValueError(f"`direction` of metric {self.name!r} must be 'max' or 'min', got {self.direction!r}")
        if self.kind not in ("correctness", "cost"):
            raise ValueError(f"`kind` of metric {self.name!r} must be 'correctness' or 'cost', got {self.kind!r}")
        if not (math.isfinite(self.gain) and self.gain > 0):
            raise ValueError(f"`gain` of metric {self.name!r} must be finite and > 0, got {self.gain!r}")
        if self.rate and self.kind == "cost":
            raise ValueError(f"`rate` of metric {self.name!r} must be False for kind 'cost', got True")

    @property
    def sign(self) -> Literal[1, -1]:
        """+1 where more is better, -1 where less is: ``sign * difference`` is positive for an improvement."""
        return 1 if self.direction == "max" else -1

    def counts(self, value: float) -> bool:
        """Whether a value can be compared: finite, at most 1e150 in size, and positive where it is a cost.

        Example:
            >>> metric = Metric(name="mae", direction="min", gain=0.1)
            >>> metric.counts(-3.0), metric.counts(1e308), metric.counts(math.nan)
            (True, False, False)
        """
        return math.isfinite(value) and abs(value) <= LARGEST and (value > 0 or self.kind == "correctness")

    @property
    def margin(self) -> float:
        """Smallest useful gain on the scale of the differences: ``gain``, or ``log(1 + gain)`` for cost."""
        return math.log1p(self.gain) if self.kind == "cost" else self.gain


#: Squares and sums of larger values overflow.
LARGEST = 1e150


def headlines(metrics: Sequence[Metric], kind: str) -> dict[str, Metric]:
    """The metrics of a kind that bear on the advice: the primary ones, or all of them where none is primary."""
    chosen = [metric for metric in metrics if metric.kind == kind]
    return {metric.name: metric for metric in [m for m in chosen if m.primary] or chosen}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One value of one metric, of one arm at one seed.

    Attributes:
        arm: Name of the arm.
        seed: Seed (for cost: the round), which pairs the arms.
        metric: Name of the metric.
        value: The value, in the unit of the metric.
        method: How it was measured, e.g. ``"rapl"`` or ``"cpu_time_estimate"``; methods never mix in a comparison.
        phase: What was measured, e.g. ``"train_step"`` or ``"inference_batch_1"``.
        count: ``(k, n)``: k of n examples violated, for a rate.

    Raises:
        ValueError: If ``count`` is not ``0 <= k <= n`` with ``n >= 1``.

    Example:
        >>> Measurement(arm="all", seed=0, metric="violated", value=0.25, count=(1, 4)).value
        0.25
    """

    arm: str
    seed: int
    metric: str
    value: float
    method: str = ""
    phase: str = ""
    count: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.count is not None and not (0 <= self.count[0] <= self.count[1] and self.count[1] >= 1):
            raise ValueError(f"`count` of {self} must be (k, n) with 0 <= k <= n and n >= 1, got {self.count}")

    def __str__(self) -> str:
        where = f"arm {self.arm!r}, seed {self.seed}, metric {self.metric!r}"
        return where + (f", phase {self.phase!r}" if self.phase else "")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A question put to the study: what does ``arm`` have that ``baseline`` has not?

    Attributes:
        rule: Name of the rule (or rules) in which the two arms differ.
        embedding: How the rule is imposed, e.g. ``"Hard"``.
        arm: Name of the arm with the rule.
        baseline: Name of the arm without it.
        family: Kind of question, e.g. ``"add one in"``, ``"leave one out"``, ``"all"``, ``"extra"``. Contrasts of the
            family ``"all"`` are about all rules together and give no advice on a single rule.

    Raises:
        ValueError: If ``arm`` and ``baseline`` are the same.

    Example:
        >>> Contrast(rule="census", embedding="Hard", arm="all", baseline="all but census", family=LEAVE_ONE_OUT).rule
        'census'
    """

    rule: str
    embedding: str
    arm: str
    baseline: str
    family: str

    def __post_init__(self) -> None:
        if self.arm == self.baseline:
            raise ValueError(
                f"`Contrast` of rule {self.rule!r} must compare two different arms, got {self.arm!r} twice"
            )
