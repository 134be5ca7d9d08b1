"""The headline table, domain-free against domain-aware, and the table of faults.

`python -m benchmarks.chess.exhibits results/chess` prints both as Markdown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from html import escape
from statistics import mean
from typing import Any

from dkmodels.study.store import Store

__all__ = ["fault_rows", "fault_table", "headline_rows", "headline_table", "markdown"]

READERS = {
    "none": "(a) infer all squares, no rule",
    "moves": "(b) legal moves, all squares",
    "changed": "(c) legal moves, squares that can have changed",
    "shortlist": "(d) legal moves, 5 likeliest by change",
    "all": "(c) with square mask and census loss",
}
PAPER = 96.85
CAPTION = (
    f"Means over seeds. The paper (CAIN 2025, arXiv 2501.08402) reports {PAPER} % accuracy with domain knowledge, on real "
    "broadcasts, with algorithms whose definitions were not available to us: ours are reconstructions, on simulated "
    "broadcasts, so the figures stand side by side but do not compare. Latency: median of single frames on one thread, "
    "arms interleaved in one process; read the ratio, not the milliseconds. Energy: see its method in the cost table."
)

Rows = list[list[str]]


def _means(cells: Sequence[Mapping[str, Any]], arm: str) -> dict[str, float]:
    done = [cell["metrics"] for cell in cells if cell["arm"] == arm and cell["status"] == "done"]
    names = {name for metrics in done for name in metrics}
    return {name: mean(m[name] for m in done if m.get(name) is not None) for name in names} if done else {}


def _cost(costs: Sequence[Mapping[str, Any]], arm: str, metric: str, phase: str = "frame") -> list[float]:
    return [
        row["value"]
        for cost in costs
        for row in cost["rows"]
        if (row["arm"], row["metric"], row["phase"]) == (arm, metric, phase)
    ]


def headline_rows(cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> Rows:
    """A row a reader."""
    rows = [
        ["reader", "squares right", "boards right", "games right", "frames to recover", "squares a frame",
         "latency, median (p95)", "latency ratio", "energy ratio"]
    ]  # fmt: skip
    base, joules = _cost(costs, "none", "time"), _cost(costs, "none", "energy")
    for arm, title in READERS.items():
        m = _means(cells, arm)
        if not m:
            continue
        time, late, energy = (_cost(costs, arm, metric) for metric in ("time", "time_p95", "energy"))
        timed = len(time) == len(base) > 0
        rows.append(
            [
                title,
                f"{100 * m['square_accuracy']:.2f} %",
                f"{100 * m['board_accuracy']:.1f} %",
                f"{100 * m['game_accuracy']:.0f} %",
                f"{m['recovery_frames']:.1f}",
                f"{m['squares_classified']:.1f}",
                f"{1e3 * mean(time):.1f} ({1e3 * mean(late):.1f}) ms" if time and late else "-",
                f"{mean(a / b for a, b in zip(time, base, strict=True)):.2f}" if timed else "-",
                f"{mean(a / b for a, b in zip(energy, joules, strict=True)):.2f}"
                if len(energy) == len(joules) > 0
                else "-",
            ]
        )
    return rows


def fault_rows(cells: Sequence[Mapping[str, Any]]) -> Rows:
    """A row a reader and a column a fault: frames until right again, and boards right from the fault's end on."""
    kinds = sorted({n.split("/")[1] for cell in cells for n in cell.get("metrics", {}) if n.startswith("fault/")})
    rows = [["reader", *kinds]]
    for arm, title in READERS.items():
        m = _means(cells, arm)
        if m:
            rows.append(
                [title]
                + [
                    f"{m[f'fault/{k}/recovery_frames']:.1f} frames, {100 * m[f'fault/{k}/board_accuracy']:.0f} % after"
                    for k in kinds
                ]
            )
    return rows


def _html(rows: Rows, caption: str) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{escape(caption)}</p>"


def headline_table(cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> str:
    """The headline as HTML."""
    return _html(headline_rows(cells, costs), CAPTION)


def fault_table(cells: Sequence[Mapping[str, Any]]) -> str:
    """The faults as HTML."""
    return _html(
        fault_rows(cells),
        "Frames from the end of the fault to the first of three right boards in a row (all that are left if none), and "
        "the share of boards right from then to the end of the broadcast.",
    )


def markdown(rows: Rows) -> str:
    """Rows as a Markdown table."""
    line: Callable[[Sequence[str]], str] = lambda row: "| " + " | ".join(row) + " |"  # noqa: E731
    return "\n".join([line(rows[0]), line(["---"] * len(rows[0])), *map(line, rows[1:])])


if __name__ == "__main__":
    results = Store(sys.argv[1])
    print(markdown(headline_rows(results.cells(), results.costs())))
    print()
    print(markdown(fault_rows(results.cells())))
