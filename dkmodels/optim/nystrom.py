"""Conjugate gradients, preconditioned by a randomised low-rank approximation of the matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor

from constraints.errors import NonFiniteError, SpecificationError

__all__ = ["LowRank", "Product", "Solution", "approximate", "solve"]

Product = Callable[[Tensor], Tensor]


@final
class LowRank(NamedTuple):
    r"""A symmetric positive semidefinite matrix :math:`U \Lambda U^T`.

    Attributes:
        vectors: orthonormal columns `U`, `(n, rank)`.
        values: eigenvalues, from the largest, >= 0, `(rank,)`.
    """

    vectors: Tensor
    values: Tensor

    def precondition(self, residual: Tensor, damping: float) -> Tensor:
        r"""An approximate solution `z` of :math:`(H + \mu) z = r`, scaled by :math:`\lambda_{rank} + \mu`.

        .. math:: z = (\lambda_{rank} + \mu) U (\Lambda + \mu)^{-1} U^T r + (r - U U^T r)

        Args:
            residual: `r`, `(n,)`.
            damping: :math:`\mu`, > 0.

        Source: Frangella, Tropp and Udell, "Randomized Nyström preconditioning", SIAM Journal on Matrix Analysis and
        Applications 44, 2023, equation 1.3, doi:10.1137/21M1466244.

        Example:
            >>> low = LowRank(torch.eye(3)[:, :1], torch.tensor([3.0]))
            >>> low.precondition(torch.ones(3), damping=1.0)  # all of it is in U's span or its rest
            tensor([1., 1., 1.])
        """
        inside = self.vectors.mT @ residual
        scale = (self.values[-1] + damping) / (self.values + damping) - 1.0
        return residual + self.vectors @ (scale * inside)


def approximate(product: Product, test: Tensor) -> LowRank:
    r"""A randomised Nyström approximation of a symmetric matrix, seen only by its products.

    .. math:: H \approx (H Q)(Q^T H Q)^{-1}(H Q)^T

    A matrix that is not positive semidefinite on the test vectors is shifted until it is, and eigenvalues below 0
    count as 0.

    Args:
        product: from `(n,)` to the matrix's product with it.
        test: random vectors `Q`, `(n, rank)`, with rank <= n.

    Raises:
        SpecificationError: more test vectors than there are dimensions.
        NonFiniteError: a product that is not finite.

    Source: Tropp, Yurtsever, Udell and Cevher, "Fixed-rank approximation of a positive-semidefinite matrix from
    streaming data", 2017, algorithm 3, arXiv:1706.05736; shifted as in Frangella, Tropp and Udell, 2023, algorithm 2.1,
    doi:10.1137/21M1466244.

    Example:
        >>> diagonal = torch.tensor([5.0, 2.0, 0.0])
        >>> found = approximate(lambda v: diagonal * v, torch.eye(3)[:, :2])
        >>> [round(value, 3) for value in found.values.tolist()]
        [5.0, 2.0]
    """
    if test.shape[1] > test.shape[0]:
        raise SpecificationError(f"`approximate` needs at most {test.shape[0]} test vectors, got {test.shape[1]}")
    basis = torch.linalg.qr(test)[0]
    sketch = torch.stack([product(column) for column in basis.mT], dim=1)
    if not bool(sketch.isfinite().all()):
        raise NonFiniteError("`approximate` needs finite products with the matrix, got some that are not")
    core = basis.mT @ sketch
    lowest = float(torch.linalg.eigvalsh(0.5 * (core + core.mT)).min())
    shift = torch.finfo(test.dtype).eps * float(sketch.norm()) * test.shape[0] ** 0.5
    shift = max(2.0 * max(-lowest, 0.0) + shift, torch.finfo(test.dtype).tiny ** 0.5)
    sketch = sketch + shift * basis
    core = basis.mT @ sketch
    factor = torch.linalg.cholesky(0.5 * (core + core.mT))
    half = torch.linalg.solve_triangular(factor, sketch.mT, upper=False).mT
    vectors, singular, _ = torch.linalg.svd(half, full_matrices=False)
    return LowRank(vectors, (singular.square() - shift).clamp(min=0.0))


@final
class Solution(NamedTuple):
    """Where conjugate gradients ended.

    Attributes:
        point: `(n,)`.
        products: how many products with the matrix it took.
        residual: how far from a solution, relative to the right side.
        convex: whether every direction had positive curvature.
    """

    point: Tensor
    products: int
    residual: float
    convex: bool


def solve(
    product: Product,
    right: Tensor,
    precondition: Product,
    *,
    start: Tensor | None = None,
    tolerance: float,
    max_products: int,
) -> Solution:
    """Conjugate gradients; they end early at a direction without positive curvature.

    Args:
        product: with a symmetric matrix, `(n,)` to `(n,)`.
        right: the right side, `(n,)`.
        precondition: an approximate inverse, positive definite.
        start: where to begin; 0 by default.
        tolerance: of the residual, relative to the right side.
        max_products: at most so many.

    Source: Nocedal and Wright, "Numerical Optimization", 2006, algorithms 5.3 and 7.1,
    doi:10.1007/978-0-387-40065-5.

    Example:
        >>> matrix, right = torch.tensor([[2.0, 1.0], [1.0, 3.0]]), torch.tensor([3.0, 4.0])
        >>> found = solve(lambda v: matrix @ v, right, lambda v: v, tolerance=1e-6, max_products=5)
        >>> torch.allclose(found.point, torch.ones(2))
        True
    """
    size = float(right.norm())
    point = torch.zeros_like(right) if start is None else start.clone()
    residual = right.clone() if start is None else right - product(point)
    products, convex = int(start is not None), True
    shaped = precondition(residual)
    direction, energy = shaped.clone(), float(residual @ shaped)
    while float(residual.norm()) > tolerance * size and products < max_products:
        image = product(direction)
        products += 1
        bend = float(direction @ image)
        if not bend > 0.0:
            convex = False
            break
        point.add_(direction, alpha=energy / bend)
        residual.sub_(image, alpha=energy / bend)
        shaped = precondition(residual)
        before, energy = energy, float(residual @ shaped)
        direction.mul_(energy / before).add_(shaped)
    return Solution(point, products, float(residual.norm()) / size if size else 0.0, convex)
