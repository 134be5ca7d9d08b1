"""What a jet is: a value at each point and, stacked behind it, the derivatives that travel with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from constraints.errors import ShapeError, UnsupportedError
from constraints.fields.chain import Bend, LinearMap, run_chain
from constraints.fields.program import compile_program, has_value
from constraints.fields.smooth import Tower, reciprocal
from constraints.fields.streams import Streams

__all__ = ["Jet", "LinearLayer"]


class LinearLayer(NamedTuple):
    """`W u + b`.

    Example:
        >>> LinearLayer(torch.ones(1, 2), None).weight.shape
        torch.Size([1, 2])
    """

    weight: Tensor
    bias: Tensor | None


@final
@dataclass(frozen=True, eq=False)
class Jet:
    """`n` functions of the coordinates, with their derivatives at each of `batch` points.

    All streams stand in one tensor, so that a linear layer is one matrix product. A jet that is affine in the
    coordinates (the points themselves, and linear maps of them) keeps its slopes, which are constants, instead.

    Jets add and multiply like numbers, with numbers, with tensors (constants in the coordinates) and with each other;
    `compose` takes a smooth function of one. What is written with them alone has exact derivatives.

    Attributes:
        streams: which derivatives.
        stack: the value and its derivatives, `(n, streams, batch)`; the value alone, `(n, 1, batch)`, where affine.
        slopes: where affine, the derivative along each coordinate, `(coordinates, n)`.
        keep: the streams that are there, where a last layer has given up the others; such jets go through linear maps.
        unit: whether the slopes are the unit matrix, as those of the coordinates themselves are.

    Example:
        >>> from constraints.fields import Derivatives, laplacian
        >>> x = Jet.of_points(Derivatives([laplacian(2)]).streams, torch.tensor([[1.0, 2.0]]))
        >>> square = x[..., :1] * x[..., :1] * x[..., 1:]  # x^2 y, whose Laplacian is 2 y
        >>> square.stack.flatten().tolist()  # value, along x, along y, Laplacian
        [2.0, 4.0, 1.0, 4.0]
    """

    streams: Streams
    stack: Tensor
    slopes: Tensor | None = None
    keep: tuple[int, ...] | None = None
    unit: bool = False

    @classmethod
    def of_points(cls, streams: Streams, points: Tensor) -> Jet:
        """The coordinates themselves, from points `(batch, coordinates)`."""
        if points.dim() != 2 or points.shape[1] != streams.coordinates:
            raise ShapeError(f"`Jet` needs points (batch, {streams.coordinates}), got shape {tuple(points.shape)}")
        return cls(streams, points.mT.contiguous()[:, None], streams.unit(points), unit=True)

    @property
    def value(self) -> Tensor:
        """The functions themselves, `(batch, n)`."""
        if self.keep is not None and not has_value(self.keep):
            raise UnsupportedError("this jet has given up its value")
        return self.stack[:, 0].mT

    @property
    def width(self) -> int:
        """How many functions."""
        return len(self.stack)

    def dense(self) -> Jet:
        """The same with all streams in the stack."""
        if self.slopes is None:
            return self
        value, slopes = self.stack[:, 0], self.slopes
        rows = []
        for operator in self.streams.operators:
            first = [(alpha.index(1), c) for alpha, c in operator.terms.items() if sum(alpha) == 1]
            row = sum((c * slopes[i] for i, c in first), torch.zeros_like(slopes[0]))
            rows.append(row[:, None].expand_as(value))
        return Jet(self.streams, torch.stack([value, *rows], dim=1))

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Jet:
        """`W u + b`, from `W` `(m, n)` and `b` `(m,)`."""
        return self.chain([LinearLayer(weight, bias)])

    def compose(self, tower: Tower) -> Jet:
        """A smooth function of each entry."""
        return self.chain([tower])

    def chain(self, layers: Sequence[LinearLayer | Tower], keep: tuple[int, ...] | None = None) -> Jet:
        """Linear maps and smooth functions, one after the other, in one step.

        Args:
            layers: in order; a tower is a function with its derivatives.
            keep: the streams of the result that are wanted, where others need not be there.

        Raises:
            ShapeError: a matrix that does not fit.
            UnsupportedError: a smooth function of a jet of which only the wanted streams were kept.
        """
        kept, width = self.keep, self.width
        everything = tuple(range(len(self.streams)))
        bending = [i for i, layer in enumerate(layers) if not isinstance(layer, LinearLayer)]
        steps: list[LinearMap | Bend] = []
        for i, layer in enumerate(layers):
            if isinstance(layer, LinearLayer):
                weight, bias = layer.weight, layer.bias
                if weight.dim() != 2 or weight.shape[1] != width:
                    raise ShapeError(
                        f"a jet of {width} functions needs a matrix (m, {width}), got {tuple(weight.shape)}"
                    )
                width = len(weight)
                steps.append(LinearMap(weight, bias if kept is None or has_value(kept) else None))
                continue
            if kept is not None:
                raise UnsupportedError("cannot bend a jet of which only the wanted streams were kept")
            kept = keep if i == bending[-1] else None
            steps.append(Bend(layer, compile_program(self.streams, everything if kept is None else kept)))
        if self.slopes is None:
            return replace(self, stack=run_chain(self.stack, None, steps) if steps else self.stack, keep=kept)
        if bending:
            return Jet(self.streams, run_chain(self.stack[:, 0], self.slopes, steps, unit=self.unit), keep=kept)
        value, slopes = self.value, self.slopes
        for step in steps:
            assert isinstance(step, LinearMap)
            value, slopes = torch.nn.functional.linear(value, step.weight, step.bias), slopes @ step.weight.mT
        return Jet(self.streams, value.mT[:, None], slopes)

    def __add__(self, other: Jet | Tensor | float) -> Jet:
        if not isinstance(other, Jet):
            self._refuse_partial("add to")
            first = self.stack[:, :1] + _constant(other)
            rest = self.stack[:, 1:].expand(len(first), -1, -1)
            slopes = None if self.slopes is None else self.slopes.expand(-1, len(first))
            return replace(self, stack=torch.cat([first, rest], dim=1), slopes=slopes, unit=False)
        self._match(other)
        if self.slopes is not None and other.slopes is not None:
            return replace(self, stack=self.stack + other.stack, slopes=self.slopes + other.slopes, unit=False)
        return Jet(self.streams, self.dense().stack + other.dense().stack, keep=self.keep)

    def __mul__(self, other: Jet | Tensor | float) -> Jet:
        if not isinstance(other, Jet):
            if isinstance(other, Tensor) and other.dim() > 1:  # another number at each point
                return replace(self.dense(), stack=self.dense().stack * _constant(other))
            slopes = None if self.slopes is None else self.slopes * other
            return replace(self, stack=self.stack * _constant(other), slopes=slopes, unit=False)
        self._match(other)
        self._refuse_partial("multiply")
        one, two = self.dense().stack, other.dense().stack
        u, v = one.unbind(1), two.unbind(1)
        rows = [u[0] * v[0]]
        for i, terms in enumerate(self.streams.product, start=1):
            row = torch.addcmul(u[i] * v[0], u[0], v[i])
            for (a, b), c in terms.items():
                row = torch.addcmul(row, u[a], v[b], value=c)
            rows.append(row)
        return Jet(self.streams, torch.stack(rows, dim=1))

    def __truediv__(self, other: Jet | Tensor | float) -> Jet:
        return self * (other.compose(reciprocal) if isinstance(other, Jet) else 1.0 / other)

    def __rtruediv__(self, other: Tensor | float) -> Jet:
        return self.compose(reciprocal) * other

    def __neg__(self) -> Jet:
        return self * -1.0

    def __sub__(self, other: Jet | Tensor | float) -> Jet:
        return self + -other

    def __rsub__(self, other: Tensor | float) -> Jet:
        return -self + other

    __radd__ = __add__
    __rmul__ = __mul__

    def __getitem__(self, index: Any) -> Jet:
        """Some of the functions, written `jet[..., columns]`, a slice or a list."""
        if not isinstance(index, tuple) or len(index) != 2 or index[0] is not ... or isinstance(index[1], int):
            raise ShapeError(f"a jet needs an index [..., columns], a slice or a list, got {index}")
        columns = index[1]
        slopes = None if self.slopes is None else self.slopes[..., columns]
        return replace(self, stack=self.stack[columns], slopes=slopes, unit=False)

    @staticmethod
    def concatenate(jets: Sequence[Jet]) -> Jet:
        """The functions of all jets, side by side."""
        first, *rest = jets
        for jet in rest:
            first._match(jet)
        if all(jet.slopes is not None for jet in jets):
            slopes = torch.cat([jet.slopes for jet in jets if jet.slopes is not None], dim=-1)
            return replace(first, stack=torch.cat([jet.stack for jet in jets]), slopes=slopes, unit=False)
        return Jet(first.streams, torch.cat([jet.dense().stack for jet in jets]), keep=first.keep)

    def _match(self, other: Jet) -> None:
        if self.streams is not other.streams or self.keep != other.keep:
            raise UnsupportedError(
                "jets of different derivatives cannot be put together: make both from the same points"
            )

    def _refuse_partial(self, what: str) -> None:
        if self.keep is not None:
            raise UnsupportedError(f"cannot {what} a jet of which only the wanted streams were kept")


def _constant(number: Tensor | float) -> Tensor | float:
    """What is the same in all coordinates, `(n,)` or `(batch, n)`, as it meets a stack."""
    if not isinstance(number, Tensor) or not number.dim():
        return number
    return number[:, None, None] if number.dim() == 1 else number.mT[:, None]
