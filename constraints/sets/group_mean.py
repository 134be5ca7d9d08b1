"""Conservation over groups: the mean of each group is given."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from constraints.errors import SpecificationError
from constraints.functional import Certificate, default_tolerance
from constraints.functional.balance_forms import balance_additive, balance_simplex
from constraints.sets.attainable import certify_context, settle_context
from constraints.sets.constraint import ProjectableConstraint, as_buffer
from constraints.sets.fallback import Fallback, Raise
from constraints.sets.grouping import Grouping

__all__ = ["GroupMean"]


@final
class GroupMean(ProjectableConstraint):
    r"""Arrays whose groups have given means: :math:`\{y : \frac1n \sum_{i \in g} y_i = m_g \;\forall g,\ y \ge l\}`.

    The groups are named by an einops pattern; the means are the `context`, `(*batch, *coarse)`. Without `low` the
    projection is the additive correction; with it, one projection onto a scaled simplex a group. Samples with a mean
    below `low`, which leaves no point, or with one that is not finite, go to the fallback.

    Args:
        pattern: as einops writes a reduction: `"(h a) (w b) -> h w"`; batch dimensions come before and are not named.
        low: lower bound of every value, or None.
        fallback: what to do with samples whose means leave no point: `Raise()`, `BestEffort()` (`low` in such groups),
            `Interior(point)`.
        **sizes: sizes of the axes that are reduced, and of others where they are fixed.

    Raises:
        SpecificationError: a pattern that names no groups, or sizes that do not fit it.
        NonFiniteError: a bound that is not finite.

    Example:
        >>> blocks = GroupMean("(h a) (w b) -> h w", a=2, b=2)
        >>> blocks.project(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0]]))
        tensor([[3.5000, 4.5000],
                [5.5000, 6.5000]])
        >>> GroupMean("(w b) -> w", low=0.0, b=2).project(torch.tensor([-1.0, 2.0]), torch.tensor([1.0]))
        tensor([0., 2.])
    """

    low: Tensor | None
    closed_form = True

    def __init__(
        self, pattern: str, *, low: float | None = None, fallback: Fallback | None = None, **sizes: int
    ) -> None:
        super().__init__()
        self.fallback = fallback or Raise()
        self.least = -math.inf if low is None else float(low)
        self.grouping = Grouping.parse(pattern, sizes)
        self.event_dim, self.context_dim = self.grouping.event_dim, len(self.grouping.coarse)
        bound = None if low is None else as_buffer("GroupMean", "low", low)
        if bound is not None and bound.dim():
            raise SpecificationError(f"`GroupMean` needs one number for low, got shape {tuple(bound.shape)}")
        self.register_buffer("low", bound, persistent=False)
        self.equalities = sys.maxsize if low is None else 0  # all that there are, or none: see `residual`

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Mean of each group less what it must be, `(*batch, groups)`.

        With a bound: the size of that gap, then `low - y`, `(*batch, groups + cells)`, all as inequalities, because how
        many groups there are depends on the array.
        """
        grouped, mean = self._grouped(value, context)
        gap = grouped.mean(dim=-1) - mean
        if self.low is None:
            return gap
        return torch.cat([gap.abs(), self.low.to(value) - grouped.flatten(start_dim=-2)], dim=-1)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of the largest group, `(*batch,)`."""
        grouped, mean = self._grouped(value, context)
        sizes = grouped.detach().abs().mean(dim=-1) + mean.detach().abs()
        cells = grouped.detach().abs().amax(dim=-1)
        if self.low is not None:
            cells = cells + self.low.to(value).abs()
        return torch.maximum(default_tolerance(sizes, terms=self.grouping.size), default_tolerance(cells))

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """Nearest array with the means, of the shape of `value`, and for each sample whether there is one."""
        point, mean = self._nearest(value, context)
        return point, certify_context(point, mean, self.least, math.inf, event_dim=self.event_dim)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest array with the means, of the shape of `value`; samples without one go to the fallback."""
        return self._settled(*self._nearest(value, context))

    def balance(self, value: Tensor, context: Tensor | None, form: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """An array with the means, by another form than the nearest point.

        Args:
            value: `(*batch, *fine)`.
            context: the means, `(*batch, *coarse)`.
            form: from groups `(*batch, groups, members)` and their means `(*batch, groups)` to groups.
        """
        grouped, mean = self._grouped(value, context)
        return self._settled(self.grouping.scatter(form(grouped, mean), value), mean)

    def _nearest(self, value: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """The closed form, and the means, `(*batch, groups)`."""
        grouped, mean = self._grouped(value, context)
        if self.low is None:
            obeying = balance_additive(grouped, mean)
        else:
            obeying = balance_simplex(grouped, mean, self.low.to(value))
        return self.grouping.scatter(obeying, value), mean

    def _settled(self, point: Tensor, mean: Tensor) -> Tensor:
        return settle_context(self.fallback, "GroupMean", point, mean, self.least, math.inf, event_dim=self.event_dim)

    def _grouped(self, value: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if context is None:
            raise SpecificationError("`GroupMean` needs the means of the groups as context, got None")
        self._require_numbers(value)
        mean = self.grouping.flatten(context.to(value), value)
        self._require_context(value, mean, mean.shape[-1])
        return self.grouping.gather(value), mean

    def _require_shape(self, value: Tensor) -> None:
        self._require_numbers(value)
        self.grouping.lengths(value)  # which says what does not fit

    def extra_repr(self) -> str:
        """Pattern, sizes and bound."""
        sizes = ", ".join(f"{axis}={size}" for axis, size in self.grouping.sizes.items())
        return f"{self.grouping.pattern!r}, {sizes}" + ("" if self.low is None else f", low={float(self.low)}")
