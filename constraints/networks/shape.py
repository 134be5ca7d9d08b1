"""What a network's architecture guarantees of the shape of its outputs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import final

from torch import nn

from constraints.errors import SpecificationError

__all__ = ["Shape", "ShapedModule"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Columns of the input in which **every** output has a shape, whatever the weights are.

    Attributes:
        inputs: how many inputs there are.
        outputs: how many outputs there are.
        increasing: no output falls as one of these grows.
        decreasing: no output rises as one of these grows.
        convex: every output is convex in these together, the other inputs held.
        concave: every output is concave in these together, the other inputs held.
        limited: every output changes by at most `bound` times the change of these, measured by the p-norm `norm`.
        bound: > 0; `inf` without `limited`.
        norm: 1, 2 or inf.

    Raises:
        SpecificationError: columns that do not exist, contradictions, a bound that is no bound.

    Example:
        >>> Shape(inputs=3, outputs=1, increasing={0}, convex={0, 2}).free
        [1]
    """

    inputs: int
    outputs: int
    increasing: AbstractSet[int] = frozenset()
    decreasing: AbstractSet[int] = frozenset()
    convex: AbstractSet[int] = frozenset()
    concave: AbstractSet[int] = frozenset()
    limited: AbstractSet[int] = frozenset()
    bound: float = math.inf
    norm: float = 2.0

    def __post_init__(self) -> None:
        if self.inputs < 1 or self.outputs < 1:
            raise SpecificationError(f"`Shape` needs inputs >= 1 and outputs >= 1, got {self.inputs}, {self.outputs}")
        for name in ("increasing", "decreasing", "convex", "concave", "limited"):
            columns = frozenset(getattr(self, name))
            beyond = sorted(c for c in columns if not 0 <= c < self.inputs)
            if beyond:
                raise SpecificationError(f"`Shape` needs columns from 0 to {self.inputs - 1} in {name}, got {beyond}")
            object.__setattr__(self, name, columns)
        for one, other in (("increasing", "decreasing"), ("convex", "concave")):
            both = sorted(set(getattr(self, one)) & set(getattr(self, other)))
            if both:
                raise SpecificationError(f"`Shape` needs inputs that are {one} or {other}, got both for {both}")
        if float(self.norm) not in (1.0, 2.0, math.inf):
            raise SpecificationError(f"`Shape` needs a norm of 1, 2 or inf, got {self.norm}")
        if bool(self.limited) != (self.bound < math.inf) or not self.bound > 0:
            raise SpecificationError(
                f"`Shape` needs a finite bound > 0 exactly where inputs are limited, got bound={self.bound} for "
                f"{sorted(self.limited)}"
            )

    @property
    def free(self) -> list[int]:
        """Columns of which nothing is said."""
        said = {*self.increasing, *self.decreasing, *self.convex, *self.concave, *self.limited}
        return [c for c in range(self.inputs) if c not in said]


class ShapedModule(nn.Module, ABC):
    """A network whose architecture guarantees a `shape`; rules of shape ask for it.

    Example:
        >>> class Sum(ShapedModule):
        ...     @property
        ...     def shape(self):
        ...         return Shape(inputs=2, outputs=1, increasing={0, 1})
        ...     def forward(self, x):
        ...         return x.sum(dim=-1, keepdim=True)
        >>> from constraints.rules import MonotoneIn
        >>> MonotoneIn([0]).guaranteed(Sum()), MonotoneIn([0], decreasing=True).guaranteed(Sum())
        (True, False)
    """

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """What is guaranteed."""
