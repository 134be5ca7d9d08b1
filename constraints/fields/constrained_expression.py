"""Fields that obey linear conditions at places exactly: the network less what it breaks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from constraints.errors import ShapeError, SpecificationError, UnsupportedError
from constraints.fields.derivatives import Derivatives
from constraints.fields.jet import Jet
from constraints.fields.layers import NoJetRuleError, push
from constraints.fields.operators import DifferentialOperator
from constraints.fields.streams import HIGHEST
from constraints.functional.one_tensor import require_network_output
from constraints.functional.precision import is_transforming, own_precision

__all__ = ["ConstrainedExpression", "PlaceFunctional"]

SAME = 1e-3  # relative: more than rounding, less than what noise or other samples do

Plan: TypeAlias = tuple[Derivatives, list[list[tuple[int, int]]]]
"""Derivatives, and of each operator and functional which of them it takes at which place."""


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
        UnsupportedError: a functional with derivatives above order 4; a network with dropout or batch normalisation,
            whose evaluations at several places differ, and, when first called, any other of which that is so.
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
        changing = [type(m).__name__ for m in network.modules() if isinstance(m, _BatchNorm) or _drops(m)]
        if changing:
            raise UnsupportedError(
                f"conditions on derivatives need a network whose value at a point depends on that point alone, got "
                f"`{changing[0]}`, which makes its evaluations at several places differ"
            )
        self._pointwise: set[bool] = set()  # in which modes this was found
        self._value = (DifferentialOperator({(0,) * coordinates: 1.0}),)
        self._value_plan = self._plan(self._value)
        self._plans: dict[tuple[DifferentialOperator, ...], Plan] = {}

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, d)` to `(*batch, n)`; autocast is switched off inside, so that both evaluations are alike."""
        with own_precision(x):
            y: Tensor = self.network(x)
            require_network_output("`ConstrainedExpression`", x, y)
            self._require_width(y.shape[-1])
            self._require_pointwise(x, y)
            (broken,) = self._broken(self._value_plan, x)
            return y - self._by_field(self.switching(x) * broken, y.shape[-1])

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        streams = jet.streams
        if not jet.unit:
            raise NoJetRuleError("`ConstrainedExpression` takes jets of the points themselves")
        highest = max(one.order for one in self.functionals)
        along = [{a: c for a, c in one.terms.items() if not a[self.axis]} for one in streams.operators]
        if highest + max((sum(a) for terms in along for a in terms), default=0) > HIGHEST:
            raise NoJetRuleError(f"`ConstrainedExpression` needs derivatives above order {HIGHEST} at its places")
        key = (*self._value, *(DifferentialOperator(terms) for terms in along if terms))
        if key not in self._plans:
            self._plans[key] = self._plan(key)
        found = iter(self._broken(self._plans[key], jet.value))
        rows = [next(found).mT]
        rows += [next(found).mT if terms else torch.zeros_like(rows[0]) for terms in along]
        y, switching = push(self.network, jet), push(self.switching, jet)
        self._require_width(y.width)
        product = switching * Jet(streams, torch.stack(rows, dim=1))
        return y - product.linear(self._incidence(y.width, jet.stack))

    @torch.compiler.disable(reason="cannot be traced")  # type: ignore[untyped-decorator]
    def _plan(self, operators: Sequence[DifferentialOperator]) -> Plan:
        """The derivatives that operators on the functionals need, and for each pair which of them at which place."""
        distinct: dict[DifferentialOperator, int] = {}
        parts = []
        for one in operators:
            for functional in self.functionals:
                found = []
                for place in functional.places:
                    operator = one * functional.operator(place, self.axis, self.coordinates)
                    found.append((distinct.setdefault(operator, len(distinct)), self.places.index(place)))
                parts.append(found)
        return Derivatives(list(distinct)), parts

    def _broken(self, plan: Plan, x: Tensor) -> list[Tensor]:
        """What the network breaks of the conditions, of each operator, `(*batch, m)`."""
        derivatives, parts = plan
        fixed = torch.arange(self.coordinates, device=x.device) == self.axis
        points = torch.stack([torch.where(fixed, x.new_tensor(place), x) for place in self.places])
        values = derivatives(self.network, points)
        self._require_width(values[0].shape[-1])
        count = len(self.functionals)
        columns = [
            torch.stack([values[i][row][..., self.functionals[k % count].field] for i, row in part]).sum(dim=0)
            for k, part in enumerate(parts)
        ]
        return [torch.stack(columns[k : k + count], dim=-1) for k in range(0, len(columns), count)]

    def _incidence(self, width: int, like: Tensor) -> Tensor:
        """Which functional belongs to which field, `(n, m)`."""
        fields = torch.tensor([one.field for one in self.functionals], device=like.device)
        return (torch.arange(width, device=like.device)[:, None] == fields).to(like.dtype)

    def _by_field(self, values: Tensor, width: int) -> Tensor:
        return values @ self._incidence(width, values).mT

    def _require_pointwise(self, x: Tensor, y: Tensor) -> None:
        """Refuse, at the first call in training and in evaluation, networks that mix samples or draw random numbers."""
        if self.training in self._pointwise or is_transforming() or torch.compiler.is_compiling() or x.dim() < 2:
            return
        flat, found = x.detach().reshape(-1, x.shape[-1]), y.detach().reshape(-1, y.shape[-1])
        if len(flat) < 2:
            return
        with torch.no_grad():
            alone = torch.cat([self.network(flat[:1]), self.network(flat[1:2])])
        apart = (alone - found[:2]).abs()
        if bool((apart > SAME * (alone.abs() + found[:2].abs()).clamp(min=SAME)).any()):
            raise UnsupportedError(
                f"conditions on derivatives need a network whose value at a point depends on that point alone, got one "
                f"whose value differs by {float(apart.max()):.2g} when the point is evaluated again by itself"
            )
        self._pointwise.add(self.training)

    def _require_width(self, outputs: int) -> None:
        needed = 1 + max(one.field for one in self.functionals)
        if outputs < needed:
            raise ShapeError(f"`ConstrainedExpression` needs a network of at least {needed} outputs, got {outputs}")


def _drops(module: nn.Module) -> bool:
    """Whether a module leaves out values at random."""
    return isinstance(module, _DropoutNd) and module.p > 0.0
