"""Nonlinear equalities: curved surfaces, projected onto by Newton's method with a certificate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from constraints.errors import NonFiniteError, ShapeError, SpecificationError
from constraints.functional import Certificate, certified_tolerance, default_tolerance
from constraints.functional.precision import is_transforming
from constraints.functional.stationary import (
    SlopeChecked,
    conditions_of,
    curvature_lengths,
    jacobian_of,
    newton_step,
    residual_scale,
)
from constraints.functional.surface import nearest_on_surface, relative_violation
from constraints.sets.constraint import ProjectableConstraint, whole_batches
from constraints.sets.fallback import Fallback, Raise

__all__ = ["NonlinearEquality"]


@final
class NonlinearEquality(ProjectableConstraint):
    r"""The surface :math:`\{y : h(y, x) = 0\}` of a smooth function.

    The point found is stationary for the distance to the value, :math:`y - v + J^\top\lambda = 0`, and in general only
    locally the nearest: the set need not be convex. Damped Gauss-Newton steps lead down to the surface, Newton steps
    lead along it; where the descent ends off the surface it begins again from values of other sizes. Derivatives come
    from the equations that the point satisfies (the implicit function theorem), not from the steps. How many steps it
    takes depends on the data: not whole under `torch.compile` and `torch.export`.

    Args:
        function: `h`, from a value `(n,)` and a context `(k,)` (empty where there is none) to residuals `(p,)`, written
            with torch operations that have second derivatives; it is vectorised over the batch.
        size: `n`.
        conditions: `p`.
        fallback: what to do with samples for which no point was found.

    Example:
        >>> circle = NonlinearEquality(lambda y, _: (y * y).sum(-1, keepdim=True) - 1.0, size=2, conditions=1)
        >>> circle.project(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """

    convex = False

    def __init__(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        *,
        size: int,
        conditions: int,
        fallback: Fallback | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= conditions <= size:
            raise SpecificationError(
                f"`NonlinearEquality` needs 1 <= conditions <= size, got conditions={conditions}, size={size}"
            )
        self.function = function
        self.size, self.equalities = size, conditions
        self.fallback = fallback or Raise()

    def _spread(self, value: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Value and context of every sample, `(batch, n)` and `(batch, k)`."""
        self._require_shape(value)
        batch = value.shape[:-1]
        given = value.new_zeros(0) if context is None else context.to(value)
        self._require_context(value, given, given.shape[-1] if given.dim() else 0)
        flat = given.expand(*batch, given.shape[-1]).reshape(math.prod(batch), given.shape[-1])
        return value.reshape(math.prod(batch), value.shape[-1]), flat

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`h(y, x)`, `(*batch, p)`."""
        flat, given = self._spread(value, context)
        if not len(flat):  # there is nothing that vmap could trace the function with
            return 0.0 * value[..., :1].expand(*value.shape[:-1], self.equalities)
        if value.requires_grad and isinstance(self.function, SlopeChecked) and not is_transforming():
            self.function.require_slopes(flat, given)
        residual = conditions_of(self.function, flat, given)
        if residual.shape[-1] != self.equalities:
            raise ShapeError(
                f"`NonlinearEquality` needs {self.equalities} residuals of its function, got {residual.shape[-1]}"
            )
        return residual.reshape(*value.shape[:-1], self.equalities)

    def tolerance(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """What rounding of the value alone does to the residual, `(*batch,)`."""
        flat, given = self._spread(value.detach(), context)
        if not len(flat):  # there is nothing that vmap could trace the function with
            return value.new_zeros(value.shape[:-1])
        jacobian = jacobian_of(self.function, flat, given)
        moved = residual_scale(flat, jacobian, curvature_lengths(self.function, flat, given), value=flat)
        moved = moved.amax(dim=-1, keepdim=True)
        return default_tolerance(moved, terms=value.shape[-1]).reshape(value.shape[:-1])

    @whole_batches
    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """A locally nearest point `(*batch, n)`, and for each sample whether it is on the surface."""
        flat, given = (part.double() for part in self._spread(value, context))
        tolerance = certified_tolerance(value.dtype)
        if not len(flat):  # there is nothing that vmap could trace the function with
            none = value.new_zeros(value.shape[:-1], dtype=torch.bool)
            return value, Certificate(none.double(), tolerance, none, none)
        start, fixed = flat.detach(), given.detach()
        point, multiplier, _ = nearest_on_surface(start, self.function, fixed)
        if torch.is_grad_enabled() and (flat.requires_grad or given.requires_grad):
            active = torch.ones_like(multiplier)
            for _ in range(2):  # two steps from the solution carry its first two derivatives
                point, multiplier = newton_step(flat, point, multiplier, active, self.function, given)
            _require_slopes(start, point)
        result = point.to(value.dtype)
        violation = relative_violation(
            self.function, result.detach().double(), fixed, value=start, dtype=value.dtype
        ).reshape(value.shape[:-1])
        certain = violation <= tolerance
        return result.reshape(value.shape), Certificate(violation, tolerance, certain, torch.zeros_like(certain))

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """A locally nearest point with `h(y, x) = 0`, `(*batch, n)`; samples without one go to the fallback."""
        return self.fallback.settle("NonlinearEquality", *self.solve(value, context))


def _require_slopes(value: Tensor, point: Tensor) -> None:
    """Refuse gradients where there are none: at a value with several nearest points, as the centre of a circle."""
    broken = value.isfinite().all(dim=-1) & ~point.isfinite().all(dim=-1)
    if not torch.compiler.is_compiling() and not is_transforming() and bool(broken.any()):
        first = int(broken.nonzero()[0])
        raise NonFiniteError(
            f"`NonlinearEquality` has no gradient at a value with several nearest points, as a circle's centre: got "
            f"{int(broken.sum())} of {len(broken)} samples, the first {first}, {value[first].tolist()}; start the "
            f"network from weights that are not all 0"
        )
