"""What became of every planned cell and of every planned pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from dkmodels.study.metric import Contrast, Metric

__all__ = ["Accounts", "Omission", "planned_costs", "take_accounts"]

Cell = tuple[str, int]  # arm and seed
SHOWN = 8


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Omission:
    """Pairs of a contrast that do not count in a metric.

    Attributes:
        metric: name of the metric, with the phase of a cost.
        pair: the two arms.
        planned: number of pairs planned.
        paired: number of pairs that count.
        reasons: why each other one does not, with its seed.
    """

    metric: str
    pair: str
    planned: int
    paired: int
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        shown = "; ".join(self.reasons[:SHOWN]) + (
            f"; and {len(self.reasons) - SHOWN} more" * (len(self.reasons) > SHOWN)
        )
        return f"{self.metric}, {self.pair}: {self.paired} of {self.planned} pairs count ({shown})"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What became of every planned cell and pair.

    Attributes:
        planned: number of cells planned.
        done: number of cells that are done.
        failed: cells that failed.
        missing: cells that are not there.
        omissions: pairs that do not count.
    """

    planned: int
    done: int
    failed: tuple[Cell, ...] = ()
    missing: tuple[Cell, ...] = ()
    omissions: tuple[Omission, ...] = ()

    @property
    def summary(self) -> str:
        """Counts of cells, and which are missing.

        Example:
            >>> Accounts(planned=4, done=3, missing=(("none", 1),)).summary
            '3 of 4 cells done, 0 failed, 1 missing: none, seed 1'
        """
        text = f"{self.done} of {self.planned} cells done, {len(self.failed)} failed, {len(self.missing)} missing"
        shown = "; ".join(f"{arm}, seed {seed}" for arm, seed in self.missing[:SHOWN])
        more = f"; and {len(self.missing) - SHOWN} more" if len(self.missing) > SHOWN else ""
        return text + (f": {shown}{more}" if shown else "")

    def lines(self) -> list[str]:
        """What does not count, one line each; none where all is there."""
        found = [self.summary] if self.done < self.planned else []
        return found + [str(omission) for omission in self.omissions]


def take_accounts(
    manifest: Mapping[str, Any],
    cells: Sequence[Mapping[str, Any]],
    costs: Sequence[Mapping[str, Any]],
    metrics: Sequence[Metric],
    contrasts: Sequence[Contrast],
) -> Accounts:
    """Compare what was planned with what is there.

    Costs are planned for the seeds that the manifest names; in one of an older version, for the first seeds, as many as
    the profile says, once any was measured.

    Args:
        manifest: what the study is.
        cells: its cells.
        costs: its measured costs.
        metrics: the declared metrics.
        contrasts: which arms are compared.
    """
    planned = [(arm["name"], int(seed)) for seed in manifest["seeds"] for arm in manifest["arms"]]
    there = {(cell["arm"], cell["seed"]): cell for cell in cells}
    states = {key: there[key]["status"] if key in there else "missing" for key in planned}
    omissions: list[Omission] = []
    seeds = [int(seed) for seed in manifest["seeds"]]
    for contrast in contrasts:
        # A cell that is not done is in no pair of any metric: one line tells of all.
        whole = _omission("every metric", contrast, seeds, states, {})
        omissions += [whole] if whole else []
        for metric in [metric for metric in metrics if metric.kind == "correctness"]:
            values = {key: _reason(cell["metrics"].get(metric.name), metric) for key, cell in there.items()}
            lost = _omission(metric.name, contrast, seeds, states, values)
            omissions += [lost] if lost and (whole is None or lost.paired < whole.paired) else []
    omissions += _costs(planned_costs(manifest, costs), costs, metrics, contrasts, states)
    return Accounts(
        planned=len(planned),
        done=sum(state == "done" for state in states.values()),
        failed=tuple(key for key in planned if states[key] == "failed"),
        missing=tuple(key for key in planned if states[key] == "missing"),
        omissions=tuple(omissions),
    )


def planned_costs(manifest: Mapping[str, Any], costs: Sequence[Mapping[str, Any]]) -> list[int]:
    """The seeds whose costs are planned or measured.

    Example:
        >>> planned_costs({"seeds": [0, 1, 2], "costs": [0, 1]}, [{"seed": 2}])
        [0, 1, 2]
    """
    planned = manifest.get("costs")
    if planned is None:  # of an older version
        text = str(manifest.get("settings", {}).get("cost_seeds", ""))
        planned = manifest["seeds"][: int(text)] if text.isdecimal() and costs else []
    return sorted({*map(int, planned), *(int(cost["seed"]) for cost in costs)})


def _reason(value: Any, metric: Metric) -> str:
    """Why a value does not count, "" where it does."""
    if value is None:
        return "has no finite value"
    return "" if metric.counts(value) else f"has {value:.3g}, which cannot be compared"


def _omission(
    name: str,
    contrast: Contrast,
    seeds: Sequence[int],
    states: Mapping[Cell, str],
    values: Mapping[Cell, str],
) -> Omission | None:
    """The pairs of a contrast that lack a cell or a value; None where none does."""
    reasons = []
    for seed in seeds:
        lost = []
        for arm in (contrast.arm, contrast.baseline):
            state = states.get((arm, seed), "missing")
            why = (f"is {state}" if state == "missing" else state) if state != "done" else values.get((arm, seed), "")
            lost += [f"{arm} {why}"] if why else []
        reasons += [f"seed {seed}: {', '.join(lost)}"] if lost else []
    if not reasons:
        return None
    pair = f"{contrast.arm} against {contrast.baseline}"
    return Omission(
        metric=name, pair=pair, planned=len(seeds), paired=len(seeds) - len(reasons), reasons=tuple(reasons)
    )


def _costs(
    seeds: Sequence[int],
    costs: Sequence[Mapping[str, Any]],
    metrics: Sequence[Metric],
    contrasts: Sequence[Contrast],
    states: Mapping[Cell, str],
) -> list[Omission]:
    """Pairs that lack all costs, and pairs that lack one, of each metric and phase that was measured for any arm."""
    declared = {metric.name: metric for metric in metrics if metric.kind == "cost"}
    if not declared:
        return []
    measured: dict[tuple[str, str], dict[Cell, str]] = {}
    rows = {(row["arm"], int(cost["seed"])) for cost in costs for row in cost["rows"]}
    for cost in costs:
        for row in cost["rows"]:
            if row["metric"] in declared:
                reason = _reason(row["value"], declared[row["metric"]])
                measured.setdefault((row["metric"], row["phase"]), {})[row["arm"], cost["seed"]] = reason
    found = []
    unmeasured = {key: "" if key in rows else "was not measured" for key in states}
    for contrast in contrasts:
        # An arm without any cost is in no pair of any: one line tells of all.
        whole = _omission("every cost", contrast, seeds, states, unmeasured)
        found += [whole] if whole else []
        for (name, phase), values in measured.items():
            if {contrast.arm, contrast.baseline} & {arm for arm, _ in values}:
                reasons = {key: values.get(key, "was not measured") for key in states}
                lost = _omission(" in ".join(filter(None, (name, phase))), contrast, seeds, states, reasons)
                found += [lost] if lost and (whole is None or lost.paired < whole.paired) else []
    return found
