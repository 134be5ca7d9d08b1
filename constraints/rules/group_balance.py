"""Conservation between resolutions: a coarse cell equals the mean of its fine cells."""

from __future__ import annotations

from torch import Tensor

from constraints.errors import SpecificationError
from constraints.rules.balance_forms import Additive, BalanceForm
from constraints.rules.output_rule import OutputRule
from constraints.sets import Fallback, GroupMean

__all__ = ["GroupBalance"]


class GroupBalance(OutputRule):
    r"""The mean of each group of outputs equals the coarse value: :math:`\frac1n \sum_{i \in g} y_i = m_g`.

    The input `x` is the coarse array itself, `(*batch, *coarse)`; subclass and write `coarse(x)` where it is a part of
    the input or has another shape. How the balance is enforced is the form's business; the additive one is the
    orthogonal projection.

    Args:
        pattern: the groups, as einops writes a reduction: `"(h a) (w b) -> h w"`.
        form: how outputs are brought to the balance.
        low: lower bound of every output, or None; only the additive form knows one.
        fallback: what to do with samples whose coarse values leave no output, see `GroupMean`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.
        **sizes: sizes of the axes that are reduced.

    Raises:
        SpecificationError: a pattern or sizes that make no sense, or a bound with another form.

    Source: Harder et al., "Hard-Constrained Deep Learning for Climate Downscaling", JMLR 24 (2023) 365,
    arXiv:2208.05424.

    Example:
        >>> import torch
        >>> water = GroupBalance("(h a) (w b) -> h w", a=2, b=2, unit="kg/m^2")
        >>> y = water.enforce(torch.zeros(1, 4, 4), torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
        >>> y[0, 0]
        tensor([1., 1., 2., 2.])
    """

    def __init__(
        self,
        pattern: str,
        form: BalanceForm | None = None,
        *,
        low: float | None = None,
        fallback: Fallback | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
        **sizes: int,
    ) -> None:
        super().__init__(GroupMean(pattern, low=low, fallback=fallback, **sizes), name=name, unit=unit, source=source)
        if form is not None and not isinstance(form, BalanceForm):
            raise SpecificationError(f"`GroupBalance` needs a BalanceForm, got {type(form).__name__}")
        if low is not None and not isinstance(form, Additive | None):
            raise SpecificationError(
                f"`GroupBalance` with low={low} needs the additive form, not {type(form).__name__}: it knows no bound"
            )
        self.form = form or Additive()

    def coarse(self, x: Tensor) -> Tensor:
        """The coarse values of each sample, `(*batch, *coarse)`; by default the input itself."""
        return x

    def context(self, x: Tensor | None) -> Tensor | None:
        """The coarse values."""
        if x is None:
            raise SpecificationError(f"rule `{self.name}` depends on the input, got x=None")
        return self.coarse(x)

    def enforce(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """The output brought to the balance by the form, of the shape of `y`."""
        if isinstance(self.form, Additive) or not self.enforceable:
            return super().enforce(y, x)
        constraint, form = self.constraint, self.form
        assert isinstance(constraint, GroupMean)
        return self._put(y, x, lambda value, coarse: constraint.balance(value, coarse, form))
