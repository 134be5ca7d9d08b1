"""What each further piece of knowledge made of the error, of every published study of a field in one picture.

`python -m benchmarks.fields.ladders docs --out docs/fields.png` reads the values of every cell from the docs.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks import TASKS
from benchmarks.fields.task import FieldTask
from dkmodels.study.errors import UsageError
from dkmodels.study.task import load_task

__all__ = ["ladders", "read_errors"]

DOT, MEDIAN, PUBLISHED = "#0072B2", "#D55E00", "#7F7F7F"


def read_errors(results: Path, metric: str) -> dict[str, list[float]]:
    """A metric of each arm, a value a seed, from a study's `results.csv`."""
    found: dict[str, list[float]] = {}
    with results.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"] == metric and not row["phase"]:
                found.setdefault(row["arm"], []).append(float(row["value"]))
    return found


def ladders(docs: Path) -> Figure:
    """A panel for each field task with values in the docs; its arms from the least to the most that is known.

    Raises:
        UsageError: no such task.
    """
    tasks = [load_task(TASKS[name], "standard") for name in TASKS if (docs / name / "results.csv").exists()]
    shown = [task for task in tasks if isinstance(task, FieldTask)]
    if not shown:
        raise UsageError(f"a picture of field studies needs some with a results.csv in {docs}, got none")
    rows = (len(shown) + 1) // 2
    heights = [max(len(task.titles) for task in shown[2 * row : 2 * row + 2]) + 2 for row in range(rows)]
    figure = Figure(figsize=(13, 0.27 * sum(heights)), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False, height_ratios=heights).flatten()
    for panel, task in zip(panels, shown, strict=False):
        _ladder(panel, task, read_errors(docs / task.title() / "results.csv", task.headline[0]))
    for panel in panels[len(shown) :]:
        panel.set_visible(False)
    return figure


def _ladder(panel: Axes, task: FieldTask, errors: Mapping[str, Sequence[float]]) -> None:
    arms = [arm for arm in task.titles if arm in errors]
    for place, arm in enumerate(arms):
        values = errors[arm]
        panel.plot(values, [place] * len(values), "o", color=DOT, markersize=3.5, alpha=0.6, markeredgewidth=0)
        middle = median(values)
        panel.plot([middle], [place], "|", color=MEDIAN, markersize=11, markeredgewidth=2)
        panel.annotate(
            f"{middle:.2g}", (1.01, place), xycoords=("axes fraction", "data"), fontsize=7, va="center", color=MEDIAN
        )
    for _, error in task.published:
        panel.axvline(float(error), color=PUBLISHED, linestyle=":", linewidth=1.2)
    panel.set_xscale("log")
    panel.xaxis.set_minor_formatter(NullFormatter())  # within a decade they would cover each other
    panel.set_yticks(range(len(arms)), [task.titles[arm] for arm in arms], fontsize=7)
    panel.invert_yaxis()
    panel.tick_params(axis="x", labelsize=7)
    panel.grid(axis="x", alpha=0.3)
    panel.set_title(f"{task.title()}: {task.headline[1]}", fontsize=9)


def main() -> None:
    parser = argparse.ArgumentParser(description="Errors of every published study of a field, arm by arm.")
    parser.add_argument("docs", type=Path, help="folder with a folder for each study")
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    options = parser.parse_args()
    try:
        ladders(options.docs).savefig(options.out, dpi=110)
    except UsageError as error:
        parser.error(str(error))
    print(options.out)


if __name__ == "__main__":
    main()
