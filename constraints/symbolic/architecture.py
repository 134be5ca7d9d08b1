"""Networks that obey equations whatever their weights are: by conditions built in, or as derivatives of potentials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

import sympy
from torch import nn

from constraints.domains import Boundary, Domain
from constraints.errors import SpecificationError, UnsupportedError
from constraints.fields import DerivedField
from constraints.rules import FieldRule, OutputRule
from constraints.symbolic.conditioned import ConditionedNetwork
from constraints.symbolic.conditions import Condition, Mirror, Period, Surface, read_conditions, read_surfaces
from constraints.symbolic.construction import construct
from constraints.symbolic.extent import Bounds, covers, even, hull
from constraints.symbolic.potential import Row, annihilates, find_potentials
from constraints.symbolic.terms import Equation
from constraints.symbolic.trial import MeetingError

__all__ = ["Architecture", "Conditioned", "Potentials", "Structured", "bounds_of", "find_architecture"]


class Architecture(ABC):
    """How any network is made into one that obeys."""

    cost: str
    why: str

    @abstractmethod
    def wrap(self, network: nn.Module, bounds: Bounds) -> nn.Module:
        """A network that obeys, and obeys what it already does.

        Args:
            network: the network.
            bounds: of the domain of the fields, which may be larger than that of the equations.

        Raises:
            UnsupportedError: it cannot do both.
            SpecificationError: a network of another number of inputs or outputs than is needed.
        """

    @abstractmethod
    def guaranteed(self, network: nn.Module) -> bool:
        """Whether a network obeys by its construction."""

    def survives(self, rule: OutputRule, *, smooth: bool = False) -> bool:
        """See `FieldRule.survives`."""
        return False


@final
class Conditioned(Architecture):
    """By `ConditionedNetwork`: values, slopes, periods and mirrors at places.

    Args:
        conditions: what holds.
        coordinates: of the fields.
        fields: how many outputs there are.
        bounds: of the coordinates, where known.

    Raises:
        InfeasibleError: conditions that contradict each other.
        UnsupportedError: conditions for which no construction is known.
    """

    def __init__(
        self, conditions: Sequence[Condition], coordinates: Sequence[sympy.Symbol], fields: int, bounds: Bounds
    ) -> None:
        construction = construct(conditions, coordinates, fields, bounds)
        places = sum(len({at for _, f in one.functionals for at, _ in f}) for one in construction.corrections)
        periods = any(isinstance(c, Period) for c in conditions)
        self.cost = "a factor and an offset"
        self.why = "a field obeys it by construction, whatever the network is"
        if places:
            many = f"{places} places" if places > 1 else "one place"
            self.cost += f"; an evaluation of the network with derivatives at {many} more"
        if periods:
            self.cost += ", or none where the network is given cosine and sine"
            self.why += "; given cosine and sine (one input more), all derivatives repeat, also those not stated"
        self.conditions, self.coordinates = tuple(conditions), tuple(coordinates)
        self.fields, self.bounds = fields, bounds

    def wrap(self, network: nn.Module, bounds: Bounds) -> nn.Module:
        """See `Architecture.wrap`."""
        before: tuple[Condition, ...] = ()
        bounds = hull(self.bounds, bounds)
        if isinstance(network, ConditionedNetwork):
            if network.fields != self.fields:
                raise UnsupportedError(
                    f"needs the same fields=[...] as the other hard conditions, got {self.fields} and {network.fields}"
                )
            before, bounds, network = network.conditions, hull(network.bounds, bounds), network.network
        conditions = list(dict.fromkeys([*before, *self.conditions]))
        return ConditionedNetwork(network, conditions, self.coordinates, self.fields, bounds)

    def guaranteed(self, network: nn.Module) -> bool:
        """Whether the conditions are among those of the network.

        Raises:
            UnsupportedError: they are, and bind fields of which no condition speaks.
        """
        if not isinstance(network, ConditionedNetwork) or not set(self.conditions) <= set(network.conditions):
            return False
        unshared = network.construction.unshared
        if unshared:
            raise UnsupportedError(
                f"periods along {', '.join(map(str, unshared))} must be those of all fields, as one network of cosines "
                f"and sines gives them all: state them for each field, or give the network the coordinates themselves"
            )
        return True


@final
class Potentials(Architecture):
    """By `DerivedField`: every solution is a derivative of free functions, which the network gives.

    Args:
        equations: of each its operators by field.
        outputs: of each field its operators by potential.
        bounds: of the coordinates, where known.
    """

    cost = "derivatives one order higher"

    def __init__(self, equations: Row, outputs: Row, bounds: Bounds) -> None:
        self.equations, self.outputs, self.bounds = equations, outputs, bounds
        self.potentials = 1 + max(j for output in outputs for j in output)
        many = f"{self.potentials} potentials" if self.potentials > 1 else "one potential"
        self.why = f"all solutions on a domain without holes are derivatives of {many}, which the network gives"

    def wrap(self, network: nn.Module, bounds: Bounds) -> nn.Module:
        """See `Architecture.wrap`."""
        _require_whole(self.bounds, bounds)
        if isinstance(network, ConditionedNetwork | DerivedField):
            raise UnsupportedError(
                "its derivatives of potentials do not keep what the other hard rules guarantee: state linear equations "
                "together as one rule, or embed the others as Soft"
            )
        last = network[-1] if isinstance(network, nn.Sequential) else None
        if isinstance(last, nn.Linear) and last.out_features != self.potentials:
            raise SpecificationError(
                f"needs a network of {self.potentials} outputs, potentials of which the {len(self.outputs)} fields are "
                f"derivatives, got one of {last.out_features}"
            )
        return DerivedField(network, self.outputs)

    def guaranteed(self, network: nn.Module) -> bool:
        """Whether the network is a `DerivedField` whose operators the equations take to 0."""
        return (
            isinstance(network, DerivedField)
            and len(network.operators) == len(self.outputs)
            and network.coordinates == next(iter(self.outputs[0].values())).coordinates
            and annihilates(self.equations, network.operators)
        )


@final
class Structured(Architecture):
    """By architectures of shape: monotone, convex, of bounded slope.

    Args:
        rules: what holds, on all outputs, their inputs bound.
        bounds: of the coordinates, where known.
    """

    why = "an architecture has the shape, whatever its weights are"

    def __init__(self, rules: Sequence[FieldRule], bounds: Bounds) -> None:
        self.rules, self.bounds = tuple(rules), bounds
        self.cost = "; ".join(dict.fromkeys(rule.explain().cost.removeprefix("Hard: ") for rule in rules))

    def wrap(self, network: nn.Module, bounds: Bounds) -> nn.Module:
        """See `Architecture.wrap`."""
        _require_whole(self.bounds, bounds)
        for rule in self.rules:
            network = network if rule.guaranteed(network) else rule.wrap(network)
        return network

    def guaranteed(self, network: nn.Module) -> bool:
        """Whether the network has every shape."""
        return all(rule.guaranteed(network) for rule in self.rules)

    def survives(self, rule: OutputRule, *, smooth: bool = False) -> bool:
        """Whether every shape does."""
        return all(own.survives(rule, smooth=smooth) for own in self.rules)


def find_architecture(
    equations: Sequence[Equation], names: Mapping[sympy.Symbol, sympy.Symbol], fields: int, domain: Domain | None
) -> Architecture | str:
    """What makes a network obey equations, or why nothing is known that does.

    Args:
        equations: all of one rule.
        names: the real symbol of each coordinate.
        fields: how many outputs there are.
        domain: where they hold.

    Raises:
        InfeasibleError: conditions that contradict each other.

    Example:
        >>> from constraints.symbolic.terms import read_equation
        >>> x = sympy.Symbol("x")
        >>> u = sympy.Function("u")(x)
        >>> find_architecture([read_equation(u.diff(x) - u**2, [u])], {x: sympy.Symbol("x", real=True)}, 1, None)
        '-u(x)**2 + Derivative(u(x), x) is not linear in the field'
    """
    if any(equation.integrands for equation in equations):
        return "an integral"
    coordinates, renamed = list(names.values()), [equation.renamed(names) for equation in equations]
    if isinstance(domain, Boundary):
        found = read_surfaces(renamed, coordinates, domain)
    else:
        found = read_conditions(renamed, coordinates)
    if not isinstance(found, str):
        bounds = bounds_of(domain)
        try:
            return Conditioned([_on_part(one, bounds) for one in found], coordinates, fields, bounds)
        except (UnsupportedError, MeetingError) as error:
            return str(error)
    everywhere = all(term.place == tuple(coordinates) for one in renamed for term in one.terms.values())
    if fields == 1 or not everywhere or isinstance(domain, Boundary):
        return found
    potentials = find_potentials(renamed, coordinates, fields)
    if isinstance(potentials, str):
        return potentials
    if domain is not None and not domain.contractible:
        return "not all of its solutions are derivatives of potentials where the domain has holes, as this one may have"
    return Potentials(*potentials, bounds_of(domain))


def _require_whole(own: Bounds, bounds: Bounds) -> None:
    """Refuse an architecture, which holds everywhere, where its equations hold on a part of the domain."""
    if not covers(tuple((axis, *ends) for axis, ends in own.items()), bounds):
        raise UnsupportedError(
            f"its architecture holds everywhere, and its domain is a part, {_shown(own)}, of that of all rules, "
            f"{_shown(bounds)}: state it on all of it, or embed it as Soft"
        )


def _shown(bounds: Bounds) -> str:
    return " x ".join(f"({low:.6g}, {high:.6g})" for _, (low, high) in sorted(bounds.items()))


def _on_part(condition: Condition, bounds: Bounds) -> Condition:
    """The condition on the part of its side that the domain spans."""
    if isinstance(condition, Surface):
        return condition
    extent = tuple((i, low, high) for i, (low, high) in sorted(bounds.items()) if i != condition.axis)
    if any(low == high for _, low, high in extent):
        raise UnsupportedError("no field is known with a condition at a single place of several coordinates")
    if isinstance(condition, Mirror) and condition.axis in bounds:
        extent = even((*extent, (condition.axis, *bounds[condition.axis])), condition.axis, float(condition.center))
    return replace(condition, extent=extent)


def bounds_of(domain: Domain | None) -> dict[int, tuple[float, float]]:
    """The bounds of the coordinates of a domain by place; none without a domain."""
    if domain is None:
        return {}
    low, high = domain.bounds
    return dict(enumerate(zip(low.tolist(), high.tolist(), strict=True)))
