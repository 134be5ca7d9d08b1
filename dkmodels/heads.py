"""Modules for the usual tasks: regression, classification, fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from constraints import Embedding, SpecificationError, Squares
from dkmodels.module import KnowledgeModule

__all__ = ["ClassificationModule", "FieldModule", "RegressionModule"]


@final
class FieldModule(KnowledgeModule):
    """A field that rules alone determine: equations, conditions, `Measurements`. The batch is the points, or begins so.

    Args:
        network: maps points `(batch, d)` to fields `(batch, n)`.
        rules: see `KnowledgeModule`.
        **options: see `KnowledgeModule`.

    Example:
        >>> import sympy
        >>> from constraints import Hard, Soft, declare
        >>> t = sympy.Symbol("t")
        >>> u = sympy.Function("u")(t)
        >>> told = {"fields": [u], "domain": {t: (0, 1)}}
        >>> decay = declare(sympy.Eq(u.diff(t), -u), **told)
        >>> start = declare(sympy.Eq(u.subs(t, 0), 1), **told)
        >>> module = FieldModule(nn.Linear(1, 1), {"decay": Soft(decay), "start": Hard(start)})
        >>> module(torch.zeros(1, 1)).item()
        1.0
    """

    def unpack(self, batch: Any) -> tuple[Tensor, Tensor]:
        """The points, which are no target."""
        points = batch[0] if isinstance(batch, (tuple, list)) else batch
        return points, points

    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        """None: 0."""
        return y.new_zeros(())

    def task_squares(self, x: Tensor, target: Tensor) -> list[Squares]:
        """None."""
        return []


@final
class RegressionModule(KnowledgeModule):
    """Regression by mean squared error; logs `rmse` and `mae`.

    Args:
        network: maps `x` to `y`, `(batch, n)`.
        rules: see `KnowledgeModule`.
        outputs: see `KnowledgeModule`.
        **options: see `KnowledgeModule`.

    Example:
        >>> import torch
        >>> module = RegressionModule(nn.Linear(2, 1))
        >>> float(module.task_loss(torch.zeros(4, 1), torch.ones(4, 1)))
        1.0
    """

    def __init__(
        self,
        network: nn.Module,
        rules: Mapping[str, Embedding] | None = None,
        *,
        outputs: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("metrics", {"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError()})
        super().__init__(network, rules, outputs=outputs, **options)

    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(y, target)

    def task_squares(self, x: Tensor, target: Tensor) -> list[Squares]:
        """The same, each input beside its target a row."""
        width = x.shape[-1]
        rows = torch.cat([x, target], dim=-1)
        return [Squares(lambda z: self(z[:, :width]) - z[:, width:], rows, 1.0 / target.numel())]


class _Accuracy(MulticlassAccuracy):
    """Share of right answers over all cells, whatever the batch shape."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds.flatten(), target.flatten())


@final
class ClassificationModule(KnowledgeModule):
    """Classification by cross entropy, of samples `(batch, classes)` or of cells `(batch, cells, classes)`.

    Logs `accuracy` (of each sample or cell).

    Args:
        network: maps `x` to logits.
        rules: see `KnowledgeModule`.
        classes: how many classes there are, >= 2.
        **options: see `KnowledgeModule`.

    Example:
        >>> import torch
        >>> module = ClassificationModule(nn.Linear(2, 3), classes=3)
        >>> module.answer(torch.tensor([[0.0, 2.0, 1.0]]))
        tensor([1])
    """

    def __init__(
        self, network: nn.Module, rules: Mapping[str, Embedding] | None = None, *, classes: int, **options: Any
    ) -> None:
        if classes < 2:
            raise SpecificationError(f"`ClassificationModule` needs classes >= 2, got {classes}")
        accuracy: dict[str, Metric | MetricCollection] = {"accuracy": _Accuracy(num_classes=classes, average="micro")}
        options.setdefault("metrics", MetricCollection(accuracy))
        super().__init__(network, rules, **options)
        self.classes = classes

    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Cross entropy over the last dimension."""
        return F.cross_entropy(y.flatten(0, -2), target.flatten().long())

    def answer(self, y: Tensor) -> Tensor:
        """The most probable class."""
        return y.argmax(dim=-1)
