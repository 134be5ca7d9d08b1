"""Fields, errors and residuals, and how they fell: `python -m benchmarks.fields.gallery results/kdv --out docs/kdv`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from benchmarks.fields.rectangle import rectangle
from benchmarks.fields.task import FieldTask
from benchmarks.fits import draw, trained
from benchmarks.strengths import answers
from constraints import FieldRule
from dkmodels.module import KnowledgeModule
from dkmodels.study.store import Store

__all__ = ["figures"]

COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"),
    *("#7F7F7F", "#F0E442", "#000000", "#882255", "#44AA99", "#117733"),
)
SIDE, SEED = 161, 0


def figures(results: Path) -> dict[str, Figure]:
    """Field, error and residual of some arms at one seed; the error over time and evaluations, of all at every seed."""
    task, modules = trained(results, _task(results).shown, SEED)
    assert isinstance(task, FieldTask)
    found = {"curves.png": _curves(task, Store(results))}
    if len(task.domain) == 2:
        found["fields.png"] = _fields(task, modules)
    else:
        found["fields.png"] = _lines(task, modules)
    return found


def _task(results: Path) -> FieldTask:
    task, _ = trained(results, [], SEED)
    assert isinstance(task, FieldTask)
    return task


def _fields(task: FieldTask, modules: dict[str, KnowledgeModule]) -> Figure:
    """The first field over two coordinates, and the error of all; a column an arm."""
    (first, (a, b)), (second, (c, d)) = task.domain.items()
    x = rectangle(task.domain, SIDE, SIDE)
    whole = task.solution(x)
    truth = whole[:, :1]
    told, rule = next((name, rule) for name, rule in task.judged().items() if isinstance(rule, FieldRule))
    figure = Figure(figsize=(3.0 * len(modules) + 1.8, 7.2), layout="constrained")
    panels = figure.subplots(3, len(modules), sharex=True, sharey=True, squeeze=False)
    placed: dict[str, Any] = {"extent": (c, d, a, b), "origin": "lower", "aspect": "auto"}
    limit = float(truth.abs().max())
    parts, relative = [], []
    for module in modules.values():
        y = answers(module, x, batch_size=8192)
        residual = rule.eval().evaluate(module, x, y).detach().norm(dim=-1, keepdim=True)
        relative.append(float((y - whole).norm() / whole.norm()))
        parts.append((y[:, :1], (y[:, :1] - truth).abs(), residual))
    low, high = (_limits([part[row] for part in parts]) for row in (1, 2))
    for column, ((arm, _), (y, error, residual)) in enumerate(zip(modules.items(), parts, strict=True)):
        images = [panels[0, column].imshow(_image(y), cmap="RdBu_r", vmin=-limit, vmax=limit, **placed)]
        for row, (values, ends) in enumerate(((error, low), (residual, high)), start=1):
            shown = np.clip(_image(values), ends[0], None)
            images.append(panels[row, column].imshow(shown, cmap="viridis", norm=LogNorm(*ends), **placed))
        panels[0, column].set_title(f"{task.titles[arm]}\nrelative L2 {relative[column]:.2g}", fontsize=9)
        panels[2, column].set_xlabel(str(second))
        if column == len(modules) - 1:
            for row, (image, title) in enumerate(
                zip(images, (task.names[0], f"error of {task.names[0]}", told.replace("_", " ")), strict=True)
            ):
                figure.colorbar(image, ax=panels[row, :], label=title, shrink=0.9)
    for row in range(3):
        panels[row, 0].set_ylabel(str(first))
    figure.suptitle(f"{task.name}, seed {SEED}", fontsize=10)
    return figure


def _lines(task: FieldTask, modules: dict[str, KnowledgeModule]) -> Figure:
    """All fields over one coordinate, and their errors."""
    ((name, (a, b)),) = task.domain.items()
    x = torch.linspace(a, b, 401, dtype=torch.float64)[:, None]
    truth = task.solution(x)
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(x, truth, "--", color="black", linewidth=1.0)
    for colour, (arm, module) in zip(COLOURS, modules.items(), strict=False):
        y = answers(module, x)
        left.plot(x, y, color=colour, linewidth=0.9)
        error = (y - truth).norm(dim=1) / truth.norm(dim=1).mean()
        right.semilogy(x, error, color=colour, linewidth=0.9, label=task.titles[arm])
    left.set(xlabel=str(name), title="fields; dashed: the truth")
    right.set(xlabel=str(name), title="error, relative to the mean size")
    right.grid(axis="y", alpha=0.3)
    right.legend(fontsize=8)
    figure.suptitle(f"{task.name}, seed {SEED}", fontsize=10)
    return figure


def _curves(task: FieldTask, store: Store) -> Figure:
    figure = Figure(figsize=(13, 4.8), layout="constrained")
    panels = figure.subplots(1, 3)
    cells = [cell for cell in store.cells() if cell["status"] == "done"]
    for colour, (arm, title) in zip(itertools.cycle(COLOURS), task.titles.items(), strict=False):
        label: str | None = title
        for cell in (cell for cell in cells if cell["arm"] == arm):
            curves = {name: np.array(curve) for name, curve in cell["curves"].items() if curve}
            if "error" not in curves:
                continue
            error = curves["error"][:, 1]
            for panel, place in zip(panels, ("evaluations", "seconds"), strict=False):
                panel.loglog(curves[place][:, 1], error, color=colour, linewidth=0.9, alpha=0.8, label=label)
                panel.xaxis.set_minor_formatter(NullFormatter())
            loss = curves["train/loss"]
            panels[2].semilogy(loss[:, 0], loss[:, 1], color=colour, linewidth=0.9, alpha=0.8)
            label = None
    _label(panels[0], "evaluations of the loss and its gradient", "relative L2 error")
    _label(panels[1], "seconds of training", "relative L2 error")
    _label(panels[2], "epochs", "loss")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    figure.suptitle(f"{task.name}, every seed", fontsize=10)
    return figure


def _label(panel: Axes, x: str, y: str) -> None:
    panel.set(xlabel=x, ylabel=y)
    panel.grid(alpha=0.3)


def _limits(parts: Sequence[Tensor]) -> tuple[float, float]:
    """Limits of colours: from the median of the least to what one place in a thousand exceeds, at least a decade.

    What is but rounding does not count as the least.
    """
    high = max(float(part.quantile(0.999)) for part in parts)
    medians = [float(part.median()) for part in parts]
    low = min((middle for middle in medians if middle > 1e-12 * high), default=high)
    return max(min(low, high / 10.0), 1e-14) / 10.0, max(high, 1e-12)


def _image(values: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Rows of the first coordinate, columns of the second."""
    return values.reshape(SIDE, SIDE).numpy().T


if __name__ == "__main__":
    draw(figures, "Fields, errors and residuals of the arms of a field task.")
