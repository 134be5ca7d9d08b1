"""Chessmen drawn once: master sprites that the renderer warps to each square.

A master is an orthographic oblique view of a solid: across is right, up is height times cos(elevation) plus depth
times sin(elevation). Turned solids are painted slice by slice from the foot to the tip, each slice a shaded disc;
that is exact for a surface of revolution seen from above.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import chess
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.chess.shapes import ShapeSet, Solid, solid
from benchmarks.chess.style import Colour, Style

Floats = npt.NDArray[np.float32]

# Pixels a square: drawn at FINE and halved, so that edges are smooth.
SCALE: Final = 44
FINE: Final = 2 * SCALE
HALF_WIDTH: Final = 0.55
LAMP_HEIGHT: Final = math.radians(50)


@dataclass(frozen=True)
class Master:
    """A chessman in colour.

    Attributes:
        image: RGBA picture at `SCALE` pixels a square.
        foot: Pixel (column, row) of the middle of its foot.
        squash: Pixels up for a unit of height, relative to `SCALE`.
    """

    image: Image.Image
    foot: tuple[float, float]
    squash: float


def master(style: Style, label: int) -> Master:
    """The chessman `label` (1..12) of `style`.

    Elevation and lamp are rounded, so that the jittered cameras of one style share their masters.
    """
    kind, is_white = (label - 1) % 6 + 1, label <= 6
    return _master(
        kind,
        style.shapes,
        5 * round(style.camera.elevation / 5),
        30 * round(style.lamp / 30),
        style.white if is_white else style.black,
        style.outline,
        style.shine,
        style.mirrored == is_white,
    )


@lru_cache(maxsize=1024)
def _master(
    kind: chess.PieceType,
    shapes: ShapeSet,
    elevation: int,
    lamp: int,
    body: Colour,
    outline: Colour,
    shine: float,
    mirrored: bool,
) -> Master:
    canvas = _draw(kind, shapes, elevation, lamp, mirrored)
    shade = canvas.shade[..., None]
    colour: Floats = np.asarray(body, dtype=np.float32) * np.minimum(shade, np.float32(1.25))
    colour += 150 * shine * canvas.gloss[..., None]
    alpha = Image.fromarray((255 * canvas.alpha).astype(np.uint8))
    inside = np.asarray(alpha.filter(ImageFilter.MinFilter(5)), dtype=np.float32)[..., None] / 255
    colour += 0.7 * (np.asarray(outline, dtype=np.float32) - colour) * (1 - inside)
    pixels = np.concatenate((np.clip(colour, 0, 255), np.asarray(alpha, dtype=np.float32)[..., None]), axis=-1)
    image = Image.fromarray(pixels.astype(np.uint8), "RGBA").convert("RGBa").reduce(2).convert("RGBA")
    return Master(image, (canvas.origin[0] / 2, canvas.origin[1] / 2), math.cos(math.radians(elevation)))


class _Canvas:
    """Shade, gloss and cover of one solid while it is painted, at `FINE` pixels a square."""

    def __init__(self, height: float, elevation: float) -> None:
        self.sin, self.cos = math.sin(math.radians(elevation)), math.cos(math.radians(elevation))
        above = height * self.cos + HALF_WIDTH * self.sin
        rows = 2 * math.ceil(FINE * (above + 0.45 * self.sin) / 2)
        columns = 2 * round(FINE * HALF_WIDTH)
        self.origin = (columns / 2, FINE * above)
        self.shade = np.zeros((rows, columns), dtype=np.float32)
        self.gloss = np.zeros((rows, columns), dtype=np.float32)
        self.alpha = np.zeros((rows, columns), dtype=np.float32)
        self._across = ((np.arange(columns) + 0.5 - self.origin[0]) / FINE).astype(np.float32)
        self._down = ((np.arange(rows) + 0.5 - self.origin[1]) / FINE).astype(np.float32)

    def disc(
        self, radius: float, height: float, normal: tuple[float, float], light: Floats, teeth: tuple[int, float] | None
    ) -> None:
        """Paint a disc whose rim has the `normal` (outwards, upwards); `teeth`: number and inner radius of a crown."""
        centre = -height * self.cos
        reach = radius * self.sin
        rows = slice(*np.searchsorted(self._down, (centre - reach, centre + reach)))
        columns = slice(*np.searchsorted(self._across, (-radius, radius)))
        x = self._across[columns][None] / radius
        y = (self._down[rows][:, None] - centre) / reach
        distance = x * x + y * y
        mask = distance <= 1
        if teeth is not None:
            count, inner = teeth
            turn = np.arctan2(y, x) * count / (2 * math.pi) + 0.25
            mask &= (distance >= inner * inner) & (turn - np.floor(turn) < 0.58)
        # The visible rim is the near half: its normal turns from left over the viewer to right.
        near = -np.sqrt(np.maximum(0, 1 - x * x))
        facing = normal[0] * (x * light[0] + near * light[1]) + normal[1] * light[2]
        lit = np.broadcast_to(0.52 + 0.58 * np.maximum(facing, 0) + 0.08 * normal[1], mask.shape)
        spot = np.broadcast_to(np.maximum(facing, 0) ** 24, mask.shape)
        np.copyto(self.shade[rows, columns], lit, where=mask)
        np.copyto(self.gloss[rows, columns], spot, where=mask)
        np.copyto(self.alpha[rows, columns], 1.0, where=mask)

    def stamp(self, polygon: npt.NDArray[np.float64], depth: float, shade: float | Floats) -> None:
        """Paint a flat figure of (across, height) points that stands `depth` behind the middle."""
        pixels = [
            (self.origin[0] + FINE * across, self.origin[1] - FINE * (height * self.cos + depth * self.sin))
            for across, height in polygon
        ]
        picture = Image.new("L", self.alpha.shape[::-1])
        ImageDraw.Draw(picture).polygon(pixels, fill=1)
        mask = np.asarray(picture) > 0
        np.copyto(self.shade, np.broadcast_to(shade, mask.shape), where=mask)
        self.gloss[mask] = 0
        self.alpha[mask] = 1

    def column_shade(self, light: Floats) -> Floats:
        """Soft left to right shade of a flat figure, (1, columns)."""
        return np.asarray(0.84 + 0.5 * light[0] * self._across / HALF_WIDTH, dtype=np.float32)[None]


@lru_cache(maxsize=256)
def _draw(kind: chess.PieceType, shapes: ShapeSet, elevation: int, lamp: int, mirrored: bool) -> _Canvas:
    figure = solid(kind, shapes)
    canvas = _Canvas(figure.height, elevation)
    turn = math.radians(lamp)
    light = np.array(
        (math.cos(turn) * math.cos(LAMP_HEIGHT), -abs(math.sin(turn)) * math.cos(LAMP_HEIGHT), math.sin(LAMP_HEIGHT)),
        dtype=np.float32,
    )
    _turn(canvas, figure, light)
    if figure.plate:
        _plate(canvas, figure, light, -1 if mirrored else 1)
    if figure.slit is not None:
        (x0, z0), (x1, z1) = figure.slit
        side = -1 if mirrored else 1
        cut = np.array(((x0, z0), (x1, z1), (x1 - 0.035, z1 + 0.015), (x0 - 0.035, z0 + 0.015))) * (side, 1)
        canvas.stamp(cut, -0.13, 0.2)
    return canvas


def _turn(canvas: _Canvas, figure: Solid, light: Floats) -> None:
    """Paint the turned surface, the crown in its place by height."""
    points = np.asarray(figure.profile)
    length = np.concatenate(([0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))))
    at = np.linspace(0, length[-1], max(2, round(length[-1] * FINE)))
    radii, heights = np.interp(at, length, points[:, 0]), np.interp(at, length, points[:, 1])
    slope = np.gradient(radii, at), np.gradient(heights, at)
    size = np.hypot(*slope) + 1e-9
    slices = [(h, r, (float(dz / n), float(-dr / n)), None) for r, h, dr, dz, n in
              zip(radii, heights, *slope, size, strict=True)]  # fmt: skip
    crown: list[tuple[float, float, tuple[float, float], tuple[int, float] | None]] = []
    if figure.crown is not None:
        count, radius, low, high = figure.crown
        steps = np.linspace(low, high, max(2, round((high - low) * FINE)))
        # A crown flares a little; its top faces up.
        crown = [
            (h, radius * (1 + 0.12 * (h - low) / (high - low)), (0.2, 0.95) if h > high - 0.02 else (1.0, 0.0),
             (count, 0.66))
            for h in steps
        ]  # fmt: skip
    for height, radius, normal, teeth in sorted(slices + crown, key=lambda item: item[0]):
        if radius > 0.008:
            canvas.disc(radius, height, normal, light, teeth)


def _plate(canvas: _Canvas, figure: Solid, light: Floats, side: int) -> None:
    """Paint the flat figure from its back to its front."""
    front = canvas.column_shade(light)
    depths = np.linspace(figure.thickness / 2, -figure.thickness / 2, 10)
    for depth in depths:
        last = depth == depths[-1]
        for polygon in figure.plate:
            canvas.stamp(np.asarray(polygon) * (side, 1), float(depth), front if last else 1.02)
    if figure.eye is not None:
        across, height = figure.eye
        ring = np.linspace(0, 2 * math.pi, 10)
        spot = np.stack((across * side + 0.03 * np.cos(ring), height + 0.04 * np.sin(ring)), axis=-1)
        canvas.stamp(spot, float(depths[-1]), 0.25)
