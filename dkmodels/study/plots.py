"""Figures of a study as SVG text, to be put inside an HTML page.

Drawn with matplotlib's objects, not with pyplot. Ink is ``currentColor``, so that a figure reads in a light and a dark
page; the other colours are those of Okabe and Ito, which the colour-blind can tell apart.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dkmodels.study.effect import Effect, Verdict
from dkmodels.study.metric import LARGEST, Measurement, Metric
from dkmodels.study.statistics import Interval, ShapleyValue, paired_interval
from dkmodels.study.table import amount, where

INK = "#010203"  # stands for currentColor: matplotlib knows no such colour
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F")
COLOURS = {
    Verdict.KEEP: "#009E73",
    Verdict.HARMFUL: "#D55E00",
    Verdict.EQUIVALENT: "#0072B2",
    Verdict.UNDECIDED: "#8A8A8A",
}
MARKERS = {Verdict.KEEP: "o", Verdict.HARMFUL: "X", Verdict.EQUIVALENT: "s", Verdict.UNDECIDED: "D"}
WIDTH = 7.6  # inches
SMALL, NORMAL = 9.0, 10.0  # points
MOST_TICKS = 6


def _axes(height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06))
    found = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for axes in found:
        axes.set_facecolor("none")
        axes.tick_params(colors=INK, labelsize=SMALL)
        for side, spine in axes.spines.items():
            spine.set_color(INK)
            spine.set_alpha(0.4)
            spine.set_visible(side in ("left", "bottom"))
        axes.grid(True, color=INK, alpha=0.1, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, found


def _svg(figure: Figure, title: str) -> str:
    """The figure as an ``<svg>`` element with ids of its own, named for screen readers."""
    file = io.StringIO()
    with rc_context({"svg.hashsalt": "dkmodels", "svg.fonttype": "path"}):  # the same figure gives the same text
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Figures share a page: ids must not clash.
    prefix = f"f{hashlib.blake2s((title + text).encode(), digest_size=4).hexdigest()}-"
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'href="#', f'href="#{prefix}', text)
    text = re.sub(r"url\(#", f"url(#{prefix}", text)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', text, count=1)


def _plain(text: str) -> str:
    """Text for matplotlib, which would read a pair of dollar signs as mathematics."""
    return text.replace("$", r"\$")


def _short(text: str, most: int = 34) -> str:
    return _plain(text if len(text) <= most else text[: most - 3] + "...")


def _title(axes: Axes, text: str) -> None:
    axes.set_title(_plain(text), fontsize=NORMAL, color=INK, loc="left")


def forest_plot(effects: Sequence[Effect], metric: Metric) -> str:
    """Effects on one metric: points with 95 % intervals, the zero line, and the margin of the smallest useful gain.

    Args:
        effects: Effects of one phase and method; those of other metrics are left out.
        metric: The metric.

    Returns:
        An ``<svg>`` element, empty text where there is no effect on the metric.
    """
    rows = [row for row in effects if row.metric == metric.name]
    if not rows:
        return ""
    figure, (axes,) = _axes(1.15 + 0.44 * len(rows))
    axes.axvspan(-metric.margin, metric.margin, color="#8A8A8A", alpha=0.18, linewidth=0)
    axes.axvline(0, color=INK, linewidth=1, alpha=0.7)
    for y, row in enumerate(rows):
        colour = COLOURS[row.verdict]
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot([row.difference], [y], marker=MARKERS[row.verdict], color=colour, markersize=7, linestyle="none")
        axes.annotate(
            f"{amount(row.difference, metric)}  n={row.n_seeds}  {row.verdict}",
            (1.01, y),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=SMALL,
            color=INK,
        )
    labels = [_short(f"{row.arm} vs {row.baseline}") for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))  # an exponent apart hits the label
    if metric.kind == "cost":
        axes.set_xticks(*cost_ticks(*axes.get_xlim()))
    side = "right" if metric.direction == "max" else "left"
    what = "relative change" if metric.kind == "cost" else f"difference{f' [{metric.unit}]' if metric.unit else ''}"
    axes.set_xlabel(_plain(f"{what}, better to the {side}; shaded: within the useful gain"), fontsize=SMALL, color=INK)
    return _svg(figure, f"Effects on {metric.name} {where(rows[0])} with 95 % intervals")


def cost_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Places and labels of ticks on an axis of log ratios: round percentages, or ratios where it is wide.

    Args:
        low: left end, a natural logarithm.
        high: right end.

    Example:
        >>> cost_ticks(math.log(0.9), math.log(1.2))[1]
        ['-6%', '0%', '+6%', '+12%', '+18%']
        >>> cost_ticks(math.log(0.4), math.log(30))[1]
        ['x0.5', 'x1', 'x2', 'x5', 'x10', 'x20']
    """
    if high - low < math.log(2):
        shares = MaxNLocator(5).tick_values(math.expm1(low), math.expm1(high))
        kept = [float(t) for t in shares if math.expm1(low) <= t <= math.expm1(high)]
        return [math.log1p(t) for t in kept], [f"{100 * t:+.3g}%" if abs(t) > 1e-9 else "0%" for t in kept]
    first, last = math.ceil(low / math.log(10)), math.floor(high / math.log(10))
    stride = 1 + (last - first) // MOST_TICKS
    if last - first < 3:
        ratios = [(c, e) for e in range(first - 1, last + 1) for c in (1, 2, 5)]
    else:
        ratios = [(1, e) for e in range(first, last + 1) if e % stride == 0]  # x1 is one of them
    places = [math.log(c) + e * math.log(10) for c, e in ratios]
    kept_ratios = [(place, c, e) for place, (c, e) in zip(places, ratios, strict=True) if low <= place <= high]
    return (
        [place for place, *_ in kept_ratios],
        [f"x{c * 10.0**e:g}" if -5 < e < 6 else f"x{c}e{e}" for _, c, e in kept_ratios],
    )


def _mean(values: Sequence[float]) -> Interval:
    """Mean and 95 % t interval of an arm over seeds; without width for a single seed."""
    return paired_interval(values) if len(values) > 1 else Interval(values[0], values[0], values[0])


def _geometric_mean(values: Sequence[float]) -> Interval:
    """The same of a cost: the geometric mean, with the interval of the logarithms."""
    logs = _mean(np.log(values).tolist())
    return Interval(*(float(np.exp(np.clip(bound, -300.0, 300.0))) for bound in (logs.mean, logs.low, logs.high)))


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other is at least as good as in both and better in one; more is better in both.

    Example:
        >>> pareto_front([(0.0, 2.0), (1.0, 1.0), (0.5, 0.5)])
        [0, 1]
    """
    return [i for i, (x, y) in enumerate(points) if not any(a >= x and b >= y and (a > x or b > y) for a, b in points)]


def pareto_plot(measurements: Sequence[Measurement], correctness: Metric, cost: Metric, phase: str, method: str) -> str:
    """Correctness against one cost: a point an arm with 95 % intervals over seeds, the Pareto front joined.

    The intervals are of each arm alone, not of differences: they hold what the seeds share and are wider.

    Args:
        measurements: All values.
        correctness: Metric on the vertical axis.
        cost: Metric on the horizontal axis.
        phase: Phase of the cost.
        method: Method of the cost.

    Returns:
        An ``<svg>`` element, empty text where fewer than two arms have both.
    """
    xs, ys = _by_arm(measurements, cost, phase, method), _by_arm(measurements, correctness, None, None)
    arms = [arm for arm in ys if arm in xs]
    if len(arms) < 2:
        return ""
    figure, (axes,) = _axes(4.6)
    points = [(_geometric_mean(xs[arm]), _mean(ys[arm])) for arm in arms]
    front = pareto_front([(cost.sign * x.mean, correctness.sign * y.mean) for x, y in points])
    ordered = sorted(front, key=lambda i: points[i][0].mean)
    axes.plot(
        [points[i][0].mean for i in ordered], [points[i][1].mean for i in ordered], color=INK, alpha=0.5, linestyle="--"
    )
    for i, (x, y) in enumerate(points):
        axes.errorbar(
            x.mean,
            y.mean,
            xerr=[[x.mean - x.low], [x.high - x.mean]],
            yerr=[[y.mean - y.low], [y.high - y.mean]],
            marker="o" if i in front else "s",
            markersize=7,
            color=PALETTE[i % len(PALETTE)],
            markerfacecolor=PALETTE[i] if i < len(PALETTE) else "none",  # colours come round again as hollow marks
            elinewidth=1.2,
            label=_short(arms[i]) + (" (front)" if i in front else ""),
        )
    unit = f" [{cost.unit}]" if cost.unit else ""
    place = " ".join(filter(None, [phase, method and f"[{method}]"]))
    axes.set_xlabel(
        _plain(", ".join(filter(None, [cost.name + unit, place, _better(cost)]))), fontsize=SMALL, color=INK
    )
    unit = f" [{correctness.unit}]" if correctness.unit else ""
    axes.set_ylabel(_plain(f"{correctness.name}{unit}, {_better(correctness)}"), fontsize=SMALL, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    # Names stand in a legend beside the plot: arms of like cost lie on each other, and labels at points would too.
    figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False, labelcolor=INK)
    return _svg(figure, f"{correctness.name} against {cost.name} {place}")


def _better(metric: Metric) -> str:
    return "more is better" if metric.direction == "max" else "less is better"


def _by_arm(
    rows: Sequence[Measurement], metric: Metric, phase: str | None, method: str | None
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.metric == metric.name and phase in (None, row.phase) and method in (None, row.method):
            found.setdefault(row.arm, []).append(row.value)
    return found


def _curves(cells: Sequence[Mapping[str, Any]], name: str) -> dict[str, dict[float, list[float]]]:
    """Arm -> epoch -> finite values over seeds."""
    found: dict[str, dict[float, list[float]]] = {}
    for cell in cells:
        for epoch, value in cell.get("curves", {}).get(name) or []:
            if value is not None and math.isfinite(value) and abs(value) <= LARGEST:
                found.setdefault(str(cell["arm"]), {}).setdefault(float(epoch), []).append(float(value))
    return found


def learning_curves(cells: Sequence[Mapping[str, Any]], name: str) -> str:
    """One logged quantity over epochs: mean over seeds with its 95 % band; a panel an arm where there are many arms.

    Args:
        cells: The cells, as JSON objects.
        name: Name of the curve.

    Returns:
        An ``<svg>`` element, empty text where nothing was logged.
    """
    curves = _curves(cells, name)
    if not curves:
        return ""
    many = len(curves) > 4
    columns = 3 if many else 1
    rows = math.ceil(len(curves) / columns) if many else 1
    figure, panels = _axes(0.5 + 1.7 * rows if many else 3.6, columns, rows)
    every = [float(np.mean(values)) for points in curves.values() for values in points.values()]
    log = min(every) > 0 and max(every) > 50 * min(every)
    for i, (arm, points) in enumerate(curves.items()):
        axes = panels[i] if many else panels[0]
        epochs = sorted(points)
        intervals = [_mean(points[epoch]) for epoch in epochs]
        colour = PALETTE[0] if many else PALETTE[i % len(PALETTE)]
        lows = [
            max(value.low, min(points[epoch])) if log else value.low
            for epoch, value in zip(epochs, intervals, strict=True)
        ]
        axes.fill_between(epochs, lows, [value.high for value in intervals], color=colour, alpha=0.2, linewidth=0)
        axes.plot(
            epochs,
            [value.mean for value in intervals],
            color=colour,
            label=_short(arm),
            marker="." * (len(epochs) == 1),
        )
        if many:
            _title(axes, _short(arm, 26))
    for axes in panels:
        if log:
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axes in panels[len(curves) :] if many else []:
        axes.set_axis_off()
    if many:
        low, high = zip(*(axes.get_ylim() for axes in panels[: len(curves)]), strict=True)
        for axes in panels[: len(curves)]:
            axes.set_ylim(min(low), max(high))  # one scale, or panels cannot be compared
    elif len(curves) > 1:
        figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False, labelcolor=INK)
    figure.supxlabel("epoch", fontsize=SMALL, color=INK)
    figure.supylabel(_plain(name), fontsize=SMALL, color=INK)
    return _svg(figure, f"{name} over epochs")


def bar_chart(values: Sequence[ShapleyValue], title: str) -> str:
    """Shapley values as bars with 95 % intervals.

    Args:
        values: Shapley values.
        title: What they are shares of, for the axis.

    Returns:
        An ``<svg>`` element, empty text without values.
    """
    if not values:
        return ""
    figure, (axes,) = _axes(1.0 + 0.42 * len(values))
    for y, value in enumerate(values):
        axes.barh(y, value.mean, height=0.56, color=PALETTE[0], alpha=0.75)
        axes.plot([value.low, value.high], [y, y], color=INK, linewidth=1.6)
    axes.axvline(0, color=INK, linewidth=1, alpha=0.7)
    axes.set_yticks(range(len(values)), [_short(value.rule) for value in values])
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.set_xlabel(_plain(title), fontsize=SMALL, color=INK)
    return _svg(figure, title)
