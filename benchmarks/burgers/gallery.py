"""Fields, errors and residuals: `python -m benchmarks.burgers.gallery results/burgers --out docs/burgers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from benchmarks.burgers.exhibits import ARMS
from benchmarks.burgers.problem import equation, grid, solution
from benchmarks.burgers.task import Burgers
from benchmarks.fits import draw, trained
from benchmarks.strengths import answers
from dkmodels.study.store import Store

COLOURS = {
    "none": "#7F7F7F",
    "odd": "#CC79A7",
    "equation": "#56B4E9",
    "soft": "#E69F00",
    "hard": "#009E73",
    "hard + odd": "#0072B2",
}
SHOWN = ("none", "equation", "soft", "hard", "hard + odd")
SHORT = {
    "none": "sensors alone",
    "equation": "+ equation Soft",
    "soft": "+ conditions Soft",
    "hard": "or conditions Hard",
    "hard + odd": "+ odd",
}
PLACED: dict[str, Any] = {"extent": (0.0, 1.0, -1.0, 1.0), "origin": "lower", "aspect": "auto"}
COLUMNS, ROWS, SEED = 401, 201, 0


def figures(results: Path) -> dict[str, Figure]:
    """Field, error and residual of five arms at one seed; the shock's profile and the error over time at every seed."""
    return {"fields.png": _fields(results), "profiles.png": _profiles(results)}


def _fields(results: Path) -> Figure:
    task, modules = trained(results, SHOWN, SEED)
    assert isinstance(task, Burgers)
    data, x = task.data(SEED), grid(COLUMNS, ROWS)
    truth = solution(x)
    figure = Figure(figsize=(13.5, 6.6), layout="constrained")
    panels = figure.subplots(3, len(SHOWN), sharex=True, sharey=True)
    for column, arm in enumerate(SHOWN):
        if arm not in modules:
            continue
        y = answers(modules[arm], x, batch_size=8192)
        residual = equation().evaluate(modules[arm], x, y).detach()
        shown = [panels[0, column].imshow(_image(y), cmap="RdBu_r", vmin=-1, vmax=1, **PLACED)]
        for row, (values, low, high) in enumerate([(y - truth, 1e-4, 1.0), (residual, 1e-3, 10.0)], start=1):
            sizes = np.clip(np.abs(_image(values)), low, None)
            shown.append(panels[row, column].imshow(sizes, cmap="viridis", norm=LogNorm(low, high), **PLACED))
        error = float((y - truth).norm() / truth.norm())
        panels[0, column].set_title(f"{SHORT[arm]}\nrelative L2 {error:.2g}", fontsize=10)
        panels[2, column].set(xlabel="t", xticks=[0.0, 0.5, 1.0])
        if column == len(SHOWN) - 1:
            for row, (image, title) in enumerate(zip(shown, ("u", "error", "residual"), strict=True)):
                figure.colorbar(image, ax=panels[row, :], label=title, shrink=0.9)
    sensors = data.extra.numpy()
    panels[0, 0].plot(sensors[:, 1], sensors[:, 0], ".", color="black", markersize=2.5)
    for row in range(3):
        panels[row, 0].set_ylabel("x")
    figure.suptitle(f"Seed {SEED}; dots: the sensors, the same for every arm", fontsize=10)
    return figure


def _profiles(results: Path) -> Figure:
    seeds = Store(results).manifest()["seeds"]
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    times = torch.linspace(0.0, 1.0, ROWS, dtype=torch.float64)
    narrow = torch.linspace(-0.12, 0.12, 241, dtype=torch.float64)
    slice_ = torch.stack([narrow, torch.full_like(narrow, 0.75)], dim=1)
    x = grid(COLUMNS, ROWS)
    truth = solution(x).reshape(ROWS, COLUMNS)
    left.plot(narrow, solution(slice_).flatten(), "--", color="black", linewidth=1.2, label="truth", zorder=5)
    for seed in seeds:
        _, modules = trained(results, list(ARMS), seed)
        for arm, module in modules.items():
            label = ARMS[arm] if seed == seeds[0] else None
            left.plot(narrow, answers(module, slice_).flatten(), color=COLOURS[arm], linewidth=0.9, alpha=0.7)
            y = answers(module, x, batch_size=8192).reshape(ROWS, COLUMNS)
            error = (y - truth).norm(dim=1) / truth.norm(dim=1)
            right.semilogy(times, error, color=COLOURS[arm], linewidth=0.9, alpha=0.7, label=label)
    left.set(xlabel="x", ylabel="u", title="the shock at t = 0.75", ylim=(-1.1, 1.1))
    right.set(xlabel="t", title="relative L2 error at each time", ylim=(1e-4, 2.0))
    right.grid(axis="y", alpha=0.3)
    right.legend(fontsize=7, loc="lower right")
    figure.suptitle(f"{len(seeds)} seeds", fontsize=10)
    return figure


def _image(values: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Rows of `x`, columns of `t`."""
    return values.reshape(ROWS, COLUMNS).numpy().T


if __name__ == "__main__":
    draw(figures, "Fields, errors and residuals of the arms of the Burgers task.")
