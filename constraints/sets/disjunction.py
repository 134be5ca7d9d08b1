"""Unions: at least one of several sets holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.functional import Certificate
from constraints.sets.constraint import ProjectableConstraint
from constraints.sets.fallback import Certifying, Fallback, Raise, certified_point

__all__ = ["Disjunction"]


@final
class Disjunction(ProjectableConstraint):
    r"""The union :math:`\bigcup_k S_k` of a few sets: "if fast then far" is "slow, or far".

    The projection tries every branch and takes the nearest point: exact where each branch's projection is. A union is
    not convex: the projection jumps where two branches are equally near, and its gradient is that of the branch taken.
    A branch that is empty for a sample is left out for it; a sample for which all are goes to the fallback.

    Args:
        branches: at least two sets of vectors of one size; a `context` is given to each of them. Their own fallbacks
            are not used.
        fallback: what to do with samples for which no branch has a point: `Raise()`, `BestEffort()`, `Interior(point)`.

    Raises:
        SpecificationError: fewer than two branches, or branches without a projection.
        ShapeError: branches of different sizes.

    Example:
        >>> from constraints.sets import Box
        >>> apart = Disjunction([Box(high=-1.0), Box(low=1.0)])
        >>> apart.project(torch.tensor([[0.2], [-0.3], [2.0]]))
        tensor([[ 1.],
                [-1.],
                [ 2.]])
    """

    convex = False

    def __init__(self, branches: Sequence[ProjectableConstraint], *, fallback: Fallback | None = None) -> None:
        super().__init__()
        if len(branches) < 2 or not all(isinstance(b, ProjectableConstraint) for b in branches):
            kinds = [type(b).__name__ for b in branches]
            raise SpecificationError(f"`Disjunction` needs at least two sets that can be projected onto, got {kinds}")
        sizes = {b.size for b in branches if b.size is not None}
        if len(sizes) > 1 or any(b.event_dim != 1 for b in branches):
            raise ShapeError(f"`Disjunction` needs sets of vectors of one size, got sizes {sorted(sizes)}")
        self.branches = nn.ModuleList(branches)
        self.size = sizes.pop() if sizes else None
        self.closed_form = all(b.closed_form or not isinstance(b, Certifying) for b in branches)
        self.fallback = fallback or Raise()

    def _each(self) -> list[ProjectableConstraint]:
        return [b for b in self.branches if isinstance(b, ProjectableConstraint)]

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Of the branch that is nearest to hold, its worst condition, `(*batch, 1)`: <= 0 inside."""
        worst = [_signed(b, b.residual(value, context)).amax(dim=-1, keepdim=True) for b in self._each()]
        return torch.cat(worst, dim=-1).amin(dim=-1, keepdim=True)

    def residual_where(self, value: Tensor, context: Tensor | None, needed: Callable[[Tensor], Tensor]) -> Tensor:
        """See `Constraint.residual_where`: of the branch that is nearest to hold, and of its worst condition alone."""
        if not torch.is_grad_enabled():
            return self.residual(value, context)
        with torch.no_grad():
            whole = self.residual(value, context)
            asked = needed(whole)
        worst = []
        for branch in self._each():

            def decides(residual: Tensor, branch: ProjectableConstraint = branch) -> Tensor:
                return asked & (_signed(branch, residual) == whole)

            residual = branch.residual_where(value, context, decides)
            worst.append(_signed(branch, residual).amax(dim=-1, keepdim=True))
        return torch.cat(worst, dim=-1).amin(dim=-1, keepdim=True)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The largest of the branches' tolerances; where no branch holds, the least."""
        each = torch.stack([branch.tolerance(value, context) for branch in self._each()])
        violation = torch.stack([branch.violation(value, context).detach() for branch in self._each()])
        return torch.where((violation <= each).any(dim=0), each.amax(dim=0), each.amin(dim=0))

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """The nearest point of the nearest branch `(*batch, n)`, and whether some branch has one."""
        self._require_shape(value)
        points, certificates = zip(*(certified_point(branch, value, context) for branch in self._each()), strict=True)
        every = torch.stack(points)
        violation, optimal, empty = (
            torch.stack([getattr(c, part) for c in certificates]) for part in ("violation", "optimal", "empty")
        )
        tolerance = max(c.tolerance for c in certificates)
        inside = violation <= tolerance
        distance = (every.detach().double() - value.detach().double()).square().sum(dim=-1)
        # Where no branch has a point, the one that misses by least.
        missed = violation.nan_to_num(nan=torch.inf).to(distance)
        key = torch.where(inside.any(dim=0), torch.where(inside, distance, torch.inf), missed)
        nearest = key.argmin(dim=0, keepdim=True)
        point = every.gather(0, nearest[..., None].expand(1, *value.shape)).squeeze(0)
        certain = inside.any(dim=0) & (optimal | empty).all(dim=0)
        least = violation.gather(0, nearest).squeeze(0)
        return point, Certificate(least, tolerance, certain, empty.all(dim=0))

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The nearest point of the nearest branch, `(*batch, n)`; samples without one go to the fallback."""
        return self.fallback.settle("Disjunction", *self.solve(value, context))


def _signed(branch: ProjectableConstraint, residual: Tensor) -> Tensor:
    """How far each condition of a branch is from holding, `(*batch, m)`."""
    k = branch.equalities
    return torch.cat([residual[..., :k].abs(), residual[..., k:]], dim=-1)
