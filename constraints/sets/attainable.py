"""Whether the number that a sample brings leaves a closed-form set a point, at the price of one comparison."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from constraints.functional import Certificate, certified_tolerance
from constraints.sets.fallback import Fallback, is_collecting

__all__ = ["certify_context", "is_attainable", "settle_context"]


def certify_context(point: Tensor, context: Tensor, low: float, high: float, *, event_dim: int = 1) -> Certificate:
    """What a closed form knows of its points: they are the nearest ones where the context can be attained.

    Args:
        point: what the closed form gave, `(*batch, *event)`.
        context: the numbers that each sample brings, `(*batch, k)`, all of which must lie between the two ends.
        low: the least that can be attained; `-inf` for any finite number.
        high: the most that can be attained; `inf` for any finite number.
        event_dim: how many dimensions a value has.

    Returns:
        The violation is how far beyond the ends the context is, relative to them and to itself; NaN where it is not
        finite. Such samples are no proof of an empty set, the others are.

    Example:
        >>> certify_context(torch.zeros(2, 3), torch.tensor([[1.0], [-1.0]]), 0.0, torch.inf).empty
        tensor([False,  True])
    """
    given = context.detach()
    beyond = torch.maximum(low - given, given - high).clamp(min=0.0)
    relative = torch.where(given.isfinite(), beyond / given.abs().clamp(min=_size(low, high, given.dtype)), torch.nan)
    batch = point.shape[: point.dim() - event_dim]
    violation = relative.amax(dim=-1).expand(batch)
    tolerance = certified_tolerance(given.dtype)
    return Certificate(violation, tolerance, violation <= tolerance, violation > tolerance)


def settle_context(
    fallback: Fallback, owner: str, point: Tensor, context: Tensor, low: float, high: float, *, event_dim: int = 1
) -> Tensor:
    """The points to return: those given, but for samples whose context cannot be attained.

    No certificate is made where all is well and nobody collects them.

    Args:
        fallback: what to do with samples whose context cannot be attained.
        owner: the name of the set.
        point: what the closed form gave, `(*batch, *event)`.
        context: see `certify_context`.
        low: see `certify_context`.
        high: see `certify_context`.
        event_dim: see `certify_context`.
    """
    if is_attainable(context, low, high):
        return point
    certificate = certify_context(point, context, low, high, event_dim=event_dim)
    unknown = certificate.violation.isnan().reshape(*certificate.violation.shape, *[1] * event_dim)
    return fallback.settle(
        owner, torch.where(unknown & ~point.isfinite(), 0.0, point), certificate
    )  # not the value's fault


def is_attainable(context: Tensor, low: float, high: float) -> bool:
    """Whether all samples' numbers are known to lie between the ends, by one comparison.

    False where nothing can be looked at (under `torch.compile` and `torch.export`) and where certificates are
    collected: `certify_context` then says more.
    """
    if torch.compiler.is_compiling() or is_collecting():
        return False
    least, most = _ends(low, high, context.dtype)
    given = context.detach()
    return torch.equal(given.clamp(least, most), given)  # NaN equals nothing


@lru_cache(maxsize=1024)
def _ends(low: float, high: float, dtype: torch.dtype) -> tuple[float, float]:
    """The ends as far as rounding stretches them, finite."""
    slack, most = certified_tolerance(dtype) * _size(low, high, dtype), torch.finfo(dtype).max
    return max(low - slack, -most), min(high + slack, most)


def _size(low: float, high: float, dtype: torch.dtype) -> float:
    """What a gap is relative to: the ends, and, about 0, what rounding in float64 leaves of numbers of size one."""
    rounding = 64.0 * torch.finfo(torch.float64).eps / certified_tolerance(dtype)
    return max([rounding, *[abs(end) for end in (low, high) if math.isfinite(end)]])
