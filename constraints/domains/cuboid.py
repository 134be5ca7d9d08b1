"""The cuboid in any number of dimensions, some of them perhaps fixed, and its faces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.domains.distance import Distance, like
from constraints.domains.domain import Boundary, Domain
from constraints.domains.maps import choose
from constraints.domains.r_functions import V, conjunction, scale, shift
from constraints.errors import ShapeError, SpecificationError, UnsupportedError
from constraints.sets.constraint import as_buffer

__all__ = ["Cuboid", "CuboidDistance", "Faces"]


@final
class Cuboid(Domain):
    """`low <= x <= high`; an interval, a rectangle, a box.

    Where `low == high` a coordinate is fixed: the cuboid is then a piece of a lower dimension, a face or a moment of
    time, and volume, inside, boundary and distance function are those of the other coordinates.

    Args:
        low: `(d,)`.
        high: `(d,)`.

    Raises:
        ShapeError: ends that are not vectors of one length.
        SpecificationError: a low end above its high end.
        NonFiniteError: an end that is not finite.

    Example:
        >>> start = Cuboid([0.0, 0.0], [2.0, 0.0])  # x in [0, 2], at t = 0
        >>> start.volume, start.draw(torch.tensor([[0.25]]))
        (2.0, tensor([[0.5000, 0.0000]]))
    """

    low: Tensor
    high: Tensor

    def __init__(self, low: Sequence[float] | Tensor, high: Sequence[float] | Tensor) -> None:
        super().__init__()
        self.register_buffer("low", as_buffer("Cuboid", "low", low), persistent=False)
        self.register_buffer("high", as_buffer("Cuboid", "high", high), persistent=False)
        if self.low.dim() != 1 or not len(self.low) or self.low.shape != self.high.shape:
            raise ShapeError(
                f"`Cuboid` needs low and high (d,), got shapes {tuple(self.low.shape)} and {tuple(self.high.shape)}"
            )
        if bool((self.low > self.high).any()):
            raise SpecificationError(
                f"`Cuboid` needs low <= high, got low={self.low.tolist()}, high={self.high.tolist()}"
            )
        self.dimension = len(self.low)
        self.free = (self.low < self.high).nonzero().flatten().tolist()
        self.fixed = (self.low == self.high).nonzero().flatten().tolist()
        self.volume = math.prod((self.high - self.low)[self.free].tolist())
        self.unit_dimension = len(self.free)

    @property
    def contractible(self) -> bool:
        """See `Domain`."""
        return True

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return self.low, self.high

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Domain`; with fixed coordinates that of the others, where these are met."""
        self._require_points(points)
        gaps = torch.maximum(self.low.to(points) - points, points - self.high.to(points))
        beyond: Tensor = torch.linalg.vector_norm(gaps.clamp(min=0.0), dim=-1)
        if not self.free:
            return beyond
        inside = gaps[..., self.free].amax(dim=-1)
        if self.fixed:
            off = gaps[..., self.fixed].amax(dim=-1) > self.tolerance(points.dtype)
            free = torch.linalg.vector_norm(gaps[..., self.free].clamp(min=0.0), dim=-1)
            return torch.where(off, beyond, torch.where(inside < 0.0, inside, free))
        return torch.where(inside < 0.0, inside, beyond)

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`; affine."""
        low, high = self.low.to(unit), self.high.to(unit)
        points = low.expand(len(unit), -1).clone()
        points[:, self.free] = torch.lerp(low[self.free], high[self.free], unit)
        return points, torch.ones(len(unit), dtype=torch.bool, device=unit.device)

    def boundary(self) -> Faces:
        """See `Domain`."""
        return Faces(self)

    def distance(self) -> CuboidDistance:
        """See `Domain`."""
        return CuboidDistance(self)

    def extra_repr(self) -> str:
        """The ends."""
        return f"{self.low.tolist()}, {self.high.tolist()}"


@final
class Faces(Boundary):
    """The boundary of a cuboid.

    Args:
        cuboid: what it bounds.

    Raises:
        UnsupportedError: all coordinates are fixed.

    Example:
        >>> ends = Faces(Cuboid([0.0], [3.0]))
        >>> ends.volume, ends.normal(torch.tensor([[0.0], [3.0]])).tolist()
        (2.0, [[-1.0], [1.0]])
    """

    weights: Tensor

    def __init__(self, cuboid: Cuboid) -> None:
        super().__init__()
        if not cuboid.free:
            raise UnsupportedError(f"`Cuboid` needs low < high in a coordinate for a boundary, got {cuboid}")
        self.cuboid, self.dimension = cuboid, cuboid.dimension
        sides = (cuboid.high - cuboid.low)[cuboid.free].tolist()
        areas = [math.prod(side for j, side in enumerate(sides) if j != i) for i in range(len(sides)) for _ in "lh"]
        self.register_buffer("weights", torch.tensor(areas, dtype=torch.float64), persistent=False)
        self.volume = float(sum(areas))
        self.unit_dimension = max(1, len(sides) - 1)

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return self.cuboid.bounds

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Boundary`."""
        return self.cuboid.signed_distance(points).abs()

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`; the first number picks the face, and goes on as the first coordinate in it."""
        free = torch.tensor(self.cuboid.free, device=unit.device)
        face, rest = choose(unit[:, 0], self.weights)
        axis, within = face // 2, torch.cat([rest[:, None], unit[:, 1:]], dim=1)
        order = torch.arange(len(free), device=unit.device).expand(len(unit), -1)
        column = (order - (order > axis[:, None]).long()).clamp(max=within.shape[1] - 1)
        full = torch.where(order == axis[:, None], (face % 2)[:, None].to(unit), within.gather(1, column))
        return self.cuboid.place(full)

    def normal(self, points: Tensor) -> Tensor:
        """See `Boundary`."""
        self._require_points(points)
        free = self.cuboid.free
        below, above = points - self.cuboid.low.to(points), self.cuboid.high.to(points) - points
        gaps = torch.cat([below[..., free].abs(), above[..., free].abs()], dim=-1)
        place = gaps.argmin(dim=-1, keepdim=True)
        axes = torch.tensor(free, device=points.device)[place % len(free)]
        return torch.zeros_like(points).scatter(-1, axes, torch.where(place < len(free), -1.0, 1.0).to(points))

    def distance(self) -> CuboidDistance:
        """See `Boundary`."""
        return self.cuboid.distance()


@final
class CuboidDistance(Distance):
    r"""R-conjunction of :math:`(x_i - l_i)(h_i - x_i)/(h_i - l_i)` over the coordinates that are not fixed.

    Taken before a product of the faces, whose normal derivative is not 1, and before R-equivalence, which has no sign
    outside, so that a cuboid could not be joined with others.

    Args:
        cuboid: of which.

    Raises:
        UnsupportedError: all coordinates are fixed.

    Example:
        >>> CuboidDistance(Cuboid([0.0, 0.0], [1.0, 1.0]))(torch.tensor([[0.5, 0.0], [0.5, 0.5]]))
        tensor([[0.0000], [0.1464]])
    """

    low: Tensor
    high: Tensor

    def __init__(self, cuboid: Cuboid) -> None:
        super().__init__()
        if not cuboid.free:
            raise UnsupportedError(f"`Cuboid` needs low < high in a coordinate for a distance, got {cuboid}")
        self.free = cuboid.free
        self.register_buffer("low", cuboid.low[cuboid.free], persistent=False)
        self.register_buffer("high", cuboid.high[cuboid.free], persistent=False)
        self.size = float((self.high - self.low).min())

    def evaluate(self, x: V) -> V:
        """See `Distance`."""
        low, high = self.low.to(like(x)), self.high.to(like(x))
        own = x[..., self.free]
        each = scale(shift(own, -low) * shift(-own, high), 1.0 / (high - low))
        found = each[..., :1]
        for i in range(1, len(self.free)):
            found = conjunction(found, each[..., i : i + 1], self.size)
        return found
