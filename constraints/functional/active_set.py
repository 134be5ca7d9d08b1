"""Which rows of a polytope hold a projected point, all exchanged at once: a primal-dual active-set method."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["DEPENDENT", "exchange_rows", "factorise", "pack", "times_gram"]

RIDGE = (
    1e-13  # beside the unit diagonal of the Gram matrix: a factorisation also where active rows depend on each other
)
EXCHANGES = 10  # a sample that needs more usually cycles
DEPENDENT = 1e-11  # squared distance of a unit row from the span of others below which it counts as inside
SMALL = 16  # up to so many rows it is faster to mask the Gram matrix than to pack it


def exchange_rows(gram: Tensor, low: Tensor, high: Tensor, *, most: int) -> tuple[Tensor, Tensor, Tensor]:
    r"""Solve :math:`\min_w \tfrac12\lVert w\rVert^2` with :math:`l \le R w \le u` by its dual, for most samples.

    With :math:`w = -R^\top\lambda` the rows change by :math:`-G\lambda`, :math:`G = R R^\top`. Each exchange solves the
    equations of the rows believed active, `G_SS lambda_S = -bound_S`, drops rows whose multiplier has the wrong sign
    and adds rows that are violated, all at once: a semismooth Newton method. It ends in a few steps, or it cycles (also
    where rows depend on each other and the equations have no one solution); a sample that is not done after some steps
    is given up, and `add_rows` finds its answer one row at a time.

    Args:
        gram: `G`, `(m, m)` or `(batch, m, m)`, with a diagonal of ones (or zeros for empty rows).
        low: `l` relative to the projected point, `(batch, m)`; may be `-inf`.
        high: `u` relative to it, `(batch, m)`; may be `inf`.
        most: rows that can be independent; samples that hold more are given up at once.

    Returns:
        `sign (batch, m)` (+1 held at the upper bound, -1 at the lower, 0 free), the multipliers `(batch, m)`, and which
        samples are done, `(batch,)`.

    Source: Hintermueller, Ito and Kunisch, "The primal-dual active set strategy as a semismooth Newton method", SIAM J.
    Optim. 13, 2002, doi:10.1137/S1052623401383558.

    Example:
        >>> one = torch.ones(1, 1, dtype=torch.float64)
        >>> exchange_rows(one, -torch.inf * one, -2.0 * one, most=1)[1]
        tensor([[2.]], dtype=torch.float64)
    """
    # What counts as zero is relative to how far the rows of each sample have to move.
    reach = torch.maximum(low, -high).amax(dim=-1, keepdim=True)
    near = reach.clamp(min=torch.finfo(low.dtype).tiny) * 1e-13
    sign = (high < -near).to(low.dtype) - (low > near).to(low.dtype)
    done = reach.squeeze(-1) <= 0
    multiplier = torch.zeros_like(sign)
    if bool(done.all()):
        return sign, multiplier, done
    left = None if low.shape[-1] <= SMALL and gram.dim() == 2 else (~done).nonzero().squeeze(-1)
    for _ in range(EXCHANGES):
        if left is None:
            multiplier, after, done = _exchange(gram, low, high, near, sign)
            sign = after
            if bool(done.all()):
                break
        else:
            few = left[(sign[left] != 0).sum(dim=-1) <= most]
            g = gram if gram.dim() == 2 else gram[few]
            held = sign[few]
            found, after, ended = _exchange(g, low[few], high[few], near[few], held)
            multiplier[few], sign[few], done[few] = found, after, ended
            left = few[~ended]
            if not len(left):
                break
    return sign, multiplier, done


def _exchange(gram: Tensor, low: Tensor, high: Tensor, near: Tensor, sign: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Multipliers of the held rows, which rows to hold next, and which samples are done."""
    bound = torch.where(sign > 0, high, torch.where(sign < 0, low, 0.0))
    multiplier, pivot = _solve(gram, sign, bound)
    change = -times_gram(multiplier, gram)
    held = multiplier * sign
    keeps = held > -1e-13 * held.amax(dim=-1, keepdim=True)
    enters = (change > high + near).to(sign.dtype) - (change < low - near).to(sign.dtype)
    after = torch.where(sign != 0, sign * keeps, enters)
    # Rows that depend on each other have no one solution, and no derivative.
    return multiplier, after, (after == sign).all(dim=-1) & (pivot > DEPENDENT)


def _solve(gram: Tensor, sign: Tensor, bound: Tensor) -> tuple[Tensor, Tensor]:
    """Multipliers `(batch, m)` that put the held rows at their bounds, and the smallest pivot of their equations.

    `G_SS lambda_S = -bound_S`, and 0 elsewhere.
    """
    if sign.shape[-1] <= SMALL:
        held = sign.abs()
        masked = gram * (held[:, :, None] * held[:, None, :])
        masked.diagonal(dim1=-2, dim2=-1).add_(1.0 - held)
        factor = torch.linalg.cholesky_ex(masked).L
        return torch.cholesky_solve(bound.neg()[..., None], factor).squeeze(-1) * held, _pivot(factor)
    rows, mask = pack(sign != 0)
    target = torch.where(mask, bound.gather(-1, rows), 0.0)
    factor = factorise(gram, rows, mask)
    packed = torch.cholesky_solve(target[..., None], factor).squeeze(-1)
    return torch.zeros_like(bound).scatter(-1, rows, torch.where(mask, -packed, 0.0)), _pivot(factor)


def _pivot(factor: Tensor) -> Tensor:
    """Squared distance of each unit row from the span of those before it, the least of them, `(batch,)`."""
    return factor.diagonal(dim1=-2, dim2=-1).amin(dim=-1).square()


def pack(active: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the active rows of each sample, packed to the left: `(batch, k)`, and which of them count.

    Under `torch.compile` and `torch.export` nothing is left out, because `k` would depend on the data.
    """
    if torch.compiler.is_compiling():
        positions = torch.arange(active.shape[-1], device=active.device)
        return positions.expand_as(active), active
    counts = active.sum(dim=-1)
    width = max(int(counts.max()), 1) if len(counts) else 1
    rows = active.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)[:, :width]
    return rows, torch.arange(width, device=active.device) < counts[:, None]


def factorise(gram: Tensor, rows: Tensor, mask: Tensor) -> Tensor:
    """Cholesky factors `(batch, k, k)` of the packed Gram matrices; padding is the identity."""
    if gram.dim() == 2:
        packed = gram[rows[:, :, None], rows[:, None, :]]
    else:
        packed = gram.gather(1, rows[:, :, None].expand(-1, -1, gram.shape[-1]))
        packed = packed.gather(2, rows[:, None, :].expand(-1, rows.shape[-1], -1))
    counts = mask.to(gram.dtype)
    packed = packed * (counts[:, :, None] * counts[:, None, :])
    factor: Tensor = torch.linalg.cholesky_ex(packed + torch.diag_embed(1.0 - counts)).L
    return factor


def times_gram(multiplier: Tensor, gram: Tensor) -> Tensor:
    """`G lambda`, `(batch, m)`."""
    if gram.dim() == 2:
        return multiplier @ gram
    return (gram @ multiplier[..., None]).squeeze(-1)
