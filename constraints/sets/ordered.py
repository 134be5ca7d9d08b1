"""Ordered cones: coordinates that do not fall, or do not rise, by a least step if wanted."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from constraints.errors import InfeasibleError, ShapeError, SpecificationError
from constraints.functional import default_tolerance, project_box, project_ordered_cone, squash_ordered_cone
from constraints.sets.constraint import ProjectableConstraint, as_buffer

__all__ = ["OrderedCone"]


@final
class OrderedCone(ProjectableConstraint):
    r"""The ordered cone :math:`\{y : y_{i+1} - y_i \ge g\}`, with bounds on its ends if wanted.

    Projecting is isotonic regression of :math:`v_i - i g`, then clipping to the bounds, which is exact. The `context`
    is not used.

    Args:
        low: least value of any coordinate, or None.
        high: greatest value of any coordinate, or None.
        descending: whether the coordinates fall instead of rise.
        gap: `g >= 0`, the least step from one coordinate to the next.

    Raises:
        InfeasibleError: where `low > high`; when called, more coordinates than fit between them with the gap.

    Example:
        >>> OrderedCone().project(torch.tensor([1.0, 3.0, 2.0, 4.0]))
        tensor([1.0000, 2.5000, 2.5000, 4.0000])
        >>> OrderedCone(descending=True, high=2.0).project(torch.tensor([1.0, 5.0, -1.0]))
        tensor([ 2.,  2., -1.])
        >>> OrderedCone(gap=1.0).project(torch.tensor([0.0, 0.0, 5.0]))
        tensor([-0.5000,  0.5000,  5.0000])
    """

    low: Tensor | None
    high: Tensor | None
    gap: Tensor

    def __init__(
        self,
        *,
        low: float | Tensor | None = None,
        high: float | Tensor | None = None,
        descending: bool = False,
        gap: float | Tensor = 0.0,
    ) -> None:
        super().__init__()
        numbers: dict[str, Tensor | None] = {}
        for name, number in (("low", low), ("high", high), ("gap", gap)):
            numbers[name] = None if number is None else as_buffer("OrderedCone", name, number)
            shape = () if number is None else torch.as_tensor(number).shape
            if shape:
                raise ShapeError(f"`OrderedCone` needs one number as {name}, got shape {tuple(shape)}")
            self.register_buffer(name, numbers[name], persistent=False)
        lower, upper = numbers["low"], numbers["high"]
        if lower is not None and upper is not None and lower > upper:
            raise InfeasibleError(f"`OrderedCone` needs low <= high, got low={float(lower)}, high={float(upper)}")
        if self.gap < 0:
            raise SpecificationError(f"`OrderedCone` needs gap >= 0, got gap={float(self.gap)}")
        self.descending = descending
        self.spaced = bool(self.gap > 0)
        self.most = math.inf  # how many coordinates fit
        if lower is not None and upper is not None and self.spaced:
            self.most = float(((upper - lower) / self.gap * (1.0 + 1e-12)).floor()) + 1.0

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of the value and of the steps that are cumulated, `(*batch,)`."""
        self._require_shape(value)
        ends = [end.to(value).abs() for end in (self.low, self.high) if end is not None]
        size = torch.maximum(value.detach().abs(), self._steps(value))
        return default_tolerance(size + sum(ends, start=torch.zeros_like(self._steps(value))), terms=1)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Steps in the wrong direction, or too small, then what lies beyond the bounds, `(*batch, m)`."""
        falls = value[..., :-1] - value[..., 1:]
        # A single coordinate is in order; written so that NaN stays NaN.
        parts = [value - value if value.shape[-1] == 1 else (-falls if self.descending else falls) + self.gap.to(value)]
        if self.low is not None:
            parts.append(self.low.to(value) - value)
        if self.high is not None:
            parts.append(value - self.high.to(value))
        return torch.cat(parts, dim=-1)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest ordered point within the bounds, `(*batch, n)`."""
        self._require_shape(value)
        rising = -value if self.descending else value
        low, high, steps = self._low(value), self._high(value), self._steps(value)
        ordered = project_ordered_cone(rising - steps)
        # Among ordered points the first coordinate is the least and the last the greatest: these two are bounded.
        room = high if high is None else high - steps[..., -1:]
        within = project_box(ordered, _or(low, value, -math.inf), _or(room, value, math.inf)) + steps
        if self.spaced and high is not None:
            within = torch.minimum(within, high)  # the shift back may round beyond
        return -within if self.descending else within

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Cumulated positive steps, `(*batch, n)`."""
        self._require_shape(value)
        low, high, steps = self._low(value), self._high(value), self._steps(value)
        room = high if high is None else high - steps[..., -1]
        rising = squash_ordered_cone(-value if self.descending else value, low, room) + steps
        return -rising if self.descending else rising

    def _low(self, value: Tensor) -> Tensor | None:
        """Least first coordinate, of values turned so that they rise."""
        end = self.high if self.descending else self.low
        return None if end is None else -end.to(value) if self.descending else end.to(value)

    def _high(self, value: Tensor) -> Tensor | None:
        """Greatest last coordinate, of values turned so that they rise."""
        end = self.low if self.descending else self.high
        return None if end is None else -end.to(value) if self.descending else end.to(value)

    def _steps(self, value: Tensor) -> Tensor:
        """What the gaps add up to, `i g`, `(n,)`."""
        return torch.arange(value.shape[-1], dtype=value.dtype, device=value.device) * self.gap.to(value)

    def _require_shape(self, value: Tensor) -> None:
        super()._require_shape(value)
        if value.shape[-1] > self.most:
            raise InfeasibleError(
                f"`OrderedCone` needs at most {self.most:g} coordinates, so many fit between low and high with the gap "
                f"{float(self.gap):g}, got {value.shape[-1]}"
            )


def _or(end: Tensor | None, value: Tensor, missing: float) -> Tensor:
    return value.new_tensor(missing) if end is None else end
