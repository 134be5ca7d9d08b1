"""The simple polygon, and its edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.domains.distance import Distance, like
from constraints.domains.domain import Boundary, Domain
from constraints.domains.maps import choose
from constraints.domains.r_functions import V, bend, equivalence, guard, linear, root, scale, select, shift, value_of
from constraints.domains.triangles import cross, crossing_edges, triangulate
from constraints.errors import ShapeError, SpecificationError
from constraints.fields.smooth import reciprocal
from constraints.sets.constraint import as_buffer

__all__ = ["Edges", "Polygon", "PolygonDistance"]


@final
class Polygon(Domain):
    """What a closed line of straight edges, which does not cross itself, has inside; convex or not.

    Args:
        corners: in order, either way round, `(m, 2)`.

    Raises:
        ShapeError: corners of another shape, or fewer than three.
        SpecificationError: edges that cross, touch or fold back, a corner given twice, no area.
        NonFiniteError: a corner that is not finite.

    Example:
        >>> corner = Polygon([[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]])
        >>> corner.volume, corner.contains(torch.tensor([[0.5, 1.5], [1.5, 1.5]]))
        (3.0, tensor([ True, False]))
    """

    corners: Tensor
    triangles: Tensor

    def __init__(self, corners: Sequence[Sequence[float]] | Tensor) -> None:
        super().__init__()
        points = as_buffer("Polygon", "corners", corners)
        if points.dim() != 2 or points.shape[1] != 2 or len(points) < 3:
            raise ShapeError(f"`Polygon` needs corners (m, 2), m >= 3, got shape {tuple(points.shape)}")
        found = crossing_edges(points)
        if found is not None:
            raise SpecificationError(
                f"`Polygon` needs edges that do not meet but in their common corners, got edges {found[0]} and "
                f"{found[1]} of {points.tolist()}"
            )
        middle = points - points.mean(dim=0)
        area = 0.5 * float(cross(middle, middle.roll(-1, 0)).sum())
        if area == 0.0:
            raise SpecificationError(f"`Polygon` needs an area, got {points.tolist()}")
        self.register_buffer("corners", points if area > 0.0 else points.flip(0), persistent=False)
        self.register_buffer("triangles", triangulate(self.corners), persistent=False)
        self.dimension, self.unit_dimension, self.volume = 2, 2, abs(area)

    @property
    def contractible(self) -> bool:
        """See `Domain`."""
        return True

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return self.corners.amin(dim=0), self.corners.amax(dim=0)

    def edge_distances(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Distance to each edge, and the side of its line, positive inside: `(*batch, m)` each."""
        start = self.corners.to(points)
        along = start.roll(-1, 0) - start
        arms = points[..., None, :] - start
        part = ((arms * along).sum(dim=-1) / along.square().sum(dim=-1)).clamp(0.0, 1.0)
        gap = torch.linalg.vector_norm(arms - part[..., None] * along, dim=-1)
        return gap, cross(along.expand_as(arms), arms)

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Domain`."""
        self._require_points(points)
        gap, side = self.edge_distances(points)
        start = self.corners.to(points)
        above, next_above = start[:, 1] > points[..., 1:], start.roll(-1, 0)[:, 1] > points[..., 1:]
        # a ray to the right crosses an edge that rises with the point on its left, or falls with it on its right
        crossed = (above != next_above) & ((side > 0.0) == next_above)
        inside = crossed.sum(dim=-1) % 2 == 1
        distance = gap.amin(dim=-1)
        return torch.where(inside, -distance, distance)

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`; the first number picks a triangle, and goes on in it."""
        a, b, c = self.triangles.unbind(1)
        place, rest = choose(unit[:, 0], cross(b - a, c - a))
        one, two, three = self.triangles.to(unit)[place].unbind(1)
        reach, across = rest.sqrt()[:, None], unit[:, 1:]
        points = (1.0 - reach) * one + reach * ((1.0 - across) * two + across * three)
        return points, torch.ones(len(unit), dtype=torch.bool, device=unit.device)

    def boundary(self) -> Edges:
        """See `Domain`."""
        return Edges(self)

    def distance(self) -> PolygonDistance:
        """See `Domain`."""
        return PolygonDistance(self)

    def extra_repr(self) -> str:
        """How many corners."""
        return f"corners={len(self.corners)}"


@final
class Edges(Boundary):
    """The boundary of a polygon.

    Args:
        polygon: what it bounds.

    Example:
        >>> edges = Edges(Polygon([[0, 0], [1, 0], [0, 1]]))
        >>> round(edges.volume, 4), edges.normal(torch.tensor([[0.5, 0.0]])).tolist()
        (3.4142, [[0.0, -1.0]])
    """

    lengths: Tensor

    def __init__(self, polygon: Polygon) -> None:
        super().__init__()
        self.polygon, self.dimension, self.unit_dimension = polygon, 2, 1
        along = polygon.corners.roll(-1, 0) - polygon.corners
        self.register_buffer("lengths", torch.linalg.vector_norm(along, dim=-1), persistent=False)
        self.volume = float(self.lengths.sum())

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """See `Domain`."""
        return self.polygon.bounds

    def signed_distance(self, points: Tensor) -> Tensor:
        """See `Boundary`."""
        return self.polygon.signed_distance(points).abs()

    def place(self, unit: Tensor) -> tuple[Tensor, Tensor]:
        """See `Domain`; by the length of the line."""
        corners = self.polygon.corners.to(unit)
        edge, part = choose(unit[:, 0], self.lengths)
        points = torch.lerp(corners[edge], corners.roll(-1, 0)[edge], part[:, None])
        return points, torch.ones(len(unit), dtype=torch.bool, device=unit.device)

    def normal(self, points: Tensor) -> Tensor:
        """See `Boundary`; of the nearest edge."""
        self._require_points(points)
        gap, _ = self.polygon.edge_distances(points)
        along = (self.polygon.corners.roll(-1, 0) - self.polygon.corners) / self.lengths[:, None]
        outward = torch.stack([along[:, 1], -along[:, 0]], dim=-1).to(points)
        return outward[gap.argmin(dim=-1)]

    def distance(self) -> PolygonDistance:
        """See `Boundary`."""
        return self.polygon.distance()


@final
class PolygonDistance(Distance):
    r"""Distances to the edges, joined by R-equivalence, with the sign of inside and outside.

    Of an edge of length `L`, with :math:`f` the distance to its line and :math:`t = (L^2/4 - |x - x_m|^2)/L`, which is
    positive near the edge and negative beyond its ends: :math:`\sqrt{f^2 + w^2}`, :math:`w = (\sqrt{t^2 + f^4} - t)/2`.
    Where `t` is positive that is computed as :math:`|f|\sqrt{1 + (w/f)^2}`, which can be differentiated at `f = 0`.

    Args:
        polygon: of which.

    Source: Sukumar and Srivastava, CMAME 389, 2022, doi:10.1016/j.cma.2021.114333.

    Example:
        >>> PolygonDistance(Polygon([[0, 0], [1, 0], [1, 1], [0, 1]]))(torch.tensor([[0.5, 0.0], [0.5, 0.5]]))
        tensor([[0.0000],
                [0.1288]])
    """

    weight: Tensor
    bias: Tensor
    lengths: Tensor

    def __init__(self, polygon: Polygon) -> None:
        super().__init__()
        self.polygon = polygon
        start, end = polygon.corners, polygon.corners.roll(-1, 0)
        length = torch.linalg.vector_norm(end - start, dim=-1)
        along = (end - start) / length[:, None]
        inward = torch.stack([-along[:, 1], along[:, 0]], dim=-1)
        weight = torch.cat([inward, along])  # first the distance to the line, then the way along it from the middle
        bias = torch.cat([-(inward * start).sum(dim=-1), -(along * (start + end) / 2.0).sum(dim=-1)])
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.register_buffer("lengths", length, persistent=False)
        self.size = float(length.min())

    def evaluate(self, x: V) -> V:
        """See `Distance`."""
        kind, m = like(x), len(self.lengths)
        lengths = self.lengths.to(kind)
        frame = linear(x, self.weight.to(kind), self.bias.to(kind))
        f, s = frame[..., :m], frame[..., m:]
        t = shift(scale(f * f + s * s, -1.0 / lengths), 0.25 * lengths)
        beside, flat = value_of(t) > 0.0, value_of(f).detach()
        sign = torch.where(flat < 0.0, -1.0, 1.0).to(kind)
        joined = equivalence(select(beside, self._beside(f, t, beside, sign), self._beyond(f, t, beside)), self.size)
        return scale(joined, self._sign(value_of(x).detach(), sign, flat.abs().masked_fill(~beside, torch.inf)))

    def _beside(self, f: V, t: V, beside: Tensor, sign: Tensor) -> V:
        f, t = select(beside, f, 1.0), select(beside, t, 1.0)
        squares: V = f * f
        slack: V = squares * f * bend(reciprocal, (bend(root, t * t + squares * squares) + t) * 2.0)
        return scale(f, sign) * bend(root, slack * slack + 1.0)

    def _beyond(self, f: V, t: V, beside: Tensor) -> V:
        f, t = select(~beside, f, 1.0), select(~beside, t, -1.0)
        squares: V = f * f
        small = guard(f, self.size) ** 2
        w: V = (bend(root, t * t + squares * squares + small) - t) * 0.5
        return bend(root, squares + w * w + small)

    def _sign(self, points: Tensor, sign: Tensor, gap: Tensor) -> Tensor:
        """Inside or outside; on an edge the side of its own line, so that rounding does not tear the function."""
        inside = self.polygon.signed_distance(points) <= 0.0
        nearest, edge = gap.min(dim=-1, keepdim=True)
        own = sign.gather(-1, edge)
        whole = torch.where(inside, 1.0, -1.0).to(sign)[..., None]
        return torch.where(nearest <= self.polygon.tolerance(points.dtype), own, whole)
