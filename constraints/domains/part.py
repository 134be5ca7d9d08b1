"""What of a boundary is in a domain."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from constraints.domains.distance import Distance
from constraints.domains.domain import Boundary, Domain
from constraints.domains.share import TESTS, share
from constraints.errors import InfeasibleError, ShapeError

__all__ = ["Part"]


@final
class Part(Boundary):
    """What of a boundary is in a domain, `boundary & domain`, or is not, `boundary - domain`: where a condition holds.

    Its distance function is that of the whole boundary, and its volume found as that of a combination.

    Args:
        whole: a boundary.
        domain: of the same dimension.
        outside: keep what is not in the domain.

    Raises:
        ShapeError: of different dimensions.
        InfeasibleError: next to nothing of the boundary is there.

    Example:
        >>> from constraints.domains import Cuboid
        >>> left = Cuboid([0.0, 0.0], [1.0, 1.0]).boundary() & Cuboid([0.0, 0.0], [0.0, 1.0])
        >>> left.volume, left.draw(torch.tensor([[0.1], [0.9]]))
        (1.0, tensor([[0.0000, 0.4000]]))
    """

    def __init__(self, whole: Boundary, domain: Domain, *, outside: bool = False) -> None:
        super().__init__()
        if whole.dimension != domain.dimension:
            raise ShapeError(f"`Part` needs domains of one dimension, got {whole.dimension} and {domain.dimension}")
        self.whole, self.domain, self.outside = whole, domain, outside
        self.dimension, self.unit_dimension = whole.dimension, whole.unit_dimension
        filled = share(self)
        if not filled:
            side = "outside" if outside else "inside"
            raise InfeasibleError(f"`Part` needs points {side} {domain}, got none of {TESTS} on the boundary")
        self.volume = filled * self.reach

    @property
    def reach(self) -> float:
        """See `Domain`."""
        return self.whole.reach

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return self.whole.bounds

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Boundary`; a bound."""
        own = self.domain.signed_distance(points)
        return torch.maximum(self.whole.signed_distance(points), -own if self.outside else own).clamp(min=0.0)

    def tolerance(self, dtype: torch.dtype) -> float:
        """See `Domain`."""
        return max(self.whole.tolerance(dtype), self.domain.tolerance(dtype))

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`; in double precision, as of a combination."""
        points, kept = self.whole.place(unit.double())
        return points.to(unit), kept & self.contains(points)

    def normal(self, points: Tensor) -> Tensor:
        """See `Boundary`."""
        return self.whole.normal(points)

    def distance(self) -> Distance:
        """See `Boundary`."""
        return self.whole.distance()
