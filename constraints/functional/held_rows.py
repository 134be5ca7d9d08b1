"""The nearest point of a polytope as a function of everything, once the rows that hold it are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from constraints.functional.active_set import factorise, pack, solve_active, times_gram

__all__ = ["nearest_on_rows", "solve_held"]


def nearest_on_rows(
    base: Tensor,
    bounds: Tensor,
    point: Tensor,
    sign: Tensor,
    matrix: Tensor,
    length: Tensor,
    rows: Tensor,
    gram: Tensor,
) -> Tensor:
    r"""The known point :math:`y = y_0 - R_S^\top G_{SS}^{-1} (A y_0 - b)_S / \text{length}`, with derivatives.

    Args:
        base: `y_0`, `(batch, n)`.
        bounds: `b`, `(batch, m)`: the bound that each held row is at; others are not looked at.
        point: `y`, `(batch, n)`, without gradient.
        sign: 0 for rows outside S, `(batch, m)`.
        matrix: `A`, `(m, n)` or `(batch, m, n)`, without gradient as the rest.
        length: of the rows, `(m,)` or `(batch, m)`.
        rows: `R`, as `matrix`.
        gram: `R R'`.

    Returns:
        `y`, differentiable to `base` and `bounds`, any number of times.

    Example:
        >>> base = torch.tensor([[2.0, 1.0]], requires_grad=True)
        >>> one, row = torch.ones(1, 1), torch.tensor([[1.0, 0.0]])
        >>> y = nearest_on_rows(base, one, torch.tensor([[1.0, 1.0]]), one, row, torch.ones(1), row, torch.ones(1, 1))
        >>> torch.autograd.grad(y.sum(), base)[0]
        tensor([[0., 1.]])
    """
    found: Tensor = _Nearest.apply(base, bounds, point, sign, matrix, length, rows, gram)  # type: ignore[no-untyped-call]
    return found


class _Nearest(torch.autograd.Function):
    """The point is known; what is held is linear in `base` and `bounds`."""

    @staticmethod
    def forward(base: Tensor, bounds: Tensor, point: Tensor, *system: Tensor) -> Tensor:
        return point.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[3:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        sign, matrix, length, rows, gram = ctx.saved_tensors
        along = grad @ rows.mT if rows.dim() == 2 else (rows @ grad[..., None]).squeeze(-1)
        held = _Held.apply(along, sign, gram) / length  # type: ignore[no-untyped-call]
        pulled = None
        if ctx.needs_input_grad[0]:
            pulled = grad - (held @ matrix if matrix.dim() == 2 else (matrix.mT @ held[..., None]).squeeze(-1))
        return pulled, held if ctx.needs_input_grad[1] else None, None, None, None, None, None, None


class _Held(torch.autograd.Function):
    """`G_SS^{-1}`: linear and symmetric, so its own derivative."""

    @staticmethod
    def forward(right: Tensor, sign: Tensor, gram: Tensor) -> Tensor:
        return solve_active(gram, sign != 0, right)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Held.apply(grad, *ctx.saved_tensors), None, None  # type: ignore[no-untyped-call]


def solve_held(gram: Tensor, sign: Tensor, right: Tensor, *, refine: bool = False) -> Tensor:
    """`G_SS^{-1}` of the active part of a right-hand side, zero elsewhere; differentiable.

    Example:
        >>> solve_held(2.0 * torch.eye(2), torch.tensor([[1.0, 0.0]]), torch.tensor([[4.0, 4.0]]))
        tensor([[2., 0.]])
    """
    rows, mask = pack(sign != 0)
    factor = factorise(gram, rows, mask)

    def solve(given: Tensor) -> Tensor:
        packed = torch.where(mask, given.gather(-1, rows), 0.0)
        packed = torch.where(mask, torch.cholesky_solve(packed[..., None], factor).squeeze(-1), 0.0)
        return torch.zeros_like(given).scatter(-1, rows, packed)

    found = solve(right)
    return found + solve(right - times_gram(found, gram)) if refine else found
