"""Trained modules of a results folder, and figures made of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks import TASKS
from dkmodels.module import KnowledgeModule
from dkmodels.study.cell import fit_key, load_fit
from dkmodels.study.store import Store
from dkmodels.study.task import Task, load_task

__all__ = ["COLOURS", "draw", "trained"]

#: Of Okabe and Ito, which the colour-blind can tell apart.
COLOURS = {
    "none": "#7F7F7F",
    "soft": "#E69F00",
    "lagrangian": "#CC79A7",
    "decode": "#56B4E9",
    "soft + decode": "#0072B2",
    "hard": "#009E73",
}


def trained(results: str | Path, arms: Sequence[str], seed: int) -> tuple[Task, dict[str, KnowledgeModule]]:
    """The task of a results folder, and the modules of some of its arms at a seed, where they have a fit."""
    store = Store(results)
    manifest = store.manifest()
    task = load_task(TASKS[manifest["task"]], manifest["profile"])
    by_name = {arm.name: arm for arm in task.arms()}
    found = {}
    for name in arms:
        path = store.fit_path(fit_key(task, by_name[name]), seed)
        if path.exists():
            found[name] = load_fit(task, by_name[name], seed, path)[0]
    return task, found


def draw(make: Callable[[Path], dict[str, Figure]], description: str) -> None:
    """The command line of a gallery: makes figures of a results folder and writes them into a folder of the docs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", type=Path, help="results folder of a study")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the figures into")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, figure in make(options.results).items():
        figure.savefig(options.out / name, dpi=110)
        print(options.out / name)
