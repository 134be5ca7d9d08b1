"""Logging which optimiser is at work."""

from __future__ import annotations

from typing import Any, final

from pytorch_lightning import Callback, LightningModule, Trainer

from dkmodels.optim.stages import Stages

__all__ = ["StageMonitor"]


@final
class StageMonitor(Callback):
    """Logs `train/stage`, from 0, and `train/learning_rate` of every step that a `Stages` takes.

    Example:
        >>> isinstance(StageMonitor(), Callback)
        True
    """

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Log them before the step, which may enter the next stage."""
        for optimizer in trainer.optimizers:
            if isinstance(optimizer, Stages):
                rate = float(optimizer.param_groups[0].get("lr", 0.0))
                pl_module.log_dict({"train/stage": float(optimizer.place), "train/learning_rate": rate})
