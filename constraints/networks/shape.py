"""What a network's architecture guarantees of the shape of its outputs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, final

from torch import nn

from constraints.errors import SpecificationError
from constraints.functional.precision import forward_in_own_precision

__all__ = ["Shape", "ShapedModule"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Columns of the input in which **every** output has a shape, or single outputs a direction, by construction.

    Attributes:
        inputs: how many inputs there are.
        outputs: how many outputs there are.
        increasing: no output falls as one of these grows.
        decreasing: no output rises as one of these grows.
        directions: where outputs differ: of each output 1 for inputs with which it does not fall, -1 for those with
            which it does not rise, 0 for others. What all outputs share is also in the two above, and those in it.
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
    directions: tuple[tuple[int, ...], ...] = ()
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
        self._share_directions()
        if float(self.norm) not in (1.0, 2.0, math.inf):
            raise SpecificationError(f"`Shape` needs a norm of 1, 2 or inf, got {self.norm}")
        if bool(self.limited) != (self.bound < math.inf) or not self.bound > 0:
            raise SpecificationError(
                f"`Shape` needs a finite bound > 0 exactly where inputs are limited, got bound={self.bound} for "
                f"{sorted(self.limited)}"
            )

    def _share_directions(self) -> None:
        """Bring the directions of single outputs, and those of all, to one account."""
        everywhere = tuple((i in self.increasing) - (i in self.decreasing) for i in range(self.inputs))
        rows = tuple(tuple(int(d) for d in row) for row in self.directions) or ((0,) * self.inputs,) * self.outputs
        plain = all(len(row) == self.inputs and set(row) <= {-1, 0, 1} for row in rows)
        if len(rows) != self.outputs or not plain:
            raise SpecificationError(
                f"`Shape` needs a direction of 1, -1 or 0 for each of {self.outputs} outputs in each of {self.inputs} "
                f"inputs, got {[list(row) for row in rows]}"
            )
        both = [(k, i) for k, row in enumerate(rows) for i, d in enumerate(row) if d * everywhere[i] < 0]
        if both:
            raise SpecificationError(
                f"`Shape` needs inputs that are increasing or decreasing, got both for output {both[0][0]} in input "
                f"{both[0][1]}"
            )
        merged = tuple(tuple(d or e for d, e in zip(row, everywhere, strict=True)) for row in rows)
        object.__setattr__(self, "directions", merged)
        for name, sign in (("increasing", 1), ("decreasing", -1)):
            shared = frozenset(i for i in range(self.inputs) if all(row[i] == sign for row in merged))
            object.__setattr__(self, name, shared)

    @property
    def directed(self) -> frozenset[int]:
        """Columns in which some output has a direction."""
        return frozenset(i for row in self.directions for i, d in enumerate(row) if d)

    @property
    def free(self) -> list[int]:
        """Columns of which nothing is said."""
        said = {*self.directed, *self.convex, *self.concave, *self.limited}
        return [c for c in range(self.inputs) if c not in said]


class ShapedModule(nn.Module, ABC):
    """A network whose architecture guarantees a `shape`; rules of shape ask for it.

    The forward passes of subclasses run without autocast and give float32 at least: half precision would break what is
    guaranteed.

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

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "forward" in vars(cls):
            cls.forward = forward_in_own_precision(cls.forward)

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """What is guaranteed."""
