"""What a decoder of a sequence knows, and when it stops believing it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from constraints.errors import SpecificationError

__all__ = ["FLOOR", "Recovery", "Track"]

#: Log-probability below which a cell says no more than "no": one sure misread must not veto a transition.
FLOOR: Final = -8.0


@final
@dataclass(frozen=True, slots=True)
class Track:
    """What a decoder knows after an observation.

    Attributes:
        state: the rule's own state.
        labels: its labels, `(cells,)`.
        trusted: cells whose label is known from where the sequence began and what happened since, not from one
            reading, `(cells,)`.
        evidence: how strongly recent observations contradict each label, `(cells,)`, nats.
        cleared: cells whose contradiction was looked into and found to be a misreading; they raise no suspicion until
            their label changes, `(cells,)`.
        step: how many observations were decoded.
        recent: cells that the last accepted successor changed.
        past: earlier states, the latest first.
        repairs: how often the decoder had to find back.

    Example:
        >>> Track(None, np.zeros(2, dtype=int), np.ones(2, dtype=bool), np.zeros(2), np.zeros(2, dtype=bool)).repairs
        0
    """

    state: Any
    labels: NDArray[np.integer]
    trusted: NDArray[np.bool_]
    evidence: NDArray[np.floating]
    cleared: NDArray[np.bool_]
    step: int = 0
    recent: tuple[int, ...] = ()
    past: tuple[Any, ...] = ()
    repairs: int = 0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """When a decoder stops believing its state, and how it finds back.

    Evidence against a cell's label is a CUSUM of log-likelihood ratios: it grows where an asked cell contradicts its
    label and decays to zero where it agrees. Where the contradicted cells mean that a transition was missed
    (`Transition.lost`), the decoder looks for what explains the picture: an earlier state (something was taken back),
    or a line of up to `depth` legal transitions. Only where nothing legal explains it are the contradicted cells read
    afresh; these are then not trusted, and each may be corrected by itself.

    Attributes:
        clip: largest evidence that one observation of one cell may add, nats.
        drift: what is taken off each time, so that noise does not add up.
        suspicion: evidence on one cell at which everything is read once.
        alarm: evidence at which a cell counts as contradicted.
        prior: what the label of a cell that is not contradicted is worth in a fresh reading, nats.
        pause: observations between two full readings out of suspicion.
        depth: longest line of missed transitions that is looked for; 0 for none.
        beam: how many lines are kept at each length.
        memory: how many earlier states are kept.

    Example:
        >>> Recovery(depth=0).beam  # never looks for missed transitions
        24
    """

    clip: float = 3.0
    drift: float = 0.5
    suspicion: float = 4.0
    alarm: float = 4.5
    prior: float = 6.0
    pause: int = 3
    depth: int = 4
    beam: int = 24
    memory: int = 4

    def __post_init__(self) -> None:
        least = min(self.clip, self.suspicion, self.alarm)
        finite = all(math.isfinite(v) for v in (self.clip, self.drift, self.suspicion, self.alarm, self.prior))
        if (
            not finite
            or not 0 <= self.drift < least
            or min(self.pause, self.beam) < 1
            or min(self.depth, self.memory) < 0
        ):
            raise SpecificationError(
                f"`Recovery` needs 0 <= drift < clip, suspicion and alarm, pause and beam >= 1, depth and memory >= 0, "
                f"got {self}"
            )
