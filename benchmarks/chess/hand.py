"""A player's arm that reaches over the board."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.chess.camera import Camera
from benchmarks.chess.style import Colour

Floats = npt.NDArray[np.float32]

SKINS: Final[tuple[Colour, ...]] = ((228, 178, 148), (204, 148, 112), (150, 98, 68), (96, 62, 46))
SLEEVES: Final[tuple[Colour, ...]] = ((40, 44, 60), (90, 92, 98), (220, 222, 226), (74, 34, 40), (30, 70, 60))
# Height of the fingers over the square they point at, and of the elbow, in squares.
FINGERS_UP: Final = 0.55
ELBOW_UP: Final = 1.3


@dataclass(frozen=True)
class Hand:
    """An arm and its hand.

    Attributes:
        square: Square (0..63) that the fingers are over.
        from_white: Whether the arm comes from White's side of the board.
        skin, sleeve: Colours.
        slant: Sideways place of the elbow relative to the hand, squares.
    """

    square: int
    from_white: bool
    skin: Colour = SKINS[0]
    sleeve: Colour = SLEEVES[0]
    slant: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.square < 64:
            raise ValueError(f"`Hand` needs a square in 0..63, got {self.square}")


def random_hand(square: int, from_white: bool, rng: np.random.Generator) -> Hand:
    """A hand over `square` with random colours and slant."""
    skin, sleeve = SKINS[int(rng.integers(len(SKINS)))], SLEEVES[int(rng.integers(len(SLEEVES)))]
    return Hand(square, from_white, skin, sleeve, float(rng.uniform(-2.0, 2.0)))


@lru_cache(maxsize=64)
def hand_layer(hand: Hand, camera: Camera) -> tuple[Floats, Floats]:
    """Colour (H, W, 3) in 0..255 and cover (H, W, 1) in [0, 1] of `hand` seen by `camera`, with soft edges."""
    height, width = camera.shape
    side = -1.0 if hand.from_white else 1.0
    tip = np.array((hand.square % 8 + 0.5, hand.square // 8 + 0.5, FINGERS_UP))
    # The elbow is beyond the player's edge of the board: the arm covers all squares on its way.
    elbow = np.array((tip[0] + hand.slant, 4 + side * 6.5, ELBOW_UP))
    back = (elbow - tip) / math.dist(elbow[:2], tip[:2])
    across = np.array((-back[1], back[0], 0.0))
    palm, wrist, cuff = tip + 0.75 * back, tip + 1.5 * back, tip + 2.0 * back
    colour = Image.new("RGB", (width, height), hand.skin)
    cover = Image.new("L", (width, height))
    paints = ImageDraw.Draw(colour), ImageDraw.Draw(cover)

    def limb(start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], wide: tuple[float, float],
             fill: Colour) -> None:  # fmt: skip
        corners = np.stack([start - wide[0] * across, start + wide[0] * across,
                            end + wide[1] * across, end - wide[1] * across])  # fmt: skip
        polygon = [(float(x), float(y)) for x, y in camera.project(corners)]
        paints[0].polygon(polygon, fill=fill)
        paints[1].polygon(polygon, fill=255)

    limb(cuff, elbow, (0.46, 0.62), hand.sleeve)
    limb(palm, cuff, (0.42, 0.34), hand.skin)
    dark: Colour = (int(0.78 * hand.skin[0]), int(0.78 * hand.skin[1]), int(0.78 * hand.skin[2]))
    for index, spread in enumerate((-0.32, -0.11, 0.10, 0.31)):
        end = tip + spread * 0.7 * across + (0.12 if index in (0, 3) else -0.08) * back
        limb(palm + spread * across, end, (0.115, 0.08), dark if index % 2 else hand.skin)
    limb(wrist + 0.36 * across, palm + 0.62 * across - 0.25 * back, (0.14, 0.10), dark)
    mask = np.asarray(cover.filter(ImageFilter.GaussianBlur(1.0)), dtype=np.float32)[..., None] / np.float32(255)
    paint = np.asarray(colour.filter(ImageFilter.GaussianBlur(1.2)), dtype=np.float32)
    return paint, mask
