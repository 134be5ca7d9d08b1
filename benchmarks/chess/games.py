"""Recorded games that are replayed as broadcasts."""

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import chess
import chess.pgn
import numpy as np

from benchmarks.chess.labels import Labels, board_labels

PGN_PATH: Final = Path(__file__).parent / "data" / "games.pgn"


@dataclass(frozen=True)
class Game:
    """One recorded game.

    Attributes:
        name: Players, event and date.
        moves: The moves from `start`, one a ply.
        start: FEN of the first position.
    """

    name: str
    moves: tuple[chess.Move, ...]
    start: str = chess.STARTING_FEN

    def __post_init__(self) -> None:
        board = chess.Board(self.start)
        for ply, move in enumerate(self.moves, start=1):
            if not board.is_legal(move):
                raise ValueError(f"`Game` {self.name!r} needs legal moves, got {move} at ply {ply} in {board.fen()}")
            board.push(move)

    def boards(self) -> tuple[chess.Board, ...]:
        """The plies+1 positions, each with its turn and castling rights."""
        board = chess.Board(self.start)
        boards = [board.copy(stack=False)]
        for move in self.moves:
            board.push(move)
            boards.append(board.copy(stack=False))
        return tuple(boards)

    def positions(self) -> Labels:
        """Labels of every position, int8 (plies+1, 64)."""
        return np.stack([board_labels(board) for board in self.boards()])


def parse_games(text: str) -> tuple[Game, ...]:
    """Games of a PGN `text`.

    Raises:
        ValueError: A move is illegal or unreadable (the message names the game and the move), or there is no game.
    """
    stream = io.StringIO(text)
    games: list[Game] = []
    while (record := chess.pgn.read_game(stream)) is not None:
        headers = record.headers
        name = f"{headers['White']} - {headers['Black']}, {headers['Event']}, {headers['Date']}"
        if record.errors:
            ply = len(list(record.mainline_moves())) + 1
            raise ValueError(f"`parse_games` needs legal moves, got in {name!r} at ply {ply}: {record.errors[0]}")
        games.append(Game(name, tuple(record.mainline_moves()), record.board().fen()))
    if not games:
        raise ValueError("`parse_games` needs at least one game, got none")
    return tuple(games)


@cache
def load_games() -> tuple[Game, ...]:
    """The games of `data/games.pgn`, oldest first."""
    return parse_games(PGN_PATH.read_text(encoding="utf-8"))
