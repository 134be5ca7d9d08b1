"""How much, and how often, a rule is violated."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torchmetrics import Metric

__all__ = ["RuleViolation", "SatisfactionRate"]


@final
class RuleViolation(Metric):
    """Mean and maximum of a rule's violation over samples, in the rule's unit; synchronised across processes.

    Example:
        >>> metric = RuleViolation()
        >>> metric.update(torch.tensor([0.0, 1.0, 2.0]))
        >>> {key: float(value) for key, value in metric.compute().items()}
        {'mean': 1.0, 'max': 2.0}
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False
    total: Tensor
    worst: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("worst", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="max")
        self.add_state("samples", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, violation: Tensor) -> None:
        """Add samples.

        Args:
            violation: `(*batch,)`, >= 0; a NaN stays visible in both figures.
        """
        self.total += violation.detach().sum(dtype=torch.float64)
        if violation.numel():
            self.worst = torch.maximum(self.worst, violation.detach().max().to(self.worst))
        self.samples += violation.numel()

    def compute(self) -> dict[str, Tensor]:
        """`mean` and `max`, `()` each; NaN before any sample."""
        return {"mean": self.total / self.samples, "max": torch.where(self.samples > 0, self.worst, torch.nan)}


@final
class SatisfactionRate(Metric):
    """Share of samples whose violation is within tolerance; synchronised across processes.

    Example:
        >>> metric = SatisfactionRate()
        >>> metric.update(torch.tensor([0.0, 1e-9, 0.5, 2.0]), atol=1e-6)
        >>> float(metric.compute())
        0.5
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    satisfied: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("satisfied", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("samples", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, violation: Tensor, atol: float | Tensor = 0.0) -> None:
        """Add samples; NaN is never satisfied.

        Args:
            violation: `(*batch,)`, >= 0.
            atol: tolerance, in the rule's unit, `()` or `(*batch,)`.
        """
        self.satisfied += (violation <= atol).sum()
        self.samples += violation.numel()

    def compute(self) -> Tensor:
        """The share, `()`; NaN before any sample."""
        return self.satisfied / self.samples
