"""Random numbers that do not disturb each other."""

from __future__ import annotations

from types import TracebackType
from typing import final

import numpy as np
import torch

__all__ = ["RandomStream", "seed_streams"]

STREAMS = ("split", "weights", "batches", "rules")


def seed_streams(seed: int) -> dict[str, int]:
    """Independent seeds for the split, the initial weights, the batch order and the sampling of rules.

    Args:
        seed: the study's seed, >= 0.

    Returns:
        A 31-bit seed by stream name.

    Example:
        >>> sorted(seed_streams(0))
        ['batches', 'rules', 'split', 'weights']
        >>> seed_streams(0)["split"] == seed_streams(1)["split"]
        False
    """
    children = np.random.SeedSequence(seed).spawn(len(STREAMS))
    return {name: int(child.generate_state(1)[0] >> 1) for name, child in zip(STREAMS, children, strict=True)}


@final
class RandomStream:
    """A stream of torch's random numbers of its own: inside `with`, the global generator is swapped for it.

    A rule that samples points would otherwise shift every random number after it, and two arms of a study that differ
    in that rule would no longer see the same batches.

    Args:
        seed: where it begins.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> expected = torch.rand(1)
        >>> _ = torch.manual_seed(0)
        >>> with RandomStream(7):
        ...     _ = torch.rand(100)
        >>> bool(torch.rand(1) == expected)
        True
    """

    def __init__(self, seed: int) -> None:
        self._own = torch.Generator().manual_seed(seed).get_state()
        self._outer: torch.Tensor | None = None

    @property
    def state(self) -> torch.Tensor:
        """Where it is, bytes; set it to go on from there."""
        return self._own.clone()

    @state.setter
    def state(self, state: torch.Tensor) -> None:
        self._own = state.clone()

    def __enter__(self) -> None:
        self._outer = torch.get_rng_state()
        torch.set_rng_state(self._own)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._outer is not None
        self._own = torch.get_rng_state()
        torch.set_rng_state(self._outer)
        self._outer = None
