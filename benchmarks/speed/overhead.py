"""What a KnowledgeModule costs a training step, beside the same plain LightningModule.

    python -m benchmarks.speed.overhead

All variants train in turn in one process, round after round; a step's time is that of an epoch without start-up, and
the figure is the median over rounds of the ratio to the plain module of the same round.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from constraints import Bounds, FixedSum, Hard, Monitor, Rule, Soft
from dkmodels import KnowledgeModule, RuleMonitor

LIMITS = {"no rules": 1.05, "Monitor": 1.15, "Monitor and RuleMonitor": 1.15}
INPUTS, OUTPUTS, STEPS, BATCH = 64, 8, 100, 256


def network(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(INPUTS, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, OUTPUTS)
    )


class Plain(LightningModule):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.network = net

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.network(x)
        return y

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, target = batch
        loss = nn.functional.mse_loss(self(x), target)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(x))
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Knowing(KnowledgeModule):
    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        return nn.functional.mse_loss(y, target)


class Watch(Callback):
    """Times the epochs, without what comes before and after them."""

    seconds = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds = time.perf_counter() - self._start


def step_seconds(make: Callable[[], LightningModule], loader: Any, callbacks: list[Callback]) -> float:
    watch = Watch()
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch, *callbacks],
    )
    trainer.fit(make(), loader)
    return watch.seconds / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--width", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    x = torch.rand(STEPS * BATCH, INPUTS)
    y = torch.softmax(torch.rand(STEPS * BATCH, OUTPUTS), dim=-1)
    loader = DataLoader(
        TensorDataset(x, y), batch_size=None, sampler=[slice(i, i + BATCH) for i in range(0, len(x), BATCH)]
    )
    two: dict[str, Callable[[], Rule]] = {"sum": FixedSum, "bounds": lambda: Bounds(low=0.0, high=1.0)}
    variants: dict[str, tuple[Callable[[], LightningModule], Callable[[], list[Callback]]]] = {
        "plain": (lambda: Plain(network(options.width)), list),
        "no rules": (lambda: Knowing(network(options.width)), list),
        "Monitor": (lambda: Knowing(network(options.width), {k: Monitor(r()) for k, r in two.items()}), list),
        "Monitor and RuleMonitor": (
            lambda: Knowing(network(options.width), {k: Monitor(r()) for k, r in two.items()}),
            lambda: [RuleMonitor(every_n_steps=50)],
        ),
        "Soft": (lambda: Knowing(network(options.width), {k: Soft(r()) for k, r in two.items()}), list),
        "Hard": (lambda: Knowing(network(options.width), {"sum": Hard(FixedSum())}), list),
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for turn in range(options.rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            make, callbacks = variants[name]
            spent = step_seconds(make, loader, callbacks())
            if turn:  # the first round warms up
                seconds[name].append(spent)
    print(f"width {options.width}, batch {BATCH}, {options.rounds} rounds of {STEPS} steps, one thread")
    print("| variant | step against plain, median | limit |\n| --- | --- | --- |")
    for name, times in seconds.items():
        ratio = median(a / b for a, b in zip(times, seconds["plain"], strict=True))
        print(f"| {name} | {ratio:.3f} | {LIMITS.get(name, '')} |")


if __name__ == "__main__":
    main()
