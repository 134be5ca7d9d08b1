"""Plain operations of torch in place of hand-written backward passes, where something is to transform them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from constraints.functional.precision import is_transforming

__all__ = ["is_plain", "plain_operations"]

_ASKED: ContextVar[bool] = ContextVar("plain operations", default=False)


@contextmanager
def plain_operations() -> Iterator[None]:
    """Inside, jets are plain operations, which `torch.func` can transform: `vmap` over points, `jacrev`, `jvp`.

    Example:
        >>> from torch import nn
        >>> from constraints.fields import Derivatives, partials
        >>> (dx,) = partials(1)
        >>> slope, network = Derivatives([dx]), nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
        >>> with plain_operations():
        ...     per_point = torch.func.vmap(lambda p: slope(network, p[None])[0][0])(torch.rand(5, 1))
        >>> per_point.shape
        torch.Size([5, 1])
    """
    before = _ASKED.set(True)
    try:
        yield
    finally:
        _ASKED.reset(before)


def is_plain() -> bool:
    """Whether plain operations are asked for, `torch.compile` is reading them, or `torch.func` transforms them.

    Example:
        >>> is_plain()
        False
    """
    return torch.compiler.is_compiling() or _ASKED.get() or is_transforming()
