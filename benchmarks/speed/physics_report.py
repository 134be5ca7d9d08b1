"""The tables and the plot of `benchmarks.speed.physics`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

__all__ = ["write_report"]

STYLES = {  # colours of Okabe and Ito; a marker each, too
    "ours": ("#009E73", "o"),
    "ours, compiled": ("#009E73", "*"),
    "declared": ("#56B4E9", "o"),
    "declared, compiled": ("#56B4E9", "*"),
    "DeepXDE": ("#E69F00", "s"),
    "PINA": ("#D55E00", "^"),
    "TorchPhysics": ("#CC79A7", "v"),
    "jinns": ("#0072B2", "D"),
    "jax": ("#000000", "X"),
}
AIMS = {  # of ours, eager and compiled, relative to nested autograd
    "Poisson, 2d": (1.3, 2.0),
    "Poisson, 10d": (3.0, 3.0),
    "Poisson, 50d": (8.0, 8.0),
    "biharmonic, 2d": (2.0, 2.0),
}


def write_report(record: Mapping[str, Any], out: Path) -> None:
    """Write `physics.md` and `physics.png` into a folder."""
    (out / "physics.md").write_text(text(record))
    plot(record["rows"]).savefig(out / "physics.png", dpi=110)


def text(record: Mapping[str, Any]) -> str:
    """Times, memory, and who is left out, as Markdown."""
    rows = record["rows"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        "# One physics-informed training step, side by side",
        "",
        f"Made by `OMP_NUM_THREADS=1 taskset -c 0 {record['command']}`; {versions}.",
        "",
        "A step is the loss (mean square of the residual at 1,000 points, float32) and its gradients, of the same tanh "
        "network, in one process on one core, all in turn; before, all gradients are found equal. Speeds are relative "
        "to hand-written nested autograd, medians over rounds, above 1 where faster; nested: the least time. `ours` is "
        "`Derivatives` by hand, `declared` the rule that `declare` makes of the equations, `jax` forward mode in "
        "forward mode by hand; jinns and jax run under `jax.jit`, all others eagerly but for ours compiled. The floor "
        "is the matrix products of our streams between hidden layers alone: the ceiling is its speed, and the last "
        "column says how many times longer ours and ours compiled take. The aims are those of ours eager and compiled.",
        "",
        *_times(rows),
        "",
        *_compilation(rows),
        *_left_out(rows),
    ]
    if record["memory"]:
        lines += ["", "## Memory", "", *_memory(rows, record["memory"])]
    return "\n".join(lines).rstrip() + "\n"


def plot(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Speed relative to nested autograd by network, a panel for each problem."""
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(2, 3, squeeze=False).flatten()
    for panel, problem in zip(panels, problems, strict=False):
        chosen = [row for row in rows if row["problem"] == problem]
        panel.axhline(1.0, color="#7F7F7F", linewidth=1.5, label="nested autograd by hand")
        for name, (colour, marker) in STYLES.items():
            found = [(i, row["speed"][name]) for i, row in enumerate(chosen) if name in row["speed"]]
            if found:
                x, y = zip(*found, strict=True)
                line = "--" if name.endswith("compiled") else "-"
                panel.plot(x, y, line, marker=marker, color=colour, label=name, markersize=7)
        panel.set(yscale="log", title=problem, xticks=range(len(chosen)), xlim=(-0.2, len(chosen) - 0.8))
        panel.set_xticklabels([row["network"] for row in chosen])
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
        panel.grid(which="both", alpha=0.25)
    for panel in panels[len(problems) :]:
        panel.set_visible(False)
    for panel in panels[::3]:
        panel.set_ylabel("speed, relative to nested autograd")
    figure.supxlabel("hidden layers x width")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    return figure


def _times(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [name for name in STYLES if any(name in row["speed"] for row in rows)]
    table = [["problem", "network", "streams", "nested, ms", *names, "ceiling", "aims", "to floor"]]
    for row in rows:
        speeds = [_number(row["speed"].get(name)) for name in names]
        aims = " / ".join(f"{aim:.1f}" for aim in AIMS.get(row["problem"], (1.0, 1.0)))
        floors = " / ".join(_number(row["to_floor"].get(name)) for name in ("ours", "ours, compiled"))
        first = [row["problem"], row["network"], str(row["streams"]), f"{row['nested_ms']:.1f}"]
        table.append([*first, *speeds, _number(row["to_floor"]["nested"]), aims, floors])
    return _table(table)


def _compilation(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    found: dict[str, set[int]] = {}
    for row in rows:
        for name, count in row["graphs"].items():
            found.setdefault(name, set()).add(count)
    return [
        f"- {name}: {' to '.join(str(n) for n in sorted({min(counts), max(counts)}))} graphs a step; nothing is "
        "compiled again while it is timed."
        for name, counts in found.items()
    ]


def _left_out(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    whys: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, why in row["left_out"].items():
            whys.setdefault((name, why), []).append(f"{row['problem']} {row['network']}")
    return [
        f"- {name} is left out {'everywhere' if len(where) == len(rows) else 'of ' + '; '.join(where)}: {why}"
        for (name, why), where in whys.items()
    ]


def _memory(rows: Sequence[Mapping[str, Any]], memory: Mapping[str, Mapping[str, float]]) -> list[str]:
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    names = [name for name, peaks in memory.items() if peaks]
    return [
        f"By how many MiB a warm step raises the peak (VmHWM) of a fresh process, {rows[-1]['network']}: what it needs "
        "beyond the network, the points and the libraries.",
        "",
        *_table(
            [
                ["problem", *names],
                *([p, *(_number(memory[name].get(p), 1) for name in names)] for p in problems),
            ]
        ),
    ]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    first, *others = ("| " + " | ".join(row) + " |" for row in rows)
    return [first, "|" + " --- |" * len(rows[0]), *others]


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
