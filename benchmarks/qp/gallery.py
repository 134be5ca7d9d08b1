"""Objective against violation: `python -m benchmarks.qp.gallery results/qp --out docs/qp`."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.utils.data import TensorDataset

from benchmarks.fits import COLOURS, draw, trained
from benchmarks.qp.task import ALLOWED, Qp
from benchmarks.strengths import answers

ROUNDING = 1e-15


def figures(results: Path) -> dict[str, Figure]:
    """A dot an instance of the first seed: its worst violation, and how far its objective is from the optimum."""
    task, modules = trained(results, list(COLOURS), 0)
    assert isinstance(task, Qp)
    data = task.data(0)
    assert isinstance(data.test, TensorDataset)
    x, optima = data.test.tensors
    figure = Figure(figsize=(7.6, 3.8), layout="constrained")
    axes = figure.subplots()
    for arm, module in modules.items():
        y = answers(module, x)
        gap = task.problem.objective(y) - optima
        gaps = torch.cat([task.problem.equality_gap(y, x), task.problem.inequality_gap(y)], dim=-1)
        worst = gaps.amax(dim=-1).clamp(min=ROUNDING)
        axes.plot(worst.numpy(), gap.numpy(), ".", markersize=3, color=COLOURS[arm], label=arm)
    axes.axvspan(ROUNDING / 3, ALLOWED, color="#009E73", alpha=0.07, linewidth=0)
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set(xlabel="worst violation of an instance (shaded: feasible)", ylabel="objective less optimum")
    axes.set_xlim(left=ROUNDING / 3)
    figure.legend(markerscale=4, fontsize=8, loc="outside right upper")
    return {f"{task.title()}.png": figure}


if __name__ == "__main__":
    draw(figures, "Objective against violation of every arm.")
