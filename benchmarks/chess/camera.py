"""Pinhole camera over the board, and square crops from its frames.

World: the board is the plane z = 0, x from 0 (a-file) to 8, y from 0 (first rank) to 8, z up; one unit is one square.
Pixels: (column, row), row down. The calibration of a broadcast camera is taken as known: fitting it to a frame is a
solved problem of its own, and all readers that are compared would share the result.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

FRAME: Final = (240, 320)
CROP: Final = (40, 24)
# Height that a crop shows above a square's centre, in squares: the tallest king and a little air.
REACH: Final = 1.7
BORDER: Final = 0.45


@dataclass(frozen=True)
class Camera:
    """Pinhole camera that looks at the middle of the board.

    Attributes:
        elevation: Angle of the view above the board plane, degrees in (0, 90).
        azimuth: Turn around the board, degrees; 0 looks from White's side along the files.
        distance: From the eye to the middle of the board, squares.
        zoom: Part of the frame that the board and its pieces fill, in (0, 1].
        shape: Frame height and width, pixels.
    """

    elevation: float = 50.0
    azimuth: float = 0.0
    distance: float = 17.0
    zoom: float = 0.96
    shape: tuple[int, int] = FRAME

    def __post_init__(self) -> None:
        if not 0 < self.elevation < 90:
            raise ValueError(f"`Camera` needs elevation in (0, 90) degrees, got {self.elevation}")
        if not 0 < self.zoom <= 1:
            raise ValueError(f"`Camera` needs zoom in (0, 1], got {self.zoom}")
        if self.distance < 9:
            raise ValueError(f"`Camera` needs distance >= 9 squares (outside the board), got {self.distance}")

    @cached_property
    def axes(self) -> Floats:
        """Right, up and forward unit vectors of the view as rows, (3, 3)."""
        tilt, turn = math.radians(self.elevation), math.radians(self.azimuth)
        right = (math.cos(turn), math.sin(turn), 0.0)
        ahead = (-math.sin(turn), math.cos(turn), 0.0)
        up = (ahead[0] * math.sin(tilt), ahead[1] * math.sin(tilt), math.cos(tilt))
        forward = (ahead[0] * math.cos(tilt), ahead[1] * math.cos(tilt), -math.sin(tilt))
        return np.array((right, up, forward))

    @cached_property
    def eye(self) -> Floats:
        """Position of the pinhole in the world, (3,)."""
        return np.asarray(np.array((4.0, 4.0, 0.0)) - self.distance * self.axes[2])

    @cached_property
    def _intrinsics(self) -> tuple[float, float, float]:
        """Focal length and principal point, pixels, such that board, border and kings fill `zoom` of the frame."""
        low, high = -BORDER, 8 + BORDER
        corners = np.array([(x, y, 0.0) for x in (low, high) for y in (low, high)])
        heads = np.array([(x, y, REACH) for x in (0.2, 7.8) for y in (0.2, 7.8)])
        flat = self._normalised(np.concatenate((corners, heads)))
        least, most = flat.min(axis=0), flat.max(axis=0)
        height, width = self.shape
        focal = self.zoom * float(min(width / (most - least)[0], height / (most - least)[1]))
        centre = (least + most) / 2
        return focal, width / 2 - focal * float(centre[0]), height / 2 - focal * float(centre[1])

    def _normalised(self, points: Floats) -> Floats:
        seen = (points - self.eye) @ self.axes.T
        return np.stack((seen[..., 0], -seen[..., 1]), axis=-1) / seen[..., 2:]

    def depth(self, points: npt.ArrayLike) -> Floats:
        """Distance along the view of world `points` (..., 3), squares (...)."""
        return np.asarray((np.asarray(points, dtype=np.float64) - self.eye) @ self.axes[2])

    def project(self, points: npt.ArrayLike) -> Floats:
        """Pixels (..., 2) of world `points` (..., 3)."""
        focal, column, row = self._intrinsics
        return focal * self._normalised(np.asarray(points, dtype=np.float64)) + (column, row)

    def unproject(self, pixels: npt.ArrayLike) -> Floats:
        """Board-plane points (..., 2), squares, seen at `pixels` (..., 2): the inverse of `project` at z = 0."""
        focal, column, row = self._intrinsics
        flat = (np.asarray(pixels, dtype=np.float64) - (column, row)) / focal
        rays = flat[..., :1] * self.axes[0] - flat[..., 1:] * self.axes[1] + self.axes[2]
        return np.asarray((self.eye - rays * (self.eye[2] / rays[..., 2:]))[..., :2])

    def boxes(self) -> Floats:
        """Crop boxes (64, 4) as left, top, right, bottom pixels: a square's base and a king's height above it."""
        file, rank = np.arange(64) % 8, np.arange(64) // 8
        step = np.array([(0, 0), (1, 0), (0, 1), (1, 1)])
        ground = np.stack((file[:, None] + step[:, 0], rank[:, None] + step[:, 1], np.zeros((64, 4))), axis=-1)
        base = self.project(ground)
        head = self.project(np.stack((file + 0.5, rank + 0.5, np.full(64, REACH)), axis=-1))
        # Vertical lines lean outwards in a perspective view, so the head may lie beside its base.
        left = np.minimum(base[..., 0].min(axis=1), head[:, 0] - 0.2 * np.ptp(base[..., 0], axis=1))
        right = np.maximum(base[..., 0].max(axis=1), head[:, 0] + 0.2 * np.ptp(base[..., 0], axis=1))
        return np.stack((left, head[:, 1], right, base[..., 1].max(axis=1)), axis=-1)


class Cropper:
    """Square crops of one camera's frames as plain gathers: sampling indices and weights are laid out once."""

    def __init__(self, camera: Camera) -> None:
        height, width = camera.shape
        boxes = camera.boxes()
        row, row_weight = _samples(boxes[:, 1], boxes[:, 3], CROP[0], height)
        column, column_weight = _samples(boxes[:, 0], boxes[:, 2], CROP[1], width)
        self._shape = camera.shape
        # Neighbours in the order (top left, top right, bottom left, bottom right): each (64, 40 * 24).
        self._index = np.stack(
            [((row + down)[:, :, None] * width + (column + over)[:, None]).reshape(64, -1)
             for down in (0, 1) for over in (0, 1)]
        )  # fmt: skip
        self._weight = np.stack(
            [(abs(1 - down - row_weight)[:, :, None] * abs(1 - over - column_weight)[:, None]).reshape(64, -1, 1)
             for down in (0, 1) for over in (0, 1)]
        ).astype(np.float32)  # fmt: skip

    def __call__(self, frame: Image, squares: npt.ArrayLike | None = None) -> Image:
        """Crops of `frame` (H, W, 3) at `squares` (n,), by default all 64: uint8 (n, 3, 40, 24).

        The time is proportional to the number of squares asked for.
        """
        if frame.shape != (*self._shape, 3):
            raise ValueError(f"`Cropper` needs a frame of shape {(*self._shape, 3)}, got {frame.shape}")
        chosen = np.arange(64) if squares is None else np.asarray(squares, dtype=np.intp).reshape(-1)
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < 64):
            raise ValueError(f"`Cropper` needs squares in 0..63, got {chosen.min()}..{chosen.max()}")
        pixels = frame.reshape(-1, 3)
        crops = np.full((chosen.size, CROP[0] * CROP[1], 3), 0.5, dtype=np.float32)
        for index, weight in zip(self._index, self._weight, strict=True):
            crops += pixels.take(index[chosen], axis=0) * weight[chosen]
        shaped = crops.astype(np.uint8).reshape(-1, *CROP, 3)
        return np.ascontiguousarray(shaped.transpose(0, 3, 1, 2))


def _samples(low: Floats, high: Floats, count: int, limit: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """First neighbour and weight of the second, (n, count) each, for `count` even samples from `low` to `high`."""
    at = low[:, None] + (np.arange(count) + 0.5) / count * (high - low)[:, None] - 0.5
    at = np.clip(at, 0, limit - 1.001)
    first = at.astype(np.intp)
    return first, at - first


@lru_cache(maxsize=16)
def cropper(camera: Camera) -> Cropper:
    """The `Cropper` of `camera`, laid out once."""
    return Cropper(camera)


def square_crops(frame: Image, camera: Camera, squares: npt.ArrayLike | None = None) -> Image:
    """Crops of `frame` (H, W, 3) seen by `camera`, uint8 (n, 3, 40, 24); see `Cropper`."""
    return cropper(camera)(frame, squares)
