"""Independent references: derivatives by nested autograd, written anew."""

from __future__ import annotations

import torch
from torch import Tensor


def partial_of(values: Tensor, points: Tensor, index: tuple[int, ...]) -> Tensor:
    """One partial derivative of `(batch, n)`, column by column."""
    columns = []
    for column in values.unbind(-1):
        found = column
        for coordinate, times in enumerate(index):
            for _ in range(times):
                if not found.requires_grad:
                    found = torch.zeros_like(found)
                    continue
                (slope,) = torch.autograd.grad(
                    found.sum(), points, create_graph=True, allow_unused=True, materialize_grads=True
                )
                found = slope[:, coordinate]
        columns.append(found)
    return torch.stack(columns, dim=-1)


def apply(terms: dict[tuple[int, ...], float], values: Tensor, points: Tensor) -> Tensor:
    return torch.stack([c * partial_of(values, points, index) for index, c in terms.items()]).sum(dim=0)


def distance(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the scale of what is expected."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / (1.0 + expected.abs().max()))
