"""A chain of linear layers and activations on a jet, as one function with a backward pass of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from constraints.fields.affine import affine, affine_back, affine_plain, slope_products, slope_products_back
from constraints.fields.compose import Trace, compose, compose_back, compose_plain
from constraints.fields.plain import is_plain
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


def run_chain(start: Tensor, slopes: Tensor | None, steps: Sequence[LinearMap | Bend], *, unit: bool = False) -> Tensor:
    """What a chain makes of a stack.

    Under `torch.compile` or `plain_operations`, and without gradients, plain operations; else one node of torch's
    graph, whose backward pass works in few buffers. It can be differentiated again; that goes through the plain ones.

    Args:
        start: the streams, `(n, streams, batch)`; the value alone, `(n, batch)`, where `slopes` are given.
        slopes: of an affine start, `(coordinates, n)`.
        steps: in order, with a `Bend` among them where the start is affine.
        unit: whether the slopes are known to be the unit matrix.

    Returns:
        `(m, streams, batch)`.

    Example:
        >>> run_chain(torch.ones(3, 2, 1), None, [LinearMap(torch.ones(1, 3), torch.ones(1))]).flatten()
        tensor([4., 3.])
    """
    if is_plain() or not torch.is_grad_enabled():
        return _plain(start, slopes, steps)
    tensors: list[Tensor | None] = []
    for step in steps:
        if isinstance(step, LinearMap):
            tensors += [step.weight, step.bias]
    kinds = tuple(step if isinstance(step, Bend) else None for step in steps)
    result: Tensor = _Chain.apply(start, slopes, kinds, unit, *tensors)  # type: ignore[no-untyped-call]
    return result


def _plain(start: Tensor, slopes: Tensor | None, steps: Sequence[LinearMap | Bend]) -> Tensor:
    stack = start
    for step in steps:
        if isinstance(step, LinearMap) and slopes is not None:
            stack, slopes = _enter(step.weight, step.bias, stack), slopes @ step.weight.mT
        elif isinstance(step, LinearMap):
            stack = (step.weight @ stack.flatten(1)).unflatten(1, stack.shape[1:])
            if step.bias is not None:
                stack = torch.cat([stack[:, :1] + step.bias[:, None, None], stack[:, 1:]], dim=1)
        elif slopes is not None:
            stack = affine_plain(step.tower, step.program, stack, slope_products(step.program, slopes))
            slopes = None
        else:
            stack = compose_plain(step.tower, step.program, stack)
    return stack


def _enter(weight: Tensor, bias: Tensor | None, value: Tensor) -> Tensor:
    return weight @ value if bias is None else torch.addmm(bias[:, None], weight, value)


class _Chain(torch.autograd.Function):
    """`_plain`, written so that both passes read and write as little as they can."""

    @staticmethod
    def forward(
        ctx: Any,
        start: Tensor,
        slopes: Tensor | None,
        kinds: tuple[Bend | None, ...],
        unit: bool,
        *tensors: Tensor | None,
    ) -> Tensor:
        stack, saved = start, [start, slopes, *tensors]
        layout: list[tuple[int, tuple[tuple[int, ...], ...]]] = []
        given = iter(tensors)
        for bend in kinds:
            if bend is None:
                weight, bias = next(given), next(given)
                assert weight is not None
                if slopes is not None:
                    saved += [stack, slopes]
                    stack = _enter(weight, bias, stack)
                    slopes = weight.mT if unit and not layout else slopes @ weight.mT
                    layout.append((2, ()))
                    continue
                saved.append(stack)
                stack = (weight @ stack.reshape(len(stack), -1)).view(len(weight), *stack.shape[1:])
                if bias is not None:
                    stack[:, 0].add_(bias[:, None])
                layout.append((1, ()))
            elif slopes is not None:
                constants = slope_products(bend.program, slopes)
                stack, f = affine(bend.tower, bend.program, stack, constants)
                saved += [slopes, constants, *f]
                slopes = None
                layout.append((2 + len(f), ()))
            else:
                stack, trace = compose(bend.tower, bend.program, stack)
                saved += [trace.stack, *trace.f, *trace.sums, *trace.products.values()]
                layout.append((1 + len(trace.f) + len(trace.sums) + len(trace.products), tuple(trace.products)))
        ctx.save_for_backward(*saved)
        ctx.kinds, ctx.layout, ctx.count, ctx.unit = kinds, tuple(layout), len(tensors), unit
        return stack

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        saved: Sequence[Tensor] = ctx.saved_tensors
        start, slopes, *tensors = saved[: 2 + ctx.count]
        if torch.is_grad_enabled():  # somebody differentiates this pass again
            return _back_plain(ctx, start, slopes, tensors, grad)
        found: list[Tensor | None] = [None] * ctx.count
        end, at, mine = len(saved), ctx.count, False
        spare: Tensor | None = None
        steep: Tensor | None = None  # the gradient of slopes
        wanted = ctx.needs_input_grad
        for place in reversed(range(len(ctx.kinds))):
            bend, (size, pairs) = ctx.kinds[place], ctx.layout[place]
            own = saved[end - size : end]
            end -= size
            if bend is None:
                at -= 2
                if steep is not None:
                    found[at], found[at + 1], grad, steep = _leave(
                        own, tensors[at], grad, steep, ctx.unit and place == 0, wanted[4 + at], wanted[5 + at], place
                    )
                    continue
                flat = grad.reshape(len(grad), -1)
                stack, weight = own[0], tensors[at]
                if wanted[4 + at]:
                    found[at] = flat @ stack.reshape(len(stack), -1).mT
                if wanted[5 + at]:
                    found[at + 1] = grad[:, 0].sum(dim=1)
                if place == 0 and not wanted[0]:
                    return (None, None, None, None, *found)
                fits = spare is not None and spare.shape == stack.shape
                into = spare.view(len(stack), -1) if fits and spare is not None else None
                back = torch.mm(weight.mT, flat, out=into).view_as(stack)
                spare, grad, mine = grad if mine else None, back, True
            elif slopes is not None and not any(kind is not None for kind in ctx.kinds[:place]):
                grad, outer = affine_back(bend.program, own[1], list(own[2:]), grad)
                steep = slope_products_back(bend.program, own[0], outer)
            else:
                count = 1 + bend.program.degree + 1
                sums = count + len(bend.program.groups)
                trace = Trace(
                    own[0], list(own[1:count]), list(own[count:sums]), dict(zip(pairs, own[sums:], strict=True))
                )
                grad, mine = compose_back(bend.program, trace, grad, mine=mine), True
        return (grad if wanted[0] else None, steep if wanted[1] else None, None, None, *found)


def _leave(
    own: Sequence[Tensor],
    weight: Tensor,
    grad: Tensor,
    steep: Tensor,
    unit: bool,
    weighted: bool,
    biased: bool,
    place: int,
) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor]:
    """Gradients of a linear map of what is affine: of weight, bias, value and slopes."""
    value, slopes = own
    of_weight = None
    if weighted:
        of_weight = grad @ value.mT
        of_weight = of_weight.add_(steep.mT) if unit else of_weight.addmm_(steep.mT, slopes)
    of_bias = grad.sum(dim=1) if biased else None
    matters = place > 0 or value.requires_grad
    return (
        of_weight,
        of_bias,
        weight.mT @ grad if matters else grad,
        steep if unit else steep @ weight,
    )


def _back_plain(
    ctx: Any, start: Tensor, slopes: Tensor | None, tensors: Sequence[Tensor | None], grad: Tensor
) -> tuple[Tensor | None, ...]:
    given = iter(tensors)
    steps: list[LinearMap | Bend] = []
    for bend in ctx.kinds:
        weight = next(given) if bend is None else None
        steps.append(bend if weight is None else LinearMap(weight, next(given)))
    wanted = [t for t in (start, slopes, *tensors) if t is not None and t.requires_grad]
    grads = iter(
        torch.autograd.grad(_plain(start, slopes, steps), wanted, grad, create_graph=True, materialize_grads=True)
    )
    first, second, *others = [
        next(grads) if t is not None and t.requires_grad else None for t in (start, slopes, *tensors)
    ]
    return (first, second, None, None, *others)
