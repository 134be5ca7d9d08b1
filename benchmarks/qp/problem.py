"""The published families of problems, generated again from the description and the seed.

Every instance `x` asks for the `y` that minimises a separable function under :math:`A y = x` and :math:`G y \\le h`,

.. math:: f(y) = \\tfrac12 y^\\top Q y + p^\\top y \\quad\\text{or}\\quad f(y) = \\tfrac12 y^\\top Q y + p^\\top \\sin y

with `Q` diagonal. `Q` and `p` are uniform in [0, 1], `A` and `G` standard normal, `x` uniform in [-1, 1], and
:math:`h_i = \\sum_j |(G A^+)_{ij}|`, which makes :math:`y = A^+ x` feasible for every such `x`. The numbers come from
numpy's legacy generator with seed 17, in the published order, which differs between the two sources.

Source: Donti, Rolnick and Kolter, "DC3: A learning method for optimization with hard constraints", ICLR 2021,
arXiv:2104.12225; Min and Azizan, "HardNet: Hard-Constrained Neural Networks with Universal Approximation Guarantees",
arXiv:2410.10807.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Linear", "Problem", "Sine", "Term", "dc3_problem", "hardnet_problem"]

Array = NDArray[np.float64]

SEED, VARIABLES, EQUALITIES, INEQUALITIES, INSTANCES = 17, 100, 50, 50, 10_000
#: Both sources keep a twelfth for validation, which nothing here uses, and a twelfth for testing.
HELD_OUT = 0.0833


class Term(ABC):
    """The part of the objective that `p` multiplies, with its slope."""

    @abstractmethod
    def value(self, y: Tensor) -> Tensor:
        """Elementwise, for training."""

    @abstractmethod
    def with_slope(self, y: Array) -> tuple[Array, Array]:
        """Value and slope, elementwise, for solvers."""


@final
class Linear(Term):
    """The identity: a convex problem.

    Example:
        >>> Linear().value(torch.tensor([2.0]))
        tensor([2.])
    """

    def value(self, y: Tensor) -> Tensor:
        """See `Term`."""
        return y

    def with_slope(self, y: Array) -> tuple[Array, Array]:
        """See `Term`."""
        return y, np.ones_like(y)


@final
class Sine(Term):
    """The sine: a problem with many local minima.

    Example:
        >>> Sine().value(torch.tensor([0.0]))
        tensor([0.])
    """

    def value(self, y: Tensor) -> Tensor:
        """See `Term`."""
        return y.sin()

    def with_slope(self, y: Array) -> tuple[Array, Array]:
        """See `Term`."""
        return np.sin(y), np.cos(y)


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """A family of problems, with its instances.

    Attributes:
        q: diagonal of `Q`, `(n,)`.
        p: `(n,)`.
        a: `A`, `(m, n)`.
        g: `G`, `(k, n)`.
        h: `(k,)`.
        x: all instances, `(instances, m)`.
        term: what `p` multiplies.
    """

    q: Array
    p: Array
    a: Array
    g: Array
    h: Array
    x: Array
    term: Term

    @property
    def train(self) -> Array:
        """The instances that are trained on."""
        return self.x[: int(len(self.x) * (1 - 2 * HELD_OUT))]

    @property
    def test(self) -> Array:
        """The instances that are tested on."""
        return self.x[int(len(self.x) * (1 - 2 * HELD_OUT + HELD_OUT)) :]

    def objective(self, y: Tensor) -> Tensor:
        """`f`, `(*batch, n)` to `(*batch,)`."""
        return (0.5 * self._numbers[0].to(y) * y.square() + self._numbers[1].to(y) * self.term.value(y)).sum(dim=-1)

    def equality_gap(self, y: Tensor, x: Tensor) -> Tensor:
        """`|A y - x|`, `(*batch, m)`."""
        return (y @ self._numbers[2].to(y).mT - x).abs()

    def inequality_gap(self, y: Tensor) -> Tensor:
        """`max(G y - h, 0)`, `(*batch, k)`."""
        return (y @ self._numbers[3].to(y).mT - self._numbers[4].to(y)).clamp(min=0.0)

    @cached_property
    def _numbers(self) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(part) for part in (self.q, self.p, self.a, self.g, self.h))


def dc3_problem(term: Term) -> Problem:
    """DC3's instances, the very same ones: drawn in the order Q, p, A, x, G.

    Args:
        term: `Linear()` for the convex problem, `Sine()` for the other.

    Example:
        >>> problem = dc3_problem(Linear())
        >>> problem.train.shape, problem.test.shape
        ((8334, 50), (833, 50))
    """
    rng = np.random.RandomState(SEED)
    q, p = rng.random_sample(VARIABLES), rng.random_sample(VARIABLES)
    a = rng.normal(size=(EQUALITIES, VARIABLES))
    x = rng.uniform(-1.0, 1.0, size=(INSTANCES, EQUALITIES))
    g = rng.normal(size=(INEQUALITIES, VARIABLES))
    return Problem(q, p, a, g, np.abs(g @ np.linalg.pinv(a)).sum(axis=1), x, term)


def hardnet_problem() -> Problem:
    """HardNet's instances of the problem with sines: drawn in the order Q, p, G, A, x.

    Example:
        >>> bool((hardnet_problem().q == dc3_problem(Sine()).q).all())
        True
    """
    rng = np.random.RandomState(SEED)
    q, p = rng.random_sample(VARIABLES), rng.random_sample(VARIABLES)
    g = rng.normal(size=(INEQUALITIES, VARIABLES))
    a = rng.normal(size=(EQUALITIES, VARIABLES))
    x = rng.uniform(-1.0, 1.0, size=(INSTANCES, EQUALITIES))
    return Problem(q, p, a, g, np.abs(g @ np.linalg.pinv(a)).sum(axis=1), x, Sine())
