"""How far from a set a floating-point value may be and still count as inside."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["default_tolerance", "program_unit"]


def default_tolerance(value: Tensor, *, terms: int = 1, least: float = 0.0) -> Tensor:
    r"""Tolerance of a violation, from the dtype, the size and the magnitude of the value.

    .. math:: 64\,\varepsilon\,\sqrt{\max(\text{terms}, 1)}\,\max(\text{least}, \lVert v\rVert_\infty)

    It has no unit of its own: a set adds its bounds and targets to the value, so that a set of size 1e-12 is measured
    by 1e-12.

    Rounding of a sum of `terms` numbers grows like the square root of their count when errors are
    independent; 64 covers the constant of a projection (a product, a division and a refinement).

    Args:
        value: the tested value, `(*batch, n)`.
        terms: how many numbers one residual sums over.
        least: magnitude below which a value counts as this large; for values whose origin has a size of its own.

    Returns:
        The tolerance of each sample, `(*batch,)`.

    Example:
        >>> default_tolerance(torch.tensor([[1.0, 0.0], [1e-12, 0.0]], dtype=torch.float64)).tolist()
        [1.4210854715202004e-14, 1.4210854715202003e-26]
    """
    eps = torch.finfo(value.dtype).eps
    scale = value.detach().abs().amax(dim=-1).clamp(min=least)
    return scale * (64.0 * eps * math.sqrt(max(terms, 1)))


def program_unit(largest: float) -> float:
    """The unit in which to measure the numbers of a linear program whose rows have length one.

    HiGHS takes a row for satisfied that is missed by 1e-7: much for numbers that are all tiny, less than rounding for
    huge ones. In this unit it is neither; sizes from 1 to 1e6 are left as they are.

    Args:
        largest: the largest finite bound or target, >= 0.

    Example:
        >>> program_unit(1e-9), program_unit(100.0), program_unit(1e9), program_unit(0.0)
        (1e-09, 1.0, 1000.0, 1.0)
    """
    return min(largest or 1.0, 1.0) * max(1.0, largest / 1e6)
