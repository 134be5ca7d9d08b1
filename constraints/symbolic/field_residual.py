"""Residuals of equations at points: each place and derivative that they speak of is found once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import sympy
import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.fields import Derivatives
from constraints.functional.real_functions import RealFunction
from constraints.symbolic.statement import exact
from constraints.symbolic.terms import Equation, Place, Term

__all__ = ["FieldResidual"]

Orders = tuple[tuple[int, ...], ...]


@final
class FieldResidual:
    """Equations compiled: from a field and points to the residual of each.

    Places of which the same derivatives are wanted go through the network together, in one pass.

    Args:
        equations: what must be 0, or at most 0.
        known: the real symbol of each coordinate, in order, then of each parameter.
        coordinates: how many of them are coordinates.

    Raises:
        SpecificationError: a symbol that nobody declared, an equation that does not speak of a field.

    Example:
        >>> from constraints.symbolic.terms import read_equation
        >>> x = sympy.Symbol("x")
        >>> u = sympy.Function("u")(x)
        >>> known = {x: sympy.Symbol("x", real=True)}
        >>> residual = FieldResidual([read_equation(u.diff(x) - 2, [u])], known, 1)
        >>> p = torch.zeros(3, 1)
        >>> residual(nn.Linear(1, 1), p, {known[x]: p[:, 0]}).shape
        torch.Size([3, 1])
    """

    def __init__(
        self, equations: Sequence[Equation], known: Mapping[sympy.Symbol, sympy.Symbol], coordinates: int
    ) -> None:
        self.symbols = tuple(known.values())[:coordinates]
        self._residuals: list[tuple[RealFunction, dict[sympy.Symbol, Term]]] = []
        places: dict[Place, list[tuple[int, ...]]] = {}
        for equation in equations:
            free = {s for term in equation.terms.values() for p in term.place for s in p.free_symbols}
            unknown = (equation.expression.free_symbols | free) - set(known) - set(equation.terms)
            if unknown:
                raise SpecificationError(
                    f"every symbol needs to be a coordinate or a parameter, got {', '.join(sorted(map(str, unknown)))}"
                )
            if not equation.terms:
                raise SpecificationError(f"an equation needs to speak of a field, got {equation.expression}")
            self._residuals.append((RealFunction(exact(equation.expression, dict(known))), equation.terms))
            for term in equation.terms.values():
                orders = places.setdefault(term.place, [])
                if term.orders not in orders:
                    orders.append(term.orders)
        together: dict[Orders, list[Place]] = {}
        for place, several in places.items():
            together.setdefault(tuple(sorted(several)), []).append(place)
        self._passes = [
            (orders, [(place, [RealFunction(exact(p, dict(known))) for p in place]) for place in group],
             Derivatives(orders)) for orders, group in together.items()
        ]  # fmt: skip

    def __len__(self) -> int:
        """How many equations."""
        return len(self._residuals)

    @property
    def order(self) -> int:
        """The highest order of a derivative."""
        return max(sum(one) for orders, _, _ in self._passes for one in orders)

    @property
    def places(self) -> int:
        """At how many places the network is asked, for each point."""
        return sum(len(group) for _, group, _ in self._passes)

    def __call__(self, field: nn.Module, points: Tensor, leaves: Mapping[sympy.Symbol, Tensor]) -> Tensor:
        """The residuals, `(n, m)`.

        Args:
            field: `(n, d)` to `(n, fields)`.
            points: `(n, d)`.
            leaves: what each real symbol is, coordinates `(n,)` and parameters `()`.

        Raises:
            ShapeError: a model with too few outputs.
        """
        like = points[:, 0]
        found: dict[tuple[Place, tuple[int, ...]], Tensor] = {}
        for orders, group, derivatives in self._passes:
            where = [torch.stack([p(leaves, like).expand_as(like) for p in place], dim=-1) for _, place in group]
            values = derivatives(field, where[0] if len(where) == 1 else torch.cat(where))
            for one, value in zip(orders, values, strict=True):
                for (place, _), part in zip(group, value.split(len(points)), strict=True):
                    found[place, one] = part
        columns = []
        for residual, terms in self._residuals:
            own = {symbol: _column(found[t.place, t.orders], t.field) for symbol, t in terms.items()}
            columns.append(residual({**leaves, **own}, like).expand_as(like))
        return torch.stack(columns, dim=-1)


def _column(values: Tensor, field: int) -> Tensor:
    if values.shape[-1] <= field:
        raise ShapeError(f"an equation speaks of field {field + 1}, but the model has {values.shape[-1]} outputs")
    return values[:, field]
