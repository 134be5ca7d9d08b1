"""What an iterative projection says of each sample: is the point inside, and is it the nearest?"""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Tensor

__all__ = ["Certificate", "certified_tolerance"]


@final
class Certificate(NamedTuple):
    """What is known of each projected sample, `(*batch,)` each.

    Attributes:
        violation: relative to the size of the terms of the violated row, `|a| |y| + |b|`, which shrinks with the set.
            What rounding in float64 does to a projected value of size `|v|` is added: a point cannot be nearer.
        tolerance: up to which violation the point counts as inside, from the dtype.
        optimal: whether the conditions of the nearest point hold (multipliers of the right sign).
        empty: whether it is proved that the sample's set has no point.

    Example:
        >>> yes = torch.tensor([True, True])
        >>> Certificate(torch.tensor([0.0, 1e-3]), 1e-6, yes, ~yes).feasible
        tensor([ True, False])
    """

    violation: Tensor
    tolerance: float
    optimal: Tensor
    empty: Tensor

    @property
    def feasible(self) -> Tensor:
        """Whether the point is inside, `(*batch,)`; NaN is not."""
        return self.violation <= self.tolerance

    @property
    def holds(self) -> Tensor:
        """Whether the point is inside and the nearest, `(*batch,)`."""
        return self.feasible & self.optimal


def certified_tolerance(dtype: torch.dtype) -> float:
    """Relative violation up to which a point counts as inside: 1e-10 in float64, 8 eps (1e-6) in float32.

    Example:
        >>> certified_tolerance(torch.float64)
        1e-10
    """
    return max(1e-10, 8.0 * torch.finfo(dtype).eps)
