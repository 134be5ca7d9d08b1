"""The module of the task: mean squared error, and the weights of the best epoch are kept."""

from __future__ import annotations

import copy
import math
from typing import Any, final

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from dkmodels import KnowledgeModule

__all__ = ["FuelModule", "KeepBest"]


@final
class FuelModule(KnowledgeModule):
    """Mean squared error of the standardised mileage; ends with the weights that were best on the validation cars."""

    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Mean squared error, `()`."""
        return nn.functional.mse_loss(y, target)

    def configure_callbacks(self) -> list[Callback]:
        """Keep the best weights."""
        return [KeepBest("val/loss")]


@final
class KeepBest(Callback):
    """Puts back, when the fit ends, the network's weights of the epoch at which a logged value was least.

    The other parts of the module (multipliers) stay as they ended: they are not used after training.

    Args:
        monitor: the logged value.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self.least = math.inf
        self.kept: dict[str, Any] | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the weights where they are the best so far."""
        found = float(trainer.callback_metrics[self.monitor])
        if found < self.least:
            assert isinstance(pl_module, KnowledgeModule)
            self.least, self.kept = found, copy.deepcopy(pl_module.network.state_dict())

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put them back."""
        if self.kept is not None:
            assert isinstance(pl_module, KnowledgeModule)
            pl_module.network.load_state_dict(self.kept)
