"""Weights and activations from which networks of a guaranteed shape are built."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from constraints.errors import SpecificationError

__all__ = ["dual_exponent", "group_sort", "limit_rows", "sign_columns"]


def dual_exponent(p: float) -> float:
    r"""The exponent `q` of the dual norm, :math:`1/p + 1/q = 1`.

    Args:
        p: 1, 2 or inf.

    Raises:
        SpecificationError: another exponent.

    Example:
        >>> dual_exponent(1.0), dual_exponent(2.0), dual_exponent(math.inf)
        (inf, 2.0, 1.0)
    """
    duals = {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}
    if float(p) not in duals:
        raise SpecificationError(f"`dual_exponent` needs 1, 2 or inf, got {p}")
    return duals[float(p)]


def limit_rows(weight: Tensor, *, p: float, columns: Tensor | None = None, most: float = 1.0) -> Tensor:
    r"""Rows whose p-norm over the chosen columns is at most `r`: :math:`r w / \max(r, \lVert w\rVert_p)`.

    Shrunk by what the rounding of a sum of `n` products can add, so that the bound holds in floating point too.

    Args:
        weight: `(m, n)`.
        p: exponent of the norm, >= 1.
        columns: which columns are limited, `(n,)` bool; the others stay as they are. All by default.
        most: `r` > 0.

    Returns:
        `(m, n)`.

    Example:
        >>> limit_rows(torch.tensor([[3.0, 5.0], [0.5, 5.0]]), p=1.0, columns=torch.tensor([True, False]))
        tensor([[1.0000, 5.0000],
                [0.5000, 5.0000]])
    """
    chosen = weight if columns is None else torch.where(columns, weight, 0.0)
    norm = torch.linalg.vector_norm(chosen, ord=p, dim=-1, keepdim=True)
    room = most * (1.0 - weight.shape[-1] * torch.finfo(weight.dtype).eps)
    limited = weight * (room / norm.clamp(min=most))
    return limited if columns is None else torch.where(columns, limited, weight)


def sign_columns(weight: Tensor, signs: Tensor) -> Tensor:
    r"""Columns of a given sign: :math:`s_j |w_{ij}|` where :math:`s_j = \pm 1`, and :math:`w_{ij}` where it is 0.

    Args:
        weight: `(m, n)`.
        signs: `(n,)` of -1, 0 and 1.

    Returns:
        `(m, n)`.

    Example:
        >>> sign_columns(torch.tensor([[-1.0, -2.0, -3.0]]), torch.tensor([1.0, 0.0, -1.0]))
        tensor([[ 1., -2., -3.]])
    """
    return torch.where(signs == 0, weight, weight.abs() * signs)


def group_sort(value: Tensor, size: int = 2) -> Tensor:
    """Sort within groups of neighbours: 1-Lipschitz in every p-norm, and it keeps the norm of the gradient.

    Args:
        value: `(*batch, n)`.
        size: numbers in a group, a divisor of `n`.

    Returns:
        `(*batch, n)`.

    Source: Anil, Lucas and Grosse, "Sorting out Lipschitz function approximation", 2019, arXiv:1811.05381.

    Example:
        >>> group_sort(torch.tensor([3.0, 1.0, 2.0, 4.0]))
        tensor([1., 3., 2., 4.])
    """
    groups = value.unflatten(-1, (-1, size))
    if size == 2:  # several times faster than a sort
        first, second = groups.unbind(dim=-1)
        return torch.stack([torch.minimum(first, second), torch.maximum(first, second)], dim=-1).flatten(-2)
    ordered: Tensor = groups.sort(dim=-1).values
    return ordered.flatten(-2)
