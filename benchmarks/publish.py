"""Put a study's results into the docs: `python -m benchmarks.publish results/pwc --out docs/pwc`.

Writes a page with the task's tables, its verdicts and its pictures, and copies what was run, the effects and the values
of every cell, against which `python -m benchmarks compare docs/pwc results/pwc` holds another run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import TASKS
from dkmodels.study.audit import require_one_study
from dkmodels.study.store import Store
from dkmodels.study.task import Task, load_task

__all__ = ["page", "publish"]


def publish(results: Path, out: Path) -> None:
    """Write `README.md`, the figures, `effects.json`, `results.csv` and `study.json` into a folder.

    Raises:
        UsageError: cells of different rules, settings or code.
    """
    store = Store(results)
    manifest = store.manifest()
    require_one_study(store, manifest)
    task = load_task(TASKS[manifest["task"]], manifest["profile"])
    out.mkdir(parents=True, exist_ok=True)
    pictures = []
    for name, figure in _figures(manifest["task"], results).items():
        figure.savefig(out / name, dpi=110)
        pictures.append(name)
    for name in ("effects.json", "results.csv", "study.json"):
        shutil.copyfile(results / name, out / name)
    effects = json.loads((results / "effects.json").read_text())
    (out / "README.md").write_text(page(task, store, effects, pictures))


def page(task: Task, store: Store, effects: Sequence[Mapping[str, Any]], pictures: Sequence[str]) -> str:
    """The page as Markdown."""
    manifest = store.manifest()
    seeds = len(manifest["seeds"])
    chosen = "" if seeds == task.profiles[manifest["profile"]].seeds else f" --seeds {seeds}"
    command = f"python -m benchmarks run {task.name} --profile {manifest['profile']}{chosen} --out results/{task.name}"
    lines = [
        f"# {task.name}",
        "",
        task.description,
        "",
        f"`{command}`, {seeds} seeds.",
        "",
    ]
    lines += [f"![{task.name}]({name})\n" for name in pictures]
    for exhibit in task.exhibits(store.cells(), store.costs()):
        lines += [f"## {exhibit.title}", "", exhibit.markdown(), "", exhibit.caption, ""]
    lines += ["## Verdicts", "", *_verdicts(task, effects), ""]
    lines += ["What the study advises:", "", "```", (store.folder / "advice.txt").read_text().strip(), "```", ""]
    lines += [
        "Every effect, with its interval, is in `effects.json`; every cell in `results.csv`; the study in `study.json`."
    ]
    return "\n".join(lines) + "\n"


def _verdicts(task: Task, effects: Sequence[Mapping[str, Any]]) -> list[str]:
    primary = {metric.name: metric for metric in task.metrics() if metric.primary}
    lines = [
        "| rule | embedding | metric | against | effect, 95 % interval | verdict | p (Holm) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for effect in effects:
        if effect["metric"] not in primary or effect["phase"] is not None:
            continue
        interval = f"{effect['difference']:+.3g} [{effect['low']:+.3g}, {effect['high']:+.3g}]"
        adjusted = "-" if effect["p_adjusted"] is None else f"{effect['p_adjusted']:.2g}"
        cells = [effect["rule"], effect["embedding"], effect["metric"], effect["baseline"], interval]
        lines.append("| " + " | ".join([*cells, effect["verdict"], adjusted]) + " |")
    sense = {"min": "less is better", "max": "more is better"}
    gains = "; ".join(f"{name} {metric.gain:g} ({sense[metric.direction]})" for name, metric in primary.items())
    return [*lines, "", f"Smallest useful gains, declared before: {gains}."]


def _figures(name: str, results: Path) -> dict[str, Any]:
    package = TASKS[name].partition(":")[0].rpartition(".")[0]
    try:
        gallery = importlib.import_module(f"{package}.gallery")
    except ModuleNotFoundError:
        return {}
    figures: dict[str, Any] = gallery.figures(results) if hasattr(gallery, "figures") else {}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Put a study's results into the docs.")
    parser.add_argument("results", type=Path, help="results folder of a study")
    parser.add_argument("--out", type=Path, required=True, help="folder of the docs")
    options = parser.parse_args()
    publish(options.results, options.out)
    print(options.out / "README.md")


if __name__ == "__main__":
    main()
