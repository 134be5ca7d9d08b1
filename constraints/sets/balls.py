"""Balls: what lies within a radius of a centre, in the l1, l2 or maximum norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import final

from torch import Tensor

from constraints.errors import InfeasibleError, ShapeError, SpecificationError
from constraints.functional import (
    Certificate,
    default_tolerance,
    gauge_l1_ball,
    gauge_l2_ball,
    gauge_linf_ball,
    project_l1_ball,
    project_l2_ball,
    project_linf_ball,
    safe_norm,
    squash_l1_ball,
    squash_l2_ball,
    squash_linf_ball,
)
from constraints.sets.attainable import certify_context, is_attainable
from constraints.sets.constraint import ProjectableConstraint, as_buffer
from constraints.sets.fallback import Fallback, Raise

__all__ = ["L1Ball", "L2Ball", "LinfBall"]

Map = Callable[[Tensor, Tensor, Tensor], Tensor]  # value, centre, radius


@final
class L1Ball(ProjectableConstraint):
    r"""The ball :math:`\{y : \lVert y - c\rVert_1 \le r\}`.

    The `context` is an input-dependent radius, `(*batch, 1)`, >= 0; without one the fixed radius holds. Samples with a
    negative radius, or one that is not finite, go to the fallback.

    Args:
        radius: `r > 0`, or None where each sample brings its own as the context.
        center: `c`, a number for every coordinate or `(n,)`.
        fallback: what to do with samples whose radius leaves no point: `Raise()`, `BestEffort()` (the centre),
            `Interior(point)`.

    Raises:
        InfeasibleError: a radius that is not positive.

    Example:
        >>> import torch
        >>> L1Ball(1.0).project(torch.tensor([2.0, -1.5, 0.1]))
        tensor([ 0.7500, -0.2500,  0.0000])
    """

    radius: Tensor | None
    center: Tensor
    closed_form = True

    def __init__(
        self,
        radius: float | Tensor | None = None,
        *,
        center: float | Sequence[float] | Tensor = 0.0,
        fallback: Fallback | None = None,
    ) -> None:
        super().__init__()
        self.fallback = fallback or Raise()
        radius_, center_ = _checked("L1Ball", radius, center)
        self.size = None if center_.dim() == 0 else center_.shape[0]
        self.register_buffer("radius", radius_, persistent=False)
        self.register_buffer("center", center_, persistent=False)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of a sum of `|y - c|`, `(*batch,)`."""
        return _tolerance(value, self.center, _radius(self, value, context), terms=value.shape[-1])

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`|y - c|_1 - r`, `(*batch, 1)`."""
        return (value - self.center.to(value)).abs().sum(dim=-1, keepdim=True) - _radius(self, value, context)

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """Nearest point of the ball, `(*batch, n)`, and for each sample whether its radius leaves one."""
        return _certified(self, project_l1_ball, value, context)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point of the ball, `(*batch, n)`; samples whose radius leaves none go to the fallback."""
        return _mapped(self, project_l1_ball, value, context)

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Map smoothly onto the open ball, `(*batch, n)`; 0 goes to the centre."""
        return _mapped(self, squash_l1_ball, value, context)

    def gauge(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Where the ray from an interior point leaves, `(*batch,)`."""
        return gauge_l1_ball(origin, direction, self.center.to(direction), _radius(self, direction, None))


@final
class L2Ball(ProjectableConstraint):
    r"""The ball :math:`\{y : \lVert y - c\rVert_2 \le r\}`.

    The `context` is an input-dependent radius, `(*batch, 1)`, >= 0; without one the fixed radius holds. Samples with a
    negative radius, or one that is not finite, go to the fallback.

    Args:
        radius: `r > 0`, or None where each sample brings its own as the context.
        center: `c`, a number for every coordinate or `(n,)`.
        fallback: what to do with samples whose radius leaves no point: `Raise()`, `BestEffort()` (the centre),
            `Interior(point)`.

    Raises:
        InfeasibleError: a radius that is not positive.

    Example:
        >>> import torch
        >>> L2Ball(1.0).project(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """

    radius: Tensor | None
    center: Tensor
    closed_form = True

    def __init__(
        self,
        radius: float | Tensor | None = None,
        *,
        center: float | Sequence[float] | Tensor = 0.0,
        fallback: Fallback | None = None,
    ) -> None:
        super().__init__()
        self.fallback = fallback or Raise()
        radius_, center_ = _checked("L2Ball", radius, center)
        self.size = None if center_.dim() == 0 else center_.shape[0]
        self.register_buffer("radius", radius_, persistent=False)
        self.register_buffer("center", center_, persistent=False)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of a sum of squares, `(*batch,)`."""
        return _tolerance(value, self.center, _radius(self, value, context), terms=value.shape[-1])

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`|y - c|_2 - r`, `(*batch, 1)`."""
        return safe_norm(value - self.center.to(value)) - _radius(self, value, context)

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """Nearest point of the ball, `(*batch, n)`, and for each sample whether its radius leaves one."""
        return _certified(self, project_l2_ball, value, context)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point of the ball, `(*batch, n)`; samples whose radius leaves none go to the fallback."""
        return _mapped(self, project_l2_ball, value, context)

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Map smoothly onto the open ball, `(*batch, n)`; 0 goes to the centre."""
        return _mapped(self, squash_l2_ball, value, context)

    def gauge(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Where the ray from an interior point leaves, `(*batch,)`."""
        return gauge_l2_ball(origin, direction, self.center.to(direction), _radius(self, direction, None))


@final
class LinfBall(ProjectableConstraint):
    r"""The ball :math:`\{y : \lVert y - c\rVert_\infty \le r\}`.

    The `context` is an input-dependent radius, `(*batch, 1)`, >= 0; without one the fixed radius holds. Samples with a
    negative radius, or one that is not finite, go to the fallback.

    Args:
        radius: `r > 0`, or None where each sample brings its own as the context.
        center: `c`, a number for every coordinate or `(n,)`.
        fallback: what to do with samples whose radius leaves no point: `Raise()`, `BestEffort()` (the centre),
            `Interior(point)`.

    Raises:
        InfeasibleError: a radius that is not positive.

    Example:
        >>> import torch
        >>> LinfBall(1.0).project(torch.tensor([3.0, -0.5]))
        tensor([ 1.0000, -0.5000])
    """

    radius: Tensor | None
    center: Tensor
    closed_form = True

    def __init__(
        self,
        radius: float | Tensor | None = None,
        *,
        center: float | Sequence[float] | Tensor = 0.0,
        fallback: Fallback | None = None,
    ) -> None:
        super().__init__()
        self.fallback = fallback or Raise()
        radius_, center_ = _checked("LinfBall", radius, center)
        self.size = None if center_.dim() == 0 else center_.shape[0]
        self.register_buffer("radius", radius_, persistent=False)
        self.register_buffer("center", center_, persistent=False)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of `y - c`, `(*batch,)`."""
        return _tolerance(value, self.center, _radius(self, value, context), terms=1)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`|y - c| - r`, `(*batch, n)`."""
        return (value - self.center.to(value)).abs() - _radius(self, value, context)

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """Nearest point of the ball, `(*batch, n)`, and for each sample whether its radius leaves one."""
        return _certified(self, project_linf_ball, value, context)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point of the ball, `(*batch, n)`; samples whose radius leaves none go to the fallback."""
        return _mapped(self, project_linf_ball, value, context)

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Map smoothly onto the open ball, `(*batch, n)`; 0 goes to the centre."""
        return _mapped(self, squash_linf_ball, value, context)

    def gauge(self, origin: Tensor, direction: Tensor) -> Tensor:
        """Where the ray from an interior point leaves, `(*batch,)`."""
        return gauge_linf_ball(origin, direction, self.center.to(direction), _radius(self, direction, None))


def _checked(
    owner: str, radius: float | Tensor | None, center: float | Sequence[float] | Tensor
) -> tuple[Tensor | None, Tensor]:
    c = as_buffer(owner, "center", center)
    if c.dim() > 1:
        raise ShapeError(f"`{owner}` needs a center of one number or (n,), got shape {tuple(c.shape)}")
    if radius is None:
        return None, c
    r = as_buffer(owner, "radius", radius)
    if r.dim() != 0:
        raise ShapeError(f"`{owner}` needs one number as radius, got shape {tuple(r.shape)}")
    if r <= 0:
        raise InfeasibleError(f"`{owner}` needs radius > 0, got radius={float(r)}")
    return r, c


def _radius(ball: L1Ball | L2Ball | LinfBall, value: Tensor, context: Tensor | None) -> Tensor:
    if context is not None:
        ball._require_context(value, context)
        return context.to(value)
    if ball.radius is None:
        raise SpecificationError(f"`{type(ball).__name__}` without a fixed radius needs one as context, got None")
    return ball.radius.to(value)


def _certified(
    ball: L1Ball | L2Ball | LinfBall, onto: Map, value: Tensor, context: Tensor | None
) -> tuple[Tensor, Certificate]:
    """A map onto the ball, and for each sample whether the ball has a point."""
    ball._require_shape(value)
    radius = _radius(ball, value, context)
    point = onto(value, ball.center.to(value), radius.clamp(min=0.0))
    return point, certify_context(point, radius.reshape(*radius.shape[:-1], 1), 0.0, math.inf)


def _mapped(ball: L1Ball | L2Ball | LinfBall, onto: Map, value: Tensor, context: Tensor | None) -> Tensor:
    """A map onto the ball; samples whose ball has no point go to the fallback."""
    ball._require_shape(value)
    radius = _radius(ball, value, context)
    if context is None or is_attainable(radius, 0.0, math.inf):
        return onto(value, ball.center.to(value), radius)
    point = onto(value, ball.center.to(value), radius.clamp(min=0.0))
    return ball.fallback.settle(type(ball).__name__, point, certify_context(point, radius, 0.0, math.inf))


def _tolerance(value: Tensor, center: Tensor, radius: Tensor, *, terms: int) -> Tensor:
    parts = value.detach().abs() + center.to(value).abs() + radius.detach().abs()
    return default_tolerance(parts, terms=terms)
