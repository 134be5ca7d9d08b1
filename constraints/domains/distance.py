"""Approximate distance functions: what a network is multiplied with to be exact at a boundary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from constraints.domains.r_functions import V
from constraints.fields.jet import Jet
from constraints.sets.constraint import keep_precision

__all__ = ["Distance"]


class Distance(nn.Module, ABC):
    r"""A function :math:`\varphi` that is 0 on the boundary, positive inside, negative outside, and normalised.

    Its derivative along the inward normal is 1 where the boundary is smooth. With :math:`u = g + \varphi N` a network
    `N` obeys :math:`u = g` on the boundary exactly. It is smooth but at corners, where second derivatives grow like
    one over the distance to the corner: a rule with a Laplacian must not be tested there, and its residual near them
    is large; draw points from a slightly smaller domain, or weigh them.

    `forward` and `forward_jet` come from one formula, `evaluate`, written with what tensors and jets both know.

    Example:
        >>> import torch
        >>> from constraints.domains import Ball
        >>> Ball([0.0, 0.0], 1.0).distance()(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
        tensor([[0.5000], [0.0000]])
    """

    @abstractmethod
    def evaluate(self, x: V) -> V:
        """The function of points `(*batch, d)`, or of their jet: `(*batch, 1)`."""

    def forward(self, points: Tensor) -> Tensor:
        """`(*batch, d)` to `(*batch, 1)`."""
        return self.evaluate(points)

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        return self.evaluate(jet)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Distance:
        """Move with the module, but keep the precision: the numbers are cast to the points' dtype at each use."""
        moved: Distance = keep_precision(self, super()._apply, fn, recurse)
        return moved


def like(x: V) -> Tensor:
    """A tensor of the dtype and device of values or jets."""
    return x.stack if isinstance(x, Jet) else x
