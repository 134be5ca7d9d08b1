"""The ball, and the sphere around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.domains.distance import Distance, like
from constraints.domains.domain import Boundary, Domain
from constraints.domains.maps import direction_dimension, directions, sphere_area
from constraints.domains.r_functions import V, linear, shift
from constraints.errors import ShapeError, SpecificationError
from constraints.sets.constraint import as_buffer

__all__ = ["Ball", "BallDistance", "Sphere"]


@final
class Ball(Domain):
    r""":math:`\lVert x - c\rVert_2 \le R`; an interval, a disk, a ball in any number of dimensions.

    Args:
        center: `c`, `(d,)`.
        radius: `R`, > 0.

    Raises:
        ShapeError: a center that is not a vector.
        SpecificationError: a radius that is not positive.
        NonFiniteError: a center that is not finite.

    Example:
        >>> disk = Ball([0.0, 0.0], 1.0)
        >>> round(disk.volume, 4), disk.signed_distance(torch.tensor([[0.0, 0.5], [0.0, 3.0]])).tolist()
        (3.1416, [-0.5, 2.0])
    """

    center: Tensor

    def __init__(self, center: Sequence[float] | Tensor, radius: float) -> None:
        super().__init__()
        self.register_buffer("center", as_buffer("Ball", "center", center), persistent=False)
        if self.center.dim() != 1 or not len(self.center):
            raise ShapeError(f"`Ball` needs a center (d,), got shape {tuple(self.center.shape)}")
        if not 0.0 < radius < math.inf:
            raise SpecificationError(f"`Ball` needs 0 < radius < inf, got {radius}")
        d = self.dimension = len(self.center)
        self.radius = float(radius)
        self.volume = sphere_area(d) / d * self.radius**d
        self.unit_dimension = 1 if d == 1 else 1 + direction_dimension(d)

    @property
    def contractible(self) -> bool:
        """See `Domain`."""
        return True

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return self.center - self.radius, self.center + self.radius

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Domain`."""
        self._require_points(points)
        arms: Tensor = torch.linalg.vector_norm(points - self.center.to(points), dim=-1)
        return arms - self.radius

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`; by radius and direction."""
        if self.dimension == 1:
            arms = 2.0 * unit - 1.0
        else:
            arms = unit[:, :1] ** (1.0 / self.dimension) * directions(unit[:, 1:], self.dimension)
        return self.center.to(unit) + self.radius * arms, torch.ones_like(unit[:, 0], dtype=torch.bool)

    def boundary(self) -> Sphere:
        """See `Domain`."""
        return Sphere(self)

    def distance(self) -> BallDistance:
        """See `Domain`."""
        return BallDistance(self)

    def extra_repr(self) -> str:
        """Center and radius."""
        return f"{self.center.tolist()}, {self.radius}"


@final
class Sphere(Boundary):
    """The boundary of a ball.

    Args:
        ball: what it bounds.

    Example:
        >>> Sphere(Ball([0.0, 0.0, 0.0], 1.0)).contains(torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))
        tensor([ True, False])
    """

    def __init__(self, ball: Ball) -> None:
        super().__init__()
        self.ball, self.dimension = ball, ball.dimension
        self.volume = sphere_area(ball.dimension) * ball.radius ** (ball.dimension - 1)
        self.unit_dimension = direction_dimension(ball.dimension)

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return self.ball.bounds

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Boundary`."""
        return self.ball.signed_distance(points).abs()

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        points = self.ball.center.to(unit) + self.ball.radius * directions(unit, self.dimension)
        return points, torch.ones_like(unit[:, 0], dtype=torch.bool)

    def normal(self, points: Tensor) -> Tensor:
        """See `Boundary`."""
        self._require_points(points)
        return torch.nn.functional.normalize(points - self.ball.center.to(points), dim=-1, eps=0.0)

    def distance(self) -> BallDistance:
        """See `Boundary`."""
        return self.ball.distance()


@final
class BallDistance(Distance):
    r""":math:`(R^2 - \lVert x - c\rVert^2) / (2R)`: smooth everywhere.

    Args:
        ball: of which.

    Example:
        >>> BallDistance(Ball([0.0], 2.0))(torch.tensor([[1.0], [2.0]])).tolist()
        [[0.75], [0.0]]
    """

    center: Tensor

    def __init__(self, ball: Ball) -> None:
        super().__init__()
        self.register_buffer("center", ball.center.clone(), persistent=False)
        self.radius = ball.radius

    def evaluate(self, x: V) -> V:
        """See `Distance`."""
        arm = shift(x, -self.center.to(like(x)))
        squares = linear(arm * arm, torch.ones_like(self.center).to(like(x))[None])
        return (self.radius * self.radius - squares) * (0.5 / self.radius)
