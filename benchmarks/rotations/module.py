"""Classification of digits, with training images turned at random where an arm asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from constraints import Embedding, FiniteGroup, Invariance, UnsupportedError
from constraints.networks.actions import Chosen
from dkmodels import KnowledgeModule

__all__ = ["Augmentation", "DigitModule"]


@final
class Augmentation(Embedding):
    """What people do instead: each training image is moved by a random element of the group, the label stays.

    Args:
        rule: an invariance under a finite group.

    Raises:
        UnsupportedError: another rule.

    Example:
        >>> from constraints import quarter_turns
        >>> x = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> sorted(Augmentation(Invariance(quarter_turns())).move(x).flatten().tolist()) == x.flatten().tolist()
        True
    """

    trains = True

    def __init__(self, rule: Invariance) -> None:
        super().__init__(rule)
        if not isinstance(rule, Invariance) or not isinstance(rule.representation.group, FiniteGroup):
            raise UnsupportedError(f"`Augmentation` needs an Invariance under a finite group, got {rule.name}")

    def move(self, x: Tensor) -> Tensor:
        """Each sample by an element of its own, the identity among them."""
        assert isinstance(self.rule, Invariance)
        group = self.rule.representation.group
        assert isinstance(group, FiniteGroup)
        index = torch.randint(len(group), x.shape[:1], device=x.device)
        moved: Tensor = Chosen(list(group.actions), index)(x)
        return moved


@final
class DigitModule(KnowledgeModule):
    """Cross entropy; training images are moved by the arm's `Augmentation`, where it has one.

    Args:
        network: `(batch, 1, 8, 8)` to logits.
        rules: see `KnowledgeModule`.
        learning_rate: see `KnowledgeModule`.
    """

    def __init__(self, network: nn.Module, rules: Mapping[str, Embedding], *, learning_rate: float) -> None:
        super().__init__(network, rules, metrics={}, learning_rate=learning_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        if self.training:
            for embedding in self.embeddings().values():
                x = embedding.move(x) if isinstance(embedding, Augmentation) else x
        return super().forward(x)

    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Cross entropy."""
        return F.cross_entropy(y, target)
