"""Boxes: a lower and an upper bound for each coordinate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.errors import InfeasibleError
from constraints.functional import default_tolerance, gauge_box, project_box, squash_box
from constraints.sets.constraint import ProjectableConstraint, as_buffer

__all__ = ["Box"]


@final
class Box(ProjectableConstraint):
    r"""The box :math:`\{y : l \le y \le u\}`; a scalar bound holds for every coordinate.

    Args:
        low: lower bounds, a number or `(n,)`; `-inf` where there is none.
        high: upper bounds, a number or `(n,)`; `inf` where there is none.

    Raises:
        InfeasibleError: where `low > high` somewhere.

    Example:
        >>> box = Box(low=0.0, high=1.0)
        >>> box.project(torch.tensor([-1.0, 0.5, 2.0]))
        tensor([0.0000, 0.5000, 1.0000])
        >>> box.violation(torch.tensor([-1.0, 0.5, 2.5]))
        tensor(1.5000)
    """

    low: Tensor
    high: Tensor

    def __init__(
        self, *, low: float | Sequence[float] | Tensor = -math.inf, high: float | Sequence[float] | Tensor = math.inf
    ) -> None:
        super().__init__()
        lower, upper = torch.broadcast_tensors(
            as_buffer("Box", "low", low, finite=False), as_buffer("Box", "high", high, finite=False)
        )
        impossible = (lower > upper) | (lower == math.inf) | (upper == -math.inf)
        if impossible.any():
            raise InfeasibleError(f"`Box` needs low <= high, got low={lower.tolist()}, high={upper.tolist()}")
        self.size = None if lower.dim() == 0 else lower.shape[-1]
        self.register_buffer("low", lower.clone(), persistent=False)
        self.register_buffer("high", upper.clone(), persistent=False)

    def tolerances(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of each number and of the bounds near it, `(*batch, n)`."""
        self._require_shape(value)
        low, high = self.low.to(value), self.high.to(value)
        nearer = torch.where(value > high, high, torch.where(value < low, low, 0.0))
        return default_tolerance((value.detach().abs() + nearer.abs())[..., None])

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Signed distance beyond the nearer bound, `(*batch, n)`; `context` is not used."""
        return torch.maximum(self.low.to(value) - value, value - self.high.to(value))

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Clip, `(*batch, n)`; `context` is not used."""
        self._require_shape(value)
        return project_box(value, self.low.to(value), self.high.to(value))

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Sigmoid between two bounds, softplus beside one, the value itself beside none; `context` is not used."""
        self._require_shape(value)
        return squash_box(value, self.low.to(value), self.high.to(value))

    def gauge(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Where the ray from an interior point leaves, `(*batch,)`."""
        return gauge_box(origin, direction, self.low.to(direction), self.high.to(direction))
