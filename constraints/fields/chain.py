"""A chain of linear layers and activations on a jet, as one function with a backward pass of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from constraints.fields.affine import affine, affine_back, affine_plain
from constraints.fields.compose import Trace, compose, compose_back, compose_plain
from constraints.fields.program import Program
from constraints.fields.smooth import Tower

__all__ = ["Bend", "LinearMap", "run_chain"]


@final
@dataclass(frozen=True, slots=True)
class LinearMap:
    """`W u + b` on all streams as one matrix product, the bias on the value alone.

    Attributes:
        weight: `W`, `(m, n)`.
        bias: `b`, `(m,)`; None where there is none, or the value itself is not kept.
    """

    weight: Tensor
    bias: Tensor | None


@final
@dataclass(frozen=True, slots=True)
class Bend:
    """A smooth function of each entry.

    Attributes:
        tower: the function with its derivatives.
        program: the streams of the result, and how they are made.
    """

    tower: Tower
    program: Program


def run_chain(start: Tensor, constants: Tensor | None, steps: Sequence[LinearMap | Bend]) -> Tensor:
    """What a chain makes of a stack.

    Under `torch.compile`, and without gradients, plain operations; else one node of torch's graph, whose backward
    pass works in few buffers. It can be differentiated again; that goes through the plain operations.

    Args:
        start: the streams, `(n, streams, batch)`; the value alone, `(n, batch)`, where `constants` are given.
        constants: of an affine start, whose first step must be a `Bend`, see `slope_products`.
        steps: in order.

    Returns:
        `(m, streams, batch)`.

    Example:
        >>> run_chain(torch.ones(3, 2, 1), None, [LinearMap(torch.ones(1, 3), torch.ones(1))]).flatten()
        tensor([4., 3.])
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return _plain(start, constants, steps)
    tensors: list[Tensor | None] = []
    for step in steps:
        if isinstance(step, LinearMap):
            tensors += [step.weight, step.bias]
    kinds = tuple(step if isinstance(step, Bend) else None for step in steps)
    result: Tensor = _Chain.apply(start, constants, kinds, *tensors)  # type: ignore[no-untyped-call]
    return result


def _plain(start: Tensor, constants: Tensor | None, steps: Sequence[LinearMap | Bend]) -> Tensor:
    stack = start
    for step in steps:
        if isinstance(step, LinearMap):
            stack = (step.weight @ stack.flatten(1)).unflatten(1, stack.shape[1:])
            if step.bias is not None:
                stack = torch.cat([stack[:, :1] + step.bias[:, None, None], stack[:, 1:]], dim=1)
        elif constants is not None:
            stack, constants = affine_plain(step.tower, step.program, stack, constants), None
        else:
            stack = compose_plain(step.tower, step.program, stack)
    return stack


class _Chain(torch.autograd.Function):
    """`_plain`, written so that both passes read and write as little as they can."""

    @staticmethod
    def forward(
        ctx: Any, start: Tensor, constants: Tensor | None, kinds: tuple[Bend | None, ...], *tensors: Tensor | None
    ) -> Tensor:
        stack, saved = start, [start, constants, *tensors]
        layout: list[tuple[int, tuple[tuple[int, ...], ...]]] = []
        given, slopes = iter(tensors), constants
        for bend in kinds:
            if bend is None:
                weight, bias = next(given), next(given)
                assert weight is not None
                saved.append(stack)
                stack = (weight @ stack.reshape(len(stack), -1)).view(len(weight), *stack.shape[1:])
                if bias is not None:
                    stack[:, 0].add_(bias[:, None])
                layout.append((1, ()))
            elif slopes is not None:
                stack, f = affine(bend.tower, bend.program, stack, slopes)
                slopes = None
                saved += f
                layout.append((len(f), ()))
            else:
                stack, trace = compose(bend.tower, bend.program, stack)
                saved += [trace.stack, *trace.f, *trace.sums, *trace.products.values()]
                layout.append((1 + len(trace.f) + len(trace.sums) + len(trace.products), tuple(trace.products)))
        ctx.save_for_backward(*saved)
        ctx.kinds, ctx.layout, ctx.count = kinds, tuple(layout), len(tensors)
        return stack

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        saved: Sequence[Tensor] = ctx.saved_tensors
        start, constants, *tensors = saved[: 2 + ctx.count]
        if torch.is_grad_enabled():  # somebody differentiates this pass again
            return _back_plain(ctx, start, constants, tensors, grad)
        found: list[Tensor | None] = [None] * ctx.count
        end, at, mine = len(saved), ctx.count, False
        spare: Tensor | None = None
        for place in reversed(range(len(ctx.kinds))):
            bend, (size, pairs) = ctx.kinds[place], ctx.layout[place]
            own = saved[end - size : end]
            end -= size
            if bend is None:
                at -= 2
                flat = grad.reshape(len(grad), -1)
                stack, weight = own[0], tensors[at]
                if ctx.needs_input_grad[3 + at]:
                    found[at] = flat @ stack.reshape(len(stack), -1).mT
                if ctx.needs_input_grad[4 + at]:
                    found[at + 1] = grad[:, 0].sum(dim=1)
                if place == 0 and not ctx.needs_input_grad[0]:
                    return (None, None, None, *found)
                fits = spare is not None and spare.shape == stack.shape
                into = spare.view(len(stack), -1) if fits and spare is not None else None
                back = torch.mm(weight.mT, flat, out=into).view_as(stack)
                spare, grad, mine = grad if mine else None, back, True
            elif place == 0 and constants is not None:
                value, slopes = affine_back(bend.program, constants, list(own), grad)
                return (value, slopes, None, *found)
            else:
                count = 1 + bend.program.degree + 1
                sums = count + len(bend.program.groups)
                trace = Trace(
                    own[0], list(own[1:count]), list(own[count:sums]), dict(zip(pairs, own[sums:], strict=True))
                )
                grad, mine = compose_back(bend.program, trace, grad, mine=mine), True
        return (grad, None, None, *found)


def _back_plain(
    ctx: Any, start: Tensor, constants: Tensor | None, tensors: Sequence[Tensor | None], grad: Tensor
) -> tuple[Tensor | None, ...]:
    given = iter(tensors)
    steps: list[LinearMap | Bend] = []
    for bend in ctx.kinds:
        weight = next(given) if bend is None else None
        steps.append(bend if weight is None else LinearMap(weight, next(given)))
    wanted = [t for t in (start, constants, *tensors) if t is not None and t.requires_grad]
    grads = iter(
        torch.autograd.grad(_plain(start, constants, steps), wanted, grad, create_graph=True, materialize_grads=True)
    )
    first, second, *others = [
        next(grads) if t is not None and t.requires_grad else None for t in (start, constants, *tensors)
    ]
    return (first, second, None, *others)
