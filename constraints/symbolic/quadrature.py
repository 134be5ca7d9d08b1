"""Integrals as sums over the nodes of Gauss-Legendre quadrature, and what the nodes do not resolve of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import sympy
import torch
from torch import Tensor

from constraints.errors import SpecificationError

__all__ = ["Integrand", "by_quadrature", "integrands"]


@final
@dataclass(frozen=True, slots=True)
class Integrand:
    """An integrand at the nodes of its integral.

    Attributes:
        values: at each node, by the lengths of the intervals; the last variable varies fastest.
        weights: of the nodes along each variable, `(count,)`.
        coefficients: by their weights, of Legendre's polynomials along each variable, `(2 k, count)`: the `k` highest
            degrees that the nodes tell, and `k` of half their degree.
        axes: how many variables.
    """

    values: tuple[sympy.Expr, ...]
    weights: Tensor
    coefficients: Tensor
    axes: int

    def map(self, function: Callable[[sympy.Expr], sympy.Expr]) -> Integrand:
        """With other values."""
        return replace(self, values=tuple(function(value) for value in self.values))

    def error(self, values: Tensor) -> Tensor:
        """What Gauss's rule misses, of the integral of the size, `(n, nodes)` to `(n,)`.

        The rule is exact to twice the degree of the highest coefficients. From theirs the series falls on to there by
        the square of the factor by which it fell from half of it. What follows may be as much again. Coefficients are
        those along each line of nodes, of which the sizes are summed: a ridge at an angle is smooth once it is summed.
        """
        tiny = torch.finfo(values.dtype).tiny
        weights, table = self.weights.to(values), self.coefficients.to(values)
        cube = values.reshape(-1, *[len(weights)] * self.axes)
        size = cube.abs()
        for _ in range(self.axes):
            size = size @ weights
        found = torch.zeros_like(size)
        for axis in range(1, self.axes + 1):
            lines = (cube.movedim(axis, -1) @ table.mT).abs().movedim(-1, 1)
            for _ in range(self.axes - 1):
                lines = lines @ weights
            highest, middle = (lines / size.clamp(min=tiny)[:, None]).unflatten(1, (2, -1)).amax(dim=-1).unbind(-1)
            error = 2.0 * highest * (highest / middle.clamp(min=tiny)).square()
            found = torch.maximum(found, error.clamp(max=1.0))
        return found


def by_quadrature(e: sympy.Expr, nodes: int | None) -> sympy.Expr:
    """Integrals as sums over nodes.

    Args:
        e: with integrals.
        nodes: along each axis; by default 32 along a line, 10 along each side of a rectangle, 6 along more.

    Raises:
        SpecificationError: an integral without finite limits.

    Example:
        >>> x = sympy.Symbol("x")
        >>> round(by_quadrature(sympy.Integral(x**2, (x, 0, 3)), 3), 12)
        9.00000000000000
    """
    if not e.has(sympy.Integral):
        return e
    if not isinstance(e, sympy.Integral):
        return e.func(*(by_quadrature(part, nodes) for part in e.args))
    values = _values(e, by_quadrature(e.function, nodes), nodes)
    weights = _product([_rule(nodes or _count(e))[1]] * len(e.limits))
    return sympy.Add(*(sympy.Float(w) * value for w, value in zip(weights.tolist(), values, strict=True)))


def integrands(e: sympy.Expr, nodes: int | None) -> list[Integrand]:
    """The integrands of the integrals without another in them; see `by_quadrature`."""
    found = []
    for integral in sorted(e.atoms(sympy.Integral), key=str):
        if integral.function.has(sympy.Integral):
            continue
        count, axes = nodes or _count(integral), len(integral.limits)
        z, w = _rule(count)
        several = max(2, count // 8)
        degrees = [top - 1 - i for top in (count, count // 2 + 1) for i in range(several)]
        table = np.stack([w * _scaled(degree, z) for degree in degrees])
        values = _values(integral, integral.function, nodes)
        found.append(Integrand(tuple(values), torch.from_numpy(w), torch.from_numpy(table), axes))
    return found


def _values(e: sympy.Integral, inner: sympy.Expr, nodes: int | None) -> list[sympy.Expr]:
    """The integrand at each node, by half the length of each interval; the last limit varies fastest."""
    z, _ = _rule(nodes or _count(e))
    values = [inner]
    for limit in e.limits:
        if len(limit) != 3 or any(end.is_infinite for end in limit[1:]):
            raise SpecificationError(f"an integral needs finite limits, got {e}")
        variable, low, high = limit
        half, middle = (high - low) / 2, (high + low) / 2
        places = [middle + half * sympy.Float(node) for node in z.tolist()]
        values = [half * value.subs(variable, place) for value in values for place in places]
    return values


def _count(e: sympy.Integral) -> int:
    return {1: 32, 2: 10}.get(len(e.limits), 6)  # as many places as one pass takes


def _rule(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss's nodes and weights."""
    z, w = np.polynomial.legendre.leggauss(count)
    return z, w


def _product(weights: list[np.ndarray]) -> np.ndarray:
    """Weights of all combinations, the last varies fastest."""
    return functools.reduce(lambda one, two: np.kron(one, two), weights)


def _scaled(degree: int, z: np.ndarray) -> np.ndarray:
    """Legendre's polynomial by its size inside (-1, 1), so that a narrow bump has coefficients of about 1."""
    return np.asarray(np.sqrt(np.pi * (2 * degree + 1)) / 2.0 * np.polynomial.legendre.Legendre.basis(degree)(z))
