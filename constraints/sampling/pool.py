"""Samplers that keep their points from step to step, and change them where residuals say so."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from constraints.domains import Domain
from constraints.errors import NonFiniteError, ShapeError, SpecificationError
from constraints.sampling.sampler import Probe, Sampler
from constraints.sampling.unit_cube import Uniform
from constraints.sampling.weighted import pick

__all__ = ["Pool", "ResidualAdaptive", "RetainResample"]


class Pool(Sampler, ABC):
    """Points that stay the same until enough was learnt, in a buffer that is saved.

    A pool belongs to one count and one domain: another count, or another number of coordinates, makes a new one of
    uniform points, and so forgets. Another domain of as many coordinates is not noticed: give each its own sampler.

    Attributes:
        points: `(count, d)`; none before the first step.
        steps: how many steps it has learnt from.
    """

    points: Tensor
    steps: Tensor

    def __init__(self, every: int) -> None:
        super().__init__()
        if every < 1:
            raise SpecificationError(f"`{type(self).__name__}` needs every >= 1, got {every}")
        self.every = every
        self.register_buffer("points", torch.empty(0, 0))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def sample(self, domain: Domain, count: int, like: Tensor) -> Tensor:
        """See `Sampler`; the pool itself is not given away, so that it changes only by learning."""
        if self.points.shape != (count, domain.dimension):
            self.points = Uniform().sample(domain, count, like)
            self.steps.zero_()
        return self.points.to(like, copy=True)

    @torch.no_grad()
    def learn(self, domain: Domain, points: Tensor, residual: Tensor, probe: Probe) -> None:
        """See `Sampler`; every so many steps the points change.

        Raises:
            ShapeError: other points than those of the pool, or residuals of another number.
            NonFiniteError: a residual that is not finite.
        """
        if points.shape != self.points.shape or residual.shape != points.shape[:1]:
            raise ShapeError(
                f"`{type(self).__name__}` learns from its own points {tuple(self.points.shape)} and residuals (n,), "
                f"got points {tuple(points.shape)} and residuals {tuple(residual.shape)}"
            )
        self.steps += 1
        if int(self.steps) % self.every == 0:
            self.points.copy_(self.renew(domain, residual.detach(), probe))

    @abstractmethod
    def renew(self, domain: Domain, residual: Tensor, probe: Probe) -> Tensor:
        """The new points, `(count, d)`."""

    def _require_residuals(self, residual: Tensor, count: int) -> Tensor:
        if residual.shape != (count,):
            raise ShapeError(
                f"`{type(self).__name__}` needs residuals ({count},) of {count} points, got {tuple(residual.shape)}"
            )
        if not bool(residual.isfinite().all()):
            raise NonFiniteError(
                f"`{type(self).__name__}` needs finite residuals, got {residual[~residual.isfinite()][0]}"
            )
        if bool((residual < 0.0).any()):
            raise SpecificationError(f"`{type(self).__name__}` needs residuals >= 0, got {float(residual.min())}")
        return residual

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        # How many points there are is only known at the first step: take it from the checkpoint.
        saved = state_dict.get(prefix + "points")
        if saved is not None:
            self.points = torch.empty_like(saved, device=self.points.device)
        super()._load_from_state_dict(state_dict, prefix, *args)


@final
class ResidualAdaptive(Pool):
    r"""All points anew out of many candidates, in proportion to :math:`r^k / \overline{r^k} + c` (RAD).

    Points are drawn without replacement, as in the source; the density is met as far as candidates are many.

    Args:
        every: steps between changes.
        candidates: how many uniform points are probed at each change, at least as many as there are points.
        power: `k`, >= 0; 0 is uniform.
        floor: `c`, >= 0; the larger, the more uniform.

    Raises:
        SpecificationError: a number out of its range, or fewer candidates than points.

    Source: Wu, Zhu, Tan, Kartha and Lu, "A comprehensive study of non-adaptive and residual-based adaptive sampling for
    physics-informed neural networks", CMAME 403, 2023, doi:10.1016/j.cma.2022.115671.

    Example:
        >>> from constraints.domains import Cuboid
        >>> line, sampler = Cuboid([0.0], [1.0]), ResidualAdaptive(every=1, candidates=1000, floor=0.0)
        >>> def residual(p):
        ...     return (p[:, 0] > 0.9).float()
        >>> points = sampler.sample(line, 10, torch.zeros(()))
        >>> sampler.learn(line, points, residual(points), residual)
        >>> bool((sampler.sample(line, 10, torch.zeros(())) > 0.9).all())
        True
    """

    def __init__(self, *, every: int = 1000, candidates: int = 10_000, power: float = 1.0, floor: float = 1.0) -> None:
        super().__init__(every)
        if candidates < 1 or not (0.0 <= power < math.inf and 0.0 <= floor < math.inf):
            raise SpecificationError(
                f"`ResidualAdaptive` needs candidates >= 1, finite power >= 0 and floor >= 0, got {candidates}, "
                f"{power}, {floor}"
            )
        self.candidates, self.power, self.floor = candidates, power, floor

    def sample(self, domain: Domain, count: int, like: Tensor) -> Tensor:
        """See `Pool`."""
        if count > self.candidates:
            raise SpecificationError(
                f"`ResidualAdaptive` needs at least as many candidates as points, got {self.candidates} and {count}"
            )
        return super().sample(domain, count, like)

    def renew(self, domain: Domain, residual: Tensor, probe: Probe) -> Tensor:
        """See `Pool`."""
        candidates = Uniform().sample(domain, self.candidates, self.points)
        found = self._require_residuals(probe(candidates), len(candidates))
        return candidates[pick(self.weights(found), len(self.points))]

    def weights(self, residual: Tensor) -> Tensor:
        """What candidates are drawn by, `(n,)` to `(n,)`; the same for all where no residual is left.

        Example:
            >>> ResidualAdaptive(power=2.0).weights(torch.tensor([1.0, 3.0]))
            tensor([1.2000, 2.8000], dtype=torch.float64)
        """
        large = residual.double()
        largest = large.max()
        if not bool(largest > 0.0):
            return torch.ones_like(large)
        share = (large / largest) ** self.power  # of the largest, so that no power is too large or small a number
        return share / share.mean() + self.floor

    def extra_repr(self) -> str:
        """The numbers."""
        return f"every={self.every}, candidates={self.candidates}, power={self.power}, floor={self.floor}"


@final
class RetainResample(Pool):
    """Points whose residual is above the mean stay, all others are drawn anew (R3).

    Args:
        every: steps between changes.

    Raises:
        SpecificationError: `every` below 1.

    Source: Daw, Bu, Wang, Perdikaris and Karpatne, "Mitigating propagation failures in physics-informed neural networks
    using retain-resample-release (R3) sampling", ICML 2023, arXiv:2207.02338.

    Example:
        >>> from constraints.domains import Cuboid
        >>> line, sampler = Cuboid([0.0], [1.0]), RetainResample()
        >>> before = sampler.sample(line, 3, torch.zeros(()))
        >>> sampler.learn(line, before, torch.tensor([0.0, 1.0, 5.0]), lambda p: p[:, 0])
        >>> (sampler.sample(line, 3, torch.zeros(())) == before).flatten()
        tensor([False, False,  True])
    """

    def __init__(self, *, every: int = 1) -> None:
        super().__init__(every)

    def renew(self, domain: Domain, residual: Tensor, probe: Probe) -> Tensor:
        """See `Pool`."""
        kept = self._require_residuals(residual, len(self.points)) > residual.mean()
        fresh = Uniform().sample(domain, len(self.points), self.points)
        return torch.where(kept[:, None], self.points, fresh)

    def extra_repr(self) -> str:
        """How often."""
        return f"every={self.every}"
