"""Actions: one element of a group, as it moves the numbers of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.sets.constraint import as_buffer, keep_precision

__all__ = ["Chosen", "LinearAction", "Permutation", "Rearrangement", "SignChange", "Turn"]


@final
class Permutation(nn.Module):
    """The entries of an axis in another order: entry `i` becomes what entry `order[i]` was.

    Args:
        order: every place once.
        dim: which axis, counted from the end (negative).

    Raises:
        SpecificationError: not a permutation, or an axis counted from the front.

    Example:
        >>> Permutation([1, 2, 0])(torch.tensor([10.0, 20.0, 30.0]))
        tensor([20., 30., 10.])
    """

    order: Tensor

    def __init__(self, order: Sequence[int], *, dim: int = -1) -> None:
        super().__init__()
        if sorted(order) != list(range(len(order))) or not order or dim >= 0:
            raise SpecificationError(
                f"`Permutation` needs each of 0 to n - 1 once and dim < 0, got {list(order)}, dim={dim}"
            )
        self.dim = dim
        self.register_buffer("order", torch.tensor(list(order)), persistent=False)

    def event(self) -> tuple[int, ...]:
        """A shape to try it on."""
        return (len(self.order), *[2] * (-self.dim - 1))

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of `x`, `(*batch, ..., n, ...)`."""
        if x.dim() < -self.dim or x.shape[self.dim] != len(self.order):
            raise ShapeError(
                f"`Permutation` needs {len(self.order)} entries along dim {self.dim}, got shape {tuple(x.shape)}"
            )
        return x.index_select(self.dim, self.order)

    def extra_repr(self) -> str:
        """The order."""
        return f"{self.order.tolist()}, dim={self.dim}"


@final
class Rearrangement(nn.Module):
    """The entries of an axis of each sample in an order of its own.

    Args:
        order: `(batch, n)`.
        dim: which axis, -1 or -2.

    Example:
        >>> Rearrangement(torch.tensor([[0, 1], [1, 0]]))(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[1., 2.],
                [4., 3.]])
    """

    def __init__(self, order: Tensor, *, dim: int = -1) -> None:
        super().__init__()
        self.order, self.dim = order, dim

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of `x`, `(batch, ..., n, ...)`."""
        order = self.order.reshape(len(x), *[1] * (x.dim() - 2 if self.dim == -1 else x.dim() - 3), -1)
        order = order if self.dim == -1 else order[..., None]
        return x.gather(self.dim, order.expand_as(x))


@final
class SignChange(nn.Module):
    """Columns times 1 or -1.

    Args:
        signs: `(n,)`.

    Raises:
        SpecificationError: numbers other than 1 and -1.

    Example:
        >>> SignChange([1.0, -1.0])(torch.tensor([3.0, 4.0]))
        tensor([ 3., -4.])
    """

    signs: Tensor

    def __init__(self, signs: Sequence[float] | Tensor) -> None:
        super().__init__()
        numbers = as_buffer("SignChange", "signs", signs)
        if numbers.dim() != 1 or not len(numbers) or bool((numbers.abs() != 1.0).any()):
            raise SpecificationError(f"`SignChange` needs signs 1 or -1, one a column, got {numbers.tolist()}")
        self.register_buffer("signs", numbers, persistent=False)

    def event(self) -> tuple[int, ...]:
        """A shape to try it on."""
        return (len(self.signs),)

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, n)`."""
        if x.shape[-1:] != self.signs.shape:
            raise ShapeError(f"`SignChange` needs {len(self.signs)} columns, got shape {tuple(x.shape)}")
        return x * self.signs.to(x)

    def extra_repr(self) -> str:
        """The signs."""
        return f"{self.signs.tolist()}"


@final
class Turn(nn.Module):
    """A quarter turn (counter-clockwise, some times) of images, after a flip from left to right where wanted.

    Channels and the like stand before the last two dimensions, and turn along.

    Args:
        quarters: how many quarter turns.
        flip: whether to flip first.

    Example:
        >>> Turn(1)(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[2., 4.],
                [1., 3.]])
    """

    def __init__(self, quarters: int, *, flip: bool = False) -> None:
        super().__init__()
        self.quarters, self.flip = quarters % 4, flip

    def event(self) -> tuple[int, ...]:
        """A shape to try it on."""
        return (3, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of `x`, `(*batch, n, n)`; a half turn or a flip alone of any `(*batch, n, m)`."""
        if x.dim() < 2 or (self.quarters % 2 and x.shape[-1] != x.shape[-2]):
            raise ShapeError(f"`Turn` needs square images (*batch, n, n), got shape {tuple(x.shape)}")
        return torch.rot90(x.flip(-1) if self.flip else x, self.quarters, (-2, -1))

    def extra_repr(self) -> str:
        """Turns, and whether it flips."""
        return f"{self.quarters}, flip={self.flip}"


@final
class Chosen(nn.Module):
    """One of several actions for each sample.

    Args:
        actions: the actions.
        index: which of them, for each sample, `(batch,)`.

    Example:
        >>> chosen = Chosen([nn.Identity(), SignChange([-1.0])], torch.tensor([0, 1]))
        >>> chosen(torch.ones(2, 1)).tolist()
        [[1.0], [-1.0]]
    """

    def __init__(self, actions: Sequence[nn.Module], index: Tensor) -> None:
        super().__init__()
        self.actions = nn.ModuleList(actions)
        self.index = index

    def forward(self, x: Tensor) -> Tensor:
        """Of each sample by its own element, of the shape of `x`."""
        moved = torch.stack([action(x) for action in self.actions])
        return moved[self.index, torch.arange(len(x), device=x.device)]


@final
class LinearAction(nn.Module):
    """Vectors times a matrix: :math:`x \\mapsto M x`.

    Args:
        matrix: `M`, `(n, n)`, or one for each sample, `(batch, n, n)`.

    Raises:
        SpecificationError: a matrix that is not square or not invertible.

    Example:
        >>> LinearAction(torch.tensor([[0.0, -1.0], [1.0, 0.0]]))(torch.tensor([1.0, 2.0]))
        tensor([-2.,  1.])
    """

    matrix: Tensor

    def __init__(self, matrix: Tensor | Sequence[Sequence[float]]) -> None:
        super().__init__()
        m = as_buffer("LinearAction", "matrix", matrix)
        if m.dim() not in (2, 3) or m.shape[-1] != m.shape[-2] or 0 in m.shape:
            raise SpecificationError(f"`LinearAction` needs square matrices, got shape {tuple(m.shape)}")
        if m.dim() == 2 and int(torch.linalg.matrix_rank(m)) < len(m):
            raise SpecificationError(f"`LinearAction` needs an invertible matrix, got {m.tolist()}")
        self.register_buffer("matrix", m, persistent=False)

    def event(self) -> tuple[int, ...]:
        """A shape to try it on."""
        return (self.matrix.shape[-1],)

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, n)`; the matrices of samples act on all of theirs, `(batch, ..., n)`."""
        if x.shape[-1] != self.matrix.shape[-1] or (self.matrix.dim() == 3 and len(x) != len(self.matrix)):
            raise ShapeError(f"`LinearAction` of {tuple(self.matrix.shape)} does not fit a tensor {tuple(x.shape)}")
        matrix = self.matrix.to(x)
        if matrix.dim() == 2:
            return x @ matrix.mT
        return torch.einsum("bij,b...j->b...i", matrix, x)

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]
        """Move with the module, but keep the precision of the matrix."""
        return keep_precision(self, super()._apply, fn, recurse)

    def extra_repr(self) -> str:
        """The shape."""
        return f"{tuple(self.matrix.shape)}"
