"""Sympy expressions as functions of tensors, and as functions of cvxpy: one walk, two targets, no text evaluated."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from importlib import import_module
from typing import Any, final

import sympy
import torch
from torch import Tensor

from constraints.errors import SpecificationError
from constraints.functional.smooth import safe_norm

__all__ = [
    "CvxpyTarget",
    "GeometricMean",
    "LogSumExp",
    "NegativeEntropy",
    "Norm",
    "QuadraticOverLinear",
    "RelativeEntropy",
    "SumSquares",
    "Target",
    "TorchTarget",
    "evaluate",
]


class Norm(sympy.Function):  # type: ignore[misc]
    """Euclidean norm of its arguments."""

    is_real = True
    is_nonnegative = True


class SumSquares(sympy.Function):  # type: ignore[misc]
    """Sum of the squares of its arguments."""

    is_real = True
    is_nonnegative = True


class QuadraticOverLinear(sympy.Function):  # type: ignore[misc]
    """Sum of the squares of all arguments but the last, over the last, which is positive."""

    is_real = True
    is_nonnegative = True


class LogSumExp(sympy.Function):  # type: ignore[misc]
    """Logarithm of the sum of the exponentials of its arguments."""

    is_real = True


class NegativeEntropy(sympy.Function):  # type: ignore[misc]
    """`x log(x)`, 0 at 0."""

    is_real = True


class RelativeEntropy(sympy.Function):  # type: ignore[misc]
    """`x log(x / y)`."""

    is_real = True


class GeometricMean(sympy.Function):  # type: ignore[misc]
    """Square root of the product of its two arguments, which are not negative."""

    is_real = True
    is_nonnegative = True


class Target(ABC):
    """What an expression is turned into: how numbers, sums, products, powers and functions are made there."""

    @abstractmethod
    def number(self, value: float) -> Any:
        """A constant."""

    @abstractmethod
    def power(self, base: Any, exponent: float) -> Any:
        """`base` to a fixed number."""

    @abstractmethod
    def functions(self) -> Mapping[type[sympy.Basic], Callable[..., Any]]:
        """Sympy's function to the target's, of the arguments in order."""


def evaluate(expression: sympy.Basic, target: Target, leaves: Mapping[sympy.Symbol, Any]) -> Any:
    """Turn an expression into a value of the target by walking its tree.

    Args:
        expression: made of numbers, the symbols of `leaves`, sums, products, fixed powers and the target's functions.
        target: what to make.
        leaves: a value for each symbol.

    Raises:
        SpecificationError: a symbol or a function that is not known, or a number that is not real and finite.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> one = torch.ones(())
        >>> evaluate(x**2 + sympy.exp(y), TorchTarget(one), {x: 3.0 * one, y: 0.0 * one})
        tensor(10.)
    """
    if not expression.free_symbols and expression.is_number:
        return target.number(_real(expression))
    if isinstance(expression, sympy.Symbol):
        if expression not in leaves:
            raise SpecificationError(f"every symbol needs to be declared, got {expression}")
        return leaves[expression]
    if isinstance(expression, sympy.Pow):
        base, exponent = expression.args
        if not exponent.is_number:
            raise SpecificationError(f"a power needs a number as its exponent, got {expression}")
        return target.power(evaluate(base, target, leaves), _real(exponent))
    arguments = [evaluate(part, target, leaves) for part in expression.args]
    if isinstance(expression, sympy.Add):
        return reduce(lambda a, b: a + b, arguments)
    if isinstance(expression, sympy.Mul):
        return reduce(lambda a, b: a * b, arguments)
    function = target.functions().get(type(expression))
    if function is None:
        known = ", ".join(sorted(kind.__name__ for kind in target.functions()))
        raise SpecificationError(f"a function needs to be one of {known}, got {expression}")
    return function(*arguments)


def _real(expression: sympy.Basic) -> float:
    try:
        value = float(expression)
    except TypeError:
        value = math.nan
    if not math.isfinite(value):
        raise SpecificationError(f"a number needs to be real and finite, got {expression}")
    return value


@final
class TorchTarget(Target):
    """Tensors, elementwise. Outside their domain concave functions are `-inf`, convex ones `inf`, with derivative 0.

    Args:
        like: a tensor whose dtype and device numbers take.
    """

    def __init__(self, like: Tensor) -> None:
        self.like = like

    def number(self, value: float) -> Tensor:
        """A tensor of no dimension."""
        return self.like.new_full((), value)

    def power(self, base: Tensor, exponent: float) -> Tensor:
        """Integers have all reals (without 0 if negative) as their domain, other powers the positive ones."""
        if exponent == int(exponent) and exponent > 0:
            return base ** int(exponent)
        if exponent == int(exponent):
            return _on(base != 0, base, lambda b: b ** int(exponent), math.inf)
        if exponent > 0:  # the derivative at 0 is 0 or infinite, of the roots; there is none of the value
            outside = -math.inf if exponent < 1 else math.inf
            return _on(base >= 0, base, lambda b: b**exponent, outside)
        return _on(base > 0, base, lambda b: b**exponent, math.inf)

    def functions(self) -> Mapping[type[sympy.Basic], Callable[..., Tensor]]:
        """The table."""
        return _TORCH


def _on(inside: Tensor, value: Tensor, function: Callable[[Tensor], Tensor], outside: float) -> Tensor:
    """The function where it is defined; elsewhere a number, and NaN for NaN."""
    found = function(torch.where(inside, value, 1.0))
    return torch.where(inside, found, torch.where(value.isnan(), math.nan, outside).to(found.dtype))


def _stack(*parts: Tensor) -> Tensor:
    if any(part.shape != parts[0].shape for part in parts):
        parts = torch.broadcast_tensors(*parts)
    return torch.stack(parts, dim=-1)


def _quadratic_over_linear(*parts: Tensor) -> Tensor:
    top = _stack(*parts[:-1]).square().sum(dim=-1)
    bottom = parts[-1].expand_as(top)
    return torch.where(bottom > 0, top / torch.where(bottom > 0, bottom, 1.0), math.inf)


def _times_log(x: Tensor) -> Tensor:
    """`x log(x)`: 0 at 0, where the derivative is infinite."""
    return torch.where(x == 0, 0.0, _on(x > 0, x, lambda inside: inside * inside.log(), math.inf))


def _relative_entropy(x: Tensor, y: Tensor) -> Tensor:
    inside = (x > 0) & (y > 0)
    ratio = torch.where(inside, x, 1.0) / torch.where(inside, y, 1.0)
    outside = torch.where((x == 0) & (y >= 0), 0.0, math.inf).to(ratio.dtype)
    return torch.where(inside, torch.where(inside, x, 1.0) * ratio.log(), outside)


def _geometric_mean(x: Tensor, y: Tensor) -> Tensor:
    inside = (x >= 0) & (y >= 0)
    product = torch.where(inside, x, 1.0) * torch.where(inside, y, 1.0)
    return torch.where(inside, product.sqrt(), -math.inf)


_TORCH: dict[type[sympy.Basic], Callable[..., Tensor]] = {
    sympy.exp: torch.exp,
    sympy.log: lambda x: _on(x > 0, x, torch.log, -math.inf),
    sympy.Abs: torch.abs,
    sympy.Max: lambda *parts: reduce(torch.maximum, parts),
    sympy.Min: lambda *parts: reduce(torch.minimum, parts),
    Norm: lambda *parts: safe_norm(_stack(*parts)).squeeze(-1),
    SumSquares: lambda *parts: _stack(*parts).square().sum(dim=-1),
    QuadraticOverLinear: _quadratic_over_linear,
    LogSumExp: lambda *parts: torch.logsumexp(_stack(*parts), dim=-1),
    NegativeEntropy: _times_log,
    RelativeEntropy: _relative_entropy,
    GeometricMean: _geometric_mean,
}


@final
class CvxpyTarget(Target):
    """Expressions of cvxpy, whose curvature its rules then decide. Needs cvxpy."""

    def __init__(self) -> None:
        cp: Any = import_module("cvxpy")
        self.cp = cp
        self.table: dict[type[sympy.Basic], Callable[..., Any]] = {
            sympy.exp: cp.exp,
            sympy.log: cp.log,
            sympy.Abs: cp.abs,
            sympy.Max: cp.maximum,
            sympy.Min: cp.minimum,
            Norm: lambda *parts: cp.norm(cp.hstack(parts), 2),
            SumSquares: lambda *parts: cp.sum_squares(cp.hstack(parts)),
            QuadraticOverLinear: lambda *parts: cp.quad_over_lin(cp.hstack(parts[:-1]), parts[-1]),
            LogSumExp: lambda *parts: cp.log_sum_exp(cp.hstack(parts)),
            NegativeEntropy: lambda x: -cp.entr(x),
            RelativeEntropy: cp.rel_entr,
            GeometricMean: lambda x, y: cp.geo_mean(cp.hstack([x, y])),
        }

    def number(self, value: float) -> float:
        """A Python number."""
        return value

    def power(self, base: Any, exponent: float) -> Any:
        """`cp.power`, on its convex or concave domain."""
        return self.cp.power(base, exponent)

    def functions(self) -> Mapping[type[sympy.Basic], Callable[..., Any]]:
        """The table."""
        return self.table


def as_leaves(symbols: Sequence[sympy.Symbol], values: Tensor) -> dict[sympy.Symbol, Tensor]:
    """Each symbol's value, from the last dimension of a tensor."""
    return {symbol: values[..., i] for i, symbol in enumerate(symbols)}
