"""Numbers of a rule that nobody knows: they are learnt with the network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import SpecificationError

__all__ = ["Learnable"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Learnable:
    r"""A parameter of a declared rule that is trained, inside declared bounds.

    Between two bounds it is :math:`l + \tfrac{h - l}{2} (1 + r / \sqrt{1 + r^2})` of an unbounded parameter `r`: a long
    step, of a line search say, that takes it beside a bound leaves a slope that leads back, where a sigmoid's would be
    0 for good. From one bound it is the softplus of `r`: near the bound, a step is one of its logarithm.

    Attributes:
        initial: where it begins, strictly inside the bounds.
        low: lower bound, which is approached and never reached; `-inf` where there is none.
        high: upper bound, likewise.

    Raises:
        SpecificationError: an initial value that is not strictly inside, or not finite.

    Example:
        >>> loss = Learnable(initial=0.1, low=0.0, high=1.0)
        >>> loss.value(loss.start())
        tensor(0.1000, grad_fn=<AddBackward0>)
    """

    initial: float
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not (self.low < self.initial < self.high and math.isfinite(self.initial)):
            raise SpecificationError(
                f"`Learnable` needs low < initial < high, got low={self.low}, initial={self.initial}, high={self.high}"
            )

    def start(self) -> nn.Parameter:
        """The unbounded parameter whose `value` is the initial one, `()`."""
        x, low, high = self.initial, self.low, self.high
        if math.isfinite(low) and math.isfinite(high):
            raw = (x - low - (high - x)) / (2.0 * math.sqrt((x - low) * (high - x)))
        elif math.isfinite(low):
            raw = _inverse_softplus(x - low)
        elif math.isfinite(high):
            raw = -_inverse_softplus(high - x)
        else:
            raw = x
        return nn.Parameter(torch.tensor(raw))

    def value(self, raw: Tensor) -> Tensor:
        """From the unbounded parameter to the bounded value, smooth and rising."""
        if math.isfinite(self.low) and math.isfinite(self.high):
            return self.low + (self.high - self.low) * _share(raw)
        if math.isfinite(self.low):
            return self.low + nn.functional.softplus(raw)
        if math.isfinite(self.high):
            return self.high - nn.functional.softplus(-raw)
        return raw


def _inverse_softplus(y: float) -> float:
    return y if y > 30.0 else math.log(math.expm1(y))


def _share(raw: Tensor) -> Tensor:
    """`(1 + r / sqrt(1 + r^2)) / 2` without the loss of digits where it is small."""
    size = torch.sqrt(1.0 + raw.square())
    below, above = raw.clamp(max=0.0), raw.clamp(min=0.0)  # what is not taken has a finite slope, too
    return torch.where(raw < 0.0, 0.5 / (size * (size - below)), 1.0 - 0.5 / (size * (size + above)))
