"""Modules that fields are made of, and that jets pass: sine, Fourier features, residual, multiplicative and gated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.fields import smooth
from constraints.fields.jet import Jet, LinearLayer
from constraints.fields.layers import push
from constraints.functional.one_tensor import require_network_output

__all__ = ["FourierFeatures", "GatedNetwork", "Mirrored", "Product", "Residual", "Sine"]


@final
class Sine(nn.Module):
    r""":math:`\sin(\omega z)`.

    Args:
        frequency: :math:`\omega`, not 0.

    Raises:
        SpecificationError: a frequency that is 0 or not finite.

    Source: Sitzmann et al., "Implicit neural representations with periodic activation functions", NeurIPS 2020,
    arXiv:2006.09661.

    Example:
        >>> Sine(2.0)(torch.tensor([0.0, math.pi / 4]))
        tensor([0., 1.])
    """

    def __init__(self, frequency: float = 1.0) -> None:
        super().__init__()
        if not math.isfinite(frequency) or frequency == 0.0:
            raise SpecificationError(f"`Sine` needs a finite frequency that is not 0, got {frequency}")
        self.frequency = float(frequency)

    def forward(self, z: Tensor) -> Tensor:
        """Of the shape of `z`."""
        return torch.sin(self.frequency * z)

    def forward_tower(self, z: Tensor, order: int) -> list[Tensor]:
        """The function and its derivatives."""
        found = smooth.sine(self.frequency * z, order)
        return [f if k == 0 else f * self.frequency**k for k, f in enumerate(found)]

    def extra_repr(self) -> str:
        """The frequency."""
        return f"{self.frequency}"


@final
class FourierFeatures(nn.Module):
    r""":math:`[\sin(B x), \cos(B x)]` with fixed random rows of `B`; written as one sine of :math:`B x + \varphi`.

    Args:
        inputs: number of coordinates.
        count: number of rows of `B`; there are twice as many features.
        scale: standard deviation of the entries of `B`, in radians per unit of the coordinates.
        generator: source of random numbers.

    Raises:
        SpecificationError: fewer than one input or row, or a scale that is not positive.

    Source: Tancik et al., "Fourier features let networks learn high frequency functions in low dimensional domains",
    NeurIPS 2020, arXiv:2006.10739.

    Example:
        >>> FourierFeatures(2, 3, scale=1.0)(torch.zeros(1, 2))
        tensor([[0., 0., 0., 1., 1., 1.]])
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(
        self, inputs: int, count: int, *, scale: float = 1.0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if inputs < 1 or count < 1 or not 0.0 < scale < math.inf:
            raise SpecificationError(
                f"`FourierFeatures` needs inputs >= 1, count >= 1 and 0 < scale < inf, got {inputs}, {count}, {scale}"
            )
        self.in_features = inputs
        rows = scale * torch.randn(count, inputs, generator=generator)
        self.register_buffer("frequencies", torch.cat([rows, rows]))  # random: saved with the weights
        self.register_buffer("phases", torch.cat([torch.zeros(count), torch.full((count,), math.pi / 2)]))

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, inputs)` to `(*batch, 2 count)`."""
        return torch.sin(nn.functional.linear(x, self.frequencies, self.phases))

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        return jet.chain([LinearLayer(self.frequencies, self.phases), smooth.sine])


@final
class Residual(nn.Module):
    """What a module gives, added to what it was given.

    Args:
        module: has as many outputs as inputs.

    Example:
        >>> Residual(nn.Identity())(torch.ones(1, 2))
        tensor([[2., 2.]])
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of `x`."""
        y: Tensor = x + self.module(x)
        return y

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        return jet + push(self.module, jet)


@final
class Product(nn.Module):
    """The product of what two modules give of the same input.

    Args:
        first: a module.
        second: another, with as many outputs, or one.

    Example:
        >>> Product(nn.Identity(), nn.Identity())(torch.full((1, 1), 3.0))
        tensor([[9.]])
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, inputs)` to `(*batch, outputs)`."""
        y: Tensor = self.first(x) * self.second(x)
        return y

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        return push(self.first, jet) * push(self.second, jet)


@final
class Mirrored(nn.Module):
    r"""What a module gives, made even or odd about a plane: :math:`f(x) + \tfrac w2\,(s\,f(x') - f(x))`, `x'` mirrored.

    Args:
        module: `(*batch, d)` to `(*batch, n)`.
        axis: along which coordinate.
        center: where the plane is.
        signs: of each output, 1 for even, -1 for odd and 0 for one that stays as it is.
        share: `w`, `(*batch, d)` to `(*batch, 1)`, even about the plane: 1 where the result is to be mirrored, 0 where
            it is to be what the module gives; by default 1 everywhere.

    Raises:
        SpecificationError: other signs, or none, a negative axis, a center that is not finite.

    Example:
        >>> odd = Mirrored(nn.Linear(2, 1), axis=0, center=1.0, signs=[-1])
        >>> odd(torch.tensor([[1.0, 3.0]])).item()
        0.0
    """

    signs: Tensor

    def __init__(
        self, module: nn.Module, *, axis: int, center: float, signs: Sequence[int], share: nn.Module | None = None
    ) -> None:
        super().__init__()
        if axis < 0 or not math.isfinite(center) or not any(signs) or set(signs) - {1, 0, -1}:
            raise SpecificationError(
                f"`Mirrored` needs axis >= 0, a finite center and signs 1, 0 or -1, not all 0, got {axis}, {center}, "
                f"{list(signs)}"
            )
        self.module, self.axis, self.center, self.share = module, axis, float(center), share
        self.register_buffer("signs", torch.tensor(list(signs), dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, d)` to `(*batch, n)`."""
        weight, bias = self._mirror(x)
        there = nn.functional.linear(x, weight, bias)
        here: Tensor = self.module(x)
        require_network_output("`Mirrored`", x, here)
        self._require_width(here.shape[-1])
        half = self._half(x)
        y: Tensor = (1.0 - half.abs()) * here + half * self.module(there)
        if self.share is not None:
            share = self.share(x)
            y = share * y + (1.0 - share) * here
        return y

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        there = jet.linear(*self._mirror(jet.stack[0, 0, :1].expand(jet.width)))
        here = push(self.module, jet)
        self._require_width(here.width)
        half = self._half(jet.stack)
        y = here * (1.0 - half.abs()) + push(self.module, there) * half
        if self.share is not None:
            share = push(self.share, jet)
            y = share * y + (1.0 - share) * here
        return y

    def _half(self, like: Tensor) -> Tensor:
        """Of what is mirrored: half, with its sign, or nothing."""
        return 0.5 * self.signs.to(like)

    def _require_width(self, outputs: int) -> None:
        if outputs != len(self.signs):
            raise ShapeError(f"`Mirrored` needs a module of {len(self.signs)} outputs, one a sign, got {outputs}")

    def _mirror(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The reflection as a linear map."""
        place = torch.arange(like.shape[-1], device=like.device) == self.axis
        flip = torch.where(place, -1.0, 1.0).to(like.dtype)
        return torch.diag(flip), torch.where(place, 2.0 * self.center, 0.0).to(like.dtype)


@final
class GatedNetwork(nn.Module):
    r"""Hidden layers that mix two encodings of the input: :math:`h' = \sigma(W h + b)\,(u - v) + v`.

    Args:
        inputs: number of coordinates.
        outputs: number of outputs.
        width: of the hidden layers and of `u` and `v`.
        depth: number of hidden layers.
        activation: makes :math:`\sigma`, a smooth activation.

    Raises:
        SpecificationError: a number below 1.

    Source: Wang, Teng and Perdikaris, "Understanding and mitigating gradient flow pathologies in physics-informed
    neural networks", SIAM J. Sci. Comput. 43, 2021, doi:10.1137/20M1318043.

    Example:
        >>> GatedNetwork(2, 1, width=8, depth=2)(torch.zeros(5, 2)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self, inputs: int, outputs: int, *, width: int, depth: int, activation: type[nn.Module] = nn.Tanh
    ) -> None:
        super().__init__()
        if min(inputs, outputs, width, depth) < 1:
            raise SpecificationError(
                f"`GatedNetwork` needs numbers >= 1, got inputs={inputs}, outputs={outputs}, width={width}, "
                f"depth={depth}"
            )
        self.one = nn.Sequential(nn.Linear(inputs, width), activation())
        self.two = nn.Sequential(nn.Linear(inputs, width), activation())
        widths = [inputs, *[width] * depth]
        self.hidden = nn.ModuleList(nn.Sequential(nn.Linear(a, b), activation()) for a, b in itertools.pairwise(widths))
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, inputs)` to `(*batch, outputs)`."""
        v = self.two(x)
        difference, h = self.one(x) - v, x
        for layer in self.hidden:
            h = layer(h) * difference + v
        y: Tensor = self.last(h)
        return y

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        v = push(self.two, jet)
        difference, h = push(self.one, jet) - v, jet
        for layer in self.hidden:
            h = push(layer, h) * difference + v
        return push(self.last, h)
