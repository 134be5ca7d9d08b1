"""Children and parents: `python -m benchmarks.hierarchy.gallery results/hierarchy --out docs/hierarchy`."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.utils.data import TensorDataset
from torchmetrics.functional.classification import binary_precision_recall_curve

from benchmarks.fits import COLOURS, draw, trained
from benchmarks.hierarchy.exhibits import ARMS
from benchmarks.hierarchy.task import HierarchyTask
from benchmarks.strengths import answers

SHOWN = ("none", "soft", "decode_lower", "mcloss")
GENES = 150
CURVES = {**COLOURS, "mcloss": "#D55E00"}


def figures(results: Path) -> dict[str, Figure]:
    """Of the first seed's test: the probability of each child beside its parent's, and precision against recall."""
    task, modules = trained(results, ["none", "soft", "decode", "decode_lower", "hard", "mcloss"], 0)
    assert isinstance(task, HierarchyTask)
    data = task.data(0)
    assert isinstance(data.test, TensorDataset)
    x, target = data.test.tensors
    children, parents = torch.tensor(task.hierarchy().order.edges).unbind(dim=1)
    rule = task.hierarchy()
    assert rule.index is not None
    children, parents = rule.index[children], rule.index[parents]
    scores = {arm: answers(module, x).sigmoid() for arm, module in modules.items()}
    figure = Figure(figsize=(12.5, 3.3), layout="constrained")
    panels = figure.subplots(1, len(SHOWN) + 1, width_ratios=[1] * len(SHOWN) + [1.25])
    for panel, arm in zip(panels, SHOWN, strict=False):
        if arm not in scores:
            continue
        child, parent = (scores[arm][:GENES, ends].flatten().numpy() for ends in (children, parents))
        wrong = child > parent + 1e-6
        panel.plot(parent[~wrong], child[~wrong], ".", markersize=1.5, color="#0072B2", alpha=0.5)
        panel.plot(parent[wrong], child[wrong], ".", markersize=2.5, color="#D55E00")
        panel.plot([0, 1], [0, 1], color="black", linewidth=0.8)
        panel.set(xlabel="probability of the parent", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        panel.set_title(f"{_short(arm)}\n{100 * wrong.mean():.2g} % above their parent", fontsize=9)
    panels[0].set_ylabel("probability of the child")
    curve = panels[-1]
    for arm, score in scores.items():
        precision, recall, _ = binary_precision_recall_curve(score.flatten(), target.flatten().long(), thresholds=200)
        shown = precision[:-1] > 0
        curve.plot(recall[:-1][shown], precision[:-1][shown], linewidth=1.1, color=CURVES.get(arm, "#56B4E9"),
                   linestyle="--" if arm == "decode_lower" else "-", label=_short(arm))  # fmt: skip
    curve.set(xlabel="recall, all labels pooled", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    curve.legend(fontsize=7, loc="lower left")
    return {"edges.png": figure}


def _short(arm: str) -> str:
    return {"mcloss": "Hard, max constraint loss", "hard": "Hard, plain loss"}.get(arm, ARMS[arm])


if __name__ == "__main__":
    draw(figures, "Children and parents under each arm.")
