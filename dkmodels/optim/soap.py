"""Adam in the eigenbasis of Shampoo's statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final

import torch
from torch import Tensor, nn

from constraints.errors import NonFiniteError, SpecificationError

__all__ = ["SOAP", "eigenbasis", "turn"]


def turn(matrix: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    r"""A matrix in other bases, :math:`Q_L^T G Q_R`; None is the identity.

    Args:
        matrix: `G`, `(m, n)`.
        left: `(m, m)`.
        right: `(n, n)`.

    Example:
        >>> swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> turn(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), swap, None)
        tensor([[3., 4.],
                [1., 2.]])
    """
    turned = matrix if left is None else left.mT @ matrix
    return turned if right is None else turned @ right


def eigenbasis(statistics: Tensor, before: Tensor | None = None) -> Tensor:
    """Eigenvectors of a symmetric matrix, `(m, m)`: in full, or nearer to them by one step of orthogonal iteration.

    Args:
        statistics: positive semidefinite, `(m, m)`.
        before: the basis to start from; its order is kept.

    Example:
        >>> eigenbasis(torch.diag(torch.tensor([1.0, 3.0]))).abs()  # from the largest eigenvalue
        tensor([[0., 1.],
                [1., 0.]])
    """
    if before is None:
        vectors: Tensor = torch.linalg.eigh(statistics)[1]
        return vectors.flip(-1)
    turned: Tensor = torch.linalg.qr(statistics @ before)[0]
    return turned


@final
class SOAP(torch.optim.Optimizer):
    r"""Adam, run in the slowly turning eigenbasis of each weight matrix's gradient statistics.

    .. math::
        L \leftarrow \beta_2 L + (1 - \beta_2) G G^T, \quad R \leftarrow \beta_2 R + (1 - \beta_2) G^T G, \quad
        W \leftarrow W - \eta\, Q_L \,\mathrm{Adam}(Q_L^T G Q_R)\, Q_R^T

    The bases are brought up to date every `refresh` steps by one orthogonal iteration. Tensors of more dimensions
    count as matrices of their first one; vectors, and sides longer than `max_size`, keep the identity.

    Args:
        params: see `torch.optim.Adam`.
        lr: step size, > 0.
        betas: decay of the mean, and of squares and statistics, in [0, 1).
        eps: added to the root of squares, > 0.
        refresh: steps after which bases are brought up to date, >= 1.
        max_size: longest side that gets a basis, >= 0; at 0 it is Adam.

    Raises:
        SpecificationError: numbers out of range.

    Source: Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson and Kakade, "SOAP: improving and stabilizing
    Shampoo using Adam", 2024, algorithms 3 and 4, arXiv:2409.11321. Ours: Adam's correction of the bias, statistics
    that begin with those of the first gradient, no step lost.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> optimizer = SOAP(layer.parameters(), lr=0.01)
        >>> layer(torch.ones(5, 3)).square().mean().backward()
        >>> optimizer.step()
        >>> sorted(optimizer.state[layer.weight])
        ['left', 'left_basis', 'mean', 'right', 'right_basis', 'square', 'steps']
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        refresh: int = 10,
        max_size: int = 10_000,
    ) -> None:
        if not (lr > 0.0 and eps > 0.0 and all(0.0 <= beta < 1.0 for beta in betas)):
            raise SpecificationError(f"`SOAP` needs lr and eps > 0 and betas in [0, 1), got {lr}, {eps} and {betas}")
        if refresh < 1 or max_size < 0:
            raise SpecificationError(f"`SOAP` needs refresh >= 1 and max_size >= 0, got {refresh} and {max_size}")
        options = {"lr": lr, "betas": betas, "eps": eps, "refresh": refresh, "max_size": max_size}
        super().__init__(params, options)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One step; the loss of the closure, if there is one.

        Raises:
            NonFiniteError: a gradient that is not finite, or too large for its square; nothing has moved.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moving = [
            (parameter, parameter.grad, group)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None and parameter.numel()
        ]
        if moving:
            # no entry of G G^T is larger than the sum of squares
            squares = [gradient.square().sum().to(moving[0][1].device) for _, gradient, _ in moving]
            if not bool(torch.stack([one.isfinite() for one in squares]).all()):
                raise NonFiniteError(
                    "`SOAP` needs finite gradients with finite squares, got some that are not; the parameters are as "
                    "before"
                )
        for parameter, gradient, group in moving:
            self._move(parameter, gradient, group)
        return loss

    def _move(self, parameter: nn.Parameter, gradient: Tensor, options: dict[str, Any]) -> None:
        state, shape = self.state[parameter], parameter.shape
        matrix = gradient.reshape(shape[0], -1) if gradient.dim() > 1 else gradient.reshape(1, -1)
        if not state:
            state |= {"steps": 0, "mean": torch.zeros_like(matrix), "square": torch.zeros_like(matrix)}
        first, second = options["betas"]
        if gradient.dim() > 1:
            self._learn(state, matrix, options)
        left, right = state.get("left_basis"), state.get("right_basis")
        state["steps"] += 1
        state["mean"].lerp_(matrix, 1.0 - first)
        turned = turn(matrix, left, right)
        state["square"].mul_(second).addcmul_(turned, turned, value=1.0 - second)
        mean = turn(state["mean"], left, right) / (1.0 - first ** state["steps"])
        root = (state["square"] / (1.0 - second ** state["steps"])).sqrt_().add_(options["eps"])
        update = turn(mean / root, None if left is None else left.mT, None if right is None else right.mT)
        parameter.sub_(update.reshape(shape), alpha=options["lr"])

    def _learn(self, state: dict[str, Any], matrix: Tensor, options: dict[str, Any]) -> None:
        """The statistics of a gradient, and the bases where it is time."""
        decay = options["betas"][1]
        for side, rows in (("left", matrix), ("right", matrix.mT)):
            if len(rows) > options["max_size"]:
                continue
            product = rows @ rows.mT
            known = side in state
            state[side] = state[side].lerp_(product, 1.0 - decay) if known else product
            if not known or state["steps"] % options["refresh"] == 0:
                state[f"{side}_basis"] = eigenbasis(state[side], state.get(f"{side}_basis"))
