"""The chain rule through a smooth function of what is affine in the coordinates: slopes are the same at all points."""

from __future__ import annotations

import torch
from torch import Tensor

from constraints.fields.program import Program
from constraints.fields.smooth import Tower

__all__ = ["affine", "affine_back", "affine_plain", "slope_products", "slope_products_back"]


def slope_products(program: Program, slopes: Tensor) -> Tensor:
    """The constants that the derivatives of the function multiply.

    Args:
        program: what of the result is kept.
        slopes: of the argument along each coordinate, `(coordinates, n)`.

    Returns:
        `(n, constants)`.
    """
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
    return torch.stack(found, dim=1) if found else slopes.new_empty((slopes.shape[-1], 0))


def slope_products_back(program: Program, slopes: Tensor, grad: Tensor) -> Tensor:
    """The gradient of the slopes, `(coordinates, n)`, from that of the constants, `(n, constants)`."""
    found, rows = torch.zeros_like(slopes), slopes.unbind(0)
    into = found.unbind(0)
    for g, group in zip(grad.unbind(1), program.constants, strict=True):
        for run in group.runs:
            found[run.low : run.high].addcmul_(slopes[run.low : run.high], g, value=2.0 * group.scale * run.factor)
        for factors, c in group.terms:
            for i, place in enumerate(factors):
                others = [rows[other] for other in (*factors[:i], *factors[i + 1 :])]
                product = g
                for other in others[:-1]:
                    product = product * other
                if others:
                    into[place].addcmul_(product, others[-1], value=c * group.scale)
                else:
                    into[place].add_(product, alpha=c * group.scale)
    return found


def affine_plain(tower: Tower, program: Program, value: Tensor, constants: Tensor) -> Tensor:
    """The streams of `f(u)` that the program keeps, of an affine `u`, in operations that torch differentiates.

    Args:
        tower: the function with its derivatives.
        program: what is kept, and how it is made.
        value: `u`, `(n, batch)`.
        constants: from `slope_products`, `(n, constants)`.

    Returns:
        `(n, kept, batch)`.

    Example:
        >>> from constraints.fields import smooth
        >>> from constraints.fields.operators import laplacian
        >>> from constraints.fields.program import compile_program
        >>> from constraints.fields.streams import plan
        >>> program = compile_program(plan([laplacian(2)]).streams, keep=(3,))
        >>> constants = slope_products(program, torch.tensor([[2.0], [3.0]]))
        >>> affine_plain(smooth.exponential, program, torch.zeros(1, 1), constants)
        tensor([[[13.]]])
    """
    f = tower(value, program.degree)
    out: list[Tensor | None] = [f[0] if stream == 0 else None for stream in program.keep]
    for block in program.blocks:
        for i in range(block.count):
            more = f[block.degree] * constants[:, block.constant + i, None]
            before = out[block.row + i]
            out[block.row + i] = more if before is None else before + more
    return torch.stack([torch.zeros_like(value) if row is None else row for row in out], dim=1)


def affine(tower: Tower, program: Program, value: Tensor, constants: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The same, and the derivatives `f'`, `f''`, ... that `affine_back` needs; not differentiable."""
    f = tower(value, program.degree + 1)
    out = torch.empty((len(value), len(program.keep), value.shape[1]), dtype=value.dtype, device=value.device)
    if program.value:
        out[:, 0].copy_(f[0])
    for block in program.blocks:
        rows = out[:, block.row : block.row + block.count]
        factors = constants[:, block.constant : block.constant + block.count, None]
        if block.first:
            torch.mul(f[block.degree][:, None], factors, out=rows)
        else:
            rows.addcmul_(f[block.degree][:, None], factors)
    return out, f[1:]


def affine_back(program: Program, constants: Tensor, f: list[Tensor], grad: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of `value` and `constants`, from that of the result."""
    inner = grad[:, 0] * f[0] if program.value else torch.zeros_like(f[0])
    outer = torch.empty_like(constants)
    for block in program.blocks:
        places = range(block.constant, block.constant + block.count)
        rows = grad[:, block.row : block.row + block.count]
        torch.sum(rows * f[block.degree - 1][:, None], dim=2, out=outer[:, places.start : places.stop])
        total = rows[:, 0] * constants[:, places.start, None]
        for i, place in enumerate(places[1:], start=1):
            total.addcmul_(rows[:, i], constants[:, place, None])
        inner.addcmul_(total, f[block.degree])
    return inner, outer
