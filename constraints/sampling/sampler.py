"""What a sampler is: where in a domain a rule is tested at the next step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from constraints.domains import Domain

__all__ = ["Probe", "Sampler"]

Probe = Callable[[Tensor], Tensor]
"""Finds residuals `(n,)`, >= 0, at points `(n, d)`, without gradients."""


class Sampler(nn.Module, ABC):
    """Chooses points of a domain; random numbers come from torch's global generator.

    A sampler that learns where residuals are large belongs to one rule and one domain; what it has learnt is in its
    state, so that a checkpoint resumes to the same points.

    Example:
        >>> import torch
        >>> from constraints.domains import Cuboid
        >>> from constraints.sampling import Uniform
        >>> Uniform().sample(Cuboid([0.0, 0.0], [1.0, 2.0]), 5, torch.zeros(())).shape
        torch.Size([5, 2])
    """

    @abstractmethod
    def sample(self, domain: Domain, count: int, like: Tensor) -> Tensor:
        """So many points of the domain.

        Args:
            domain: where.
            count: how many.
            like: gives dtype and device.

        Returns:
            `(count, d)`.
        """

    def learn(self, domain: Domain, points: Tensor, residual: Tensor, probe: Probe) -> None:
        """Take in, after a step of training, what the residuals were; by default nothing is learnt.

        Args:
            domain: where the points are from.
            points: those of the step, `(n, d)`.
            residual: at them, `(n,)`, >= 0.
            probe: finds residuals at other points.
        """
