"""Figures of a study for tables: means over seeds, and ratios of costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

__all__ = ["Records", "cost_ratio", "costs_of", "mean_and_spread", "means_of"]

Records = Sequence[Mapping[str, Any]]


def means_of(cells: Records, arm: str) -> dict[str, float]:
    """Every metric of an arm, averaged over the seeds that are done; empty where there is none."""
    done = [cell["metrics"] for cell in cells if cell["arm"] == arm and cell["status"] == "done"]
    names = {name for metrics in done for name in metrics}
    found = {name: [m[name] for m in done if m.get(name) is not None] for name in names}
    return {name: mean(values) for name, values in found.items() if values}


def mean_and_spread(cells: Records, arm: str, metric: str, digits: int = 3, *, scale: float = 1.0) -> str:
    """A metric as "mean (standard deviation)" over seeds, with so many significant digits; "-" where there is none."""
    found = [cell["metrics"].get(metric) for cell in cells if cell["arm"] == arm and cell["status"] == "done"]
    values = [scale * value for value in found if value is not None]
    if not values:
        return "-"
    spread = f" ({stdev(values):.2g})" if len(values) > 1 else ""
    return f"{mean(values):.{digits}g}{spread}"


def costs_of(costs: Records, arm: str, metric: str, phase: str) -> list[float]:
    """A cost of an arm, one value a seed."""
    return [
        row["value"]
        for cost in costs
        for row in cost["rows"]
        if (row["arm"], row["metric"], row["phase"]) == (arm, metric, phase)
    ]


def cost_ratio(costs: Records, arm: str, metric: str, phase: str, *, baseline: str = "none") -> str:
    """The mean ratio of an arm's cost to the baseline's over seeds; "-" where it was not measured."""
    values, base = costs_of(costs, arm, metric, phase), costs_of(costs, baseline, metric, phase)
    return f"{mean(a / b for a, b in zip(values, base, strict=True)):.2f}" if len(values) == len(base) > 0 else "-"
