"""The report of a study: one HTML file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dkmodels.study.accounts import Accounts
from dkmodels.study.advice import Advice
from dkmodels.study.effect import LARGEST_LOG, Effect
from dkmodels.study.metric import ADD_ONE_IN, ALL, Measurement, Metric
from dkmodels.study.plots import bar_chart, forest_plot, learning_curves, pareto_plot
from dkmodels.study.rule_advice import price
from dkmodels.study.statistics import FactorialEffect, Interval, ShapleyValue, clopper_pearson, paired_interval
from dkmodels.study.table import amount, bounds, number, p_value, ranked

MOST_PARETO = 6  # headline pairs come first; more figures hide them


def render_report(
    *,
    task: str,
    profile: str,
    description: str,
    effects: Sequence[Effect],
    advice: Advice,
    metrics: Sequence[Metric],
    measurements: Sequence[Measurement],
    cells: Sequence[Mapping[str, Any]],
    accounts: Accounts | None = None,
    environment: Mapping[str, str],
    reproduce: Sequence[tuple[str, str]],
    shapley: Sequence[ShapleyValue] | None = None,
    interactions: Sequence[FactorialEffect] | None = None,
    notes: Sequence[str] = (),
    extra_html: Sequence[tuple[str, str]] = (),
) -> str:
    """Write the report as a single HTML page without scripts or requests, for light and dark, wide and narrow screens.

    All text is escaped, but for the markup in ``extra_html``, which the task itself made.

    Args:
        task: Name of the task.
        profile: Name of the profile that was run.
        description: What the task is; paragraphs are separated by empty lines.
        effects: Effects.
        advice: Advice.
        metrics: Declared metrics.
        measurements: All values.
        cells: JSON objects ``{"arm", "seed", "status", "metrics", "curves", "traceback", "seconds"}``, where status is
            ``"done"`` or ``"failed"`` and curves maps a name to ``[[epoch, value], ...]``.
        accounts: What became of every planned cell and pair; by default the cells are all that was planned.
        environment: Versions, hardware and settings.
        reproduce: Pairs (name of a cell, command that runs it).
        shapley: Shapley values of the headline metric.
        interactions: Factorial effects on the headline metric.
        notes: Further remarks.
        extra_html: Pairs (title, SVG or table markup).

    Returns:
        The page.
    """
    page = Environment(
        loader=PackageLoader("dkmodels.study"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters |= {"number": number, "amount": amount, "bounds": bounds, "p_value": p_value}
    order = ranked(metrics)
    headline = next((metric for metric in order if metric.kind == "correctness"), None)
    baseline = next((row.baseline for row in effects if row.family in (ADD_ONE_IN, ALL)), None)
    curves = dict.fromkeys(name for cell in cells for name in cell.get("curves") or {})
    return page.get_template("report.html.j2").render(
        task=task,
        profile=profile,
        description=description,
        advice=advice,
        price=price(advice.seconds, advice.joules, advice.joules_method),
        notes=notes,
        cells=cells,
        accounts=accounts
        or Accounts(
            planned=len(cells),
            done=sum(cell["status"] == "done" for cell in cells),
            failed=tuple((cell["arm"], cell["seed"]) for cell in cells if cell["status"] == "failed"),
        ),
        violations=_violations(cells),
        arms=len({cell["arm"] for cell in cells}),
        seeds=len({cell["seed"] for cell in cells}),
        groups=[_group(metric, rows) for metric in order for rows in _split(effects, metric)],
        rates=_rates(measurements, order),
        paretos=[Markup(svg) for svg in _paretos(measurements, order)],
        headline=headline.name if headline else "",
        shapley_plot=Markup(bar_chart(shapley or (), f"share of {_named(headline)}" if headline else "share")),
        interactions=[effect for effect in interactions or () if effect.rules],
        extra_html=[(title, Markup(markup)) for title, markup in extra_html],
        curves=[Markup(svg) for svg in (learning_curves(cells, name) for name in curves) if svg],
        costs=_costs(measurements, baseline, order),
        baseline=baseline,
        failed=[{"error": None, "traceback": None, **cell} for cell in cells if cell["status"] == "failed"],
        environment=environment,
        reproduce=reproduce,
    )


def _named(metric: Metric) -> str:
    return f"{metric.name} [{metric.unit}]" if metric.unit else metric.name


def _split(effects: Sequence[Effect], metric: Metric) -> list[list[Effect]]:
    """The effects on a metric, split by phase and method, which do not belong in one figure."""
    found: dict[tuple[str | None, str | None], list[Effect]] = {}
    for row in effects:
        if row.metric == metric.name:
            found.setdefault((row.phase, row.method), []).append(row)
    return list(found.values())


def _group(metric: Metric, rows: list[Effect]) -> dict[str, Any]:
    title = _named(metric) + (f", {rows[0].phase}" if rows[0].phase else "")
    title += f", by {rows[0].method}" if rows[0].method else ""
    useful = (
        f"{metric.gain:g} {metric.unit}".strip() if metric.kind == "correctness" else f"{metric.gain:.3g} (relative)"
    )
    return {
        "title": title,
        "metric": metric,
        "sense": "More is better" if metric.direction == "max" else "Less is better",
        "useful": useful,
        "rows": rows,
        "plot": Markup(forest_plot(rows, metric)),
    }


def _paretos(measurements: Sequence[Measurement], metrics: Sequence[Metric]) -> list[str]:
    """Each headline metric of correctness against each cost, phase and method."""
    right = [metric for metric in metrics if metric.kind == "correctness" and metric.primary]
    right = right or [metric for metric in metrics if metric.kind == "correctness"][:1]
    found = []
    for cost in [metric for metric in metrics if metric.kind == "cost"]:
        for phase, method in dict.fromkeys((m.phase, m.method) for m in measurements if m.metric == cost.name):
            found += [pareto_plot(measurements, metric, cost, phase, method) for metric in right]
    return [svg for svg in found if svg][:MOST_PARETO]


def _rates(measurements: Sequence[Measurement], metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Counts of violated examples, summed over seeds."""
    found = []
    for metric in metrics:
        counts: dict[str, list[tuple[int, int]]] = {}
        for row in measurements:
            if metric.rate and row.metric == metric.name and row.count is not None:
                counts.setdefault(row.arm, []).append(row.count)
        for arm, pairs in counts.items():
            k, n = sum(k for k, _ in pairs), sum(n for _, n in pairs)
            found.append({"metric": metric.name, "arm": arm, "k": k, "n": n, "interval": clopper_pearson(k, n)})
    return found


def _violations(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What every arm violates of every rule, also where the task declares no metric of it: means over seeds."""
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for cell in cells:
        for name, value in cell["metrics"].items() if cell["status"] == "done" else ():
            kind, _, rest = name.partition("/")
            rule, _, part = rest.rpartition("/") if kind == "violation" else (rest, "", "rate")
            if kind in ("violation", "satisfaction") and rule and value is not None:
                values.setdefault((rule, cell["arm"]), {}).setdefault(part, []).append(value)
    means = {key: {part: math.fsum(v) / len(v) for part, v in parts.items()} for key, parts in values.items()}
    order = list(dict.fromkeys(rule for rule, _ in means))
    return [
        {
            "rule": rule,
            "arm": arm,
            "mean": number(found.get("mean")),
            "max": number(found.get("max")),
            "rate": f"{100 * found['rate']:.4g} %" if "rate" in found else "-",
            "n": str(max(len(v) for v in values[rule, arm].values())),
        }
        for (rule, arm), found in sorted(means.items(), key=lambda item: order.index(item[0][0]))
    ]


def _costs(
    measurements: Sequence[Measurement], baseline: str | None, metrics: Sequence[Metric]
) -> list[dict[str, Any]]:
    """Every cost by phase, method and arm: geometric means, and their ratio to the baseline at the same seeds."""
    found = []
    for metric in [metric for metric in metrics if metric.kind == "cost"]:
        groups: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
        for m in measurements:
            if m.metric == metric.name:
                groups.setdefault((m.phase, m.method), {}).setdefault(m.arm, {})[m.seed] = m.value
        for (phase, method), arms in groups.items():
            base = arms.get(baseline or "", {})
            for arm, values in arms.items():
                logs = [math.log(value) for value in values.values()]
                interval = paired_interval(logs) if len(values) > 1 else None
                ratios = [math.log(value / base[seed]) for seed, value in values.items() if seed in base]
                found.append(
                    {
                        "metric": _named(metric),
                        "phase": phase,
                        "method": method,
                        "arm": arm,
                        "mean": number(math.exp(sum(logs) / len(logs))),
                        "bounds": _geometric(interval) if interval else "one value",
                        "n": len(values),
                        "change": amount(sum(ratios) / len(ratios), metric) if ratios and arm != baseline else "-",
                    }
                )
    return found


def _geometric(logs: Interval) -> str:
    """An interval of logarithms on the scale of the values."""
    low, high = (number(math.exp(bound)) if bound < LARGEST_LOG else "inf" for bound in (logs.low, logs.high))
    return f"[{low}, {high}]"
