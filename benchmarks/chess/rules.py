"""What a reader of chessboards can know: who may stand where, how many there are, and what may happen next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import chess
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.chess.labels import COUNT, EMPTY, board_labels, labels_board, piece_label
from constraints import AllowedClasses, Box, Census, Changes, CountLimit, SpecificationError, Transition
from constraints.functional import assign_with_limits

__all__ = ["ChessState", "LegalMove", "census_rule", "square_rule"]

WHITE, BLACK = range(1, 7), range(7, 13)
PAWN, KNIGHT, BISHOP, ROOK, QUEEN, KING = range(6)
FAR = -1e3  # log-probability of what cannot be
START_PRIOR = 40.0  # nats: what it is worth that a broadcast begins with the game


def square_rule() -> AllowedClasses:
    """No pawn ever stands on the first or the last rank."""
    allowed = torch.ones(64, COUNT, dtype=torch.bool)
    for square in chess.SquareSet(chess.BB_RANK_1 | chess.BB_RANK_8):
        allowed[square, [WHITE[PAWN], BLACK[PAWN]]] = False
    return AllowedClasses(allowed, name="impossible squares", source="FIDE Laws of Chess, 2.3 and 3.7")


def census_rule() -> Census:
    """One king a side, at most 16 men and 8 pawns, and no more of a kind than pawns could have become.

    A side begins with two knights, two bishops, two rooks and a queen; every further one was a pawn, so pawns and
    the kind together are at most 8 more than the kind began with.
    """
    limits = []
    for side in (WHITE, BLACK):
        limits.append(CountLimit((side[KING],), low=1, high=1))
        limits.append(CountLimit(tuple(side), low=1, high=16))
        limits.append(CountLimit((side[PAWN],), high=8))
        for kind, at_first in ((KNIGHT, 2), (BISHOP, 2), (ROOK, 2), (QUEEN, 1)):
            limits.append(CountLimit((side[PAWN], side[kind]), high=8 + at_first))
    return Census(limits, classes=COUNT, name="census", source="FIDE Laws of Chess, 2.2 and 3.7.5")


@final
@dataclass(frozen=True)
class ChessState:
    """A position as far as it is known.

    Attributes:
        board: the placement, with turn, castling and en-passant rights where they are known.
        turn_known: whether it is known whose move it is; after a fresh reading it is not.
    """

    board: chess.Board
    turn_known: bool

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        """Labels of the placement, `(64,)`."""
        return board_labels(self.board)

    @cached_property
    def moves(self) -> tuple[tuple[bool, chess.Move], ...]:
        """Legal moves with their side; of both sides where the turn is not known."""
        if self.turn_known:
            return tuple((self.board.turn, move) for move in self.board.legal_moves)
        found: list[tuple[bool, chess.Move]] = []
        for side in (chess.WHITE, chess.BLACK):
            board = self.board.copy(stack=False)
            board.turn, board.ep_square = side, None
            found += [(side, move) for move in board.legal_moves]
            # Whatever pawn may just have made its double step, nobody knows: each may be taken en passant.
            for pawn in board.pieces(chess.PAWN, not side) & chess.BB_RANKS[4 if side else 3]:
                board.ep_square = pawn + 8 if side else pawn - 8
                if not board.occupied & (
                    chess.BB_SQUARES[board.ep_square] | chess.BB_SQUARES[2 * board.ep_square - pawn]
                ):
                    found += [(side, move) for move in board.generate_legal_ep()]
        return tuple(found)

    @cached_property
    def changes(self) -> Changes:
        """What every move changes; kept, because most frames of a broadcast show no move."""
        cells = np.full((len(self.moves), 4), -1, dtype=np.intp)
        labels = np.zeros((len(self.moves), 4), dtype=np.intp)
        before = self.labels
        for row, (side, move) in enumerate(self.moves):
            mover = int(before[move.from_square])
            placed = mover if move.promotion is None else piece_label(chess.Piece(move.promotion, side))
            cells[row, :2] = move.from_square, move.to_square
            labels[row, :2] = EMPTY, placed
            kind = (mover - 1) % 6
            if kind == KING and self.board.is_castling(move):
                home = chess.square_rank(move.from_square) * 8
                short = move.to_square > move.from_square
                cells[row, 2:] = (home + 7, home + 5) if short else (home, home + 3)
                labels[row, 2:] = EMPTY, before[home + 7 if short else home]
            elif kind == PAWN and before[move.to_square] == EMPTY and (move.from_square - move.to_square) % 8:
                cells[row, 2] = chess.square(chess.square_file(move.to_square), chess.square_rank(move.from_square))
        return Changes(cells, labels)


@final
class LegalMove(Transition[ChessState]):
    """The position is the one before, or the one after a legal move."""

    def __init__(self) -> None:
        super().__init__(cells=64, classes=COUNT, name="legal move", source="FIDE Laws of Chess, 3 and 4")
        census, squares = census_rule(), square_rule()
        box = census.constraint
        assert isinstance(box, Box)
        self._limits = census.groups.numpy(), box.low.numpy(), box.high.numpy()
        self._forbidden = squares.forbidden.numpy()

    def begin(self, scores: NDArray[np.floating]) -> tuple[NDArray[np.integer], bool]:
        """The array at the start of a game, where the picture does not speak clearly against it; else what is read.

        A position of a game that is joined later differs from the array in many squares, each of which costs up to
        eight nats.
        """
        read = self.reread(scores)
        array = board_labels(chess.Board())
        squares = np.arange(64)
        against = float((scores[squares, read] - scores[squares, array]).sum())
        return (array, True) if against < START_PRIOR else (read, False)

    def reread(self, scores: NDArray[np.floating]) -> NDArray[np.integer]:
        """The most probable placement with one king a side, no more men than can be, no pawn on the last ranks."""
        groups, low, high = self._limits
        values = np.where(self._forbidden, FAR, scores)
        return assign_with_limits(values, groups, low, high)

    def lost(self, labels: NDArray[np.integer], read: NDArray[np.integer]) -> bool:
        """Every missed move leaves a square empty and puts a man where none of his side stood.

        A square where one man of a side is taken for another is a misreading: men do not change into each other.
        """
        left = (labels != EMPTY) & (read == EMPTY)
        side, now = np.sign(labels) + (labels > 6), np.sign(read) + (read > 6)
        arrived = (read != EMPTY) & (now != side)
        return bool(left.any() and arrived.any())

    def initial(self, labels: NDArray[np.integer]) -> ChessState:
        """A position of which only the placement is known: either side may move, and may castle if it stands so."""
        if labels.shape != (64,) or labels.min() < 0 or labels.max() >= COUNT:
            raise SpecificationError(f"`LegalMove` needs labels (64,) in [0, {COUNT}), got shape {labels.shape}")
        board = chess.Board(None)
        board.set_piece_map(labels_board(labels).piece_map())
        board.castling_rights = chess.BB_CORNERS
        board.castling_rights = board.clean_castling_rights()
        return ChessState(board, turn_known=bool((labels == board_labels(chess.Board())).all()))

    def labels(self, state: ChessState) -> NDArray[np.integer]:
        """Labels of the placement, `(64,)`."""
        return state.labels

    def successors(self, state: ChessState) -> Changes:
        """What every legal move changes: two squares, three en passant, four in castling."""
        return state.changes

    def advance(self, state: ChessState, index: int) -> ChessState:
        """The position after a move; from then on it is known whose turn it is."""
        side, move = state.moves[index]
        board = state.board.copy(stack=False)
        if not state.turn_known:
            board.turn = side
            diagonal = (move.from_square - move.to_square) % 8 != 0
            passing = diagonal and board.piece_type_at(move.from_square) == chess.PAWN
            board.ep_square = move.to_square if passing and board.piece_at(move.to_square) is None else None
        board.push(move)
        return ChessState(board, turn_known=True)
