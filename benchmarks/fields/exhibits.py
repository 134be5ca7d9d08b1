"""Errors of the arms of a field task, beside published ones, and what they took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Protocol

from benchmarks.tables import Records
from dkmodels.study.exhibit import Exhibit

__all__ = ["errors_beside_published", "median_and_range", "time_to"]


class _Titled(Protocol):
    @property
    def titles(self) -> Mapping[str, str]: ...
    @property
    def published(self) -> Sequence[tuple[str, str]]: ...
    @property
    def sought(self) -> Mapping[str, str]: ...
    @property
    def name(self) -> str: ...

    def judged(self) -> Mapping[str, Any]: ...


def errors_beside_published(task: _Titled, cells: Records) -> Exhibit:
    """A row an arm, then the published ones: medians over seeds, with the least and the greatest."""
    judged = list(task.judged())
    head = ["arm", *task.sought.values(), "relative L2", "relative L1", "largest error"]
    head += [f"{name}, rms" for name in judged]
    rows: list[list[str]] = [[*head, "training, s", "evaluations", "to 1e-3, s"]]
    for arm, title in task.titles.items():
        done = [cell for cell in cells if cell["arm"] == arm and cell["status"] == "done"]
        if not done:
            continue
        names = (*task.sought, "relative_l2", "relative_l1", "largest", *judged)
        row = [title, *(median_and_range(done, name) for name in names)]
        spent, asked = ([_last(cell, name) for cell in done] for name in ("seconds", "evaluations"))
        rows.append([*row, f"{median(spent):.0f}", f"{median(asked):.0f}", time_to(done, 1e-3)])
    rows += [[name, error, *["-"] * (len(rows[0]) - 2)] for name, error in task.published]
    seeds = len({cell["seed"] for cell in cells})
    return Exhibit(
        f"{task.name}: errors",
        rows,
        f"Medians over {seeds} seeds (least to greatest), against the reference on a grid. Seconds are those of "
        "training alone, two arms at a time on a slow machine of two cores: read them as ratios. 'to 1e-3': when the "
        "relative L2 error was first below it, where more than half of the seeds got there.",
    )


def median_and_range(done: Records, metric: str) -> str:
    """Of a metric over cells; "-" where there is none.

    Example:
        >>> median_and_range([{"metrics": {"a": v}} for v in (1.0, 3.0, 2.0)], "a")
        '2 (1 to 3)'
    """
    values = [cell["metrics"][metric] for cell in done if cell["metrics"].get(metric) is not None]
    if not values:
        return "-"
    spread = f" ({min(values):.2g} to {max(values):.2g})" if len(values) > 1 else ""
    return f"{median(values):.3g}{spread}"


def time_to(done: Records, error: float) -> str:
    """The median time after which the error was first below a bound; "-" where half of the seeds never were.

    Example:
        >>> curves = {"error": [[1, 0.5], [2, 0.01]], "seconds": [[1, 3.0], [2, 7.0]]}
        >>> time_to([{"curves": curves}], 0.1), time_to([{"curves": curves}], 1e-3)
        ('7', '-')
    """
    times = []
    for cell in done:
        curves = cell["curves"]
        pairs = zip(curves.get("error", []), curves.get("seconds", []), strict=True)
        times.append(next((seconds for (_, value), (_, seconds) in pairs if value < error), float("inf")))
    middle = median(times) if times else float("inf")
    return "-" if middle == float("inf") else f"{middle:.0f}"


def _last(cell: Mapping[str, Any], name: str) -> float:
    curve = cell["curves"].get(name) or [[0, 0.0]]
    return float(curve[-1][1])
