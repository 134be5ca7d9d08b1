"""Which cells a decoder asks the network for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from constraints.errors import SpecificationError
from constraints.rules.scores import Scores
from constraints.rules.transition import Changes
from constraints.tracking.track import FLOOR, Track

__all__ = ["AskAll", "AskChanged", "AskPolicy", "AskShortlist"]


class AskPolicy(ABC):
    """Which cells to ask the network for, and which successor explains the answers best."""

    @abstractmethod
    def choose(self, changes: Changes, track: Track, scores: Scores) -> int:
        """Index of the successor that explains the observation, or -1 where nothing changed."""


@final
@dataclass(frozen=True, slots=True)
class AskAll(AskPolicy):
    """Ask for every cell and compare every successor.

    Attributes:
        threshold: log-likelihood by which a successor must beat "nothing changed", nats.

    Example:
        >>> import torch
        >>> from constraints.rules import EagerScores
        >>> changes = Changes(np.array([[0]]), np.array([[1]]))  # one successor: cell 0 becomes 1
        >>> track = Track(None, np.zeros(2, dtype=int), np.ones(2, dtype=bool), np.zeros(2), np.zeros(2, dtype=bool))
        >>> scores = EagerScores(torch.tensor([[0.01, 0.99], [0.99, 0.01]]).log())
        >>> AskAll().choose(changes, track, scores), scores.asked
        (0, 2)
    """

    threshold: float = 3.0

    def choose(self, changes: Changes, track: Track, scores: Scores) -> int:
        """See `AskPolicy.choose`."""
        scores.at(np.arange(scores.cells))
        if not len(changes):
            return -1
        gain = _gains(changes, track.labels, scores, np.arange(scores.cells))
        return _best(gain, np.arange(len(changes)), self.threshold)


@final
@dataclass(frozen=True, slots=True)
class AskChanged(AskPolicy):
    """Ask only for cells that can have changed: a few that together touch every successor, then more where needed.

    Attributes:
        threshold: see `AskAll`.
        audit: cells that are checked in turn at each observation, besides the most recently changed ones.

    Example:
        >>> import torch
        >>> from constraints.rules import EagerScores
        >>> changes = Changes(np.array([[0]]), np.array([[1]]))  # one successor: cell 0 becomes 1
        >>> track = Track(None, np.zeros(2, dtype=int), np.ones(2, dtype=bool), np.zeros(2), np.zeros(2, dtype=bool))
        >>> scores = EagerScores(torch.tensor([[0.01, 0.99], [0.99, 0.01]]).log())
        >>> AskChanged(audit=1).choose(changes, track, scores)
        0
    """

    threshold: float = 3.0
    audit: int = 2

    def choose(self, changes: Changes, track: Track, scores: Scores) -> int:
        """See `AskPolicy.choose`."""
        probes = _hitting_cells(changes, scores.cells)
        audited = _audit(track, max(self.audit, 1))
        scores.at(np.concatenate([probes, audited]))
        if not len(changes):
            return -1
        known = np.union1d(probes, audited)
        partial = _gains(changes, track.labels, scores, known)
        alive = np.flatnonzero(partial > 0.0)
        return _settle(changes, track, scores, alive, self.threshold)


@final
@dataclass(frozen=True, slots=True)
class AskShortlist(AskPolicy):
    """Rank successors by how much the input of their cells changed and verify only the `k` best.

    Needs `Scores.change`. Where no cell's input changed more than usual, only the audit is asked.

    Attributes:
        k: how many successors are verified.
        threshold: see `AskAll`.
        audit: see `AskChanged`.
        contrast: how many times the median change a cell must reach to count as changed.

    Example:
        >>> import torch
        >>> from constraints.rules import EagerScores
        >>> changes = Changes(np.array([[0]]), np.array([[1]]))  # one successor: cell 0 becomes 1
        >>> track = Track(None, np.zeros(2, dtype=int), np.ones(2, dtype=bool), np.zeros(2), np.zeros(2, dtype=bool))
        >>> scores = EagerScores(torch.tensor([[0.01, 0.99], [0.99, 0.01]]).log(), change=np.array([9.0, 1.0]))
        >>> AskShortlist(k=1).choose(changes, track, scores)
        0
    """

    k: int = 5
    threshold: float = 3.0
    audit: int = 2
    contrast: float = 1.5

    def choose(self, changes: Changes, track: Track, scores: Scores) -> int:
        """See `AskPolicy.choose`."""
        if scores.change is None:
            raise SpecificationError("`AskShortlist` needs scores with `change`, got None")
        scores.at(_audit(track, max(self.audit, 1)))
        if not len(changes):
            return -1
        usual = float(np.median(scores.change))
        excess = np.clip(scores.change - self.contrast * usual, 0.0, None)
        used = changes.cells >= 0
        touched = np.where(used, excess[changes.cells], 0.0)
        # A successor whose cells did not all change is a worse guess than one whose cells did: rank by the least.
        rank = np.where(used, touched, np.inf).min(axis=1, initial=np.inf) + 1e-3 * touched.sum(axis=1)
        order = np.argsort(-rank, kind="stable")[: self.k]
        alive = order[touched[order].sum(axis=1) > 0.0]
        return _settle(changes, track, scores, alive, self.threshold)


def _gains(
    changes: Changes, labels: NDArray[np.integer], scores: Scores, known: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Log-likelihood of each successor against no change, over the `known` cells only, `(k,)`."""
    table = np.zeros((scores.cells, scores.at(known[:1]).shape[-1]))
    table[known] = np.maximum(scores.at(known), FLOOR)
    used = changes.cells >= 0
    gain: NDArray[np.floating] = table[changes.cells, changes.labels] - table[changes.cells, labels[changes.cells]]
    total: NDArray[np.floating] = np.where(used, gain, 0.0).sum(axis=1)
    return total


def _settle(changes: Changes, track: Track, scores: Scores, alive: NDArray[np.integer], threshold: float) -> int:
    """The best of the successors that are still alive, all of their cells now asked for."""
    if not alive.size:
        return -1
    kept = Changes(changes.cells[alive], changes.labels[alive])
    wanted = np.unique(kept.cells[kept.cells >= 0])
    scores.at(wanted)
    return _best(_gains(kept, track.labels, scores, wanted), alive, threshold)


def _best(gain: NDArray[np.floating], index: NDArray[np.integer], threshold: float) -> int:
    best = int(gain.argmax())
    return int(index[best]) if gain[best] > threshold else -1


def _audit(track: Track, count: int) -> NDArray[np.intp]:
    """Cells to check besides: those just changed, the most doubtful ones, and `count` in turn."""
    cells = len(track.labels)
    turn = (track.step * count + np.arange(count)) % cells
    doubtful = np.flatnonzero((track.evidence > 0.0) & ~track.cleared)
    doubtful = doubtful[np.argsort(-track.evidence[doubtful], kind="stable")][:4]
    return np.unique(np.concatenate([turn, doubtful, np.asarray(track.recent, dtype=np.intp)])).astype(np.intp)


def _hitting_cells(changes: Changes, cells: int) -> NDArray[np.intp]:
    """A small set of cells such that every successor changes at least one of them (greedy set cover)."""
    k, width = changes.cells.shape
    touches = np.zeros((k, cells), dtype=bool)
    rows = np.repeat(np.arange(k), width).reshape(k, width)
    used = changes.cells >= 0
    touches[rows[used], changes.cells[used]] = True
    chosen: list[int] = []
    counts = touches.sum(axis=0)
    while counts.max(initial=0) > 0:
        cell = int(counts.argmax())
        chosen.append(cell)
        hit = touches[:, cell]
        counts = counts - touches[hit].sum(axis=0)
        touches[hit] = False
    return np.asarray(chosen, dtype=np.intp)
