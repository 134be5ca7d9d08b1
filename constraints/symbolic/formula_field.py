"""Expressions of the coordinates as modules that jets pass."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import final

import sympy
import torch
from torch import Tensor, nn

from constraints.errors import SpecificationError
from constraints.fields import Jet, NoJetRuleError
from constraints.fields.smooth import Tower, cosine, exponential, logarithm, power, reciprocal, sine, tanh
from constraints.functional.precision import is_transforming
from constraints.functional.real_functions import RealFunction, real_number
from constraints.sympy_input import as_expression, require_symbols

__all__ = ["FormulaField", "Piecewise"]

TOWERS: dict[type[sympy.Basic], Tower] = {
    sympy.exp: exponential,
    sympy.log: logarithm,
    sympy.sin: sine,
    sympy.cos: cosine,
    sympy.tanh: tanh,
}
INVERTED = {
    sympy.sec: sympy.cos,
    sympy.csc: sympy.sin,
    sympy.cot: sympy.tan,
    sympy.sech: sympy.cosh,
    sympy.csch: sympy.sinh,
    sympy.coth: sympy.tanh,
}


@final
class FormulaField(nn.Module):
    """Functions of the coordinates, written in sympy, as a module: `(*batch, d)` to `(*batch, n)`.

    Derivatives of what is made of sums, products, powers, `exp`, `log`, `sin`, `cos` and `tanh` (and functions that
    sympy writes by these) travel as jets; others by nested autograd.

    Args:
        expressions: one an output, of real symbols.
        coordinates: the symbols of the coordinates, in order.

    Raises:
        SpecificationError: a symbol that is neither.

    Example:
        >>> x, y = sympy.symbols("x y", real=True)
        >>> FormulaField([x * y, sympy.sin(x)], [x, y])(torch.tensor([[0.0, 2.0]]))
        tensor([[0., 0.]])
    """

    def __init__(self, expressions: Sequence[sympy.Expr], coordinates: Sequence[sympy.Symbol]) -> None:
        super().__init__()
        self.expressions = tuple(as_expression(e, "`FormulaField`") for e in expressions)
        require_symbols(coordinates, "`FormulaField`")
        self.coordinates = tuple(coordinates)
        unknown = {s for e in self.expressions for s in e.free_symbols} - set(self.coordinates)
        if unknown or not self.expressions:
            raise SpecificationError(
                f"`FormulaField` needs expressions of {self.coordinates}, got {self.expressions or 'none'}"
            )
        self._functions = [RealFunction(e) for e in self.expressions]

    def forward(self, x: Tensor) -> Tensor:
        """The values, `(*batch, n)`."""
        like = x[..., 0]
        leaves = dict(zip(self.coordinates, x.unbind(-1), strict=True))
        return torch.stack([f(leaves, like).expand_as(like) for f in self._functions], dim=-1)

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        leaves = {s: jet[..., [i]] for i, s in enumerate(self.coordinates)}
        found = [_evaluate(e, leaves) for e in self.expressions]
        zero = jet[..., :1] * 0.0
        return Jet.concatenate([one if isinstance(one, Jet) else zero + one for one in found])

    def extra_repr(self) -> str:
        """The expressions."""
        return ", ".join(map(str, self.expressions))


@final
class Piecewise(nn.Module):
    """Formulas that are the same within bounds, where the first are faster: these are used where all points are.

    Args:
        within: what is used where all points are within the bounds.
        everywhere: what is used otherwise, and where points cannot be looked at (compiled, vectorised, on a GPU).
        bounds: of each coordinate.

    Example:
        >>> x = sympy.Symbol("x", real=True)
        >>> grows = Piecewise(FormulaField([x], [x]), FormulaField([x + sympy.Max(0, x - 1)], [x]), [(0.0, 1.0)])
        >>> grows(torch.tensor([[0.5]])).item(), grows(torch.tensor([[2.0]])).item()
        (0.5, 3.0)
    """

    low: Tensor
    high: Tensor

    def __init__(self, within: FormulaField, everywhere: FormulaField, bounds: Sequence[tuple[float, float]]) -> None:
        super().__init__()
        self.within, self.everywhere = within, everywhere
        low, high = zip(*bounds, strict=True)
        self.register_buffer("low", torch.tensor(low, dtype=torch.float64), persistent=False)
        self.register_buffer("high", torch.tensor(high, dtype=torch.float64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The values, `(*batch, n)`."""
        y: Tensor = self._for(x)(x)
        return y

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        return self._for(jet.value).forward_jet(jet)

    def _for(self, x: Tensor) -> FormulaField:
        if x.device.type != "cpu" or torch.compiler.is_compiling() or is_transforming():
            return self.everywhere
        points = x.detach()
        inside = bool(((points >= self.low.to(x)) & (points <= self.high.to(x))).all())
        return self.within if inside else self.everywhere


def _evaluate(e: sympy.Expr, leaves: Mapping[sympy.Symbol, Jet]) -> Jet | float:
    if isinstance(e, sympy.Symbol):
        return leaves[e]
    if e.is_number:
        return real_number(e)
    if isinstance(e, sympy.Add | sympy.Mul):
        fold = operator.add if isinstance(e, sympy.Add) else operator.mul
        return reduce(fold, [_evaluate(part, leaves) for part in e.args])
    if isinstance(e, sympy.Max) and len(e.args) == 2 and e.args[0] == 0:
        return _jet(e.args[1], leaves).compose(_positive_part)
    if isinstance(e, sympy.Pow) and e.exp.is_number:
        return _raise(_jet(e.base, leaves), real_number(e.exp))
    tower = TOWERS.get(e.func)
    return _evaluate(_by_known(e), leaves) if tower is None else _jet(e.args[0], leaves).compose(tower)


def _jet(e: sympy.Expr, leaves: Mapping[sympy.Symbol, Jet]) -> Jet:
    found = _evaluate(e, leaves)
    assert isinstance(found, Jet)  # numbers without symbols are numbers already
    return found


def _positive_part(z: Tensor, order: int) -> list[Tensor]:
    """`max(z, 0)` with its derivatives almost everywhere; a power of it has as many as it is high."""
    step = (z > 0).to(z)
    return [z.clamp(min=0.0), step, *[torch.zeros_like(z)] * (order - 1)][: order + 1]


def _by_known(e: sympy.Expr) -> sympy.Expr:
    """The same by functions that have a tower."""
    if e.func is sympy.tan:
        return sympy.sin(e.args[0]) / sympy.cos(e.args[0])
    if isinstance(e, sympy.sinh | sympy.cosh):
        return e.rewrite(sympy.exp)
    if e.func in INVERTED:
        return 1 / INVERTED[e.func](e.args[0])
    raise NoJetRuleError(f"`FormulaField` has no jet rule for {e.func.__name__}")


def _raise(base: Jet, exponent: float) -> Jet:
    """A power; whole ones by products, which are exact at 0."""
    if exponent != int(exponent):
        return base.compose(partial(power, exponent=exponent))
    if exponent < 0:
        return _raise(base, -exponent).compose(reciprocal)
    result, square, left = None, base, int(exponent)
    while left:
        if left & 1:
            result = square if result is None else result * square
        left >>= 1
        square = square * square if left else square
    assert result is not None
    return result
