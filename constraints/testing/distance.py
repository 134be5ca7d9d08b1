"""The law that violations grow with the distance from the set."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from constraints.sets import ProjectableConstraint

__all__ = ["law_distance"]

SHARES = (1e-2, 1e-3, 1e-4, 1e-5)
"""Distances at which a set is tried, of its size, each a tenth of the one before."""

TOLD = 1e-3
"""The least of them that `check` must tell from rounding in float32."""

FALL = 30.0
"""A violation that falls more than this to a tenth of the distance, at all distances, is of a power above 1."""


def law_distance(constraint: ProjectableConstraint, values: Tensor, context: Tensor | None = None) -> None:
    """A point next to the set is outside: `check` tells, and the violation falls no faster than the distance.

    Points are tried on the way from the projection to the value, at 1e-2 to 1e-5 of the size of both. A residual that
    is squared fails: its violation at a distance of 1e-3 is 1e-6, which is rounding in float32.

    Args:
        constraint: the set.
        values: `(batch, *event)`, some of them outside.
        context: the set's input-dependent parameter, where it has one.

    Example:
        >>> from constraints.sets import Box
        >>> class Squared(Box):
        ...     def residual(self, value, context=None):
        ...         return super().residual(value, context).clamp(min=0.0) ** 2
        >>> law_distance(Squared(high=1.0), torch.tensor([[2.0, 0.0]]))
        Traceback (most recent call last):
        AssertionError: distance (torch.float32): check takes a point outside by 0.001 of its size for inside, ...
    """
    own = None if context is None else context.double()
    value = values.double()
    point = constraint.project(value, own).detach()
    away = _largest(constraint, value - point)
    size = torch.maximum(away, _largest(constraint, point))
    outside = away > 1e-3 * size
    factor = torch.where(outside, size / torch.where(outside, away, 1.0), 0.0)  # those inside stay where they are
    step = (value - point) * factor.reshape(*factor.shape, *[1] * constraint.event_dim)
    seen = []
    for share in SHARES:
        near = point + share * step
        if not constraint.convex:  # of a convex set, the point is the nearest one on all of the way
            outside = outside & (_largest(constraint, constraint.project(near, own).detach() - near) > share * size / 2)
        seen.append(constraint.violation(near, own).detach())
        for dtype in (torch.float32, torch.float64) if share >= TOLD else ():
            passes = constraint.check(near.to(dtype), None if own is None else own.to(dtype)) & outside
            assert not bool(passes.any()), (
                f"distance ({dtype}): check takes a point outside by {share:g} of its size for inside, with a "
                f"violation of {float(seen[-1][passes].max()):.3g}"
            )
    tiny = torch.finfo(away.dtype).tiny
    falls = torch.stack([more / less.clamp(min=tiny) for more, less in pairwise(seen)]).amin(dim=0)
    assert bool((falls <= FALL)[outside].all()), (
        f"distance: to a tenth of the distance, the violation falls {float(falls[outside].max()):.3g}-fold: expected "
        f"about 10, the residual is of a power above 1"
    )


def _largest(constraint: ProjectableConstraint, value: Tensor) -> Tensor:
    """The largest number of each value, `(*batch,)`."""
    return value.flatten(-constraint.event_dim).abs().amax(dim=-1)
