"""Broadcasts and their faults."""

import chess
import numpy as np
import pytest

from benchmarks.chess.broadcast import Broadcast, replay
from benchmarks.chess.faults import (
    Fault,
    HandOver,
    IllegalMove,
    LostFrames,
    StyleSwap,
    Takeback,
    illegal_successor,
)
from benchmarks.chess.games import load_games
from benchmarks.chess.labels import board_labels
from benchmarks.chess.style import TEST_STYLES, TRAIN_STYLES

GAME = load_games()[8]
POSITIONS = GAME.positions()
SEEDS = range(6)


def stream(seed: int, fault: Fault | None = None, **changes: object) -> Broadcast:
    options: dict[str, object] = {"difficulty": 0.3, "fault": fault} | changes
    return replay(GAME, TEST_STYLES[0], np.random.default_rng(seed), **options)  # type: ignore[arg-type]


def successors(labels: np.ndarray, ply: int) -> set[bytes]:
    """Positions after a legal move from the recorded position `ply`, which `labels` shows."""
    board = GAME.boards()[ply]
    assert (board_labels(board) == labels).all()
    found = set()
    for move in board.legal_moves:
        board.push(move)
        found.add(board_labels(board).tobytes())
        board.pop()
    return found


def test_without_a_fault_the_labels_are_the_game() -> None:
    broadcast = stream(0)
    np.testing.assert_array_equal(broadcast.labels, POSITIONS[broadcast.ply])
    counts = np.bincount(broadcast.ply)
    assert counts.min() >= 1
    assert counts.max() <= 3
    assert broadcast.ply[-1] == len(GAME.moves)
    steps = np.diff(broadcast.ply)
    assert set(steps) == {0, 1}
    assert broadcast.fault_frame is None
    assert broadcast.style_name == TEST_STYLES[0].name


def test_hands_come_at_their_rate_beside_moves() -> None:
    hands, beside = [], []
    for seed in SEEDS:
        broadcast = stream(seed, hand_rate=0.2)
        ply = broadcast.ply
        moves = np.diff(ply) != 0
        near = np.concatenate((moves, [False])) | np.concatenate(([False], moves))
        hands.append(broadcast.hand)
        beside.append(near[broadcast.hand])
    assert 0.14 < np.concatenate(hands).mean() < 0.26
    assert np.concatenate(beside).all()
    assert not stream(0, hand_rate=0.0).hand.any()


def test_frames_are_rendered_on_demand_and_always_the_same() -> None:
    broadcast = stream(1, max_frames=6)
    assert len(broadcast) == 6
    frames = broadcast.frames()
    assert frames.shape == (6, 240, 320, 3)
    np.testing.assert_array_equal(frames[4], broadcast.frame(4))
    np.testing.assert_array_equal(stream(1, max_frames=6).frame(4), frames[4])
    assert (stream(2, max_frames=6).frame(4) != frames[4]).any()
    crops = broadcast.crops(4)
    np.testing.assert_array_equal(broadcast.crops(4, [5, 9]), crops[[5, 9]])


def test_chessmen_stay_where_they_were_put() -> None:
    broadcast = stream(3)
    same = broadcast.labels[1:] == broadcast.labels[:-1]
    moved = (broadcast.offsets[1:] != broadcast.offsets[:-1]).any(axis=-1)
    assert not moved[same].any()
    assert moved[~same].mean() > 0.99


@pytest.mark.parametrize("seed", SEEDS)
def test_hand_over(seed: int) -> None:
    broadcast = stream(seed, HandOver(5))
    assert broadcast.span is not None
    start, over = broadcast.span
    assert over - start == 5
    assert broadcast.hand[start:over].all()
    assert not broadcast.hand[over]
    assert broadcast.ply[over] == broadcast.ply[start] + 1
    np.testing.assert_array_equal(broadcast.labels, POSITIONS[broadcast.ply])


@pytest.mark.parametrize("seed", SEEDS)
def test_style_swap(seed: int) -> None:
    broadcast = stream(seed, StyleSwap())
    frame = broadcast.fault_frame
    assert frame is not None
    assert 0 < frame < len(broadcast)
    styles = [shot.style for shot in broadcast.shots]
    assert len(set(styles[:frame])) == len(set(styles[frame:])) == 1
    assert styles[frame].name != styles[0].name
    assert broadcast.camera(frame) != broadcast.camera(frame - 1)
    np.testing.assert_array_equal(broadcast.labels, POSITIONS[broadcast.ply])


@pytest.mark.parametrize("seed", SEEDS)
def test_illegal_move(seed: int) -> None:
    broadcast = stream(seed, IllegalMove())
    assert broadcast.span is not None
    start, over = broadcast.span
    assert 3 <= over - start <= 6
    ply = int(broadcast.ply[start])
    assert (broadcast.ply[start - 1 : over + 1] == ply).all()
    wrong = broadcast.labels[start:over]
    assert (wrong == wrong[0]).all()
    before = POSITIONS[ply]
    assert (wrong[0] != before).sum() == 2
    assert wrong[0].tobytes() not in successors(before, ply)
    for king in (6, 12):
        assert (wrong[0] == king).sum() == 1
    kept = np.r_[0:start, over : len(broadcast)]
    np.testing.assert_array_equal(broadcast.labels[kept], POSITIONS[broadcast.ply[kept]])


@pytest.mark.parametrize("seed", SEEDS)
def test_takeback(seed: int) -> None:
    broadcast = stream(seed, Takeback())
    assert broadcast.span is not None
    start, over = broadcast.span
    assert 2 <= over - start <= 5
    ply = int(broadcast.ply[start])
    tried = broadcast.labels[start:over]
    assert (tried == tried[0]).all()
    assert tried[0].tobytes() in successors(POSITIONS[ply], ply)
    assert (tried[0] != POSITIONS[ply + 1]).any()
    kept = np.r_[0:start, over : len(broadcast)]
    np.testing.assert_array_equal(broadcast.labels[kept], POSITIONS[broadcast.ply[kept]])
    assert broadcast.ply[over] == ply


@pytest.mark.parametrize("seed", SEEDS)
def test_lost_frames(seed: int) -> None:
    whole, broken = stream(seed), stream(seed, LostFrames(10))
    frame = broken.fault_frame
    assert frame is not None
    assert len(broken) == len(whole) - 10
    np.testing.assert_array_equal(broken.ply, np.delete(whole.ply, np.s_[frame : frame + 10]))
    assert broken.ply[frame] - broken.ply[frame - 1] >= 3


def test_illegal_successors_never_look_legal() -> None:
    rng = np.random.default_rng(0)
    board = chess.Board("8/P6k/8/8/8/8/p6K/8 w - - 0 1")
    for _ in range(30):
        labels = illegal_successor(board, rng)
        assert not np.isin(labels[np.r_[0:8, 56:64]], (1, 7)).any()


@pytest.mark.parametrize("fault", [HandOver(), StyleSwap(TRAIN_STYLES), IllegalMove(), LostFrames(), Takeback()])
def test_max_frames_holds_with_every_fault(fault: Fault) -> None:
    broadcast = stream(0, fault, max_frames=60)
    assert 50 <= len(broadcast) <= 60
    assert broadcast.fault_frame is not None
    assert 10 < broadcast.fault_frame < 55
    assert broadcast.offsets.shape == (len(broadcast), 64, 2)
    assert fault.describe()


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"hand_rate in \[0, 0\.8\], got 1"):
        stream(0, hand_rate=1)
    with pytest.raises(ValueError, match=r"frames_per_move, got \(3, 1\)"):
        stream(0, frames_per_move=(3, 1))
    with pytest.raises(ValueError, match="max_frames >= 1, got 0"):
        stream(0, max_frames=0)
    with pytest.raises(ValueError, match=r"difficulty in \[0, 1\], got 2"):
        stream(0, difficulty=2)
    with pytest.raises(ValueError, match="needs a move in frames"):
        stream(0, HandOver(), max_frames=2)
    with pytest.raises(ValueError, match="needs more than"):
        stream(0, LostFrames(100), max_frames=60)
    with pytest.raises(ValueError, match=r"`HandOver` needs frames >= 1, got 0"):
        HandOver(0)
