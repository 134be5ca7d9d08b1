"""Ordered cones: coordinates that do not fall, or do not rise."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from constraints.errors import InfeasibleError, ShapeError
from constraints.functional import project_box, project_ordered_cone, squash_ordered_cone
from constraints.sets.constraint import ProjectableConstraint, as_buffer

__all__ = ["OrderedCone"]


@final
class OrderedCone(ProjectableConstraint):
    r"""The ordered cone :math:`\{y : y_1 \le y_2 \le \dots \le y_n\}`, with bounds on its ends if wanted.

    Projecting is isotonic regression, then clipping to the bounds, which is exact. The `context` is not used.

    Args:
        low: least value of any coordinate, or None.
        high: greatest value of any coordinate, or None.
        descending: whether the coordinates fall instead of rise.

    Raises:
        InfeasibleError: where `low > high`.

    Example:
        >>> OrderedCone().project(torch.tensor([1.0, 3.0, 2.0, 4.0]))
        tensor([1.0000, 2.5000, 2.5000, 4.0000])
        >>> OrderedCone(descending=True, high=2.0).project(torch.tensor([1.0, 5.0, -1.0]))
        tensor([ 2.,  2., -1.])
    """

    low: Tensor | None
    high: Tensor | None

    def __init__(
        self, *, low: float | Tensor | None = None, high: float | Tensor | None = None, descending: bool = False
    ) -> None:
        super().__init__()
        ends: dict[str, Tensor | None] = {}
        for name, end in (("low", low), ("high", high)):
            ends[name] = None if end is None else as_buffer("OrderedCone", name, end)
            shape = () if end is None else torch.as_tensor(end).shape
            if shape:
                raise ShapeError(f"`OrderedCone` needs one number as {name}, got shape {tuple(shape)}")
            self.register_buffer(name, ends[name], persistent=False)
        lower, upper = ends["low"], ends["high"]
        if lower is not None and upper is not None and lower > upper:
            raise InfeasibleError(f"`OrderedCone` needs low <= high, got low={float(lower)}, high={float(upper)}")
        self.descending = descending

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Steps in the wrong direction, then what lies beyond the bounds, `(*batch, m)`."""
        falls = value[..., :-1] - value[..., 1:]
        # A single coordinate is in order; written so that NaN stays NaN.
        parts = [value - value if value.shape[-1] == 1 else -falls if self.descending else falls]
        if self.low is not None:
            parts.append(self.low.to(value) - value)
        if self.high is not None:
            parts.append(value - self.high.to(value))
        return torch.cat(parts, dim=-1)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest ordered point within the bounds, `(*batch, n)`."""
        self._require_shape(value)
        ordered = -project_ordered_cone(-value) if self.descending else project_ordered_cone(value)
        low = value.new_tensor(-torch.inf) if self.low is None else self.low.to(value)
        high = value.new_tensor(torch.inf) if self.high is None else self.high.to(value)
        return project_box(ordered, low, high)

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Cumulated positive steps, `(*batch, n)`."""
        self._require_shape(value)
        low = None if self.low is None else self.low.to(value)
        high = None if self.high is None else self.high.to(value)
        if not self.descending:
            return squash_ordered_cone(value, low, high)
        return -squash_ordered_cone(-value, None if high is None else -high, None if low is None else -low)
