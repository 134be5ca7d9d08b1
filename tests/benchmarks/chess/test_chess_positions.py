"""Random positions and training pictures."""

import numpy as np
import pytest

from benchmarks.chess.positions import board_set, random_position, training_set
from benchmarks.chess.style import TEST_STYLES

# Knights, bishops, rooks and queens at the start of a game.
AT_START = np.array((2, 2, 2, 1))


def test_positions_could_be_on_a_board() -> None:
    rng = np.random.default_rng(0)
    positions = np.stack([random_position(rng) for _ in range(60)])
    assert positions.dtype == np.int8
    for black in (0, 6):
        counts = np.stack([(positions == kind + black).sum(axis=1) for kind in range(1, 7)], axis=1)
        assert (counts[:, 5] == 1).all()
        promoted = np.maximum(counts[:, 1:5] - AT_START, 0).sum(axis=1)
        assert (counts[:, 0] + promoted <= 8).all()
    edge = positions[:, np.r_[0:8, 56:64]]
    assert not np.isin(edge, (1, 7)).any()


def test_training_set_has_what_was_asked_for() -> None:
    crops = training_set(900, np.random.default_rng(1), styles=TEST_STYLES[:2], difficulty=0.2, hand_rate=0.1)
    assert crops.images.shape == (900, 3, 40, 24)
    assert crops.images.dtype == np.uint8
    assert crops.labels.shape == crops.squares.shape == (900,)
    assert crops.labels.dtype == crops.squares.dtype == np.int8
    assert set(crops.labels) == set(range(13))
    assert 0.35 < (crops.labels == 0).mean() < 0.65
    pawns = np.isin(crops.labels, (1, 7))
    assert ((crops.squares[pawns] >= 8) & (crops.squares[pawns] < 56)).all()
    assert np.bincount(crops.labels, minlength=13).min() >= 9


def test_training_set_is_a_function_of_its_generator() -> None:
    first, same = (training_set(60, np.random.default_rng(2), styles=TEST_STYLES[:1]) for _ in range(2))
    for a, b in zip(first, same, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_empty_squares_if_none_are_wanted() -> None:
    crops = training_set(100, np.random.default_rng(3), styles=TEST_STYLES[:1], empty_ratio=0.0)
    assert (crops.labels > 0).all()


def test_board_set_has_whole_boards() -> None:
    boards = board_set(7, np.random.default_rng(4), difficulty=0.3, hand_rate=0.5)
    assert boards.images.shape == (7, 64, 3, 40, 24)
    assert boards.labels.shape == (7, 64)
    assert ((boards.labels == 6).sum(axis=1) == 1).all()


def test_bad_arguments_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="count >= 1, got 0"):
        training_set(0, rng)
    with pytest.raises(ValueError, match="empty_ratio >= 0, got -1"):
        training_set(10, rng, empty_ratio=-1)
    with pytest.raises(ValueError, match="boards >= 1, got 0"):
        board_set(0, rng)
    with pytest.raises(ValueError, match="at least one style"):
        board_set(1, rng, styles=())
    with pytest.raises(ValueError, match=r"hand_rate in \[0, 1\], got 2"):
        board_set(1, rng, hand_rate=2)
