"""Projection onto polytopes: exact, batched, with a certificate, differentiable to everything."""

from __future__ import annotations

import math
from typing import NamedTuple, final

import torch
from torch import Tensor

from constraints.functional.active_set import exchange_rows
from constraints.functional.certificate import Certificate, certified_tolerance
from constraints.functional.dual_method import add_rows
from constraints.functional.held_rows import nearest_on_rows, solve_held

__all__ = ["PolytopeFactors", "factorise_polytope", "project_polytope", "solve_polytope"]

VANISHED = 1e-10  # of its length: what is left of a row within the equalities, if the row depends on them


@final
class PolytopeFactors(NamedTuple):
    """A system `l <= A y <= u, C y = d` made ready: the part of each row that the equalities leave free, of length one.

    Attributes:
        matrix: `A`, `(m, n)` or `(batch, m, n)`.
        equal: `C`, `(p, n)` or `(batch, p, n)`.
        inverse: `C^+`, `(n, p)` or `(batch, n, p)`.
        length: `|A_i P|` with `P = I - C^+ C`, `(m,)` or `(batch, m)`; 1 where the row depends on the equalities.
        rows: `A P / length`, zero where the row depends on the equalities.
        gram: `rows rows'`.
        step: at most one over its largest eigenvalue, `()` or `(batch, 1)`.
        live: which rows are not zero, `(m,)` or `(batch, m)`.
        norms: `|A_i|`, then `|C_i|`: what violations are relative to.
        rank: how many rows can be independent, at most.

    Example:
        >>> factors = factorise_polytope(torch.tensor([[3.0, 4.0], [6.0, 8.0]]), torch.zeros(0, 2))
        >>> factors.length, factors.rank
        (tensor([ 5., 10.]), 2)
    """

    matrix: Tensor
    equal: Tensor
    inverse: Tensor
    length: Tensor
    rows: Tensor
    gram: Tensor
    step: Tensor
    live: Tensor
    norms: Tensor
    rank: int


def factorise_polytope(matrix: Tensor, equal: Tensor) -> PolytopeFactors:
    """Make a system ready; differentiable.

    Args:
        matrix: `A`, `(m, n)` or `(batch, m, n)`, float64.
        equal: `C`, `(p, n)` or `(batch, p, n)`, of any rank, p >= 0.

    Example:
        >>> factors = factorise_polytope(torch.tensor([[3.0, 4.0]]), torch.zeros(0, 2))
        >>> factors.rows
        tensor([[0.6000, 0.8000]])
    """
    m, n = matrix.shape[-2:]
    if equal.shape[-2]:
        inverse = torch.linalg.pinv(equal)
        free = matrix - (matrix @ inverse) @ equal
    else:
        inverse, free = equal.mT, matrix
    square = free.square().sum(dim=-1)
    norms = torch.cat([_norms(matrix), _norms(equal)], dim=-1).detach()
    depends = square.detach() <= (VANISHED * norms[..., :m]).square()
    length = torch.where(depends, 1.0, square).sqrt()
    rows = torch.where(depends[..., None], 0.0, free / length[..., None])
    gram = rows @ rows.mT
    rank = min(m, max(n - (equal.shape[-2] > 0), 1))
    return PolytopeFactors(matrix, equal, inverse, length, rows, gram, _step(gram.detach()), ~depends, norms, rank)


def _step(gram: Tensor) -> Tensor:
    """One over the largest eigenvalue, or over a bound of it where every sample has its own matrix."""
    if not gram.shape[-1]:
        return gram.new_ones(())
    if gram.dim() == 3:
        return 1.0 / gram.abs().sum(dim=-1).amax(dim=-1, keepdim=True).clamp(min=1.0)
    largest: Tensor = torch.linalg.eigvalsh(gram)[-1].clamp(min=1.0)
    return 1.0 / largest


def project_polytope(
    value: Tensor,
    matrix: Tensor,
    low: Tensor,
    high: Tensor,
    equal: Tensor | None = None,
    target: Tensor | None = None,
) -> Tensor:
    r"""Nearest point of :math:`\{y : l \le A y \le u,\ C y = d\}`, with gradients to all of them.

    Args:
        value: `(*batch, n)`.
        matrix: `A`, `(m, n)` or `(*batch, m, n)`.
        low: `l`, `(m,)` or `(*batch, m)`; may be `-inf`.
        high: `u`, `(m,)` or `(*batch, m)`; may be `inf`.
        equal: `C`, `(p, n)` or `(*batch, p, n)`; none by default.
        target: `d`, `(p,)` or `(*batch, p)`.

    Returns:
        `(*batch, n)`. Samples without a feasible point give some finite one: `solve_polytope` says which.

    Example:
        >>> project_polytope(torch.tensor([2.0, 2.0]), torch.ones(1, 2), torch.tensor([0.0]), torch.tensor([1.0]))
        tensor([0.5000, 0.5000])
    """
    n = value.shape[-1]
    equal = matrix.new_zeros(0, n) if equal is None else equal
    target = value.new_zeros(equal.shape[-2]) if target is None else target
    if matrix.dim() > 2 or equal.dim() > 2:
        batch = value.shape[:-1]
        matrix = matrix.expand(*batch, *matrix.shape[-2:]).reshape(-1, *matrix.shape[-2:])
        equal = equal.expand(*batch, *equal.shape[-2:]).reshape(-1, *equal.shape[-2:])
    return solve_polytope(value, factorise_polytope(matrix.double(), equal.double()), low, high, target)[0]


def solve_polytope(
    value: Tensor, factors: PolytopeFactors, low: Tensor, high: Tensor, target: Tensor
) -> tuple[Tensor, Certificate]:
    r"""Nearest point of :math:`\{y : l \le A y \le u,\ C y = d\}`, and what is known of it.

    The active rows are found without gradient: all exchanged at once (`exchange_rows`) and, for samples where that
    cycles, one at a time (`add_rows`). On them the nearest point is a smooth expression of everything else,
    :math:`y_0 - R^\top \lambda` with :math:`G_{SS}\lambda_S = (A y_0 - b)_S / \text{length}`, so that derivatives of
    every order are exact. All of it happens in float64, whatever the dtype of the value.

    Args:
        value: `(*batch, n)`.
        factors: of `factorise_polytope`; where they are batched, batch dimensions must be flattened into one.
        low: `l`, `(m,)` or `(*batch, m)`.
        high: `u`, `(m,)` or `(*batch, m)`.
        target: `d`, `(p,)` or `(*batch, p)`.

    Returns:
        The point `(*batch, n)` and its certificate.

    Example:
        >>> factors = factorise_polytope(torch.ones(1, 2).double(), torch.zeros(0, 2).double())
        >>> v, low, high, target = torch.full((1, 2), 2.0), torch.zeros(1), torch.ones(1), torch.zeros(0)
        >>> point, proof = solve_polytope(v, factors, low, high, target)
        >>> point, proof.holds
        (tensor([[0.5000, 0.5000]]), tensor([True]))
    """
    shape, dtype = value.shape, value.dtype
    m, p = factors.matrix.shape[-2], factors.equal.shape[-2]
    batch = math.prod(shape[:-1])
    given = value.reshape(batch, shape[-1]).double()
    low, high, target = _flat(low, shape, batch, m), _flat(high, shape, batch, m), _flat(target, shape, batch, p)
    point, optimal, empty = _project(given, factors, low, high, target)
    result = point.to(dtype)
    with torch.no_grad():
        tolerance = certified_tolerance(dtype)
        violation, missed = _violation(result.double(), factors, low, high, target, given, tolerance)
        missed = missed > torch.finfo(dtype).eps
    if not torch.compiler.is_compiling() and bool(missed.any()):
        left = (missed & ~empty).nonzero().squeeze(-1)
        with torch.no_grad():  # from a point almost inside all numbers are smaller, and so is rounding
            few = _samples(factors, left)
            bounds = [part[left] if part.dim() > 1 else part for part in (low, high, target)]
            closer, again, none = _project(point[left], few, *bounds)
            moved = torch.zeros_like(point).index_copy(0, left, closer - point[left])
            optimal, empty = optimal.index_copy(0, left, again), empty.index_copy(0, left, none)
            after, _ = _violation(
                closer.to(dtype).double(), few, bounds[0], bounds[1], bounds[2], given[left], tolerance
            )
            violation = violation.index_copy(0, left, after)
        result = (point + moved).to(dtype)
    flags = (part.reshape(shape[:-1]) for part in (optimal, empty))
    return result.reshape(shape), Certificate(violation.reshape(shape[:-1]), tolerance, *flags)


def _project(
    given: Tensor, factors: PolytopeFactors, low: Tensor, high: Tensor, target: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Nearest points `(batch, n)`, whether the search ended, and whether it proved that there are none."""
    base = given
    if factors.equal.shape[-2]:
        for _ in range(2):  # the second brings rounding down
            base = base - _apply(factors.inverse, _apply(factors.equal, base) - target)
    none = torch.zeros(given.shape[0], dtype=torch.bool, device=given.device)
    if factors.equal.shape[-2]:
        gap, _ = _violation(base.detach(), factors, -_infinite(low), _infinite(high), target, given.detach(), 1e-8)
        none = gap > 1e-8  # the least squares solution is no solution
    if not factors.matrix.shape[-2]:
        return base, ~none, none
    with torch.no_grad():
        position = _apply(factors.matrix, base)
        sign, multiplier, optimal, empty = _search(factors, low - position, high - position)
        hollow = factors.norms[..., : factors.matrix.shape[-2]] == 0  # 0 y, which is 0
        empty = empty | none | ((low > high) | (hollow & ((low > 0) | (high < 0)))).any(dim=-1)
    tracked = torch.is_grad_enabled()
    if tracked and factors.gram.requires_grad:
        position = _apply(factors.matrix, base)
        bound = torch.where(sign > 0, high, torch.where(sign < 0, low, position.detach()))
        held = solve_held(factors.gram, sign, (position - bound) * sign.abs() / factors.length, refine=True)
        return base - _apply(factors.rows.mT, held), optimal, empty
    point = base.detach() - _apply(factors.rows.mT, multiplier)
    if tracked and (base.requires_grad or low.requires_grad or high.requires_grad):
        bound = torch.where(sign > 0, high, low) if low.requires_grad or high.requires_grad else low
        matrix, length, rows, gram = factors.matrix, factors.length, factors.rows, factors.gram
        point = nearest_on_rows(base, bound, point, sign, matrix, length, rows, gram)
    return point, optimal, empty


def _samples(factors: PolytopeFactors, chosen: Tensor) -> PolytopeFactors:
    """The systems of some samples, where each has its own."""
    matrix, equal, inverse, length, rows, gram, step, live, norms = (
        part[chosen] if part.dim() > shared else part
        for part, shared in zip(factors[:-1], (2, 2, 2, 1, 2, 2, 0, 1, 1), strict=True)
    )
    return PolytopeFactors(matrix, equal, inverse, length, rows, gram, step, live, norms, factors.rank)


def _search(factors: PolytopeFactors, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Active rows, multipliers, which samples are done, which are proved empty."""
    low = torch.where(factors.live, low / factors.length, -torch.inf)
    high = torch.where(factors.live, high / factors.length, torch.inf)
    search = factors.rows, factors.gram, factors.step, low, high, factors.rank
    if torch.compiler.is_compiling():  # one opaque operation: how many steps it takes depends on the data
        found: tuple[Tensor, Tensor, Tensor, Tensor] = _search_op(*search)
        return found
    return _search_rows(*search)


def _search_rows(
    rows: Tensor, gram: Tensor, step: Tensor, low: Tensor, high: Tensor, rank: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    multiplier, sign, done = exchange_rows(rows, gram, step, low, high, most=rank)
    empty = torch.zeros_like(done)
    left = (~done).nonzero().squeeze(-1)
    if len(left):
        rows, gram = (part if part.dim() == 2 else part[left] for part in (rows, gram))
        low, high, guess = low[left], high[left], multiplier[left]
        steps = 10 * (rows.shape[-2] + rows.shape[-1])
        sign[left], done[left], empty[left] = add_rows(rows, gram, low, high, guess, most=rank, steps=steps)
        bound = torch.where(sign[left] > 0, high, low)
        excess = torch.where(sign[left] != 0, -bound, 0.0)
        multiplier[left] = solve_held(gram, sign[left], excess, refine=True)
        lost = left[~multiplier[left].isfinite().all(dim=-1)]
        sign[lost], multiplier[lost], done[lost] = 0.0, 0.0, False
    return sign, multiplier, done, empty


_search_op = torch.library.custom_op("dkmodels::search_rows", _search_rows, mutates_args=())


@_search_op.register_fake
def _(
    rows: Tensor, gram: Tensor, step: Tensor, low: Tensor, high: Tensor, rank: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    flags = low.new_empty(low.shape[0], dtype=torch.bool)
    return torch.empty_like(low), torch.empty_like(low), flags, torch.empty_like(flags)


def _violation(
    point: Tensor, factors: PolytopeFactors, low: Tensor, high: Tensor, target: Tensor, value: Tensor, tolerance: float
) -> tuple[Tensor, Tensor]:
    """The worst violation of each sample, `(batch,)`, relative to the terms of its row, `|A| |y| + |b|`.

    What rounding of the value in float64 does to a point that is much smaller is added to the terms. The second answer
    is relative to the largest terms of the point alone, in units of `64 sqrt(n)` as `default_tolerance` has it: what a
    projection of the point again mends; 0 for points that are 0 to the rounding of the value.
    """
    position = _apply(factors.matrix, point)
    m = factors.matrix.shape[-2]
    tiny = torch.finfo(point.dtype).tiny
    rounding = 64.0 * torch.finfo(torch.float64).eps / tolerance
    reach = rounding * torch.linalg.vector_norm(value.detach(), ord=torch.inf, dim=-1, keepdim=True)
    sizes = point.abs()
    parts = []
    if m:
        beyond = torch.maximum(position - high, low - position).clamp(min=0.0)
        bound = torch.where(position > high, high, low).abs()  # infinite only where nothing is beyond
        own = bound + _apply(factors.matrix.abs(), sizes)
        parts.append((beyond, own, factors.norms[..., :m]))
    if factors.equal.shape[-2]:
        gap = (_apply(factors.equal, point) - target).abs()
        parts.append((gap, _apply(factors.equal.abs(), sizes) + target.abs(), factors.norms[..., m:]))
    if not parts:
        return point.new_zeros(point.shape[0]), point.new_zeros(point.shape[0])
    worst = [(off / torch.addcmul(own, norms, reach).clamp(min=tiny)).amax(dim=-1) for off, own, norms in parts]
    off = torch.stack([part[0].amax(dim=-1) for part in parts]).amax(dim=0)
    own = torch.stack([torch.where(off > 0, own, 0.0).amax(dim=-1) for off, own, _ in parts]).amax(dim=0)
    clear = own > tolerance * reach.squeeze(-1)
    return torch.stack(worst).amax(dim=0), torch.where(clear, off / own, 0.0) / (64.0 * math.sqrt(point.shape[-1]))


def _infinite(bound: Tensor) -> Tensor:
    return torch.full_like(bound, torch.inf)


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """`matrix @ vector` for a shared `(k, n)` or a batched `(batch, k, n)` matrix and vectors `(batch, n)`."""
    return vector @ matrix.mT if matrix.dim() == 2 else (matrix @ vector[..., None]).squeeze(-1)


def _flat(bound: Tensor, shape: torch.Size, batch: int, m: int) -> Tensor:
    """Bounds of all samples `(m,)` or of every one `(batch, m)`, float64."""
    return bound.double() if bound.dim() == 1 else bound.double().expand(*shape[:-1], m).reshape(batch, m)


def _norms(matrix: Tensor) -> Tensor:
    return matrix.square().sum(dim=-1).sqrt()
