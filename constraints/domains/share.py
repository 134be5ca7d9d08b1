"""How much of what its points are made of a domain fills."""

from __future__ import annotations

import torch

from constraints.domains.domain import Domain

__all__ = ["TESTS", "share"]

TESTS = 2**14  # quasi-random points for a volume, whose relative error is then about 1e-3


def share(domain: Domain) -> float:
    """How many of the points tried are kept, of a fixed quasi-random rule: its volume, where pieces are left out.

    Example:
        >>> from constraints.domains import Ball, Cuboid
        >>> round(share(Cuboid([0.0, 0.0], [1.0, 1.0]) - Ball([0.0, 0.0], 0.5)), 2)  # 1 - pi / 16
        0.8
    """
    if not domain.unit_dimension:
        return float(domain.place(torch.empty(1, 0, dtype=torch.float64))[1].double().mean())
    engine = torch.quasirandom.SobolEngine(domain.unit_dimension)
    # the middle of each of the cells whose corners the points are: not one of them is on a face
    unit = engine.draw(TESTS, dtype=torch.float64) + 0.5 / TESTS
    return float(domain.place(unit)[1].double().mean())
