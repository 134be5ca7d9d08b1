"""The precision in which rules compute: float32 at least, whatever a network runs in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as nn_functional

from constraints.errors import SpecificationError
from constraints.functional.one_tensor import require_tensor

__all__ = [
    "at_least_single",
    "forward_in_own_precision",
    "is_transforming",
    "linear_in_single",
    "one_precision",
    "own_precision",
]

Network = TypeVar("Network", bound=nn.Module)


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

    Raises:
        SpecificationError: no tensor, but a tuple of them, say.

    Example:
        >>> with torch.autocast("cpu", dtype=torch.bfloat16), own_precision(torch.zeros(1)):
        ...     (torch.ones(1, 2) @ torch.ones(2, 1)).dtype
        torch.float32
    """
    require_tensor("a rule", like)
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def forward_in_own_precision(forward: Callable[[Network, Tensor], Tensor]) -> Callable[[Network, Tensor], Tensor]:
    """Decorate the forward pass of an architecture: autocast is off inside, and its answer is float32 at least.

    What an architecture guarantees holds to the rounding of the numbers it computes with, so that half precision would
    break it: in steps of 1/256 of a value a Lipschitz function of slope 1/2 has slopes of any size.

    Args:
        forward: of a module, of one tensor.

    Example:
        >>> class Double(nn.Module):
        ...     @forward_in_own_precision
        ...     def forward(self, x):
        ...         return x @ torch.eye(1) * 2
        >>> with torch.autocast("cpu", dtype=torch.bfloat16):
        ...     Double()(torch.ones(1, 1)).dtype
        torch.float32
    """

    @wraps(forward)
    def precise(self: Network, x: Tensor) -> Tensor:
        with own_precision(x):
            return at_least_single(forward(self, x))

    return precise


def linear_in_single(value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A linear map in float32 at least, also of weights of half precision.

    Args:
        value: `(*batch, n)`.
        weight: `(m, n)`.
        bias: `(m,)`; none by default.

    Example:
        >>> linear_in_single(torch.ones(1, 2), torch.ones(1, 2).half())
        tensor([[2.]])
    """
    return nn_functional.linear(
        at_least_single(value), at_least_single(weight), None if bias is None else at_least_single(bias)
    )


def one_precision(what: str, network: nn.Module, x: Tensor) -> AbstractContextManager[None]:
    """Names both dtypes where a network fails on points of another dtype than its own: nothing is cast in silence.

    Args:
        what: what the network and the points are needed for.
        network: the network that is called inside.
        x: what it is called with.

    Example:
        >>> with one_precision("`Field`", nn.Linear(1, 1), torch.zeros(1, 1).double()):
        ...     nn.Linear(1, 1)(torch.zeros(1, 1).double())
        Traceback (most recent call last):
        constraints.errors.SpecificationError: `Field` needs a network and inputs of one dtype, got a network of ...
    """
    return nullcontext() if torch.compiler.is_compiling() else _one_precision(what, network, x)


@contextmanager
def _one_precision(what: str, network: nn.Module, x: Tensor) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        own = next((p.dtype for p in [*network.parameters(), *network.buffers()] if p.is_floating_point()), x.dtype)
        if own == x.dtype:
            raise
        either = f"`network.to({x.dtype})` or `x.to({own})`" if x.is_floating_point() else f"`x.to({own})`"
        raise SpecificationError(
            f"{what} needs a network and inputs of one dtype, got a network of {own} and inputs of {x.dtype}: call "
            f"{either}"
        ) from error


def is_transforming() -> bool:
    """Whether a transformation of `torch.func` is running: `vmap`, `grad`, `jacrev`.

    Example:
        >>> is_transforming(), torch.vmap(lambda x: x + is_transforming())(torch.zeros(1)).item()
        (False, 1.0)
    """
    return torch._C._functorch.peek_interpreter_stack() is not None
