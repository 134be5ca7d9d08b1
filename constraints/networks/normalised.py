"""A user's network with limited weights: Lipschitz, and monotone by a linear term."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import SpecificationError
from constraints.functional import dual_exponent, limit_rows, softplus
from constraints.functional.precision import at_least_single, linear_in_single
from constraints.networks.chain import is_nonexpansive, read_chain
from constraints.networks.shape import Shape, ShapedModule

__all__ = ["NormalisedNetwork"]

INSTEAD = "`NormalisedNetwork` with such layers, or `ShapedNetwork`"
UNIT_RAW = math.log(math.e - 1.0)  # softplus of it is 1


@final
class NormalisedNetwork(ShapedModule):
    r"""A chain of linear layers and activations whose weights are limited as it runs, plus a linear term.

    .. math:: f_k(x) = \lambda_k \Big(g_k(x) + \sum_i s_{ki} x_i\Big), \quad |\partial g_k / \partial x_i| \le 1

    with :math:`s_{ki} = \pm 1` for inputs in which output `k` is monotone and 0 for others. Later rows of weights have
    absolute sums of at most 1 and activations are 1-Lipschitz in the largest norm, so the gradient of an output of `g`
    is a combination of the first layer's rows whose weights' magnitudes sum to at most 1: what limits each of these
    rows limits it. Entries of monotone inputs are at most 1, so the linear term outweighs them; the part of limited
    ones has a limited dual norm. Columns of other inputs are not limited: `f` may be as steep in them as it likes.

    Without a bound :math:`\lambda_k > 0` is learnt, one for each output, and slopes from 0 to :math:`2\lambda_k` are
    within reach. With one it is fixed: without monotone inputs :math:`\lambda = L`; beside `k` that are limited and
    monotone :math:`\lambda = L / (2 \lVert\mathbf 1\rVert_q)` of `k` ones, and one more if others are limited: every
    slope of a monotone input can still be 0, but not all can be as steep as `L`.

    The user's layers keep their parameters (they are limited where they are used, not changed), so any optimiser and
    any checkpoint of them serve. Activations should be `GroupSort`: with it these networks come as close as you like to
    every function of this shape; elementwise ones are as sound but flatten in every layer. torch's `Softplus` jumps by
    2e-9 at its threshold, and so does what is built of it.

    Args:
        network: `nn.Linear`, or an `nn.Sequential` of `nn.Linear` and 1-Lipschitz activations.
        increasing: columns of the input in which every output grows.
        decreasing: columns in which every output falls.
        directions: where outputs differ, those of each output in each input; see `Shape`.
        limited: columns whose influence is bounded.
        bound: `L`, [output per input], for `limited`.
        norm: 1, 2 or inf: how the change of the limited inputs is measured.

    Raises:
        SpecificationError: nothing is asked, or contradictions; see `Shape`.
        UnsupportedError: the network holds something else.

    Source: Kitouni, Nolte and Williams, "Expressive monotonic neural networks", ICLR 2023, arXiv:2307.07512; Anil,
    Lucas and Grosse, arXiv:1811.05381.

    Example:
        >>> from constraints.networks import GroupSort
        >>> net = NormalisedNetwork(nn.Sequential(nn.Linear(2, 8), GroupSort(), nn.Linear(8, 1)), increasing=[0])
        >>> x = torch.linspace(-9.0, 9.0, 50)
        >>> y = net(torch.stack([x, torch.zeros(50)], dim=-1)).flatten()
        >>> bool((y.diff() >= 0).all())
        True
    """

    slopes: Tensor
    monotone: Tensor | None
    limited: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        *,
        increasing: Collection[int] = (),
        decreasing: Collection[int] = (),
        directions: Sequence[Sequence[int]] = (),
        limited: Collection[int] = (),
        bound: float = math.inf,
        norm: float = 2.0,
    ) -> None:
        super().__init__()
        layers = read_chain(network, is_nonexpansive, why="1-Lipschitz", instead=INSTEAD)
        first, last = layers[0], layers[-1]
        assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
        self._shape = Shape(
            inputs=first.in_features,
            outputs=last.out_features,
            increasing=frozenset(increasing),
            decreasing=frozenset(decreasing),
            directions=tuple(map(tuple, directions)),
            limited=frozenset(limited),
            bound=bound,
            norm=norm,
        )
        shape = self._shape
        monotone = shape.directed
        if not monotone | shape.limited:
            raise SpecificationError("`NormalisedNetwork` needs inputs that are increasing, decreasing or limited")
        self.network = network
        self.register_buffer("slopes", torch.tensor(shape.directions, dtype=first.weight.dtype), persistent=False)
        for name, columns in (("monotone", monotone), ("limited", shape.limited - monotone)):
            chosen = torch.tensor([i in columns for i in range(shape.inputs)])
            self.register_buffer(name, chosen if columns else None, persistent=False)
        # In units of lambda a monotone input has slopes up to 2, and so has, then, the gradient of the limited others.
        ones = len(shape.limited & monotone)
        self.most = 2.0 if ones else 1.0
        parts = ones + bool(shape.limited - monotone)
        self.share = bound / (self.most * max(parts, 1) ** (1.0 / dual_exponent(norm)))
        self.raw = None if bound < math.inf else nn.Parameter(last.weight.new_full((shape.outputs,), UNIT_RAW))

    @property
    def shape(self) -> Shape:
        """What is guaranteed."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, inputs)` to `(*batch, outputs)`."""
        first, *later = read_chain(self.network, is_nonexpansive, why="1-Lipschitz", instead=INSTEAD)
        assert isinstance(first, nn.Linear)
        x = at_least_single(x)
        value = linear_in_single(x, self._limit_first(at_least_single(first.weight)), first.bias)
        for layer in later:
            if isinstance(layer, nn.Linear):
                value = linear_in_single(value, limit_rows(at_least_single(layer.weight), p=1.0), layer.bias)
            else:
                value = layer(value)
        value = value + linear_in_single(x, self.slopes.to(x))
        return value * (self.share if self.raw is None else softplus(at_least_single(self.raw)))

    def _limit_first(self, weight: Tensor) -> Tensor:
        if self.monotone is not None:
            weight = limit_rows(weight, p=math.inf, columns=self.monotone)
        if self.limited is not None:
            p = dual_exponent(self._shape.norm)
            weight = limit_rows(weight, p=p, columns=self.limited, most=self.most)
        return weight

    def extra_repr(self) -> str:
        """What is guaranteed."""
        return str(self._shape)
