"""What goes wrong in a broadcast, as changes of its timeline.

A timeline is a tuple of `Shot`s, one a frame. A fault changes it and says where it begins and where it is over:
the recovery of a reader is counted from the `over` frame on, which is the first frame that shows the game as it is
again (without the hand, from the new camera, after the gap, with the wrong move taken back).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import NamedTuple, final

import chess
import numpy as np

from benchmarks.chess.hand import Hand, random_hand
from benchmarks.chess.labels import Labels, board_labels, label_piece
from benchmarks.chess.style import TEST_STYLES, Style, jitter


@dataclass(frozen=True, eq=False)
class Shot:
    """One frame before it is rendered.

    Attributes:
        labels: What physically stands on the board, int8 (64,).
        ply: Plies of the recorded game that have been completed.
        style: The look.
        hand: An arm over the board.
    """

    labels: Labels
    ply: int
    style: Style
    hand: Hand | None = None


class Span(NamedTuple):
    """Frames of a fault: `start` is the first that differs, `over` the first after it."""

    start: int
    over: int


Timeline = tuple[Shot, ...]


class Fault(ABC):
    """Something that goes wrong once in a broadcast."""

    @abstractmethod
    def apply(
        self, shots: Timeline, boards: tuple[chess.Board, ...], rng: np.random.Generator
    ) -> tuple[Timeline, Span]:
        """The changed timeline and the frames of the fault.

        Args:
            shots: The timeline without the fault.
            boards: Position after every ply, to be indexed by `Shot.ply`.
            rng: Draws where and how.
        """

    @abstractmethod
    def describe(self) -> str:
        """What happens, in words."""


def _boundary(
    shots: Timeline, boards: tuple[chess.Board, ...], rng: np.random.Generator, *, forced: bool = True
) -> int:
    """A frame in the middle two fifths of the timeline that is the first after a move.

    Only moves count where `forced` is true.
    """
    low, high = int(0.3 * len(shots)), int(0.7 * len(shots))
    moves = [
        frame
        for frame in range(max(low, 1), high)
        if shots[frame].ply != shots[frame - 1].ply and (forced or boards[shots[frame - 1].ply].legal_moves.count() > 1)
    ]
    if not moves:
        raise ValueError(f"a fault needs a move in frames {low}..{high - 1} of the timeline, got none")
    return int(rng.choice(moves))


def _detour(shots: Timeline, frame: int, labels: Labels, shown: int) -> tuple[Timeline, Span]:
    """Show `labels` for `shown` frames before `frame`, then the position before once more (the taking back)."""
    before = replace(shots[frame - 1], hand=None)
    wrong = (replace(before, labels=labels),) * shown
    return (*shots[:frame], *wrong, before, *shots[frame:]), Span(frame, frame + shown)


def _check_count(fault: str, field: str, count: int, least: int = 1) -> None:
    if count < least:
        raise ValueError(f"`{fault}` needs {field} >= {least}, got {count}")


@final
@dataclass(frozen=True)
class HandOver(Fault):
    """A hand lies over the board for `frames` frames in a row, and one move is completed under it."""

    frames: int = 5

    def __post_init__(self) -> None:
        _check_count("HandOver", "frames", self.frames)

    def apply(
        self, shots: Timeline, boards: tuple[chess.Board, ...], rng: np.random.Generator
    ) -> tuple[Timeline, Span]:
        """See `Fault.apply`."""
        frame = _boundary(shots, boards, rng)
        before, after = shots[frame - 1], shots[frame]
        square = int(np.flatnonzero((before.labels != after.labels) & (after.labels != 0))[0])
        hand = random_hand(square, boards[before.ply].turn == chess.WHITE, rng)
        early = (self.frames + 1) // 2
        covered = (replace(before, hand=hand),) * early + (replace(after, hand=hand),) * (self.frames - early)
        # The frame after the hand has gone shows the board free.
        rest = (replace(after, hand=None), *shots[frame + 1 :])
        return (*shots[:frame], *covered, *rest), Span(frame, frame + self.frames)

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"a hand lies over the board for {self.frames} frames while a move is made"


@final
@dataclass(frozen=True)
class StyleSwap(Fault):
    """The picture cuts to another camera, board and set midway and stays there; the calibration follows the camera.

    The cut itself takes no frame: `start` and `over` are both the first frame of the new style.
    """

    styles: tuple[Style, ...] = TEST_STYLES

    def apply(
        self, shots: Timeline, boards: tuple[chess.Board, ...], rng: np.random.Generator
    ) -> tuple[Timeline, Span]:
        """See `Fault.apply`."""
        frame = _boundary(shots, boards, rng)
        others = [style for style in self.styles if style.name != shots[frame].style.name]
        if not others:
            raise ValueError(f"`StyleSwap` needs a style other than {shots[frame].style.name!r}, got none")
        style = jitter(others[int(rng.integers(len(others)))], rng)
        changed = tuple(replace(shot, style=style) for shot in shots[frame:])
        return (*shots[:frame], *changed), Span(frame, frame)

    def describe(self) -> str:
        """See `Fault.describe`."""
        return "the picture cuts to another camera, board and set"


@final
@dataclass(frozen=True)
class IllegalMove(Fault):
    """An illegal move is put on the board, stays for `shown` (least, most) frames and is taken back."""

    shown: tuple[int, int] = (3, 6)

    def __post_init__(self) -> None:
        _check_count("IllegalMove", "shown", self.shown[0])
        _check_count("IllegalMove", "the most of shown", self.shown[1], self.shown[0])

    def apply(
        self, shots: Timeline, boards: tuple[chess.Board, ...], rng: np.random.Generator
    ) -> tuple[Timeline, Span]:
        """See `Fault.apply`."""
        frame = _boundary(shots, boards, rng)
        labels = illegal_successor(boards[shots[frame - 1].ply], rng)
        return _detour(shots, frame, labels, int(rng.integers(self.shown[0], self.shown[1] + 1)))

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"an illegal move stands for {self.shown[0]} to {self.shown[1]} frames and is taken back"


@final
@dataclass(frozen=True)
class Takeback(Fault):
    """A legal move is made, stays for `shown` (least, most) frames and is taken back before the real one is played."""

    shown: tuple[int, int] = (2, 5)

    def __post_init__(self) -> None:
        _check_count("Takeback", "shown", self.shown[0])
        _check_count("Takeback", "the most of shown", self.shown[1], self.shown[0])

    def apply(
        self, shots: Timeline, boards: tuple[chess.Board, ...], rng: np.random.Generator
    ) -> tuple[Timeline, Span]:
        """See `Fault.apply`."""
        frame = _boundary(shots, boards, rng, forced=False)
        board = boards[shots[frame - 1].ply].copy(stack=False)
        played = shots[frame].labels
        others = [labels for labels in _successors(board) if (labels != played).any()]
        labels = others[int(rng.integers(len(others)))]
        return _detour(shots, frame, labels, int(rng.integers(self.shown[0], self.shown[1] + 1)))

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"a legal move stands for {self.shown[0]} to {self.shown[1]} frames and is taken back for another"


@final
@dataclass(frozen=True)
class LostFrames(Fault):
    """`count` frames are missing while play goes on. `start` and `over` are both the first frame after the gap."""

    count: int = 10

    def __post_init__(self) -> None:
        _check_count("LostFrames", "count", self.count)

    def apply(
        self, shots: Timeline, boards: tuple[chess.Board, ...], rng: np.random.Generator
    ) -> tuple[Timeline, Span]:
        """See `Fault.apply`."""
        frame = _boundary(shots, boards, rng)
        if frame + self.count >= len(shots):
            raise ValueError(f"`LostFrames` needs more than {frame + self.count} frames, got {len(shots)}")
        return (*shots[:frame], *shots[frame + self.count :]), Span(frame, frame)

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.count} frames are missing while play goes on"


def _successors(board: chess.Board) -> list[Labels]:
    """Labels after every legal move of `board`."""
    found = []
    for move in board.legal_moves:
        board.push(move)
        found.append(board_labels(board))
        board.pop()
    return found


def illegal_successor(board: chess.Board, rng: np.random.Generator) -> Labels:
    """Labels (64,) after one illegal move of the side to move: no king is taken, no legal move looks the same."""
    board = board.copy(stack=False)
    labels = board_labels(board)
    legal = {after.tobytes() for after in _successors(board)}
    mine = [square for square, piece in board.piece_map().items() if piece.color == board.turn]
    choices = []
    for start in mine:
        for end in range(64):
            taken = int(labels[end])
            if end in mine or (taken and label_piece(taken).piece_type == chess.KING):
                continue
            # A pawn on its last rank would not be an illegal move but an impossible board.
            if labels[start] in (1, 7) and end // 8 in (0, 7):
                continue
            after = labels.copy()
            after[end], after[start] = labels[start], 0
            if after.tobytes() not in legal:
                choices.append(after)
    return choices[int(rng.integers(len(choices)))]
