"""A smooth function of a jet whose streams all vary: forward and backward as few operations on few numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from constraints.fields.program import Group, Program
from constraints.fields.smooth import Tower

__all__ = ["compose", "compose_plain"]

FEW = 8  # so many products are added one by one, more in one operation with a large intermediate result
Factors = tuple[int, ...]


def compose(tower: Tower, program: Program, stack: Tensor) -> Tensor:
    """The streams of `f(u)` that the program keeps.

    Args:
        tower: the function with its derivatives.
        program: what is kept, and how it is made.
        stack: all streams of `u`, `(streams, batch, n)`.

    Returns:
        `(kept, batch, n)`.

    Example:
        >>> from constraints.fields import smooth
        >>> from constraints.fields.operators import DifferentialOperator
        >>> from constraints.fields.program import compile_program
        >>> from constraints.fields.streams import plan
        >>> program = compile_program(plan([DifferentialOperator({(2,): 1.0})])[0], keep=(0, 1, 2))
        >>> jet = torch.tensor([0.0, 2.0, 3.0]).reshape(3, 1, 1)  # u, u_x and u_xx
        >>> compose(smooth.exponential, program, jet).flatten().tolist()  # e^u u_xx + e^u u_x^2 is the last
        [1.0, 2.0, 7.0]
    """
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and stack.requires_grad):
        return compose_plain(tower, program, stack)
    result: Tensor = _Composition.apply(stack, tower, program)  # type: ignore[no-untyped-call]
    return result


def compose_plain(tower: Tower, program: Program, stack: Tensor) -> Tensor:
    """The same in operations that torch differentiates, and its compiler fuses."""
    z = stack.unbind(0)
    f = tower(z[0], program.degree)
    out = [f[0] if stream == 0 else z[stream] * f[1] for stream in program.keep]
    for group in program.groups:
        total: Tensor | None = None
        for run in group.runs:
            total = _plus(total, stack[run.low : run.high].square().sum(dim=0), run.factor)
        for factors, c in group.terms:
            product = z[factors[0]]
            for place in factors[1:]:
                product = product * z[place]
            total = _plus(total, product, c)
        if total is not None:
            out[group.row] = out[group.row] + group.scale * f[group.degree] * total
    return torch.stack(out)


def _plus(total: Tensor | None, more: Tensor, factor: float) -> Tensor:
    more = more if factor == 1.0 else factor * more
    return more if total is None else total + more


class _Composition(torch.autograd.Function):
    """`compose_plain` with a backward pass by hand, which writes every sum in place."""

    @staticmethod
    def forward(ctx: Any, stack: Tensor, tower: Tower, program: Program) -> Tensor:
        z = stack.unbind(0)
        f = tower(z[0], program.degree + 1)
        value = program.value
        out = torch.empty((len(program.keep), *stack.shape[1:]), dtype=stack.dtype, device=stack.device)
        if value:
            out[0].copy_(f[0])
        if program.whole:
            torch.mul(stack[1:], f[1], out=out[value:])
        else:
            for row, stream in enumerate(program.keep[value:], start=value):
                torch.mul(z[stream], f[1], out=out[row])
        products: dict[Factors, Tensor] = {}
        sums = []
        for group in program.groups:
            total = _polynomial(group, stack, z, products)
            out[group.row].addcmul_(f[group.degree], total, value=group.scale)
            sums.append(total)
        ctx.save_for_backward(stack, *f[1:], *sums, *products.values())
        ctx.tower, ctx.program, ctx.pairs = tower, program, tuple(products)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        program: Program = ctx.program
        stack, *saved = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates this pass again
            plain = compose_plain(ctx.tower, program, stack)
            (again,) = torch.autograd.grad(plain, stack, grad, create_graph=True)
            return again, None, None
        count = program.degree + 1
        f = [saved[0], *saved[:count]]  # so that f[k] is the derivative k; f[0] is not used
        sums = saved[count : count + len(program.groups)]
        products = dict(zip(ctx.pairs, saved[count + len(program.groups) :], strict=True))
        return _pull_back(program, stack, f, sums, products, grad), None, None


def _polynomial(group: Group, stack: Tensor, z: tuple[Tensor, ...], products: dict[Factors, Tensor]) -> Tensor:
    """The sum of a group without its scale; notes the products of two factors that it makes on the way."""
    total: Tensor | None = None
    for run in group.runs:
        squares = stack[run.low : run.high].square().sum(dim=0)
        total = squares if total is None else total.add_(squares, alpha=run.factor)
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

    def __init__(self, into: tuple[Tensor, ...], written: set[int]) -> None:
        self.into, self.written = into, written

    def add(self, place: int, a: Tensor, b: Tensor, factor: float = 1.0) -> None:
        if place in self.written:
            self.into[place].addcmul_(a, b, value=factor)
            return
        self.written.add(place)
        torch.mul(a, b, out=self.into[place])
        if factor != 1.0:
            self.into[place].mul_(factor)


def _pull_back(
    program: Program,
    stack: Tensor,
    f: list[Tensor],
    sums: list[Tensor],
    products: dict[Factors, Tensor],
    grad: Tensor,
) -> Tensor:
    z, g = stack.unbind(0), grad.unbind(0)
    value = program.value
    found = torch.empty_like(stack)
    slots = _Slots(found.unbind(0), set())
    if value:
        slots.add(0, g[0], f[1])
    if program.whole:
        torch.mul(grad[value:], f[1], out=found[1:])
        slots.written.update(range(1, len(z)))
    else:
        for row, stream in enumerate(program.keep[value:], start=value):
            slots.add(stream, g[row], f[1])
    if program.degree:
        slots.add(0, _inner(program, stack, z, grad, g), f[2])
    pairs: dict[Factors, Tensor] = {}
    for group, total in zip(program.groups, sums, strict=True):
        outer = g[group.row] * f[group.degree]
        slots.add(0, g[group.row] * total, f[group.degree + 1], group.scale)
        for run in group.runs:
            _spread_run(found, slots, stack, outer * (2.0 * group.scale * run.factor), run.low, run.high)
        for factors, c in group.terms:
            left, right = _halves(factors)
            c = c * group.scale
            if left == right and len(left) == 1:
                slots.add(left[0], outer, z[left[0]], 2.0 * c)
                continue
            for one, other in ((left, right), (right, left)):
                _spread(one, outer, _factor(other, z, products), c, slots, pairs)
    for (a, b), adjoint in pairs.items():
        slots.add(a, adjoint, z[b], 2.0 if a == b else 1.0)
        if a != b:
            slots.add(b, adjoint, z[a])
    for place in set(range(len(z))) - slots.written:
        found[place].zero_()
    return found


def _inner(program: Program, stack: Tensor, z: tuple[Tensor, ...], grad: Tensor, g: tuple[Tensor, ...]) -> Tensor:
    """The sum over kept streams of gradient times stream."""
    value = program.value
    if program.whole and len(program.keep) > FEW:
        return (grad[value:] * stack[1:]).sum(dim=0)
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
        found[low:high].addcmul_(stack[low:high], outer)
    elif not places & slots.written:
        torch.mul(stack[low:high], outer, out=found[low:high])
        slots.written |= places
    else:
        for place in sorted(places):
            slots.add(place, stack[place], outer)
