"""A user's network with limited weights: Lipschitz, and monotone by a linear term."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as nn_functional

from constraints.errors import SpecificationError
from constraints.functional import dual_exponent, limit_rows, softplus
from constraints.networks.chain import is_nonexpansive, read_chain
from constraints.networks.shape import Shape, ShapedModule

__all__ = ["NormalisedNetwork"]

INSTEAD = "`NormalisedNetwork` with such layers, or `ShapedNetwork`"
UNIT_RAW = math.log(math.e - 1.0)  # softplus of it is 1


@final
class NormalisedNetwork(ShapedModule):
    r"""A chain of linear layers and activations whose weights are limited as it runs, plus a linear term.

    .. math:: f(x) = \lambda \Big(g(x) + \sum_i s_i x_i\Big), \quad |\partial g / \partial x_i| \le 1

    with :math:`s_i = \pm 1` for monotone inputs and 0 for others. The first layer's rows have, over the shaped columns,
    dual norm at most 1, later rows have absolute sums at most 1, and activations are 1-Lipschitz in the largest norm:
    so every output of `g` is 1-Lipschitz in the shaped inputs, no partial derivative exceeds 1, and the linear term
    outweighs it. Columns of other inputs are not limited: `f` may be as steep in them as it likes.

    Without a bound :math:`\lambda > 0` is learnt, one for each output, so that slopes up to :math:`2\lambda` are within
    reach. With one it is fixed, such that the term and `g` together stay below it:
    :math:`\lambda = L / (1 + \lVert s\rVert_q)`, which leaves `g` a share of `L` only.

    The user's layers keep their parameters (they are limited where they are used, not changed), so any optimiser and
    any checkpoint of them serve. Activations should be `GroupSort`: with it these networks come as close as you like to
    every function of this shape; elementwise ones are as sound but flatten in every layer. torch's `Softplus` jumps by
    2e-9 at its threshold, and so does what is built of it.

    Args:
        network: `nn.Linear`, or an `nn.Sequential` of `nn.Linear` and 1-Lipschitz activations.
        increasing: columns of the input in which every output grows.
        decreasing: columns in which every output falls.
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
    columns: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        increasing: Collection[int] = (),
        decreasing: Collection[int] = (),
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
            limited=frozenset(limited),
            bound=bound,
            norm=norm,
        )
        shape = self._shape
        shaped = {*shape.increasing, *shape.decreasing, *shape.limited}
        if not shaped:
            raise SpecificationError("`NormalisedNetwork` needs inputs that are increasing, decreasing or limited")
        self.network = network
        numbers = [(i in shape.increasing) - (i in shape.decreasing) for i in range(shape.inputs)]
        self.register_buffer("slopes", torch.tensor(numbers, dtype=first.weight.dtype), persistent=False)
        self.register_buffer("columns", torch.tensor([i in shaped for i in range(shape.inputs)]), persistent=False)
        # What the rule's dual norm sees of the linear term: that of as many ones as there are monotone limited inputs.
        ones = len(shape.limited & {*shape.increasing, *shape.decreasing})
        q = dual_exponent(norm)
        term = 0.0 if not ones else 1.0 if q == math.inf else ones ** (1.0 / q)
        self.share = bound / (1.0 + term)
        self.raw = None if bound < math.inf else nn.Parameter(last.weight.new_full((shape.outputs,), UNIT_RAW))

    @property
    def shape(self) -> Shape:
        """What is guaranteed."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, inputs)` to `(*batch, outputs)`."""
        value, p = x, dual_exponent(self._shape.norm)
        columns: Tensor | None = self.columns
        for layer in read_chain(self.network, is_nonexpansive, why="1-Lipschitz", instead=INSTEAD):
            if isinstance(layer, nn.Linear):
                value = nn_functional.linear(value, limit_rows(layer.weight, p=p, columns=columns), layer.bias)
                columns, p = None, 1.0
            else:
                value = layer(value)
        value = value + (x * self.slopes.to(x)).sum(dim=-1, keepdim=True)
        return value * (self.share if self.raw is None else softplus(self.raw))

    def extra_repr(self) -> str:
        """What is guaranteed."""
        return str(self._shape)
