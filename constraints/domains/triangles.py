"""Simple polygons: whether corners make one, and triangles that fill it."""

from __future__ import annotations

import torch
from torch import Tensor

from constraints.errors import SpecificationError

__all__ = ["cross", "crossing_edges", "triangulate"]


def cross(a: Tensor, b: Tensor) -> Tensor:
    """The product that is positive where `b` is to the left of `a`, `(*batch, 2)` to `(*batch,)`.

    Example:
        >>> cross(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
        tensor(1.)
    """
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def crossing_edges(corners: Tensor) -> tuple[int, int] | None:
    """Two edges of a closed line that meet elsewhere than in a common corner; None where it is simple.

    Args:
        corners: in order, `(m, 2)`.

    Example:
        >>> crossing_edges(torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))
        (0, 2)
    """
    m = len(corners)
    start, end = corners, corners.roll(-1, 0)
    along = end - start
    p, q = start[:, None], start[None]  # edge i by rows, edge j by columns
    a = cross(along[:, None], q - p)
    b = cross(along[:, None], end[None] - p)
    within = _between(p, end[:, None], q) & (a == 0.0)
    apart = (a * b < 0.0) & (a * b < 0.0).T
    i, j = torch.meshgrid(torch.arange(m), torch.arange(m), indexing="ij")
    neighbours = ((i - j) % m <= 1) | ((j - i) % m <= 1)
    # a start on an edge that does not begin or end there; neighbours may still fold back onto each other
    touching = within & (i != j) & (j != (i + 1) % m)
    folded = ((j + 1) % m == i) & (a == 0.0) & ((along[:, None] * (q - p)).sum(dim=-1) > 0.0)
    found = ((apart & ~neighbours) | touching | folded).nonzero()
    return (int(found[0, 0]), int(found[0, 1])) if len(found) else None


def triangulate(corners: Tensor) -> Tensor:
    """Triangles that fill a simple polygon, by cutting off ears.

    Args:
        corners: counterclockwise, `(m, 2)`.

    Returns:
        `(m - 2, 3, 2)`, or fewer where corners lie on a straight line.

    Source: Meisters, "Polygons have ears", Amer. Math. Monthly 82, 1975, doi:10.2307/2319703.

    Example:
        >>> triangulate(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.5, 0.5], [0.0, 2.0]])).shape
        torch.Size([2, 3, 2])
    """
    left = list(range(len(corners)))
    found = []
    while len(left) >= 3:
        for i in range(len(left)):
            places = [left[i - 1], left[i], left[(i + 1) % len(left)]]
            a, b, c = corners[places]
            area = cross(b - a, c - b)
            others = corners[[place for place in left if place not in places]]
            if area == 0.0 or (area > 0.0 and not bool(_in_triangle(a, b, c, others).any())):
                break
        else:  # rounding hides all ears
            raise SpecificationError(f"`Polygon` needs corners far enough apart to be told from each other, got {left}")
        if area > 0.0:
            found.append(corners[places])
        del left[i]
    return torch.stack(found)


def _in_triangle(a: Tensor, b: Tensor, c: Tensor, points: Tensor) -> Tensor:
    """Inside or on the boundary; a corner of the polygon on the cut would leave a piece that is not simple."""
    return (cross(b - a, points - a) >= 0.0) & (cross(c - b, points - b) >= 0.0) & (cross(a - c, points - c) >= 0.0)


def _between(a: Tensor, b: Tensor, points: Tensor) -> Tensor:
    """Whether points of the line through `a` and `b` are between them."""
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    return ((low <= points) & (points <= high)).all(dim=-1)
