"""One step of following a sequence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from constraints.rules.scores import Scores
from constraints.rules.transition import Transition
from constraints.tracking.policy import AskPolicy
from constraints.tracking.search import explain_by_line
from constraints.tracking.track import FLOOR, Recovery, Track

__all__ = ["follow"]


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

    Example:
        >>> import torch
        >>> from constraints import AskAll, Changes, EagerScores
        >>> class Countdown(Transition[int]):
        ...     '''One cell that holds a number, which falls by one or stays.'''
        ...     def initial(self, labels): return int(labels[0])
        ...     def labels(self, state): return np.array([state])
        ...     def successors(self, state):
        ...         k = 1 if state else 0
        ...         return Changes(np.zeros((k, 1), dtype=np.intp), np.full((k, 1), state - 1))
        ...     def advance(self, state, index): return state - 1
        >>> rule, track = Countdown(cells=1, classes=4), None
        >>> for read in (3, 2, 3):  # the third is a misreading: the number cannot rise
        ...     scores = EagerScores((0.01 + 0.96 * torch.eye(4)[[read]]).log())
        ...     labels, track = follow(rule, scores, track, policy=AskAll())
        ...     print(labels)
        [3]
        [2]
        [2]
    """
    everything = np.arange(scores.cells)
    if track is None:
        labels, known = rule.begin(np.maximum(scores.at(everything), FLOOR))
        none = np.zeros(scores.cells, dtype=bool)
        return labels, Track(rule.initial(labels), labels, none | known, np.zeros(scores.cells), none)
    track = _advance(rule, scores, track, policy, recovery)
    evidence = _accumulate(track, scores, recovery)
    suspicious = (evidence >= recovery.suspicion) & ~track.cleared
    if suspicious.any() and scores.asked < scores.cells and track.step % recovery.pause == 0:
        scores.at(everything)
        evidence = _accumulate(track, scores, recovery)
    track = replace(track, evidence=evidence)
    contradicted = evidence >= recovery.alarm
    if contradicted.any():
        repairs = track.repairs
        track = _recover(rule, scores, track, contradicted, recovery)
        if track.repairs == repairs and scores.asked == scores.cells:
            track = replace(track, cleared=track.cleared | (contradicted & track.trusted))
    return track.labels, track


def _advance(rule: Transition[Any], scores: Scores, track: Track, policy: AskPolicy, recovery: Recovery) -> Track:
    """The track after the successor that explains the observation, if one does."""
    changes = rule.successors(track.state)
    index = policy.choose(changes, track, scores)  # also where nothing can follow: what is believed may be wrong
    if index < 0:
        return replace(track, step=track.step + 1)
    state = rule.advance(track.state, index)
    cells = changes.cells[index]
    recent = cells[cells >= 0]
    evidence, trusted, cleared = track.evidence.copy(), track.trusted.copy(), track.cleared.copy()
    evidence[recent] = 0.0
    cleared[recent] = False
    trusted[recent] = trusted[recent].all()  # what moved is known as well as it was before
    return replace(
        track,
        state=state,
        labels=rule.labels(state),
        trusted=trusted,
        evidence=evidence,
        cleared=cleared,
        step=track.step + 1,
        recent=tuple(int(c) for c in recent),
        past=_remember(track, recovery),
    )


def _remember(track: Track, recovery: Recovery) -> tuple[Any, ...]:
    """The earlier states, once the present one is left."""
    return (track.state, *track.past)[: recovery.memory]


def _accumulate(track: Track, scores: Scores, recovery: Recovery) -> NDArray[np.floating]:
    """The evidence after this observation."""
    cells = scores.known()
    if cells.size == 0:
        return track.evidence
    values = np.maximum(scores.at(cells), FLOOR)
    rows = np.arange(len(cells))
    own = values[rows, track.labels[cells]]
    others = values.copy()
    others[rows, track.labels[cells]] = -np.inf
    against = np.clip(others.max(axis=1) - own, -recovery.clip, recovery.clip) - recovery.drift
    evidence = track.evidence.copy()
    evidence[cells] = np.maximum(evidence[cells] + against, 0.0)
    return evidence


def _recover(
    rule: Transition[Any], scores: Scores, track: Track, contradicted: NDArray[np.bool_], recovery: Recovery
) -> Track:
    """The track after finding back, where the contradicted cells mean that it was lost."""
    everything = np.arange(scores.cells)
    read = scores.at(np.flatnonzero(contradicted)).argmax(axis=1)
    lost = rule.lost(track.labels[contradicted], read)
    loose = contradicted & ~track.trusted
    if not lost and not loose.any():
        return track
    values = np.maximum(scores.at(everything), FLOOR).astype(np.float64)
    calm = np.zeros(scores.cells)
    if lost:
        state = explain_by_line(rule, track, values, contradicted, recovery)
        if state is not None:
            return replace(
                track,
                state=state,
                labels=rule.labels(state),
                evidence=calm,
                cleared=calm > 0,
                recent=(),
                past=_remember(track, recovery),
                repairs=track.repairs + 1,
            )
    afresh = contradicted if lost else loose
    values[everything[~afresh], track.labels[~afresh]] += recovery.prior
    labels = rule.reread(values)
    if (labels == track.labels).all():
        return replace(track, evidence=np.minimum(track.evidence, recovery.suspicion))
    return replace(
        track,
        state=rule.initial(labels),
        labels=labels,
        trusted=track.trusted & (labels == track.labels),
        evidence=calm,
        cleared=calm > 0,
        recent=(),
        past=_remember(track, recovery),
        repairs=track.repairs + 1,
    )
