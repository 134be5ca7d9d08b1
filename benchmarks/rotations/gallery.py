"""Digits turned: `python -m benchmarks.rotations.gallery results/rotations --out docs/rotations`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor
from torch.utils.data import TensorDataset

from benchmarks.fits import draw, trained
from benchmarks.rotations.digits import all_turns
from benchmarks.rotations.exhibits import ARMS
from benchmarks.rotations.task import Rotations
from benchmarks.strengths import answers
from dkmodels.module import KnowledgeModule
from dkmodels.study.store import Store

COLOURS = {
    "none": "#7F7F7F",
    "augmentation": "#56B4E9",
    "soft": "#E69F00",
    "average": "#009E73",
    "canonical": "#0072B2",
    "canonical_moment": "#CC79A7",
    "average_flips": "#D55E00",
}
PICTURES = 4
READERS = ("none", "soft", "average")


def figures(results: Path) -> dict[str, Figure]:
    """A few test images at every turn with what arms read, and accuracy by turn: over all classes and of the pair."""
    seeds = Store(results).manifest()["seeds"]
    task, modules = trained(results, list(COLOURS), 0)
    assert isinstance(task, Rotations)
    figure = Figure(figsize=(12.5, 4.6), layout="constrained")
    halves = figure.subfigures(1, 2, width_ratios=[1, 1.25])
    assert isinstance(halves, np.ndarray)
    left, right = halves
    _pictures(left, task, modules)
    panels = right.subplots(1, 2)
    by_turn = [_by_turn(results, seed) for seed in seeds]
    chosen = (range(len(task.classes)), [task.classes.index(digit) for digit in task.confused])
    titles = ("all classes", " and ".join(map(str, task.confused)))
    for panel, title, classes in zip(panels, titles, chosen, strict=True):
        _curves(panel, by_turn, list(classes))
        panel.set_title(f"{title}, {len(seeds)} seeds", fontsize=10)
    panels[0].set_ylabel("accuracy, %")
    right.legend(*panels[0].get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=3)
    return {"turns.png": figure}


def _by_turn(results: Path, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """For each arm whether each test image is read rightly at each turn, `(4, n)`, and its class."""
    task, modules = trained(results, list(COLOURS), seed)
    data = task.data(seed)
    assert isinstance(data.test, TensorDataset)
    x, labels = data.test.tensors
    return {
        arm: (torch.stack([answers(module, turned).argmax(dim=-1) == labels for turned in all_turns(x)]), labels)
        for arm, module in modules.items()
    }


def _curves(panel: Axes, by_turn: list[dict[str, tuple[Tensor, Tensor]]], classes: list[int]) -> None:
    """Mean accuracy of each arm at each turn, with the spread over seeds."""
    for place, arm in enumerate(by_turn[0]):
        rows = [
            right[:, torch.isin(labels, torch.tensor(classes))].double().mean(dim=1).numpy()
            for right, labels in (found[arm] for found in by_turn if arm in found)
        ]
        mean, spread = 100 * np.mean(rows, axis=0), 100 * np.std(rows, axis=0)
        at = np.arange(4) + (place - 3) * 0.07
        panel.errorbar(at, mean, yerr=spread, fmt="o-", markersize=3.5, linewidth=0.9, color=COLOURS[arm],
                       label=ARMS[arm])  # fmt: skip
    panel.set_xticks(range(4), ["upright", "90°", "180°", "270°"])
    panel.grid(axis="y", alpha=0.3)


def _pictures(left: SubFigure, task: Rotations, modules: dict[str, KnowledgeModule]) -> None:
    """Test images at every turn, and what some arms read."""
    data = task.data(0)
    assert isinstance(data.test, TensorDataset)
    x, labels = data.test.tensors
    wanted = [*task.confused, *(digit for digit in (7, 4, 3) if digit not in task.confused)][:PICTURES]
    rows = [int((labels == task.classes.index(digit)).nonzero()[0]) for digit in wanted]
    panels = left.subplots(PICTURES, 4)
    readers = {arm: modules[arm] for arm in READERS if arm in modules}
    for k, turned in enumerate(all_turns(x[rows])):
        read = {arm: answers(module, turned).argmax(dim=-1) for arm, module in readers.items()}
        for row, image in enumerate(turned):
            panel = panels[row, k]
            panel.imshow(image[0].numpy(), cmap="gray_r", vmin=0.0, vmax=1.0)
            panel.set(xticks=[], yticks=[])
            for place, (arm, digits) in enumerate(read.items()):
                digit = task.classes[int(digits[row])]
                panel.text(1.05, 0.8 - 0.3 * place, str(digit), transform=panel.transAxes, fontsize=10,
                           color=COLOURS[arm], weight="bold" if digit != wanted[row] else "normal",
                           va="center")  # fmt: skip
    told = ", ".join(f"{ARMS[arm]}" for arm in readers)
    left.suptitle(f"read by (from above): {told}; errors bold", fontsize=9)


if __name__ == "__main__":
    draw(figures, "Digits turned, and accuracy by turn under each arm.")
