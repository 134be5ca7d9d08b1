"""Residuals of equations at points: each place and derivative that they speak of is found once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import final

import sympy
import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.fields import Derivatives, DifferentialOperator
from constraints.functional.real_functions import RealFunction, fragile_symbols, real_number
from constraints.functional.slope_limits import SlopeLimits
from constraints.symbolic.statement import exact
from constraints.symbolic.terms import Equation, Place

__all__ = ["FieldResidual"]

WITH_ENDS = (sympy.asin, sympy.acos, sympy.asec, sympy.acsc, sympy.acosh)
"""Functions with finite values at the ends of their domains, and infinite slopes."""

Wanted = tuple[DifferentialOperator, ...]
Basis = Callable[[DifferentialOperator, Tensor], Tensor]
Asked = tuple[str, Place, DifferentialOperator, int]
"""Under which name an equation speaks of an operator on a field at a place."""


@final
class FieldResidual:
    """Equations compiled: from a field and points to the residual of each.

    Places of which the same derivatives are wanted go through the network together, in one pass.

    Args:
        equations: what must be 0, or at most 0.
        known: the real symbol of each coordinate, in their order, and of each parameter after them.
        fields: how many there are, one an output of the model; by default at least those of the equations.

    Attributes:
        watched: whether slopes may have no limit, or not be finite, where residuals are.

    Raises:
        SpecificationError: a symbol that nobody declared.

    Example:
        >>> from constraints.symbolic.terms import read_equation
        >>> x = sympy.Symbol("x")
        >>> u = sympy.Function("u")(x)
        >>> known = {x: sympy.Symbol("x", real=True)}
        >>> residual = FieldResidual([read_equation(u.diff(x) - 2, [u])], known)
        >>> p = torch.zeros(3, 1)
        >>> residual(nn.Linear(1, 1), p, {"x": p[:, 0]}).shape
        torch.Size([3, 1])
    """

    def __init__(
        self,
        equations: Sequence[Equation],
        known: Mapping[sympy.Symbol, sympy.Symbol],
        fields: int | None = None,
    ) -> None:
        self._fields = fields
        functions: list[tuple[RealFunction, list[Asked]]] = []
        self._limits: list[SlopeLimits] = []
        self._fragile: list[bool] = []
        self.watched = False
        places: dict[Place, list[DifferentialOperator]] = {}
        dimension = next((len(term.place) for equation in equations for term in equation.terms.values()), 0)
        for equation in equations:
            free = {s for term in equation.terms.values() for p in term.place for s in p.free_symbols}
            unknown = (equation.expression.free_symbols | free) - set(known) - set(equation.terms)
            if unknown:
                names = sorted(map(str, unknown))
                twins = [name for name in names if name in {s.name for s in known}]
                hint = f" ({', '.join(twins)} with other assumptions: use the same symbol)" if twins else ""
                raise SpecificationError(
                    f"every symbol needs to be a coordinate or a parameter, got {', '.join(names)}{hint}"
                )
            expression, asked = _collapse(equation)
            read = exact(expression, dict(known))
            functions.append((RealFunction(read), asked))
            differentiated = {name for name, *_ in asked} | {s.name for s in list(known.values())[dimension:]}
            self._limits.append(SlopeLimits(read, [s for s in read.free_symbols if s.name in differentiated]))
            self._fragile.append(any(s.name in differentiated for s in fragile_symbols(read)))
            ends = {s.name for e in read.atoms(*WITH_ENDS) for s in e.free_symbols}
            self.watched |= bool(self._limits[-1]) or bool(ends & differentiated)
            for _, place, operator, _ in asked:
                several = places.setdefault(place, [])
                if operator not in several:
                    several.append(operator)
        together: dict[Wanted, list[Place]] = {}
        for place, several in places.items():
            together.setdefault(tuple(sorted(several, key=str)), []).append(place)
        self._passes = [
            (wanted, [_place(one, known) for one in group], Derivatives(wanted)) for wanted, group in together.items()
        ]
        # Where each value comes to stand, so that a call needs no symbols, which torch.compile cannot follow.
        order = [(place, one) for wanted, group in together.items() for one in wanted for place in group]
        column = {key: i for i, key in enumerate(order)}
        self._columns = [
            (function, [(name, column[place, operator], field) for name, place, operator, field in asked])
            for function, asked in functions
        ]

    def __len__(self) -> int:
        """How many equations."""
        return len(self._columns)

    @property
    def order(self) -> int:
        """The highest order of a derivative."""
        return max(one.order for wanted, _, _ in self._passes for one in wanted)

    @property
    def places(self) -> int:
        """At how many places the network is asked, for each point."""
        return sum(len(group) for _, group, _ in self._passes)

    def __call__(self, field: nn.Module, points: Tensor, leaves: Mapping[str, Tensor]) -> Tensor:
        """The residuals, `(n, m)`.

        Args:
            field: `(n, d)` to `(n, fields)`.
            points: `(n, d)`.
            leaves: what each symbol is by its name, coordinates `(n,)` and parameters `()`.

        Raises:
            ShapeError: a model with too few outputs, or others than fields.
        """
        return self.evaluate(field, points, leaves)

    def evaluate(
        self,
        field: nn.Module,
        points: Tensor,
        leaves: Mapping[str, Tensor],
        *,
        check: Callable[[Tensor], None] | None = None,
        now: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """The residuals, `(n, m)`; `check` is given at which points slopes of them are not finite, `(n,)` bool.

        It is called in the backward pass, with the points whose gradient is asked for and has no limit, or is not
        finite otherwise.

        Args:
            field: see `__call__`.
            points: see `__call__`.
            leaves: see `__call__`.
            check: refuses points.
            now: of residuals `(n,)`, whose gradient is known to be asked for: `check` is called at once.
        """
        like = points[:, 0]
        found: list[Tensor] = []
        for _, group, derivatives in self._passes:
            where = [
                points if place is None else torch.stack([p(leaves, like).expand_as(like) for p in place], dim=-1)
                for place in group
            ]
            for value in derivatives(field, where[0] if len(where) == 1 else torch.cat(where)):
                found += value.split(len(points))
        columns = []
        for (residual, terms), limit, fragile in zip(self._columns, self._limits, self._fragile, strict=True):
            own = {name: _column(found[at], column, self._fields) for name, at, column in terms}
            missing = limit.missing({**leaves, **own}, like) if check is not None and limit else None
            if check is not None and fragile:
                own = {name: _watched(value, check) for name, value in own.items()}
            column = residual({**leaves, **own}, like).expand_as(like)
            if check is not None and missing is not None and bool(missing.any()):
                if now is not None:
                    check(missing & now(column.detach()))
                column = _watched(column, check, missing)
            columns.append(column)
        return torch.stack(columns, dim=-1)

    def linearise(
        self, basis: Basis, coefficients: Tensor, points: Tensor, leaves: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The residuals of fields that are sums over a basis, and their slopes by the coefficients.

        Args:
            basis: gives an operator on each of `k` functions at points, `(n, d)` to `(n, k)`.
            coefficients: `(fields, k)`.
            points: `(n, d)`.
            leaves: see `__call__`.

        Returns:
            `(n, m)` and `(n, m, fields, k)`.
        """
        like = points[:, 0]
        tables = [
            basis(
                operator, points if place is None else torch.stack([p(leaves, like).expand_as(like) for p in place], -1)
            )
            for wanted, group, _ in self._passes
            for operator in wanted
            for place in group
        ]
        residuals, slopes = [], []
        for residual, terms in self._columns:
            own = {name: (tables[at] @ coefficients[field]).requires_grad_() for name, at, field in terms}
            with torch.enable_grad():
                value = residual({**leaves, **own}, like).expand_as(like)
                by = torch.autograd.grad(value.sum(), list(own.values()), allow_unused=True, materialize_grads=True)
            slope = points.new_zeros(len(points), *coefficients.shape)
            for (_, at, field), one in zip(terms, by, strict=True):
                slope[:, field] += one[:, None] * tables[at]
            residuals.append(value.detach())
            slopes.append(slope)
        return torch.stack(residuals, dim=1), torch.stack(slopes, dim=1)


def _watched(value: Tensor, check: Callable[[Tensor], None], missing: Tensor | None = None) -> Tensor:
    """The same; `check` is given where its gradient is not finite, or not 0 where slopes are missing."""
    if not value.requires_grad:
        return value

    def look(gradient: Tensor) -> None:
        broken = ~gradient.isfinite()
        check(broken if missing is None else broken | (missing & (gradient != 0)))

    value = value.view_as(value)
    value.register_hook(look)
    return value


def _collapse(equation: Equation) -> tuple[sympy.Expr, list[Asked]]:
    """The equation with sums of derivatives as one operator each: `u_t - nu u_xx` is one stream of jets, not two.

    Only derivatives with a number for their coefficient, and of which nothing else is said, can be summed before.
    """
    expression = equation.expression
    asked: list[Asked] = []
    sums: dict[tuple[Place, int], list[tuple[sympy.Symbol, tuple[int, ...], sympy.Expr]]] = {}
    for symbol, term in equation.terms.items():
        factor = expression.diff(symbol) if any(term.orders) else sympy.Integer(0)
        if factor.is_number and factor != 0:
            sums.setdefault((term.place, term.field), []).append((symbol, term.orders, factor))
        else:
            asked.append((symbol.name, term.place, DifferentialOperator({term.orders: 1.0}), term.field))
    for (place, field), parts in sums.items():
        first = parts[0][0]
        if len(parts) == 1:
            asked.append((first.name, place, DifferentialOperator({parts[0][1]: 1.0}), field))
            continue
        operator = DifferentialOperator({orders: real_number(factor) for _, orders, factor in parts})
        expression = expression.subs({symbol: 0 for symbol, _, _ in parts}) + first
        asked.append((first.name, place, operator, field))
    return expression, asked


def _place(place: Place, known: Mapping[sympy.Symbol, sympy.Symbol]) -> list[RealFunction] | None:
    """Each coordinate of a place; None where it is the point itself."""
    if place == tuple(known)[: len(place)]:
        return None
    return [RealFunction(exact(p, dict(known))) for p in place]


def _column(values: Tensor, field: int, fields: int | None) -> Tensor:
    if values.shape[-1] <= field or (fields is not None and values.shape[-1] != fields):
        needed = f"{field + 1} or more" if fields is None else str(fields)
        raise ShapeError(f"its {needed} fields need a model with an output for each, got {values.shape[-1]} outputs")
    return values[:, field]
