"""Products of domains: space and time."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from constraints.domains.distance import Distance
from constraints.domains.domain import Boundary, Domain
from constraints.domains.maps import choose
from constraints.domains.r_functions import V, conjunction
from constraints.errors import SpecificationError

__all__ = ["Product", "ProductBoundary", "ProductDistance", "Sides"]


@final
class Product(Domain):
    """The coordinates of one domain, followed by those of another, `first * second`.

    Args:
        first: a domain of dimension `a`.
        second: one of dimension `b`; the product has `a + b`.

    Raises:
        SpecificationError: a boundary, for which `Sides` is there.

    Example:
        >>> from constraints.domains import Ball, Cuboid
        >>> heat = Ball([0.0, 0.0], 1.0) * Cuboid([0.0], [5.0])
        >>> heat.dimension, round(heat.volume, 3)
        (3, 15.708)
    """

    def __init__(self, first: Domain, second: Domain) -> None:
        super().__init__()
        if isinstance(first, Boundary) or isinstance(second, Boundary):
            raise SpecificationError("`Product` needs domains, got a boundary: write `Sides(first, second)`")
        self.first, self.second = first, second
        self.dimension = first.dimension + second.dimension
        self.unit_dimension = first.unit_dimension + second.unit_dimension
        self.volume = first.volume * second.volume

    @property
    def contractible(self) -> bool:
        """See `Domain`."""
        return self.first.contractible and self.second.contractible

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return _side_by_side(self.first, self.second)

    @property
    def reach(self) -> float:
        """See `Domain`."""
        return self.first.reach * self.second.reach

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Domain`; exact where those of the two are."""
        self._require_points(points)
        return _join(*_distances(self.first, self.second, points))

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return _place(self.first, self.second, unit)

    def boundary(self) -> ProductBoundary:
        """See `Domain`; of both, so that of space and time it holds the first and the last moment, too."""
        return ProductBoundary(self)

    def distance(self) -> ProductDistance:
        """See `Domain`."""
        return ProductDistance(self)


@final
class Sides(Boundary):
    """A boundary times a domain, `boundary * domain` or the other way round: the sides of a cylinder.

    Its distance function is that of the boundary, in the coordinates of that: it is 0 on the sides alone.

    Args:
        first: a boundary or a domain.
        second: the other of the two.

    Raises:
        SpecificationError: two boundaries, or none.

    Example:
        >>> from constraints.domains import Ball, Cuboid
        >>> sides = Ball([0.0, 0.0], 1.0).boundary() * Cuboid([0.0], [5.0])
        >>> sides.normal(torch.tensor([[0.0, 1.0, 3.0]]))
        tensor([[0., 1., 0.]])
    """

    def __init__(self, first: Domain, second: Domain) -> None:
        super().__init__()
        if isinstance(first, Boundary) == isinstance(second, Boundary):
            raise SpecificationError(
                f"`Sides` needs a boundary and a domain, got `{type(first).__name__}` and `{type(second).__name__}`"
            )
        self.first, self.second = first, second
        self.dimension = first.dimension + second.dimension
        self.unit_dimension = first.unit_dimension + second.unit_dimension
        self.volume = first.volume * second.volume

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return _side_by_side(self.first, self.second)

    @property
    def reach(self) -> float:
        """See `Domain`."""
        return self.first.reach * self.second.reach

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Boundary`; exact where those of the two are."""
        self._require_points(points)
        return _join(*_distances(self.first, self.second, points)).clamp(min=0.0)

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return _place(self.first, self.second, unit)

    def normal(self, points: Tensor) -> Tensor:
        """See `Boundary`; that of the boundary, and 0 in the other coordinates."""
        self._require_points(points)
        one, two = _parts(self.first, points)
        if isinstance(self.first, Boundary):
            return torch.cat([self.first.normal(one), torch.zeros_like(two)], dim=-1)
        assert isinstance(self.second, Boundary)
        return torch.cat([torch.zeros_like(one), self.second.normal(two)], dim=-1)

    def distance(self) -> ProductDistance:
        """See `Boundary`."""
        return ProductDistance(self)


@final
class ProductBoundary(Boundary):
    """The sides of a product, and its ends.

    Args:
        product: what it bounds.

    Raises:
        UnsupportedError: one of the two has no boundary.

    Example:
        >>> from constraints.domains import Ball, Cuboid
        >>> can = Ball([0.0, 0.0], 1.0) * Cuboid([0.0], [5.0])
        >>> round(ProductBoundary(can).volume / torch.pi, 4)  # 2 pi 5, and two ends of pi
        12.0
    """

    weights: Tensor

    def __init__(self, product: Product) -> None:
        super().__init__()
        self.product, self.dimension = product, product.dimension
        self.sides = Sides(product.first.boundary(), product.second)
        self.ends = Sides(product.first, product.second.boundary())
        weights = torch.tensor([self.sides.reach, self.ends.reach], dtype=torch.float64)
        self.register_buffer("weights", weights, persistent=False)
        self.volume = self.sides.volume + self.ends.volume
        self.unit_dimension = 1 + max(self.sides.unit_dimension, self.ends.unit_dimension)

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return self.product.bounds

    @property
    def reach(self) -> float:
        """See `Domain`."""
        return self.sides.reach + self.ends.reach

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Boundary`."""
        return self.product.signed_distance(points).abs()

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`; the first number picks sides or ends."""
        which, _ = choose(unit[:, 0], self.weights)
        one, kept = self.sides.place(unit[:, 1 : 1 + self.sides.unit_dimension])
        two, other_kept = self.ends.place(unit[:, 1 : 1 + self.ends.unit_dimension])
        return torch.where((which == 0)[:, None], one, two), torch.where(which == 0, kept, other_kept)

    def normal(self, points: Tensor) -> Tensor:
        """See `Boundary`; of the nearer of sides and ends."""
        nearer = self.sides.signed_distance(points) <= self.ends.signed_distance(points)
        return torch.where(nearer[..., None], self.sides.normal(points), self.ends.normal(points))

    def distance(self) -> ProductDistance:
        """See `Boundary`."""
        return self.product.distance()


@final
class ProductDistance(Distance):
    """Those of the two in their coordinates, joined by `conjunction`; of sides that of the boundary alone.

    Args:
        product: a product, or sides.

    Example:
        >>> from constraints.domains import Ball, Cuboid
        >>> sides = Ball([0.0, 0.0], 1.0).boundary() * Cuboid([0.0], [5.0])
        >>> ProductDistance(sides)(torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]))
        tensor([[0.0000], [0.5000]])
    """

    def __init__(self, product: Product | Sides) -> None:
        super().__init__()
        whole = isinstance(product, Product)
        self.first = product.first.distance() if whole or isinstance(product.first, Boundary) else None
        self.second = product.second.distance() if whole or isinstance(product.second, Boundary) else None
        self.dimension = product.first.dimension
        low, high = product.bounds
        sides = high - low
        self.size = float(sides[sides > 0.0].min())

    def evaluate(self, x: V) -> V:
        """See `Distance`."""
        d = self.dimension
        if self.second is None:
            assert self.first is not None
            return self.first.evaluate(x[..., :d])
        if self.first is None:
            return self.second.evaluate(x[..., d:])
        return conjunction(self.first.evaluate(x[..., :d]), self.second.evaluate(x[..., d:]), self.size)


def _side_by_side(first: Domain, second: Domain) -> tuple[Tensor, Tensor]:
    (low, high), (other_low, other_high) = first.bounds, second.bounds
    return torch.cat([low, other_low]), torch.cat([high, other_high])


def _parts(first: Domain, points: Tensor) -> tuple[Tensor, Tensor]:
    return points[..., : first.dimension], points[..., first.dimension :]


def _distances(first: Domain, second: Domain, points: Tensor) -> tuple[Tensor, Tensor]:
    one, two = _parts(first, points)
    return first.signed_distance(one), second.signed_distance(two)


def _join(one: Tensor, two: Tensor) -> Tensor:
    """The signed distance of a product, from those of the two."""
    outside = torch.hypot(one.clamp(min=0.0), two.clamp(min=0.0))
    return torch.where(outside > 0.0, outside, torch.maximum(one, two))


def _place(first: Domain, second: Domain, unit: Tensor) -> tuple[Tensor, Tensor]:
    one, kept = first.place(unit[:, : first.unit_dimension])
    two, other_kept = second.place(unit[:, first.unit_dimension :])
    return torch.cat([one, two], dim=-1), kept & other_kept
