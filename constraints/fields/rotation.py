"""Sums of second derivatives in more coordinates than the first layer is wide: in fewer, turned ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from constraints.fields.operators import DifferentialOperator, MultiIndex
from constraints.fields.plain import is_plain

__all__ = ["alike", "turned_operators", "turned_slopes"]


def alike(wanted: Sequence[DifferentialOperator]) -> tuple[int, ...]:
    """The largest set of coordinates that occur in all operators only as the sum of their second derivatives.

    Example:
        >>> from constraints.fields.operators import partials
        >>> dx, dy, dt = partials(3)
        >>> alike([dt - 0.1 * (dx**2 + dy**2)])
        (0, 1)
    """
    groups: dict[tuple[float, ...], list[int]] = {}
    for i in range(wanted[0].coordinates):
        second = _square(i, wanted[0].coordinates)
        if all(not alpha[i] or alpha == second for operator in wanted for alpha in operator.terms):
            groups.setdefault(tuple(operator.terms.get(second, 0.0) for operator in wanted), []).append(i)
    largest: list[int] = []
    for key, group in groups.items():
        largest = group if any(key) and len(group) > len(largest) else largest
    return tuple(largest)


def turned_operators(
    wanted: Sequence[DifferentialOperator], group: Sequence[int], count: int
) -> list[DifferentialOperator]:
    """The operators in the other coordinates, followed by `count` new ones in the place of a group of alike ones."""
    others = [i for i in range(wanted[0].coordinates) if i not in group]
    found = []
    for operator in wanted:
        terms: dict[MultiIndex, float] = {}
        for alpha, c in operator.terms.items():
            if not any(alpha[i] for i in group):
                terms[(*(alpha[i] for i in others), *(0,) * count)] = c
        c = operator.terms.get(_square(group[0], operator.coordinates), 0.0)
        terms |= {_square(len(others) + j, len(others) + count): c for j in range(count)}
        found.append(DifferentialOperator(terms))
    return found


def turned_slopes(weight: Tensor, group: Sequence[int]) -> Tensor:
    r"""What a linear layer makes of the other coordinates and of orthonormal directions that its rows span.

    A sum of second derivatives is the same in all orthonormal coordinates. Along directions orthogonal to all rows of
    the weight nothing changes, and since what is asked is quadratic in the slopes, its gradient along them is zero,
    too: they need not travel.

    Args:
        weight: `(m, coordinates)`, with `m` at most the size of the group.
        group: the alike coordinates.

    Returns:
        `(others + m, m)`.

    Example:
        >>> weight = torch.tensor([[3.0, 4.0, 2.0]])
        >>> turned_slopes(weight, [0, 1]).abs()  # the third coordinate, and the one along (3, 4)
        tensor([[2.],
                [5.]])
    """
    others = [i for i in range(weight.shape[1]) if i not in group]
    block = weight[:, list(group)]
    directions = torch.linalg.qr(block.detach().mT).Q
    turned = block @ directions if is_plain() else _Turn.apply(block, directions)  # type: ignore[no-untyped-call]
    return torch.cat([weight[:, others].mT, turned.mT])


def _square(i: int, coordinates: int) -> MultiIndex:
    return tuple(2 * int(j == i) for j in range(coordinates))


class _Turn(torch.autograd.Function):
    """`W Q` where `Q` follows `W`; what comes after depends on `W W^T` alone, so that the change of `Q` is none."""

    @staticmethod
    def forward(ctx: Any, block: Tensor, directions: Tensor) -> Tensor:
        turned = block @ directions
        ctx.save_for_backward(block, directions)
        return turned

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        block, directions = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return grad @ directions.mT, None
        # Differentiated again, the directions that were left out matter: grad = 2 M W Q with a symmetric M, and 2 M W
        # is wanted as a function of W.
        return grad @ torch.linalg.solve(block @ directions, block), None
