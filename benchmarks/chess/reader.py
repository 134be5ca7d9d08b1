"""Reading a board, frame by frame: the four readers, each a set of rules round the same network.

Reconstructions of the CAIN 2025 paper's IA, CPA, CPS and TK-k, whose definitions were not available to us:

- (a) *infer all*: classify all 64 squares of every frame, take the most probable class of each; no rule.
- (b) *compare positions, all squares*: `Decode(LegalMove(), policy=AskAll())`: the legal successor of the position
  before that all 64 log-probabilities explain best.
- (c) *compare positions, squares that can have changed*: the same with `AskChanged`: the network classifies a few
  squares that together touch every legal move, and where one of them changed, those of the moves that are left.
- (d) *top k*: the same with `AskShortlist(k)`: rank legal moves by how much their squares changed in the picture and
  verify the k best.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.chess.camera import Camera, Image, cropper
from benchmarks.chess.recording import Recording, square_change
from constraints import ConstrainedNetwork, Decode, LazyScores, SpecificationError, Track
from dkmodels import KnowledgeModule

__all__ = ["LiveReader", "SquareReader", "read_recording"]


@final
class SquareReader(KnowledgeModule):
    """A `SquareNet` with chess rules."""

    def task_loss(self, y: Tensor, target: Tensor) -> Tensor:
        """Cross entropy of every square."""
        return F.cross_entropy(rearrange(y, "b s k -> (b s) k"), rearrange(target, "b s -> (b s)").long())

    def answer(self, y: Tensor) -> Tensor:
        """The most probable class of every square."""
        return y.argmax(dim=-1)

    def configure_optimizers(self) -> Any:
        """Adam with one cycle of the learning rate."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=max(steps, 2))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def tracker(self) -> Decode | None:
        """The embedding that follows the game, where there is one."""
        found = [e for e in self.embeddings().values() if isinstance(e, Decode) and e.sequential]
        if len(found) > 1:
            raise SpecificationError(f"a reader follows a game by one rule, got {[e.rule.name for e in found]}")
        return found[0] if found else None

    def at(self, crops: Tensor, squares: npt.NDArray[np.intp]) -> Tensor:
        """Log-probabilities `(k, 13)` of the crops of some squares; hard rules hold."""
        network: nn.Module = self.network
        cells = torch.from_numpy(squares)
        assert isinstance(network, ConstrainedNetwork) or hasattr(network, "forward_cells")
        logits: Tensor = network.forward_cells(crops, cells)  # type: ignore[operator]
        return logits.log_softmax(dim=-1)


def read_recording(
    module: SquareReader, recording: Recording, logits: Tensor
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Read a whole recording whose logits are there already: what is asked for is counted, not computed.

    Args:
        module: the reader.
        recording: T frames.
        logits: the network's answers, `(T, 64, 13)`.

    Returns:
        Labels `(T, 64)`, and how many squares were asked for, `(T,)`.
    """
    tracker = module.tracker()
    if tracker is None:
        decided = module.answer(module.decode(logits, recording.crops))
        return decided.numpy(), np.full(len(logits), 64)
    table = logits.log_softmax(dim=-1)
    track: Track | None = None
    labels, asked = [], []
    for values, change in zip(table, recording.changes, strict=True):
        scores = LazyScores(lambda squares, values=values: values[squares], cells=64, change=change)  # type: ignore[misc]
        read, track = tracker.follow(scores, track)
        labels.append(read)
        asked.append(scores.asked)
    return np.stack(labels), np.asarray(asked)


@final
class LiveReader:
    """Reads frames as they come, one at a time.

    Args:
        module: the reader.

    Attributes:
        asked: squares classified for the latest frame.
    """

    def __init__(self, module: SquareReader) -> None:
        self.module = module.eval()
        self.tracker = module.tracker()
        self.asked = 0
        self._track: Track | None = None
        self._previous: Image | None = None
        self._before: Camera | None = None

    @torch.inference_mode()
    def read(self, frame: Image, camera: Camera) -> npt.NDArray[np.integer]:
        """Labels `(64,)` of a frame `(H, W, 3)`."""
        crop = cropper(camera)
        if self.tracker is None:
            crops = torch.from_numpy(crop(frame))[None]
            self.asked = 64
            labels: npt.NDArray[np.integer] = self.module.answer(self.module.decode(self.module(crops), crops))[
                0
            ].numpy()
            return labels
        change = square_change(frame, self._previous, camera, self._before)
        self._previous, self._before = frame, camera
        scores = LazyScores(
            lambda squares: self.module.at(torch.from_numpy(crop(frame, squares)), squares), cells=64, change=change
        )
        labels, self._track = self.tracker.follow(scores, self._track)
        self.asked = scores.asked
        return labels
