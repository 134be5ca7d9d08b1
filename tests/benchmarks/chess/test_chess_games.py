"""The recorded games: all legal, with every kind of special move; and the labels of positions."""

import chess
import numpy as np
import pytest

from benchmarks.chess.games import PGN_PATH, Game, load_games, parse_games
from benchmarks.chess.labels import SYMBOLS, board_labels, label_piece, labels_board, piece_label


def test_there_are_enough_distinct_games() -> None:
    games = load_games()
    assert len(games) >= 24
    assert len({game.moves for game in games}) == len(games)
    assert 60 <= np.mean([len(game.moves) for game in games]) <= 90


def test_games_are_complete_as_recorded() -> None:
    """A game that ends on the board has the result that its header says."""
    results = [line.split('"')[1] for line in PGN_PATH.read_text().splitlines() if line.startswith("[Result ")]
    for game, result in zip(load_games(), results, strict=True):
        outcome = game.boards()[-1].outcome()
        assert outcome is None or outcome.result() == result, game.name


def test_special_moves_occur() -> None:
    seen = set()
    for game in load_games():
        for board, move in zip(game.boards(), game.moves, strict=False):
            seen |= {
                name
                for name, found in (
                    ("short", board.is_kingside_castling(move)),
                    ("long", board.is_queenside_castling(move)),
                    ("en passant", board.is_en_passant(move)),
                    ("promotion", move.promotion is not None),
                )
                if found
            }
    assert seen == {"short", "long", "en passant", "promotion"}


def test_positions_follow_the_moves() -> None:
    game = load_games()[0]
    positions = game.positions()
    assert positions.shape == (len(game.moves) + 1, 64)
    assert positions.dtype == np.int8
    assert labels_board(positions[-1]).board_fen() == game.boards()[-1].board_fen()
    changed = (positions[1:] != positions[:-1]).sum(axis=1)
    assert changed.min() >= 2
    assert changed.max() <= 4


def test_labels_are_the_symbols_of_python_chess() -> None:
    labels = board_labels(chess.Board())
    assert "".join(SYMBOLS[label] for label in labels[:8]) == "RNBQKBNR"
    assert "".join(SYMBOLS[label] for label in labels[56:]) == "rnbqkbnr"
    for label in range(1, 13):
        assert label_piece(label).symbol() == SYMBOLS[label]
        assert piece_label(label_piece(label)) == label


def test_bad_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"label in 1\.\.12, got 13"):
        label_piece(13)
    with pytest.raises(ValueError, match=r"shape \(64,\), got \(8, 8\)"):
        labels_board(np.zeros((8, 8)))


def test_an_illegal_move_is_named() -> None:
    with pytest.raises(ValueError, match=r"Ann - Bob.*ply 3.*Ke3"):
        parse_games('[White "Ann"]\n[Black "Bob"]\n\n1. e4 e5 2. Ke3 *\n')
    with pytest.raises(ValueError, match=r"`Game` 'x' needs legal moves, got e2e5 at ply 1"):
        Game("x", (chess.Move.from_uci("e2e5"),))
    with pytest.raises(ValueError, match="at least one game"):
        parse_games("")
