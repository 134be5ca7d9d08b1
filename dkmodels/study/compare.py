"""Compare two studies of one task, effect by effect: a regression test for rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import final

from dkmodels.study.effect import Effect

_ROUNDING = 1e-9  # two runs of a deterministic quantity still differ in their last bits


@final
class Status(StrEnum):
    """What became of an effect."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    MISSING = "missing"
    ADDED = "added"
    UNKNOWN = "unknown"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One effect in an old and a new study.

    Attributes:
        old: Effect in the old study, None where it is added.
        new: Effect in the new study, None where it is missing.
        amount: New difference less old, on the scale of the effects; None unless both are there.
        tolerance: Half-width of the 95 % interval of ``amount``, or the smallest useful gain where that is larger; None
            where an interval is missing (one seed).
        status: What became of it.
    """

    old: Effect | None
    new: Effect | None
    amount: float | None
    tolerance: float | None
    status: Status

    @property
    def worse(self) -> bool:
        """True where the effect is worse beyond its interval, by more than the smallest useful gain."""
        return self.status is Status.WORSE

    @property
    def effect(self) -> Effect:
        """The newer of the two, for naming."""
        found = self.new or self.old
        assert found is not None  # one of the two is always there
        return found

    def __str__(self) -> str:
        row = self.effect
        where = row.metric + (f" in {row.phase}" if row.phase else "") + (f" [{row.method}]" if row.method else "")
        text = f"{self.status}: {row.rule} ({row.embedding}), {row.arm!r} against {row.baseline!r}, {where}"
        if self.old is None or self.new is None:
            return text
        moved = f": {self.old.difference:+.4g} -> {self.new.difference:+.4g}"
        beyond = "" if self.tolerance is None else f" (change {self.amount:+.4g}, tolerance {self.tolerance:.4g})"
        verdicts = "" if self.old.verdict is self.new.verdict else f", {self.old.verdict} -> {self.new.verdict}"
        seeds = "" if self.old.n_seeds == self.new.n_seeds else f", {self.old.n_seeds} -> {self.new.n_seeds} seeds"
        return text + moved + beyond + verdicts + seeds


_Key = tuple[str | None, ...]


def _by_key(effects: Sequence[Effect], name: str) -> dict[_Key, Effect]:
    found: dict[_Key, Effect] = {}
    for row in effects:
        key = (row.rule, row.embedding, row.arm, row.baseline, row.metric, row.method, row.phase)
        if key in found:
            raise ValueError(f"`{name}` must hold each effect once, got {key} twice")
        found[key] = row
    return found


def compare(old: Sequence[Effect], new: Sequence[Effect]) -> list[Change]:
    r"""Match effects by rule, embedding, arm, baseline, metric, method and phase, and say what moved.

    An effect is worse (or better) when it moved in the bad (or good) direction by more than
    :math:`\sqrt{h_{old}^2 + h_{new}^2}`, h being the half-widths of the two 95 % intervals, and by more than
    the smallest useful gain that was declared (the smaller one where they differ; none where an old file does not keep
    it). The first is the interval of the change of two independent studies; studies on the same seeds are correlated,
    which makes this cautious, never rash.

    Args:
        old: Effects of the older study.
        new: Effects of the newer study.

    Returns:
        Changes in the order of ``new``, then those missing from it.

    Raises:
        ValueError: If the studies are of different tasks, a metric changed its direction, unit or scale, or an effect
            is there twice.

    Example:
        >>> compare([], [])
        []
    """
    tasks = sorted({row.task for row in (*old, *new)})
    if len(tasks) > 1:
        raise ValueError(f"`compare` needs two studies of one task, got {tasks}")
    before, after = _by_key(old, "old"), _by_key(new, "new")
    return [_change(before.get(key), after.get(key)) for key in dict.fromkeys([*after, *before])]


def _change(old: Effect | None, new: Effect | None) -> Change:
    if old is None or new is None:
        status = Status.ADDED if old is None else Status.MISSING
        return Change(old=old, new=new, amount=None, tolerance=None, status=status)
    ours, theirs = ((row.direction, row.unit, row.scale) for row in (old, new))
    if ours[:2] != theirs[:2] or (None not in (old.scale, new.scale) and old.scale != new.scale):  # None: an old file
        raise ValueError(
            f"metric {new.metric!r} must keep its direction, unit and scale to be compared, got {ours} and {theirs}"
        )
    amount = new.difference - old.difference
    if old.low is None or old.high is None or new.low is None or new.high is None:
        return Change(old=old, new=new, amount=amount, tolerance=None, status=Status.UNKNOWN)
    tolerance = math.hypot(old.high - old.low, new.high - new.low) / 2
    tolerance += _ROUNDING * max(abs(old.difference), abs(new.difference))
    tolerance = max(tolerance, min((m for m in (old.margin, new.margin) if m is not None), default=0.0))
    status = Status.SAME
    if abs(amount) > tolerance:
        status = Status.BETTER if new.sign * amount > 0 else Status.WORSE
    return Change(old=old, new=new, amount=amount, tolerance=tolerance, status=status)
