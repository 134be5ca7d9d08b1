"""Chess rules against python-chess, on every position of every shipped game."""

import chess
import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.chess.games import load_games
from benchmarks.chess.labels import board_labels
from benchmarks.chess.rules import LegalMove, census_rule, square_rule
from constraints import SpecificationError
from constraints.testing import check_rule

GAMES = load_games()
START = board_labels(chess.Board())


def logits(labels, sure=20.0):
    return sure * nn.functional.one_hot(torch.as_tensor(np.asarray(labels), dtype=torch.long), 13).float()


def test_every_position_that_was_played_obeys():
    shown = logits(np.concatenate([game.positions() for game in GAMES]))
    for rule in (census_rule(), square_rule()):
        assert float(rule.measure(nn.Identity(), shown, shown).max()) == 0.0


@pytest.mark.parametrize(("square", "label"), [("e1", 0), ("e4", 6), ("e4", 12), ("d4", 1), ("e8", 1), ("a1", 7)])
def test_what_cannot_be_is_found(square, label):
    labels = START.copy()
    labels[chess.parse_square(square)] = label
    shown = logits(labels[None])
    broken = [float(rule.measure(nn.Identity(), shown, shown)) for rule in (census_rule(), square_rule())]
    assert max(broken) > 0.0


def test_laws():
    shown = logits(np.stack([START, GAMES[0].positions()[20]]), sure=3.0)
    shown = shown + torch.randn(shown.shape, generator=torch.Generator().manual_seed(0))
    for rule in (census_rule(), square_rule()):
        check_rule(rule, nn.Identity(), shown, shown)
    check_rule(LegalMove(), nn.Identity(), torch.from_numpy(np.stack([START, START])).long(), shown)


@pytest.mark.parametrize("game", GAMES[::6], ids=lambda g: g.name[:20])
def test_successors_are_exactly_the_legal_moves(game):
    rule = LegalMove()
    state = rule.initial(START)
    assert state.turn_known
    board = chess.Board()
    for move in game.moves:
        changes = rule.successors(state)
        after = np.tile(state.labels.astype(int), (len(changes), 1))
        rows, columns = np.nonzero(changes.cells >= 0)
        after[rows, changes.cells[rows, columns]] = changes.labels[rows, columns]
        expected = set()
        for legal in board.legal_moves:
            board.push(legal)
            expected.add(board_labels(board).astype(int).tobytes())
            board.pop()
        assert {row.tobytes() for row in after} == expected
        board.push(move)
        index = int(np.flatnonzero((after == board_labels(board)).all(axis=1))[0])
        state = rule.advance(state, index)
        assert (state.labels == board_labels(board)).all()


def test_without_the_turn_both_sides_may_move():
    rule = LegalMove()
    labels = GAMES[0].positions()[6]
    state = rule.initial(labels)
    assert not state.turn_known
    assert {side for side, _ in state.moves} == {chess.WHITE, chess.BLACK}
    assert rule.advance(state, 0).turn_known


def test_a_game_begins_with_the_array_unless_the_picture_says_otherwise():
    rule = LegalMove()
    read = START.copy()
    read[3] = 6  # the queen is read as a second king
    labels, known = rule.begin(logits(read).log_softmax(-1).clamp(min=-8).numpy())
    assert known
    assert (labels == START).all()
    later = GAMES[0].positions()[30]
    labels, known = rule.begin(logits(later).log_softmax(-1).clamp(min=-8).numpy())
    assert not known
    assert (labels == later).all()


def test_a_fresh_reading_is_a_possible_position():
    rule = LegalMove()
    scores = torch.randn(64, 13, generator=torch.Generator().manual_seed(3)).log_softmax(-1)
    labels = rule.reread(scores.double().numpy())
    shown = logits(labels[None])
    for other in (census_rule(), square_rule()):
        assert float(other.measure(nn.Identity(), shown, shown)) == 0.0


def test_lost_means_that_something_left_and_something_arrived():
    rule = LegalMove()
    assert rule.lost(np.array([1, 0]), np.array([0, 1]))
    assert rule.lost(np.array([1, 8]), np.array([0, 1])), "a capture"
    assert not rule.lost(np.array([3, 6]), np.array([1, 5])), "two misreadings of what stands there"
    assert not rule.lost(np.array([0, 0]), np.array([1, 2]))
    with pytest.raises(SpecificationError, match="labels"):
        rule.initial(np.zeros(63, dtype=int))
