"""Maps of the unit cube that keep measure: onto spheres, and onto one of several pieces."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["choose", "direction_dimension", "directions", "sphere_area"]


def choose(unit: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """A piece for each number, in proportion to its weight, and a number that is uniform again within the piece.

    Args:
        unit: numbers in [0, 1], `(n,)`.
        weights: >= 0, `(m,)`.

    Returns:
        Places of the pieces `(n,)`, and numbers in [0, 1] `(n,)`.

    Example:
        >>> choose(torch.tensor([0.25, 0.75]), torch.tensor([1.0, 1.0]))
        (tensor([0, 1]), tensor([0.5000, 0.5000]))
    """
    ends = (weights.cumsum(0) / weights.sum()).to(unit)
    last = int(weights.nonzero()[-1])  # rounding must not pick an empty piece behind it
    place = torch.searchsorted(ends, unit.contiguous(), right=True).clamp(max=last)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    width = (ends - starts)[place].clamp(min=torch.finfo(unit.dtype).tiny)
    return place, ((unit - starts[place]) / width).clamp(0.0, 1.0)


def direction_dimension(dimension: int) -> int:
    """How many numbers make a direction in so many dimensions.

    Example:
        >>> [direction_dimension(d) for d in (1, 2, 3, 4)]
        [1, 1, 2, 4]
    """
    return {1: 1, 2: 1, 3: 2}.get(dimension, dimension)


def directions(unit: Tensor, dimension: int) -> Tensor:
    """Points of the unit sphere, uniform where the numbers are.

    By the angle in the plane, by Archimedes' cylinder in space, and else by normal numbers divided by their length.

    Args:
        unit: `(n, direction_dimension(dimension))`.
        dimension: `d`.

    Returns:
        `(n, d)`, of length 1.

    Example:
        >>> directions(torch.tensor([[0.0], [0.5]]), 2).round(decimals=3).abs()
        tensor([[1., 0.], [1., 0.]])
    """
    if dimension == 1:
        return torch.where(unit < 0.5, -1.0, 1.0).to(unit)
    if dimension <= 3:
        angle = 2.0 * math.pi * unit[:, -1:]
        circle = torch.cat([angle.cos(), angle.sin()], dim=1)
        if dimension == 2:
            return circle
        height = 1.0 - 2.0 * unit[:, :1]
        return torch.cat([(1.0 - height.square()).clamp(min=0.0).sqrt() * circle, height], dim=1)
    eps = torch.finfo(unit.dtype).eps
    normal = torch.special.ndtri(unit.clamp(eps, 1.0 - eps))
    length = torch.linalg.vector_norm(normal, dim=1, keepdim=True)
    first = torch.zeros_like(normal)
    first[:, 0] = 1.0
    return torch.where(length > eps, normal / length.clamp(min=eps), first)  # the middle of the cube has no direction


def sphere_area(dimension: int) -> float:
    r"""Measure of the unit sphere in `d` dimensions, :math:`2\pi^{d/2}/\Gamma(d/2)`.

    Example:
        >>> round(sphere_area(1), 4), round(sphere_area(3), 4)
        (2.0, 12.5664)
    """
    return 2.0 * math.exp(0.5 * dimension * math.log(math.pi) - math.lgamma(0.5 * dimension))
