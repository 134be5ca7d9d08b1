"""The precision in which rules compute: float32 at least, whatever a network runs in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["at_least_single", "is_transforming", "own_precision"]


def at_least_single(value: Tensor) -> Tensor:
    """A tensor of half precision as float32; others as they are.

    Example:
        >>> at_least_single(torch.zeros(1, dtype=torch.bfloat16)).dtype, at_least_single(torch.zeros(1).double()).dtype
        (torch.float32, torch.float64)
    """
    half = value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def own_precision(like: Tensor) -> AbstractContextManager[object]:
    """Switch autocast off on the device of a tensor.

    Example:
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), own_precision(torch.zeros(1)):
        ...     (torch.ones(1, 2) @ torch.ones(2, 1)).dtype
        torch.float32
    """
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def is_transforming() -> bool:
    """Whether a transformation of `torch.func` is running: `vmap`, `grad`, `jacrev`.

    Example:
        >>> is_transforming(), torch.vmap(lambda x: x + is_transforming())(torch.zeros(1)).item()
        (False, 1.0)
    """
    return torch._C._functorch.peek_interpreter_stack() is not None
