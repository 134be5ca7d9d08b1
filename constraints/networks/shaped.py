"""An architecture that is monotone in some inputs, convex in some, and free in the others."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as nn_functional

from constraints.errors import ShapeError, SpecificationError, UnsupportedError
from constraints.functional import sign_columns, softplus
from constraints.functional.precision import at_least_single, linear_in_single
from constraints.networks.shape import Shape, ShapedModule

__all__ = ["ShapedNetwork"]

UNIT_RAW = math.log(math.e - 1.0)  # softplus of it is 1


@final
class ShapedNetwork(ShapedModule):
    r"""Three streams of layers, each of the given widths, one for each kind of input.

    - **free** inputs: an ordinary network `u`.
    - **monotone** inputs (that are not convex): non-negative weights between layers, :math:`|W|`, and half of the units
      convex (ELU), half concave (:math:`-\mathrm{ELU}(-v)`), so that no curvature is lost; fed by `u`.
    - **convex** inputs: non-negative weights between layers, ELU everywhere; fed by `u` and by the monotone stream.

    Every layer sees its own inputs again, multiplied by positive gates that depend on `u`, with weights whose signs are
    those of the directions asked, free ones for convex inputs without a direction.

    Sound, because every layer is: with the free inputs held, the gates are positive constants; sums with non-negative
    weights, and functions that nowhere fall, of functions that grow in the monotone inputs grow in them; sums with
    non-negative weights, and convex functions that nowhere fall, of functions that are convex in the convex inputs are
    convex in them (what comes from the other streams is constant there). A concave network is minus a convex one whose
    directions are turned. No bound on slopes has to be chosen, unlike in `NormalisedNetwork`.

    Args:
        inputs: number of inputs.
        outputs: number of outputs, all of the same shape.
        hidden: widths of the hidden layers, each even; at least one.
        increasing: columns in which every output grows.
        decreasing: columns in which every output falls.
        convex: columns in which every output is convex, jointly; may have a direction, too.
        concave: columns in which every output is concave, jointly; not beside `convex`.

    Raises:
        SpecificationError: nothing is asked, contradictions, or widths that make no sense.
        UnsupportedError: convex inputs and concave ones at once.

    Source: Amos, Xu and Kolter, "Input convex neural networks", ICML 2017, arXiv:1609.07152; Runje and
    Shankaranarayana, "Constrained monotonic neural networks", ICML 2023, arXiv:2205.11775.

    Example:
        >>> net = ShapedNetwork(3, 1, [16, 16], increasing=[0], convex=[1])
        >>> x = torch.linspace(-9.0, 9.0, 51)
        >>> y = net(torch.stack([x, torch.zeros(51), torch.ones(51)], dim=-1)).flatten()
        >>> z = net(torch.stack([torch.zeros(51), x, torch.ones(51)], dim=-1)).flatten()
        >>> bool((y.diff() >= 0).all()), bool((z.diff().diff() >= -1e-5).all())
        (True, True)
    """

    free: Tensor
    ordered: Tensor
    bent: Tensor
    order: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int],
        *,
        increasing: Collection[int] = (),
        decreasing: Collection[int] = (),
        convex: Collection[int] = (),
        concave: Collection[int] = (),
    ) -> None:
        super().__init__()
        self._shape = Shape(
            inputs=inputs,
            outputs=outputs,
            increasing=frozenset(increasing),
            decreasing=frozenset(decreasing),
            convex=frozenset(convex),
            concave=frozenset(concave),
        )
        shape = self._shape
        if shape.convex and shape.concave:
            raise UnsupportedError(
                f"`ShapedNetwork` can be convex or concave, got convex={sorted(shape.convex)} and "
                f"concave={sorted(shape.concave)}. Add two networks"
            )
        if len(shape.free) == inputs:
            raise SpecificationError("`ShapedNetwork` needs inputs that have a direction or a curvature, got none")
        if not hidden or any(width < 2 or width % 2 for width in hidden):
            raise SpecificationError(f"`ShapedNetwork` needs even widths of hidden layers, got {list(hidden)}")
        curved = shape.convex | shape.concave
        self.turned = bool(shape.concave)
        ordered = sorted((shape.increasing | shape.decreasing) - curved)
        kinds = {"free": shape.free, "ordered": ordered, "bent": sorted(curved)}
        for name, columns in kinds.items():
            self.register_buffer(name, torch.tensor(columns, dtype=torch.long), persistent=False)
        directions = [(i in shape.increasing) - (i in shape.decreasing) for i in range(inputs)]
        turn = -1 if self.turned else 1
        order = torch.tensor([turn * d for d in directions], dtype=torch.get_default_dtype())
        self.register_buffer("order", order, persistent=False)

        widths = list(hidden)
        self.free_stream = nn.ModuleList()
        if shape.free:
            self.free_stream.extend(nn.Linear(a, b) for a, b in zip([len(shape.free), *widths], widths, strict=False))
        below = [width if shape.free else 0 for width in widths]
        self.ordered_stream = _stream(widths, len(ordered), below) if ordered else nn.ModuleList()
        self.bent_stream = nn.ModuleList()
        if curved:
            pushed = [width if ordered else 0 for width in widths]
            self.bent_stream = _stream(widths, len(curved), below, pushed)
        last = widths[-1]
        if curved:
            self.end = _Layer(last, len(curved), below[-1], outputs, pushed=last if ordered else 0)
        else:
            self.end = _Layer(last, len(ordered), below[-1], outputs)

    @property
    def shape(self) -> Shape:
        """What is guaranteed."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, inputs)` to `(*batch, outputs)`."""
        if x.shape[-1] != self._shape.inputs:
            raise ShapeError(f"`ShapedNetwork` needs inputs (*batch, {self._shape.inputs}), got {tuple(x.shape)}")
        x = at_least_single(x)
        free, ordered, bent = (x.index_select(-1, c) for c in (self.free, self.ordered, self.bent))
        order = self.order.to(x)
        up, ways = order.index_select(-1, self.ordered), order.index_select(-1, self.bent)
        u: Tensor | None = free if len(self.free) else None
        m: Tensor | None = None
        z: Tensor | None = None
        for k in range(max(len(self.free_stream), len(self.ordered_stream), len(self.bent_stream))):
            u = nn_functional.elu(_apply(self.free_stream[k], u)) if u is not None else None
            if self.ordered_stream:
                m = _both_ways(self.ordered_stream[k](ordered, up, m, u))
            if self.bent_stream:
                z = nn_functional.elu(self.bent_stream[k](bent, ways, z, u, m))
        y: Tensor = self.end(bent, ways, z, u, m) if self.bent_stream else self.end(ordered, up, m, u)
        return -y if self.turned else y

    def extra_repr(self) -> str:
        """What is guaranteed."""
        return str(self._shape)


@final
class _Layer(nn.Module):
    r""":math:`|A| h + |D| m + B_\pm (x \circ g(u)) + C u + b`, with gates `g > 0`.

    Args:
        carried: width of the layer before, `h`; 0 in the first.
        seen: number of the stream's own inputs `x`.
        free: width of the free stream `u`; 0 where there is none.
        width: number of units.
        pushed: width of the monotone stream `m` where it feeds this one, else 0.
    """

    def __init__(self, carried: int, seen: int, free: int, width: int, *, pushed: int = 0) -> None:
        super().__init__()
        fans = carried + seen + free + pushed
        self.carried = _small(width, carried) if carried else None
        self.pushed = _small(width, pushed) if pushed else None
        self.seen = nn.Parameter(torch.empty(width, seen).uniform_(-1.0, 1.0) / math.sqrt(seen))
        self.free = nn.Linear(free, width, bias=False) if free else None
        self.gate = nn.Linear(free, seen) if free else None
        self.bias = nn.Parameter(torch.empty(width).uniform_(-1.0, 1.0) / math.sqrt(fans))
        if self.gate is not None:
            nn.init.constant_(self.gate.bias, UNIT_RAW)

    def forward(
        self, x: Tensor, signs: Tensor, h: Tensor | None, u: Tensor | None = None, m: Tensor | None = None
    ) -> Tensor:
        """Before the activation, `(*batch, width)`."""
        gated = x if self.gate is None or u is None else x * softplus(_apply(self.gate, u))
        value = linear_in_single(gated, sign_columns(at_least_single(self.seen), signs), self.bias)
        if self.carried is not None and h is not None:
            value = value + linear_in_single(h, self.carried.abs())
        if self.pushed is not None and m is not None:
            value = value + linear_in_single(m, self.pushed.abs())
        return value if self.free is None or u is None else value + _apply(self.free, u)


def _stream(
    widths: Sequence[int], seen: int, free: Sequence[int], pushed: Sequence[int] | None = None
) -> nn.ModuleList:
    """One layer a width."""
    before = [0, *widths]
    push = pushed or [0] * len(widths)
    return nn.ModuleList(_Layer(before[k], seen, free[k], width, pushed=push[k]) for k, width in enumerate(widths))


def _apply(layer: nn.Module, value: Tensor) -> Tensor:
    """A linear layer in float32 at least."""
    assert isinstance(layer, nn.Linear)
    return linear_in_single(value, layer.weight, layer.bias)


def _small(width: int, fan: int) -> nn.Parameter:
    """Weights whose magnitudes sum to about 1 in each row: non-negative ones add up, they do not cancel."""
    return nn.Parameter(torch.empty(width, fan).uniform_(-2.0, 2.0) / fan)


def _both_ways(value: Tensor) -> Tensor:
    """ELU of one half of the units, its mirror image of the other."""
    convex, concave = value.chunk(2, dim=-1)
    return torch.cat([nn_functional.elu(convex), -nn_functional.elu(-concave)], dim=-1)
