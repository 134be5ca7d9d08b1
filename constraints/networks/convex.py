"""A user's network with non-negative weights: convex, or concave, in all inputs together."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from constraints.functional.precision import at_least_single, linear_in_single
from constraints.networks.chain import is_convex, read_chain
from constraints.networks.shape import Shape, ShapedModule

__all__ = ["ConvexNetwork"]

INSTEAD = "`ShapedNetwork(..., convex=[...])`"


@final
class ConvexNetwork(ShapedModule):
    r"""A chain of layers of which all but the first are used with the magnitudes of their weights, :math:`|W|`.

    The first layer is affine, so every number in it is convex; a sum with non-negative weights of convex functions is
    convex, and so is a convex function that nowhere falls of one: every output is convex in all inputs together.

    The layers keep their parameters, so any optimiser serves. Without shortcuts from the input to later layers such a
    network learns more slowly than `ShapedNetwork`, which has them.

    Args:
        network: `nn.Sequential` of `nn.Linear` and convex activations that nowhere fall (ReLU, Softplus, ELU ...).
        concave: whether the outputs are concave instead: minus those of the chain.

    Raises:
        UnsupportedError: the network holds something else.

    Source: Amos, Xu and Kolter, "Input convex neural networks", ICML 2017, arXiv:1609.07152.

    Example:
        >>> import torch
        >>> net = ConvexNetwork(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)))
        >>> a, b = torch.randn(50, 2), torch.randn(50, 2)
        >>> bool((net((a + b) / 2) <= (net(a) + net(b)) / 2 + 1e-6).all())
        True
    """

    def __init__(self, network: nn.Module, *, concave: bool = False) -> None:
        super().__init__()
        layers = read_chain(network, is_convex, why="convex and nowhere fall", instead=INSTEAD, linear_end=False)
        first, last = layers[0], [layer for layer in layers if isinstance(layer, nn.Linear)][-1]
        assert isinstance(first, nn.Linear)
        every = frozenset(range(first.in_features))
        self.network = network
        self.concave = concave
        self._shape = Shape(
            inputs=first.in_features,
            outputs=last.out_features,
            convex=frozenset() if concave else every,
            concave=every if concave else frozenset(),
        )

    @property
    def shape(self) -> Shape:
        """What is guaranteed."""
        return self._shape

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, inputs)` to `(*batch, outputs)`."""
        layers = read_chain(self.network, is_convex, why="convex and nowhere fall", instead=INSTEAD, linear_end=False)
        value = at_least_single(x)
        for k, layer in enumerate(layers):
            if isinstance(layer, nn.Linear):
                value = linear_in_single(value, layer.weight.abs() if k else layer.weight, layer.bias)
            else:
                value = layer(value)
        return -value if self.concave else value

    def extra_repr(self) -> str:
        """What is guaranteed."""
        return str(self._shape)
