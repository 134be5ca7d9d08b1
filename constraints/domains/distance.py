"""Approximate distance functions: what a network is multiplied with to be exact at a boundary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from constraints.domains.r_functions import V, guard
from constraints.fields.jet import Jet
from constraints.sets.constraint import keep_precision

__all__ = ["Distance"]

LARGE = 1e-2  # of what keeps a root from 0/0: derivatives of this size are those of a corner


class Distance(nn.Module, ABC):
    r"""A function :math:`\varphi` that is 0 on the boundary, positive inside, negative outside, and normalised.

    Its derivative along the inward normal is 1 where the boundary is smooth. With :math:`u = g + \varphi N` a network
    `N` obeys :math:`u = g` on the boundary exactly. It is smooth but at corners, where second derivatives grow like
    one over the distance to the corner: at a corner itself they are NaN, so that a rule with a Laplacian that is tested
    there is refused, and its residual near them is large; draw points from a slightly smaller domain, or weigh them.

    Attributes:
        size: a length of a domain with corners; 0 of one without.

    `forward` and `forward_jet` come from one formula, `evaluate`, written with what tensors and jets both know.

    Example:
        >>> import torch
        >>> from constraints.domains import Ball
        >>> Ball([0.0, 0.0], 1.0).distance()(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
        tensor([[0.5000], [0.0000]])
    """

    size: float = 0.0

    @abstractmethod
    def evaluate(self, x: V) -> V:
        """The function of points `(*batch, d)`, or of their jet: `(*batch, 1)`."""

    def forward(self, points: Tensor) -> Tensor:
        """`(*batch, d)` to `(*batch, 1)`."""
        return self.evaluate(points)

    def forward_jet(self, jet: Jet) -> Jet:
        """See `JetModule`."""
        found = self.evaluate(jet)
        if not self.size:
            return found
        stack = found.dense().stack
        corner = stack.detach().abs() > LARGE / guard(found, self.size)
        return Jet(found.streams, stack.masked_fill(corner, torch.nan))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Distance:
        """Move with the module, but keep the precision: the numbers are cast to the points' dtype at each use."""
        moved: Distance = keep_precision(self, super()._apply, fn, recurse)
        return moved


def like(x: V) -> Tensor:
    """A tensor of the dtype and device of values or jets."""
    return x.stack if isinstance(x, Jet) else x
