"""How the error fell while a field was trained, by epoch, by time and by evaluations of the loss."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, final

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from dkmodels.module import KnowledgeModule

__all__ = ["Trace"]


@final
class Trace(Callback):
    """Measures a trained module now and then.

    Args:
        error: of a module, a number.
        every: epochs between two measures; the first and the last are measured, too.

    Attributes:
        curves: `error`, `seconds` of training (its own time left out) and `evaluations` of the loss, by epoch.

    Example:
        >>> Trace(lambda module: 0.0).curves["error"]
        []
    """

    def __init__(self, error: Callable[[KnowledgeModule], float], every: int = 1) -> None:
        self.error, self.every = error, every
        self.curves: dict[str, list[list[float]]] = {"error": [], "seconds": [], "evaluations": []}
        self._begun, self._evaluations = 0.0, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._begun = time.perf_counter()

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Each evaluation of the loss and its gradient clears the gradient first."""
        self._evaluations += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, where it is time."""
        epoch, last = trainer.current_epoch + 1, trainer.max_epochs
        if epoch != 1 and epoch % self.every and epoch != last:
            return
        paused = time.perf_counter()
        assert isinstance(pl_module, KnowledgeModule)
        was = pl_module.training
        pl_module.eval()
        with torch.no_grad():
            error = self.error(pl_module)
        pl_module.train(was)
        for name, value in (
            ("error", error),
            ("seconds", paused - self._begun),
            ("evaluations", float(self._evaluations)),
        ):
            self.curves[name].append([epoch, value])
        self._begun += time.perf_counter() - paused
