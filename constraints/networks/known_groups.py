"""Groups that are known: all permutations, rotations, and the finite ones that images and columns have."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.networks.actions import LinearAction, Permutation, Rearrangement, SignChange, Turn
from constraints.networks.groups import FiniteGroup, Group

__all__ = [
    "ContinuousGroup",
    "Permutations",
    "PlaneRotations",
    "Rotations",
    "column_shifts",
    "quarter_turns",
    "sign_flips",
    "turns_and_flips",
]


@final
class Permutations(Group):
    """All permutations of an axis: too many to list, but sorting gives each orbit its representative.

    Args:
        size: length of the axis, >= 2.
        dim: which axis, -1 or -2 (the points of a set, `(*batch, size, features)`).

    Raises:
        SpecificationError: another axis, or a size below 2.

    Example:
        >>> Permutations(3).canonical(torch.tensor([[3.0, 1.0, 2.0]]))
        tensor([[1., 2., 3.]])
        >>> Permutations(2, dim=-2).canonical(torch.tensor([[[1.0, 9.0], [1.0, 2.0]]]))
        tensor([[[1., 2.],
                 [1., 9.]]])
    """

    def __init__(self, size: int, *, dim: int = -1) -> None:
        super().__init__()
        if size < 2 or dim not in (-1, -2):
            raise SpecificationError(f"`Permutations` needs size >= 2 and dim -1 or -2, got size={size}, dim={dim}")
        self.size, self.dim, self.event_dim = size, dim, -dim

    def draw(self, x: Tensor) -> nn.Module:
        """A random order of each sample."""
        _require_axis(x, self.dim, self.size, "Permutations")
        return Rearrangement(torch.rand(len(x), self.size, device=x.device).argsort(dim=-1), dim=self.dim)

    def canonical(self, x: Tensor) -> Tensor:
        """`x` in ascending order, rows lexicographically, of the shape of `x`; exact."""
        _require_axis(x, self.dim, self.size, "Permutations")
        if self.dim == -1:
            return x.sort(dim=-1).values
        for column in reversed(range(x.shape[-1])):  # stable, so that the first column decides in the end
            order = x[..., column].argsort(dim=-1, stable=True)
            x = x.gather(-2, order[..., None].expand_as(x))
        return x

    def holds(self, other: Group) -> bool:
        """Whether every element of another group is a permutation of this axis."""
        if isinstance(other, Permutations):
            return (other.size, other.dim) == (self.size, self.dim)
        return isinstance(other, FiniteGroup) and all(
            isinstance(action, Permutation) and (len(action.order), action.dim) == (self.size, self.dim)
            for action in other.actions
        )

    def extra_repr(self) -> str:
        """Size and axis."""
        return f"{self.size}, dim={self.dim}"


class ContinuousGroup(Group, ABC):
    """A group that can only be drawn from; write `draw`. A mean over draws is not exact: its symmetry is never Hard."""


@final
class PlaneRotations(ContinuousGroup):
    """Rotations of two columns by any angle.

    Args:
        columns: the two.
        size: how many columns there are.

    Raises:
        SpecificationError: columns that are not two of them.

    Example:
        >>> x = torch.tensor([[3.0, 4.0, 7.0]])
        >>> y = PlaneRotations((0, 1), size=3).draw(x)(x)
        >>> bool((y[:, :2].norm() - 5.0).abs() < 1e-5), float(y[0, 2])
        (True, 7.0)
    """

    def __init__(self, columns: tuple[int, int] = (0, 1), *, size: int = 2) -> None:
        super().__init__()
        if len(set(columns)) != 2 or not all(0 <= column < size for column in columns):
            raise SpecificationError(
                f"`PlaneRotations` needs two distinct columns of 0 to {size - 1}, got {list(columns)}"
            )
        self.columns, self.size = tuple(columns), size

    def draw(self, x: Tensor) -> LinearAction:
        """A random angle for each sample."""
        a, b = self.columns
        angle = torch.rand(len(x), dtype=x.dtype, device=x.device) * (2.0 * math.pi)
        matrix = torch.eye(self.size, dtype=x.dtype, device=x.device).repeat(len(x), 1, 1)
        matrix[:, a, a], matrix[:, b, b] = angle.cos(), angle.cos()
        matrix[:, a, b], matrix[:, b, a] = -angle.sin(), angle.sin()
        return LinearAction(matrix)


@final
class Rotations(ContinuousGroup):
    """All rotations of vectors, SO(n), drawn uniformly.

    Args:
        size: `n` >= 2.

    Raises:
        SpecificationError: a size below 2.

    Source: Mezzadri, "How to generate random matrices from the classical compact groups", Notices AMS 54 (2007),
    arXiv:math-ph/0609050.

    Example:
        >>> x = torch.tensor([[3.0, 4.0, 0.0]])
        >>> bool((Rotations(3).draw(x)(x).norm() - 5.0).abs() < 1e-5)
        True
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < 2:
            raise SpecificationError(f"`Rotations` needs size >= 2, got {size}")
        self.size = size

    def draw(self, x: Tensor) -> LinearAction:
        """A random rotation for each sample."""
        q, r = torch.linalg.qr(torch.randn(len(x), self.size, self.size, dtype=x.dtype, device=x.device))
        q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]
        proper = torch.ones_like(q[:, 0])
        proper[:, 0] = torch.linalg.det(q).sign()
        return LinearAction(q * proper[:, None, :])


def quarter_turns() -> FiniteGroup:
    """C4: the four quarter turns of square images `(*batch, n, n)`.

    Example:
        >>> len(quarter_turns())
        4
    """
    return FiniteGroup([Turn(k) for k in range(4)])


def turns_and_flips() -> FiniteGroup:
    """D4: the quarter turns of square images, and each after a flip from left to right.

    Example:
        >>> len(turns_and_flips())
        8
    """
    return FiniteGroup([Turn(k, flip=flip) for flip in (False, True) for k in range(4)])


def column_shifts(size: int, *, dim: int = -1) -> FiniteGroup:
    """The cyclic shifts of an axis.

    Args:
        size: length of the axis.
        dim: which axis, counted from the end (negative).

    Example:
        >>> column_shifts(3).orbit(torch.tensor([1.0, 2.0, 3.0])).tolist()
        [[1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [3.0, 1.0, 2.0]]
    """
    return FiniteGroup([Permutation([(i + k) % size for i in range(size)], dim=dim) for k in range(size)])


def sign_flips(size: int, columns: Sequence[int]) -> FiniteGroup:
    """The identity, and the change of sign of some columns together.

    Args:
        size: how many columns there are.
        columns: those that change their sign.

    Example:
        >>> sign_flips(2, [1]).orbit(torch.tensor([1.0, 2.0])).tolist()
        [[1.0, 2.0], [1.0, -2.0]]
    """
    return FiniteGroup([SignChange([1.0] * size), SignChange([-1.0 if i in columns else 1.0 for i in range(size)])])


def _require_axis(x: Tensor, dim: int, size: int, owner: str) -> None:
    if x.dim() < 1 - dim or x.shape[dim] != size:
        raise ShapeError(f"`{owner}` needs {size} along dim {dim} of a batch, got shape {tuple(x.shape)}")
