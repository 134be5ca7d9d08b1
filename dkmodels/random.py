"""Random numbers that do not disturb each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["RandomStream", "RandomStreams", "seed_streams"]

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
    """A stream of torch's random numbers of its own: inside `with`, the global generators are swapped for it.

    A rule that samples points would otherwise shift every random number after it, and two arms of a study that differ
    in that rule would no longer see the same batches. The generators are the processor's and, where one is in use, that
    of the current accelerator.

    Args:
        seed: where it begins.

    Attributes:
        state: where it is, by kind of device, as its `get_rng_state` gives it.

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
        self.seed = seed
        self.state: dict[str, Tensor] = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        self._outer: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        for kind, generators in _generators().items():
            self._outer[kind] = generators.get_rng_state()
            if kind not in self.state:
                self.state[kind] = torch.Generator(kind).manual_seed(self.seed).get_state()
            generators.set_rng_state(self.state[kind])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for device, generators in _generators().items():
            if device in self._outer:  # an accelerator may have come into use inside
                self.state[device] = generators.get_rng_state()
                generators.set_rng_state(self._outer.pop(device))


def _generators() -> dict[str, Any]:
    """What gets and sets the states of generators, by kind of device: the processor's and the accelerator's in use."""
    found: dict[str, Any] = {"cpu": torch}
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is not None:
        module = torch.get_device_module(accelerator)
        if not hasattr(module, "is_initialized") or module.is_initialized():  # to ask is not to begin using it
            found[accelerator.type] = module
    return found


@final
class RandomStreams(nn.Module):
    """Random streams by owner and purpose, of one seed, made when first asked for.

    Where they are is part of the state dict, so that what is resumed draws what it would have drawn, whatever hooks a
    user's module overrides. A state dict without them changes nothing.

    Args:
        seed: of all streams.

    Example:
        >>> streams = RandomStreams(3)
        >>> with streams.of("equation", "penalty"):
        ...     first = torch.rand(2)
        >>> resumed = RandomStreams(0)
        >>> _ = resumed.load_state_dict(streams.state_dict())
        >>> with streams.of("equation", "penalty"):
        ...     second = torch.rand(2)
        >>> with resumed.of("equation", "penalty"):
        ...     bool((torch.rand(2) == second).all())
        True
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.restart(seed)

    def restart(self, seed: int) -> None:
        """Begin all streams anew."""
        self.seed = seed
        self._streams: dict[str, RandomStream] = {}

    def of(self, owner: str, purpose: str) -> RandomStream:
        """The stream of an owner for a purpose; neither shifts the others."""
        key = f"{owner}/{purpose}"
        if key not in self._streams:
            digest = hashlib.sha256(f"{self.seed}/{key}".encode()).digest()
            self._streams[key] = RandomStream(int.from_bytes(digest[:4], "big") >> 1)
        return self._streams[key]

    def forget(self, purpose: str) -> None:
        """Begin the streams of a purpose anew."""
        self._streams = {key: one for key, one in self._streams.items() if key.rpartition("/")[2] != purpose}

    def places(self, purpose: str) -> dict[str, dict[str, Tensor]]:
        """Where each stream of a purpose is, for `go_back`."""
        return {key: dict(one.state) for key, one in self._streams.items() if key.rpartition("/")[2] == purpose}

    def go_back(self, purpose: str, places: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Put the streams of a purpose where they were; those that did not exist begin anew.

        Example:
            >>> streams = RandomStreams(3)
            >>> before = streams.places("penalty")
            >>> def draw():
            ...     with streams.of("equation", "penalty"):
            ...         return torch.rand(2)
            >>> first = draw()
            >>> streams.go_back("penalty", before)
            >>> bool((draw() == first).all())
            True
        """
        self.forget(purpose)
        for key, state in places.items():
            owner, _, _ = key.rpartition("/")
            self.of(owner, purpose).state = dict(state)

    def get_extra_state(self) -> dict[str, Any]:
        """The seed, and where each stream is."""
        return {"seed": self.seed, "states": {key: dict(one.state) for key, one in self._streams.items()}}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.restart(state["seed"])
        for key, saved in state["states"].items():
            owner, _, purpose = key.rpartition("/")
            places = {"cpu": saved} if isinstance(saved, Tensor) else saved  # as it was before accelerators
            self.of(owner, purpose).state = {kind: place.detach().cpu().clone() for kind, place in places.items()}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.setdefault(prefix + "_extra_state", self.get_extra_state())  # those of before there were streams
        super()._load_from_state_dict(state_dict, prefix, *args)
