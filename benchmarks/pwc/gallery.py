"""What every arm learnt: `python -m benchmarks.pwc.gallery results/pwc --out docs/pwc`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.fits import COLOURS, draw, trained
from benchmarks.pwc.problem import bounds, grid_points, samples, target
from benchmarks.strengths import answers
from dkmodels.study.store import Store

TITLES = {"none": "no rule", "soft": "Soft", "decode": "Decode", "hard": "Hard"}


def figures(results: Path) -> dict[str, Figure]:
    """The answers of four arms at every seed, with what is forbidden."""
    figure = Figure(figsize=(11, 3.3), layout="constrained")
    panels = figure.subplots(1, len(TITLES), sharey=True)
    x = grid_points()
    grid, seen = x.flatten().numpy(), samples()
    low, high = (bound.flatten().numpy() for bound in bounds(x))
    lowest, highest = -7.0, 8.5
    for panel, (arm, title) in zip(panels, TITLES.items(), strict=True):
        for floor, ceiling in ((np.full_like(low, lowest), low), (high, np.full_like(high, highest))):
            panel.fill_between(grid, floor, ceiling, where=np.isfinite(floor) & np.isfinite(ceiling), color="#D55E00",
                               alpha=0.15, linewidth=0)  # fmt: skip
        panel.plot(grid, target(x).flatten().numpy(), "--", color="black", linewidth=0.9)
        panel.plot(seen.flatten().numpy(), target(seen).flatten().numpy(), ".", color="black", markersize=3)
        for seed in Store(results).manifest()["seeds"]:
            _, modules = trained(results, [arm], seed)
            if arm in modules:
                y = answers(modules[arm], x).flatten().numpy()
                panel.plot(grid, y, color=COLOURS[arm], linewidth=1.0, alpha=0.7)
        panel.set(title=title, xlabel="x", xlim=(-2, 2), ylim=(lowest, highest))
    panels[0].set_ylabel("y")
    figure.suptitle("Every seed's answer; shaded: forbidden, dots: samples, dashes: the truth", fontsize=10)
    return {"curves.png": figure}


if __name__ == "__main__":
    draw(figures, "What every arm of the piecewise task learnt.")
