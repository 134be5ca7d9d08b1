"""Which linear conditions are coupled: a projection carries the rounding of one to the others."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["coupled_rows", "largest_of_each"]


def coupled_rows(matrix: Tensor) -> Tensor:
    """The group of each row: rows are in one group where they share a column, also by way of others.

    Args:
        matrix: `(m, n)`.

    Returns:
        Whole numbers from 0, `(m,)`.

    Example:
        >>> coupled_rows(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 2.0, 0.0]])).tolist()
        [0, 1, 0]
    """
    groups = torch.arange(len(matrix))
    for used in (matrix != 0).mT:
        found = groups[used].unique()
        if len(found) > 1:
            groups[torch.isin(groups, found)] = found[0]
    numbers: Tensor = groups.unique(return_inverse=True)[1]
    return numbers


def largest_of_each(sizes: Tensor, groups: Tensor) -> Tensor:
    """Of each row the largest number in its group.

    Args:
        sizes: `(*batch, m)`.
        groups: `(m,)`.

    Example:
        >>> largest_of_each(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 1, 0])).tolist()
        [3.0, 2.0, 3.0]
    """
    if not len(groups) or not bool(groups.any()):
        return sizes.amax(dim=-1, keepdim=True).expand_as(sizes) if sizes.shape[-1] else sizes
    index = groups.to(sizes.device).expand(sizes.shape)
    found = sizes.new_zeros(*sizes.shape[:-1], int(groups.max()) + 1).scatter_reduce(-1, index, sizes, "amax")
    return found.gather(-1, index)
