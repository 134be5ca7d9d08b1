"""The report: complete, escaped, self-contained, and drawn from any study, however small."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from dkmodels.study.advice import Advice, advise
from dkmodels.study.effect import Effect, effects
from dkmodels.study.metric import ADD_ONE_IN, ALL, LEAVE_ONE_OUT, Contrast, Measurement, Metric
from dkmodels.study.plots import cost_ticks, forest_plot, learning_curves, pareto_front, pareto_plot
from dkmodels.study.report import render_report
from dkmodels.study.statistics import interactions, shapley
from dkmodels.study.table import print_advice, print_effects

RULES = ("census", "legal moves", "turn order")
METRICS = [
    Metric(name="board accuracy", direction="max", gain=0.02, primary=True),
    Metric(name="illegal boards", direction="min", gain=0.01, rate=True),
    Metric(name="train step", direction="min", unit="s", kind="cost", gain=0.05, primary=True),
    Metric(name="energy", direction="min", unit="J", kind="cost", gain=0.05),
]
ARMS = {
    "none": (),
    "census": ("census",),
    "legal moves": ("legal moves",),
    "turn order": ("turn order",),
    "all but turn order": ("census", "legal moves"),
    "all but legal moves": ("census", "turn order"),
    "all but census": ("legal moves", "turn order"),
    "all": RULES,
}


def fake_measurements(seeds: int) -> list[Measurement]:
    """A study where the census helps, legal moves help a little less, and the turn order harms and costs."""
    generator = np.random.default_rng(3)
    gain = {"census": 0.06, "legal moves": 0.04, "turn order": -0.05}
    price = {"census": 0.02, "legal moves": 0.12, "turn order": 0.31}
    rows: list[Measurement] = []
    for seed in range(seeds):
        shared = generator.normal(0, 0.02)
        for arm, rules in ARMS.items():
            accuracy = 0.81 + shared + sum(gain[rule] for rule in rules) + generator.normal(0, 0.006)
            k = 0 if "legal moves" in rules else int(generator.binomial(500, 0.08))
            step = 0.011 * np.exp(sum(price[rule] for rule in rules) + generator.normal(0, 0.01))
            rows += [
                Measurement(arm=arm, seed=seed, metric="board accuracy", value=accuracy),
                Measurement(arm=arm, seed=seed, metric="illegal boards", value=k / 500, count=(k, 500)),
            ]
            for phase, factor in (("train_step", 1.0), ("inference_batch_1", 0.2)):
                rows.append(Measurement(arm=arm, seed=seed, metric="train step", value=step * factor, phase=phase))
            energy = 40 * step / 0.011
            rows.append(
                Measurement(
                    arm=arm, seed=seed, metric="energy", value=energy, method="cpu_time_estimate", phase="train"
                )
            )
    return rows


def fake_contrasts() -> list[Contrast]:
    found = [Contrast(rule=r, embedding="Hard", arm=r, baseline="none", family=ADD_ONE_IN) for r in RULES]
    found += [
        Contrast(rule=r, embedding="Hard", arm="all", baseline=f"all but {r}", family=LEAVE_ONE_OUT) for r in RULES
    ]
    return [*found, Contrast(rule="all", embedding="", arm="all", baseline="none", family=ALL)]


def fake_cells(seeds: int) -> list[dict[str, Any]]:
    generator = np.random.default_rng(4)
    cells: list[dict[str, Any]] = []
    for i, arm in enumerate(ARMS):
        for seed in range(seeds):
            noise = generator.normal(0, 0.05, 30)
            curve = [[e + 1, float(np.exp(-e / (6 + i)) + 0.1 + 0.02 * i + 2 * abs(noise[e]))] for e in range(30)]
            cells.append(
                {"arm": arm, "seed": seed, "status": "done", "metrics": {}, "curves": {"train loss": curve},
                 "traceback": None, "seconds": {"fit": 12.0}}
            )  # fmt: skip
    cells[-1] |= {"status": "failed", "curves": {}, "traceback": "Traceback: <b>boom</b>\nValueError: no legal move"}
    return cells


def fake_advice(rows: list[Effect], seeds: int, **more: Any) -> Advice:
    return advise(
        rows, metrics=METRICS, seconds_per_seed=96.0, joules_per_seed=4200.0, joules_method="cpu_time_estimate", **more
    )


def fake_page(seeds: int = 8, **changes: Any) -> str:
    measurements = fake_measurements(seeds)
    rows = effects("chess boards", measurements, METRICS, fake_contrasts())
    cells = {
        frozenset(rules): [m.value for m in measurements if m.arm == arm and m.metric == "board accuracy"]
        for arm, rules in ARMS.items()
    }
    together = {"shapley": shapley(cells), "interactions": interactions(cells)} if seeds > 1 else {}
    given: dict[str, Any] = {
        "task": "chess boards",
        "profile": "full",
        "description": "Read a board from a photograph.\n\nThree rules of chess say which boards can follow which.",
        "effects": rows,
        "advice": fake_advice(rows, seeds, **together),
        "metrics": METRICS,
        "measurements": measurements,
        "cells": fake_cells(seeds),
        "environment": {
            "python": "3.11",
            "torch": "2.6",
            "CPU": "2 cores <slow & noisy>",
            "commit": "0123456789abcdef" * 2,
        },
        "reproduce": [(f"{arm}, seed 0", f"python -m dkmodels cell chess --arm '{arm}' --seed 0") for arm in ARMS],
        "notes": ["Energy is an estimate: no counter could be read."],
        "extra_html": [("Boards read", "<svg width='60' height='20'><rect width='60' height='20' fill='teal'/></svg>")],
        **together,
    }
    return render_report(**{**given, **changes})


def test_report_is_complete_and_in_order() -> None:
    page = fake_page()
    order = ["STOP", "Recommended arm", "Boards read", "Effects", "Violated examples", "Correctness against cost",
             "What the rules do together", "Learning curves", "Costs", "Failed cells", "Environment",
             "How to reproduce each cell"]  # fmt: skip
    places = [page.index(part) for part in order]
    assert places == sorted(places)
    for text in ("HARMFUL", "KEEP", "census", "cpu_time_estimate", "inference_batch_1", "63 of 64 cells done",
                 "python -m dkmodels cell chess", "all but legal moves", "It does harm, leave it out"):  # fmt: skip
        assert text in page


def test_report_escapes_text() -> None:
    page = fake_page(task="<script>alert(1)</script>", notes=["<i>a & b</i>"])
    assert "<script" not in page and "<i>a" not in page
    assert "&lt;b&gt;boom&lt;/b&gt;" in page and "&lt;slow &amp; noisy&gt;" in page


def test_report_asks_for_nothing() -> None:
    page = fake_page()
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?://|//\w+\.\w+/|<link|<script|@import|<iframe|src=", without_names)
    assert not re.findall(r"url\((?!#)", page)
    assert "default-src 'none'" in page


def test_ids_of_figures_do_not_clash() -> None:
    page = fake_page()
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)


def test_report_is_reproducible() -> None:
    assert fake_page() == fake_page()


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_small_study_has_a_report(seeds: int) -> None:
    page = fake_page(seeds)
    assert "smoke result, never a verdict" in page
    assert 'class="badge keep"' not in page


def test_report_of_nothing() -> None:
    rows: list[Effect] = []
    page = fake_page(effects=rows, advice=fake_advice(rows, 0), measurements=[], cells=[], extra_html=[], notes=[],
                     reproduce=[], environment={}, shapley=None, interactions=None)  # fmt: skip
    assert "There is no rule to judge" in page


def test_figures_without_data_are_empty() -> None:
    assert forest_plot([], METRICS[0]) == ""
    assert learning_curves([{"arm": "a", "seed": 0, "curves": {"loss": [[1, float("nan")]]}}], "loss") == ""
    assert pareto_plot([], METRICS[0], METRICS[2], "", "") == ""


def test_figures_take_any_name() -> None:
    """Dollar signs and underscores are mathematics to matplotlib; here they are names."""
    metric = Metric(name="price $ a_b^ & <x>", direction="min", unit="$/$", gain=0.1)
    rows = [Measurement(arm=a, seed=s, metric=metric.name, value=float(s)) for a in ("$x_$", "none") for s in range(3)]
    found = effects(
        "t", rows, [metric], [Contrast(rule="$", embedding="", arm="$x_$", baseline="none", family="extra")]
    )
    assert forest_plot(found, metric).startswith("<svg")


def test_pareto_front_against_definition() -> None:
    points = [tuple(point) for point in np.random.default_rng(0).integers(0, 6, (40, 2)).tolist()]
    front = set(pareto_front(points))
    for i, (x, y) in enumerate(points):
        beaten = any((a > x and b >= y) or (a >= x and b > y) for a, b in points)
        assert (i in front) is not beaten


@pytest.mark.parametrize("terminal", [True, False])
def test_tables(terminal: bool) -> None:
    rows = effects("chess boards", fake_measurements(8), METRICS, fake_contrasts())
    rows = [*rows]
    console = Console(force_terminal=terminal, width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_effects(rows, metrics=METRICS, console=console)
    print_advice(fake_advice(rows, 8), console=console)
    text = console.export_text()
    assert text.index("board accuracy") < text.index("train step") < text.index("illegal boards")
    assert "HARMFUL" in text and "Recommended arm: all but turn order" in text and "STOP" in text
    assert text.isascii() or terminal


def test_tables_print_brackets_as_they_are() -> None:
    metric = Metric(name="m[red]", direction="max", gain=0.1, unit="mol")
    rows = [
        Measurement(arm=arm, seed=s, metric=metric.name, value=float(s)) for arm in ("[b]x", "none") for s in (0, 1)
    ]
    found = effects("t", rows, [metric], [Contrast(rule="[b]x", embedding="", arm="[b]x", baseline="none", family="x")])
    console = Console(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_effects(found, metrics=[metric], console=console)
    text = console.export_text()
    assert "m[red] [mol]" in text and "[b]x against none" in text


def wide_effects(low: float, high: float) -> tuple[list[Effect], Metric]:
    """Two effects on a cost whose axis reaches from one log ratio to the other."""
    metric = Metric(name="time", direction="min", kind="cost", gain=0.05)
    base = effects(
        "t",
        [Measurement(arm=a, seed=s, metric="time", value=1.0) for a in ("a", "none") for s in (0, 1)],
        [metric],
        [Contrast(rule="a", embedding="Hard", arm="a", baseline="none", family=ADD_ONE_IN)],
    )
    return [replace(base[0], difference=v, low=low, high=high) for v in (low, high)], metric


@pytest.mark.parametrize("middle", [-200.0, -3.0, 0.0, 0.4, 30.0])
@pytest.mark.parametrize("span", [1e-4, 0.01, 0.1, 0.69, 0.7, 1.0, 2.0, 3.4, 5.0, 7.0, 12.0, 40.0, 300.0])
def test_tick_labels_of_wide_intervals_do_not_overlap(
    middle: float, span: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dkmodels.study import plots

    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "_svg", lambda figure, title: drawn.append(figure) or title)
    rows, metric = wide_effects(middle - span / 2, middle + span / 2)
    forest_plot(rows, metric)
    (figure,) = drawn
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    assert boxes
    assert all(a.x1 + 3 < b.x0 for a, b in pairwise(boxes)), [label.get_text() for label in axes.get_xticklabels()]


def test_ticks_are_where_their_labels_say() -> None:
    for low, high in ((-0.1, 0.2), (-1.0, 3.0), (-20.0, 40.0), (-1e-3, 1e-3), (-300.0, 300.0)):
        places, labels = cost_ticks(low, high)
        assert 2 <= len(places) <= 9 and len(places) == len(labels)
        for place, label in zip(places, labels, strict=True):
            ratio = float(label[1:]) if label[0] == "x" else 1 + float(label[:-1]) / 100
            assert math.log(ratio) == pytest.approx(place, rel=1e-3, abs=1e-5)
            assert low <= place <= high
