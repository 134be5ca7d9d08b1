"""How much, and how often, a rule is violated."""

from __future__ import annotations

from typing import cast, final

import torch
from torch import Tensor, nn
from torchmetrics import Metric

__all__ = ["RuleMeters", "RuleViolation", "SatisfactionRate"]


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


@final
class RuleMeters(nn.Module):
    """Both metrics of each rule, by its name.

    Example:
        >>> meters = RuleMeters()
        >>> meters.add("shares")
        >>> meters.update("shares", torch.tensor([0.0, 2.0]), atol=1e-6)
        >>> {key: float(value) for key, value in meters.flush().items()}
        {'violation/shares/mean': 1.0, 'violation/shares/max': 2.0, 'satisfaction/shares': 0.5}
    """

    def __init__(self) -> None:
        super().__init__()
        self.violations = nn.ModuleDict()
        self.satisfactions = nn.ModuleDict()

    def add(self, name: str) -> None:
        """Measure a rule from now on."""
        self.violations[name] = RuleViolation()
        self.satisfactions[name] = SatisfactionRate()

    def update(self, name: str, violation: Tensor, atol: float | Tensor = 0.0) -> None:
        """Add samples of a rule.

        Args:
            name: one that was added.
            violation: `(*batch,)`, >= 0.
            atol: tolerance, in the rule's unit, `()` or `(*batch,)`.
        """
        cast(RuleViolation, self.violations[name]).update(violation)
        cast(SatisfactionRate, self.satisfactions[name]).update(violation, atol)

    def flush(self) -> dict[str, Tensor]:
        """Every figure, `()` each, and begin anew: `violation/<rule>/mean`, `.../max`, `satisfaction/<rule>`."""
        measured: dict[str, Tensor] = {}
        for name in self.violations:
            violation = cast(RuleViolation, self.violations[name])
            satisfaction = cast(SatisfactionRate, self.satisfactions[name])
            measured |= {f"violation/{name}/{kind}": value for kind, value in violation.compute().items()}
            measured[f"satisfaction/{name}"] = satisfaction.compute()
            violation.reset()
            satisfaction.reset()
        return measured
