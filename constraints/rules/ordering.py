"""Orderings: outputs that do not fall, or do not rise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from constraints.errors import InfeasibleError, SpecificationError
from constraints.rules.output_rule import OutputRule
from constraints.sets import OrderedCone

__all__ = ["Ordering"]


@final
class Ordering(OutputRule):
    r"""Outputs rise, or fall, in the order in which they are named: :math:`y_{i+1} - y_i \ge g`.

    Quantiles that do not cross, cumulative shares, dose and response, wear that only grows. Alone it is projected onto
    by isotonic regression, in closed form; with other linear rules on the same outputs it becomes one joint projection.

    Args:
        descending: whether the outputs fall instead of rise.
        gap: `g >= 0`, the least step from one output to the next; 0 lets them be equal.
        low: least value of any of the outputs, or None.
        high: greatest value of any of the outputs, or None.
        outputs: see `OutputRule`; in the order in which they rise (or fall), at least two.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: fewer than two outputs, or a negative gap.
        InfeasibleError: `low > high`, or more outputs than fit between them with the gap.

    Example:
        >>> import torch
        >>> quantiles = Ordering(outputs=["q10", "q50", "q90"], unit="degC")
        >>> quantiles.bind(["q10", "q50", "q90"])
        >>> quantiles.enforce(torch.tensor([[3.0, 1.0, 4.0]]))
        tensor([[2., 2., 4.]])
        >>> Ordering(gap=1.0).enforce(torch.tensor([[3.0, 1.0, 9.0]]))
        tensor([[1.5000, 2.5000, 9.0000]])
    """

    def __init__(
        self,
        *,
        descending: bool = False,
        gap: float = 0.0,
        low: float | None = None,
        high: float | None = None,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        cone = OrderedCone(low=low, high=high, descending=descending, gap=gap)
        super().__init__(cone, outputs=outputs, name=name, unit=unit, source=source)
        if self.outputs is not None and len(self.outputs) < 2:
            raise SpecificationError(f"`Ordering` needs at least two outputs, got {list(self.outputs)}")
        if self.outputs is not None and len(self.outputs) > cone.most:
            raise InfeasibleError(
                f"`Ordering` needs outputs that fit between low={low} and high={high} with the gap {gap:g}, at most "
                f"{cone.most:g}, got {len(self.outputs)}"
            )
