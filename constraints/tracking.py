"""Following a sequence of observations through legal transitions, and finding back when lost.

A decoder keeps explicit state (`Track`). Each observation is explained by the best legal successor, or by no change.
Which cells the network is asked for is a policy: all of them, only those in which successors differ, or those of a
shortlist. Every asked cell that contradicts the tracked labels adds to that cell's evidence (a CUSUM: evidence decays
to zero where the cell agrees). Suspicion makes the decoder read everything once; evidence on two cells makes it repair
its labels from what it reads, so that one early error does not poison the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from constraints.errors import SpecificationError
from constraints.rules.scores import Scores
from constraints.rules.transition import Changes, Transition

__all__ = ["AskAll", "AskChanged", "AskPolicy", "AskShortlist", "Recovery", "Track", "follow"]

_FLOOR = -8.0  # log-probability below which a cell says no more than "no": one sure misread must not veto a move


@final
@dataclass(frozen=True, slots=True)
class Track:
    """What a decoder knows after an observation.

    Attributes:
        state: the rule's own state.
        labels: its labels, `(cells,)`.
        evidence: how strongly recent observations contradict each label, `(cells,)`, nats.
        step: how many observations were decoded.
        recent: cells that the last accepted successor changed.
        repairs: how many times the labels were repaired.
    """

    state: Any
    labels: NDArray[np.integer]
    evidence: NDArray[np.floating]
    step: int = 0
    recent: tuple[int, ...] = ()
    repairs: int = 0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """When a decoder stops believing its state.

    Attributes:
        clip: largest evidence that one observation of one cell may add, nats.
        drift: what is taken off each time, so that noise does not add up.
        suspicion: evidence on one cell at which everything is read once.
        alarm: evidence at which a cell counts as contradicted.
        cells: how many contradicted cells start a repair (a missed change shows in at least two).
        prior: what the tracked label of a cell is worth in a repair, nats.
        pause: observations between two full readings out of suspicion.
    """

    clip: float = 3.0
    drift: float = 0.5
    suspicion: float = 4.5
    alarm: float = 6.0
    cells: int = 2
    prior: float = 1.0
    pause: int = 4

    def __post_init__(self) -> None:
        if min(self.clip, self.suspicion, self.alarm) <= self.drift or self.drift < 0 or self.cells < 1 or self.pause < 1:
            raise SpecificationError(
                f"`Recovery` needs 0 <= drift < clip, suspicion and alarm, cells >= 1 and pause >= 1, got {self}"
            )


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
    """

    threshold: float = 3.0

    def choose(self, changes: Changes, track: Track, scores: Scores) -> int:
        """See `AskPolicy.choose`."""
        scores.at(np.arange(scores.cells))
        gain = _gains(changes, track.labels, scores, np.arange(scores.cells))
        return _best(gain, np.arange(len(changes)), self.threshold)


@final
@dataclass(frozen=True, slots=True)
class AskChanged(AskPolicy):
    """Ask only for cells that can have changed: first a few that together touch every successor, then where needed more.

    Attributes:
        threshold: see `AskAll`.
        audit: cells that are checked in turn at each observation, besides the most recently changed ones.
    """

    threshold: float = 3.0
    audit: int = 2

    def choose(self, changes: Changes, track: Track, scores: Scores) -> int:
        """See `AskPolicy.choose`."""
        probes = _hitting_cells(changes, scores.cells)
        audited = _audit(track, self.audit)
        scores.at(np.concatenate([probes, audited]))
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
        usual = float(np.median(scores.change))
        excess = np.clip(scores.change - self.contrast * usual, 0.0, None)
        used = changes.cells >= 0
        touched = np.where(used, excess[changes.cells], 0.0)
        # A successor whose cells did not all change is a worse guess than one whose cells did: rank by the least.
        rank = np.where(used, touched, np.inf).min(axis=1, initial=np.inf) + 1e-3 * touched.sum(axis=1)
        order = np.argsort(-rank, kind="stable")[: self.k]
        alive = order[touched[order].sum(axis=1) > 0.0]
        return _settle(changes, track, scores, alive, self.threshold)


def follow(
    rule: Transition[Any],
    scores: Scores,
    track: Track | None,
    *,
    policy: AskPolicy,
    recovery: Recovery = Recovery(),  # noqa: B008 - frozen
) -> tuple[NDArray[np.integer], Track]:
    """Decode one observation.

    Args:
        rule: the legal transitions.
        scores: what the network says, as far as it is asked.
        track: the state before, or None at the start and after a cut: everything is read.
        policy: which cells to ask for.
        recovery: when to stop believing the state.

    Returns:
        The labels `(cells,)` and the state after.
    """
    everything = np.arange(scores.cells)
    if track is None:
        read = scores.at(everything).argmax(axis=1)
        return read, Track(rule.initial(read), read, np.zeros(scores.cells))
    changes = rule.successors(track.state)
    index = policy.choose(changes, track, scores) if len(changes) else -1
    step = track.step + 1
    if index >= 0:
        state = rule.advance(track.state, index)
        recent = tuple(int(c) for c in changes.cells[index] if c >= 0)
        evidence = track.evidence.copy()
        evidence[list(recent)] = 0.0
        track = replace(track, state=state, labels=rule.labels(state), recent=recent, evidence=evidence, step=step)
    else:
        track = replace(track, step=step)
    evidence = _accumulate(track, scores, recovery)
    if evidence.max() >= recovery.suspicion and (scores.asked < scores.cells) and step % recovery.pause == 0:
        scores.at(everything)
        evidence = _accumulate(track, scores, recovery)
    if (evidence >= recovery.alarm).sum() >= recovery.cells:
        values = np.maximum(scores.at(everything), _FLOOR).astype(np.float64)
        values[everything, track.labels] += recovery.prior
        read = values.argmax(axis=1)
        return read, Track(rule.initial(read), read, np.zeros(scores.cells), step, repairs=track.repairs + 1)
    return track.labels, replace(track, evidence=evidence)


def _accumulate(track: Track, scores: Scores, recovery: Recovery) -> NDArray[np.floating]:
    """The evidence after this observation: grows where an asked cell contradicts its label, decays where it agrees."""
    cells = scores.known()
    if cells.size == 0:
        return track.evidence
    values = np.maximum(scores.at(cells), _FLOOR)
    rows = np.arange(len(cells))
    own = values[rows, track.labels[cells]]
    others = values.copy()
    others[rows, track.labels[cells]] = -np.inf
    against = np.clip(others.max(axis=1) - own, -recovery.clip, recovery.clip) - recovery.drift
    evidence = track.evidence.copy()
    evidence[cells] = np.maximum(evidence[cells] + against, 0.0)
    return evidence


def _gains(
    changes: Changes, labels: NDArray[np.integer], scores: Scores, known: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Log-likelihood of each successor against no change, over the `known` cells only, `(k,)`."""
    table = np.zeros((scores.cells, scores.at(known[:1]).shape[-1]))
    table[known] = np.maximum(scores.at(known), _FLOOR)
    used = changes.cells >= 0
    gain = table[changes.cells, changes.labels] - table[changes.cells, labels[changes.cells]]
    return np.where(used, gain, 0.0).sum(axis=1)


def _settle(
    changes: Changes, track: Track, scores: Scores, alive: NDArray[np.integer], threshold: float
) -> int:
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
    doubtful = np.flatnonzero(track.evidence > 0.0)
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
