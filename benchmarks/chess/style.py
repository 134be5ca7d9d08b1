"""Looks of a broadcast: boards, chessmen, camera, light and signal quality."""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from benchmarks.chess.camera import Camera
from benchmarks.chess.shapes import CLASSIC, CLUB, SLENDER, STOUT, TAPERED, ShapeSet

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Style:
    """One look.

    Attributes:
        name: Short name.
        light, dark: Colours of the squares.
        border, table: Colours of the board's rim and of what lies around it.
        white, black: Body colours of the chessmen.
        outline: Colour of their edges.
        shapes: Their design.
        camera: Where it is seen from.
        width, height: Scales of the chessmen.
        mirrored: Whether the white knights look left (the black ones look the other way).
        lamp: Direction that the light comes from, degrees in the board plane from the camera's right hand.
        shine: Strength of highlights, in [0, 1].
        gradient: Relative loss of light from the lit to the far side of the frame, in [0, 1).
        vignette: Relative loss of light in the corners, in [0, 1).
        grain: Variation of a square's shade, grey levels.
        exposure: Gain of the camera.
        contrast: What is left of the deviations from middle grey, in (0, 1].
        noise: Standard deviation of the sensor noise, grey levels.
        blur: Standard deviation of the optical blur, pixels.
        quality: JPEG quality, 1..95.
        wobble: Standard deviation of a chessman's place inside its square, squares.
    """

    name: str
    light: Colour
    dark: Colour
    border: Colour
    table: Colour
    white: Colour
    black: Colour
    outline: Colour = (30, 24, 20)
    shapes: ShapeSet = CLASSIC
    camera: Camera = field(default_factory=Camera)
    width: float = 1.0
    height: float = 1.0
    mirrored: bool = False
    lamp: float = 40.0
    shine: float = 0.5
    gradient: float = 0.15
    vignette: float = 0.12
    grain: float = 3.0
    exposure: float = 1.0
    contrast: float = 1.0
    noise: float = 1.5
    blur: float = 0.3
    quality: int = 92
    wobble: float = 0.02


TRAIN_STYLES: Final[tuple[Style, ...]] = (
    Style("walnut", (222, 190, 146), (136, 88, 52), (84, 50, 28), (58, 62, 70), (236, 214, 168), (58, 36, 26),
          camera=Camera(50, 0)),
    Style("tournament-green", (236, 236, 210), (92, 132, 82), (220, 220, 200), (96, 84, 74), (240, 226, 190),
          (38, 34, 34), shapes=STOUT, camera=Camera(46, -8), lamp=120),
    Style("rosewood", (228, 196, 150), (118, 58, 40), (70, 34, 26), (120, 108, 92), (226, 190, 130), (96, 34, 26),
          shapes=SLENDER, camera=Camera(54, 6), lamp=70),
    Style("blue-vinyl", (224, 230, 238), (80, 112, 160), (40, 56, 92), (150, 146, 140), (244, 240, 228),
          (30, 30, 38), shapes=CLASSIC, camera=Camera(43, 10), mirrored=True, lamp=20),
    Style("grey-marble", (214, 214, 212), (120, 122, 126), (66, 66, 70), (44, 40, 40), (238, 236, 230),
          (44, 44, 48), shapes=STOUT, camera=Camera(57, -12), lamp=150, shine=0.9),
    Style("maple", (240, 214, 172), (180, 124, 78), (148, 98, 60), (70, 88, 82), (246, 228, 186), (74, 46, 30),
          shapes=SLENDER, camera=Camera(48, 14, 14), mirrored=True, lamp=100, width=1.04),
    Style("olive", (226, 220, 176), (126, 122, 74), (60, 56, 36), (170, 158, 138), (232, 210, 156), (50, 44, 32),
          shapes=CLASSIC, camera=Camera(52, -16, 22), lamp=60, height=1.05),
    Style("night-studio", (196, 184, 168), (84, 74, 72), (30, 28, 32), (22, 22, 30), (224, 206, 172), (40, 30, 34),
          shapes=SLENDER, camera=Camera(45, 3, 15), lamp=160, gradient=0.3, vignette=0.25, outline=(14, 12, 14)),
    Style("cherry", (232, 202, 164), (158, 84, 56), (104, 48, 34), (190, 186, 178), (240, 220, 178), (46, 28, 24),
          shapes=STOUT, camera=Camera(55, 18), lamp=45, mirrored=True, height=0.95),
    Style("teal-club", (228, 228, 216), (70, 126, 128), (40, 70, 74), (92, 70, 56), (238, 222, 182), (60, 40, 30),
          shapes=CLASSIC, camera=Camera(49, -4, 19), lamp=130, width=0.95, height=1.03),
)  # fmt: skip

TEST_STYLES: Final[tuple[Style, ...]] = (
    Style("bronze-hall", (216, 182, 128), (150, 100, 44), (92, 58, 22), (86, 94, 104), (234, 204, 148), (62, 44, 34),
          shapes=CLUB, camera=Camera(51, 8, 16), lamp=85),
    Style("jade-online", (240, 240, 224), (112, 150, 104), (70, 92, 66), (56, 60, 58), (250, 246, 232), (48, 42, 42),
          shapes=TAPERED, camera=Camera(47, -11, 18), lamp=35, mirrored=True),
    Style("slate-final", (204, 210, 216), (98, 112, 128), (50, 58, 68), (128, 112, 100), (232, 220, 196), (52, 36, 36),
          shapes=CLUB, camera=Camera(53, 15, 20), lamp=140, gradient=0.22),
    Style("mahogany-cup", (220, 180, 140), (128, 66, 48), (52, 28, 22), (112, 120, 104), (238, 212, 164), (70, 30, 24),
          shapes=TAPERED, camera=Camera(44, -2, 15), lamp=110, height=1.02, mirrored=True),
)  # fmt: skip


def degrade(style: Style, difficulty: float) -> Style:
    """`style` with a signal as bad as `difficulty` in [0, 1]: 0 leaves it as it is, 1 is hard even for a person."""
    if not 0 <= difficulty <= 1:
        raise ValueError(f"`degrade` needs difficulty in [0, 1], got {difficulty}")
    level = difficulty
    return replace(
        style,
        noise=style.noise + 26.0 * level**1.5,
        blur=style.blur + 1.9 * level,
        quality=round(style.quality * (1 - level) + 14 * level),
        contrast=style.contrast * (1 - 0.55 * level),
        wobble=style.wobble + 0.08 * level,
    )


def jitter(style: Style, rng: np.random.Generator) -> Style:
    """`style` as one broadcast has it: a slightly different camera, light, exposure, colours and proportions."""
    camera = replace(
        style.camera,
        elevation=style.camera.elevation + rng.uniform(-2, 2),
        azimuth=style.camera.azimuth + rng.uniform(-3, 3),
        distance=style.camera.distance + rng.uniform(-1, 1),
        zoom=style.camera.zoom * rng.uniform(0.94, 1.0),
    )

    def tint(colour: Colour) -> Colour:
        red, green, blue = (int(np.clip(value + rng.uniform(-8, 8), 0, 255)) for value in colour)
        return red, green, blue

    return replace(
        style,
        camera=camera,
        light=tint(style.light),
        dark=tint(style.dark),
        white=tint(style.white),
        black=tint(style.black),
        width=style.width * rng.uniform(0.95, 1.05),
        height=style.height * rng.uniform(0.95, 1.05),
        lamp=style.lamp + rng.uniform(-15, 15),
        gradient=style.gradient * rng.uniform(0.6, 1.4),
        vignette=style.vignette * rng.uniform(0.6, 1.4),
        exposure=style.exposure * rng.uniform(0.92, 1.08),
    )
