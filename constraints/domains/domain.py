"""What a domain is: a region of space that knows what is inside, and how to draw points of it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from constraints.domains.distance import Distance
from constraints.errors import InfeasibleError, ShapeError, SpecificationError, UnsupportedError
from constraints.sets.constraint import keep_precision

__all__ = ["Boundary", "Domain", "UnitPoints"]

UnitPoints = Callable[[int, int], Tensor]
"""Makes points of the unit cube: of their number `n` and their dimension `k`, `(n, k)`."""

RAREST = 1e-4  # a combination that fills less of its bounding box is not worth the tries
PATIENCE = 100_000


class Domain(nn.Module, ABC):
    """A closed region of R^d, with a measure.

    Domains join: `a | b`, `a & b`, `a - b`, and `a * b` is the product, of space with time; a boundary
    goes with `&` and `-`, which take a part of it, and with `*`, which makes the sides of a cylinder. Numbers are kept
    in float64 and cast to the dtype of the points where they are used.

    Attributes:
        dimension: `d`.
        volume: the measure; area of a surface, number of points of a cloud.
        unit_dimension: `k`, how many numbers in [0, 1] make a point.

    Example:
        >>> from constraints.domains import Ball, Cuboid
        >>> plate = Cuboid([0.0, 0.0], [1.0, 1.0]) - Ball([0.5, 0.5], 0.25)
        >>> plate.contains(torch.tensor([[0.5, 0.5], [0.1, 0.1]]))
        tensor([False, True])
        >>> plate.sample(100, torch.rand, torch.zeros(())).shape
        torch.Size([100, 2])
    """

    dimension: int
    volume: float
    unit_dimension: int

    @property
    @abstractmethod
    def bounds(self) -> tuple[Tensor, Tensor]:
        """The lowest and the highest of each coordinate, `(d,)` each; of combinations a box that may be too wide."""

    @property
    def contractible(self) -> bool:
        """Whether it is known to be in one piece without holes, so that it can shrink to a point within itself."""
        return False

    @property
    def reach(self) -> float:
        """The measure of all that `place` gives, of which what is kept has the measure `volume`."""
        return self.volume

    @abstractmethod
    def signed_distance(self, points: Tensor) -> Tensor:
        """Distance to the boundary, negative inside, `(*batch, d)` to `(*batch,)`."""

    @abstractmethod
    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """Where points of the unit cube go, and whether they are to be kept: `(n, k)` to `(n, d)` and `(n,)`.

        The map keeps measure, up to a factor; combinations map onto more than themselves, and keep what is inside.
        """

    @abstractmethod
    def boundary(self) -> Boundary:
        """The boundary, a domain of its own with normals."""

    @abstractmethod
    def distance(self) -> Distance:
        """A smooth function that is 0 on the boundary, see `Distance`."""

    def contains(self, points: Tensor) -> Tensor:
        """Whether points are inside or on the boundary, to rounding, `(*batch, d)` to `(*batch,)` bool."""
        return self.signed_distance(points) <= self.tolerance(points.dtype)

    def tolerance(self, dtype: torch.dtype) -> float:
        """How far outside rounding can put a point that was computed in a dtype."""
        low, high = self.bounds
        return 64.0 * torch.finfo(dtype).eps * math.sqrt(self.dimension) * float(torch.maximum(-low, high).abs().max())

    def draw(self, unit: Tensor) -> Tensor:
        """Points of the domain from points of the unit cube, `(n, k)` to `(n, d)`; of combinations fewer than `n`.

        Raises:
            ShapeError: points of another dimension than `unit_dimension`.
        """
        if unit.dim() != 2 or unit.shape[1] != self.unit_dimension:
            raise ShapeError(
                f"`{type(self).__name__}` draws from points (n, {self.unit_dimension}), got shape {tuple(unit.shape)}"
            )
        points, kept = self.place(unit)
        return points[kept]

    def sample(
        self, count: int, unit: UnitPoints, like: Tensor, *, keep: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """So many points, `(count, d)`, made of points of the unit cube.

        Args:
            count: how many.
            unit: called with a number and a dimension; more than once where points had to be left out.
            like: gives dtype and device.
            keep: which of points `(n, d)` to keep, `(n,)`; by default all.

        Raises:
            SpecificationError: a negative number, or `like` is not floating-point.
            InfeasibleError: next to none of the points tried was in the domain.

        Example:
            >>> from constraints.domains import Cuboid
            >>> Cuboid([2.0], [3.0]).sample(2, lambda n, k: torch.full((n, k), 0.5), torch.zeros(()))
            tensor([[2.5000], [2.5000]])
        """
        if count < 0 or not like.is_floating_point():
            raise SpecificationError(
                f"`{type(self).__name__}` needs a count >= 0 and a floating-point dtype, got {count} and {like.dtype}"
            )
        found, tried, got = [like.new_empty((0, self.dimension))], 0, 0
        while got < count:
            share = (got + 1) / (tried + 1)
            asked = math.ceil(min((count - got) / share, max(4.0 * count, 4096.0))) if tried else count
            # a point without extent asks for no numbers, which not every source of numbers can give
            numbers = unit(asked, self.unit_dimension).to(like) if self.unit_dimension else like.new_empty((asked, 0))
            points = self.draw(numbers)
            found.append(points if keep is None else points[keep(points)])
            tried, got = tried + asked, got + len(found[-1])
            if tried >= PATIENCE and got < RAREST * tried:
                raise InfeasibleError(
                    f"`{type(self).__name__}` needs to keep {RAREST:g} of the points drawn, got {got} of {tried}: give "
                    f"its parts, or a smaller domain around it"
                )
        return torch.cat(found)[:count]

    def __or__(self, other: Domain) -> Domain:
        from constraints.domains.combinations import Union  # which are domains themselves

        return Union(self, other)

    def __and__(self, other: Domain) -> Domain:
        from constraints.domains.combinations import Intersection
        from constraints.domains.part import Part

        return Part(self, other) if isinstance(self, Boundary) else Intersection(self, other)

    def __sub__(self, other: Domain) -> Domain:
        from constraints.domains.combinations import Difference
        from constraints.domains.part import Part

        return Part(self, other, outside=True) if isinstance(self, Boundary) else Difference(self, other)

    def __mul__(self, other: Domain) -> Domain:
        from constraints.domains.product import Product, Sides

        return Sides(self, other) if isinstance(self, Boundary) or isinstance(other, Boundary) else Product(self, other)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Domain:
        """Move with the module, but keep the precision: the numbers are cast to the points' dtype at each use."""
        moved: Domain = keep_precision(self, super()._apply, fn, recurse)
        return moved

    def _require_points(self, points: Tensor) -> None:
        if not points.is_floating_point():
            raise SpecificationError(f"`{type(self).__name__}` needs floating-point points, got {points.dtype}")
        if points.dim() < 1 or points.shape[-1] != self.dimension:
            raise ShapeError(
                f"`{type(self).__name__}` needs points (*batch, {self.dimension}), got shape {tuple(points.shape)}"
            )


class Boundary(Domain, ABC):
    """The boundary of a domain: drawn uniformly by its surface measure, with normals.

    Its `signed_distance` is the distance to it, never negative; its `distance()` that of the domain.

    Example:
        >>> from constraints.domains import Ball
        >>> circle = Ball([0.0, 0.0], 2.0).boundary()
        >>> round(circle.volume, 4), circle.normal(torch.tensor([[0.0, 2.0]]))
        (12.5664, tensor([[0., 1.]]))
    """

    @abstractmethod
    def normal(self, points: Tensor) -> Tensor:
        """Outward unit normals at points of the boundary, `(*batch, d)` to `(*batch, d)`; at corners one of several."""

    def boundary(self) -> Boundary:
        """Refused: a boundary has none."""
        raise UnsupportedError(f"`{type(self).__name__}` has no boundary: it is one")
