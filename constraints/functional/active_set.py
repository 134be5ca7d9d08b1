"""Which rows of a polytope hold a projected point, all exchanged at once: a primal-dual active-set method."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["DEPENDENT", "exchange_rows", "factorise", "guess_rows", "pack", "solve_active", "times_gram"]

EXCHANGES = 10  # a sample that needs more usually cycles
DESCENTS = 12  # steps of the splitting that guesses the first active rows: each costs a tenth of an exchange
DEPENDENT = 1e-11  # squared distance of a unit row from the span of others below which it counts as inside
SMALL = 16  # up to so many rows it is faster to mask the Gram matrix than to pack it


def exchange_rows(
    rows: Tensor, gram: Tensor, step: Tensor, low: Tensor, high: Tensor, *, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Solve :math:`\min_w \tfrac12\lVert w\rVert^2` with :math:`l \le R w \le u` by its dual, for most samples.

    With :math:`w = -R^\top\lambda` the rows change by :math:`-G\lambda`, :math:`G = R R^\top`. A few steps of an
    accelerated proximal gradient method guess which rows are active. Each exchange then solves the
    equations of the rows believed active, `G_SS lambda_S = -bound_S`, drops rows whose multiplier has the wrong sign
    and adds rows that are violated, all at once: a semismooth Newton method. It ends in a few steps, or it cycles (also
    where rows depend on each other and the equations have no one solution); a sample that is not done after some steps
    is given up, and `add_rows` finds its answer one row at a time.

    Args:
        rows: `R`, `(m, n)` or `(batch, m, n)`, of length one (or zero).
        gram: `G`, `(m, m)` or `(batch, m, m)`.
        step: at most one over its largest eigenvalue, `()` or `(batch, 1)`.
        low: `l` relative to the projected point, `(batch, m)`; may be `-inf`.
        high: `u` relative to it, `(batch, m)`; may be `inf`.
        most: rows that can be independent; samples that hold more are given up at once.

    Returns:
        The multipliers `(batch, m)` (> 0 held at the upper bound, < 0 at the lower, 0 free), `sign (batch, m)` of the
        rows held, and which samples are done, `(batch,)`; of those that are not, the multipliers are a guess.

    Source: Hintermueller, Ito and Kunisch, "The primal-dual active set strategy as a semismooth Newton method", SIAM J.
    Optim. 13, 2002, doi:10.1137/S1052623401383558.

    Example:
        >>> one = torch.ones(1, 1, dtype=torch.float64)
        >>> exchange_rows(one, one, torch.tensor(1.0), -torch.inf * one, -2.0 * one, most=1)[0]
        tensor([[2.]], dtype=torch.float64)
    """
    # What counts as zero is relative to how far the rows of each sample have to move.
    reach = torch.maximum(low, -high).amax(dim=-1, keepdim=True)
    outside = reach.squeeze(-1) > 0
    count = int(outside.sum())
    if not count:
        return torch.zeros_like(low), torch.zeros_like(low), ~outside
    near = reach.clamp(min=torch.finfo(low.dtype).tiny) * 1e-13
    guess = guess_rows(rows, gram, step, low, high)
    sign = guess.sign()
    limits = low, high, low - near, high + near
    multiplier, done = torch.zeros_like(sign), ~outside
    every = count == len(low)
    left = torch.arange(count, device=low.device) if every else outside.nonzero().squeeze(-1)
    alone = low.shape[-1] <= SMALL or count < 128  # nothing is gained by grouping
    for _ in range(EXCHANGES):
        counts = sign[left].count_nonzero(dim=-1)
        groups = _alike(left, counts, most, groups=1 if alone else 4)
        again = []
        for few in groups:
            at = slice(None) if every and len(few) == len(low) else few  # a view costs nothing
            before = sign[at]
            below, above, least, greatest = (part[at] for part in limits)
            found, after, pivot = _exchange(
                gram if gram.dim() == 2 else gram[at], below, above, least, greatest, before
            )
            ended = (after == before).all(dim=-1) & (pivot > DEPENDENT)
            multiplier[at], sign[at], done[at] = found, after, ended
            again.append(few[~ended])
        left = torch.cat(again) if again else left[:0]
        if not len(left):
            break
    return torch.where(done[:, None], multiplier, guess), sign, done


def guess_rows(rows: Tensor, gram: Tensor, step: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Multipliers `(batch, m)` after some steps of an accelerated proximal gradient method on the dual."""
    below, above = low * step, high * step
    m, n = rows.shape[-2:]
    tall = m > 2 * n  # then two narrow products are less work than a square one
    if tall:
        step = step[..., None] if step.dim() else step
        back = rows.mT * step
    else:
        eye = torch.eye(m, dtype=gram.dtype, device=gram.device)
        descent = eye - (step[..., None] if step.dim() else step) * gram
    multiplier = ahead = -torch.clamp(torch.zeros_like(low), below, above)
    weight = 1.0
    # More rows than dimensions are harder to tell apart, and a row that is missed costs more in more dimensions.
    for _ in range(DESCENTS if m <= n else DESCENTS * min(1 + n // 8, 12)):
        moved = ahead - _through(ahead, rows, back) if tall else times_gram(ahead, descent)
        after = moved - torch.clamp(moved, below, above)
        next_weight = (1.0 + math.sqrt(1.0 + 4.0 * weight * weight)) / 2.0
        ahead = torch.lerp(multiplier, after, 1.0 + (weight - 1.0) / next_weight)
        multiplier, weight = after, next_weight
    return multiplier


def _alike(left: Tensor, counts: Tensor, most: int, *, groups: int = 4) -> Sequence[Tensor]:
    """Samples in groups that hold about as many rows, so that little is padded; those with too many are left out."""
    few = counts <= most
    left, counts = left[few], counts[few]
    groups = min(len(left) // 64, groups)
    return torch.chunk(left[counts.argsort()], groups) if groups > 1 else [left] if len(left) else []


def _exchange(
    gram: Tensor, low: Tensor, high: Tensor, least: Tensor, greatest: Tensor, sign: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Multipliers of the held rows, which rows to hold next, and the smallest pivot of the held rows' equations.

    A sample whose rows stay the same is done, unless the pivot says that they depend on each other: those have no one
    solution, and no derivative.
    """
    held = sign != 0
    multiplier, pivot = _solve(gram, held, torch.where(sign > 0, high, low).neg_().masked_fill_(~held, 0.0))
    # A held row is at its bound, up to rounding, and its multiplier decides; others are decided by where they are.
    aim = multiplier - times_gram(multiplier, gram)
    return multiplier, torch.sign(aim - torch.clamp(aim, least, greatest)), pivot


def solve_active(gram: Tensor, active: Tensor, right: Tensor) -> Tensor:
    """`G_SS^{-1}` of the active part of a right-hand side, `(batch, m)`, zero elsewhere.

    Example:
        >>> solve_active(2.0 * torch.eye(2), torch.tensor([[True, False]]), torch.tensor([[4.0, 4.0]]))
        tensor([[2., 0.]])
    """
    right = right.masked_fill(~active, 0.0)
    if torch.compiler.is_compiling() or len(active) < 128 or (active.shape[-1] <= SMALL and gram.dim() == 2):
        return _solve(gram, active, right)[0]
    found = torch.zeros_like(right)
    every = torch.arange(len(active), device=active.device)
    for few in _alike(every, active.sum(dim=-1), active.shape[-1]):
        found[few] = _solve(gram if gram.dim() == 2 else gram[few], active[few], right[few])[0]
    return found


def _solve(gram: Tensor, active: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """`G_SS^{-1}` of a right-hand side that is zero outside S, and the smallest pivot of the equations."""
    if active.shape[-1] <= SMALL:
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        factor = torch.linalg.cholesky_ex(torch.where(active[:, :, None] & active[:, None, :], gram, eye)).L
        return torch.cholesky_solve(right[..., None], factor).squeeze(-1), _pivot(factor)
    rows, mask = pack(active)
    factor = factorise(gram, rows, mask)
    packed = torch.cholesky_solve(right.gather(-1, rows)[..., None], factor).squeeze(-1)
    return torch.zeros_like(right).scatter_(-1, rows, packed), _pivot(factor)


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
        packed = gram.index_select(0, rows.flatten()).view(*rows.shape, -1)
    else:
        packed = gram.gather(1, rows[:, :, None].expand(-1, -1, gram.shape[-1]))
    packed = packed.gather(2, rows[:, None, :].expand(-1, rows.shape[-1], -1))
    counts = mask.to(gram.dtype)
    packed = packed * (counts[:, :, None] * counts[:, None, :])
    packed.diagonal(dim1=-2, dim2=-1).add_(1.0 - counts)
    factor: Tensor = torch.linalg.cholesky_ex(packed).L
    return factor


def _through(multiplier: Tensor, rows: Tensor, back: Tensor) -> Tensor:
    """`lambda R` times `back`, `(batch, m)`."""
    if rows.dim() == 2:
        return multiplier @ rows @ back
    return (multiplier[:, None, :] @ rows @ back).squeeze(1)


def times_gram(multiplier: Tensor, gram: Tensor) -> Tensor:
    """`G lambda`, `(batch, m)`."""
    if gram.dim() == 2:
        return multiplier @ gram
    return (gram @ multiplier[..., None]).squeeze(-1)
