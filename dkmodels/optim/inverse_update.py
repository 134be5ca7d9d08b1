"""Updates of a dense inverse Hessian: Broyden's family, scaled by itself or not."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple, final

import torch
from torch import Tensor

__all__ = [
    "BFGS",
    "Correction",
    "InverseUpdate",
    "Measured",
    "SelfScaledBFGS",
    "SelfScaledBroyden",
    "Weights",
    "correct",
]


@final
class Measured(NamedTuple):
    r"""What an update knows of a step `s`, and of `y` by which the gradient changed; `H` is the inverse Hessian.

    Attributes:
        b: :math:`s^T H^{-1} s / s^T y`, > 0.
        h: :math:`y^T H y / s^T y`, > 0.
        first: whether `H` is the identity still.
        size: `n`.
    """

    b: float
    h: float
    first: bool
    size: int

    @property
    def a(self) -> float:
        """How far `y` is from what `H` foresaw: `b h - 1`, >= 0 by Cauchy and Schwarz."""
        return max(self.b * self.h - 1.0, 0.0)


@final
class Weights(NamedTuple):
    r"""A member of the family.

    Attributes:
        tau: the old matrix is divided by it, > 0.
        phi: 1 is BFGS, 0 is DFP.
    """

    tau: float
    phi: float


class InverseUpdate(ABC):
    """How the old inverse Hessian is weighed when a new step is learnt."""

    @abstractmethod
    def weigh(self, measured: Measured) -> Weights:
        """Scale and member of the family, for one step."""


@final
class BFGS(InverseUpdate):
    r"""Broyden, Fletcher, Goldfarb and Shanno: :math:`\tau = 1`, :math:`\phi = 1`.

    The first time, :math:`\tau = y^T y / s^T y`, so that the identity has the size of the inverse Hessian.

    Source: Nocedal and Wright, "Numerical Optimization", 2006, equations 6.17 and 6.20,
    doi:10.1007/978-0-387-40065-5.

    Example:
        >>> BFGS().weigh(Measured(b=2.0, h=3.0, first=False, size=10))
        Weights(tau=1.0, phi=1.0)
    """

    def weigh(self, measured: Measured) -> Weights:
        """See the class."""
        return Weights(measured.h if measured.first else 1.0, 1.0)


@final
class SelfScaledBFGS(InverseUpdate):
    r"""BFGS with :math:`\tau = \min(1, 1/b)`: the inverse Hessian grows where the step found less curvature.

    Source: Al-Baali, "Numerical experience with a class of self-scaling quasi-Newton algorithms", Journal of
    Optimization Theory and Applications 96, 1998, doi:10.1023/A:1022608410710; in this form: Urbán, Stefanou and Pons,
    "Unveiling the optimization process of physics informed neural networks", Journal of Computational Physics 523,
    2025, arXiv:2405.04230.

    Example:
        >>> SelfScaledBFGS().weigh(Measured(b=2.0, h=3.0, first=False, size=10))
        Weights(tau=0.5, phi=1.0)
    """

    def weigh(self, measured: Measured) -> Weights:
        """See the class."""
        return Weights(measured.h if measured.first else min(1.0, 1.0 / measured.b), 1.0)


@final
class SelfScaledBroyden(InverseUpdate):
    r"""A member of Broyden's family chosen anew each step, and scaled.

    .. math::
        c &= \sqrt{a / (1 + a)}, \quad \rho^- = \min(1, h (1 - c)), \quad \theta^- = (\rho^- - 1) / a, \quad
             \theta^+ = 1 / \rho^- \\
        \theta &= \max(\theta^-, \min(\theta^+, (1 - b) / b)), \quad \sigma = 1 + a \theta, \quad
             \phi = (1 - \theta) / \sigma \\
        \tau &= \min(1, 1/b) \min(\sigma^{-1/(n-1)}, 1/\theta) \text{ if } \theta > 0, \text{ else }
             \min(\min(1, 1/b)\,\sigma^{-1/(n-1)}, \sigma)

    and the first time :math:`\tau = h / \sigma`. :math:`\theta > -1/a` keeps the matrix positive definite.

    Source: Al-Baali and Khalfan, "Wide interval for efficient self-scaling quasi-Newton algorithms", Optimization
    Methods and Software 20, 2005, doi:10.1080/10556780410001709448; in this form, as "SSBroyden2": Urbán, Stefanou and
    Pons, Journal of Computational Physics 523, 2025, arXiv:2405.04230, and Kiyani, Shukla, Urbán, Darbon and
    Karniadakis, "Optimizing the optimizer for physics-informed neural networks and Kolmogorov-Arnold networks", 2025,
    arXiv:2501.16371.

    Example:
        >>> SelfScaledBroyden().weigh(Measured(b=1.0, h=1.0, first=False, size=10))  # as foreseen: nothing to scale
        Weights(tau=1.0, phi=1.0)
    """

    def weigh(self, measured: Measured) -> Weights:
        """See the class."""
        a, b, h = measured.a, measured.b, measured.h
        # 1 - sqrt(a / (1 + a)), without the difference of two numbers that are nearly 1
        rest = 1.0 / ((1.0 + a) * (1.0 + math.sqrt(a / (1.0 + a))))
        low = min(1.0, h * rest)
        theta = min(1.0 / low, (1.0 - b) / b)
        if a > 0.0:
            theta = max((low - 1.0) / a, theta)
        sigma = 1.0 + a * theta
        phi = (1.0 - theta) / sigma
        if measured.first:
            return Weights(h / sigma, phi)
        least = min(1.0, 1.0 / b)
        root = sigma ** (1.0 / (1 - measured.size)) if measured.size > 1 else 1.0
        return Weights(least * min(root, 1.0 / theta) if theta > 0.0 else min(least * root, sigma), phi)


@final
class Correction(NamedTuple):
    r"""What a step teaches an inverse Hessian: :math:`H \leftarrow c H + L R^T`.

    Attributes:
        scale: `c`.
        left: `L`, `(n, 3)`.
        right: `R`, `(n, 3)`.

    Example:
        >>> one = torch.ones(2, 1)
        >>> Correction(2.0, one, one).add_to_(torch.eye(2))
        tensor([[3., 1.],
                [1., 3.]])
    """

    scale: float
    left: Tensor
    right: Tensor

    def add_to_(self, inverse: Tensor) -> Tensor:
        """Correct a matrix `(n, n)` in place: one pass over it, and nothing else of its size."""
        return inverse.addmm_(self.left, self.right.mT, beta=self.scale)

    def apply(self, product: Tensor, vector: Tensor) -> Tensor:
        """The corrected matrix times a vector `g`, from `H g`, both `(n,)`, without a pass over the matrix."""
        return torch.add(self.left @ (self.right.mT @ vector), product, alpha=self.scale)


def correct(s: Tensor, hy: Tensor, sy: float, yhy: float, weights: Weights) -> Correction:
    r"""What a step teaches.

    .. math::
        H \leftarrow \frac{1}{\tau}\Big(H - \frac{H y y^T H}{y^T H y} + \phi\, (y^T H y)\, v v^T\Big)
            + \frac{s s^T}{s^T y}, \qquad v = \frac{s}{s^T y} - \frac{H y}{y^T H y}

    so that :math:`H y = s` afterwards, whatever the weights. A symmetric matrix stays so, to rounding.

    Args:
        s: the step, `(n,)`.
        hy: :math:`H y`, `(n,)`.
        sy: :math:`s^T y`, > 0.
        yhy: :math:`y^T H y`, > 0.
        weights: the member of the family.

    Source: Nocedal and Wright, "Numerical Optimization", 2006, section 6.3; with the scale: Al-Baali, 1998,
    doi:10.1023/A:1022608410710.

    Example:
        >>> h, s, y = torch.eye(2), torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0])
        >>> h = correct(s, h @ y, float(s @ y), float(y @ y), Weights(tau=1.0, phi=1.0)).add_to_(h)
        >>> torch.allclose(h @ y, s, atol=1e-6)
        True
    """
    v = s / sy - hy / yhy
    middle = weights.phi * yhy / weights.tau
    columns = torch.stack([hy / math.sqrt(weights.tau * yhy), math.sqrt(abs(middle)) * v, s / math.sqrt(sy)], dim=1)
    signs = columns.new_tensor([-1.0, math.copysign(1.0, middle), 1.0])
    return Correction(1.0 / weights.tau, columns * signs, columns)
