"""Groups of cells, named by an einops pattern."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from einops import rearrange
from torch import Tensor

from constraints.errors import ShapeError, SpecificationError

__all__ = ["Grouping"]


@final
@dataclass(frozen=True, slots=True)
class Grouping:
    """Which cells of a fine array belong to which cell of a coarse one.

    Attributes:
        pattern: as einops writes a reduction: `"(h a) (w b) -> h w"`.
        fine: the axes of each fine dimension.
        coarse: the axes of the coarse array, in order.
        sizes: sizes of axes: of every axis that is reduced, and of others where they are fixed.

    Example:
        >>> import torch
        >>> blocks = Grouping.parse("(h a) (w b) -> h w", {"a": 2, "b": 2})
        >>> blocks.gather(torch.arange(8.0).reshape(2, 4))
        tensor([[0., 1., 4., 5.],
                [2., 3., 6., 7.]])
    """

    pattern: str
    fine: tuple[tuple[str, ...], ...]
    coarse: tuple[str, ...]
    sizes: Mapping[str, int]

    @classmethod
    def parse(cls, pattern: str, sizes: Mapping[str, int]) -> Grouping:
        """Read a pattern.

        Raises:
            SpecificationError: not a pattern of this kind, or sizes that do not fit it.
        """
        sides = pattern.split("->")
        tokens = [re.findall(r"\([^()]*\)|[^\s()]+", side) for side in sides]
        fine = tuple(tuple(token.strip("()").split()) for token in tokens[0])
        coarse = tuple(tokens[1]) if len(tokens) == 2 else ()
        axes = [axis for group in fine for axis in group]
        named = all(axis.isidentifier() for axis in axes) and all(tokens[0]) and all(fine)
        if len(sides) != 2 or not axes or not named or len(set(axes)) != len(axes):
            raise SpecificationError(
                f"a grouping needs a pattern of distinct named axes, such as '(h a) (w b) -> h w', got {pattern!r}"
            )
        if len(set(coarse)) != len(coarse) or not set(coarse) < set(axes):
            raise SpecificationError(
                f"a grouping needs coarse axes that are some of the fine ones, one a dimension, got {pattern!r}"
            )
        unknown = sorted(set(sizes) - set(axes))
        if unknown:
            raise SpecificationError(f"pattern {pattern!r} has no axes {unknown}, only {axes}")
        wrong = {axis: size for axis, size in sizes.items() if isinstance(size, bool) or size < 1 or size != int(size)}
        if wrong:
            raise SpecificationError(f"axes need whole sizes >= 1, got {wrong}")
        missing = [axis for axis in axes if axis not in coarse and axis not in sizes]
        if missing:
            raise SpecificationError(f"pattern {pattern!r} needs sizes of the axes it reduces, {missing} have none")
        for group in fine:
            if sum(axis not in sizes for axis in group) > 1:
                raise SpecificationError(f"pattern {pattern!r}: at most one axis of {group} may be without a size")
        return cls(pattern, fine, coarse, dict(sizes))

    @property
    def members(self) -> tuple[str, ...]:
        """The axes that are reduced."""
        return tuple(axis for group in self.fine for axis in group if axis not in self.coarse)

    @property
    def event_dim(self) -> int:
        """How many trailing dimensions one fine array has."""
        return len(self.fine)

    @property
    def size(self) -> int:
        """How many cells a group has."""
        return math.prod(self.sizes[axis] for axis in self.members)

    def lengths(self, fine: Tensor) -> dict[str, int]:
        """The size of every axis of a fine array `(*batch, *fine)`.

        Raises:
            ShapeError: a dimension that its axes do not divide.
        """
        if fine.dim() < self.event_dim:
            raise ShapeError(f"pattern {self.pattern!r} needs {self.event_dim} dimensions, got {tuple(fine.shape)}")
        found = dict(self.sizes)
        for group, length in zip(self.fine, fine.shape[-self.event_dim :], strict=True):
            known = math.prod([self.sizes.get(axis, 1) for axis in group])
            free = [axis for axis in group if axis not in self.sizes]
            if (length % known if free else length != known) or length == 0:
                raise ShapeError(
                    f"pattern {self.pattern!r} with sizes {dict(self.sizes)} does not fit a value {tuple(fine.shape)}"
                )
            found |= dict.fromkeys(free, length // known)
        return found

    def gather(self, fine: Tensor) -> Tensor:
        """The members of each group, `(*batch, *fine)` to `(*batch, groups, members)`."""
        return rearrange(fine, f"... {self._left} -> ... {self._right}", **self.lengths(fine))

    def scatter(self, grouped: Tensor, like: Tensor) -> Tensor:
        """The fine array again, `(*batch, groups, members)` to the shape of `like`."""
        return rearrange(grouped, f"... {self._right} -> ... {self._left}", **self.lengths(like))

    def flatten(self, coarse: Tensor, like: Tensor) -> Tensor:
        """Coarse values in the order of `gather`, `(*batch, *coarse)` to `(*batch, groups)`.

        Raises:
            ShapeError: coarse values that are not one for each group of `like`.
        """
        lengths = self.lengths(like)
        expected = tuple(lengths[axis] for axis in self.coarse)
        shape = tuple(coarse.shape[coarse.dim() - len(expected) :]) if coarse.dim() >= len(expected) else None
        if shape != expected:
            raise ShapeError(
                f"pattern {self.pattern!r} needs coarse values (*batch, {', '.join(map(str, expected))}) for a value "
                f"{tuple(like.shape)}, got {tuple(coarse.shape)}"
            )
        return coarse.reshape(*coarse.shape[: coarse.dim() - len(expected)], math.prod(expected))

    @property
    def _left(self) -> str:
        return " ".join("(" + " ".join(group) + ")" for group in self.fine)

    @property
    def _right(self) -> str:
        return f"({' '.join(self.coarse)}) ({' '.join(self.members)})"
