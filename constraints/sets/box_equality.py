"""A box cut by one linear equality: budgets with limits on every part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from constraints.errors import InfeasibleError, ShapeError, SpecificationError
from constraints.functional import Certificate, default_tolerance, project_box_equality
from constraints.sets.attainable import certify_context, settle_context
from constraints.sets.box import Box
from constraints.sets.constraint import ProjectableConstraint, as_buffer
from constraints.sets.fallback import Fallback, Raise

__all__ = ["BoxEquality"]


@final
class BoxEquality(ProjectableConstraint):
    r"""The set :math:`\{y : l \le y \le u,\ a^\top y = b\}`, projected exactly in :math:`O(n \log n)`.

    The `context` is an input-dependent `b`, `(*batch, 1)`; samples whose `b` no point of the box attains, or which is
    not finite, go to the fallback.

    Args:
        coefficients: `a`, `(n,)`, not all zero.
        target: fixed `b`, or None where each sample brings its own as the context.
        low: lower bounds, a number or `(n,)`.
        high: upper bounds, a number or `(n,)`.
        fallback: what to do with samples whose target no point attains: `Raise()`, `BestEffort()` (the point of the box
            that comes nearest to the target), `Interior(point)`.

    Raises:
        InfeasibleError: a fixed target that no point of the box attains.

    Example:
        >>> plan = BoxEquality([1.0, 1.0], target=1.5, low=0.0, high=1.0)
        >>> plan.project(torch.tensor([2.0, 0.0]))
        tensor([1.0000, 0.5000])
    """

    coefficients: Tensor
    target: Tensor | None
    equalities = 1
    closed_form = True

    def __init__(
        self,
        coefficients: Sequence[float] | Tensor,
        *,
        target: float | Tensor | None = None,
        low: float | Sequence[float] | Tensor = -math.inf,
        high: float | Sequence[float] | Tensor = math.inf,
        fallback: Fallback | None = None,
    ) -> None:
        super().__init__()
        a = as_buffer("BoxEquality", "coefficients", coefficients)
        if a.dim() != 1 or not a.any():
            raise SpecificationError(f"`BoxEquality` needs coefficients (n,) that are not all zero, got {a.tolist()}")
        self.box = Box(low=low, high=high)
        if self.box.size not in (None, a.shape[0]):
            raise ShapeError(f"`BoxEquality` needs {a.shape[0]} bounds, got {self.box.size}")
        reach = a.where(a != 0, 0.0)
        ends = torch.stack([reach * self.box.low, reach * self.box.high]).nan_to_num(
            nan=0.0, posinf=math.inf, neginf=-math.inf
        )
        least, most = float(ends.amin(dim=0).sum()), float(ends.amax(dim=0).sum())
        b = None if target is None else as_buffer("BoxEquality", "target", target)
        slack = (
            1e-12 * max([abs(float(b)), *(abs(e) for e in (least, most) if math.isfinite(e))]) if b is not None else 0.0
        )
        if b is not None and not least - slack <= float(b) <= most + slack:
            raise InfeasibleError(
                f"`BoxEquality` needs a target within [{least:g}, {most:g}], all that the box attains, got {float(b):g}"
            )
        self.size = a.shape[0]
        self.least, self.most = least, most  # what a point of the box can attain
        self.fallback = fallback or Raise()
        self.register_buffer("coefficients", a, persistent=False)
        self.register_buffer("target", b, persistent=False)

    def _target(self, value: Tensor, context: Tensor | None) -> Tensor:
        if context is not None:
            self._require_context(value, context)
            return context.to(value)
        if self.target is None:
            raise SpecificationError("`BoxEquality` without a fixed target needs one as context, got None")
        return self.target.to(value)

    def tolerances(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of the balance, `|a| (|y| + |bounds|) + |b|`, or of its bounds; of other bounds their own."""
        bounds = torch.stack([self.box.low, self.box.high]).abs()
        bounds = torch.where(bounds.isfinite(), bounds, 0.0).amax(dim=0).to(value)
        size = self.coefficients.to(value).abs() * (value.detach().abs() + bounds)
        weighed = size.sum(dim=-1, keepdim=True)
        weighed = weighed + self._target(value, context).detach().abs()
        own, weighs = self.box.tolerances(value), self.coefficients.to(value) != 0.0
        largest = torch.where(weighs, own, 0.0).amax(dim=-1)
        common = torch.maximum(default_tolerance(weighed, terms=value.shape[-1]), largest)[..., None]
        return torch.cat([common, torch.where(weighs, common, own)], dim=-1)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`a y - b`, then the box's residuals: `(*batch, 1 + n)`."""
        balance = (value * self.coefficients.to(value)).sum(dim=-1, keepdim=True) - self._target(value, context)
        return torch.cat([balance, self.box.residual(value)], dim=-1)

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """Nearest point `(*batch, n)`, and for each sample whether its target can be attained."""
        point, target = self._nearest(value, context)
        return point, certify_context(point, target.reshape(*target.shape[:-1], 1), self.least, self.most)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point of the box on the hyperplane, `(*batch, n)`; samples without one go to the fallback."""
        point, target = self._nearest(value, context)
        if context is None:
            return point
        return settle_context(self.fallback, "BoxEquality", point, target, self.least, self.most)

    def _nearest(self, value: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """The closed form, and the target it was given."""
        self._require_shape(value)
        target = self._target(value, context)
        low, high = self.box.low.to(value), self.box.high.to(value)
        return project_box_equality(value, low, high, self.coefficients.to(value), target), target
