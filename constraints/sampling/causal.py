"""Points of time that has begun: later windows open when earlier ones are learnt."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from constraints.domains import Domain
from constraints.errors import NonFiniteError, ShapeError, SpecificationError, naming
from constraints.sampling.sampler import Probe, Sampler
from constraints.sampling.unit_cube import Uniform, independent

__all__ = ["CausalWindows"]


@final
class CausalWindows(Sampler):
    """Uniform points of the first windows of time; the next opens when in each of these the mean residual is small.

    Asking it of each window, not of all together, keeps a late window that is still wrong from hiding behind many
    early ones that are right. Windows never close again.

    Args:
        time: the column that is time; may be negative, counted from the end.
        windows: in how many equal parts the bounds of time are cut.
        tolerance: what the mean residual must fall below, > 0.

    Attributes:
        opened: how many windows are open; saved.

    Raises:
        SpecificationError: fewer than one window, a tolerance that is not positive, a column that is not there.
        InfeasibleError: next to nothing of the domain is in the open windows.

    Source: Wang, Sankaran and Perdikaris, "Respecting causality is all you need for training physics-informed neural
    networks", 2022, arXiv:2203.07404, for why time is to be learnt in order.

    Example:
        >>> from constraints.domains import Cuboid
        >>> sampler, domain = CausalWindows(time=1, windows=4, tolerance=0.1), Cuboid([0.0, 0.0], [1.0, 8.0])
        >>> points = sampler.sample(domain, 100, torch.zeros(()))
        >>> sampler.learn(domain, points, torch.zeros(100), lambda p: p[:, 0])
        >>> bool(points[:, 1].max() <= 2.0), int(sampler.opened)
        (True, 2)
    """

    opened: Tensor

    def __init__(self, *, time: int, windows: int, tolerance: float) -> None:
        super().__init__()
        if windows < 1 or not 0.0 < tolerance < math.inf:
            raise SpecificationError(
                f"`CausalWindows` needs windows >= 1 and 0 < tolerance < inf, got {windows} and {tolerance}"
            )
        self.time, self.windows, self.tolerance = time, windows, float(tolerance)
        self.register_buffer("opened", torch.ones((), dtype=torch.long))

    def sample(self, domain: Domain, count: int, like: Tensor) -> Tensor:
        """See `Sampler`."""
        start, length = self._span(domain)
        opened = int(self.opened)
        if opened >= self.windows:
            return Uniform().sample(domain, count, like)
        end = start + length * opened
        with naming(f"`CausalWindows` up to {end:g} in column {self.time}, with fewer windows perhaps"):
            return domain.sample(count, independent(like), like, keep=lambda points: points[:, self.time] <= end)

    @torch.no_grad()
    def learn(self, domain: Domain, points: Tensor, residual: Tensor, probe: Probe) -> None:
        """See `Sampler`; a window in which no point fell says nothing, and stays as it is.

        Raises:
            ShapeError: residuals of another number than points.
            NonFiniteError: a residual that is not finite.
        """
        if points.dim() != 2 or points.shape[-1] != domain.dimension or residual.shape != points.shape[:1]:
            raise ShapeError(
                f"`CausalWindows` needs points (n, {domain.dimension}) and residuals (n,), got "
                f"{tuple(points.shape)} and {tuple(residual.shape)}"
            )
        if not bool(residual.isfinite().all()):
            raise NonFiniteError(f"`CausalWindows` needs finite residuals, got {residual[~residual.isfinite()][0]}")
        start, length = self._span(domain)
        opened = int(self.opened)
        if opened >= self.windows:
            return
        place = ((points[:, self.time] - start) / length).long().clamp(0, opened - 1)
        total = residual.new_zeros(opened).index_add(0, place, residual.detach())
        seen = residual.new_zeros(opened).index_add(0, place, torch.ones_like(residual))
        if bool((seen > 0.0).all()) and bool((total < self.tolerance * seen).all()):
            self.opened += 1

    def _span(self, domain: Domain) -> tuple[float, float]:
        """When time begins, and how long a window is."""
        if not -domain.dimension <= self.time < domain.dimension:
            raise SpecificationError(
                f"`CausalWindows` needs a column of {domain.dimension} for time, got time={self.time}"
            )
        low, high = (float(end[self.time]) for end in domain.bounds)
        if not low < high:
            raise SpecificationError(
                f"`CausalWindows` needs a domain with a span of time, got time from {low} to {high}"
            )
        return low, (high - low) / self.windows

    def extra_repr(self) -> str:
        """The numbers."""
        return f"time={self.time}, windows={self.windows}, tolerance={self.tolerance}"
