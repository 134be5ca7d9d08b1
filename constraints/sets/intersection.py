"""Intersections of convex sets, projected onto jointly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import InfeasibleError, ShapeError, SpecificationError
from constraints.functional import Certificate, certified_tolerance
from constraints.functional.common_point import Projection, common_point
from constraints.sets.constraint import ProjectableConstraint, whole_batches
from constraints.sets.fallback import Fallback, Raise, certified_point

__all__ = ["Intersection"]

ROUNDING = 64.0 * torch.finfo(torch.float64).eps  # of the value, which the projection cannot undo


@final
class Intersection(ProjectableConstraint):
    r"""The common points :math:`\bigcap_i C_i` of convex sets, each with a projection to its nearest point.

    Dykstra's algorithm and Newton's method find the nearest common point, to rounding (see
    `constraints.functional.common_point.common_point`), with a certificate a sample: that of a point inside every set
    whose distance is shown to be the least. Derivatives, also second ones, are those of the solution. A Newton step
    asks each projection for its full derivative, `n` backward passes: meant for tens of outputs, not thousands. How
    many steps it takes depends on the data: not whole under `torch.compile` and `torch.export`. Linear sets alone are
    better joined in a `Polytope`.

    Args:
        sets: two or more sets that `project` to the nearest point, with one `event_dim` and size.
        widths: how many numbers of the last dimension of the `context` each set takes, in order; none by default. One
            of them may be None: that set takes what is left.
        fallback: what to do with samples for which no common point was found.

    Raises:
        SpecificationError: fewer than two sets, or one whose projection is not onto the nearest point of a convex set.
        InfeasibleError: fixed sets without a common point.

    Example:
        >>> from constraints.sets import HalfSpace, L2Ball
        >>> cap = Intersection([L2Ball(2.0), HalfSpace([1.0, 0.0], 1.0)])
        >>> cap.project(torch.tensor([[3.0, 0.0], [0.0, 3.0]]))
        tensor([[1., 0.],
                [0., 2.]])
    """

    def __init__(
        self,
        sets: Sequence[ProjectableConstraint],
        *,
        widths: Sequence[int | None] | None = None,
        fallback: Fallback | None = None,
    ) -> None:
        super().__init__()
        wrong = [s for s in sets if not (isinstance(s, ProjectableConstraint) and s.convex)]
        if len(sets) < 2 or wrong:
            kinds = [type(s).__name__ for s in sets]
            raise SpecificationError(
                f"`Intersection` needs at least two convex sets that project to the nearest point, got {kinds}"
            )
        sizes = {s.size for s in sets if s.size is not None}
        dims = {s.event_dim for s in sets}
        if len(sizes) > 1 or len(dims) > 1:
            raise ShapeError(
                f"`Intersection` needs sets of one size, got sizes {sorted(sizes)} in {sorted(dims)} dimensions"
            )
        widths = tuple(widths) if widths is not None else (0,) * len(sets)
        if len(widths) != len(sets) or widths.count(None) > 1 or any(w is not None and w < 0 for w in widths):
            raise ShapeError(
                f"`Intersection` needs one width >= 0 a set, at most one of them None, got {list(widths)} for "
                f"{len(sets)} sets"
            )
        self.sets = nn.ModuleList(sets)
        self.widths = widths
        self.fallback = fallback or Raise()
        self.event_dim = dims.pop()
        self.size = sizes.pop() if sizes else None
        self.equalities = sum(s.equalities for s in sets)
        if self.size is not None and not any(width is None or width > 0 for width in widths):
            self._require_point(self.size)

    def _require_point(self, size: int) -> None:
        """Refuse fixed sets that have no common point."""
        start = torch.zeros(1, *[size] * self.event_dim, dtype=torch.float64)
        if any(s._buffers or s._parameters for s in self.modules()):
            start = start.to(next(iter([*self.buffers(), *self.parameters()])).device)
        _, certificate = self.solve(start)
        if not bool(certificate.feasible.all()):
            kinds = [type(s).__name__ for s in self.sets]
            gap = float(certificate.violation)
            raise InfeasibleError(f"`Intersection` needs sets with a common point, got {kinds}, apart by {gap:.3g}")

    def _each(self) -> list[ProjectableConstraint]:
        return [s for s in self.sets if isinstance(s, ProjectableConstraint)]

    def _contexts(self, context: Tensor | None) -> list[Tensor | None]:
        """The part of the context that each set takes."""
        known = sum(width for width in self.widths if width is not None)
        exact = None not in self.widths
        if exact and known == 0:
            return [None] * len(self.widths)
        if context is None or context.shape[-1] < known or (exact and context.shape[-1] > known):
            got = None if context is None else tuple(context.shape)
            raise ShapeError(
                f"`Intersection` needs a context (*batch, {known}{'' if exact else ' or more'}), got {got}"
            )
        widths = [context.shape[-1] - known if width is None else width for width in self.widths]
        return [part if width else None for part, width in zip(context.split(widths, dim=-1), widths, strict=True)]

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The equalities of all sets, then their inequalities, `(*batch, m)`."""
        equal, below = [], []
        for s, part in zip(self._each(), self._contexts(context), strict=True):
            residual = s.residual(value, part)
            equal.append(residual[..., : s.equalities])
            below.append(residual[..., s.equalities :])
        return torch.cat([*equal, *below], dim=-1)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The largest of the sets' tolerances, once for each set that the point is held by."""
        each = zip(self._each(), self._contexts(context), strict=True)
        return len(self.sets) * torch.stack([s.tolerance(value, part) for s, part in each]).amax(dim=0)

    @whole_batches
    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """The nearest common point `(*batch, n)`, and for each sample whether it is inside every set."""
        self._require_shape(value)
        batch, event = value.shape[: -self.event_dim], value.shape[-self.event_dim :]
        flat = value.reshape(math.prod(batch), math.prod(event)).double()
        parts = [
            flat.new_zeros(len(flat), 0)
            if part is None
            else part.double().expand(*batch, part.shape[-1]).reshape(len(flat), part.shape[-1])
            for part in self._contexts(context)
        ]
        maps = [_on_flat(s, event) for s in self._each()]
        tolerance = certified_tolerance(value.dtype)
        if not len(flat):
            none = value.new_zeros(batch, dtype=torch.bool)
            return value, Certificate(none.double(), tolerance, none, none)
        finite = torch.stack([part.isfinite().all(dim=-1) for part in (flat, *parts)]).all(dim=0)
        whole = [torch.where(finite[:, None], part, 0.0) for part in (flat, *parts)]
        point, misfit = common_point(whole[0], maps, whole[1:])
        point = point + _rounding_correction(whole[0], point, misfit <= tolerance, maps, whole[1:], tolerance)
        point = torch.where(finite[:, None], point, torch.nan)
        result = point.to(value.dtype)
        with torch.no_grad():
            rounded = result.double()
            tried = torch.where(finite[:, None], rounded, 0.0)
            ends = [project(tried, part) for project, part in zip(maps, whole[1:], strict=True)]
            gap = torch.stack([(end - rounded).abs().amax(dim=-1) for end in ends]).amax(dim=0)
            size = rounded.abs().amax(dim=-1) + ROUNDING / tolerance * flat.abs().amax(dim=-1)
            violation = gap / size.clamp(min=torch.finfo(size.dtype).tiny)
        violation = violation.nan_to_num(nan=torch.inf).reshape(batch)
        optimal = (misfit <= tolerance).reshape(batch)
        return result.reshape(value.shape), Certificate(violation, tolerance, optimal, torch.zeros_like(optimal))

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest common point, `(*batch, n)`; samples without one go to the fallback."""
        return self.fallback.settle("Intersection", *self.solve(value, context))


def _rounding_correction(
    value: Tensor,
    point: Tensor,
    solved: Tensor,
    projections: Sequence[Projection],
    contexts: Sequence[Tensor],
    tolerance: float,
) -> Tensor:
    """The step from points whose value was far away to their own projection, which has a smaller rounding error."""
    step = torch.zeros_like(point)
    with torch.no_grad():
        far = value.abs().amax(dim=-1) > 10.0 * point.abs().amax(dim=-1)
        samples = (far & solved).nonzero().squeeze(-1)
        if not len(samples):
            return step
        start = point[samples]
        end, misfit = common_point(start, projections, [context[samples] for context in contexts])
        return step.index_copy(0, samples, torch.where((misfit <= tolerance)[:, None], end - start, 0.0))


def _on_flat(constraint: ProjectableConstraint, event: torch.Size) -> Projection:
    """A set's projection of flattened values."""

    def project(value: Tensor, context: Tensor) -> Tensor:
        shaped = value.view(len(value), *event)
        return certified_point(constraint, shaped, context if context.shape[-1] else None)[0].reshape(value.shape)

    return project
