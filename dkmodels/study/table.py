"""Effects and advice as tables for the terminal; plain ASCII where the output is not one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dkmodels.study.advice import Advice, Decision
from dkmodels.study.effect import Effect, Verdict
from dkmodels.study.metric import Metric

STYLES = {
    Verdict.KEEP: "bold green",
    Verdict.HARMFUL: "bold red",
    Verdict.EQUIVALENT: "cyan",
    Verdict.UNDECIDED: "yellow",
}


def ranked(metrics: Sequence[Metric]) -> list[Metric]:
    """Headline metrics first, correctness before cost, otherwise as declared."""
    return sorted(metrics, key=lambda metric: (not metric.primary, metric.kind == "cost"))


def number(value: float | None) -> str:
    """A number to four figures.

    Example:
        >>> number(0.0123456), number(123456.0), number(None)
        ('0.01235', '1.235e+05', '-')
    """
    return "-" if value is None else f"{value:.4g}"


def amount(value: float | None, metric: Metric) -> str:
    """A difference (or a bound of one) for display: a signed percentage for cost, a signed number for correctness.

    Example:
        >>> amount(-0.25, Metric(name="mae", direction="min", gain=0.1))
        '-0.25'
        >>> amount(0.0953, Metric(name="time", direction="min", kind="cost", gain=0.1))
        '+10.0%'
    """
    if value is None:
        return "-"
    if metric.kind == "cost":
        share = math.expm1(value) if value < 700 else math.inf
        return f"{share:+.1%}" if abs(share) < 10 else f"x{1 + share:.4g}"
    return f"{value:+.3g}" if value else "0"


def bounds(effect: Effect, metric: Metric) -> str:
    """The 95 % interval of an effect for display; "one seed" where there is none."""
    if effect.low is None or effect.high is None:
        return "one seed"
    return f"[{amount(effect.low, metric)}, {amount(effect.high, metric)}]"


def p_value(p: float) -> str:
    """A p value for display.

    Example:
        >>> p_value(0.03125), p_value(0.00001)
        ('0.031', '<0.001')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def where(effect: Effect) -> str:
    """Phase and method of a cost, empty for what has neither."""
    return " ".join(filter(None, [effect.phase, effect.method and f"[{effect.method}]"]))


def effects_table(effects: Sequence[Effect], metric: Metric, *, ascii_only: bool = False) -> Table:
    """The effects on one metric as a rich table.

    Args:
        effects: Effects; those of other metrics are left out.
        metric: The metric.
        ascii_only: True for borders of plain ASCII.
    """
    rows = [row for row in effects if row.metric == metric.name]
    unit = f" [{metric.unit}]" if metric.unit else ""
    better = "more" if metric.direction == "max" else "less"
    useful = f"{metric.gain:.3g}{unit}" if metric.kind == "correctness" else f"{metric.gain:.3g} (relative)"
    head = f"{metric.name}{unit}: {better} is better, smallest useful gain {useful}" + ", headline" * metric.primary
    head += ", geometric means" if metric.kind == "cost" else ""
    table = Table(title=Text(head), box=box.ASCII if ascii_only else box.ROUNDED, title_justify="left", expand=False)
    places = any(where(row) for row in rows)
    for name in ("rule", "arm against baseline", *(["phase, method"] if places else [])):
        table.add_column(name, overflow="fold")
    for name in (
        "baseline",
        "arm",
        "ratio" if metric.kind == "cost" else "difference",
        "95 % interval",
        "p (Holm)",
        "n",
    ):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        cells = [
            f"{row.rule} ({row.embedding})" if row.embedding else row.rule,
            f"{row.arm} against {row.baseline}",
            *([where(row)] if places else []),
            number(row.baseline_mean),
            number(row.arm_mean),
            amount(row.difference, metric),
            bounds(row, metric),
            p_value(row.p_adjusted),
            str(row.n_seeds),
        ]
        table.add_row(*map(Text, cells), Text(row.verdict, style=STYLES[row.verdict]))  # Text: names may hold brackets
    return table


def print_effects(effects: Sequence[Effect], *, metrics: Sequence[Metric], console: Console | None = None) -> None:
    """Print a table a metric, headline metrics first.

    Args:
        effects: Effects.
        metrics: The declared metrics; one without effects has no table.
        console: Where to print; the standard output by default.
    """
    console = console or Console()
    if not effects:
        console.print("no effects: no contrast has a seed at which both of its arms have a value")
    for metric in ranked(metrics):
        if any(row.metric == metric.name for row in effects):
            console.print(effects_table(effects, metric, ascii_only=not console.is_terminal))


def print_advice(advice: Advice, *, console: Console | None = None) -> None:
    """Print the advice: a line a rule, the recommended arm, notes, and STOP or GO ON.

    Args:
        advice: The advice.
        console: Where to print; the standard output by default.
    """
    console = console or Console()
    for rule in advice.rules:
        console.print(Text.assemble(f"{rule.label}: ", (rule.verdict, STYLES[rule.verdict]), f". {rule.reason}"))
    console.print(Text.assemble("Recommended arm: ", (advice.recommended, "bold")))
    for note in advice.notes:
        console.print(Text(f"Note: {note}"))
    style = "bold green" if advice.decision is Decision.STOP else "bold yellow"
    console.print(Text.assemble((advice.decision, style), f". {advice.reason}"))
