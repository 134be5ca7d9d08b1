"""Watching rules while a model trains."""

from __future__ import annotations

from typing import Any, final

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from constraints import SpecificationError
from dkmodels.module import KnowledgeModule

__all__ = ["RuleMonitor"]


@final
class RuleMonitor(Callback):
    """Measures every rule on training batches, now and then, and keeps the history.

    Logs `train/violation/<rule>` (mean over the batch) to whatever logger there is.

    Args:
        every_n_steps: how often; a measure costs one more forward pass.

    Attributes:
        history: one dict a measure: `step` and each rule's mean violation.

    Example:
        >>> RuleMonitor(every_n_steps=10).history
        []
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        if every_n_steps < 1:
            raise SpecificationError(f"`RuleMonitor` needs every_n_steps >= 1, got {every_n_steps}")
        self.every_n_steps = every_n_steps
        self.history: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure, where it is time."""
        if not isinstance(pl_module, KnowledgeModule) or (trainer.global_step - 1) % self.every_n_steps:
            return
        x, _ = pl_module.unpack(batch)
        was_training = pl_module.training
        pl_module.eval()  # no dropout, and no running statistics moved by a measurement
        with torch.no_grad():
            measured = pl_module.measure(x, pl_module(x))
        pl_module.train(was_training)
        means = {name: float(violation.mean()) for name, violation in measured.items()}
        self.history.append({"step": float(trainer.global_step), **means})
        pl_module.log_dict({f"train/violation/{name}": value for name, value in means.items()}, batch_size=len(x))

    def state_dict(self) -> dict[str, Any]:
        """The history."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the history of a checkpoint."""
        self.history = list(state_dict["history"])
