"""Maps of sets under `torch.func`: any batch shape is one call, so a transform need not look inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from constraints.errors import UnsupportedError

__all__ = ["is_transformed", "map_transformed"]

Map = Callable[[Tensor, Tensor | None], Tensor]


def is_transformed(*tensors: Tensor | None) -> bool:
    """Whether a tensor is wrapped by a transform of `torch.func`, under which its numbers cannot be looked at."""
    functorch = torch._C._functorch
    return any(t is not None and functorch.is_functorch_wrapped_tensor(t) for t in tensors)


def map_transformed(function: Map, value: Tensor, context: Tensor | None) -> Tensor:
    """A map of batches, under `vmap`, `grad`, `jacrev` and their combinations.

    `vmap` becomes one more batch dimension. Derivatives are those of the map itself, computed on plain tensors.

    Args:
        function: from values `(*batch, *event)` and contexts `(*batch, *numbers)`, or None, to values.
        value: `(*batch, *event)`.
        context: see `function`.
    """
    given = (value,) if context is None else (value, context)
    mapped: Tensor = _Whole.apply(function, *given)  # type: ignore[no-untyped-call]
    return mapped


def _call(function: Map, tensors: tuple[Tensor, ...]) -> Tensor:
    return function(tensors[0], tensors[1] if len(tensors) > 1 else None)


def _together(size: int, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """All tensors with the mapped dimension in front."""
    return tuple(
        tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
        for tensor, dim in zip(tensors, dims, strict=True)
    )


class _Whole(torch.autograd.Function):
    """The map as one operation."""

    @staticmethod
    def forward(function: Map, *tensors: Tensor) -> Tensor:
        with torch.no_grad():
            return _call(function, tensors).clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.function = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        pulled: tuple[Tensor, ...] = _Pulled.apply(ctx.function, grad, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return (None, *pulled)

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], function: Map, *tensors: Tensor) -> tuple[Tensor, int]:
        return _Whole.apply(function, *_together(info.batch_size, dims[1:], tensors)), 0  # type: ignore[no-untyped-call]


class _Pulled(torch.autograd.Function):
    """A vector pulled back through the map, as one operation."""

    @staticmethod
    def forward(function: Map, grad: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        return _pull(function, grad, tensors, again=False)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.function = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        count = len(outer)
        back: tuple[Tensor, ...] = _PulledTwice.apply(ctx.function, count, *outer, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return (None, *back)

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], function: Map, *tensors: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        pulled = _Pulled.apply(function, *_together(info.batch_size, dims[1:], tensors))  # type: ignore[no-untyped-call]
        return pulled, (0,) * len(pulled)


class _PulledTwice(torch.autograd.Function):
    """The derivative of a pulled vector, pulled back: the second derivative of the map; it has no third."""

    @staticmethod
    def forward(function: Map, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        outer, (grad, *given) = tensors[:count], tensors[count:]
        with torch.enable_grad():
            along = grad.detach().requires_grad_()
            leaves = [tensor.detach().requires_grad_() for tensor in given]
            first = _pull(function, along, tuple(leaves), again=True)
            scalar = torch.stack([(a * b).sum() for a, b in zip(first, outer, strict=True)]).sum()
            if not scalar.requires_grad:
                return tuple(torch.zeros_like(t) for t in (grad, *given))
            found = torch.autograd.grad(scalar, [along, *leaves], allow_unused=True)
        return tuple(
            torch.zeros_like(t) if f is None else f.detach() for f, t in zip(found, (grad, *given), strict=True)
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        return None

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[None, ...]:
        raise UnsupportedError("the maps of sets have two derivatives under `torch.func`, got a request for a third")

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], function: Map, count: int, *tensors: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        pulled = _PulledTwice.apply(function, count, *_together(info.batch_size, dims[2:], tensors))  # type: ignore[no-untyped-call]
        return pulled, (0,) * len(pulled)


def _pull(function: Map, grad: Tensor, tensors: tuple[Tensor, ...], *, again: bool) -> tuple[Tensor, ...]:
    """The gradients of `(function * grad).sum()`."""
    with torch.enable_grad():
        leaves = [t if again else t.detach().requires_grad_() for t in tensors]
        mapped = _call(function, tuple(leaves))
        if not mapped.requires_grad:
            return tuple(torch.zeros_like(t) for t in tensors)
        found = torch.autograd.grad(mapped, leaves, grad, allow_unused=True, create_graph=again)
    return tuple(torch.zeros_like(t) if f is None else f for f, t in zip(found, tensors, strict=True))
