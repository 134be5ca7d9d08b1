"""How full the lines are: `python -m benchmarks.dispatch.gallery results/dispatch --out docs/dispatch`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch.utils.data import TensorDataset

from benchmarks.dispatch.case14 import BRANCHES, LIMITS, MVA
from benchmarks.dispatch.market import flows
from benchmarks.dispatch.task import Dispatch
from benchmarks.fits import draw, trained
from benchmarks.strengths import answers

SHOWN = {
    "none": ("no rule", "#7F7F7F"),
    "all but line_limits": ("Hard: all but line limits", "#D55E00"),
    "all": ("Hard: all three", "#009E73"),
}


def figures(results: Path) -> dict[str, Figure]:
    """Of the first seed's test: flow in each line as a share of its limit, and the imbalance."""
    task, modules = trained(results, list(SHOWN), 0)
    assert isinstance(task, Dispatch)
    data = task.data(0)
    assert isinstance(data.test, TensorDataset)
    x = data.test.tensors[0]
    demand = x.double().numpy()
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[4, 1])
    rng = np.random.default_rng(0)
    for place, (arm, module) in enumerate(modules.items()):
        title, colour = SHOWN[arm]
        dispatch = answers(module, x).double().numpy()
        share = 100 * np.abs(flows(dispatch, demand)) / LIMITS
        offset = (place - 1) * 0.27 + rng.uniform(-0.1, 0.1, size=share.shape)
        left.plot((np.arange(len(LIMITS)) + offset).ravel(), share.ravel(), ".", markersize=1.5, color=colour,
                  alpha=0.4, label=title)  # fmt: skip
        imbalance = MVA * (dispatch.sum(axis=1) - demand.sum(axis=1))
        right.plot(place + rng.uniform(-0.2, 0.2, size=len(imbalance)), imbalance, ".", markersize=2, color=colour)
    left.axhline(100.0, color="black", linewidth=0.9)
    left.set_xticks(range(len(LIMITS)), [f"{a}-{b}" for a, b, *_ in BRANCHES], rotation=60, fontsize=8)
    left.set(ylabel="flow, % of the line's limit", xlabel="line")
    for mark in left.legend(fontsize=8, loc="upper right").legend_handles:
        mark.set(markersize=8, alpha=1.0)
    right.axhline(0.0, color="black", linewidth=0.9)
    right.set_xticks(range(len(modules)), [SHOWN[arm][0].replace(": ", ":\n") for arm in modules], fontsize=7)
    right.set_ylabel("generation less demand, MW")
    return {"loading.png": figure}


if __name__ == "__main__":
    draw(figures, "How full the lines are under each arm.")
