"""How mileage goes with weight and power: `python -m benchmarks.cars.gallery results/cars-20 --out docs/cars-20`."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure

from benchmarks.cars.problem import FEATURES, STEPS, Split, sweeps
from benchmarks.cars.task import Cars
from benchmarks.fits import COLOURS, draw, trained
from benchmarks.strengths import answers

SHOWN = {
    "none": ("no rule", COLOURS["none"]),
    "soft": ("Soft", COLOURS["soft"]),
    "wrap": ("Hard, wrapped", "#0072B2"),
    "shaped": ("Hard, ShapedNetwork", COLOURS["hard"]),
}
INPUTS = {"weight": "weight", "horsepower": "power"}
CURVES = 40


def figures(results: Path) -> dict[str, Figure]:
    """Of the first seed: a curve for each of forty test cars, and their mean; parts that go the wrong way are red."""
    task, modules = trained(results, list(SHOWN), 0)
    assert isinstance(task, Cars)
    cars = task.data(0).extra
    assert isinstance(cars, Split)
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    panels = figure.subplots(len(INPUTS), len(modules), sharex="row", sharey=True, squeeze=False)
    for row, (feature, title) in zip(panels, INPUTS.items(), strict=True):
        grid = sweeps(cars, feature)
        along = grid[0, :, FEATURES.index(feature)].numpy()
        for panel, (arm, module) in zip(row, modules.items(), strict=True):
            curves = cars.scale * answers(module, grid.flatten(0, 1)).reshape(-1, STEPS) + cars.centre
            rising = curves.diff(dim=1) > 1e-3
            wrong = torch.full_like(curves, torch.nan)
            wrong[:, 1:] = torch.where(rising, curves[:, 1:], wrong[:, 1:])
            wrong[:, :-1] = torch.where(rising, curves[:, :-1], wrong[:, :-1])
            panel.plot(along, curves[:CURVES].T.numpy(), color=SHOWN[arm][1], linewidth=0.6, alpha=0.5)
            panel.plot(along, wrong[:CURVES].T.numpy(), color="#D55E00", linewidth=1.1)
            panel.plot(along, curves.mean(dim=0).numpy(), color="black", linewidth=1.6)
            panel.set(xlabel=f"{title}, standard deviations", ylim=(0, 50))
        row[0].set_ylabel("miles to the gallon")
    for panel, arm in zip(panels[0], modules, strict=True):
        panel.set_title(SHOWN[arm][0])
    figure.suptitle(
        f"{len(cars.train[0])} training cars: a curve is a test car of which one input is moved, black their mean; "
        f"red: more of it takes the car further",
        fontsize=10,
    )
    return {f"{task.title()}.png": figure}


if __name__ == "__main__":
    draw(figures, "How mileage goes with weight and power under each arm.")
