"""Frames of a position, as a broadcast camera shows it."""

import io
import math
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.chess.camera import BORDER, Camera
from benchmarks.chess.hand import Hand, hand_layer
from benchmarks.chess.labels import COUNT
from benchmarks.chess.sprites import SCALE, Floats, master
from benchmarks.chess.style import Style, degrade

Frame = npt.NDArray[np.uint8]

# Middle grey that a loss of contrast tends to.
GREY: Final = 112.0
SHADOW: Final = 0.42
# A chessman stays inside its square, however careless the player.
WOBBLE_LIMIT: Final = 0.24


def render(
    labels: npt.ArrayLike,
    style: Style,
    rng: np.random.Generator,
    *,
    difficulty: float = 0.0,
    hand: Hand | None = None,
    offsets: npt.ArrayLike | None = None,
) -> Frame:
    """One frame of a position.

    Args:
        labels: What stands on the squares, (64,).
        style: The look, with the camera.
        rng: Draws the noise, and the places inside the squares where `offsets` is None.
        difficulty: Signal loss in [0, 1], see `degrade`.
        hand: An arm over the board.
        offsets: Places of the chessmen relative to the middle of their squares, (64, 2) squares, see `draw_offsets`.

    Returns:
        uint8 (H, W, 3).
    """
    placed = np.asarray(labels)
    if placed.shape != (64,) or placed.min() < 0 or placed.max() >= COUNT:
        raise ValueError(f"`render` needs labels (64,) in 0..12, got shape {placed.shape}: {placed!r}")
    worn = degrade(style, difficulty)
    moved = draw_offsets(worn, rng) if offsets is None else np.asarray(offsets)
    canvas = scene(style).compose(placed, moved)
    if hand is not None:
        paint, cover = hand_layer(hand, style.camera)
        canvas += (paint - canvas) * cover
    canvas *= scene(style).light
    return _transmit(canvas, worn, rng)


def draw_offsets(worn: Style, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Places of chessmen relative to the middle of their squares, float32 (64, 2) squares, for a degraded style."""
    places = worn.wobble * rng.standard_normal((64, 2), dtype=np.float32)
    return np.asarray(np.clip(places, -WOBBLE_LIMIT, WOBBLE_LIMIT), dtype=np.float32)


def _transmit(canvas: Floats, worn: Style, rng: np.random.Generator) -> Frame:
    """What sensor, lens and codec leave of a `canvas` (H, W, 3), which is changed."""
    canvas -= GREY
    canvas *= worn.contrast
    canvas += GREY
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    if worn.blur > 0:
        image = image.filter(ImageFilter.GaussianBlur(worn.blur))
    # One field gives brightness noise and, shifted, the smaller colour noise: a third of the draws.
    field = rng.standard_normal(canvas.shape[:2], dtype=np.float32) * np.float32(worn.noise)
    noisy = np.asarray(image, dtype=np.float32) + 0.9 * field[..., None]
    for channel, shift in enumerate((5, 11, 17)):
        noisy[..., channel] += 0.4 * np.roll(field, shift)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=worn.quality)
    return np.array(Image.open(buffer))


@lru_cache(maxsize=6)
def scene(style: Style) -> "Scene":
    """The `Scene` of `style`, laid out once."""
    return Scene(style)


class Scene:
    """An empty board, and the chessmen as they look on each square, drawn when first needed."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.camera: Camera = style.camera
        self.light = _light(style)
        self._board = _board(style)
        centres = np.stack((np.arange(64) % 8 + 0.5, np.arange(64) // 8 + 0.5, np.zeros(64)), axis=-1)
        right = 0.5 * self.camera.axes[0]
        self._foot = self.camera.project(centres)
        self._top = self.camera.project(centres + np.array((0, 0, 1)))
        self._unit = np.linalg.norm(self.camera.project(centres + right) - self.camera.project(centres - right), axis=1)
        # Painter's order: the far squares first.
        self._order = np.argsort(-self.camera.depth(centres))
        self._centres = centres
        self._sprites: dict[tuple[int, int], tuple[int, int, Floats, Floats]] = {}
        self._shadows: dict[tuple[int, int], tuple[int, int, Floats]] = {}

    def compose(self, labels: npt.NDArray[np.integer], offsets: npt.NDArray[np.floating]) -> Floats:
        """The board with its chessmen before light and signal loss, float32 (H, W, 3)."""
        canvas = self._board.copy()
        ground = self._centres.copy()
        ground[:, :2] += offsets
        shift = np.rint(self.camera.project(ground) - self._foot).astype(int)
        occupied = [int(square) for square in self._order if labels[square]]
        for square in occupied:
            left, top, fade = self._shadow(square, int(labels[square] - 1) % 6)
            view, part = _overlap(canvas, fade, left + shift[square, 0], top + shift[square, 1])
            view *= fade[part]
        for square in occupied:
            left, top, colour, keep = self._sprite(square, int(labels[square]))
            view, part = _overlap(canvas, colour, left + shift[square, 0], top + shift[square, 1])
            view *= keep[part]
            view += colour[part]
        return canvas

    def _sprite(self, square: int, label: int) -> tuple[int, int, Floats, Floats]:
        """Left, top, colour times cover (h, w, 3) and one minus cover (h, w, 1)."""
        key = square, label
        if key not in self._sprites:
            self._sprites[key] = self._warp(square, label)
        return self._sprites[key]

    def _warp(self, square: int, label: int) -> tuple[int, int, Floats, Floats]:
        piece = master(self.style, label)
        (x, y), rise = self._foot[square], self._top[square] - self._foot[square]
        # Master pixel (column, row) -> frame: across along the row, up along the leaning vertical.
        across = self._unit[square] * self.style.width / SCALE
        up = rise * self.style.height / (piece.squash * SCALE)
        columns, rows = piece.image.size
        corners = np.array(
            [(column - piece.foot[0], piece.foot[1] - row) for column in (0, columns) for row in (0, rows)]
        )
        frame = np.stack((x + across * corners[:, 0] + up[0] * corners[:, 1], y + up[1] * corners[:, 1]), axis=-1)
        left, top = np.floor(frame.min(axis=0)).astype(int)
        right, bottom = np.ceil(frame.max(axis=0)).astype(int)
        # The inverse map that Pillow asks for; up[1] is negative.
        a, b = 1 / across, -up[0] / (across * up[1])
        e = -1 / up[1]
        c = piece.foot[0] + a * (left - x) + b * (top - y)
        f = piece.foot[1] + e * (top - y)
        size = (int(right - left), int(bottom - top))
        image = piece.image.transform(
            size, Image.Transform.AFFINE, (a, b, c, 0.0, e, f), resample=Image.Resampling.BILINEAR
        )
        box = image.getbbox() or (0, 0, *size)
        pixels = np.asarray(image.crop(box), dtype=np.float32)
        cover = pixels[..., 3:] / np.float32(255)
        return int(left) + box[0], int(top) + box[1], pixels[..., :3] * cover, np.float32(1) - cover

    def _shadow(self, square: int, kind: int) -> tuple[int, int, Floats]:
        """Left, top and the factor (h, w, 1) of the light that a chessman's shadow leaves on the ground."""
        key = square, kind
        if key not in self._shadows:
            turn = math.radians(self.style.lamp)
            away = -(
                math.cos(turn) * self.camera.axes[0, :2]
                + math.sin(turn) * np.array((-self.camera.axes[0, 1], self.camera.axes[0, 0]))
            )
            reach = (0.35, 0.5, 0.55, 0.45, 0.65, 0.7)[kind]
            ring = np.linspace(0, 2 * math.pi, 24, endpoint=False)
            circle = np.stack((np.cos(ring), np.sin(ring)), axis=-1)
            # A capsule: a circle at the foot, drawn out on the side away from the lamp.
            outline = 0.27 * circle + reach * away * (circle @ away > 0)[:, None]
            world = np.concatenate((self._centres[square, :2] + outline, np.zeros((24, 1))), axis=-1)
            points = self.camera.project(world)
            left, top = np.floor(points.min(axis=0)).astype(int) - 4
            right, bottom = np.ceil(points.max(axis=0)).astype(int) + 4
            patch = Image.new("L", (int(right - left), int(bottom - top)))
            ImageDraw.Draw(patch).polygon([(float(px - left), float(py - top)) for px, py in points], fill=255)
            dark = np.asarray(patch.filter(ImageFilter.GaussianBlur(1.6)), dtype=np.float32)[..., None]
            self._shadows[key] = int(left), int(top), 1 - np.float32(SHADOW / 255) * dark
        return self._shadows[key]


def _overlap(canvas: Floats, patch: Floats, left: int, top: int) -> tuple[Floats, tuple[slice, slice]]:
    """View of `canvas` under a `patch` laid at (left, top), and the part of the patch that lies on the canvas."""
    height, width = canvas.shape[:2]
    y0, y1 = max(top, 0), min(top + patch.shape[0], height)
    x0, x1 = max(left, 0), min(left + patch.shape[1], width)
    return canvas[y0 : max(y0, y1), x0 : max(x0, x1)], (
        slice(y0 - top, max(y0, y1) - top),
        slice(x0 - left, max(x0, x1) - left),
    )


def _board(style: Style) -> Floats:
    """The empty board on its table, float32 (H, W, 3)."""
    height, width = style.camera.shape
    image = Image.new("RGB", (2 * width, 2 * height), style.table)
    draw = ImageDraw.Draw(image)
    # Grain belongs to the style's board, not to a broadcast: it must not use up the caller's draws.
    grain = np.random.default_rng(sum(style.light + style.dark)).normal(0, style.grain, 64)

    def quad(low: tuple[float, float], high: tuple[float, float], fill: tuple[int, int, int]) -> None:
        corners = [(low[0], low[1], 0.0), (high[0], low[1], 0.0), (high[0], high[1], 0.0), (low[0], high[1], 0.0)]
        draw.polygon([(2 * float(x), 2 * float(y)) for x, y in style.camera.project(corners)], fill=fill)

    quad((-BORDER, -BORDER), (8 + BORDER, 8 + BORDER), style.border)
    for square in range(64):
        file, rank = square % 8, square // 8
        base = style.light if (file + rank) % 2 else style.dark
        red, green, blue = (int(np.clip(value + grain[square], 0, 255)) for value in base)
        quad((file, rank), (file + 1, rank + 1), (red, green, blue))
    return np.asarray(image.reduce(2), dtype=np.float32)


def _light(style: Style) -> Floats:
    """Gain of every pixel, float32 (H, W, 1): exposure, fall-off away from the lamp, and vignette."""
    height, width = style.camera.shape
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(1, -1, height, dtype=np.float32)[:, None]
    turn = math.radians(style.lamp)
    towards = (x * math.cos(turn) + y * math.sin(turn)) / math.sqrt(2)
    gain = style.exposure * (1 + 0.5 * style.gradient * (towards - 1)) * (1 - 0.5 * style.vignette * (x * x + y * y))
    return np.asarray(gain, dtype=np.float32)[..., None]
