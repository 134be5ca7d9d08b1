"""Interior maps: along a ray from an interior point, as far as the sets allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import InfeasibleError, ShapeError, SpecificationError
from constraints.functional import project_ray, squash_ray
from constraints.sets.affine import Affine
from constraints.sets.constraint import Constraint, ProjectableConstraint, RayTraceable, as_buffer, largest_tolerance
from constraints.sets.interior import find_interior, null_space

__all__ = ["RayMap"]


@final
class RayMap(ProjectableConstraint):
    r"""An intersection of convex sets with an interior, and a map into it by shooting rays from an interior point.

    With `p` the interior point, :math:`d = v - p` (its part along the equalities, where there are any) and
    :math:`\kappa` the greatest gauge of the sets, `project` gives :math:`p + d / \max(1, \kappa(d))`: feasible by
    construction, idempotent, differentiable almost everywhere, in closed form, but **not the nearest point**.
    `squash` gives :math:`p + d / \sqrt{1 + \kappa(d)^2}`: every direction keeps its gradient, and it is as smooth as
    the gauge, which has kinks where a ray passes from one face to another. The `context` is not used.

    Args:
        sets: one or more sets that have a `gauge` and are fixed (no context).
        interior: `p`, `(n,)`, strictly inside every set and on the equalities; by default a centre found by linear
            programs (see `constraints.sets.interior.find_interior`).
        equality: linear equalities with a fixed target; the rays stay in them.

    Raises:
        SpecificationError: a set without a gauge, or no interior point found where none is given.
        InfeasibleError: an interior point that is not strictly inside, or sets without a common interior.

    Source: Tordesillas, How and Hutter, "RAYEN: imposition of hard convex constraints on neural networks", 2023,
        doi:10.48550/arXiv.2307.08336.

    Example:
        >>> from constraints.sets import Box, L2Ball
        >>> corner = RayMap([L2Ball(2.0), Box(low=[0.0, 0.0], high=[2.0, 2.0])], interior=[1.0, 1.0])
        >>> corner.project(torch.tensor([[1.0, -4.0], [1.2, 1.0]]))
        tensor([[1.0000, 0.0000],
                [1.2000, 1.0000]])
    """

    convex = False

    interior: Tensor
    directions: Tensor | None

    def __init__(
        self,
        sets: Sequence[Constraint],
        *,
        interior: Sequence[float] | Tensor | None = None,
        equality: Affine | None = None,
    ) -> None:
        super().__init__()
        if not sets:
            raise SpecificationError("`RayMap` needs at least one set, got none")
        for part in sets:
            if not isinstance(part, RayTraceable):
                raise SpecificationError(f"`RayMap` needs sets with a `gauge`, got {type(part).__name__}")
        given = None if interior is None else as_buffer("RayMap", "interior", interior)
        if given is not None and given.dim() != 1:
            raise ShapeError(f"`RayMap` needs an interior point of shape (n,), got {tuple(given.shape)}")
        self.sets = nn.ModuleList(sets)
        self.equality = equality
        self.size = _common_size(sets, given, equality)
        self.equalities = 0 if equality is None else equality.equalities
        origin = find_interior(sets, self.size, equality) if given is None else given
        self.register_buffer("interior", origin, persistent=False)
        directions = None if equality is None else null_space(equality)
        self.register_buffer("directions", directions, persistent=False)
        self._refuse_outside(origin)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The largest of the parts', at `|y| + |p|`: the map adds the two, `(*batch,)`."""
        reach = value.detach().abs() + self.interior.to(value).abs()
        return torch.stack([largest_tolerance(part, reach) for part in self._parts()]).amax(dim=0)

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The equalities' residual, then those of the sets, `(*batch, m)`."""
        return torch.cat([part.residual(value) for part in self._parts()], dim=-1)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """The last point inside on the way from the interior point, `(*batch, n)`; not the nearest one."""
        direction, gauge = self._ray(value)
        return project_ray(self.interior.to(value), direction, gauge)

    def squash(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Keep the direction from the interior point, squash the radius, `(*batch, n)`."""
        direction, gauge = self._ray(value)
        return squash_ray(self.interior.to(value), direction, gauge)

    def _parts(self) -> list[Constraint]:
        parts = [part for part in self.sets if isinstance(part, Constraint)]
        return parts if self.equality is None else [self.equality, *parts]

    def _ray(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Direction from the interior point, `(*batch, n)`, and its gauge, `(*batch,)`."""
        self._require_shape(value)
        origin = self.interior.to(value)
        direction = value - origin
        if self.directions is not None:
            basis = self.directions.to(value)
            direction = (direction @ basis) @ basis.mT
        # The gauge is homogeneous: of a direction of size 1, no square in it overflows.
        size = direction.detach().abs().amax(dim=-1, keepdim=True)
        size = torch.where(size > 0, size, 1.0)
        unit = direction / size
        gauges = [part.gauge(origin, unit) for part in self.sets if isinstance(part, RayTraceable)]
        return direction, torch.stack(gauges, dim=-1).amax(dim=-1) * size.squeeze(-1)

    def _refuse_outside(self, origin: Tensor) -> None:
        if self.equality is not None and not bool(self.equality.check(origin)):
            raise InfeasibleError(
                f"`RayMap` needs an interior point on the equalities, got one that misses them by "
                f"{float(self.equality.violation(origin)):.3g}"
            )
        for part in self.sets:
            assert isinstance(part, Constraint)
            most = float(part.residual(origin).max())
            if not most < -float(part.tolerance(origin)):
                raise InfeasibleError(
                    f"`RayMap` needs an interior point strictly inside, got one with a residual of {most:.3g} in "
                    f"`{type(part).__name__}`"
                )


def _common_size(sets: Sequence[Constraint], interior: Tensor | None, equality: Affine | None) -> int:
    """The one number of coordinates that everything agrees on."""
    sizes = {f"`{type(part).__name__}`": part.size for part in sets if part.size is not None}
    if interior is not None:
        sizes["the interior point"] = interior.shape[0]
    if equality is not None and equality.size is not None:
        sizes["the equality"] = equality.size
    if not sizes:
        raise SpecificationError("`RayMap` needs a set of known size, or an interior point, got neither")
    if len(set(sizes.values())) > 1:
        raise ShapeError(f"`RayMap` needs parts of one size, got {', '.join(f'{k}: {v}' for k, v in sizes.items())}")
    return next(iter(sizes.values()))
