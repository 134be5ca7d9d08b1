"""Where an expression has no derivative, as a root whose argument is 0: whether its slopes have a limit there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import final

import sympy
import torch
from sympy.functions.elementary.piecewise import ExprCondPair
from torch import Tensor

from constraints.functional.real_functions import RealFunction

__all__ = ["SlopeLimits"]

NEAR, NEARER = 1e-6, 1e-12  # of the size of the arguments
DIRECTIONS = 16
FLAT = 0.1  # by so much less slopes must scatter nearer by


@final
class SlopeLimits:
    r"""Tells at which rows the slopes of an expression have no limit: :math:`\sqrt u` and :math:`|\nabla u|` at 0.

    `RealFunction` gives powers between 0 and 1 the slope 0 where their argument is 0, and `atan2` at the origin. That
    is right where another factor vanishes, too: :math:`u\sqrt{u^2 + v^2}`, :math:`u\sqrt{|u|}`. Whether it is, is
    tried on arguments nearby.
    Of a `Piecewise` the slopes are those of the case that is taken: roots in other cases do not matter.

    Args:
        expression: of real symbols.
        symbols: those by which it is differentiated.

    Example:
        >>> u, v = sympy.symbols("u v", real=True)
        >>> at = {u: torch.tensor([0.0, 1.0]), v: torch.tensor([0.0, 0.0])}
        >>> SlopeLimits(u * sympy.sqrt(u**2 + v**2), [u, v]).missing(at, at[u]).tolist()
        [False, False]
        >>> SlopeLimits(sympy.sqrt(u**2 + v**2), [u, v]).missing(at, at[u]).tolist()
        [True, False]
    """

    def __init__(self, expression: sympy.Expr, symbols: Sequence[sympy.Symbol]) -> None:
        self.expression = expression
        free = expression.free_symbols
        self.symbols = tuple(s for s in symbols if s in free)
        own = set(self.symbols)
        singular = [(base, taken) for base, taken in _singular(expression) if base.free_symbols & own]
        self._bases = [(RealFunction(base), RealFunction(taken)) for base, taken in dict.fromkeys(singular)]
        self._value = RealFunction(expression)

    def __bool__(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._bases)

    def missing(self, leaves: Mapping[sympy.Symbol | str, Tensor], like: Tensor) -> Tensor:
        """At which rows slopes have no limit, `(*batch,)` bool.

        Args:
            leaves: a tensor `(*batch,)`, or `()`, for each symbol, by the symbol or its name.
            like: a tensor `(*batch,)`.
        """
        with torch.no_grad():
            suspect = torch.zeros_like(like, dtype=torch.bool)
            for base, taken in self._bases:
                suspect |= (base(leaves, like).expand_as(like) == 0) & taken(leaves, like)
        if not bool(suspect.any()):
            return suspect
        rows = {key: value.detach().expand_as(like)[suspect].double() for key, value in leaves.items()}
        near, nearer = (self._slopes(rows, distance) for distance in (NEAR, NEARER))
        known = nearer.isfinite().all(dim=-1)  # directions in which the expression is not real are left out
        some = known.sum(dim=0) >= 2
        scatter, least = _scatter(near), _scatter(nearer)
        flat = least <= FLAT * scatter + 1e-9 * (1.0 + nearer.nan_to_num().abs().amax(dim=(0, 2)))
        found = suspect.clone()
        found[suspect] = ~(some & flat)
        return found

    def _slopes(self, rows: Mapping[sympy.Symbol | str, Tensor], distance: float) -> Tensor:
        """Slopes at places nearby, `(directions, rows, symbols)`."""
        draw = torch.Generator().manual_seed(0)
        moved = dict(rows)
        own: list[Tensor] = []
        for symbol in self.symbols:
            key = symbol.name if symbol.name in rows else symbol
            value = rows[key]
            step = torch.randn((DIRECTIONS, *value.shape), generator=draw, dtype=torch.float64).to(value.device)
            moved[key] = (value + distance * value.abs().clamp(min=1.0) * step).requires_grad_()
            own.append(moved[key])
        with torch.enable_grad():
            value = self._value(moved, own[0])
            slopes = torch.autograd.grad(value.sum(), own, allow_unused=True, materialize_grads=True)
        return torch.stack(torch.broadcast_tensors(*slopes), dim=-1)


def _singular(e: sympy.Basic, taken: sympy.Basic = sympy.true) -> Iterator[tuple[sympy.Expr, sympy.Basic]]:
    """What has no slope where it is 0: of roots their arguments; of each the condition on which its case is taken."""
    if isinstance(e, sympy.Piecewise):
        for case in e.args:
            assert isinstance(case, ExprCondPair)
            yield from _singular(case.expr, sympy.And(taken, case.cond))
            taken = sympy.And(taken, sympy.Not(case.cond))
        return
    if isinstance(e, sympy.Pow) and e.exp.is_number and 0 < float(e.exp) < 1:
        yield e.base, taken
    if isinstance(e, sympy.atan2):
        y, x = e.args
        yield y**2 + x**2, taken
    for part in e.args:
        yield from _singular(part, taken)


def _scatter(slopes: Tensor) -> Tensor:
    """How far slopes lie apart over directions, of each row; infinite ones are left out."""
    high = slopes.nan_to_num(nan=-torch.inf, neginf=-torch.inf).amax(dim=0)
    low = slopes.nan_to_num(nan=torch.inf, posinf=torch.inf).amin(dim=0)
    return (high - low).amax(dim=-1)
