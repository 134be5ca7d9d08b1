"""The nearest common point of convex sets, of which only the projections are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from constraints.functional.cutting_planes import shifts_by_planes

__all__ = ["Projection", "common_point"]

Projection = Callable[[Tensor, Tensor], Tensor]
"""From values `(batch, n)` and a context `(batch, k)` (empty where there is none) to nearest points `(batch, n)`."""

Walk = Callable[[Tensor, Tensor, Sequence[Projection], Sequence[Tensor]], Tensor]
"""From values and shifts, with the projections and their contexts, to shifts nearer to the solution."""

SWEEPS = (20, 100)  # of Dykstra's algorithm, each followed by a try of Newton's method
DESCENTS = (500, 4000)  # of an accelerated one, for samples that are left: Dykstra's may stall for long
STEPS = 8  # of Newton's method


def common_point(value: Tensor, projections: Sequence[Projection], contexts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    r"""Nearest point of :math:`\bigcap_i C_i`, and how far it is from being that.

    It is :math:`y = v - \sum_j p_j` where :math:`P_i(y + p_i) = y` for every i: then each :math:`p_i` is normal to its
    set at `y`. Dykstra's algorithm, where that stalls (as from far outside) supporting hyperplanes, and at last an
    accelerated gradient method on the dual lead near such `p`; Newton's method on these equations, whose derivatives
    are those of the projections, ends it to rounding. Twice differentiable, to the value and the contexts, by the
    implicit function theorem.

    Args:
        value: `v`, `(batch, n)`.
        projections: onto each set, differentiable.
        contexts: of each set, `(batch, k_i)`.

    Returns:
        The point `(batch, n)`, and the largest :math:`|P_i(y + p_i) - y|` over the size of value and point
        `(batch,)`: where this is about 0 the point is the nearest of the intersection; it stays away from 0 where there
        is none.

    Source: Boyle and Dykstra, "A method for finding projections onto the intersection of convex sets in Hilbert
    spaces", 1986, doi:10.1007/978-1-4613-9940-7_3.

    Example:
        >>> half = lambda v, c: v.clamp(max=1.0)
        >>> flat = lambda v, c: v - v.mean(-1, keepdim=True)
        >>> none = torch.zeros(1, 0)
        >>> common_point(torch.tensor([[3.0, 0.0]]), [half, flat], [none, none])[0]
        tensor([[ 1., -1.]])
    """
    with torch.no_grad():
        shift, misfit = _solve(value, projections, contexts)
    if torch.is_grad_enabled() and (value.requires_grad or any(c.requires_grad for c in contexts)):
        return _CommonPoint.apply(list(projections), shift, value, *contexts), misfit  # type: ignore[no-untyped-call]
    return value - shift.sum(dim=1), misfit


def _solve(value: Tensor, projections: Sequence[Projection], contexts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """`p`, `(batch, sets, n)`, and the misfit of its equations `(batch,)`."""
    shift = value.new_zeros(value.shape[0], len(projections), value.shape[1])
    misfit = _misfit(value, shift, projections, contexts)
    walked = shift  # the shifts before Newton's method, whose steps do not change them
    close = 1e2 * torch.finfo(value.dtype).eps
    sweeps: list[Walk] = [partial(_sweep, times=times) for times in SWEEPS]
    descents: list[Walk] = [partial(_descend, times=times) for times in DESCENTS]
    for walk in (*sweeps, _cut, *descents):
        left = (~(misfit <= close)).nonzero().squeeze(-1)
        if not len(left):
            break
        v, p, c = value[left], walked[left], [context[left] for context in contexts]
        p = walk(v, p, projections, c)
        walked = walked.index_copy(0, left, p)
        best, least = p, _misfit(v, p, projections, c)
        for _ in range(STEPS):
            p = _newton(v, p, projections, c)
            gap = _misfit(v, p, projections, c)
            better = gap < least
            best, least = torch.where(better[:, None, None], p, best), torch.where(better, gap, least)
            if bool((least <= close).all()):
                break
        shift, misfit = shift.index_copy(0, left, best), misfit.index_copy(0, left, least)
    return shift, misfit


def _cut(value: Tensor, shift: Tensor, projections: Sequence[Projection], contexts: Sequence[Tensor]) -> Tensor:
    """The cutting-plane method, which starts from the value and not from the shifts."""
    return shifts_by_planes(value, projections, contexts)


def _sweep(
    value: Tensor, shift: Tensor, projections: Sequence[Projection], contexts: Sequence[Tensor], *, times: int
) -> Tensor:
    """Rounds of Dykstra's algorithm."""
    parts = list(shift.unbind(dim=1))
    for _ in range(times):
        point = value - torch.stack(parts).sum(dim=0)
        for i, (project, context) in enumerate(zip(projections, contexts, strict=True)):
            ahead = point + parts[i]
            point = project(ahead, context)
            parts[i] = ahead - point
    return torch.stack(parts, dim=1)


def _descend(
    value: Tensor, shift: Tensor, projections: Sequence[Projection], contexts: Sequence[Tensor], *, times: int
) -> Tensor:
    """Steps of the accelerated proximal gradient method on the dual, begun anew every now and then."""
    count = len(projections)
    ahead, weight = shift, 1.0
    for step in range(times):
        aim = count * ahead + (value - ahead.sum(dim=1))[:, None]
        ends = [
            project(aim[:, i], context) for i, (project, context) in enumerate(zip(projections, contexts, strict=True))
        ]
        after = (aim - torch.stack(ends, dim=1)) / count
        following = 1.0 if step % 100 == 99 else (1.0 + math.sqrt(1.0 + 4.0 * weight * weight)) / 2.0
        ahead = torch.lerp(shift, after, 1.0 + (weight - 1.0) / following)
        shift, weight = after, following
    return shift


def _equations(value: Tensor, shift: Tensor, projections: Sequence[Projection], contexts: Sequence[Tensor]) -> Tensor:
    """`P_i(y + p_i) - y`, `(batch, sets, n)`."""
    point = value - shift.sum(dim=1)
    ends = [
        project(point + shift[:, i], context)
        for i, (project, context) in enumerate(zip(projections, contexts, strict=True))
    ]
    return torch.stack(ends, dim=1) - point[:, None]


def _misfit(value: Tensor, shift: Tensor, projections: Sequence[Projection], contexts: Sequence[Tensor]) -> Tensor:
    gap = _equations(value, shift, projections, contexts).abs().amax(dim=(1, 2))
    # Not of the shifts: huge ones that cancel would fit anything.
    size = torch.maximum(value.abs().amax(dim=-1), (value - shift.sum(dim=1)).abs().amax(dim=-1))
    return (gap / size.clamp(min=torch.finfo(size.dtype).tiny)).nan_to_num(nan=torch.inf)


def _newton(value: Tensor, shift: Tensor, projections: Sequence[Projection], contexts: Sequence[Tensor]) -> Tensor:
    """One Newton step on the equations."""
    point = value - shift.sum(dim=1)
    slopes = [
        _slope(project, (point + shift[:, i]).detach(), context)[0]
        for i, (project, context) in enumerate(zip(projections, contexts, strict=True))
    ]
    gap = _equations(value, shift, projections, contexts)
    return shift - _unravel(_system(slopes), gap)


def _slope(project: Projection, at: Tensor, context: Tensor, *, again: bool = False) -> tuple[Tensor, Tensor]:
    """The derivative `(batch, n, n)` of a projection, and the projected point."""
    with torch.enable_grad():
        at = at if at.requires_grad else at.detach().requires_grad_()
        end = project(at, context)
        rows = [
            torch.autograd.grad(end[:, j].sum(), at, retain_graph=True, create_graph=again)[0]
            for j in range(at.shape[1])
        ]
    return torch.stack(rows, dim=1), end


def _system(slopes: Sequence[Tensor]) -> Tensor:
    """The derivative of the equations to `p`, `(batch, sets n, sets n)`: `I` on the diagonal, else `I - D_i`."""
    eye = torch.eye(slopes[0].shape[-1], dtype=slopes[0].dtype, device=slopes[0].device).expand_as(slopes[0])
    blocks = [
        torch.cat([eye if i == j else eye - slope for j in range(len(slopes))], dim=-1)
        for i, slope in enumerate(slopes)
    ]
    return torch.cat(blocks, dim=-2)


def _unravel(system: Tensor, right: Tensor) -> Tensor:
    """A solution, `(batch, sets, n)`: where sets share a normal only the sum of their parts is determined.

    Where the system is too singular to be solved directly, the least in the sense of least squares.
    """
    flat = right.flatten(1)
    found: Tensor = torch.linalg.solve_ex(system, flat)[0]
    rest = (system @ found[..., None]).squeeze(-1) - flat
    wrong = ~(rest.abs().amax(dim=-1) <= 1e-6 * flat.abs().amax(dim=-1))
    wrong = wrong | ~(found.abs().amax(dim=-1) <= 1e6 * flat.abs().amax(dim=-1))
    if bool(wrong.any()):
        least = (torch.linalg.pinv(system[wrong], rtol=1e-9) @ flat[wrong][..., None]).squeeze(-1)
        found = found.index_put((wrong.nonzero().squeeze(-1),), least)
    return found.view_as(right)


class _CommonPoint(torch.autograd.Function):
    """`y = v - sum p` with `p` known; backward solves the transposed Newton system once."""

    @staticmethod
    def forward(ctx: Any, projections: list[Projection], shift: Tensor, value: Tensor, *contexts: Tensor) -> Tensor:
        ctx.projections = projections
        ctx.save_for_backward(shift, value, *contexts)
        return value - shift.sum(dim=1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        shift, value, *contexts = ctx.saved_tensors
        again = torch.is_grad_enabled()
        if again:  # what follows is differentiated: the solution must follow the value, to first order
            with torch.no_grad():
                ahead = _newton(value, shift, ctx.projections, contexts)
                system = _system(
                    [
                        _slope(p, value - shift.sum(dim=1) + shift[:, i], c)[0]
                        for i, (p, c) in enumerate(zip(ctx.projections, contexts, strict=True))
                    ]
                )
            gap = _equations(value, shift, ctx.projections, contexts)
            moved = _unravel(system, gap)
            shift = ahead + (moved.detach() - moved)
        point = value - shift.sum(dim=1)
        slopes, ends = [], []
        with torch.enable_grad():  # the point, too, depends on the contexts; here only what they do to it directly
            contexts = [context.view_as(context) for context in contexts]
        for i, (project, context) in enumerate(zip(ctx.projections, contexts, strict=True)):
            slope, end = _slope(project, point + shift[:, i], context, again=again)
            slopes.append(slope)
            ends.append(end)
        right = grad[:, None].expand(-1, len(slopes), -1)
        weight = _unravel(_system(slopes).mT, right)
        pulled = [(slope.mT @ weight[:, i, :, None]).squeeze(-1) for i, slope in enumerate(slopes)]
        to_value = grad + torch.stack(pulled).sum(dim=0) - weight.sum(dim=1)
        to_contexts = [
            torch.autograd.grad(end, context, weight[:, i], create_graph=again, retain_graph=True, allow_unused=True)[0]
            if context.requires_grad
            else None
            for i, (end, context) in enumerate(zip(ends, contexts, strict=True))
        ]
        return None, None, to_value, *to_contexts
