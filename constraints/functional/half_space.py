"""Half-spaces: one linear inequality."""

from __future__ import annotations

from torch import Tensor

from constraints.functional.smooth import safe_norm, softplus

__all__ = ["gauge_half_space", "project_half_space", "squash_half_space"]


def project_half_space(value: Tensor, normal: Tensor, offset: Tensor) -> Tensor:
    r"""Nearest point of :math:`\{y : a^\top y \le b\}`: :math:`v - \max(a^\top v - b, 0)\, a / \lVert a\rVert^2`.

    A second step takes off what rounding left of the first; its exact value is 0, and so are its derivatives.

    Args:
        value: `(*batch, n)`.
        normal: `a`, `(n,)` or `(*batch, n)`, not zero.
        offset: `b`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> import torch
        >>> project_half_space(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 1.0]), torch.tensor(2.0))
        tensor([1., 1.])
    """
    length = safe_norm(normal)
    unit, level = normal / length, offset / length
    for _ in range(2):
        value = value - ((value * unit).sum(dim=-1, keepdim=True) - level).clamp(min=0.0) * unit
    return value


def squash_half_space(value: Tensor, normal: Tensor, offset: Tensor) -> Tensor:
    r"""Replace the signed distance `t` from the hyperplane by :math:`-\log(1 + e^{-t})`, always inside.

    Args:
        value: `(*batch, n)`.
        normal: `a`, `(n,)` or `(*batch, n)`, not zero.
        offset: `b`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch, n)`.

    Example:
        >>> import torch
        >>> squash_half_space(torch.tensor([3.0, 5.0]), torch.tensor([1.0, 0.0]), torch.tensor(3.0))
        tensor([2.3069, 5.0000])
    """
    length = safe_norm(normal)
    unit, level = normal / length, offset / length
    distance = (value * unit).sum(dim=-1, keepdim=True) - level
    value = value - distance * unit
    value = value - ((value * unit).sum(dim=-1, keepdim=True) - level) * unit  # refined: exactly on the hyperplane
    return value - softplus(-distance) * unit


def gauge_half_space(origin: Tensor, direction: Tensor, normal: Tensor, offset: Tensor) -> Tensor:
    r"""Gauge :math:`\max(a^\top d / (b - a^\top p), 0)` of :math:`\{y : a^\top y \le b\}` about an interior point `p`.

    Args:
        origin: `p`, `(*batch, n)`, strictly inside.
        direction: `d`, `(*batch, n)`.
        normal: `a`, `(n,)` or `(*batch, n)`.
        offset: `b`, `()` or `(*batch, 1)`.

    Returns:
        `(*batch,)`.

    Example:
        >>> import torch
        >>> gauge_half_space(torch.zeros(2), torch.tensor([4.0, 0.0]), torch.tensor([1.0, 0.0]), torch.tensor(2.0))
        tensor(2.)
    """
    slack = offset - (normal * origin).sum(dim=-1, keepdim=True)
    return ((normal * direction).sum(dim=-1, keepdim=True) / slack).clamp(min=0.0).squeeze(-1)
