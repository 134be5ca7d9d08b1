"""Weights that ascend the loss that the model descends."""

from __future__ import annotations

from typing import final

from torch import Tensor

from constraints.embeddings.emphasis import Emphasis
from constraints.errors import SpecificationError

__all__ = ["SelfAdaptive"]


@final
class SelfAdaptive(Emphasis):
    r"""A saddle point: the model descends the loss, a multiplier of each point ascends it.

    .. math:: w_i = \lambda_i^q, \qquad \lambda_i \leftarrow \lambda_i + \eta\, q \lambda_i^{q-1} \varphi_i

    with :math:`\varphi_i` the point's loss, of which the mean is the rule's: the source's gradient ascent, its step
    times the number of points. The ascent is no matter of the optimiser, which sees fixed weights in each step, and so
    may search lines; the weights ascend first, then the model descends with the new ones. Weights only grow, as those
    of a penalty method do; where residuals do not vanish they grow without bound.

    Args:
        rate: :math:`\eta > 0`, per unit of the loss.
        power: :math:`q > 0`.
        start: see `Emphasis`; > 0 unless `power` is 1, else the ascent never leaves 0.

    Raises:
        SpecificationError: numbers out of range.

    Source: McClenny and Braga-Neto, "Self-adaptive physics-informed neural networks", Journal of Computational Physics
    474, 2023, doi:10.1016/j.jcp.2022.111722, arXiv:2009.04544.

    Example:
        >>> import torch
        >>> adaptive, loss = SelfAdaptive(rate=0.1, power=2.0), torch.tensor([0.0, 5.0])
        >>> adaptive.weigh(loss, loss.sqrt(), torch.zeros(2, 1))  # squares of 1 and 1 + 0.1 * 2 * 5
        tensor([1., 4.])
    """

    def __init__(self, *, rate: float = 0.01, power: float = 1.0, start: float = 1.0) -> None:
        super().__init__(start)
        if not (0.0 < rate < float("inf") and 0.0 < power < float("inf")):
            raise SpecificationError(f"`SelfAdaptive` needs a finite rate and power > 0, got {rate} and {power}")
        if power != 1.0 and start == 0.0:
            raise SpecificationError(f"`SelfAdaptive` needs start > 0 where power is not 1, got start={start}")
        self.rate, self.power = float(rate), float(power)

    def move(self, multiplier: Tensor, loss: Tensor, size: Tensor, points: Tensor) -> Tensor:
        """See the class."""
        return multiplier + self.rate * self.power * multiplier ** (self.power - 1.0) * loss

    def mask(self, multiplier: Tensor) -> Tensor:
        """The power."""
        return multiplier**self.power

    def extra_repr(self) -> str:
        """The numbers."""
        return f"rate={self.rate}, power={self.power}, start={self.start}"
