"""A broadcast made ready for reading many times: crops, truth, and how much each square changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.chess.broadcast import Broadcast
from benchmarks.chess.camera import Camera, Image, cropper
from benchmarks.chess.labels import Labels

__all__ = ["Recording", "square_change"]

Floats = npt.NDArray[np.float32]
_STRIDE = 16  # every 16th pixel of a crop is enough to see that something moved


@lru_cache(maxsize=16)
def _probe(camera: Camera) -> npt.NDArray[np.intp]:
    """Pixels at which a camera's squares are watched, `(64, k)`."""
    return np.ascontiguousarray(cropper(camera)._index[0][:, ::_STRIDE])


def square_change(frame: Image, previous: Image | None, camera: Camera, before: Camera | None) -> Floats:
    """Mean absolute change of each square since the frame before, `(64,)` grey levels; zero where there is none.

    After a cut to another camera every square has changed alike, which tells nothing: zero as well.
    """
    if previous is None or camera != before:
        return np.zeros(64, dtype=np.float32)
    index = _probe(camera)
    now, then = frame.reshape(-1, 3)[index].astype(np.int16), previous.reshape(-1, 3)[index]
    change: Floats = np.abs(now - then).mean(axis=(1, 2), dtype=np.float32)
    return change


@final
@dataclass(frozen=True, eq=False)
class Recording:
    """A broadcast, read off once.

    Attributes:
        crops: bytes, `(T, 64, 3, 40, 24)`.
        changes: change of each square since the frame before, `(T, 64)` grey levels.
        labels: what stands on the board, `(T, 64)`.
        ply: plies completed, `(T,)`.
        fault: what goes wrong, in words, or "".
        over: first frame after the fault, or 0.
    """

    crops: Tensor
    changes: Floats
    labels: Labels
    ply: npt.NDArray[np.int64]
    fault: str = ""
    over: int = 0

    @classmethod
    def of(cls, broadcast: Broadcast) -> Recording:
        """Render and crop every frame."""
        crops, changes = [], []
        previous: Image | None = None
        before: Camera | None = None
        for index in range(len(broadcast)):
            frame, camera = broadcast.frame(index), broadcast.camera(index)
            crops.append(cropper(camera)(frame))
            changes.append(square_change(frame, previous, camera, before))
            previous, before = frame, camera
        return cls(
            torch.from_numpy(np.stack(crops)),
            np.stack(changes),
            broadcast.labels,
            broadcast.ply,
            type(broadcast.fault).__name__ if broadcast.fault else "",
            broadcast.fault_frame or 0,
        )
