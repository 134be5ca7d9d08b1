"""Equations of fields: differential, algebraic, at the boundary, as residuals at points."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, final

import sympy
import torch
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from torch import Tensor, nn

from constraints.domains import Boundary, Domain
from constraints.errors import NonFiniteError, ShapeError, SpecificationError, UnsupportedError, naming
from constraints.functional.precision import is_transforming
from constraints.rules.explanation import Explanation, Guarantee
from constraints.rules.field_rule import FieldRule
from constraints.rules.output_rule import OutputRule
from constraints.rules.rule import Rule
from constraints.rules.squares import Squares
from constraints.sampling import Sampler, Uniform
from constraints.sets.zero import NonPositive, Zero
from constraints.symbolic.architecture import Architecture, Conditioned, Structured, bounds_of, find_architecture
from constraints.symbolic.conditioned import input_width
from constraints.symbolic.conditions import Condition
from constraints.symbolic.extent import Bounds, hull
from constraints.symbolic.field_residual import Basis, FieldResidual
from constraints.symbolic.jumps import (
    local_parts,
    require_no_jump_derivatives,
    require_smooth_coefficients,
    with_limits,
    without_far_steps,
    without_tested,
)
from constraints.symbolic.learnable import Learnable
from constraints.symbolic.region import Region, normal, read_region
from constraints.symbolic.terms import Equation, as_real, read_equation
from constraints.sympy_input import require_fields, require_symbols, require_used

__all__ = ["FieldEquation"]

UNRESOLVED = 1e-3  # Legendre coefficients of an integrand, by its size, above which its integral is not resolved


@final
class FieldEquation(FieldRule):
    r"""Equations, or inequalities, of a model's outputs as functions of its inputs, and of their derivatives.

    The residual, left side less right side, is found at points: the model's own inputs, or with a `domain` points drawn
    in it, `draws` for each sample, anew each time unless a sampler keeps them. Terms at other places, `u(0, t)` or a
    derivative at `x = 1`, are found there, so that initial, boundary and periodic conditions are equations as any
    other. Places of the same derivatives share a pass of `constraints.fields.Derivatives`. `declare(..., fields=[...])`
    makes it of what is not a rule of structure.

    Args:
        relations: equations, or inequalities, which all hold; not both.
        fields: the model's outputs, in the order of its columns, as functions of all its inputs in their order.
        domain: bounds of each coordinate, or domains of several (see `constraints.domains`), where points are to be
            drawn, and inside which they must lie; of a boundary, `normal(x, y)` are symbols of its normal.
        draws: how many points of the domain for each sample, by default 1; 0 for the model's inputs themselves.
        sampler: chooses the points in training (see `constraints.sampling`), by default uniformly; points at which the
            rule is measured are always uniform.
        parameters: numbers that are learnt.
        structure: rules of shape that together are the relations, by which an architecture can hold them.
        soft_because: why no architecture holds inequalities, for `explain()`, where that is known.
        nodes: of Gauss-Legendre quadrature along each axis of integrals, at least 3; by default 32 along a line, 10
            along each side of a rectangle, 6 along more. Where the integrand is not resolved by them a warning gives
            the estimated error.
        name: see `Rule`.
        unit: see `Rule`; of the residual.
        source: see `Rule`.

    Raises:
        SpecificationError: a symbol that nobody declared, a field of another arity, a domain that is none, strict
            inequalities, equations beside inequalities, arguments that have no use: a parameter of which no relation
            speaks, `draws` or a sampler without points to draw, `nodes` without an integral.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> u = sympy.Function("u")(x, t)
        >>> heat = FieldEquation([sympy.Eq(u.diff(t), u.diff(x, 2))], [u])
        >>> class Wave(nn.Module):
        ...     def forward(self, p):
        ...         return torch.exp(-p[..., 1:]) * torch.sin(p[..., :1])
        >>> p = torch.rand(4, 2, dtype=torch.float64)
        >>> bool((heat.measure(Wave(), p, p) < 1e-12).all())
        True
    """

    def __init__(
        self,
        relations: Sequence[Relational],
        fields: Sequence[AppliedUndef],
        *,
        domain: Region | None = None,
        draws: int | None = None,
        sampler: Sampler | None = None,
        parameters: Mapping[sympy.Symbol, Learnable] | None = None,
        structure: Sequence[FieldRule] = (),
        soft_because: str = "",
        nodes: int | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        require_fields(fields, "`FieldEquation`")
        require_symbols(parameters or (), "`parameters` of `FieldEquation`")
        gaps, equal = zip(*(_gap(relation) for relation in relations), strict=True)
        if len(set(equal)) > 1:
            raise SpecificationError(
                "`FieldEquation` needs equations or inequalities, got both: make two rules of them"
            )
        super().__init__(Zero() if equal[0] else NonPositive(), name=name, unit=unit, source=source)
        self.relations, self.fields = tuple(relations), tuple(fields)
        self.coordinates: tuple[sympy.Symbol, ...] = tuple(fields[0].args)
        other = [field for field in fields if tuple(field.args) != self.coordinates]
        if other:
            raise SpecificationError(
                f"`FieldEquation` needs fields of the same coordinates {self.coordinates}, got {other[0]}"
            )
        learnables = dict(parameters or {})
        taken = {symbol.name for symbol in (*self.coordinates, *normal(*self.coordinates))}
        for symbol, one in learnables.items():
            if not isinstance(one, Learnable) or not symbol.name.isidentifier() or symbol.name in taken:
                raise SpecificationError(
                    f"rule `{self.name}` needs a plain name of its own and a Learnable for each parameter, got {symbol}"
                )
        spoken = {symbol for gap in gaps for symbol in gap.free_symbols}
        require_used(self.name, "parameters", learnables, spoken, "of which no relation speaks")
        self.learnables = {_real(symbol): one for symbol, one in learnables.items()}
        self.raw = nn.ParameterDict({str(symbol): one.start() for symbol, one in self.learnables.items()})
        if sampler is not None and not isinstance(sampler, Sampler):
            raise SpecificationError(f"rule `{self.name}` needs a Sampler, got {type(sampler).__name__}")
        idle = [n for n, value in (("draws", draws or None), ("sampler", sampler)) if value is not None]
        if idle and (domain is None or draws == 0):
            where = "fields without a domain" if domain is None else "draws=0"
            raise SpecificationError(
                f"rule `{self.name}` needs arguments that have a meaning beside {where}, got {idle[0]}="
            )
        self.draws = 1 if draws is None else draws
        self._compiled: Callable[..., Tensor] | None = None
        self._seen: tuple[Tensor, Tensor] | None = None
        self.domain, self.sampler = None if domain is None else self._region(domain), sampler or Uniform()
        if nodes is not None and (not isinstance(nodes, int) or nodes < 3):
            raise SpecificationError(f"rule `{self.name}` needs a whole number of nodes >= 3, got {nodes}")
        if nodes is not None and not any(gap.has(sympy.Integral) for gap in gaps):
            raise SpecificationError(f"rule `{self.name}` needs an integral for its nodes, got none")
        self.nodes, self._resolved = nodes, True
        with naming(f"rule `{self.name}`"):
            equations = [self._read(gap) for gap in gaps]
        for one in equations:
            if not one.terms:
                raise SpecificationError(f"rule `{self.name}`: an equation needs to speak of a field, got {one.shown}")
        self._integrands = [part for one in equations for part in one.integrands]
        values = [one.part(e) for one in equations for integrand in one.integrands for e in integrand.values]
        at_boundary = normal(*self.coordinates) if isinstance(self.domain, Boundary) else ()
        with naming(f"rule `{self.name}`"):
            known = {symbol: _real(symbol) for symbol in [*self.coordinates, *learnables, *at_boundary]}
            self._residual = FieldResidual([*equations, *values], known, len(self.fields))
        self.equations = tuple(equations)
        seen = {s for e in equations for part in (e.expression, *_places(e)) for s in part.free_symbols}
        self._constant = not seen & {*self.coordinates, *at_boundary}
        self._around: Bounds = bounds_of(self.domain)
        self.architecture, reason = self._find_architecture(equations, all(equal), structure)
        self.soft_because = soft_because or reason

    def _read(self, gap: sympy.Expr) -> Equation:
        ranges = with_limits(gap, self.ranges)
        gap = without_far_steps(as_real(gap), ranges)
        require_no_jump_derivatives(gap, ranges)
        local, *inner = local_parts(without_tested(gap), self.coordinates, ranges)
        for part, known in (local, *inner):
            read = read_equation(part, self.fields)
            require_smooth_coefficients(read, self.coordinates, known, weak=part is not local[0])
        return read_equation(gap, self.fields, self.nodes)

    def _region(self, domain: Region) -> Domain:
        if isinstance(self.draws, bool) or not isinstance(self.draws, int) or self.draws < 0:
            raise SpecificationError(f"rule `{self.name}` needs a whole number of draws >= 0, got {self.draws}")
        with naming(f"rule `{self.name}`"):
            return read_region(domain, self.coordinates)

    def _find_architecture(
        self, equations: Sequence[Equation], equal: bool, structure: Sequence[FieldRule]
    ) -> tuple[Architecture | None, str]:
        """What holds the equations, or why nothing does."""
        if structure:
            for rule in structure:
                rule.bind_inputs([str(x) for x in self.coordinates])
            return Structured(structure, bounds_of(self.domain)), ""
        if not equal:
            return None, "an inequality"
        names = {s: _real(s) for s in self.coordinates}
        with naming(f"rule `{self.name}`"):
            found = find_architecture(equations, names, len(self.fields), self.domain)
        return (None, found) if isinstance(found, str) else (found, "")

    @property
    def ranges(self) -> dict[sympy.Symbol, tuple[float, float]]:
        """The lowest and the highest of each coordinate in the domain; none without a domain."""
        if self.domain is None:
            return {}
        low, high = (bound.tolist() for bound in self.domain.bounds)
        return dict(zip(self.coordinates, zip(low, high, strict=True), strict=True))

    def bind_inputs(self, names: Sequence[str] | None) -> None:
        """Check that inputs called as its coordinates are at their places: it takes them as all inputs, in their order.

        Raises:
            SpecificationError: one is elsewhere.
        """
        self._require_order("inputs", "coordinates", [str(x) for x in self.coordinates], names)

    def bind(self, names: Sequence[str] | None) -> None:
        """Check that outputs called as its fields are at their places: the fields are all outputs, in their order.

        Raises:
            SpecificationError: one is elsewhere.
        """
        self._require_order("outputs", "fields", [str(field.func) for field in self.fields], names)

    def bind_rules(self, rules: Sequence[Rule]) -> None:
        """See `FieldRule.bind_rules`: the domain of the fields is that of all equations of its coordinates."""
        own = [str(x) for x in self.coordinates]
        same = [rule for rule in rules if isinstance(rule, FieldEquation) and [str(x) for x in rule.coordinates] == own]
        self._around = reduce(hull, [bounds_of(rule.domain) for rule in same], bounds_of(self.domain))

    def _require_order(self, what: str, own: str, order: list[str], names: Sequence[str] | None) -> None:
        if any(name in order and order.index(name) != i for i, name in enumerate(names or ())):
            raise SpecificationError(
                f"rule `{self.name}` needs the module's {what} in the order of its {own} {order}, got "
                f"{list(names or ())}"
            )

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions at places that the equations are, where a construction holds them; else none."""
        return self.architecture.conditions if isinstance(self.architecture, Conditioned) else ()

    def wrap(self, network: nn.Module) -> nn.Module:
        """A network that obeys the equations, and those that it already obeys."""
        if self.architecture is None:
            raise UnsupportedError(f"rule `{self.name}` cannot be guaranteed: {self.soft_because}")
        with naming(f"hard rule `{self.name}`, with those before it"):
            return self.architecture.wrap(network, self._around)

    def guaranteed(self, network: nn.Module) -> bool:
        """Whether a network is made to obey these equations.

        Raises:
            UnsupportedError: it is, and binds fields by them of which no equation speaks.
        """
        if self.architecture is None:
            return False
        with naming(f"hard rule `{self.name}`"):
            return self.architecture.guaranteed(network)

    def survives(self, rule: OutputRule, *, smooth: bool = False) -> bool:
        """See `Architecture.survives`."""
        return self.architecture is not None and self.architecture.survives(rule, smooth=smooth)

    def pointwise(self) -> list[tuple[sympy.Expr, dict[int, sympy.Symbol]]]:
        """What is 0, or at most 0, of values of the fields at one point, as `u**2 - x`: with the symbol of each field.

        Of real coordinates; equations with parameters are left out.
        """
        names = {s: _real(s) for s in self.coordinates}
        found = []
        for equation in (e.renamed(names) for e in self.equations):
            plain = all(not any(t.orders) and t.place == tuple(names.values()) for t in equation.terms.values())
            if plain and equation.expression.free_symbols <= {*names.values(), *equation.terms}:
                found.append((equation.expression, {t.field: symbol for symbol, t in equation.terms.items()}))
        return found

    @property
    def constant(self) -> bool:
        """Whether the residuals are the same at all points: none but fixed places, and no coordinates."""
        return self._constant

    @property
    def order(self) -> int:
        """The highest order of a derivative.

        Example:
            >>> x = sympy.Symbol("x")
            >>> u = sympy.Function("u")(x)
            >>> FieldEquation([sympy.Eq(u.diff(x, 4), 1)], [u]).order
            4
        """
        return self._residual.order

    @property
    def learnt(self) -> dict[str, Tensor]:
        """What is learnt, as it is now, by name, `()` each.

        Example:
            >>> x, k = sympy.symbols("x k")
            >>> u = sympy.Function("u")(x)
            >>> FieldEquation([sympy.Eq(u.diff(x), k * u)], [u], parameters={k: Learnable(initial=2.0)}).learnt
            {'k': tensor(2.)}
        """
        return {str(symbol): one.value(self.raw[str(symbol)]).detach() for symbol, one in self.learnables.items()}

    def points(self, x: Tensor) -> Tensor:
        """Where the equations are tested: `x`, or `draws` points of the domain for each, `(*batch, draws, d)`."""
        if self.domain is None or not self.draws:
            return x
        shape = (*x.shape[:-1], self.draws, len(self.coordinates))
        sampler = self.sampler if self.training else Uniform()
        return sampler.sample(self.domain, math.prod(shape[:-1]), x).reshape(shape)

    def quantity(self, field: nn.Module, points: Tensor) -> Tensor:
        """The residuals, `(*batch, m)`; those of all points of a sample side by side, with a domain.

        Raises:
            ShapeError: points with another number of coordinates, or a model with too few outputs.
            NonFiniteError: a residual that is not finite, in training.
        """
        d = len(self.coordinates)
        if points.shape[-1] != d:
            names = ", ".join(map(str, self.coordinates))
            raise ShapeError(
                f"rule `{self.name}` needs points (*batch, {d}) of its coordinates ({names}), got shape "
                f"{tuple(points.shape)}"
            )
        flat = points.reshape(-1, d)
        self._require_inside(flat)
        whole = self._at(field, flat)
        result = whole[:, : len(self.equations)]
        self._require_resolved(whole[:, len(self.equations) :])
        self._require_finite(result, flat)
        if self.training and self._draws and type(self.sampler).learn is not Sampler.learn:
            self._seen = flat.detach(), self.constraint.violation(result.detach())
        result = result.reshape(*points.shape[:-1], len(self.equations))
        return result.flatten(-2) if self._draws else result

    def after_step(self, model: nn.Module) -> None:
        """The sampler learns from the residuals of the step: points stay while an optimiser asks more than once."""
        if self._seen is not None and self.domain is not None:
            points, sizes = self._seen
            self._seen = None
            self.sampler.learn(self.domain, points, sizes, lambda p: self._sizes(model, p))

    def squares(self, model: nn.Module, x: Tensor) -> Squares:
        """See `Rule.squares`: each point is a row."""
        points = self.points(x).detach().reshape(-1, len(self.coordinates))

        def residual(rows: Tensor) -> Tensor:
            found = self.residuals(model, rows)
            return found if isinstance(self.constraint, Zero) else found.clamp(min=0.0)

        return Squares(residual, points, 1.0 / math.prod(x.shape[:-1]))

    def residuals(self, field: nn.Module, points: Tensor) -> Tensor:
        """The residuals at points `(n, d)`, `(n, m)`; `quantity` also checks points and residuals."""
        return self._at(field, points)[:, : len(self.equations)]

    def linearise(self, basis: Basis, coefficients: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals `(n, m)` of sums over a basis, and slopes `(n, m, fields, k)`: see `FieldResidual`."""
        with torch.no_grad():
            residuals, slopes = self._residual.linearise(basis, coefficients, points, self._leaves(points))
        return residuals[:, : len(self.equations)], slopes[:, : len(self.equations)]

    def _leaves(self, points: Tensor) -> dict[str, Tensor]:
        """What each symbol is at points `(n, d)`, by its name."""
        leaves = {s.name: points[:, i] for i, s in enumerate(self.coordinates)}
        for symbol, one in self.learnables.items():
            leaves[symbol.name] = one.value(self.raw[symbol.name]).to(points)
        if isinstance(self.domain, Boundary):
            columns = self.domain.normal(points).unbind(-1)
            leaves |= {s.name: n for s, n in zip(normal(*self.coordinates), columns, strict=True)}
        return leaves

    def _at(self, field: nn.Module, points: Tensor) -> Tensor:
        """The residuals at points `(n, d)`, `(n, m)`, and behind them the integrands at their nodes."""
        leaves = self._leaves(points)
        if self._compiled is not None:
            try:
                return self._compiled(field, points, leaves)
            except Exception as error:  # of the compiler, or ours, which comes again below
                self._compiled = None
                warnings.warn(f"rule `{self.name}` is not compiled, runs eagerly: {error}", stacklevel=2)

        def check(broken: Tensor) -> None:
            if bool(broken.any()):
                raise NonFiniteError(
                    f"rule `{self.name}` needs finite slopes of its residuals, which have no limit at "
                    f"{int(broken.sum())} of {len(points)} points, the first {self._shown(points[broken][0])}: where "
                    f"the argument of a root is 0, square the equation, or add a small number below the root"
                )

        equal = isinstance(self.constraint, Zero)
        watch = None if is_transforming() or not torch.is_grad_enabled() else check

        def penalised(residual: Tensor) -> Tensor:
            return torch.ones_like(residual, dtype=torch.bool) if equal else residual > 0.0

        try:
            found = self._residual.evaluate(
                field, points, leaves, check=watch, now=penalised if self.training else None
            )
        except (ShapeError, RuntimeError) as error:
            self._require_inputs(field, points, error)
            if isinstance(error, ShapeError):
                raise ShapeError(f"rule `{self.name}`: {error}") from error
            raise
        return found

    def _require_inputs(self, field: nn.Module, points: Tensor, error: Exception) -> None:
        """Say of an error that the network takes another number of inputs than there are coordinates, where it does."""
        inputs, d = input_width(field), len(self.coordinates)
        if inputs in (None, d) or _accepts(field, points):
            return
        names = ", ".join(map(str, self.coordinates))
        raise ShapeError(
            f"rule `{self.name}` needs a network of its {d} coordinates ({names}), got `{type(field).__name__}` of "
            f"{inputs} inputs: name all inputs as coordinates, or pass a network of these alone"
        ) from error

    def _require_resolved(self, values: Tensor) -> None:
        """Warn, once, where quadrature does not resolve an integrand, from the values of all at their nodes."""
        if not values.shape[1] or not len(values) or not self._resolved or is_transforming():
            return
        parts = values.detach().split([len(one.values) for one in self._integrands], dim=1)
        error = max(float(one.error(part).amax()) for one, part in zip(self._integrands, parts, strict=True))
        if error > UNRESOLVED:
            self._resolved = False
            warnings.warn(
                f"rule `{self.name}` does not resolve an integral: its estimated error is {error:.2g} of its size. "
                f"Pass nodes=, more than {self.nodes or 'the default'}",
                stacklevel=2,
            )

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the residuals, and with them their backward pass, by `torch.compile(..., *args, **kwargs)`.

        Where that fails, at the first step, the rule runs eagerly and says so in a warning. So does a rule with roots
        or the like, whose slopes are looked at in each step. Copies and pickles are not compiled.
        """
        if self._residual.watched:
            warnings.warn(
                f"rule `{self.name}` is not compiled, runs eagerly: slopes of its residuals may have no limit",
                stacklevel=2,
            )
            return
        self._compiled = torch.compile(self._residual.__call__, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """All but what is compiled, and the points of the last step."""
        return {**self.__dict__, "_compiled": None, "_seen": None}

    def _sizes(self, field: nn.Module, points: Tensor) -> Tensor:
        """Violations elsewhere, without gradients; where jets do not pass, derivatives need them on the way."""
        with torch.enable_grad():
            return self.constraint.violation(self.residuals(field, points.requires_grad_())).detach()

    @property
    def _draws(self) -> bool:
        return self.domain is not None and self.draws > 0

    def _require_inside(self, points: Tensor) -> None:
        """Refuse points of the user's that lie outside the domain; drawn ones cannot."""
        if self._draws or self.domain is None or points.device.type != "cpu" or torch.compiler.is_compiling():
            return
        outside = ~self.domain.contains(points.detach())
        if bool(outside.any()):
            raise SpecificationError(
                f"rule `{self.name}` needs points inside its domain, got {int(outside.sum())} of {len(points)} "
                f"outside, one at {self._shown(points[outside][0])}"
            )

    def _shown(self, point: Tensor) -> dict[str, float]:
        return dict(zip(map(str, self.coordinates), [round(c, 6) for c in point.detach().tolist()], strict=True))

    def _require_finite(self, residual: Tensor, points: Tensor) -> None:
        if residual.device.type != "cpu" or torch.compiler.is_compiling():  # to look would be to wait
            return
        broken = ~residual.detach().isfinite().all(dim=-1)
        if bool(broken.any()):
            raise NonFiniteError(
                f"rule `{self.name}` needs finite residuals, got some that are not at {int(broken.sum())} of "
                f"{len(broken)} points, the first at {self._shown(points[broken][0])}"
            )

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        count = len(self.equations)
        kinds = "equation" if isinstance(self.constraint, Zero) else "inequality"
        many = {"equation": "equations", "inequality": "inequalities", "condition": "conditions"}
        on = ", ".join(map(str, self.fields))
        learnt = f"; learnt: {', '.join(self.raw)}" if self.learnables else ""
        places = f" at each of {self._residual.places} places" if self._residual.places > 1 else ""
        if self.architecture is not None:
            what = "condition" if self.conditions else kinds
            return Explanation(
                rule=self.name,
                kind=f"{f'{count} {many[what]}' if count > 1 else what} on {on}",
                embeddings=("Hard", "Soft", "AugmentedLagrangian", "Monitor"),
                guarantee=Guarantee.EXACT,
                cost=f"Hard: {self.architecture.cost}",
                why=self.architecture.why,
            )
        derivatives = f"derivatives up to order {self.order}" if self.order else "no derivatives"
        soft = f"; not Hard: {self.soft_because}"
        return Explanation(
            rule=self.name,
            kind=f"{f'{count} {many[kinds]}' if count > 1 else kinds} of {on}",
            embeddings=("Soft", "AugmentedLagrangian", "Monitor"),
            guarantee=Guarantee.SOFT,
            cost=f"one evaluation of the model{' with its derivatives' if self.order else ''}{places}",
            why=derivatives + learnt + soft,
        )


def _accepts(field: nn.Module, points: Tensor) -> bool:
    """Whether a network can be called with points."""
    try:
        with torch.no_grad():
            field(points)
    except (ShapeError, RuntimeError):
        return False
    return True


def _places(equation: Equation) -> list[sympy.Expr]:
    """The coordinates of every place of an equation."""
    return [p for term in equation.terms.values() for p in term.place]


def _gap(relation: sympy.Basic) -> tuple[sympy.Expr, bool]:
    """What must be 0 (True) or at most 0 (False)."""
    if isinstance(relation, sympy.Eq):
        return relation.lhs - relation.rhs, True
    if isinstance(relation, sympy.Le):
        return relation.lhs - relation.rhs, False
    if isinstance(relation, sympy.Ge):
        return relation.rhs - relation.lhs, False
    raise SpecificationError(
        f"`FieldEquation` needs equations, or inequalities that include their boundary (<=, >=), got {relation}"
    )


def _real(symbol: sympy.Symbol) -> sympy.Symbol:
    return sympy.Symbol(symbol.name, real=True)
