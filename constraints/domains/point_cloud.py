"""Points that the user gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, final

import torch
from torch import Tensor

from constraints.domains.domain import Domain, UnitPoints
from constraints.errors import InfeasibleError, ShapeError, SpecificationError, UnsupportedError
from constraints.sets.constraint import as_buffer

__all__ = ["PointCloud"]


@final
class PointCloud(Domain):
    """Given points, of a mesh or a measurement; its volume is their number.

    They are drawn without replacement as far as they go, and then all over again; in a product, with replacement.

    Args:
        points: `(n, d)`, n >= 1.

    Raises:
        ShapeError: points of another shape, or none.
        NonFiniteError: a point that is not finite.

    Example:
        >>> cloud = PointCloud([[0.0, 0.0], [1.0, 2.0]])
        >>> cloud.contains(torch.tensor([[1.0, 2.0], [1.0, 1.0]]))
        tensor([ True, False])
    """

    points: Tensor

    def __init__(self, points: Sequence[Sequence[float]] | Tensor) -> None:
        super().__init__()
        self.register_buffer("points", as_buffer("PointCloud", "points", points), persistent=False)
        if self.points.dim() != 2 or not self.points.numel():
            raise ShapeError(f"`PointCloud` needs points (n, d), n >= 1, got shape {tuple(self.points.shape)}")
        self.dimension, self.unit_dimension, self.volume = self.points.shape[1], 1, float(len(self.points))

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return self.points.amin(dim=0), self.points.amax(dim=0)

    def signed_distance(self, points: Tensor) -> Tensor:
        """Distance to the nearest point, never negative."""
        self._require_points(points)
        flat = points.reshape(-1, self.dimension)
        gaps = torch.cdist(flat, self.points.to(points), compute_mode="donot_use_mm_for_euclid_dist")
        return gaps.amin(dim=-1).reshape(points.shape[:-1])

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`; a number picks a point."""
        n = len(self.points)
        places = (unit[:, 0] * n).long().clamp(max=n - 1)
        return self.points.to(unit)[places], torch.ones(len(unit), dtype=torch.bool, device=unit.device)

    def sample(
        self, count: int, unit: UnitPoints, like: Tensor, *, keep: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """See `Domain`; in the order that the numbers have by size."""
        if count < 0 or not like.is_floating_point():
            raise SpecificationError(
                f"`PointCloud` needs a count >= 0 and a floating-point dtype, got {count} and {like.dtype}"
            )
        points = self.points.to(like)
        points = points if keep is None else points[keep(points)]
        n = len(points)
        if count and not n:
            raise InfeasibleError(f"`PointCloud` needs points to keep, got none of {len(self.points)}")
        rounds = [unit(n, 1).to(like.device)[:, 0].argsort() for _ in range(-(-count // max(n, 1)))]
        places = torch.cat(rounds)[:count] if rounds else torch.zeros(0, dtype=torch.long, device=like.device)
        return points[places]

    def boundary(self) -> NoReturn:
        """Refused: points have none."""
        raise UnsupportedError("`PointCloud` has no boundary: give the points of the boundary as a `PointCloud`")

    def distance(self) -> NoReturn:
        """Refused: points have no inside."""
        raise UnsupportedError(
            "`PointCloud` has no distance function: take that of the domain whose points they are, or a soft rule"
        )

    def extra_repr(self) -> str:
        """How many points."""
        return f"points={len(self.points)}, dimension={self.dimension}"
