"""Unions: at least one of several sets holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.sets.constraint import ProjectableConstraint

__all__ = ["Disjunction"]


@final
class Disjunction(ProjectableConstraint):
    r"""The union :math:`\bigcup_k S_k` of a few sets: "if fast then far" is "slow, or far".

    The projection tries every branch and takes the nearest point: exact where each branch's projection is. A union is
    not convex: the projection jumps where two branches are equally near, and its gradient is that of the branch taken.

    Args:
        branches: at least two sets of vectors of one size; a `context` is given to each of them.

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

    def __init__(self, branches: Sequence[ProjectableConstraint]) -> None:
        super().__init__()
        if len(branches) < 2 or not all(isinstance(b, ProjectableConstraint) for b in branches):
            kinds = [type(b).__name__ for b in branches]
            raise SpecificationError(f"`Disjunction` needs at least two sets that can be projected onto, got {kinds}")
        sizes = {b.size for b in branches if b.size is not None}
        if len(sizes) > 1 or any(b.event_dim != 1 for b in branches):
            raise ShapeError(f"`Disjunction` needs sets of vectors of one size, got sizes {sorted(sizes)}")
        self.branches = nn.ModuleList(branches)
        self.size = sizes.pop() if sizes else None

    def _each(self) -> list[ProjectableConstraint]:
        return [b for b in self.branches if isinstance(b, ProjectableConstraint)]

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Of the branch that is nearest to hold, its worst condition, `(*batch, 1)`: <= 0 inside."""
        worst = []
        for branch in self._each():
            residual = branch.residual(value, context)
            k = branch.equalities
            worst.append(torch.cat([residual[..., :k].abs(), residual[..., k:]], dim=-1).amax(dim=-1, keepdim=True))
        return torch.cat(worst, dim=-1).amin(dim=-1, keepdim=True)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The largest of the branches' tolerances."""
        return torch.stack([branch.tolerance(value, context) for branch in self._each()]).amax(dim=0)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The nearest point of the nearest branch, `(*batch, n)`."""
        self._require_shape(value)
        points = torch.stack([branch.project(value, context) for branch in self._each()])
        nearest = (points.detach() - value.detach()).square().sum(dim=-1).argmin(dim=0)
        return points.gather(0, nearest[None, ..., None].expand(1, *value.shape)).squeeze(0)
