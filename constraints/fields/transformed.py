"""Networks between a change of coordinates and an affine map that may differ from point to point."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from constraints.errors import ShapeError
from constraints.fields.jet import Jet
from constraints.fields.layers import push
from constraints.functional.one_tensor import require_network_output

__all__ = ["TransformedNetwork"]


@final
class TransformedNetwork(nn.Module):
    r""":math:`u(x) = g(x) + \varphi(x)\, N(\xi(x))`: what a field obeys whatever the network `N` is.

    Where :math:`\varphi` is 0 the field is :math:`g`; where :math:`\xi` has slope 0, or repeats itself, so does the
    field, but for :math:`\varphi`.

    Args:
        network: `N`.
        inputs: :math:`\xi`, by default the points themselves.
        factor: :math:`\varphi`, as many outputs as the network, or one; by default 1.
        offset: :math:`g`, likewise; by default 0.

    Source: Lagaris, Likas and Fotiadis, "Artificial neural networks for solving ordinary and partial differential
    equations", IEEE Trans. Neural Netw. 9, 1998, doi:10.1109/72.712178.

    Example:
        >>> import torch
        >>> network = nn.Linear(1, 1)
        >>> pinned = TransformedNetwork(network, factor=nn.Identity())  # 0 at x = 0
        >>> pinned(torch.zeros(2, 1)).abs().flatten().tolist()
        [0.0, 0.0]
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        inputs: nn.Module | None = None,
        factor: nn.Module | None = None,
        offset: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.inputs = nn.Identity() if inputs is None else inputs
        self.factor, self.offset = factor, offset

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, d)` to `(*batch, n)`."""
        y: Tensor = self.network(self.inputs(x))
        require_network_output("`TransformedNetwork`", x, y)
        if self.factor is not None:
            factor = self.factor(x)
            self._require_width(factor.shape[-1], y.shape[-1])
            y = factor * y
        return y if self.offset is None else y + self.offset(x)

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        y = push(self.network, push(self.inputs, jet))
        if self.factor is not None:
            factor = push(self.factor, jet)
            self._require_width(factor.width, y.width)
            y = factor * y
        return y if self.offset is None else y + push(self.offset, jet)

    def _require_width(self, known: int, outputs: int) -> None:
        if known not in (1, outputs):
            raise ShapeError(f"`TransformedNetwork` needs a network of {known} outputs, got {outputs}")
