"""The piecewise function and its boundary, written from the paper's description.

    x <= -1        y = -5 sin(pi (x + 1) / 2)      must be at least  5 sin^2(pi (x + 1) / 2)
    -1 < x <= 0    y = 0                           must be at most   0
    0 < x <= 1     y = 4 - 9 (x - 2/3)^2           must be at least  (4 - 9 (x - 2/3)^2) x
    1 < x          y = 8 - 5 x                     must be at most   7.5 - 4.5 x

50 samples with `x` uniform in [-1.2, 1.2] (numpy's legacy generator, seed 17), 401 test points on [-2, 2]: half of the
test lies outside the samples, where only the boundary says anything.

Source: Min and Azizan, "HardNet: Hard-Constrained Neural Networks with Universal Approximation Guarantees",
arXiv:2410.10807.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np
import torch
from torch import Tensor

from constraints import LinearInequality

__all__ = ["Boundary", "bounds", "grid_points", "samples", "target"]


def target(x: Tensor) -> Tensor:
    """The function, elementwise.

    Example:
        >>> target(torch.tensor([-2.0, -0.5, 2.0]))
        tensor([ 5.,  0., -2.])
    """
    bump = 4.0 - 9.0 * (x - 2.0 / 3.0).square()
    return _pieces(x, -5.0 * torch.sin(math.pi * (x + 1.0) / 2.0), torch.zeros_like(x), bump, 8.0 - 5.0 * x)


def bounds(x: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the greatest value allowed, elementwise; one of the two is infinite.

    Example:
        >>> [bound.tolist() for bound in bounds(torch.tensor([-2.0, -0.5, 2.0]))]
        [[5.0, -inf, -inf], [inf, 0.0, -1.5]]
    """
    none = torch.full_like(x, math.inf)
    floor = 5.0 * torch.sin(math.pi * (x + 1.0) / 2.0).square()
    bump = (4.0 - 9.0 * (x - 2.0 / 3.0).square()) * x
    return _pieces(x, floor, -none, bump, -none), _pieces(x, none, torch.zeros_like(x), none, 7.5 - 4.5 * x)


def samples() -> Tensor:
    """The published inputs, `(50, 1)`, float64."""
    return torch.from_numpy(np.random.RandomState(17).uniform(-1.2, 1.2, size=(50, 1)))


def grid_points() -> Tensor:
    """Where it is tested, `(401, 1)`, float64."""
    return torch.linspace(-2.0, 2.0, 401, dtype=torch.float64)[:, None]


def _pieces(x: Tensor, *values: Tensor) -> Tensor:
    first, second, third, fourth = values
    return torch.where(x <= -1, first, torch.where(x <= 0, second, torch.where(x <= 1, third, fourth)))


@final
class Boundary(LinearInequality):
    """The output stays on its side of the boundary.

    Example:
        >>> Boundary().enforce(torch.tensor([[0.0], [0.0]]), torch.tensor([[-2.0], [2.0]]))
        tensor([[ 5.0000],
                [-1.5000]])
    """

    def __init__(self) -> None:
        super().__init__([[1.0]], name="boundary", source="arXiv:2410.10807")

    def limits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The bounds of each sample, `(*batch, 1)` each."""
        return bounds(x)
