"""A network that obeys conditions by its construction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

import sympy
import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.fields import (
    ConstrainedExpression,
    Jet,
    Mirrored,
    PlaceFunctional,
    Product,
    TransformedNetwork,
    push,
)
from constraints.functional.one_tensor import require_tensor
from constraints.functional.precision import forward_in_own_precision, one_precision
from constraints.symbolic.conditions import Condition, Period, Surface
from constraints.symbolic.construction import construct
from constraints.symbolic.extent import Bounds, ramp
from constraints.symbolic.formula_field import FormulaField, Piecewise

__all__ = ["ConditionedNetwork", "input_width"]


@final
class ConditionedNetwork(nn.Module):
    """A network whose fields obey conditions exactly, whatever its weights are.

    Args:
        network: takes the coordinates, and gives the fields. Given one input more for each coordinate with a period, it
            takes the cosine and the sine of that: all derivatives repeat then, also those of which no condition speaks.
            Its number of inputs is its attribute `in_features`, or that of its first layer; where there is none, it
            takes the coordinates.
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
        width = input_width(network)
        periods = {c.axis for c in conditions if isinstance(c, Period)}
        widths = sorted({len(self.coordinates), len(self.coordinates) + len(periods)})
        if width is not None and (periods or width < widths[0]) and width not in widths:
            raise SpecificationError(
                f"these conditions need a network of {' or '.join(map(str, widths))} inputs, of the coordinates "
                f"{', '.join(map(str, self.coordinates))}"
                + (f" or of cosine and sine instead of each of {self._named(periods)}" if periods else "")
                + f", got one of {width}"
            )
        self.construction = found = construct(
            conditions, coordinates, fields, bounds, angles=bool(periods) and width == widths[-1]
        )
        self._given = (network,)  # a part of `body`, which is not to be a part twice
        inner = network
        if found.inputs != self.coordinates:
            inner = TransformedNetwork(inner, inputs=FormulaField(found.inputs, coordinates))
        for own in found.reflections:
            within = own.share(coordinates) if own.partial else sympy.Integer(1)
            share = self._formulas([within], [own.share(coordinates)]) if own.extent else None
            inner = Mirrored(inner, axis=own.axis, center=own.center, signs=own.signs, share=share)
        for one in found.corrections:
            functionals = [
                PlaceFunctional(k, tuple((float(at), n, float(a)) for (at, n), a in functional.items()))
                for k, functional in one.functionals
            ]
            switching = self._formulas(one.switching, one.beyond)
            inner = ConstrainedExpression(inner, one.axis, len(self.coordinates), functionals, switching)
        factor: nn.Module | None = None
        if any(f != 1 for f in found.beyond):
            factor = self._formulas(found.factors, found.beyond)
        surfaces = [c for c in conditions if isinstance(c, Surface)]
        if surfaces:
            distances = _Distances({c.field: self._distance(c) for c in surfaces}, fields)
            factor = distances if factor is None else Product(factor, distances)
        self.body = TransformedNetwork(
            inner,
            factor=factor,
            offset=FormulaField(found.offsets, coordinates) if any(g != 0 for g in found.offsets) else None,
        )

    def _formulas(self, within: Sequence[sympy.Expr], beyond: Sequence[sympy.Expr]) -> nn.Module:
        field = FormulaField(within, self.coordinates)
        if tuple(within) == tuple(beyond):
            return field
        known = [self.bounds.get(axis, (-math.inf, math.inf)) for axis in range(len(self.coordinates))]
        return Piecewise(field, FormulaField(beyond, self.coordinates), known)

    def _distance(self, surface: Surface) -> nn.Module:
        """Of a boundary, and of a cylinder around the domain one that also leaves free what is beyond its ends."""
        if not surface.extent or not surface.encloses(self.bounds):
            return surface.domain.distance()
        ends = self._formulas([sympy.Integer(0)], [ramp(surface.extent, self.coordinates)])
        return _Sum(surface.domain.distance(), ends)

    def _named(self, axes: set[int]) -> str:
        return ", ".join(str(self.coordinates[axis]) for axis in sorted(axes))

    @property
    def network(self) -> nn.Module:
        """What was given."""
        return self._given[0]

    @forward_in_own_precision
    def forward(self, x: Tensor) -> Tensor:
        """The fields, `(*batch, d)` to `(*batch, n)`; autocast is off inside."""
        self._require_points(x)
        with one_precision("`ConditionedNetwork`", self.network, x):
            y: Tensor = self.body(x)
        require_tensor("`ConditionedNetwork`", y)
        self._require_fields(y.shape[-1])
        return y

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        self._require_points(jet.value)
        y = push(self.body, jet)
        self._require_fields(y.width)
        return y

    def _require_points(self, x: Tensor) -> None:
        if x.shape[-1] != len(self.coordinates):
            names = ", ".join(map(str, self.coordinates))
            raise ShapeError(
                f"conditions need points (*batch, {len(self.coordinates)}) of {names}, got {tuple(x.shape)}"
            )
        if x.dtype in (torch.bfloat16, torch.float16):
            raise SpecificationError(
                f"conditions hold in float32 or float64, and not in {x.dtype}: keep the network in float32"
            )

    def _require_fields(self, width: int) -> None:
        if width != self.fields:
            raise ShapeError(
                f"conditions on {self.fields} field{'s' if self.fields > 1 else ''} need a network with an output for "
                f"each, got {width} outputs"
            )


def input_width(network: nn.Module) -> int | None:
    """How many inputs a network takes, where it, or its first layer, has the attribute.

    Example:
        >>> input_width(nn.Sequential(nn.Linear(3, 8), nn.Tanh())), input_width(nn.Tanh())
        (3, None)
    """
    first = next((part for part in network.modules() if not list(part.children())), None)
    for module in (network, first):
        width = getattr(module, "in_features", None)
        if isinstance(width, int):
            return width
    return None


@final
class _Distances(nn.Module):
    """By field a function that is 0 on its boundary; 1 of fields without."""

    def __init__(self, known: Mapping[int, nn.Module], fields: int) -> None:
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


@final
class _Sum(nn.Module):
    """What two modules give of the same input, added."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.first(x) + self.second(x)
        return y

    def forward_jet(self, jet: Jet) -> Jet:
        return push(self.first, jet) + push(self.second, jet)
