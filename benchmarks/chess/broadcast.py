"""A recorded game as a stream of camera frames."""

from dataclasses import dataclass
from functools import lru_cache

import chess
import numpy as np
import numpy.typing as npt

from benchmarks.chess.camera import Camera, Image, square_crops
from benchmarks.chess.faults import Fault, Shot, Span, Timeline
from benchmarks.chess.games import Game
from benchmarks.chess.hand import Hand, random_hand
from benchmarks.chess.labels import Labels
from benchmarks.chess.render import draw_offsets, render
from benchmarks.chess.style import Style, degrade, jitter

# Part of the hands that come before a move (taking up the piece); the others let go after it.
BEFORE_MOVE = 0.6


@dataclass(frozen=True, eq=False)
class Broadcast:
    """A stream of T frames and the truth about them. Frames are rendered when asked for, always the same.

    Attributes:
        game: The recorded game.
        shots: What each frame shows, T of them.
        offsets: Places of the chessmen inside their squares, float32 (T, 64, 2) squares.
        seeds: Seed of each frame's noise, uint64 (T,).
        difficulty: Signal loss in [0, 1].
        fault: What goes wrong, or None.
        span: Frames of the fault (see `faults`), or None.
    """

    game: Game
    shots: Timeline
    offsets: npt.NDArray[np.float32]
    seeds: npt.NDArray[np.uint64]
    difficulty: float
    fault: Fault | None = None
    span: Span | None = None

    def __len__(self) -> int:
        return len(self.shots)

    @property
    def labels(self) -> Labels:
        """What physically stands on the board, int8 (T, 64)."""
        return np.stack([shot.labels for shot in self.shots])

    @property
    def ply(self) -> npt.NDArray[np.int64]:
        """Plies of the recorded game completed, (T,); moves that are taken back do not count."""
        return np.array([shot.ply for shot in self.shots], dtype=np.int64)

    @property
    def hand(self) -> npt.NDArray[np.bool_]:
        """Whether an arm is over the board, (T,)."""
        return np.array([shot.hand is not None for shot in self.shots])

    @property
    def style_name(self) -> str:
        """Name of the first frame's style."""
        return self.shots[0].style.name

    @property
    def fault_start(self) -> int | None:
        """First frame that the fault changes."""
        return None if self.span is None else self.span.start

    @property
    def fault_frame(self) -> int | None:
        """First frame at which the fault is over: recovery is counted from here on."""
        return None if self.span is None else self.span.over

    def camera(self, index: int) -> Camera:
        """Calibrated camera of frame `index`."""
        return self.shots[index].style.camera

    def frame(self, index: int) -> Image:
        """Frame `index`, uint8 (H, W, 3)."""
        shot = self.shots[index]
        rng = np.random.default_rng(int(self.seeds[index]))
        return render(
            shot.labels, shot.style, rng, difficulty=self.difficulty, hand=shot.hand, offsets=self.offsets[index]
        )

    def crops(self, index: int, squares: npt.ArrayLike | None = None) -> Image:
        """Crops of frame `index` at `squares`, by default all 64: uint8 (n, 3, 40, 24)."""
        return square_crops(self.frame(index), self.camera(index), squares)

    def frames(self) -> Image:
        """All frames, uint8 (T, H, W, 3): 230 kB each."""
        return np.stack([self.frame(index) for index in range(len(self))])


def replay(
    game: Game,
    style: Style,
    rng: np.random.Generator,
    *,
    difficulty: float,
    frames_per_move: tuple[int, int] = (1, 3),
    hand_rate: float = 0.12,
    max_frames: int | None = None,
    fault: Fault | None = None,
) -> Broadcast:
    """Replay `game` as a broadcast.

    Args:
        game: The recorded game.
        style: The look; this broadcast gets its own `jitter` of it.
        rng: Draws everything.
        difficulty: Signal loss in [0, 1].
        frames_per_move: Least and most frames that a position is shown.
        hand_rate: Share of frames with a hand, in [0, 0.8]; hands come just before and just after a move.
        max_frames: Cut the stream after so many frames.
        fault: What goes wrong in the middle two fifths of the stream.
    """
    least, most = frames_per_move
    if not 1 <= least <= most:
        raise ValueError(f"`replay` needs 1 <= least <= most frames_per_move, got {frames_per_move}")
    if not 0 <= hand_rate <= 0.8:
        raise ValueError(f"`replay` needs hand_rate in [0, 0.8], got {hand_rate}")
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"`replay` needs max_frames >= 1, got {max_frames}")
    own = jitter(style, rng)
    worn = degrade(own, difficulty)
    boards, positions = _history(game)
    shots: list[Shot] = []
    for ply, labels in enumerate(positions):
        count = int(rng.integers(least, most + 1))
        hands = _hands(game, boards[ply].turn, ply, count, hand_rate * (least + most) / 2, rng)
        shots += [Shot(labels, ply, own, hand) for hand in hands]
        if max_frames is not None and len(shots) >= max_frames:
            break
    timeline: Timeline = tuple(shots[:max_frames])
    span = None
    if fault is not None:
        timeline, span = fault.apply(timeline, boards, rng)
        timeline = timeline[:max_frames]
    seeds = rng.integers(0, 2**63, size=len(timeline), dtype=np.uint64)
    return Broadcast(game, timeline, _offsets(timeline, worn, rng), seeds, difficulty, fault, span)


@lru_cache(maxsize=64)
def _history(game: Game) -> tuple[tuple[chess.Board, ...], Labels]:
    return game.boards(), game.positions()


def _hands(
    game: Game, turn: chess.Color, ply: int, count: int, rate: float, rng: np.random.Generator
) -> list[Hand | None]:
    """Hands over the `count` frames of position `ply`, `turn` to move; `rate` is the mean number of them a position."""
    hands: list[Hand | None] = [None] * count
    if ply > 0 and rng.random() < rate * (1 - BEFORE_MOVE):
        hands[0] = random_hand(game.moves[ply - 1].to_square, not turn, rng)
    if ply < len(game.moves) and rng.random() < rate * BEFORE_MOVE:
        hands[-1] = random_hand(game.moves[ply].from_square, turn, rng)
    return hands


def _offsets(timeline: Timeline, worn: Style, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Places inside the squares, (T, 64, 2): a chessman stays where it was put until its square changes."""
    offsets = np.empty((len(timeline), 64, 2), dtype=np.float32)
    current, shown = draw_offsets(worn, rng), timeline[0].labels
    for index, shot in enumerate(timeline):
        if shot.labels is not shown:
            changed = shot.labels != shown
            current = np.where(changed[:, None], draw_offsets(worn, rng), current)
            shown = shot.labels
        offsets[index] = current
    return offsets
