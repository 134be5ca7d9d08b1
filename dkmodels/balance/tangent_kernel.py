"""Weights by the neural tangent kernel of each term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints import SpecificationError, UnsupportedError
from dkmodels.balance.balance import Balance, Term, require_decay
from dkmodels.balance.gradient_norm import equal_shares
from dkmodels.optim import kernel_trace

__all__ = ["NeuralTangentKernel"]


@final
class NeuralTangentKernel(Balance):
    r"""Residuals of all terms fall equally fast, in the mean, under gradient descent.

    .. math::
        \hat w_k = \frac{\sum_j \operatorname{tr} K_j}{\operatorname{tr} K_k}, \qquad
        \operatorname{tr} K_k = c_k \sum_i \lVert \nabla_\theta r_{ki} \rVert^2, \qquad
        w_k \leftarrow \alpha w_k + (1 - \alpha) \hat w_k

    for terms :math:`L_k = c_k \sum_i r_{ki}^2`: for the mean of squares, the trace is the kernel's mean eigenvalue
    (the source divides by as many points in each term). What a rule's embedding weighs is undone thereby. It needs all
    terms as squares, as `LevenbergMarquardt` does; costs the gradient of each residual each time.

    Args:
        every: see `Balance`.
        decay: :math:`\alpha` in [0, 1).
        chunk: rows whose gradients are held at a time, >= 1.

    Raises:
        SpecificationError: numbers out of range.
        UnsupportedError: a term that is no sum of squares by rows; see `KnowledgeModule.squares`.

    Source: Wang, Yu and Perdikaris, "When and why PINNs fail to train: a neural tangent kernel perspective", Journal of
    Computational Physics 449, 2022, doi:10.1016/j.jcp.2021.110768, arXiv:2007.14527, algorithm 1.

    Example:
        >>> from constraints import Squares
        >>> line, z = nn.Linear(1, 1, bias=False), torch.tensor([[1.0], [2.0]])
        >>> one = Squares(lambda z: line(z) - 1.0, z, 1.0)  # slopes 1 and 2: 5
        >>> two = Squares(lambda z: 3.0 * line(z), z, 1.0)  # slopes 3 and 6: 45
        >>> terms = {"one": Term(one.loss(), lambda: [one]), "two": Term(two.loss(), lambda: [two])}
        >>> NeuralTangentKernel(decay=0.0).weigh(terms, line)
        {'one': tensor(10.), 'two': tensor(1.1111)}
    """

    def __init__(self, *, every: int = 100, decay: float = 0.9, chunk: int = 1024) -> None:
        super().__init__(every=every)
        self.decay = require_decay(type(self).__name__, decay)
        if chunk < 1:
            raise SpecificationError(f"`NeuralTangentKernel` needs chunk >= 1, got {chunk}")
        self.chunk = chunk

    def observe(self, terms: Sequence[Term], module: nn.Module) -> Tensor:
        """Trace of each term's kernel, `(n,)`."""
        parameters = [p for p in module.parameters() if p.requires_grad]
        traces = []
        for name, term in zip(self.names, terms, strict=True):
            if term.squares is None:
                raise UnsupportedError(f"`NeuralTangentKernel` needs term `{name}` as sums of squares, got none")
            traces.append(kernel_trace(module, parameters, term.squares(), chunk=self.chunk))
        return torch.stack(traces)

    def renew(self, seen: Tensor) -> Tensor:
        """See the class."""
        return torch.lerp(equal_shares(seen, self.weights), self.weights, self.decay)

    def extra_repr(self) -> str:
        """The numbers."""
        return f"every={self.every}, decay={self.decay}, chunk={self.chunk}"
