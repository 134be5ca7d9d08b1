"""Figures of a study for tables: means over seeds, and ratios of costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import geometric_mean, mean, stdev
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
    """A metric as "mean (standard deviation)" over seeds, with so many significant digits; "-" where there is none.

    Where some of the seeds that are done have no value, their number is added: "0.5 (0.1), 7 of 8 seeds".
    """
    found = [cell["metrics"].get(metric) for cell in cells if cell["arm"] == arm and cell["status"] == "done"]
    values = [scale * value for value in found if value is not None]
    if not values:
        return "-"
    spread = f" ({stdev(values):.2g})" if len(values) > 1 else ""
    lost = f", {len(values)} of {len(found)} seeds" if len(values) < len(found) else ""
    return f"{mean(values):.{digits}g}{spread}{lost}"


def _by_seed(costs: Records, arm: str, metric: str, phase: str) -> dict[tuple[int, str], float]:
    """A cost of an arm by seed and method, where it was measured."""
    return {
        (cost["seed"], row.get("method", "")): row["value"]
        for cost in costs
        for row in cost["rows"]
        if (row["arm"], row["metric"], row["phase"]) == (arm, metric, phase) and row["value"]
    }


def costs_of(costs: Records, arm: str, metric: str, phase: str) -> list[float]:
    """A cost of an arm, one value a seed."""
    return list(_by_seed(costs, arm, metric, phase).values())


def cost_ratio(costs: Records, arm: str, metric: str, phase: str, *, baseline: str = "none") -> str:
    """The geometric mean over seeds of the ratio of an arm's cost to the baseline's, as effects have it.

    Paired by seed and method; "-" where no pair was measured.

    Example:
        >>> rows = [{"seed": s, "rows": [{"arm": a, "metric": "time", "phase": "fit", "value": v, "method": "clock"}
        ...         for a, v in (("none", 1.0), ("all", factor))]} for s, factor in enumerate((1.0, 4.0))]
        >>> cost_ratio(rows, "all", "time", "fit")
        '2.00'
    """
    values, base = _by_seed(costs, arm, metric, phase), _by_seed(costs, baseline, metric, phase)
    ratios = [values[key] / base[key] for key in values if key in base]
    return f"{geometric_mean(ratios):.2f}" if ratios else "-"
