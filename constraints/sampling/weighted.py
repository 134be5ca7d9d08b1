"""Points by weight, out of candidates."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from constraints.domains import Domain
from constraints.errors import InfeasibleError, NonFiniteError, ShapeError, SpecificationError
from constraints.sampling.sampler import Sampler
from constraints.sampling.unit_cube import Uniform

__all__ = ["Importance", "pick"]


def pick(weights: Tensor, count: int) -> Tensor:
    """Places of candidates, without replacement, each next one in proportion to the weights that are left.

    Args:
        weights: >= 0, `(n,)`.
        count: how many, at most as many as have a weight.

    Raises:
        NonFiniteError: a weight that is not finite.
        SpecificationError: a negative one.
        InfeasibleError: fewer candidates than wanted have a weight.

    Example:
        >>> pick(torch.tensor([0.0, 1.0, 0.0, 2.0]), 2).sort().values
        tensor([1, 3])
    """
    if not bool(weights.isfinite().all()):
        wrong = ~weights.isfinite()
        raise NonFiniteError(
            f"weights of candidates need to be finite, got {int(wrong.sum())} of {wrong.numel()} that are not, the "
            f"first at index {int(wrong.flatten().nonzero()[0])}"
        )
    if bool((weights < 0.0).any()):
        raise SpecificationError(f"weights of candidates need to be >= 0, got {float(weights.min())}")
    positive = int((weights > 0.0).sum())
    if positive < count:
        raise InfeasibleError(
            f"{count} points need as many candidates of positive weight, got {positive} of {len(weights)}: ask for "
            f"more candidates"
        )
    if not count:
        return torch.zeros(0, dtype=torch.long, device=weights.device)
    # the first to ring, of clocks that ring at these rates: torch.multinomial stops at 2^24 candidates
    clocks = torch.empty_like(weights, dtype=torch.float64).exponential_() / weights.double()
    return clocks.topk(count, largest=False).indices


@final
class Importance(Sampler):
    """Points by a density of the user's, drawn out of `candidates` uniform ones for each.

    They are drawn without replacement, so that the density is met as far as candidates are many.

    Args:
        density: >= 0, of points `(n, d)`, `(n,)`; not normalised.
        candidates: how many for each point.

    Raises:
        SpecificationError: fewer than one candidate for each point, or a negative density.
        InfeasibleError: the density is 0 at too many candidates.
        NonFiniteError: a density that is not finite.
        ShapeError: a density that does not give one number a point.

    Example:
        >>> from constraints.domains import Cuboid
        >>> right = Importance(lambda p: (p[:, 0] > 0.5).float())
        >>> bool((right.sample(Cuboid([0.0], [1.0]), 8, torch.zeros(())) > 0.5).all())
        True
    """

    def __init__(self, density: Callable[[Tensor], Tensor], *, candidates: int = 16) -> None:
        super().__init__()
        if candidates < 1:
            raise SpecificationError(f"`Importance` needs candidates >= 1, got {candidates}")
        self.density, self.candidates = density, candidates

    @torch.no_grad()
    def sample(self, domain: Domain, count: int, like: Tensor) -> Tensor:
        """See `Sampler`."""
        points = Uniform().sample(domain, self.candidates * count, like)
        weights = self.density(points)
        if weights.shape != points.shape[:1]:
            raise ShapeError(
                f"`Importance` needs a density (n,) of points (n, d), got shape {tuple(weights.shape)} of "
                f"{tuple(points.shape)}"
            )
        return points[pick(weights, count)]
