"""Random positions and their pictures: what a square classifier is trained on."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import chess
import numpy as np
import numpy.typing as npt

from benchmarks.chess.camera import Image, square_crops
from benchmarks.chess.hand import random_hand
from benchmarks.chess.labels import Labels, board_labels
from benchmarks.chess.render import render
from benchmarks.chess.style import TRAIN_STYLES, Style, jitter

# Boards that share one jittered camera: laying out a scene costs as much as several frames.
BOARDS_PER_SCENE: Final = 5
# Share of the boards that come from random play; the others are random placements, rich in rare pieces.
PLAYED: Final = 0.5
LONGEST_PLAY: Final = 100


class Crops(NamedTuple):
    """Square pictures: `images` uint8 (N, 3, 40, 24), `labels` int8 (N,) and `squares` int8 (N,)."""

    images: Image
    labels: Labels
    squares: npt.NDArray[np.int8]


class Boards(NamedTuple):
    """Whole boards: `images` uint8 (B, 64, 3, 40, 24) and `labels` int8 (B, 64)."""

    images: Image
    labels: Labels


def random_position(rng: np.random.Generator) -> Labels:
    """Labels (64,) of a position from random play or of a random placement."""
    return _played(rng) if rng.random() < PLAYED else _placed(rng)


def _played(rng: np.random.Generator) -> Labels:
    """The position after a random number of random legal moves."""
    board = chess.Board()
    for _ in range(int(rng.integers(LONGEST_PLAY + 1))):
        moves = list(board.legal_moves)
        if not moves:
            break
        board.push(moves[int(rng.integers(len(moves)))])
    return board_labels(board)


def _placed(rng: np.random.Generator) -> Labels:
    """Both kings and random other pieces on random squares: no pawn on the first or last rank, and no more men than
    promotions allow."""
    labels = np.zeros(64, dtype=np.int8)
    for black in (0, 6):
        # Up to three of each of N, B, R, Q; those beyond the first two (queens: one) were pawns.
        counts = rng.integers(4, size=4)
        promoted = int(np.maximum(counts - (2, 2, 2, 1), 0).sum())
        pieces = np.concatenate(([6], np.repeat((2, 3, 4, 5), counts)))
        free = np.flatnonzero(labels == 0)
        labels[rng.choice(free, pieces.size, replace=False)] = pieces + black
        inner = 8 + np.flatnonzero(labels[8:56] == 0)
        labels[rng.choice(inner, int(rng.integers(9 - promoted)), replace=False)] = 1 + black
    return labels


def board_set(
    boards: int,
    rng: np.random.Generator,
    *,
    styles: Sequence[Style] = TRAIN_STYLES,
    difficulty: float = 0.0,
    hand_rate: float = 0.0,
) -> Boards:
    """Pictures of `boards` random positions.

    Args:
        boards: Number of positions B.
        rng: Draws positions, styles, noise and hands.
        styles: Looks to draw from; each gets a fresh `jitter` every few boards.
        difficulty: Signal loss in [0, 1].
        hand_rate: Share of boards with an arm over them; the labels are what stands under it.
    """
    if boards < 1:
        raise ValueError(f"`board_set` needs boards >= 1, got {boards}")
    if not styles:
        raise ValueError("`board_set` needs at least one style, got none")
    if not 0 <= hand_rate <= 1:
        raise ValueError(f"`board_set` needs hand_rate in [0, 1], got {hand_rate}")
    # The styles take turns in random order, so that a small set has all of them.
    turns = np.concatenate(
        [rng.permutation(len(styles)) for _ in range(boards // (BOARDS_PER_SCENE * len(styles)) + 1)]
    )
    images, truths = [], []
    for index in range(boards):
        if index % BOARDS_PER_SCENE == 0:
            style = jitter(styles[int(turns[index // BOARDS_PER_SCENE])], rng)
        labels = random_position(rng)
        hand = random_hand(int(rng.integers(64)), bool(rng.integers(2)), rng) if rng.random() < hand_rate else None
        frame = render(labels, style, rng, difficulty=difficulty, hand=hand)
        images.append(square_crops(frame, style.camera))
        truths.append(labels)
    return Boards(np.stack(images), np.stack(truths))


def training_set(
    count: int,
    rng: np.random.Generator,
    *,
    styles: Sequence[Style] = TRAIN_STYLES,
    difficulty: float = 0.0,
    hand_rate: float = 0.0,
    empty_ratio: float = 1.0,
) -> Crops:
    """Exactly `count` square pictures of random positions, in random order.

    Of every board, all occupied squares are taken and `empty_ratio` times as many empty ones (at most all of them),
    so that empty squares do not drown the pieces. Other arguments are those of `board_set`.
    """
    if count < 1:
        raise ValueError(f"`training_set` needs count >= 1, got {count}")
    if empty_ratio < 0:
        raise ValueError(f"`training_set` needs empty_ratio >= 0, got {empty_ratio}")
    parts: list[Crops] = []
    missing = count
    while missing > 0:
        # A few boards at a time: whole boards of a large set would not fit in memory.
        batch = board_set(
            BOARDS_PER_SCENE * len(styles), rng, styles=styles, difficulty=difficulty, hand_rate=hand_rate
        )
        for images, labels in zip(*batch, strict=True):
            occupied = np.flatnonzero(labels)
            empty = np.flatnonzero(labels == 0)
            some = rng.permutation(empty)[: round(empty_ratio * occupied.size)]
            squares = np.concatenate((occupied, some))
            parts.append(Crops(images[squares], labels[squares], squares.astype(np.int8)))
            missing -= squares.size
    order = rng.permutation(count - missing)[:count]
    return Crops(
        np.concatenate([part.images for part in parts])[order],
        np.concatenate([part.labels for part in parts])[order],
        np.concatenate([part.squares for part in parts])[order],
    )
