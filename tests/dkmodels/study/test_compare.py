"""Comparing two studies: worse beyond the intervals, better, same, missing, added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dkmodels.study.compare import Status, compare
from dkmodels.study.effect import Effect, effects
from dkmodels.study.metric import ADD_ONE_IN, Contrast, Measurement, Metric


def study(gain: float, *, seeds: int = 8, noise: float = 0.1, seed: int = 0, direction: str = "max") -> list[Effect]:
    generator = np.random.default_rng(seed)
    metric = Metric(name="score", direction="max" if direction == "max" else "min", gain=0.1)
    contrast = Contrast(rule="r", embedding="Hard", arm="r", baseline="none", family=ADD_ONE_IN)
    rows = [
        Measurement(arm=arm, seed=i, metric="score", value=value)
        for arm, mean in (("r", gain), ("none", 0.0))
        for i, value in enumerate((mean + generator.normal(0, noise, seeds)).tolist())
    ]
    return effects("task", rows, [metric], [contrast])


@pytest.mark.parametrize(
    ("direction", "new", "status"),
    [
        ("max", 0.5, Status.WORSE),
        ("max", 1.5, Status.BETTER),
        ("min", 0.5, Status.BETTER),
        ("min", 1.5, Status.WORSE),
        ("max", 1.01, Status.SAME),
    ],
)
def test_status(direction: str, new: float, status: Status) -> None:
    (change,) = compare(study(1.0, direction=direction), study(new, seed=1, direction=direction))
    assert change.status is status
    assert change.worse is (status is Status.WORSE)


def test_tolerance_is_of_both_intervals() -> None:
    (old,), (new,) = study(1.0), study(0.9, seed=1)
    (change,) = compare([old], [new])
    assert old.low is not None and old.high is not None and new.low is not None and new.high is not None
    halves = (old.high - old.low) / 2, (new.high - new.low) / 2
    assert change.tolerance == pytest.approx(np.hypot(*halves))
    assert change.amount == pytest.approx(new.difference - old.difference)


def test_false_alarms_are_rare() -> None:
    """Two runs of the same truth differ beyond their intervals in about 1 of 20 cases at most."""
    changes = [compare(study(1.0, seed=2 * i), study(1.0, seed=2 * i + 1))[0] for i in range(400)]
    assert np.mean([change.status is not Status.SAME for change in changes]) <= 0.06


def test_rounding_of_a_deterministic_effect_is_no_change() -> None:
    (old,) = study(1.0, noise=0.0)
    (change,) = compare([old], [replace(old, difference=old.difference + 1e-15, low=1.0 + 1e-15, high=1.0 + 1e-15)])
    assert change.status is Status.SAME
    (change,) = compare([old], [replace(old, difference=0.8, low=0.8, high=0.8)])
    assert change.worse


def test_missing_added_and_unknown() -> None:
    (row,) = study(1.0)
    other = replace(row, phase="train_step")
    changes = compare([row, other], [row, replace(row, method="rapl")])
    assert [change.status for change in changes] == [Status.SAME, Status.ADDED, Status.MISSING]
    assert not any(change.worse for change in changes)
    (single,) = study(1.0, seeds=1)
    assert compare([single], [single])[0].status is Status.UNKNOWN


def test_words() -> None:
    assert "worse: r (Hard), 'r' against 'none', score" in str(compare(study(1.0), study(0.0, seed=1))[0])
    assert "KEEP -> UNDECIDED" in str(compare(study(1.0), study(0.0, seed=1, noise=0.3))[0])
    assert str(compare(study(1.0), [])[0]).startswith("missing: r (Hard)")


def test_what_cannot_be_compared_is_refused() -> None:
    (row,) = study(1.0)
    with pytest.raises(ValueError, match=r"two studies of one task, got \['other', 'task'\]"):
        compare([row], [replace(row, task="other")])
    with pytest.raises(ValueError, match="must hold each effect once"):
        compare([row, row], [row])
    with pytest.raises(ValueError, match="must keep its direction, unit and scale"):
        compare([row], [replace(row, unit="mol")])
    with pytest.raises(ValueError, match="must keep its direction, unit and scale"):
        compare([row], [replace(row, scale="log ratio")])
    assert len(compare([replace(row, scale=None)], [row])) == 1  # a file of an older version


def cost(ratio: float, gain: float = 0.05) -> list[Effect]:
    """A deterministic cost, such as memory, whose interval has no width."""
    metric = Metric(name="peak_memory", direction="min", kind="cost", gain=gain)
    contrast = Contrast(rule="r", embedding="Hard", arm="r", baseline="none", family=ADD_ONE_IN)
    rows = [
        Measurement(arm=arm, seed=i, metric="peak_memory", value=value)
        for arm, value in (("r", ratio), ("none", 1.0))
        for i in range(4)
    ]
    return effects("task", rows, [metric], [contrast])


@pytest.mark.parametrize(
    ("change", "status"),
    [(0.001, Status.SAME), (0.049, Status.SAME), (0.051, Status.WORSE), (-0.045, Status.SAME), (-0.06, Status.BETTER)],
)
def test_less_than_the_declared_gain_is_no_change(change: float, status: Status) -> None:
    assert compare(cost(1.0), cost(1.0 + change))[0].status is status
    assert compare(cost(1.0, gain=0.5), cost(1.0 + change))[0].status is status, "the smaller of two gains"
    kept = [replace(row, margin=None) for row in cost(1.0)]
    assert compare(kept, cost(1.0 + change))[0].status is status
    assert compare(kept, [replace(row, margin=None) for row in cost(1.001)])[0].worse, "an old file keeps no gain"


def test_other_numbers_of_seeds_are_named() -> None:
    assert str(compare(study(1.0), study(1.0, seed=1, seeds=6))[0]).endswith(", 8 -> 6 seeds")
    assert "seeds" not in str(compare(study(1.0), study(1.0, seed=1))[0])
