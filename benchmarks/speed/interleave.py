"""Timing on a noisy machine: all competitors in turn in one process, ratios within a round, medians over rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

__all__ = ["interleave", "ratio", "shortest"]

Times = Mapping[str, list[float | None]]

LEAST = 2e-3  # seconds that are worth a look at the clock: shorter calls are repeated


def interleave(calls: Mapping[str, Callable[[], Any]], *, rounds: int, budget: float) -> dict[str, list[float | None]]:
    """Seconds a call of every competitor, one value a round; None in rounds that a slow one sat out.

    Args:
        calls: what to time, by name. Each is called twice before, to warm up.
        rounds: how many rounds.
        budget: seconds that one competitor may take over all rounds; one that would take more sits out rounds, but
            never all.

    Example:
        >>> times = interleave({"a": lambda: None, "b": lambda: sum(range(1000))}, rounds=3, budget=1.0)
        >>> ratio(times, "b", "a") > 1.0
        True
    """
    repeats, every = {}, {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        spent = time.perf_counter() - start
        repeats[name] = max(1, min(200, int(LEAST / max(spent, 1e-9))))
        every[name] = min(rounds, max(1, int(rounds * spent * repeats[name] / budget)))
    found: dict[str, list[float | None]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if turn % every[name]:
                found[name].append(None)
                continue
            start = time.perf_counter()
            for _ in range(repeats[name]):
                calls[name]()
            found[name].append((time.perf_counter() - start) / repeats[name])
    return found


def ratio(times: Times, name: str, baseline: str) -> float:
    """The median over rounds of the ratio to the baseline in the same round."""
    pairs = zip(times[name], times[baseline], strict=True)
    return median(a / b for a, b in pairs if a is not None and b is not None)


def shortest(times: Times, name: str) -> float:
    """The least time of a call, in seconds."""
    return min(t for t in times[name] if t is not None)
