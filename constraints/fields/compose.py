"""The chain rule through a smooth function, and back: few operations on large tensors, sums written in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from constraints.fields.program import Group, Program
from constraints.fields.smooth import Tower

__all__ = ["Trace", "compose", "compose_back", "compose_plain"]

FEW = 8  # so many products are added one by one; more, where they are small, in one operation with a large result
LARGE = 4096
Factors = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class Trace:
    """What the way back needs.

    Attributes:
        stack: the argument.
        f: `f'`, `f''`, ...
        sums: the polynomial of each group, without its scale.
        products: of two streams each, made on the way.
    """

    stack: Tensor
    f: list[Tensor]
    sums: list[Tensor]
    products: dict[Factors, Tensor]


def compose_plain(tower: Tower, program: Program, stack: Tensor) -> Tensor:
    """The streams of `f(u)` that the program keeps, in operations that torch differentiates and its compiler fuses.

    Args:
        tower: the function with its derivatives.
        program: what is kept, and how it is made.
        stack: all streams of `u`, `(n, streams, batch)`.

    Returns:
        `(n, kept, batch)`.

    Example:
        >>> from constraints.fields import smooth
        >>> from constraints.fields.operators import DifferentialOperator
        >>> from constraints.fields.program import compile_program
        >>> from constraints.fields.streams import plan
        >>> program = compile_program(plan([DifferentialOperator({(2,): 1.0})]).streams, keep=(0, 1, 2))
        >>> jet = torch.tensor([0.0, 2.0, 3.0]).reshape(1, 3, 1)  # u, u_x and u_xx
        >>> compose_plain(smooth.exponential, program, jet).flatten().tolist()  # e^u u_xx + e^u u_x^2 is the last
        [1.0, 2.0, 7.0]
    """
    z = stack.unbind(1)
    f = tower(z[0], program.degree)
    out = [f[0] if stream == 0 else z[stream] * f[1] for stream in program.keep]
    for group in program.groups:
        total: Tensor | None = None
        for run in group.runs:
            total = _plus(total, stack[:, run.low : run.high].square().sum(dim=1), run.factor)
        for factors, c in group.terms:
            product = z[factors[0]]
            for place in factors[1:]:
                product = product * z[place]
            total = _plus(total, product, c)
        if total is not None:
            out[group.row] = out[group.row] + group.scale * f[group.degree] * total
    return torch.stack(out, dim=1)


def compose(tower: Tower, program: Program, stack: Tensor) -> tuple[Tensor, Trace]:
    """The same, and what `compose_back` needs; not differentiable."""
    z = stack.unbind(1)
    f = tower(z[0], program.degree + 1)
    value = program.value
    out = torch.empty((len(stack), len(program.keep), stack.shape[2]), dtype=stack.dtype, device=stack.device)
    rows = out.unbind(1)
    if value:
        rows[0].copy_(f[0])
    if program.whole:
        torch.mul(stack[:, 1:], f[1][:, None], out=out[:, value:])
    else:
        for row, stream in enumerate(program.keep[value:], start=value):
            torch.mul(z[stream], f[1], out=rows[row])
    products: dict[Factors, Tensor] = {}
    sums = []
    for group in program.groups:
        total = _polynomial(group, stack, z, products)
        rows[group.row].addcmul_(f[group.degree], total, value=group.scale)
        sums.append(total)
    return out, Trace(stack, f[1:], sums, products)


def compose_back(program: Program, trace: Trace, grad: Tensor, *, mine: bool) -> Tensor:
    """The gradient of the argument, from that of the result; `mine`: whether `grad` may be written over."""
    stack, f = trace.stack, [trace.stack, *trace.f]  # so that f[k] is the derivative k; f[0] is not used
    z, g = stack.unbind(1), grad.unbind(1)
    value = program.value
    inner = _inner(program, stack, z, grad, g).mul_(f[2]) if program.degree else None
    outers = []
    for group, total in zip(program.groups, trace.sums, strict=True):
        outers.append(g[group.row] * f[group.degree])
        if inner is not None:
            inner.addcmul_(g[group.row] * total, f[group.degree + 1], value=group.scale)
    found = grad if mine and value and program.whole and program.degree else torch.empty_like(stack)
    slots = _Slots(found.unbind(1))
    if program.whole and value and program.degree:
        torch.mul(grad, f[1][:, None], out=found)
        slots.written.update(range(len(z)))
    else:
        for row, stream in enumerate(program.keep):
            slots.add(stream, g[row], f[1])
    if inner is not None:
        slots.put(0, inner)
    pairs: dict[Factors, Tensor] = {}
    for group, outer in zip(program.groups, outers, strict=True):
        for run in group.runs:
            _spread_run(found, slots, stack, outer * (2.0 * group.scale * run.factor), run.low, run.high)
        for factors, c in group.terms:
            left, right = _halves(factors)
            c = c * group.scale
            if left == right and len(left) == 1:
                slots.add(left[0], outer, z[left[0]], 2.0 * c)
                continue
            for one, other in ((left, right), (right, left)):
                _spread(one, outer, _factor(other, z, trace.products), c, slots, pairs)
    for (a, b), adjoint in pairs.items():
        slots.add(a, adjoint, z[b], 2.0 if a == b else 1.0)
        if a != b:
            slots.add(b, adjoint, z[a])
    for place in set(range(len(z))) - slots.written:
        slots.into[place].zero_()
    return found


def _plus(total: Tensor | None, more: Tensor, factor: float) -> Tensor:
    more = more if factor == 1.0 else factor * more
    return more if total is None else total + more


def _polynomial(group: Group, stack: Tensor, z: tuple[Tensor, ...], products: dict[Factors, Tensor]) -> Tensor:
    """The sum of a group without its scale; notes the products of two factors that it makes on the way."""
    total: Tensor | None = None
    for run in group.runs:
        if z[0].numel() < LARGE:
            squares = stack[:, run.low : run.high].square().sum(dim=1)
            total = squares if total is None else total.add_(squares, alpha=run.factor)
            continue
        for place in range(run.low, run.high):
            total = z[place].square() if total is None else total.addcmul_(z[place], z[place], value=run.factor)
    for factors, c in group.terms:
        left, right = (_factor(part, z, products) for part in _halves(factors))
        total = left * right if total is None else total.addcmul_(left, right, value=c)
    assert total is not None
    return total


def _halves(factors: Factors) -> tuple[Factors, Factors]:
    """Two factors, or pairs of them, whose product it is."""
    return (factors[:1], factors[1:]) if len(factors) == 2 else (factors[:2], factors[2:])


def _factor(part: Factors, z: tuple[Tensor, ...], products: dict[Factors, Tensor]) -> Tensor:
    if len(part) == 1:
        return z[part[0]]
    if part not in products:
        products[part] = z[part[0]] * z[part[1]]
    return products[part]


class _Slots:
    """Gradients of streams, written at the first and added to at every later contribution."""

    def __init__(self, into: tuple[Tensor, ...]) -> None:
        self.into = into
        self.written: set[int] = set()

    def add(self, place: int, a: Tensor, b: Tensor, factor: float = 1.0) -> None:
        if place in self.written:
            self.into[place].addcmul_(a, b, value=factor)
            return
        self.written.add(place)
        torch.mul(a, b, out=self.into[place])
        if factor != 1.0:
            self.into[place].mul_(factor)

    def put(self, place: int, a: Tensor) -> None:
        if place in self.written:
            self.into[place].add_(a)
        else:
            self.written.add(place)
            self.into[place].copy_(a)


def _inner(program: Program, stack: Tensor, z: tuple[Tensor, ...], grad: Tensor, g: tuple[Tensor, ...]) -> Tensor:
    """The sum over kept streams of gradient times stream."""
    value = program.value
    if program.whole and len(program.keep) > FEW and z[0].numel() < LARGE:
        return (grad[:, value:] * stack[:, 1:]).sum(dim=1)
    total = g[value] * z[program.keep[value]]
    for row, stream in enumerate(program.keep[value + 1 :], start=value + 1):
        total.addcmul_(g[row], z[stream])
    return total


def _spread(
    part: Factors, outer: Tensor, other: Tensor, factor: float, slots: _Slots, pairs: dict[Factors, Tensor]
) -> None:
    """Give a factor, or a pair of them, its share."""
    if len(part) == 1:
        slots.add(part[0], outer, other, factor)
    elif part in pairs:
        pairs[part].addcmul_(outer, other, value=factor)
    else:
        pairs[part] = (outer * other).mul_(factor)


def _spread_run(found: Tensor, slots: _Slots, stack: Tensor, outer: Tensor, low: int, high: int) -> None:
    places = set(range(low, high))
    if places <= slots.written:
        found[:, low:high].addcmul_(stack[:, low:high], outer[:, None])
    elif not places & slots.written:
        torch.mul(stack[:, low:high], outer[:, None], out=found[:, low:high])
        slots.written |= places
    else:
        for place in sorted(places):
            slots.add(place, stack[place], outer)
