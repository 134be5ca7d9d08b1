"""The headline table, domain-free against domain-aware, and the table of faults.

`python -m benchmarks.chess.exhibits results/chess` prints both as Markdown.
"""

from __future__ import annotations

import sys
from statistics import geometric_mean

from benchmarks.tables import Records, cost_ratio, costs_of, means_of
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.store import Store

__all__ = ["faults", "headline"]

READERS = {
    "none": "(a) infer all squares, no rule",
    "moves": "(b) legal moves, all squares",
    "changed": "(c) legal moves, squares that can have changed",
    "shortlist": "(d) legal moves, 5 likeliest by change",
    "all": "(c) with square mask and census loss",
}
PAPER = 96.85


def headline(cells: Records, costs: Records) -> Exhibit:
    """A row a reader."""
    rows = [
        ["reader", "squares right", "boards right", "games right", "frames to recover", "squares a frame",
         "latency median (p95)", "latency ratio", "energy ratio"]
    ]  # fmt: skip
    for arm, title in READERS.items():
        m = means_of(cells, arm)
        if m:
            time, late = costs_of(costs, arm, "time", "frame"), costs_of(costs, arm, "time_p95", "frame")
            rows.append(
                [
                    title,
                    f"{100 * m['square_accuracy']:.2f} %",
                    f"{100 * m['board_accuracy']:.1f} %",
                    f"{100 * m['game_accuracy']:.0f} %",
                    f"{m['recovery_frames']:.1f}",
                    f"{m['squares_classified']:.1f}",
                    f"{1e3 * geometric_mean(time):.1f} ({1e3 * geometric_mean(late):.1f}) ms" if time and late else "-",
                    cost_ratio(costs, arm, "time", "frame"),
                    cost_ratio(costs, arm, "energy", "frame"),
                ]
            )
    return Exhibit(
        "Domain-free against domain-aware",
        rows,
        f"Means over seeds, geometric ones of costs. The paper (CAIN 2025, arXiv 2501.08402) reports {PAPER} % "
        "accuracy with domain knowledge, on real broadcasts and with algorithms whose definitions were not available "
        "to us: ours are reconstructions, "
        "on simulated broadcasts, so the figures stand side by side and do not compare. Latency is that of single "
        "frames on one thread, arms interleaved in one process: read the ratio, not the milliseconds.",
    )


def faults(cells: Records) -> Exhibit:
    """A row a reader and a column a fault."""
    kinds = sorted({n.split("/")[1] for cell in cells for n in cell.get("metrics", {}) if n.startswith("fault/")})
    rows = [["reader", *kinds]]
    for arm, title in READERS.items():
        m = means_of(cells, arm)
        if m:
            shown = [(m[f"fault/{k}/recovery_frames"], 100 * m[f"fault/{k}/board_accuracy"]) for k in kinds]
            rows.append([title, *(f"{frames:.1f} frames, {right:.0f} %" for frames, right in shown)])
    return Exhibit(
        "What goes wrong, and how long it takes to be right again",
        rows,
        "Frames from the end of the fault to the first of three right boards in a row (all that are left if none), and "
        "the share of boards right from then to the end of the broadcast.",
    )


if __name__ == "__main__":
    results = Store(sys.argv[1])
    for exhibit in (headline(results.cells(), results.costs()), faults(results.cells())):
        print(f"{exhibit.markdown()}\n\n{exhibit.caption}\n")
