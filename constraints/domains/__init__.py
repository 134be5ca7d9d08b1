"""Domains: regions of space and time, their points, boundaries and distance functions."""

from constraints.domains.ball import Ball, BallDistance, Sphere
from constraints.domains.combinations import (
    CombinedBoundary,
    CombinedDistance,
    Difference,
    Intersection,
    Union,
)
from constraints.domains.cuboid import Cuboid, CuboidDistance, Faces
from constraints.domains.distance import Distance
from constraints.domains.domain import Boundary, Domain, UnitPoints
from constraints.domains.part import Part
from constraints.domains.point_cloud import PointCloud
from constraints.domains.polygon import Edges, Polygon, PolygonDistance
from constraints.domains.product import Product, ProductBoundary, ProductDistance, Sides

__all__ = [
    "Ball",
    "BallDistance",
    "Boundary",
    "CombinedBoundary",
    "CombinedDistance",
    "Cuboid",
    "CuboidDistance",
    "Difference",
    "Distance",
    "Domain",
    "Edges",
    "Faces",
    "Intersection",
    "Part",
    "PointCloud",
    "Polygon",
    "PolygonDistance",
    "Product",
    "ProductBoundary",
    "ProductDistance",
    "Sides",
    "Sphere",
    "Union",
    "UnitPoints",
]
