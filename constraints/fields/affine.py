"""A smooth function of a jet that is affine in the coordinates: its slopes are the same at all points."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from constraints.fields.program import Program
from constraints.fields.smooth import Tower

__all__ = ["compose_affine", "slope_products"]


def slope_products(program: Program, slopes: Tensor) -> Tensor:
    """The constants that the derivatives of the function multiply, `(constants, n)`, from slopes `(coordinates, n)`."""
    rows = slopes.unbind(0)
    found = []
    for group in program.constants:
        total: Tensor | None = None
        for run in group.runs:
            squares = slopes[run.low : run.high].square().sum(dim=0)
            total = squares if total is None else total + run.factor * squares
        for factors, c in group.terms:
            product = rows[factors[0]]
            for place in factors[1:]:
                product = product * rows[place]
            product = product if c == 1.0 else c * product
            total = product if total is None else total + product
        assert total is not None
        found.append(total if group.scale == 1.0 else group.scale * total)
    return torch.stack(found) if found else slopes.new_empty((0, slopes.shape[-1]))


def compose_affine(tower: Tower, program: Program, value: Tensor, slopes: Tensor) -> Tensor:
    """The streams of `f(u)` that the program keeps, of an affine `u`.

    Args:
        tower: the function with its derivatives.
        program: what is kept, and how it is made.
        value: `u`, `(batch, n)`.
        slopes: its derivative along each coordinate, `(coordinates, n)`.

    Returns:
        `(kept, batch, n)`.

    Example:
        >>> from constraints.fields import smooth
        >>> from constraints.fields.operators import laplacian
        >>> from constraints.fields.program import compile_program
        >>> from constraints.fields.streams import plan
        >>> program = compile_program(plan([laplacian(2)])[0], keep=(3,))
        >>> compose_affine(smooth.exponential, program, torch.zeros(1, 1), torch.tensor([[2.0], [3.0]]))
        tensor([[[13.]]])
    """
    constants = slope_products(program, slopes)
    if torch.compiler.is_compiling():
        return _plain(tower, program, value, constants)
    result: Tensor = _AffineComposition.apply(value, constants, tower, program)  # type: ignore[no-untyped-call]
    return result


def _plain(tower: Tower, program: Program, value: Tensor, constants: Tensor) -> Tensor:
    f = tower(value, program.degree)
    out: list[Tensor | None] = [f[0] if stream == 0 else None for stream in program.keep]
    for block in program.blocks:
        for i in range(block.count):
            more = f[block.degree] * constants[block.constant + i]
            before = out[block.row + i]
            out[block.row + i] = more if before is None else before + more
    return torch.stack([torch.zeros_like(value) if row is None else row for row in out])


class _AffineComposition(torch.autograd.Function):
    """`_plain` with a backward pass by hand."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, constants: Tensor, tower: Tower, program: Program) -> Tensor:
        f = tower(value, program.degree + 1)
        out = torch.empty((len(program.keep), *value.shape), dtype=value.dtype, device=value.device)
        if program.value:
            out[0].copy_(f[0])
        for block in program.blocks:
            rows = out[block.row : block.row + block.count]
            factors = constants[block.constant : block.constant + block.count, None]
            if block.first:
                torch.mul(f[block.degree], factors, out=rows)
            else:
                rows.addcmul_(f[block.degree], factors)
        ctx.save_for_backward(value, constants, *f[1:])
        ctx.tower, ctx.program = tower, program
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        program: Program = ctx.program
        value, constants, *f = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates this pass again
            plain = _plain(ctx.tower, program, value, constants)
            first, second = torch.autograd.grad(
                plain, (value, constants), grad, create_graph=True, materialize_grads=True
            )
            return first, second, None, None
        f = [value, *f]  # so that f[k] is the derivative k
        if program.value:
            inner = grad[0] * f[1]
        else:
            inner = torch.zeros_like(value)
        outer = torch.empty_like(constants)
        for block in program.blocks:
            rows = grad[block.row : block.row + block.count]
            place = slice(block.constant, block.constant + block.count)
            torch.sum(rows * f[block.degree], dim=1, out=outer[place])
            if block.count == 1:
                inner.addcmul_(rows[0] * f[block.degree + 1], constants[block.constant])
            else:
                inner.addcmul_((rows * constants[place, None]).sum(dim=0), f[block.degree + 1])
        return inner, outer, None, None
