"""The table and the plot of `benchmarks.speed.projection`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

__all__ = ["write_report"]

COLOURS = {
    "floor": "#7F7F7F",
    "cvxpylayers": "#E69F00",
    "cvxpylayers, eps 1e-8": "#D55E00",
    "qpth": "#CC79A7",
    "Pi-net": "#0072B2",
    "PiShield": "#56B4E9",
}
FAMILIES = (("n = 20, m = 10", "batch", 20, 10), ("n = 100, m = 50", "batch", 100, 50))


def write_report(records: Sequence[dict[str, Any]], out: Path) -> None:
    """Write `projection.md` and `projection.svg` into a folder."""
    (out / "projection.md").write_text(table(records))
    plot(records).savefig(out / "projection.svg")


def table(records: Sequence[dict[str, Any]]) -> str:
    """All cases and methods as Markdown."""
    lines = [
        "# Projection onto `{y : A y <= b}`, side by side",
        "",
        "Made by `taskset -c 0 python -m benchmarks.speed.projection --out docs/speed`: one process, one core, "
        "float64, all methods in turn. Times are ratios to ours, medians over rounds (ours: the least time); violation "
        "is relative, error is the largest distance to the exact nearest points; memory is what the process's peak "
        "grows by.",
        "",
        "| n, m, batch | method | forward | forward and backward | violation | error | MiB | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for record in sorted(records, key=lambda r: (r["n"], r["m"], r["batch"])):
        for name, m in record["methods"].items():
            if name == "ours":
                times = [f"{1e3 * m['forward_s']:.2f} ms", f"{1e3 * m['backward_s']:.2f} ms"]
            else:
                times = [f"{m['forward_to_ours']:.3g} x", f"{m['backward_to_ours']:.3g} x"]
            wrong = ["" if m[key] is None else f"{m[key]:.1e}" for key in ("violation", "error")]
            memory = "" if m["memory_mib"] is None else f"{m['memory_mib']:.0f}"
            title = f"**{name}**" if name == "ours" else "floor (one matrix product)" if name == "floor" else name
            lines.append("| " + " | ".join([record["case"], title, *times, *wrong, memory, m["note"]]) + " |")
        for name, why in record["left_out"].items():
            lines.append(f"| {record['case']} | {name} | - | - | - | - | - | left out: {why} |")
    return "\n".join(lines) + "\n"


def plot(records: Sequence[dict[str, Any]]) -> Figure:
    """Time as a ratio to ours against the batch, forward and with a backward pass."""
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    panels = figure.subplots(2, 2, sharey=True)
    for row, (title, axis, n, m) in zip(panels, FAMILIES, strict=True):
        chosen = sorted((r for r in records if (r["n"], r["m"]) == (n, m)), key=lambda r: r[axis])
        for panel, (key, what) in zip(
            row, (("forward_to_ours", "forward"), ("backward_to_ours", "forward and backward")), strict=True
        ):
            panel.axhline(1.0, color="#009E73", linewidth=2, label="ours")
            for name, colour in COLOURS.items():
                found = [(r[axis], r["methods"][name][key]) for r in chosen if name in r["methods"]]
                if found:
                    x, y = zip(*found, strict=True)
                    panel.plot(x, y, "o-", color=colour, label=name, markersize=4)
            panel.set(xscale="log", yscale="log", title=f"{title}, {what}", xlabel="batch")
            panel.grid(alpha=0.3)
        row[0].set_ylabel("time, ratio to ours")
    panels[0][0].legend(fontsize=8, ncols=2)
    return figure
