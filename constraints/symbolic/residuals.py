"""Conditions as functions of tensors: for the solvers of curved sets, and for penalties."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import sympy
import torch
from torch import Tensor

from constraints.errors import SpecificationError
from constraints.functional.real_functions import RealFunction, evaluate_real, fragile_symbols, shield
from constraints.symbolic.statement import Condition, Every, Node, Some

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


@final
@dataclass(frozen=True, slots=True)
class StatementResiduals:
    """Residuals of a statement of any form: one for each condition, one for each choice between several.

    Where a logarithm, a root or the like is not defined, the residual is how far its argument is outside.
    """

    equal: tuple[Condition, ...]
    rest: tuple[Node, ...]
    outputs: tuple[sympy.Symbol, ...]
    given: tuple[sympy.Symbol, ...]

    @classmethod
    def of(cls, node: Node, outputs: tuple[sympy.Symbol, ...], given: tuple[sympy.Symbol, ...]) -> StatementResiduals:
        """Of a statement that is neither always true nor never."""
        parts = [node] if isinstance(node, Condition | Some) else list(node.parts)
        equal = tuple(p for p in parts if isinstance(p, Condition) and p.equality)
        return cls(equal, tuple(p for p in parts if p not in equal), outputs, given)

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
        leaves = {symbol: value[..., i] for i, symbol in enumerate(self.outputs)}
        if self.given and context is None:
            raise SpecificationError(f"a statement on {', '.join(map(str, self.given))} needs a context, got None")
        if context is not None:
            leaves |= {symbol: context[..., i] for i, symbol in enumerate(self.given)}
        like = value[..., 0]
        columns = [_signed(c, leaves, like) for c in self.equal]
        columns += [_worst(node, leaves, like) for node in self.rest]
        return torch.stack([column.expand(like.shape) for column in columns], dim=-1)


def _signed(c: Condition, leaves: Mapping[sympy.Symbol, Tensor], like: Tensor) -> Tensor:
    outside = domain_gap(c.expression, leaves, like)
    holds = None if c.when is sympy.true else evaluate_real(c.when, leaves, like)
    inside = None if outside is None else outside <= 0
    if holds is not None:
        inside = holds if inside is None else holds & inside
    given = leaves if inside is None else shield(leaves, fragile_symbols(c.expression), inside)
    value = evaluate_real(c.expression, given, like).expand(like.shape)
    if outside is not None:
        value = torch.where(outside > 0, outside, value)
    return value if holds is None else torch.where(holds, value, 0.0)


def _worst(node: Node, leaves: Mapping[sympy.Symbol, Tensor], like: Tensor) -> Tensor:
    """At most 0 where it holds: the worst of all parts, the best of alternatives."""
    if isinstance(node, Condition):
        value = _signed(node, leaves, like)
        return value.abs() if node.equality else value
    parts = torch.stack([_worst(part, leaves, like) for part in node.parts])
    return parts.amax(dim=0) if isinstance(node, Every) else parts.amin(dim=0)


DOMAINS = {
    sympy.log: lambda u: -u,
    sympy.asin: lambda u: u.abs() - 1.0,
    sympy.acos: lambda u: u.abs() - 1.0,
    sympy.atanh: lambda u: u.abs() - 1.0,
    sympy.acosh: lambda u: 1.0 - u,
}
"""How far outside its domain the argument of a function is."""


def domain_gap(expression: sympy.Basic, leaves: Mapping[sympy.Symbol, Tensor], like: Tensor) -> Tensor | None:
    """How far the worst argument of a logarithm, a root, an arc function is outside its domain; None without any."""
    gaps = []
    for part in sympy.preorder_traversal(expression):
        if isinstance(part, sympy.Piecewise):
            return None  # each case has a domain of its own
        gap = DOMAINS.get(part.func)
        if gap is not None and part.free_symbols:
            gaps.append(gap(evaluate_real(part.args[0], leaves, like)).expand(like.shape))
        elif isinstance(part, sympy.Pow) and part.free_symbols and part.exp.is_number and not part.exp.is_integer:
            gaps.append(-evaluate_real(part.base, leaves, like).expand(like.shape))
    return torch.stack(gaps).amax(dim=0) if gaps else None
