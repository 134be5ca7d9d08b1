"""Smooth functions of one number with their derivatives, up to the fifth (the fourth, and its gradient)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = [
    "Tower",
    "cosine",
    "exponential",
    "gelu",
    "logarithm",
    "power",
    "reciprocal",
    "sigmoid",
    "silu",
    "sine",
    "softplus",
    "tanh",
]

Tower = Callable[[Tensor, int], list[Tensor]]
"""A function: of `z` and `order` the list of `f(z), f'(z), ..., f^(order)(z)`, each of the shape of `z`."""


def tanh(z: Tensor, order: int) -> list[Tensor]:
    r"""`t = tanh z`; all derivatives are polynomials in `t`, by Leibniz's rule on :math:`t' = 1 - t^2`.

    Example:
        >>> tanh(torch.zeros(()), 3)
        [tensor(0.), tensor(1.), tensor(0.), tensor(-2.)]
    """
    t = torch.tanh(z)
    found = [t]
    if order >= 1:
        found.append(torch.addcmul(_one(t), t, t, value=-1.0))
    if order >= 2:
        found.append(torch.addcmul(_one(t, 0.0), t, found[1], value=-2.0))
    if order >= 3:  # f3 = f1 (4 - 6 f1)
        found.append(torch.addcmul(4.0 * found[1], found[1], found[1], value=-6.0))
    if order >= 4:  # f4 = f2 (4 - 12 f1)
        found.append(torch.addcmul(4.0 * found[2], found[1], found[2], value=-12.0))
    if order >= 5:  # f5 = f3 (4 - 12 f1) - 12 f2^2
        fifth = torch.addcmul(4.0 * found[3], found[1], found[3], value=-12.0)
        found.append(torch.addcmul(fifth, found[2], found[2], value=-12.0))
    return found


def sigmoid(z: Tensor, order: int) -> list[Tensor]:
    r""":math:`\sigma(z) = (1 + \tanh(z/2))/2`.

    Example:
        >>> sigmoid(torch.zeros(()), 1)
        [tensor(0.5000), tensor(0.2500)]
    """
    first, *others = tanh(0.5 * z, order)
    return [0.5 + 0.5 * first, *(f * 0.5 ** (k + 1) for k, f in enumerate(others, start=1))]


def silu(z: Tensor, order: int) -> list[Tensor]:
    r""":math:`z\,\sigma(z)`, with derivatives :math:`z\,\sigma^{(k)} + k\,\sigma^{(k-1)}`.

    Example:
        >>> silu(torch.zeros(()), 2)
        [tensor(0.), tensor(0.5000), tensor(0.5000)]
    """
    s = sigmoid(z, order)
    return [z * s[0], *(torch.addcmul(k * s[k - 1], z, s[k]) for k in range(1, order + 1))]


def softplus(z: Tensor, order: int, *, beta: float = 1.0) -> list[Tensor]:
    r""":math:`\log(1 + e^{\beta z})/\beta`, without a switch to a straight line at large `z`.

    Example:
        >>> softplus(torch.zeros(()), 2)
        [tensor(0.6931), tensor(0.5000), tensor(0.2500)]
    """
    value = torch.logaddexp(z * beta, torch.zeros_like(z)) / beta
    if not order:
        return [value]
    return [value, *(f * beta**k for k, f in enumerate(sigmoid(beta * z, order - 1)))]


def gelu(z: Tensor, order: int) -> list[Tensor]:
    r""":math:`z\,\Phi(z)`; from the second on, its derivatives are polynomials times the normal density.

    Example:
        >>> [round(float(f), 4) for f in gelu(torch.zeros(()), 2)]
        [0.0, 0.5, 0.7979]
    """
    below = 0.5 * torch.erfc(-z / math.sqrt(2.0))
    found = [z * below]
    if order >= 1:
        square = z * z
        density = torch.exp(-0.5 * square) / math.sqrt(2.0 * math.pi)
        found.append(below + z * density)
    if order >= 2:
        found.append(density * (2.0 - square))
    if order >= 3:
        found.append(density * z * (square - 4.0))
    if order >= 4:
        found.append(density * ((7.0 - square) * square - 4.0))
    if order >= 5:
        found.append(density * z * ((square - 11.0) * square + 18.0))
    return found


def sine(z: Tensor, order: int) -> list[Tensor]:
    """Its derivatives repeat after four.

    Example:
        >>> sine(torch.zeros(()), 3)
        [tensor(0.), tensor(1.), tensor(-0.), tensor(-1.)]
    """
    s = torch.sin(z)
    if not order:
        return [s]
    c = torch.cos(z)
    return [s, c, -s, -c, s, c][: order + 1]


def cosine(z: Tensor, order: int) -> list[Tensor]:
    """Its derivatives repeat after four.

    Example:
        >>> cosine(torch.zeros(()), 2)
        [tensor(1.), tensor(-0.), tensor(-1.)]
    """
    c = torch.cos(z)
    if not order:
        return [c]
    s = torch.sin(z)
    return [c, -s, -c, s, c, -s][: order + 1]


def exponential(z: Tensor, order: int) -> list[Tensor]:
    """All its derivatives are itself.

    Example:
        >>> exponential(torch.zeros(()), 1)
        [tensor(1.), tensor(1.)]
    """
    return [torch.exp(z)] * (order + 1)


def reciprocal(z: Tensor, order: int) -> list[Tensor]:
    r""":math:`1/z`, for quotients of jets.

    Example:
        >>> reciprocal(torch.tensor(2.0), 2)
        [tensor(0.5000), tensor(-0.2500), tensor(0.2500)]
    """
    found = [1.0 / z]
    for k in range(1, order + 1):
        found.append(found[-1] * found[0] * -float(k))
    return found


def logarithm(z: Tensor, order: int) -> list[Tensor]:
    """Its derivatives are those of the reciprocal.

    Example:
        >>> logarithm(torch.ones(()), 2)
        [tensor(0.), tensor(1.), tensor(-1.)]
    """
    return [torch.log(z), *(reciprocal(z, order - 1) if order else [])]


def power(z: Tensor, order: int, *, exponent: float) -> list[Tensor]:
    r""":math:`z^p`, for `z > 0` where `p` is not whole.

    Example:
        >>> power(torch.tensor(4.0), 2, exponent=0.5)
        [tensor(2.), tensor(0.2500), tensor(-0.0312)]
    """
    found, factor = [z**exponent], 1.0
    for k in range(order):
        factor *= exponent - k
        found.append(factor * z ** (exponent - k - 1) if factor else torch.zeros_like(z))
    return found


def _one(like: Tensor, number: float = 1.0) -> Tensor:
    return torch.full((), number, dtype=like.dtype, device=like.device)
