"""Which rows of a polytope hold a projected point, found one row at a time: a batched dual method, always finite."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import final

import torch
from torch import Tensor

from constraints.functional.active_set import DEPENDENT, factorise, pack

__all__ = ["add_rows"]

WARM = 10  # times that guessed rows are solved and those of the wrong sign dropped


def add_rows(
    rows: Tensor, gram: Tensor, low: Tensor, high: Tensor, guess: Tensor, *, most: int, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Solve :math:`\min_w \tfrac12\lVert w\rVert^2` with :math:`l \le R w \le u`, by Goldfarb and Idnani.

    Each step takes the most violated row of each sample and moves towards its bound, dropping active rows whose
    multiplier would change its sign on the way. The active rows stay independent and the dual objective grows, so that
    no set of rows comes twice: finite, whatever is degenerate or redundant. A violated row that depends on the active
    ones, none of which can be dropped, proves that the set is empty.

    Args:
        rows: `R`, `(m, n)` or `(batch, m, n)`, rows of length one (or zero).
        gram: `R R'`.
        low: `l` relative to the projected point, `(batch, m)`; may be `-inf`.
        high: `u` relative to it, `(batch, m)`; may be `inf`.
        guess: multipliers `(batch, m)` whose rows to begin with, as far as they serve; zeros begin with none.
        most: rows that can be independent.
        steps: after so many steps a sample is given up.

    Returns:
        `sign (batch, m)`, which samples are done, and which are proved empty, `(batch,)` each.

    Source: Goldfarb and Idnani, "A numerically stable dual method for solving strictly convex quadratic programs",
    Mathematical Programming 27, 1983, doi:10.1007/BF02591962.

    Example:
        >>> row = torch.eye(1, dtype=torch.float64)
        >>> add_rows(row, row, -torch.inf * row, -2.0 * row, 0.0 * row, most=1, steps=5)[0]
        tensor([[1.]], dtype=torch.float64)
    """
    batch, m = low.shape
    sign, done, empty = (low.new_zeros(batch, m), *low.new_zeros(2, batch).bool())
    left = torch.arange(batch, device=low.device)
    slots = max(min(most, m, rows.shape[-1]), 1)
    state = _State.start(rows, low, high, slots=slots)
    state.hold(*_supported_rows(gram, low, high, guess, slots))
    for step in range(steps):
        state.advance()
        ended = state.done | state.empty
        # Samples leave when enough of them are done to be worth the copying.
        if bool(ended.all()) or (step % 4 == 3 and bool(ended.sum() * 3 > len(ended))):
            sign[left[ended]], done[left[ended]] = state.sign(m)[ended], state.done[ended]
            empty[left[ended]] = state.empty[ended]
            left = left[~ended]
            if not len(left):
                break
            state = state.only(~ended)
    return sign, done, empty


def _supported_rows(gram: Tensor, low: Tensor, high: Tensor, guess: Tensor, slots: int) -> tuple[Tensor, ...]:
    """Guessed rows that are independent and whose multipliers, once they are at their bounds, have the right sign.

    Returns:
        Rows `(batch, k)`, which of them count, their sign, multiplier, and the inverse of their Gram matrix.
    """
    sign = guess.sign()
    if slots < sign.shape[-1]:  # the largest of them
        kept = guess.abs().topk(slots, dim=-1).indices
        sign = torch.zeros_like(sign).scatter(-1, kept, sign.gather(-1, kept))
    for _ in range(WARM):
        rows, mask = pack(sign != 0)
        factor = factorise(gram, rows, mask)
        pivot = factor.diagonal(dim1=-2, dim2=-1).amin(dim=-1).square()
        bound = torch.where(sign > 0, high, low).gather(-1, rows).masked_fill(~mask, 0.0)
        side = sign.gather(-1, rows) * mask
        multiplier = -torch.cholesky_solve(bound[..., None], factor).squeeze(-1) * side
        clear = ~(pivot > 1e3 * DEPENDENT) | ~multiplier.isfinite().all(dim=-1)
        wrong = (mask & (multiplier < 0.0)) | clear[:, None]
        if not bool((wrong & mask).any()):
            break
        sign = sign * (1.0 - torch.zeros_like(sign).scatter_add_(-1, rows, (wrong & mask).to(sign.dtype)))
    else:
        served = ~(wrong & mask).any(dim=-1, keepdim=True)
        mask, side, multiplier = mask & served, side * served, multiplier.masked_fill(~served, 0.0)
    inverse = torch.cholesky_inverse(factor) * (side[:, :, None] * side[:, None, :])
    return rows, mask, side, multiplier, torch.where(mask[:, :, None] & mask[:, None, :], inverse, 0.0)


@final
@dataclass(slots=True)
class _State:
    """The method's memory: `slots` for active rows, and the row that is entering each sample.

    Rows are signed here, so that every multiplier is >= 0. The samples do not see each other.
    """

    rows: Tensor  # (m, n) or (batch, m, n)
    low: Tensor  # (batch, m)
    high: Tensor  # (batch, m)
    scale: Tensor  # (batch,)
    moved: Tensor  # (batch, n): w
    normals: Tensor  # (batch, slots, n): the signed active rows; whatever was there where a slot is empty
    inverse: Tensor  # (batch, slots, slots): of their Gram matrix; zeros where a slot is empty
    multiplier: Tensor  # (batch, slots); whatever was there where a slot is empty
    where: Tensor  # (batch, slots): which row; -1 where the slot is empty
    entering: Tensor  # (batch,): which row; -1 where none is
    side: Tensor  # (batch,): its sign
    gained: Tensor  # (batch,): its multiplier so far
    done: Tensor  # (batch,)
    empty: Tensor  # (batch,)

    @classmethod
    def start(cls, rows: Tensor, low: Tensor, high: Tensor, *, slots: int) -> _State:
        """No row is active, the point has not moved."""
        batch, n = low.shape[0], rows.shape[-1]
        none = torch.full((batch, slots), -1, dtype=torch.long, device=low.device)
        flag = torch.zeros(batch, dtype=torch.bool, device=low.device)
        scale = torch.maximum(low, -high).amax(dim=-1).clamp(min=torch.finfo(low.dtype).tiny)
        zero = low.new_zeros
        return cls(
            rows, low, high, scale, zero(batch, n), zero(batch, slots, n), zero(batch, slots, slots),
            zero(batch, slots), none, none[:, 0].clone(), zero(batch), zero(batch), flag, flag.clone(),
        )  # fmt: skip

    def hold(self, rows: Tensor, mask: Tensor, side: Tensor, multiplier: Tensor, inverse: Tensor) -> None:
        """Begin with these rows, of `_supported_rows`."""
        k = rows.shape[-1]
        every = torch.arange(len(rows), device=rows.device)[:, None]
        normals = self.rows[rows] if self.rows.dim() == 2 else self.rows[every, rows]
        self.normals[:, :k] = normals * side[..., None]
        self.inverse[:, :k, :k] = inverse
        self.multiplier[:, :k] = multiplier
        self.where[:, :k] = torch.where(mask, rows, -1)
        self.moved = -(multiplier[:, None, :] @ self.normals[:, :k]).squeeze(1)

    def only(self, kept: Tensor) -> _State:
        """The samples that are left."""
        rows = self.rows if self.rows.dim() == 2 else self.rows[kept]
        return _State(rows, *(getattr(self, field.name)[kept] for field in fields(self)[1:]))

    def advance(self) -> None:
        """One step of every sample that is not done: a row joins, or one is dropped."""
        every = torch.arange(len(self.low), device=self.low.device)
        shared = self.rows.dim() == 2
        position = self.moved @ self.rows.mT if shared else (self.rows @ self.moved[..., None]).squeeze(-1)
        over, under = position - self.high, self.low - position
        excess = torch.maximum(over, under)
        worst, most_violated = excess.max(dim=-1)
        fresh = self.entering < 0
        self.done |= fresh & (worst <= 1e-13 * self.scale)
        work = ~(self.done | self.empty)
        at = torch.where(fresh, most_violated, self.entering)
        self.side = torch.where(fresh, torch.where(over[every, at] >= under[every, at], 1.0, -1.0), self.side)
        self.gained = torch.where(fresh, 0.0, self.gained)
        normal = (self.rows[at] if shared else self.rows[every, at]) * self.side[:, None]
        # A multiplier t of the entering row moves the others by -t r and the point by -t z.
        r = (self.inverse @ (self.normals @ normal[..., None])).squeeze(-1)
        z = torch.baddbmm(normal[:, None], r[:, None], self.normals, alpha=-1).squeeze(1)
        curvature = (z * z).sum(dim=-1)
        free = curvature > DEPENDENT
        full = torch.where(free, excess[every, at] / curvature, torch.inf)
        held = self.where >= 0
        blocking = torch.where(held & (r > 1e-12), self.multiplier / r, torch.inf)
        first, blocker = blocking.min(dim=-1)
        joins = work & free & (full <= first)
        # No way forward: the row depends on rows none of which can be dropped. (Or, by rounding, no slot is left.)
        stuck = work & ((~free & first.isinf()) | (joins & held.all(dim=-1)))
        small = excess[every, at] <= 1e-9 * self.scale  # many rows meet in one point, up to rounding
        self.done |= stuck & small
        self.empty |= stuck & ~small
        joins &= ~stuck
        drops = work & ~joins & ~stuck
        step = torch.where(joins | drops, torch.minimum(full, first), 0.0)
        self.multiplier = (self.multiplier - step[:, None] * r).clamp(min=0.0)
        self.gained = self.gained + step
        self.moved = self.moved - torch.where(free, step, 0.0)[:, None] * z
        self._drop(drops.nonzero().squeeze(-1), blocker)
        self._join(joins.nonzero().squeeze(-1), r, curvature, normal, at)
        self.entering = torch.where(work & ~joins, at, -1)

    def _drop(self, samples: Tensor, slot: Tensor) -> None:
        """Take a row out of the samples that drop it."""
        if not len(samples):
            return
        slot = slot[samples]
        column = self.inverse[samples, :, slot]
        pivot = self.inverse[samples, slot, slot]
        self.inverse[samples] -= column[:, :, None] * (column / pivot[:, None])[:, None, :]
        self.inverse[samples, slot, :] = 0.0  # by rounding else only about 0; its column is
        self.where[samples, slot] = -1

    def _join(self, samples: Tensor, r: Tensor, curvature: Tensor, normal: Tensor, row: Tensor) -> None:
        """Put the entering row into the first empty slot of the samples that it joins."""
        if not len(samples):
            return
        slot = (self.where[samples] < 0).to(torch.uint8).argmax(dim=-1)
        edge = r[samples]
        edge.scatter_(-1, slot[:, None], -1.0)
        self.inverse[samples] += edge[:, :, None] * (edge / curvature[samples, None])[:, None, :]
        self.normals[samples, slot] = normal[samples]
        self.where[samples, slot] = row[samples]
        self.multiplier[samples, slot] = self.gained[samples]

    def sign(self, m: int) -> Tensor:
        """+1 where a row is held at its upper bound, -1 at its lower, `(batch, m)`."""
        at = self.where.clamp(min=0)
        if self.rows.dim() == 2:
            unsigned = self.rows[at]
        else:
            unsigned = self.rows[torch.arange(len(at), device=at.device)[:, None], at]
        signs = (unsigned * self.normals).sum(dim=-1).sign()
        padded = self.low.new_zeros(len(at), m + 1)
        return padded.scatter(-1, torch.where(self.where >= 0, self.where, m), signs)[:, :m]
