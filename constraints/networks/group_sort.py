"""GroupSort: the activation with which networks of limited weights lose no expressiveness."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.functional import group_sort

__all__ = ["GroupSort"]


@final
class GroupSort(nn.Module):
    """Sorts within groups of neighbours; in pairs also called MaxMin.

    Elementwise activations such as ReLU lose slope in every layer where weights are limited; a sort loses none, and
    networks of it can come as close as you like to every Lipschitz function (Anil et al., theorem 3).

    Args:
        size: numbers in a group, >= 2; the width of the layer before must be a multiple of it.

    Raises:
        SpecificationError: a group of fewer than two.
        ShapeError: when called, a width that is not a multiple of it.

    Source: Anil, Lucas and Grosse, "Sorting out Lipschitz function approximation", 2019, arXiv:1811.05381.

    Example:
        >>> import torch
        >>> GroupSort()(torch.tensor([[3.0, 1.0, 2.0, 4.0]]))
        tensor([[1., 3., 2., 4.]])
    """

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        if size < 2:
            raise SpecificationError(f"`GroupSort` needs groups of size >= 2, got size={size}")
        self.size = size

    def forward(self, value: Tensor) -> Tensor:
        """`(*batch, n)` to `(*batch, n)`."""
        if value.shape[-1] % self.size:
            raise ShapeError(f"`GroupSort` needs a width that is a multiple of {self.size}, got {value.shape[-1]}")
        return group_sort(value, self.size)

    def extra_repr(self) -> str:
        """The size of a group."""
        return f"size={self.size}"
