"""Chessmen as solids: turned profiles, crenellations, and the flat head of the knight.

Lengths are in squares (the side of a board square is 1), heights upwards from the board.
"""

from dataclasses import dataclass
from typing import Final

import chess

Point = tuple[float, float]

# Muzzle to the right; across in -0.5..0.5 of the head's width, up in 0..1 of its height.
KNIGHT_CLASSIC: Final[tuple[Point, ...]] = (
    (-0.34, 0.00), (-0.42, 0.30), (-0.40, 0.60), (-0.28, 0.84), (-0.12, 0.94), (-0.06, 1.06), (0.04, 0.92),
    (0.18, 0.82), (0.40, 0.62), (0.54, 0.48), (0.50, 0.36), (0.36, 0.33), (0.16, 0.44), (0.06, 0.40), (0.20, 0.22),
    (0.34, 0.00),
)  # fmt: skip
KNIGHT_ANGULAR: Final[tuple[Point, ...]] = (
    (-0.32, 0.00), (-0.36, 0.55), (-0.16, 0.98), (-0.02, 0.90), (0.06, 1.02), (0.14, 0.84), (0.52, 0.58),
    (0.50, 0.40), (0.12, 0.46), (0.24, 0.22), (0.32, 0.00),
)  # fmt: skip
KNIGHT_ARCHED: Final[tuple[Point, ...]] = (
    (-0.30, 0.00), (-0.44, 0.22), (-0.46, 0.56), (-0.34, 0.84), (-0.10, 1.00), (-0.02, 1.10), (0.06, 0.98),
    (0.26, 0.84), (0.42, 0.60), (0.46, 0.40), (0.38, 0.30), (0.26, 0.34), (0.12, 0.50), (-0.02, 0.40), (0.14, 0.20),
    (0.30, 0.00),
)  # fmt: skip


@dataclass(frozen=True)
class ShapeSet:
    """One design of chessmen.

    Attributes:
        base: Radius of the foot, as a factor.
        waist: Radius of the stem, as a factor.
        head: Size of the ball, mitre, coronet or turret, as a factor.
        collar: Radius of the ring under the head, as a factor.
        notches: Crenels of the rook.
        points: Points of the queen's coronet.
        cross: Size of the king's cross, as a factor.
        knight: Outline of the knight's head.
    """

    base: float = 1.0
    waist: float = 1.0
    head: float = 1.0
    collar: float = 1.0
    notches: int = 6
    points: int = 8
    cross: float = 1.0
    knight: tuple[Point, ...] = KNIGHT_CLASSIC


CLASSIC: Final = ShapeSet()
SLENDER: Final = ShapeSet(base=0.94, waist=0.78, head=0.92, collar=0.92, points=7, cross=0.95, knight=KNIGHT_ANGULAR)
STOUT: Final = ShapeSet(base=1.06, waist=1.25, head=1.08, collar=1.0, notches=4, cross=1.1)
# The designs below are in the test styles only.
CLUB: Final = ShapeSet(base=1.0, waist=0.9, head=1.04, collar=1.14, notches=5, points=9, knight=KNIGHT_ARCHED)
TAPERED: Final = ShapeSet(base=1.04, waist=1.08, head=1.0, collar=0.9, notches=8, points=7, cross=1.05)


@dataclass(frozen=True)
class Solid:
    """One chessman.

    Attributes:
        profile: Radius and height along the turned surface, from the foot to the tip.
        crown: Teeth of a ring at the top of the profile (rook, queen): number, outer radius, lower and upper height.
        plate: Flat figure on top (the knight's head, the king's cross): polygons of (across, height).
        thickness: Depth of the plate.
        slit: Line cut in the front of a bishop's mitre, from and to (across, height).
        eye: The knight's eye (across, height).
    """

    profile: tuple[Point, ...]
    crown: tuple[int, float, float, float] | None = None
    plate: tuple[tuple[Point, ...], ...] = ()
    thickness: float = 0.0
    slit: tuple[Point, Point] | None = None
    eye: Point | None = None

    @property
    def height(self) -> float:
        """Height of the highest point."""
        tips = [height for _, height in self.profile]
        tips += [height for polygon in self.plate for _, height in polygon]
        return max(tips + ([self.crown[3]] if self.crown else []))


def solid(kind: chess.PieceType, shapes: ShapeSet) -> Solid:
    """The chessman of `kind` in the design `shapes`."""
    makers = {
        chess.PAWN: _pawn, chess.KNIGHT: _knight, chess.BISHOP: _bishop,
        chess.ROOK: _rook, chess.QUEEN: _queen, chess.KING: _king,
    }  # fmt: skip
    return makers[kind](shapes)


def _foot(radius: float) -> tuple[Point, ...]:
    return ((radius, 0.0), (radius, 0.07), (0.86 * radius, 0.11), (0.82 * radius, 0.15))


def _ball(centre: float, radius: float) -> tuple[Point, ...]:
    # Cosine and sine at -60, -30, 0, 30, 60, 90 degrees.
    steps = ((0.5, -0.87), (0.87, -0.5), (1.0, 0.0), (0.87, 0.5), (0.5, 0.87), (0.0, 1.0))
    return tuple((radius * across, centre + radius * up) for across, up in steps)


def _ring(radius: float, height: float, inner: float) -> tuple[Point, ...]:
    return ((inner, height - 0.03), (radius, height), (radius, height + 0.03), (inner, height + 0.06))


def _pawn(shapes: ShapeSet) -> Solid:
    waist = 0.09 * shapes.waist
    return Solid(
        (
            *_foot(0.25 * shapes.base),
            (waist * 1.2, 0.30),
            (waist, 0.42),
            *_ring(0.17 * shapes.collar, 0.45, waist),
            *_ball(0.61, 0.155 * shapes.head),
        )
    )


def _rook(shapes: ShapeSet) -> Solid:
    waist, turret = 0.17 * shapes.waist, 0.26 * shapes.head
    profile = (
        *_foot(0.31 * shapes.base), (waist * 1.2, 0.25), (waist, 0.55), (turret, 0.66), (turret, 0.82), (0.0, 0.83),
    )  # fmt: skip
    return Solid(profile, crown=(shapes.notches, turret, 0.82, 0.97))


def _knight(shapes: ShapeSet) -> Solid:
    foot = 0.30 * shapes.base
    width, low, high = 0.62 * shapes.head, 0.17, 1.08
    head = tuple((width * across, low + (high - low) * up) for across, up in shapes.knight)
    eye = (width * 0.10, low + (high - low) * 0.72)
    profile = (*_foot(foot), (0.70 * foot, 0.20), (0.0, 0.21))
    return Solid(profile, plate=(head,), thickness=0.22, eye=eye)


def _bishop(shapes: ShapeSet) -> Solid:
    waist, mitre = 0.10 * shapes.waist, 0.165 * shapes.head
    profile = (
        *_foot(0.28 * shapes.base),
        (waist * 1.25, 0.34), (waist, 0.62),
        *_ring(0.19 * shapes.collar, 0.66, waist),
        (mitre * 0.8, 0.77), (mitre, 0.86), (mitre * 0.9, 0.96), (mitre * 0.55, 1.08), (0.03, 1.17),
        *_ball(1.20, 0.05),
    )  # fmt: skip
    return Solid(profile, slit=((0.01, 0.90), (0.12 * shapes.head, 1.06)))


def _queen(shapes: ShapeSet) -> Solid:
    waist, brim = 0.115 * shapes.waist, 0.235 * shapes.head
    profile = (
        *_foot(0.33 * shapes.base),
        (waist * 1.3, 0.36), (waist, 0.82),
        *_ring(0.21 * shapes.collar, 0.88, waist),
        (waist * 1.1, 1.0), (brim, 1.22), (brim * 0.75, 1.24), (brim * 0.45, 1.32),
        *_ball(1.38, 0.065),
    )  # fmt: skip
    return Solid(profile, crown=(shapes.points, brim, 1.20, 1.33))


def _king(shapes: ShapeSet) -> Solid:
    waist, brim = 0.13 * shapes.waist, 0.22 * shapes.head
    profile = (
        *_foot(0.34 * shapes.base),
        (waist * 1.3, 0.38), (waist, 0.86),
        *_ring(0.23 * shapes.collar, 0.93, waist),
        (waist * 1.15, 1.04), (brim, 1.24), (brim * 0.9, 1.28), (0.05, 1.36), (0.0, 1.38),
    )  # fmt: skip
    low, arm, half = 1.34, 0.125 * shapes.cross, 0.038 * shapes.cross
    middle, top = low + 0.17 * shapes.cross, low + 0.29 * shapes.cross
    upright = ((-half, low), (-half, top), (half, top), (half, low))
    bar = ((-arm, middle - half), (-arm, middle + half), (arm, middle + half), (arm, middle - half))
    return Solid(profile, plate=(upright, bar), thickness=0.07)
