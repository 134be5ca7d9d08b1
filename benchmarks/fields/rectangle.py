"""Equal places of a rectangle, where answers are tested and pictures are drawn."""

from __future__ import annotations

from collections.abc import Mapping

import sympy
import torch
from torch import Tensor

__all__ = ["rectangle"]


def rectangle(domain: Mapping[sympy.Symbol, tuple[float, float]], columns: int, rows: int) -> Tensor:
    """Places `(columns * rows, 2)` in float64, both ends of both coordinates among them; the first moves fastest.

    Args:
        domain: bounds of the two coordinates.
        columns: along the first.
        rows: along the second.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> rectangle({x: (0.0, 1.0), t: (0.0, 2.0)}, 2, 2).tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]]
    """
    first, second = (
        torch.linspace(low, high, count, dtype=torch.float64)
        for (low, high), count in zip(domain.values(), (columns, rows), strict=True)
    )
    return torch.cartesian_prod(second, first).flip(1)
