"""Domains of all kinds, with what is known of them."""

import math
from dataclasses import dataclass

from constraints.domains import Ball, Cuboid, Domain, Polygon

ELL = [[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, 2.0], [0.0, 2.0]]
STAR = [[math.cos(0.2 * math.pi * i) * r, 3.0 + math.sin(0.2 * math.pi * i) * r] for i, r in enumerate([1.0, 0.4] * 5)]


@dataclass
class Case:
    """A domain, its exact measure, that of its boundary, and whether signed distances are exact."""

    name: str
    domain: Domain
    volume: float
    surface: float
    exact: bool = True


def star_area() -> float:
    return 0.5 * sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(STAR, [*STAR[1:], STAR[0]], strict=True))


def star_length() -> float:
    return sum(math.dist(a, b) for a, b in zip(STAR, [*STAR[1:], STAR[0]], strict=True))


SQUARE = Cuboid([0.0, 0.0], [1.0, 1.0])
LENS = 2.0 * math.acos(0.5) - math.sqrt(3.0) / 2.0  # two unit disks, 1 apart

CASES = [
    Case("interval", Cuboid([-1.0], [2.0]), 3.0, 2.0),
    Case("rectangle", Cuboid([0.0, -1.0], [2.0, 2.0]), 6.0, 10.0),
    Case("box", Cuboid([0.0, 0.0, 1.0], [1.0, 2.0, 4.0]), 6.0, 22.0),
    Case("tiny", Cuboid([0.0, 0.0], [1e-5, 2e-5]), 2e-10, 6e-5),
    Case("ball1", Ball([1.0], 2.0), 4.0, 2.0),
    Case("disk", Ball([1.0, -1.0], 2.0), 4 * math.pi, 4 * math.pi),
    Case("ball3", Ball([0.0, 0.0, 1.0], 0.5), math.pi / 6, math.pi),
    Case("ball4", Ball([0.0, 0.0, 1.0, 2.0], 1.0), math.pi**2 / 2, 2 * math.pi**2),
    Case("ell", Polygon(ELL), 3.0, 8.0),
    Case("star", Polygon(STAR[::-1]), star_area(), star_length()),
    Case("cylinder", Ball([0.0, 0.0], 1.0) * Cuboid([0.0], [2.0]), 2 * math.pi, 6 * math.pi),
    Case("prism", Polygon(ELL) * Cuboid([1.0], [2.0]), 3.0, 8.0 + 6.0),
    Case("plate", SQUARE - Ball([0.5, 0.5], 0.25), 1 - math.pi / 16, 4 + math.pi / 2, exact=False),
    Case("lens", Ball([0.0, 0.0], 1.0) & Ball([1.0, 0.0], 1.0), LENS, 4 * math.pi / 3, exact=False),
    Case("pair", Ball([0.0, 0.0], 1.0) | Ball([1.0, 0.0], 1.0), 2 * math.pi - LENS, 8 * math.pi / 3, exact=False),
    Case("abutting", SQUARE | Cuboid([1.0, 0.0], [2.0, 1.0]), 2.0, 6.0, exact=False),
    Case(
        "nested",
        (SQUARE - Ball([0.0, 0.0], 0.5)) - Ball([1.0, 1.0], 0.5),
        1 - math.pi / 8,
        2 + math.pi / 2,
        exact=False,
    ),
    Case(
        "pipe",
        (SQUARE - Ball([0.5, 0.5], 0.25)) * Cuboid([0.0], [1.0]),
        1 - math.pi / 16,
        6 + 3 * math.pi / 8,
        exact=False,
    ),
]
