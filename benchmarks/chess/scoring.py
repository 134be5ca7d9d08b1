"""How right a reading is, and which rules it breaks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from benchmarks.chess.labels import COUNT
from benchmarks.chess.recording import Recording
from benchmarks.chess.rules import LegalMove, census_rule, square_rule

__all__ = ["STEADY", "broken_rules", "correctness", "recovery"]

STEADY = 3  # right boards in a row that count as "right again": one alone may be luck

Read = npt.NDArray[np.integer]


def correctness(pairs: Iterable[tuple[Recording, Read]]) -> dict[str, float]:
    """Shares of squares, boards and whole games that were read right.

    A game is right if the last frame of every position is: then its record can be written down.
    """
    squares, boards, games = [], [], []
    for recording, labels in pairs:
        right = labels == recording.labels
        board = right.all(axis=1)
        last = np.append(np.flatnonzero(np.diff(recording.ply)), len(board) - 1)
        squares.append(right.mean(axis=1))
        boards.append(board)
        games.append(bool(board[last].all()))
    return {
        "square_accuracy": float(np.concatenate(squares).mean()),
        "board_accuracy": float(np.concatenate(boards).mean()),
        "game_accuracy": float(np.mean(games)),
    }


def recovery(recording: Recording, labels: Read) -> int:
    """Frames from the end of a fault to the first of `STEADY` right boards in a row; all that are left if none."""
    right = (labels == recording.labels).all(axis=1)[recording.over :]
    runs = np.convolve(right, np.ones(STEADY), mode="valid") == STEADY
    return int(runs.argmax()) if runs.any() else len(right)


def broken_rules(readings: Iterable[Read]) -> dict[str, tuple[int, int]]:
    """How many frames break each rule, of how many."""
    census, impossible, moves = census_rule(), square_rule(), LegalMove()
    counts = {"census_violations": [0, 0], "square_violations": [0, 0], "move_violations": [0, 0]}
    nothing = torch.nn.Identity()
    for labels in readings:
        shown = F.one_hot(torch.from_numpy(np.asarray(labels, dtype=np.int64)), COUNT).float()
        for name, rule in (("census_violations", census), ("square_violations", impossible)):
            broken = rule.measure(nothing, shown, shown) > 0
            counts[name][0] += int(broken.sum())
            counts[name][1] += len(broken)
        changed = np.flatnonzero((labels[1:] != labels[:-1]).any(axis=1))
        if len(changed):
            before = torch.from_numpy(np.asarray(labels[changed], dtype=np.int64))
            broken = moves.measure(nothing, before, shown[changed + 1]) > 0.5
            counts["move_violations"][0] += int(broken.sum())
        counts["move_violations"][1] += len(labels) - 1
    return {name: (k, n) for name, (k, n) in counts.items()}
