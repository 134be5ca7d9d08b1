"""The derivative engine: all wanted derivatives of a field in one pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import cast, final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.fields.jet import Jet
from constraints.fields.layers import NoJetRuleError, flatten, is_plain_linear, obstacle, push_layers, says_rule
from constraints.fields.nested import nested_derivatives
from constraints.fields.operators import DifferentialOperator, MultiIndex
from constraints.fields.program import compile_program
from constraints.fields.rotation import alike, turned_operators, turned_slopes
from constraints.fields.streams import Plan, Streams, plan

__all__ = ["Derivatives"]


@final
class Derivatives:
    r"""The values of differential operators on a field, at points.

    They are found by forward Taylor arithmetic: the value and all derivatives that the operators need travel together
    through the network, stacked, so that every linear layer is one matrix product. An operator that is wanted only as
    a sum (a Laplacian, :math:`\partial_t - \nu\,\partial_x^2`) is one stream for its highest derivatives. What comes
    out is differentiated once more, by parameters and points, in one ordinary backward pass. Where a module has no
    rule for jets, derivatives are found by nested autograd instead, and `explain` says so.

    The value of the field at a point must depend on that point alone. Autocast is switched off inside.

    Args:
        wanted: operators made of `partials`, or multi-indices: `(0, 2)` is twice along the second coordinate, `(0, 0)`
            is the value itself. Order up to 4.

    Raises:
        SpecificationError: nothing wanted, different numbers of coordinates, an order above 4.

    Source: Bettencourt, Johnson and Duvenaud, "Taylor-mode automatic differentiation for higher-order derivatives in
    JAX", 2019; Dangel, Siebert, Zeinhofer and Walther, "Collapsing Taylor mode automatic differentiation", 2025,
    arXiv:2505.13644.

    Example:
        >>> from constraints.fields import partials
        >>> dx, dt = partials(2)
        >>> burgers = Derivatives([(0, 0), dx, dt, dx**2])
        >>> network = nn.Sequential(nn.Linear(2, 20), nn.Tanh(), nn.Linear(20, 1))
        >>> u, u_x, u_t, u_xx = burgers(network, torch.rand(5, 2))
        >>> (u_t + u * u_x - 0.01 * u_xx).shape
        torch.Size([5, 1])
        >>> burgers.explain(network)
        'forward jets of 4 streams'
    """

    def __init__(self, wanted: Sequence[DifferentialOperator | MultiIndex]) -> None:
        self.wanted = tuple(one if isinstance(one, DifferentialOperator) else _monomial(one) for one in wanted)
        self._plan = _prepare(self.wanted)
        self._alike = alike(self.wanted)
        self._turned: dict[int, Plan] = {}

    @property
    def streams(self) -> Streams:
        """What travels through a network, where nothing can be saved by turned coordinates."""
        return self._plan.streams

    @property
    def coordinates(self) -> int:
        """How many coordinates a point has."""
        return self.streams.coordinates

    @property
    def order(self) -> int:
        """The highest order of the wanted derivatives."""
        return max(operator.order for operator in self.wanted)

    def __call__(self, field: Callable[[Tensor], Tensor], points: Tensor) -> tuple[Tensor, ...]:
        """Of each wanted operator, its value on the field at each point.

        Args:
            field: from `(*batch, coordinates)` to `(*batch, n)`; a module, for jets.
            points: `(*batch, coordinates)`, floating-point.

        Returns:
            A tensor `(*batch, n)` for each.

        Raises:
            SpecificationError: points that are not floating-point.
            ShapeError: points with another number of coordinates.
            UnsupportedError: activations that are not smooth enough.
        """
        self._check(points)
        kind = points.device.type
        if torch.is_autocast_enabled(kind):  # rounding to half precision leaves nothing of higher derivatives
            with torch.autocast(kind, enabled=False):
                return self(field, points)
        if hasattr(type(field), "forward_derivatives"):
            asked: tuple[Tensor, ...] = field.forward_derivatives(self.wanted, points)  # type: ignore[attr-defined]
            return asked
        flat = points.reshape(-1, self.coordinates)
        found = self._by_jets(field, flat) if isinstance(field, nn.Module) else None
        found = nested_derivatives(field, flat, self.wanted) if found is None else found
        return tuple(value.reshape(*points.shape[:-1], value.shape[-1]) for value in found)

    def explain(self, field: Callable[[Tensor], Tensor]) -> str:
        """How the derivatives of a field are found, and why not by jets where they are not."""
        if hasattr(type(field), "forward_derivatives"):
            return f"as `{type(field).__name__}` finds them"
        why = obstacle(field)
        streams = self.streams
        if why is None and isinstance(field, nn.Module):
            numbers = (t for t in itertools.chain(field.parameters(), field.buffers()) if t.is_floating_point())
            like = next(numbers, torch.zeros(()))
            try:
                jet, _ = self._push(field, torch.zeros(1, self.coordinates, dtype=like.dtype, device=like.device))
                streams = jet.streams
            except NoJetRuleError as error:
                why = str(error)
        return f"forward jets of {len(streams)} streams" if why is None else f"nested autograd: {why}"

    def _by_jets(self, field: nn.Module, points: Tensor) -> Sequence[Tensor] | None:
        try:
            jet, plan = self._push(field, points)
        except NoJetRuleError:
            return None
        keep = range(len(plan.streams)) if jet.keep is None else jet.keep
        row = dict(zip(keep, jet.stack.unbind(1), strict=True))
        found = []
        for sums in plan.sums:
            parts = [row[place] if c == 1.0 else c * row[place] for place, c in sums]
            found.append(sum(parts[1:], parts[0]) if parts else torch.zeros_like(jet.stack[:, 0]))
        return [value.mT for value in found]

    def _push(self, field: nn.Module, points: Tensor) -> tuple[Jet, Plan]:
        layers = list(flatten(field))
        plan = self._turn(layers)
        if plan is None:
            jet = Jet.of_points(self.streams, points)
            return push_layers(layers, jet, self._plan.keep).dense(), self._plan
        first, *others = layers
        linear = cast(nn.Linear, first)
        value = nn.functional.linear(points, linear.weight, linear.bias).mT.contiguous()
        jet = Jet(plan.streams, value[:, None], turned_slopes(linear.weight, self._alike))
        return push_layers(others, jet, plan.keep).dense(), plan

    def _turn(self, layers: Sequence[nn.Module]) -> Plan | None:
        """The plan in turned coordinates, where they are fewer: the first layer is linear, and narrower than they are.

        Modules with a rule of their own may look at the coordinates, so that these must stay as they are.
        """
        if len(self._alike) < 2 or not is_plain_linear(layers[0]) or any(says_rule(layer) for layer in layers):
            return None
        width = len(cast(nn.Linear, layers[0]).weight)
        if width >= len(self._alike):
            return None
        if width not in self._turned and not torch.compiler.is_compiling():  # which cannot trace it
            self._turned[width] = _prepare(turned_operators(self.wanted, self._alike, width))
        return self._turned.get(width)

    def _check(self, points: Tensor) -> None:
        if not points.is_floating_point():
            raise SpecificationError(f"`Derivatives` needs points that are floating-point, got {points.dtype}")
        if points.dim() < 1 or points.shape[-1] != self.coordinates:
            raise ShapeError(
                f"`Derivatives` needs points (*batch, {self.coordinates}), got shape {tuple(points.shape)}"
            )

    def __repr__(self) -> str:
        return f"Derivatives({list(self.wanted)})"


def _monomial(index: MultiIndex) -> DifferentialOperator:
    if not isinstance(index, tuple):
        raise SpecificationError(f"`Derivatives` needs operators or multi-indices (tuples of integers), got {index!r}")
    return DifferentialOperator({index: 1.0})


def _prepare(wanted: Sequence[DifferentialOperator]) -> Plan:
    """The plan, with all that is computed once for it, and that torch.compile cannot trace."""
    found = plan(wanted)
    for keep in (tuple(range(len(found.streams))), found.keep):
        compile_program(found.streams, keep)
    assert len(found.streams.product) == len(found.streams) - 1
    return found
