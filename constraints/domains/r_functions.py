"""Smooth functions that join distances, written once for numbers (tensors) and for jets."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from constraints.fields.jet import Jet
from constraints.fields.smooth import Tower, reciprocal

__all__ = [
    "V",
    "bend",
    "conjunction",
    "disjunction",
    "equivalence",
    "guard",
    "linear",
    "root",
    "scale",
    "select",
    "shift",
    "value_of",
]

V = TypeVar("V", Tensor, Jet)
"""Values `(*batch, n)`, or these with derivatives."""


def root(z: Tensor, order: int) -> list[Tensor]:
    r""":math:`\sqrt z` and its derivatives, for `Jet.compose`.

    Example:
        >>> root(torch.tensor(4.0), 2)
        [tensor(2.), tensor(0.2500), tensor(-0.0312)]
    """
    found = [torch.sqrt(z)]
    for k in range(order):
        found.append(found[-1] / z * (0.5 - k))
    return found


def bend(tower: Tower, v: V) -> V:
    """A smooth function of each entry.

    Example:
        >>> bend(root, torch.tensor([9.0]))
        tensor([3.])
    """
    if isinstance(v, Jet):
        return v.compose(tower)
    return tower(v, 0)[0]


def linear(v: V, weight: Tensor, bias: Tensor | None = None) -> V:
    """`W v + b`, from `W` `(m, n)` and `b` `(m,)`.

    Example:
        >>> linear(torch.tensor([[1.0, 2.0]]), torch.ones(1, 2))
        tensor([[3.]])
    """
    if isinstance(v, Jet):
        return v.linear(weight, bias)
    return nn.functional.linear(v, weight, bias)


def shift(v: V, numbers: Tensor) -> V:
    """Constants added, `(n,)`. A jet's operators are called by name: torch.compile does not find them beside a tensor.

    Example:
        >>> shift(torch.zeros(1, 2), torch.tensor([1.0, 2.0]))
        tensor([[1., 2.]])
    """
    return v.__add__(numbers) if isinstance(v, Jet) else v + numbers


def scale(v: V, numbers: Tensor) -> V:
    """Times constants, `(n,)`, or other numbers at each point, `(*batch, n)`; see `shift`.

    Example:
        >>> scale(torch.ones(1, 2), torch.tensor([1.0, 2.0]))
        tensor([[1., 2.]])
    """
    return v.__mul__(numbers) if isinstance(v, Jet) else v * numbers


def value_of(v: V) -> Tensor:
    """The values alone, `(*batch, n)`.

    Example:
        >>> value_of(torch.ones(1))
        tensor([1.])
    """
    return v.value if isinstance(v, Jet) else v


def select(mask: Tensor, one: V, other: V | float) -> V:
    """`one` where `mask`, `(*batch, n)`, else `other`; a number stands for a constant.

    Example:
        >>> select(torch.tensor([True, False]), torch.zeros(2), 1.0)
        tensor([0., 1.])
    """
    if isinstance(one, Jet):
        stack = one.dense().stack
        if isinstance(other, Jet):
            instead = other.dense().stack
        else:
            assert not isinstance(other, Tensor)
            instead = torch.zeros_like(stack)
            instead[:, 0] = other
        return Jet(one.streams, torch.where(mask.mT[:, None], stack, instead))
    assert not isinstance(other, Jet)
    return torch.where(mask, one, other)


def guard(v: V, size: float) -> float:
    """What keeps a root or a quotient from 0/0 at a corner: far below rounding of a length of the domain.

    Its third inverse power is still a number, so that first derivatives at a corner are, too; second ones `Distance`
    makes NaN.

    Example:
        >>> 0.0 < guard(torch.ones(1), 1.0) < torch.finfo(torch.float32).eps
        True
    """
    kind = v.stack.dtype if isinstance(v, Jet) else v.dtype
    return float(torch.finfo(kind).tiny ** 0.25 * size)


def conjunction(a: V, b: V, size: float) -> V:
    r"""Positive where both are: :math:`a + b - \sqrt{a^2 + b^2}`.

    Where one is 0 and the other positive, it has the value and the first derivatives of that one, so that it stays
    normalised; at a corner, where both are 0, second derivatives grow like one over the distance to it.

    Args:
        a: `(*batch, n)`.
        b: of the same shape.
        size: a length of the domain.

    Source: Rvachev's R-functions; Shapiro, "Semi-analytic geometry with R-functions", Acta Numerica 16, 2007,
    doi:10.1017/S096249290631001X.

    Example:
        >>> conjunction(torch.tensor([3.0, -3.0, 0.0]), torch.tensor([4.0, 4.0, 4.0]), 1.0).tolist()
        [2.0, -4.0, 0.0]
    """
    return a + b - _norm(a, b, size)


def disjunction(a: V, b: V, size: float) -> V:
    r"""Positive where one is: :math:`a + b + \sqrt{a^2 + b^2}`; otherwise as `conjunction`.

    Example:
        >>> disjunction(torch.tensor([3.0, -3.0, 0.0]), torch.tensor([4.0, -4.0, -4.0]), 1.0).tolist()
        [12.0, -2.0, 0.0]
    """
    return a + b + _norm(a, b, size)


def equivalence(v: V, size: float) -> V:
    r"""Zero where any of the functions is, normalised as they are: :math:`1 / \sum_i 1 / v_i`, of one column.

    Joined in pairs as :math:`a b / (a + b)`, which is the same and has derivatives where one of them is 0.

    Args:
        v: distances `(*batch, n)`, >= 0.
        size: a length of the domain.

    Source: Sukumar and Srivastava, "Exact imposition of boundary conditions with distance functions in physics-informed
    deep neural networks", CMAME 389, 2022, doi:10.1016/j.cma.2021.114333; there m = 1.

    Example:
        >>> equivalence(torch.tensor([[1.0, 1.0, 0.5], [1.0, 0.0, 1.0]]), 1.0)
        tensor([[0.2500], [0.0000]])
    """
    width = value_of(v).shape[-1]
    if width == 1:
        return v
    half = width // 2
    a, b = v[..., :half], v[..., half : 2 * half]
    joined: V = a * b * bend(reciprocal, a + b + guard(v, size))
    if width % 2 == 0:
        return equivalence(joined, size)
    last = v[..., 2 * half :]
    if isinstance(v, Jet):
        return equivalence(Jet.concatenate([joined, last]), size)
    return equivalence(torch.cat([joined, last], dim=-1), size)


def _norm(a: V, b: V, size: float) -> V:
    return bend(root, a * a + b * b + guard(a, size) ** 2)
