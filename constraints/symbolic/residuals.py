"""Conditions as functions of tensors: for the solvers of curved sets, and for penalties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import final

import sympy
import torch
from torch import Tensor

from constraints.errors import NonFiniteError, SpecificationError
from constraints.functional.precision import is_transforming
from constraints.functional.real_functions import RealFunction, fragile_symbols, shield
from constraints.functional.slope_limits import SlopeLimits
from constraints.symbolic.statement import Condition, Every, Node, Some, conditions

__all__ = ["Residuals", "StatementResiduals"]


@final
class Residuals:
    """The expressions of conditions, of a value `(n,)` and its context `(k,)`.

    Args:
        conditions: the conditions.
        outputs: the symbols of the value.
        given: the symbols of the context.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> Residuals((Condition(x * y - 1),), (x, y), ())(torch.tensor([2.0, 3.0]), torch.zeros(0))
        tensor([5.])
    """

    def __init__(
        self,
        conditions: tuple[Condition, ...],
        outputs: tuple[sympy.Symbol, ...],
        given: tuple[sympy.Symbol, ...],
    ) -> None:
        self.conditions, self.outputs, self.given = conditions, outputs, given
        self._functions = [RealFunction(c.expression) for c in conditions]
        self._limits = [limit for c in conditions if (limit := SlopeLimits(c.expression, (*outputs, *given)))]

    def __reduce__(self) -> tuple[type[Residuals], tuple[object, ...]]:
        """Pickled and copied as its conditions."""
        return Residuals, (self.conditions, self.outputs, self.given)

    def __call__(self, value: Tensor, context: Tensor) -> Tensor:
        """`(..., n)` and `(..., k)` to `(..., m)`."""
        leaves = {symbol: value[..., i] for i, symbol in enumerate(self.outputs)}
        leaves |= {symbol: context[..., i] for i, symbol in enumerate(self.given)}
        like = value[..., 0]
        parts = [function(leaves, like) for function in self._functions]
        return torch.stack([part.expand(like.shape) for part in parts], dim=-1)

    def require_slopes(self, value: Tensor, context: Tensor) -> None:
        """Refuse values at which a residual has no slope, `(batch, n)` and `(batch, k)`.

        Raises:
            NonFiniteError: names the residual and the first sample.
        """
        leaves = {symbol: value[..., i] for i, symbol in enumerate(self.outputs)}
        leaves |= {symbol: context[..., i] for i, symbol in enumerate(self.given)}
        for limits in self._limits:
            _require_slopes(limits, limits.missing(leaves, value[..., 0]))


@final
class StatementResiduals:
    """Residuals of a statement of any form: one for each condition, one for each choice between several.

    Where a logarithm, a root or the like is not defined, the residual is how far its argument is outside.

    Args:
        node: a statement that is neither always true nor never.
        outputs: the symbols of the value.
        given: the symbols of the context.
    """

    def __init__(self, node: Node, outputs: tuple[sympy.Symbol, ...], given: tuple[sympy.Symbol, ...]) -> None:
        self.node, self.outputs, self.given = node, outputs, given
        parts = [node] if isinstance(node, Condition | Some) else list(node.parts)
        self.equal = tuple(p for p in parts if isinstance(p, Condition) and p.equality)
        self.rest = tuple(p for p in parts if p not in self.equal)
        self._signed = {c: _Signed(c) for c in conditions(node)}

    def __reduce__(self) -> tuple[type[StatementResiduals], tuple[object, ...]]:
        """Pickled and copied as its statement."""
        return StatementResiduals, (self.node, self.outputs, self.given)

    @property
    def equalities(self) -> int:
        """How many leading residuals must be 0."""
        return len(self.equal)

    @property
    def count(self) -> int:
        """How many residuals there are."""
        return len(self.equal) + len(self.rest)

    def __call__(self, value: Tensor, context: Tensor | None) -> Tensor:
        """`(*batch, n)` and `(*batch, k)` to `(*batch, m)`."""
        leaves, like = self._leaves(value, context), value[..., 0]
        return self._join({c: signed(leaves, like) for c, signed in self._signed.items()})

    def residual_where(self, value: Tensor, context: Tensor | None, needed: Callable[[Tensor], Tensor]) -> Tensor:
        """The same, with derivatives where `needed` says of the residuals, of the conditions that decide there."""
        if not any(signed.fragile for signed in self._signed.values()):
            return self(value, context)
        leaves, like = self._leaves(value, context), value[..., 0]
        with torch.no_grad():
            values = {c: signed(leaves, like) for c, signed in self._signed.items()}
            whole = self._join(values)
            asked = needed(whole)
            where = {c: torch.zeros_like(like, dtype=torch.bool) for c in values}
            for i, node in enumerate((*self.equal, *self.rest)):
                for c in conditions(node):
                    decides = c == node or (values[c].abs() if c.equality else values[c]) == whole[..., i]
                    where[c] = where[c] | (asked[..., i] & decides)
        return self._join({c: signed(leaves, like, where[c]) for c, signed in self._signed.items()})

    def _leaves(self, value: Tensor, context: Tensor | None) -> dict[sympy.Symbol, Tensor]:
        leaves = {symbol: value[..., i] for i, symbol in enumerate(self.outputs)}
        if self.given and context is None:
            raise SpecificationError(f"a statement on {', '.join(map(str, self.given))} needs a context, got None")
        if context is not None:
            leaves |= {symbol: context[..., i] for i, symbol in enumerate(self.given)}
        return leaves

    def _join(self, values: Mapping[Condition, Tensor]) -> Tensor:
        """The residuals of all conditions as those of the statement."""
        columns = [values[c] for c in self.equal]
        columns += [self._worst(node, values) for node in self.rest]
        return torch.stack(columns, dim=-1)

    def _worst(self, node: Node, values: Mapping[Condition, Tensor]) -> Tensor:
        """At most 0 where it holds: the worst of all parts, the best of alternatives."""
        if isinstance(node, Condition):
            return values[node].abs() if node.equality else values[node]
        parts = torch.stack([self._worst(part, values) for part in node.parts])
        return parts.amax(dim=0) if isinstance(node, Every) else parts.amin(dim=0)


@final
class _Signed:
    """The residual of one condition, read once: how far outside its domain, where it is; 0 where it does not hold.

    Attributes:
        fragile: symbols by which it may have no finite derivative somewhere.
    """

    def __init__(self, c: Condition) -> None:
        self._value, self._domain = RealFunction(c.expression), _domain(c.expression)
        self._holds = None if c.when is sympy.true else RealFunction(c.when)
        self.fragile = fragile_symbols(c.expression)
        self._limits = SlopeLimits(c.expression, sorted(c.expression.free_symbols, key=str))

    def __call__(self, leaves: Mapping[sympy.Symbol, Tensor], like: Tensor, where: Tensor | None = None) -> Tensor:
        """`(*batch,)`; with derivatives `where` they are asked for, everywhere by default."""
        if where is not None:
            leaves = shield(leaves, self.fragile, where)
        gaps = [gap(argument(leaves, like)).expand(like.shape) for gap, argument in self._domain]
        outside = torch.stack(gaps).amax(dim=0) if gaps else None
        holds = None if self._holds is None else self._holds(leaves, like)
        inside = None if outside is None else outside <= 0
        if holds is not None:
            inside = holds if inside is None else holds & inside
        given = leaves if inside is None else shield(leaves, self.fragile, inside)
        value = self._value(given, like).expand(like.shape)
        if self._limits and value.requires_grad and not is_transforming():
            missing = self._limits.missing(leaves, like)
            missing = missing if where is None else missing & where
            _require_slopes(self._limits, missing if inside is None else missing & inside)
        if outside is not None:
            value = torch.where(outside > 0, outside, value)
        value = value if holds is None else torch.where(holds, value, 0.0)
        return value.expand(like.shape)


def _require_slopes(limits: SlopeLimits, missing: Tensor) -> None:
    """Refuse samples at which an expression has no slope."""
    if bool(missing.any()):
        raise NonFiniteError(
            f"a penalty needs finite slopes, which {limits.expression} has not at {int(missing.sum())} of "
            f"{missing.numel()} samples, the first {int(missing.flatten().nonzero()[0])}: where the argument of a root "
            f"is 0, square both sides, or add a small number below the root"
        )


Gap = Callable[[Tensor], Tensor]
DOMAINS: dict[type[sympy.Basic], Gap] = {
    sympy.log: torch.neg,
    sympy.asin: lambda u: u.abs() - 1.0,
    sympy.acos: lambda u: u.abs() - 1.0,
    sympy.atanh: lambda u: u.abs() - 1.0,
    sympy.acosh: lambda u: 1.0 - u,
}
"""How far outside its domain the argument of a function is."""


def _domain(expression: sympy.Basic) -> list[tuple[Gap, RealFunction]]:
    """The arguments of logarithms, roots and arc functions, and how far each is outside."""
    found: list[tuple[Gap, RealFunction]] = []
    for part in sympy.preorder_traversal(expression):
        if isinstance(part, sympy.Piecewise):
            return []  # each case has a domain of its own
        gap = DOMAINS.get(part.func)
        if gap is not None and part.free_symbols:
            found.append((gap, RealFunction(part.args[0])))
        elif isinstance(part, sympy.Pow) and part.free_symbols and part.exp.is_number and not part.exp.is_integer:
            found.append((torch.neg, RealFunction(part.base)))
    return found
