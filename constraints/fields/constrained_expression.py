"""Fields that obey linear conditions at places exactly: the network less what it breaks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError, UnsupportedError
from constraints.fields.derivatives import Derivatives
from constraints.fields.jet import Jet
from constraints.fields.layers import NoJetRuleError, push
from constraints.fields.operators import DifferentialOperator
from constraints.fields.streams import HIGHEST

__all__ = ["ConstrainedExpression", "PlaceFunctional"]


@final
@dataclass(frozen=True, slots=True)
class PlaceFunctional:
    r"""A linear functional of one field along one axis: :math:`L u = \sum a_{p,k}\,\partial_i^k u` at places `p`.

    Attributes:
        field: which field.
        terms: the place, the order and the factor of each summand.

    Example:
        >>> PlaceFunctional(0, ((1.0, 1, 2.0),)).places
        (1.0,)
    """

    field: int
    terms: tuple[tuple[float, int, float], ...]

    @property
    def places(self) -> tuple[float, ...]:
        """Its places, each once."""
        return tuple(dict.fromkeys(place for place, _, _ in self.terms))

    @property
    def order(self) -> int:
        """The highest order of its derivatives."""
        return max(order for _, order, _ in self.terms)

    def operator(self, place: float, axis: int, coordinates: int) -> DifferentialOperator:
        """What it takes of the field at a place."""
        terms: dict[tuple[int, ...], float] = {(0,) * coordinates: 0.0}
        for at, order, factor in self.terms:
            if at == place:
                index = tuple(order if i == axis else 0 for i in range(coordinates))
                terms[index] = terms.get(index, 0.0) + factor
        return DifferentialOperator(terms)


@final
class ConstrainedExpression(nn.Module):
    r"""A network that obeys linear conditions whatever its weights are: :math:`u = N - \sum_j s_j\,L_j(\varphi N)`.

    It has :math:`L_j(\varphi u) = 0`. The switching functions :math:`s_j` have :math:`L_i(\varphi s_j) = \delta_{ij}`.
    A network that obeys already is left as it is, so every field that obeys is within reach: nothing else is imposed.
    Each place costs one more evaluation of the network, with the derivatives of its functionals.

    Args:
        network: `N`, `(*batch, d)` to `(*batch, n)`.
        axis: the coordinate that the places fix.
        coordinates: `d`.
        functionals: :math:`L_j(\varphi\,\cdot)`, as a functional of `N`.
        switching: :math:`s_j` of the coordinates, `(*batch, d)` to `(*batch, m)`, in the order of the functionals.

    Raises:
        SpecificationError: no functionals, or an axis that is none.
        UnsupportedError: a functional with derivatives above order 4.
        ShapeError: when called, a network with too few outputs.

    Source: Leake and Mortari, "Deep theory of functional connections", 2020, doi:10.3390/make2010004.

    Example:
        >>> slope = PlaceFunctional(0, ((0.0, 1, 1.0),))
        >>> field = ConstrainedExpression(nn.Linear(1, 1), 0, 1, [slope], nn.Identity())  # s = x
        >>> low, high = field(torch.tensor([[0.0], [1.0]]))
        >>> bool((low - high).abs() < 1e-6)  # the slope of a line that has none at 0
        True
    """

    incidence: Tensor

    def __init__(
        self,
        network: nn.Module,
        axis: int,
        coordinates: int,
        functionals: Sequence[PlaceFunctional],
        switching: nn.Module,
    ) -> None:
        super().__init__()
        if not functionals or not 0 <= axis < coordinates:
            raise SpecificationError(
                f"`ConstrainedExpression` needs functionals and 0 <= axis < {coordinates}, got {list(functionals)} and "
                f"{axis}"
            )
        highest = max(one.order for one in functionals)
        if highest > HIGHEST:
            raise UnsupportedError(f"conditions need derivatives of an order <= {HIGHEST}, got order {highest}")
        self.network, self.switching = network, switching
        self.axis, self.coordinates, self.functionals = axis, coordinates, tuple(functionals)
        self.places = tuple(dict.fromkeys(place for one in functionals for place in one.places))
        self._value = (DifferentialOperator({(0,) * coordinates: 1.0}),)
        self._wanted: dict[tuple[DifferentialOperator, ...], tuple[list[DifferentialOperator], Derivatives]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, d)` to `(*batch, n)`."""
        y: Tensor = self.network(x)
        self._require_width(y.shape[-1])
        (broken,) = self._broken(self._value, x)
        return y - self._by_field(self.switching(x) * broken, y.shape[-1])

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        streams = jet.streams
        if jet.slopes is None or jet.slopes is not streams.unit(jet.slopes):
            raise NoJetRuleError("`ConstrainedExpression` takes jets of the points themselves")
        highest = max(one.order for one in self.functionals)
        along = [{a: c for a, c in one.terms.items() if not a[self.axis]} for one in streams.operators]
        if highest + max((sum(a) for terms in along for a in terms), default=0) > HIGHEST:
            raise NoJetRuleError(f"`ConstrainedExpression` needs derivatives above order {HIGHEST} at its places")
        moved = [DifferentialOperator(terms) for terms in along if terms]
        found = iter(self._broken((*self._value, *moved), jet.value))
        rows = [next(found).mT]
        rows += [next(found).mT if terms else torch.zeros_like(rows[0]) for terms in along]
        y, switching = push(self.network, jet), push(self.switching, jet)
        self._require_width(y.width)
        product = switching * Jet(streams, torch.stack(rows, dim=1))
        return y - product.linear(self._incidence(y.width, jet.stack))

    def _broken(self, operators: Sequence[DifferentialOperator], x: Tensor) -> tuple[Tensor, ...]:
        """What the network breaks of the conditions, and its derivatives along the places, `(*batch, m)` each."""
        key = tuple(operators)
        if key not in self._wanted:
            at = {
                one * functional.operator(place, self.axis, self.coordinates): None
                for one in key
                for functional in self.functionals
                for place in functional.places
            }
            self._wanted[key] = list(at), Derivatives(list(at))
        distinct, derivatives = self._wanted[key]
        fixed = torch.arange(self.coordinates, device=x.device) == self.axis
        points = torch.stack([torch.where(fixed, x.new_tensor(place), x) for place in self.places])
        values = dict(zip(distinct, derivatives(self.network, points), strict=True))
        self._require_width(values[distinct[0]].shape[-1])
        row = {place: i for i, place in enumerate(self.places)}

        def apply(functional: PlaceFunctional, derivative: DifferentialOperator) -> Tensor:
            parts = [
                values[derivative * functional.operator(place, self.axis, self.coordinates)][row[place]]
                for place in functional.places
            ]
            return torch.stack([part[..., functional.field] for part in parts]).sum(dim=0)

        return tuple(torch.stack([apply(one, derivative) for one in self.functionals], dim=-1) for derivative in key)

    def _incidence(self, width: int, like: Tensor) -> Tensor:
        """Which functional belongs to which field, `(n, m)`."""
        fields = torch.tensor([one.field for one in self.functionals], device=like.device)
        return (torch.arange(width, device=like.device)[:, None] == fields).to(like.dtype)

    def _by_field(self, values: Tensor, width: int) -> Tensor:
        return values @ self._incidence(width, values).mT

    def _require_width(self, outputs: int) -> None:
        needed = 1 + max(one.field for one in self.functionals)
        if outputs < needed:
            raise ShapeError(f"`ConstrainedExpression` needs a network of at least {needed} outputs, got {outputs}")
