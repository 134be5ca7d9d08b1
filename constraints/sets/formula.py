"""Statements of any form: measured and penalised, but never projected onto."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor

from constraints.errors import ShapeError, SpecificationError
from constraints.functional import default_tolerance
from constraints.sets.constraint import Constraint

__all__ = ["Formula", "SlopeSelecting"]


@runtime_checkable
class SlopeSelecting(Protocol):
    """Residuals some of which have no slope somewhere."""

    def residual_where(self, value: Tensor, context: Tensor | None, needed: Callable[[Tensor], Tensor]) -> Tensor:
        """See `Constraint.residual_where`."""
        ...


@final
class Formula(Constraint):
    r"""The set of values whose residuals, given by a function, are 0 (the first `equalities`) or at most 0.

    Nothing is known of its shape, so there is no map onto it: a rule with this set can be Soft or measured.

    Args:
        function: from a value `(*batch, n)` and a context `(*batch, k)`, or None, to residuals `(*batch, m)`.
        size: `n`.
        conditions: `m`.
        equalities: how many leading residuals are equalities.

    Raises:
        SpecificationError: no condition, or more equalities than conditions.

    Example:
        >>> wave = Formula(lambda y, _: y.sin().sum(-1, keepdim=True) - 0.5, size=2, conditions=1)
        >>> wave.violation(torch.tensor([[0.0, 0.0], [torch.pi / 2, 0.0]]))
        tensor([0.0000, 0.5000])
    """

    def __init__(
        self,
        function: Callable[[Tensor, Tensor | None], Tensor],
        *,
        size: int,
        conditions: int,
        equalities: int = 0,
    ) -> None:
        super().__init__()
        if not (conditions >= 1 and 0 <= equalities <= conditions and size >= 1):
            raise SpecificationError(
                f"`Formula` needs size >= 1 and 0 <= equalities <= conditions, one at least, got size={size}, "
                f"equalities={equalities}, conditions={conditions}"
            )
        self.function = function
        self.size, self.equalities, self.conditions = size, equalities, conditions

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """What the function gives, `(*batch, m)`; infinite where it is not defined."""
        self._require_shape(value)
        residual = self.function(value, context)
        if residual.shape != (*value.shape[:-1], self.conditions):
            raise ShapeError(
                f"`Formula` needs residuals {(*value.shape[:-1], self.conditions)} of its function, got "
                f"{tuple(residual.shape)}"
            )
        return _finite(residual)

    def residual_where(self, value: Tensor, context: Tensor | None, needed: Callable[[Tensor], Tensor]) -> Tensor:
        """See `Constraint.residual_where`; by the function, where it is `SlopeSelecting`."""
        if not isinstance(self.function, SlopeSelecting) or not torch.is_grad_enabled():
            return self.residual(value, context)
        self._require_shape(value)
        residual = self.function.residual_where(value, context, lambda found: needed(_finite(found)))
        return _finite(residual)

    def tolerances(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of the value times how fast each residual changes there, `(*batch, m)`."""
        given = value.detach()
        step = torch.finfo(given.dtype).eps ** 0.5 * (1.0 + given.abs())
        with torch.no_grad():
            here = self.residual(given, context)
            slopes = []
            for i in range(given.shape[-1]):
                moved = given.clone()
                moved[..., i] += step[..., i]
                change = (self.residual(moved, context) - here).abs() / step[..., i : i + 1]
                slopes.append((change * (1.0 + given[..., i : i + 1].abs())).nan_to_num(nan=0.0, posinf=0.0))
            terms = torch.stack(slopes).amax(dim=0)
        return default_tolerance(terms[..., None], terms=given.shape[-1], least=1.0)  # of its terms nothing is known


def _finite(residual: Tensor) -> Tensor:
    """What is not defined is as far outside as can be."""
    return residual.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
