"""Domains made of two: union, intersection, difference, parts of a boundary."""

from __future__ import annotations

from abc import ABC
from typing import final

import torch
from torch import Tensor

from constraints.domains.cuboid import Cuboid
from constraints.domains.distance import Distance
from constraints.domains.domain import Boundary, Domain
from constraints.domains.maps import choose
from constraints.domains.r_functions import V, conjunction, disjunction
from constraints.domains.share import TESTS, share
from constraints.errors import InfeasibleError, ShapeError, SpecificationError

__all__ = ["CombinedBoundary", "CombinedDistance", "Difference", "Intersection", "Union"]


class Combination(Domain, ABC):
    """Two domains of one dimension, joined by minimum and maximum of their signed distances.

    `signed_distance` is then a bound: 0 on the boundary, of the right sign, never larger in size than the distance
    inside a union or outside an intersection, but exact only where one of the two decides alone. Points are drawn from
    the bounding box, and kept where they are inside; `volume` is found so, by 16384 quasi-random points.
    """

    join_sign: float  # 1 for a union, by minimum; -1 for an intersection, by maximum
    second_sign: float = 1.0  # -1 where the second is taken from outside

    def __init__(self, first: Domain, second: Domain) -> None:
        super().__init__()
        name = type(self).__name__
        for one in (first, second):
            if isinstance(one, Boundary):
                raise SpecificationError(
                    f"`{name}` needs domains, got a boundary, `{type(one).__name__}`: for a part of it write "
                    f"`boundary & domain` or `boundary - domain`"
                )
        if first.dimension != second.dimension:
            raise ShapeError(f"`{name}` needs domains of one dimension, got {first.dimension} and {second.dimension}")
        self.first, self.second = first, second
        self.dimension = first.dimension
        low, high = self._box()
        if bool((low > high).any()):
            raise InfeasibleError(f"`{name}` needs a point in both, got {first} and {second}, which are apart")
        self.box = Cuboid(low, high)
        self.unit_dimension = self.box.unit_dimension
        filled = share(self)
        if not filled:
            raise InfeasibleError(
                f"`{name}` needs points inside, got none of {TESTS} between {low.tolist()} and {high.tolist()}, of "
                f"{first} and {second}"
            )
        self.volume = filled * self.reach

    def _box(self) -> tuple[Tensor, Tensor]:
        return self.first.bounds

    @property
    def reach(self) -> float:
        """See `Domain`."""
        return self.box.volume

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return self.box.bounds

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Domain`; a bound."""
        one, two = self.first.signed_distance(points), self.second_sign * self.second.signed_distance(points)
        return torch.minimum(one, two) if self.join_sign > 0.0 else torch.maximum(one, two)

    def tolerance(self, dtype: torch.dtype) -> float:
        """See `Domain`; of the larger of the two."""
        return max(self.first.tolerance(dtype), self.second.tolerance(dtype))

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`; what is inside is decided in double precision, for sides of very different lengths."""
        points, _ = self.box.place(unit.double())
        return points.to(unit), self.contains(points)

    def boundary(self) -> CombinedBoundary:
        """See `Domain`."""
        return CombinedBoundary(self)

    def distance(self) -> CombinedDistance:
        """See `Domain`."""
        return CombinedDistance(self)


@final
class Union(Combination):
    """What is in one of two domains, `first | second`.

    Args:
        first: a domain.
        second: another, of the same dimension.

    Raises:
        ShapeError: domains of different dimensions.
        SpecificationError: a boundary.

    Example:
        >>> both = Union(Cuboid([0.0], [1.0]), Cuboid([2.0], [3.0]))
        >>> both.contains(torch.tensor([[0.5], [1.5]])), round(both.volume, 2)
        (tensor([ True, False]), 2.0)
    """

    join_sign = 1.0

    def _box(self) -> tuple[Tensor, Tensor]:
        (low, high), (other_low, other_high) = self.first.bounds, self.second.bounds
        return torch.minimum(low, other_low), torch.maximum(high, other_high)


@final
class Intersection(Combination):
    """What is in both of two domains, `first & second`.

    Args:
        first: a domain.
        second: another, of the same dimension.

    Raises:
        ShapeError: domains of different dimensions.
        SpecificationError: a boundary.
        InfeasibleError: nothing, or next to nothing, is in both.

    Example:
        >>> Intersection(Cuboid([0.0], [2.0]), Cuboid([1.0], [3.0])).volume
        1.0
    """

    join_sign = -1.0

    def _box(self) -> tuple[Tensor, Tensor]:
        (low, high), (other_low, other_high) = self.first.bounds, self.second.bounds
        return torch.maximum(low, other_low), torch.minimum(high, other_high)


@final
class Difference(Combination):
    """What is in the first of two domains and not inside the second, `first - second`.

    Args:
        first: a domain.
        second: another, of the same dimension.

    Raises:
        ShapeError: domains of different dimensions.
        SpecificationError: a boundary.
        InfeasibleError: nothing, or next to nothing, is left.

    Example:
        >>> Difference(Cuboid([0.0], [2.0]), Cuboid([1.0], [3.0])).contains(torch.tensor([[0.5], [1.5]]))
        tensor([ True, False])
    """

    join_sign = -1.0
    second_sign = -1.0


@final
class CombinedBoundary(Boundary):
    """Of the boundaries of two domains, what bounds the domain made of them.

    Points are drawn on both, and kept where a step along the normal leads from inside to outside of the whole, so that
    common faces count once or, where both domains end, not at all.

    Args:
        whole: a union, an intersection or a difference.

    Example:
        >>> ring = CombinedBoundary(Cuboid([0.0], [3.0]) - Cuboid([1.0], [2.0]))
        >>> ring.volume, ring.normal(torch.tensor([[0.0], [1.0], [2.0], [3.0]])).flatten().tolist()
        (4.0, [-1.0, 1.0, -1.0, 1.0])
    """

    weights: Tensor

    def __init__(self, whole: Combination) -> None:
        super().__init__()
        self.whole, self.dimension = whole, whole.dimension
        self.first, self.second = whole.first.boundary(), whole.second.boundary()
        weights = torch.tensor([self.first.reach, self.second.reach], dtype=torch.float64)
        self.register_buffer("weights", weights, persistent=False)
        self.unit_dimension = 1 + max(self.first.unit_dimension, self.second.unit_dimension)
        self.volume = share(self) * self.reach

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return self.whole.bounds

    @property
    def reach(self) -> float:
        """See `Domain`."""
        return self.first.reach + self.second.reach

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Boundary`; a bound."""
        return self.whole.signed_distance(points).abs()

    def tolerance(self, dtype: torch.dtype) -> float:
        """See `Domain`."""
        return self.whole.tolerance(dtype)

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`; in double precision, as of a combination."""
        wide = unit.double()
        which, _ = choose(wide[:, 0], self.weights)
        one, two = self.first, self.second
        points, kept = one.place(wide[:, 1 : 1 + one.unit_dimension])
        other, other_kept = two.place(wide[:, 1 : 1 + two.unit_dimension])
        # what both have in common is drawn as the first's
        other_kept = other_kept & ~one.contains(other)
        points, normal = self._pick(which, points, other), self._pick(which, one.normal(points), two.normal(other))
        low, high = self.bounds
        step = torch.finfo(wide.dtype).eps ** 0.5 * float((high - low).max())
        inside = self.whole.signed_distance(points - step * normal) < 0.0
        outside = self.whole.signed_distance(points + step * normal) < 0.0
        kept = torch.where(which == 0, kept, other_kept)
        return points.to(unit), kept & (inside != outside) & self.contains(points)

    def normal(self, points: Tensor) -> Tensor:
        """See `Boundary`; of the nearer of the two."""
        near = (self.first.signed_distance(points) > self.second.signed_distance(points)).long()
        return self._pick(near, self.first.normal(points), self.whole.second_sign * self.second.normal(points))

    def distance(self) -> CombinedDistance:
        """See `Boundary`."""
        return self.whole.distance()

    @staticmethod
    def _pick(which: Tensor, one: Tensor, two: Tensor) -> Tensor:
        return torch.where((which == 0)[..., None], one, two)


@final
class CombinedDistance(Distance):
    """The distance functions of two domains, joined by an R-function, see `conjunction` and `disjunction`.

    Args:
        whole: a union, an intersection or a difference.

    Example:
        >>> CombinedDistance(Cuboid([0.0], [3.0]) - Cuboid([1.0], [2.0]))(torch.tensor([[1.0], [1.5]])).sign()
        tensor([[ 0.],
                [-1.]])
    """

    def __init__(self, whole: Combination) -> None:
        super().__init__()
        self.first, self.second = whole.first.distance(), whole.second.distance()
        self.union, self.second_sign = whole.join_sign > 0.0, whole.second_sign
        low, high = whole.bounds
        self.size = float((high - low)[whole.box.free].min())

    def evaluate(self, x: V) -> V:
        """See `Distance`."""
        one, two = self.first.evaluate(x), self.second.evaluate(x) * self.second_sign
        return disjunction(one, two, self.size) if self.union else conjunction(one, two, self.size)
