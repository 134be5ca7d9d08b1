"""Square labels: how a chess position is written as 64 small integers.

Squares are in python-chess order (a1=0, b1=1, ..., h8=63). A label is 0 for an empty square, 1..6 for a white
pawn, knight, bishop, rook, queen, king, and 7..12 for the black ones.
"""

from typing import Final

import chess
import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int8]

EMPTY: Final = 0
COUNT: Final = 13
SYMBOLS: Final = ".PNBRQKpnbrqk"


def piece_label(piece: chess.Piece) -> int:
    """Label of `piece`, 1..12."""
    return piece.piece_type + (0 if piece.color == chess.WHITE else 6)


def label_piece(label: int) -> chess.Piece:
    """Piece of a `label` in 1..12."""
    if not 1 <= label < COUNT:
        raise ValueError(f"`label_piece` needs a label in 1..12, got {label}")
    return chess.Piece((label - 1) % 6 + 1, label <= 6)


def board_labels(board: chess.BaseBoard) -> Labels:
    """Labels of `board`, int8 (64,)."""
    labels = np.zeros(64, dtype=np.int8)
    for square, piece in board.piece_map().items():
        labels[square] = piece_label(piece)
    return labels


def labels_board(labels: npt.ArrayLike) -> chess.BaseBoard:
    """Placement that `labels` (64,) describe: the inverse of `board_labels` (no turn or castling rights)."""
    values = np.asarray(labels)
    if values.shape != (64,):
        raise ValueError(f"`labels_board` needs labels of shape (64,), got {values.shape}")
    board = chess.BaseBoard.empty()
    for square in np.flatnonzero(values):
        board.set_piece_at(int(square), label_piece(int(values[square])))
    return board
