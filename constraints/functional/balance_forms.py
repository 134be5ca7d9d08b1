"""Forms of a balance: maps that give every group of values a prescribed mean.

All take values grouped as `(*batch, groups, members)` and the wanted means `(*batch, groups)`. The additive form is the
orthogonal projection; the others keep more of a sign or a range and are no projections (softmax done twice is not
softmax done once).

Source: Harder et al., "Hard-Constrained Deep Learning for Climate Downscaling", JMLR 24 (2023) 365,
arXiv:2208.05424.
"""

from __future__ import annotations

import torch
from torch import Tensor

from constraints.functional.projections import project_simplex

__all__ = [
    "balance_additive",
    "balance_multiplicative",
    "balance_scaled_additive",
    "balance_simplex",
    "balance_softmax",
]


def balance_additive(values: Tensor, mean: Tensor) -> Tensor:
    r"""Nearest values with the mean: :math:`y_i = v_i + (m - \bar v)`.

    Args:
        values: `v`, `(*batch, groups, members)`.
        mean: `m`, `(*batch, groups)`.

    Returns:
        `(*batch, groups, members)`.

    Example:
        >>> balance_additive(torch.tensor([[1.0, 3.0]]), torch.tensor([5.0]))
        tensor([[4., 6.]])
    """
    for _ in range(2):  # the second step takes away the rounding of the first
        values = values + (mean.unsqueeze(-1) - values.mean(dim=-1, keepdim=True))
    return values


def balance_scaled_additive(values: Tensor, mean: Tensor, low: Tensor, high: Tensor) -> Tensor:
    r"""Values moved in proportion to their room: those in :math:`[l, u]` stay there.

    .. math::
        y_i = v_i + (m - \bar v)\,\frac{u - v_i}{u - \bar v} \;\text{ where } \bar v < m, \qquad
        y_i = v_i + (m - \bar v)\,\frac{v_i - l}{\bar v - l} \;\text{ elsewhere.}

    With `l = -1` and `u = 1` this is the published form. A mean outside `[l, u]` has no such room: that group gets the
    additive form.

    Args:
        values: `v`, `(*batch, groups, members)`.
        mean: `m`, `(*batch, groups)`.
        low: `l`, `()`.
        high: `u > l`, `()`.

    Returns:
        `(*batch, groups, members)`.

    Example:
        >>> low, high = torch.tensor(-1.0), torch.tensor(1.0)
        >>> balance_scaled_additive(torch.tensor([[0.0, 0.5]]), torch.tensor([0.5]), low, high)
        tensor([[0.3333, 0.6667]])
    """
    wanted, given = mean.unsqueeze(-1), values.mean(dim=-1, keepdim=True)
    raised = given < wanted
    # Move towards the bound: the share of the room that is left is below 1, so nothing is amplified.
    bound = torch.where(raised, high, low)
    room = given - bound
    apart = room != 0
    share = (wanted - bound) / torch.where(apart, room, 1.0)
    scaled = bound + (values - bound) * share
    fits = (wanted >= low) & (wanted <= high) & apart
    return balance_additive(torch.where(fits, scaled, values), mean)


def balance_multiplicative(values: Tensor, mean: Tensor) -> Tensor:
    r"""Values scaled to the mean: :math:`y_i = v_i\, m / \bar v`; keeps ratios, and signs where the two means agree.

    It is singular where :math:`\bar v = 0` and steep nearby: for networks whose outputs are positive. Groups whose mean
    is rounding beside their values get the additive form.

    Args:
        values: `v`, `(*batch, groups, members)`.
        mean: `m`, `(*batch, groups)`.

    Returns:
        `(*batch, groups, members)`.

    Example:
        >>> balance_multiplicative(torch.tensor([[1.0, 3.0]]), torch.tensor([4.0]))
        tensor([[2., 6.]])
    """
    given = values.mean(dim=-1, keepdim=True)
    size = values.detach().abs().amax(dim=-1, keepdim=True)
    regular = given.detach().abs() > size * torch.finfo(values.dtype).eps ** 0.5
    scaled = values * (mean.unsqueeze(-1) / torch.where(regular, given, 1.0))
    return balance_additive(torch.where(regular, scaled, values), mean)


def balance_softmax(values: Tensor, mean: Tensor) -> Tensor:
    r"""A softmax share of the group's total: :math:`y_i = n\,m\, e^{v_i} / \sum_j e^{v_j}`, of the sign of the mean.

    Args:
        values: `v`, `(*batch, groups, members)`.
        mean: `m`, `(*batch, groups)`.

    Returns:
        `(*batch, groups, members)`.

    Example:
        >>> balance_softmax(torch.tensor([[0.0, 0.0]]), torch.tensor([5.0]))
        tensor([[5., 5.]])
    """
    return values.softmax(dim=-1) * (values.shape[-1] * mean.unsqueeze(-1))


def balance_simplex(values: Tensor, mean: Tensor, low: Tensor) -> Tensor:
    r"""Nearest values with the mean that are not below `l`: a projection onto one scaled simplex a group.

    Args:
        values: `v`, `(*batch, groups, members)`.
        mean: `m >= l`, `(*batch, groups)`.
        low: `l`, `()`.

    Returns:
        `(*batch, groups, members)`.

    Example:
        >>> balance_simplex(torch.tensor([[-4.0, 0.0]]), torch.tensor([1.0]), torch.tensor(0.0))
        tensor([[0., 2.]])
    """
    total = (mean - low).unsqueeze(-1) * values.shape[-1]
    return project_simplex(values - low, total) + low
