"""Sympy expressions of real numbers as functions of tensors, with sympy's meaning; no text is evaluated."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, final

import sympy
import torch
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import BooleanFalse, BooleanTrue
from torch import Tensor

from constraints.errors import SpecificationError

__all__ = ["REAL_FUNCTIONS", "RealFunction", "evaluate_real", "fragile_symbols", "real_number", "shield"]

Leaves = Mapping[Any, Tensor]
"""By symbol, or by its name, which torch.compile can follow."""

Built = Callable[[Leaves, Tensor], Tensor | float]


def real_number(expression: sympy.Basic) -> float:
    """A constant as a number.

    Raises:
        SpecificationError: one that is not real, or not finite.

    Example:
        >>> real_number(sympy.sqrt(2) ** 2 + sympy.Rational(1, 2))
        2.5
    """
    try:
        value = float(expression)
    except (TypeError, OverflowError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise SpecificationError(f"a number needs to be real and finite, got {expression}")
    return value


@final
class RealFunction:
    r"""An expression as a function of tensors: read once, called often. NaN wherever sympy's value is not real.

    What it means is what sympy means: nothing is clamped, no small number is added, `Mod` has the sign of the divisor,
    `acot` lies in `(-pi/2, pi/2]`, `Heaviside(0)` is 1/2, `Piecewise` takes the first case that holds. Derivatives are
    those of autograd; a case of a `Piecewise` that is not taken passes none on, whatever it is.

    Args:
        expression: real, or a condition (`x < 1`, `And`, ...), which gives a tensor of bool.

    Raises:
        SpecificationError: a function that is not known, or a number that is not real and finite.

    Example:
        >>> x = sympy.Symbol("x")
        >>> t = torch.tensor([-4.0, 0.0, 4.0])
        >>> RealFunction(sympy.sqrt(x))({x: t}, t)
        tensor([nan, 0., 2.])
    """

    def __init__(self, expression: sympy.Basic) -> None:
        self.expression = expression
        self._call = _build(expression)

    def __reduce__(self) -> tuple[type[RealFunction], tuple[sympy.Basic]]:
        """Pickled and copied as its expression."""
        return RealFunction, (self.expression,)

    def __call__(self, leaves: Leaves, like: Tensor) -> Tensor:
        """The value, of a shape to which those of the leaves broadcast.

        Args:
            leaves: a tensor for each free symbol, by the symbol or by its name.
            like: a tensor whose dtype and device numbers take.

        Raises:
            SpecificationError: a symbol without a leaf.
        """
        return _tensor(self._call(leaves, like), like)


def evaluate_real(expression: sympy.Basic, leaves: Leaves, like: Tensor) -> Tensor:
    """The value of an expression: see `RealFunction`, which reads it once for many calls.

    Example:
        >>> x = sympy.Symbol("x")
        >>> t = torch.tensor([-4.0, 0.0, 4.0])
        >>> evaluate_real(sympy.Piecewise((-x, x < 0), (sympy.log(x + 1), True)), {x: t}, t)
        tensor([4.0000, 0.0000, 1.6094])
    """
    return RealFunction(expression)(leaves, like)


def _tensor(value: Tensor | float, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else like.new_full((), value)


def _build(expression: sympy.Basic) -> Built:
    if isinstance(expression, BooleanTrue | BooleanFalse):
        holds = bool(expression)
        return lambda leaves, like: torch.tensor(holds, device=like.device)
    if isinstance(expression, sympy.Symbol):
        return _leaf(expression)
    if not expression.free_symbols and expression.is_number:
        number = real_number(expression)
        return lambda leaves, like: number
    if isinstance(expression, sympy.Piecewise):
        return _piecewise([(p.expr, p.cond) for p in expression.args if isinstance(p, ExprCondPair)])
    if isinstance(expression, sympy.Pow) and expression.exp.is_number:
        base, exponent = _build(expression.base), real_number(expression.exp)
        return lambda leaves, like: _power(_tensor(base(leaves, like), like), exponent)
    if isinstance(expression, sympy.polygamma):
        if expression.args[0] != 0:  # torch's higher ones are right to 1e-10 only
            raise SpecificationError(f"`polygamma` needs the order 0 (digamma), got {expression.args[0]}")
        inner = _build(expression.args[1])
        return lambda leaves, like: torch.digamma(_tensor(inner(leaves, like), like))
    parts = [_build(part) for part in expression.args]
    if isinstance(expression, sympy.Add | sympy.Mul):  # numbers stay numbers: half of the operations
        fold = operator.add if isinstance(expression, sympy.Add) else operator.mul
        return lambda leaves, like: reduce(fold, [part(leaves, like) for part in parts])
    function = REAL_FUNCTIONS.get(expression.func)
    if function is None:
        known = ", ".join(sorted(kind.__name__ for kind in REAL_FUNCTIONS))
        raise SpecificationError(f"a function needs to be one of {known}, got {expression.func.__name__}")
    return lambda leaves, like: function(*(_tensor(part(leaves, like), like) for part in parts))


def _leaf(symbol: sympy.Symbol) -> Built:
    name = symbol.name

    def read(leaves: Leaves, like: Tensor) -> Tensor:
        found = leaves.get(name)
        found = leaves.get(symbol) if found is None else found
        if found is None:
            raise SpecificationError(f"every symbol needs to be declared, got {symbol}")
        return found

    return read


def _piecewise(cases: list[tuple[sympy.Basic, sympy.Basic]]) -> Built:
    built = [(_build(value), _build(condition), fragile_symbols(value)) for value, condition in cases]

    def choose(leaves: Leaves, like: Tensor) -> Tensor:
        free = torch.ones((), dtype=torch.bool, device=like.device)
        total = like.new_full((), math.nan)
        for value, condition, fragile in built:
            taken = free & _tensor(condition(leaves, like), like)
            # Outside its case an expression may have no derivative: it is given leaves that ask for none there.
            total = torch.where(taken, _tensor(value(shield(leaves, fragile, taken), like), like), total)
            free = free & ~taken
        return total

    return choose


def shield(leaves: Leaves, symbols: Sequence[sympy.Symbol], where: Tensor) -> Leaves:
    """Leaves that ask for no derivative outside `where`: there it may be NaN, which no weight of 0 takes away.

    Example:
        >>> x = sympy.Symbol("x")
        >>> t = torch.tensor([-1.0, 1.0], requires_grad=True)
        >>> inside = t > 0
        >>> root = evaluate_real(sympy.sqrt(x), shield({x: t}, [x], inside), t)
        >>> torch.autograd.grad(torch.where(inside, root, 0.0).sum(), t)
        (tensor([0.0000, 0.5000]),)
    """
    keys = [key for s in symbols for key in (s.name, s) if key in leaves]
    kept = {key: torch.where(where, leaves[key], leaves[key].detach()) for key in keys}
    return {**leaves, **kept}


def fragile_symbols(expression: sympy.Basic) -> list[sympy.Symbol]:
    """The symbols of an expression that may have no finite derivative somewhere; none of a polynomial.

    Example:
        >>> x = sympy.Symbol("x")
        >>> fragile_symbols(x**2 + 1), fragile_symbols(sympy.log(x))
        ([], [x])
    """
    symbols = expression.free_symbols
    return [] if expression.is_polynomial(*symbols) else sorted(symbols, key=str)


def _power(base: Tensor, exponent: float) -> Tensor:
    if exponent == int(exponent):
        return base ** int(exponent)  # exact products, and derivatives at 0
    if not 0.0 < exponent < 1.0:
        return base**exponent
    # The slope is infinite at 0. What multiplies it may vanish there, too, so it is 0; `SlopeLimits` tells where not.
    zero = base == 0
    safe = torch.where(zero, 1.0, base)
    return torch.where(zero, 0.0, torch.sqrt(safe) if exponent == 0.5 else safe**exponent)


def _gamma(x: Tensor) -> Tensor:
    """By reflection below 1/2: torch knows the logarithm of its size only; NaN at the poles."""
    low = x < 0.5
    right = torch.exp(torch.lgamma(torch.where(low, 1.0 - x, x)))
    sine = torch.sin(math.pi * torch.where(low, x, 0.5))
    pole = (x <= 0) & (x == x.round())
    return torch.where(pole, math.nan, torch.where(low, math.pi / (sine * right), right))


def _loggamma(x: Tensor) -> Tensor:
    return torch.where(x > 0, torch.lgamma(torch.where(x > 0, x, 1.0)), math.nan)


def _acot(x: Tensor) -> Tensor:
    return torch.where(x == 0, math.pi / 2, torch.atan(1.0 / torch.where(x == 0, 1.0, x)))


def _sinc(x: Tensor) -> Tensor:
    return torch.sinc(x / math.pi)


def _heaviside(x: Tensor, at_zero: Tensor) -> Tensor:
    step = torch.where(x > 0, 1.0, torch.where(x < 0, 0.0, at_zero)).to(x.dtype)  # torch's has no derivative
    return torch.where(x.isnan(), x, step)


def _fold(operation: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda *parts: reduce(operation, parts)


def _parity(*parts: Tensor) -> Tensor:
    return reduce(torch.logical_xor, parts)


REAL_FUNCTIONS: dict[type[sympy.Basic], Callable[..., Tensor]] = {
    sympy.Add: _fold(torch.add),
    sympy.Mul: _fold(torch.mul),
    sympy.Pow: torch.pow,
    sympy.exp: torch.exp,
    sympy.log: torch.log,
    sympy.sin: torch.sin,
    sympy.cos: torch.cos,
    sympy.tan: torch.tan,
    sympy.cot: lambda x: 1.0 / torch.tan(x),
    sympy.sec: lambda x: 1.0 / torch.cos(x),
    sympy.csc: lambda x: 1.0 / torch.sin(x),
    sympy.asin: torch.asin,
    sympy.acos: torch.acos,
    sympy.atan: torch.atan,
    sympy.acot: _acot,
    sympy.asec: lambda x: torch.acos(1.0 / x),
    sympy.acsc: lambda x: torch.asin(1.0 / x),
    sympy.atan2: torch.atan2,
    sympy.sinh: torch.sinh,
    sympy.cosh: torch.cosh,
    sympy.tanh: torch.tanh,
    sympy.coth: lambda x: 1.0 / torch.tanh(x),
    sympy.sech: lambda x: 1.0 / torch.cosh(x),
    sympy.csch: lambda x: 1.0 / torch.sinh(x),
    sympy.asinh: torch.asinh,
    sympy.acosh: torch.acosh,
    sympy.atanh: torch.atanh,
    sympy.acoth: lambda x: torch.atanh(1.0 / x),
    sympy.Abs: torch.abs,
    sympy.sign: torch.sign,
    sympy.Max: _fold(torch.maximum),
    sympy.Min: _fold(torch.minimum),
    sympy.floor: torch.floor,
    sympy.ceiling: torch.ceil,
    sympy.frac: lambda x: x - torch.floor(x),
    sympy.Mod: torch.remainder,
    sympy.Heaviside: _heaviside,
    sympy.erf: torch.erf,
    sympy.erfc: torch.erfc,
    sympy.erfinv: torch.erfinv,
    sympy.gamma: _gamma,
    sympy.loggamma: _loggamma,
    sympy.sinc: _sinc,
    sympy.Eq: torch.eq,
    sympy.Ne: torch.ne,
    sympy.Lt: torch.lt,
    sympy.Le: torch.le,
    sympy.Gt: torch.gt,
    sympy.Ge: torch.ge,
    sympy.And: _fold(torch.logical_and),
    sympy.Or: _fold(torch.logical_or),
    sympy.Not: torch.logical_not,
    sympy.Xor: _parity,
    sympy.Implies: lambda a, b: ~a | b,
    sympy.ITE: torch.where,
    sympy.Equivalent: lambda *parts: _fold(torch.logical_and)(*(part == parts[0] for part in parts)),
}
"""What stands for each function of sympy."""
