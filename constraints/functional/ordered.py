"""Ordered cones: isotonic regression."""

from __future__ import annotations

import torch
from torch import Tensor

from constraints.functional.smooth import softplus

__all__ = ["project_ordered_cone", "squash_ordered_cone"]


def project_ordered_cone(value: Tensor) -> Tensor:
    r"""Nearest point of :math:`\{y : y_1 \le y_2 \le \dots \le y_n\}`: isotonic regression with equal weights.

    The solution is constant on blocks and equals the mean of the value there. In eager mode the blocks are found by
    pooling adjacent violators, all runs of a batch in one round until none is left (a handful of rounds for noise, n
    at worst). Where the graph must not depend on data (`torch.compile`, `torch.export`) they come from the min-max
    formula :math:`y_i = \max_{j \le i} \min_{k \ge i} \mathrm{mean}(v_j, \dots, v_k)`, in :math:`O(n^2)` memory.

    Bounds on the ends need no other algorithm: clipping the isotonic solution is exact.

    Args:
        value: `(*batch, n)`.

    Returns:
        `(*batch, n)`.

    Source: Barlow et al., "Statistical inference under order restrictions", Wiley 1972 (both forms).

    Example:
        >>> project_ordered_cone(torch.tensor([1.0, 3.0, 2.0, 4.0]))
        tensor([1.0000, 2.5000, 2.5000, 4.0000])
    """
    with torch.no_grad():
        # float64 throughout: a long block of float32 numbers would else be pooled by its rounding.
        exact = value.detach().double()
        starts = _starts_by_formula(exact) if torch.compiler.is_compiling() else _starts_by_pooling(exact)
        blocks = starts.long().cumsum(dim=-1) - 1
        means = _block_means(exact, blocks).to(value.dtype)
    # A mean of small differences, so that a block of one gives its value back to the last bit.
    pooled = means + _block_means(value - means, blocks)
    # Rounding may leave neighbouring means a last bit out of order.
    return pooled.cummax(dim=-1).values


def squash_ordered_cone(value: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    r"""Increasing numbers from free ones: steps of :math:`\log(1 + e^{v_i})`, cumulated from the end that is fixed.

    Without bounds :math:`y_1 = v_1`. With `low` alone the first step starts there; with `high` alone the last one
    ends there; with both the steps are the shares of a softmax over :math:`(v_1, \dots, v_n, 0)`.

    Args:
        value: `(*batch, n)`.
        low: least first coordinate, `()` or `(*batch, 1)`.
        high: greatest last coordinate, `()` or `(*batch, 1)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> squash_ordered_cone(torch.zeros(3), torch.tensor(0.0), torch.tensor(1.0))
        tensor([0.2500, 0.5000, 0.7500])
    """
    if low is not None and high is not None:
        shares = torch.softmax(torch.cat([value, torch.zeros_like(value[..., :1])], dim=-1), dim=-1)
        return low + (high - low) * shares[..., :-1].cumsum(dim=-1)
    if low is not None:
        return low + softplus(value).cumsum(dim=-1)
    if high is not None:
        return high - softplus(-value).flip(-1).cumsum(dim=-1).flip(-1)
    return torch.cat([value[..., :1], softplus(value[..., 1:])], dim=-1).cumsum(dim=-1)


def _block_means(value: Tensor, blocks: Tensor) -> Tensor:
    """Mean over each block, at each of its members, `(*batch, n)`."""
    sums = torch.zeros_like(value).scatter_add(-1, blocks, value)
    counts = torch.zeros_like(blocks).scatter_add(-1, blocks, torch.ones_like(blocks))
    return (sums / counts.clamp(min=1).to(value.dtype)).gather(-1, blocks)


def _starts_by_pooling(value: Tensor) -> Tensor:
    """Where blocks start, by pooling adjacent violators."""
    starts = torch.ones_like(value, dtype=torch.bool)
    while True:
        means = _block_means(value, starts.long().cumsum(dim=-1) - 1)
        falls = means[..., 1:] < means[..., :-1]
        if not bool(falls.any()):
            return starts
        starts = torch.cat([starts[..., :1], starts[..., 1:] & ~falls], dim=-1)


def _starts_by_formula(value: Tensor) -> Tensor:
    """Where blocks start, by the min-max formula."""
    n = value.shape[-1]
    centred = value - value.mean(dim=-1, keepdim=True)  # keeps the partial sums small
    sums = torch.cat([torch.zeros_like(value[..., :1]), centred.cumsum(dim=-1)], dim=-1)
    index = torch.arange(n, device=value.device)
    length = index[None, :] - index[:, None] + 1  # of the run from j (rows) to k (columns)
    means = (sums[..., None, 1:] - sums[..., :-1, None]) / length.clamp(min=1)
    means = torch.where(length >= 1, means, torch.inf)
    least = means.flip(-1).cummin(dim=-1).values.flip(-1)
    solution = torch.where(length >= 1, least, -torch.inf).amax(dim=-2)
    first = torch.ones_like(solution[..., :1], dtype=torch.bool)
    return torch.cat([first, solution[..., 1:] > solution[..., :-1]], dim=-1)
