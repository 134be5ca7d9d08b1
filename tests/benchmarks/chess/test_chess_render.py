"""Rendered frames."""

from dataclasses import replace
from itertools import pairwise

import chess
import numpy as np
import pytest

from benchmarks.chess.camera import square_crops
from benchmarks.chess.gallery import sheet
from benchmarks.chess.hand import Hand, hand_layer
from benchmarks.chess.labels import board_labels
from benchmarks.chess.render import render
from benchmarks.chess.shapes import solid
from benchmarks.chess.style import TEST_STYLES, TRAIN_STYLES, Style, degrade, jitter

START = board_labels(chess.Board())
EMPTY = np.zeros(64, dtype=np.int8)
# Without noise, blur and codec loss, differences are those of the scene.
CLEAN = replace(TRAIN_STYLES[0], noise=0.0, blur=0.0, quality=95, wobble=0.0)


def one(square: int, label: int) -> np.ndarray:
    labels = EMPTY.copy()
    labels[square] = label
    return labels


def test_a_frame_is_a_function_of_its_generator() -> None:
    frames = [render(START, TEST_STYLES[0], np.random.default_rng(seed), difficulty=0.4) for seed in (3, 3, 4)]
    assert frames[0].shape == (240, 320, 3)
    assert frames[0].dtype == np.uint8
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (frames[0] != frames[2]).any()


def test_a_tall_piece_overlaps_the_square_behind() -> None:
    rng = np.random.default_rng(0)
    empty = square_crops(render(EMPTY, CLEAN, rng), CLEAN.camera).astype(int)
    change = {}
    for label in (1, 6):
        crops = square_crops(render(one(chess.E4, label), CLEAN, rng), CLEAN.camera).astype(int)
        change[label] = np.abs(crops - empty).mean(axis=(1, 2, 3))
    assert change[6].argmax() == chess.E4
    assert change[6][chess.E5] > 5 > change[6][chess.E2]
    assert change[6][chess.E5] > 2 * change[1][chess.E5]


@pytest.mark.parametrize("style", [*TRAIN_STYLES, *TEST_STYLES], ids=lambda style: style.name)
def test_kinds_differ_in_height_as_they_should(style: Style) -> None:
    heights = [solid(kind, style.shapes).height for kind in (chess.PAWN, chess.ROOK, chess.BISHOP)]
    heights += [solid(kind, style.shapes).height for kind in (chess.QUEEN, chess.KING)]
    assert heights == sorted(heights)
    assert solid(chess.KNIGHT, style.shapes).height > heights[0]


@pytest.mark.parametrize("style", TEST_STYLES, ids=lambda style: style.name)
def test_all_labels_look_different(style: Style) -> None:
    clean = replace(style, noise=0.0, blur=0.0, quality=95, wobble=0.0)
    frames = [render(one(chess.D4, label), clean, np.random.default_rng(0)).astype(int) for label in range(13)]
    crops = np.stack([square_crops(frame.astype(np.uint8), clean.camera, [chess.D4])[0] for frame in frames])
    flat = crops.reshape(13, -1).astype(float)
    distance = np.abs(flat[:, None] - flat[None]).mean(axis=-1) + 1e3 * np.eye(13)
    assert distance.min() > 2


def test_nearer_pieces_hide_farther_ones() -> None:
    both = one(chess.E4, 6) + one(chess.E5, 7)
    rng = np.random.default_rng(0)
    alone, hidden = render(one(chess.E4, 6), CLEAN, rng), render(both, CLEAN, rng)
    head = CLEAN.camera.project((4.5, 3.5, 1.15)).astype(int)
    assert np.abs(alone[head[1], head[0]].astype(int) - hidden[head[1], head[0]]).max() <= 12


@pytest.mark.parametrize("from_white", [True, False])
def test_a_hand_covers_several_squares(from_white: bool) -> None:
    rng = np.random.default_rng(0)
    hand = Hand(chess.D4, from_white)
    _, cover = hand_layer(hand, CLEAN.camera)
    covered = square_crops((np.repeat(cover, 3, axis=2) * 255).astype(np.uint8), CLEAN.camera).mean(axis=(1, 2, 3))
    assert 3 <= (covered > 60).sum() <= 25
    free = np.arange(64)[covered == 0]
    frames = [render(START, CLEAN, rng, hand=arm) for arm in (None, hand)]
    crops = [square_crops(frame, CLEAN.camera).astype(int) for frame in frames]
    change = np.abs(crops[0] - crops[1]).mean(axis=(1, 2, 3))
    assert change[covered > 120].min() > 10
    assert change[free].max() < 2
    # The arm comes from its player's side.
    far = (np.flatnonzero(covered > 60) // 8).mean()
    assert (far < 3) == from_white


def test_difficulty_loses_signal_monotonically() -> None:
    for style in (TRAIN_STYLES[1], TEST_STYLES[2]):
        still = np.zeros((64, 2))
        clean = render(START, style, np.random.default_rng(0), offsets=still).astype(float)
        ratios = []
        for level in (0.1, 0.3, 0.5, 0.7, 0.9):
            frame = render(START, style, np.random.default_rng(1), difficulty=level, offsets=still)
            ratios.append(10 * np.log10(255**2 / np.mean((frame - clean) ** 2)))
        assert all(before > after + 0.5 for before, after in pairwise(ratios)), ratios


def test_styles_are_disjoint() -> None:
    """Test looks share no palette with the training looks, and some of their designs are never trained on."""
    for field in ("light", "dark", "white", "black", "camera"):
        trained = {getattr(style, field) for style in TRAIN_STYLES}
        assert not trained & {getattr(style, field) for style in TEST_STYLES}, field
    assert not {style.shapes for style in TRAIN_STYLES} & {style.shapes for style in TEST_STYLES}
    assert len({style.shapes for style in TRAIN_STYLES}) >= 2
    assert len({style.name for style in (*TRAIN_STYLES, *TEST_STYLES)}) == len(TRAIN_STYLES) + len(TEST_STYLES)


def test_jitter_moves_the_camera_a_little() -> None:
    style = TRAIN_STYLES[0]
    near = jitter(style, np.random.default_rng(0))
    assert near != style
    assert abs(near.camera.elevation - style.camera.elevation) <= 2
    assert near == jitter(style, np.random.default_rng(0))
    assert degrade(style, 0.0) == style


def test_the_gallery_shows_every_style() -> None:
    image = sheet()
    assert image.size[0] > 1200
    assert image.size[1] > 2000


def test_bad_arguments_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"difficulty in \[0, 1\], got 1\.5"):
        render(START, CLEAN, rng, difficulty=1.5)
    with pytest.raises(ValueError, match=r"labels \(64,\) in 0\.\.12, got shape \(8, 8\)"):
        render(START.reshape(8, 8), CLEAN, rng)
    with pytest.raises(ValueError, match=r"square in 0\.\.63, got 64"):
        Hand(64, True)
