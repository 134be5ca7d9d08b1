"""Multi-label classification, with the loss that knows of the map after it or without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from torch import Tensor, nn
from torch.nn import functional as F

from constraints import ConstrainedNetwork, Embedding, Hierarchy
from dkmodels import KnowledgeModule

__all__ = ["LabelModule"]


@final
class LabelModule(KnowledgeModule):
    """Many labels at once, by binary cross entropy of logits, or by the max constraint loss.

    Args:
        network: maps `x` to logits.
        rules: see `KnowledgeModule`.
        knows_map: whether to train by `Hierarchy.loss` on the logits before the Hard map, as C-HMCNN does.
        learning_rate: see `KnowledgeModule`.
    """

    def __init__(
        self, network: nn.Module, rules: Mapping[str, Embedding], *, knows_map: bool, learning_rate: float
    ) -> None:
        super().__init__(network, rules, metrics={}, learning_rate=learning_rate)
        self.knows_map = knows_map

    def forward(self, x: Tensor) -> Tensor:
        """Logits; in training those before the map, where the loss knows of it."""
        if self.training and self.knows_map and isinstance(self.network, ConstrainedNetwork):
            free: Tensor = self.network.network(x)
            return free
        return super().forward(x)

    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        """The mean over labels."""
        rules = [e.rule for e in self.embeddings().values() if isinstance(e.rule, Hierarchy)]
        if self.knows_map:
            return rules[0].loss(y, target).mean()
        return F.binary_cross_entropy_with_logits(y, target)
