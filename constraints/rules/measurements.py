"""Measurements: what a field was found to be, as a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import NonFiniteError, ShapeError, SpecificationError
from constraints.rules.field_rule import FieldRule
from constraints.rules.squares import Squares
from constraints.sets.zero import Zero

__all__ = ["Measurements"]


@final
class Measurements(FieldRule):
    r"""The field has these values at these points: :math:`(u(p_i) - v_i)/\sigma = 0`.

    Data of sensors beside equations, whatever the batches of the task are: every step sees all measurements, which are
    the conditions of every sample. As `Soft` its penalty is the sum of squares over measurements (with :math:`\sigma`
    minus twice the logarithm of their likelihood, but for a constant); with a weight of `1 / n` it is their mean.

    Args:
        points: where was measured, `(n, d)`.
        values: what was found, `(n, k)`.
        outputs: which columns of the model these are; by default all.
        deviation: :math:`\sigma > 0`, the standard deviation of the noise, one number or `(n, k)`, in the values' unit.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Raises:
        ShapeError: points, values, outputs and deviations that do not fit each other.
        NonFiniteError: points or values that are not finite.
        SpecificationError: no measurement, a deviation that is not positive, columns twice or below 0.

    Example:
        >>> seen = Measurements(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [3.0]]), deviation=0.5)
        >>> x = torch.zeros(5, 1)
        >>> seen.measure(nn.Identity(), x, x).tolist()  # the worst of them
        [4.0, 4.0, 4.0, 4.0, 4.0]
    """

    at: Tensor
    values: Tensor
    deviation: Tensor

    def __init__(
        self,
        points: Tensor,
        values: Tensor,
        *,
        outputs: Sequence[int] | None = None,
        deviation: float | Tensor = 1.0,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        super().__init__(Zero(), name=name, unit=unit, source=source)
        if points.dim() != 2 or values.dim() != 2 or len(points) != len(values) or not values.shape[1]:
            raise ShapeError(
                f"`Measurements` needs points (n, d) and values (n, k), got {tuple(points.shape)} and "
                f"{tuple(values.shape)}"
            )
        if not len(points):
            raise SpecificationError("`Measurements` needs at least one measurement, got none")
        for what, numbers in (("points", points), ("values", values)):
            if not bool(numbers.isfinite().all()):
                raise NonFiniteError(
                    f"`Measurements` needs finite {what}, got numbers that are not finite in "
                    f"{_rows(~numbers.isfinite())}"
                )
        self.outputs = None if outputs is None else tuple(outputs)
        if self.outputs is not None and len(self.outputs) != values.shape[1]:
            raise ShapeError(
                f"`Measurements` needs an output for each column of values, got outputs={list(self.outputs)} for "
                f"{values.shape[1]}"
            )
        if self.outputs is not None and (len(set(self.outputs)) < len(self.outputs) or min(self.outputs) < 0):
            raise SpecificationError(f"`Measurements` needs distinct outputs >= 0, got {list(self.outputs)}")
        spread = torch.as_tensor(deviation, dtype=values.dtype, device=values.device)
        if spread.shape not in ((), values.shape):
            raise ShapeError(
                f"`Measurements` needs a deviation () or {tuple(values.shape)}, got shape {tuple(spread.shape)}"
            )
        if not bool(((spread > 0) & spread.isfinite()).all()):
            raise SpecificationError(f"`Measurements` needs deviation > 0, finite, got {deviation}")
        for key, tensor in (("at", points), ("values", values), ("deviation", spread)):
            self.register_buffer(key, tensor.detach().clone(), persistent=False)

    def points(self, x: Tensor) -> Tensor:
        """Where was measured, for each sample: `(*batch, n, d)`, one memory."""
        return self.at.expand(*x.shape[:-1], *self.at.shape)

    def quantity(self, field: nn.Module, points: Tensor) -> Tensor:
        """By how much the field differs from what was found, in deviations, `(*batch, n * k)`; found once for all.

        Raises:
            ShapeError: other points than those of the measurements, or a model without the outputs.
        """
        *batch, n, d = points.shape if points.dim() > 1 else (0, *points.shape)
        if (n, d) != tuple(self.at.shape):
            raise ShapeError(
                f"rule `{self.name}` needs its own points (*batch, {len(self.at)}, {self.at.shape[1]}), got shape "
                f"{tuple(points.shape)}"
            )
        residual = self._against(field(points.reshape(-1, n, d)[0]), self.values, self.deviation)
        return residual.flatten().expand(*batch, -1)

    def squares(self, model: nn.Module, x: Tensor) -> Squares:
        """See `Rule.squares`: each measurement is a row."""
        d, k = self.at.shape[1], self.values.shape[1]
        rows = torch.cat([self.at, self.values, self.deviation.expand_as(self.values)], dim=1)

        def residual(rows: Tensor) -> Tensor:
            points, values, deviation = rows.split([d, k, k], dim=1)
            return self._against(model(points), values, deviation)

        return Squares(residual, rows, 1.0)

    def _against(self, u: Tensor, values: Tensor, deviation: Tensor) -> Tensor:
        wanted = u.shape[-1] == self.values.shape[1] if self.outputs is None else max(self.outputs) < u.shape[-1]
        if not wanted:
            which = f"{self.values.shape[1]} outputs" if self.outputs is None else f"outputs {list(self.outputs)}"
            raise ShapeError(f"rule `{self.name}` speaks of {which}, but the model has {u.shape[-1]}")
        chosen = u if self.outputs is None else u[..., list(self.outputs)]
        return (chosen - values) / deviation


def _rows(wrong: Tensor) -> str:
    rows = wrong.any(dim=1).nonzero().flatten().tolist()
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:5]))}{', ...' if len(rows) > 5 else ''}"
