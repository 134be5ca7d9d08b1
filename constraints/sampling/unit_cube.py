"""Samplers that learn nothing: points of the unit cube, put into the domain."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from constraints.domains import Domain, UnitPoints
from constraints.sampling.sampler import Sampler

__all__ = ["LatinHypercube", "Sobol", "Uniform", "independent"]


def independent(like: Tensor) -> UnitPoints:
    """Independent uniform numbers, of the dtype and device of `like`.

    Example:
        >>> independent(torch.zeros(()))(4, 2).shape
        torch.Size([4, 2])
    """
    return lambda n, k: torch.rand(n, k, dtype=like.dtype, device=like.device)


@final
class Uniform(Sampler):
    """Independent points, uniform by measure.

    Example:
        >>> from constraints.domains import Ball
        >>> disk = Ball([0.0, 0.0], 1.0)
        >>> bool(disk.contains(Uniform().sample(disk, 5, torch.zeros(()))).all())
        True
    """

    def sample(self, domain: Domain, count: int, like: Tensor) -> Tensor:
        """See `Sampler`."""
        return domain.sample(count, independent(like), like)


@final
class LatinHypercube(Sampler):
    """Points of which, along each coordinate of the unit cube, one is in each of `count` equal strata.

    In a domain made of others, where points have to be left out, the strata hold for the points tried.

    Source: McKay, Beckman and Conover, Technometrics 21, 1979, doi:10.2307/1268522.

    Example:
        >>> from constraints.domains import Cuboid
        >>> points = LatinHypercube().sample(Cuboid([0.0], [4.0]), 4, torch.zeros(()))
        >>> points.floor().flatten().sort().values.tolist()
        [0.0, 1.0, 2.0, 3.0]
    """

    def sample(self, domain: Domain, count: int, like: Tensor) -> Tensor:
        """See `Sampler`."""

        def unit(n: int, k: int) -> Tensor:
            strata = torch.rand(n, k, device=like.device).argsort(dim=0).to(like)
            return (strata + torch.rand(n, k, dtype=like.dtype, device=like.device)) / n

        return domain.sample(count, unit, like)


@final
class Sobol(Sampler):
    """A scrambled Sobol sequence, begun anew at each call; evenest where `count` is a power of two.

    Source: Owen, "Scrambling Sobol' and Niederreiter-Xing points", J. Complexity 14, 1998, doi:10.1006/jcom.1998.0487;
    the engine is torch's.

    Example:
        >>> from constraints.domains import Cuboid
        >>> points = Sobol().sample(Cuboid([0.0], [4.0]), 4, torch.zeros(()))
        >>> points.floor().flatten().sort().values.tolist()
        [0.0, 1.0, 2.0, 3.0]
    """

    def sample(self, domain: Domain, count: int, like: Tensor) -> Tensor:
        """See `Sampler`."""
        seed = int(torch.randint(2**31, ()))
        engine: torch.quasirandom.SobolEngine | None = None

        def unit(n: int, k: int) -> Tensor:
            nonlocal engine
            engine = engine or torch.quasirandom.SobolEngine(k, scramble=True, seed=seed)
            return engine.draw(n, dtype=torch.float64)

        return domain.sample(count, unit, like)
