"""Errors of the arms of a field task, beside published ones, and what they took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Protocol

from benchmarks.tables import Records, cost_ratio
from dkmodels.study.exhibit import Exhibit

__all__ = [
    "costs_beside_errors",
    "error_within",
    "errors_at_budgets",
    "errors_beside_published",
    "median_and_range",
    "time_to",
]


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
    head += [f"{name.replace('_', ' ')}, rms" for name in judged]
    rows: list[list[str]] = [[*head, "training, s", "evaluations", "to 1e-3, s"]]
    for arm, done in _done(task, cells).items():
        names = (*task.sought, "relative_l2", "relative_l1", "largest", *judged)
        row = [task.titles[arm], *(median_and_range(done, name) for name in names)]
        spent, asked = ([_last(cell, name) for cell in done] for name in ("seconds", "evaluations"))
        rows.append([*row, f"{median(spent):.0f}", f"{median(asked):.0f}", time_to(done, 1e-3)])
    for name, error in task.published:
        known = {"arm": name, "relative L2": error}
        rows.append([known.get(column, "-") for column in rows[0]])
    seeds = len({cell["seed"] for cell in cells})
    return Exhibit(
        f"{task.name}: errors",
        rows,
        f"Medians over {seeds} seeds (least to greatest), against the reference on a grid. Seconds are those of "
        "training alone, beside another on a slow machine of two cores: read them as ratios. 'to 1e-3': when the "
        "relative L2 error was first below it, where more than half of the seeds got there.",
    )


def errors_at_budgets(task: _Titled, cells: Records) -> Exhibit:
    """A row an arm: the median error after as many evaluations, and after as long a training, for all."""
    done = _done(task, cells)
    whole = {
        place: [median(_last(cell, place) for cell in some) for some in done.values()]
        for place in ("evaluations", "seconds")
    }
    budgets = [("evaluations", share * max(whole["evaluations"], default=0.0)) for share in (0.1, 0.5)]
    budgets += [("seconds", share * min(whole["seconds"], default=0.0)) for share in (0.1, 0.5, 1.0)]
    rows = [["arm", *(f"{budget:.0f} {place}" for place, budget in budgets)]]
    for arm, some in done.items():
        found = [[error_within(cell, place, budget) for cell in some] for place, budget in budgets]
        rows.append([task.titles[arm], *(_median(errors) for errors in found)])
    return Exhibit(
        f"{task.name}: errors at equal budgets",
        rows,
        "Median relative L2 error of the last state that was measured (one an epoch) within so many evaluations of the "
        "loss and its gradient, or so many seconds of training, up to the fastest arm's. '-': where arms ended "
        "before half of the evaluations, or had no measure yet. Products with a Hessian or a Jacobian are no "
        "evaluations: compare those optimisers by time.",
    )


def costs_beside_errors(task: _Titled, costs: Records) -> Exhibit:
    """A row an arm: ratios of costs to the first arm's."""
    first = next(iter(task.titles))
    wanted = [("time", "train_step"), ("energy", "train_step"), ("flops", "train_step")]
    wanted += [("time", "inference_large_batch"), ("energy", "inference_large_batch"), ("peak_memory", "inference")]
    rows = [["arm", *(f"{phase.replace('_', ' ')}: {metric.replace('_', ' ')}" for metric, phase in wanted)]]
    for arm, title in task.titles.items():
        rows.append([title, *(cost_ratio(costs, arm, metric, phase, baseline=first) for metric, phase in wanted)])
    return Exhibit(
        f"{task.name}: costs",
        rows,
        f"Ratios to '{task.titles[first]}', measured after the training, arms interleaved in one process. A "
        "training step is one evaluation of the loss and its gradient, with its share of what moves weights, and a "
        "step of Adam, whatever the arm's own optimiser is: what that takes is in the seconds above. Energy is "
        "estimated from the processor's time.",
    )


def error_within(cell: Mapping[str, Any], place: str, budget: float) -> float | None:
    """The last error that was measured within a budget; None where there was none, or the training was much shorter.

    Example:
        >>> curves = {"error": [[1, 0.5], [2, 0.01]], "seconds": [[1, 3.0], [2, 7.0]]}
        >>> [error_within({"curves": curves}, "seconds", budget) for budget in (2.0, 5.0, 7.0, 20.0)]
        [None, 0.5, 0.01, None]
    """
    pairs = list(zip(cell["curves"].get("error", []), cell["curves"].get(place, []), strict=True))
    within = [error for (_, error), (_, spent) in pairs if spent <= budget]
    return within[-1] if within and pairs[-1][1][1] > 0.9 * budget else None


def _done(task: _Titled, cells: Records) -> dict[str, Records]:
    """The finished cells of each arm that has some."""
    found = {arm: [c for c in cells if (c["arm"], c["status"]) == (arm, "done")] for arm in task.titles}
    return {arm: some for arm, some in found.items() if some}


def _median(errors: Sequence[float | None]) -> str:
    known = [error for error in errors if error is not None]
    return f"{median(known):.3g}" if 2 * len(known) > len(errors) else "-"


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
