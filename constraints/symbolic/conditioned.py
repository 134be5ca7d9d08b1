"""A network that obeys conditions by its construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import sympy
import torch
from torch import Tensor, nn

from constraints.domains import Distance
from constraints.errors import SpecificationError
from constraints.fields import Jet, Mirrored, Product, TransformedNetwork, push
from constraints.symbolic.conditions import Condition, Surface
from constraints.symbolic.construction import Bounds, construct
from constraints.symbolic.formula_field import FormulaField

__all__ = ["ConditionedNetwork"]


@final
class ConditionedNetwork(nn.Module):
    """A network whose fields obey conditions exactly, whatever its weights are.

    Args:
        network: takes the coordinates; two numbers, a cosine and a sine, for each with a period.
        conditions: of all fields.
        coordinates: their symbols, real.
        fields: how many outputs.
        bounds: of the coordinates, where known.

    Raises:
        InfeasibleError: conditions that contradict each other.
        UnsupportedError: conditions for which no construction is known.
        SpecificationError: a network of another number of inputs.

    Example:
        >>> import torch
        >>> from constraints.symbolic.conditions import Pin
        >>> x = sympy.Symbol("x", real=True)
        >>> pin = Pin(0, 0, sympy.Integer(2), ((0, sympy.Integer(1)),), sympy.Integer(5))
        >>> ConditionedNetwork(nn.Linear(1, 1), [pin], [x], 1)(torch.tensor([[2.0]])).item()
        5.0
    """

    def __init__(
        self,
        network: nn.Module,
        conditions: Sequence[Condition],
        coordinates: Sequence[sympy.Symbol],
        fields: int,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__()
        self.conditions, self.coordinates, self.fields = tuple(conditions), tuple(coordinates), fields
        self.bounds: Bounds = dict(bounds or {})
        self.construction = found = construct(conditions, coordinates, fields, bounds)
        # features that come before the first layer have a width of their own
        first = next((part for part in network.modules() if not list(part.children())), None)
        width = first.in_features if isinstance(first, nn.Linear) else len(found.inputs)
        if found.inputs != self.coordinates and width != len(found.inputs):
            raise SpecificationError(
                f"these conditions need a network of {len(found.inputs)} inputs, {', '.join(map(str, found.inputs))}, "
                f"got one of {width}"
            )
        self._given = (network,)  # a part of `body`, which is not to be a part twice
        inner = network
        if found.inputs != self.coordinates:
            inner = TransformedNetwork(inner, inputs=FormulaField(found.inputs, coordinates))
        for axis, center, signs in found.mirrors:
            inner = Mirrored(inner, axis=axis, center=center, signs=signs)
        factor: nn.Module | None = None
        if any(f != 1 for f in found.factors):
            factor = FormulaField(found.factors, coordinates)
        surfaces = [c for c in conditions if isinstance(c, Surface)]
        if surfaces:
            distances = _Distances({c.field: c.domain.distance() for c in surfaces}, fields)
            factor = distances if factor is None else Product(factor, distances)
        self.body = TransformedNetwork(
            inner,
            factor=factor,
            offset=FormulaField(found.offsets, coordinates) if any(g != 0 for g in found.offsets) else None,
        )

    @property
    def network(self) -> nn.Module:
        """What was given."""
        return self._given[0]

    def forward(self, x: Tensor) -> Tensor:
        """The fields, `(*batch, d)` to `(*batch, n)`."""
        y: Tensor = self.body(x)
        return y

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        return push(self.body, jet)


@final
class _Distances(nn.Module):
    """By field a function that is 0 on its boundary; 1 of fields without."""

    def __init__(self, known: Mapping[int, Distance], fields: int) -> None:
        super().__init__()
        self.known = nn.ModuleDict({str(field): distance for field, distance in known.items()})
        self.fields = fields

    def forward(self, x: Tensor) -> Tensor:
        one = torch.ones_like(x[..., :1])
        return torch.cat([self.known[k](x) if (k := str(i)) in self.known else one for i in range(self.fields)], dim=-1)

    def forward_jet(self, jet: Jet) -> Jet:
        one = jet[..., :1] * 0.0 + 1.0
        return Jet.concatenate(
            [push(self.known[k], jet) if (k := str(i)) in self.known else one for i in range(self.fields)]
        )
