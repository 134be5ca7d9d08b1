"""Fields, coarse and fine: `python -m benchmarks.downscaling.gallery results/downscaling --out docs/downscaling`."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from torch.nn.functional import avg_pool2d
from torch.utils.data import TensorDataset

from benchmarks.downscaling.task import SCALE, Downscaling
from benchmarks.fits import draw, trained
from benchmarks.strengths import answers

SHOWN = {"none": "no rule", "soft": "Soft", "additive": "additive", "multiplicative": "multiplicative",
         "softmax": "softmax"}  # fmt: skip


def figures(results: Path) -> dict[str, Figure]:
    """The test field with the strongest front, what arms make of it, and where their coarse means miss the input."""
    task, modules = trained(results, list(SHOWN), 0)
    assert isinstance(task, Downscaling)
    data = task.data(0)
    assert isinstance(data.test, TensorDataset)
    x, target = data.test.tensors
    index = int(target.flatten(1).std(dim=1).argmax())
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    panels = figure.subplots(2, 2 + len(modules))
    most, largest = SCALE * float(target[index].max()), 0.0
    shown = {arm: answers(module, x[index : index + 1])[0] for arm, module in modules.items()}
    gaps = {arm: SCALE * (avg_pool2d(y[None], task.factor)[0] - x[index]) for arm, y in shown.items()}
    largest = max(float(gap.abs().max()) for gap in gaps.values())
    images = {"input": x[index], "truth": target[index], **{SHOWN[arm]: y for arm, y in shown.items()}}
    for panel, (title, image) in zip(panels[0], images.items(), strict=True):
        first = panel.imshow(SCALE * image.numpy(), vmin=0.0, vmax=most, cmap="YlGnBu")
        panel.set_title(title, fontsize=10)
    for panel, gap in zip(panels[1, 2:], gaps.values(), strict=True):
        second = panel.imshow(gap.numpy(), vmin=-largest, vmax=largest, cmap="RdBu")
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
    for panel in panels[1, :2]:
        panel.axis("off")
    panels[1, 1].text(1.0, 0.5, "mean of each\ncoarse cell\nless the input", ha="right", va="center", fontsize=9,
                      transform=panels[1, 1].transAxes)  # fmt: skip
    figure.colorbar(first, ax=panels[0], label="kg/m^2", shrink=0.8)
    figure.colorbar(second, ax=panels[1], label="kg/m^2", shrink=0.8)
    return {f"{task.title()}.png": figure}


if __name__ == "__main__":
    draw(figures, "A field, and what every arm makes of it.")
