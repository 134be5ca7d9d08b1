"""Which legal history explains what is seen now?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from constraints.rules.transition import Transition
from constraints.tracking.track import Recovery, Track

__all__ = ["explain_by_line"]


def explain_by_line(
    rule: Transition[Any],
    track: Track,
    values: NDArray[np.floating],
    contradicted: NDArray[np.bool_],
    recovery: Recovery,
) -> Any | None:
    """The state, reached by legal transitions from the tracked or an earlier state, that explains the picture best.

    A beam search: at each length the `beam` best lines by log-likelihood are kept.

    Args:
        rule: the legal transitions.
        track: what was believed.
        values: log-probabilities of all cells, `(cells, classes)`, floored.
        contradicted: the cells that started the search, `(cells,)`.
        recovery: how far to look.

    Returns:
        The state, or None where none resolves the contradictions (all but a fifth of them) without making new ones.
    """
    cells = np.arange(len(values))

    def likelihood(labels: NDArray[np.integer]) -> float:
        return float(values[cells, labels].sum())

    base = likelihood(track.labels)
    starts = [(likelihood(rule.labels(state)), state) for state in track.past]
    best = max(starts, key=lambda pair: pair[0], default=None)
    lines = [(base, track.state), *starts]
    for _ in range(recovery.depth):
        lines = _extend(rule, lines, values, recovery.beam)
        if not lines:
            break
        if best is None or lines[0][0] > best[0] + 1e-9:
            best = lines[0]
    if best is None or best[0] <= base:
        return None
    labels = rule.labels(best[1])
    margin = values.max(axis=1) - values[cells, labels]
    unresolved = (margin[contradicted] > recovery.clip).sum()
    old_margin = values.max(axis=1) - values[cells, track.labels]
    worse = ((margin > recovery.clip) & (old_margin <= recovery.clip)).sum()
    return best[1] if unresolved <= contradicted.sum() // 5 and worse == 0 else None


def _extend(
    rule: Transition[Any], lines: list[tuple[float, Any]], values: NDArray[np.floating], beam: int
) -> list[tuple[float, Any]]:
    """All lines one transition longer, the best first, at most `beam`, no two with the same labels."""
    found: list[tuple[float, int, int]] = []
    for number, (score, state) in enumerate(lines):
        changes = rule.successors(state)
        if not len(changes):
            continue
        labels = rule.labels(state)
        used = changes.cells >= 0
        gain = values[changes.cells, changes.labels] - values[changes.cells, labels[changes.cells]]
        totals = score + np.where(used, gain, 0.0).sum(axis=1)
        found += [(float(total), number, index) for index, total in enumerate(totals)]
    found.sort(reverse=True)
    kept: dict[bytes, tuple[float, Any]] = {}
    for total, number, index in found[: 3 * beam]:
        state = rule.advance(lines[number][1], index)
        kept.setdefault(rule.labels(state).tobytes(), (total, state))
        if len(kept) == beam:
            break
    return list(kept.values())
