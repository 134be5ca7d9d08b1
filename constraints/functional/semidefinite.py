"""The cone of positive semidefinite matrices, and functions of the eigenvalues of a symmetric matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from constraints.errors import UnsupportedError

__all__ = ["project_semidefinite_cone", "squash_semidefinite_cone"]


def project_semidefinite_cone(value: Tensor) -> Tensor:
    r"""Nearest symmetric positive semidefinite matrix: :math:`V \max(\Lambda, 0) V^\top` of the symmetric part.

    Derivatives (two) by the Daleckii-Krein theorem: they hold at repeated eigenvalues too, and stay finite at 0.

    Args:
        value: `(*batch, n, n)`.

    Returns:
        `(*batch, n, n)`, symmetric.

    Source: Higham, "Computing a nearest symmetric positive semidefinite matrix", Linear Algebra and its Applications
        103, 1988, doi:10.1016/0024-3795(88)90223-6; derivatives: Higham, "Functions of matrices", SIAM 2008,
        doi:10.1137/1.9780898717778, theorem 3.11.

    Example:
        >>> project_semidefinite_cone(torch.tensor([[2.0, 0.0], [0.0, -1.0]]))
        tensor([[2., 0.],
                [0., 0.]])
    """
    return _of_eigenvalues(value, _POSITIVE_PART)


def squash_semidefinite_cone(value: Tensor) -> Tensor:
    r"""One to one, from the symmetric matrices onto the positive definite: :math:`\tfrac12 (X + (X^2 + 4 I)^{1/2})`.

    Args:
        value: `(*batch, n, n)`, of which the symmetric part `X` counts.

    Returns:
        `(*batch, n, n)`, symmetric.

    Example:
        >>> squash_semidefinite_cone(torch.zeros(2, 2))
        tensor([[1., 0.],
                [0., 1.]])
    """
    return _of_eigenvalues(value, _SMOOTHED)


class _Curve(NamedTuple):
    """A function of a number, with its first and second divided differences over all pairs and triples."""

    value: Callable[[Tensor], Tensor]  # (*batch, n) -> (*batch, n)
    first: Callable[[Tensor], Tensor]  # (*batch, n) -> (*batch, n, n)
    second: Callable[[Tensor], Tensor]  # (*batch, n) -> (*batch, n, n, n)


def _positive_part(eigenvalues: Tensor) -> Tensor:
    return eigenvalues.clamp(min=0.0)


def _positive_part_first(eigenvalues: Tensor) -> Tensor:
    a, b = eigenvalues[..., :, None], eigenvalues[..., None, :]
    # (a+ - b+) / (a - b), without a difference: (a+ + b+) / (|a| + |b|) in all four cases of the signs.
    sizes = a.abs() + b.abs()
    return (a.clamp(min=0.0) + b.clamp(min=0.0)) / torch.where(sizes > 0, sizes, 1.0)


def _positive_part_second(eigenvalues: Tensor) -> Tensor:
    a, b, c = _triples(eigenvalues)
    up = [x > 0 for x in (a, b, c)]
    # 0 where all signs agree; else the size of the odd one out over the product of its distances from the others.
    odd_a, odd_b, odd_c = ((x != y) & (x != z) for x, y, z in (up, (up[1], up[0], up[2]), (up[2], up[0], up[1])))
    odd = torch.where(odd_a, a, torch.where(odd_b, b, torch.where(odd_c, c, 0.0))).abs()
    first = torch.where(odd_a, a - b, torch.where(odd_b, b - a, c - a)).abs()
    other = torch.where(odd_a, a - c, torch.where(odd_b, b - c, c - b)).abs()
    distances = first * other
    return torch.where(distances > 0, odd / torch.where(distances > 0, distances, 1.0), 0.0)


def _root(eigenvalues: Tensor) -> Tensor:
    return (eigenvalues.square() + 4.0).sqrt()


def _smoothed(eigenvalues: Tensor) -> Tensor:
    size = eigenvalues.abs() + _root(eigenvalues)
    return torch.where(eigenvalues < 0, 2.0 / size, size / 2)


def _smoothed_first(eigenvalues: Tensor) -> Tensor:
    lifted, root = _smoothed(eigenvalues), _root(eigenvalues)
    return (lifted[..., :, None] + lifted[..., None, :]) / (root[..., :, None] + root[..., None, :])


def _smoothed_second(eigenvalues: Tensor) -> Tensor:
    a, b, c = _triples(eigenvalues)
    x, y, z = _triples(_root(eigenvalues))
    above = (x * y - a * b) + (y * z - b * c) + (x * z - a * c) + 4.0
    return above / (2.0 * (x + y) * (y + z) * (x + z))


def _triples(numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return numbers[..., :, None, None], numbers[..., None, :, None], numbers[..., None, None, :]


_POSITIVE_PART = _Curve(_positive_part, _positive_part_first, _positive_part_second)
_SMOOTHED = _Curve(_smoothed, _smoothed_first, _smoothed_second)


def _of_eigenvalues(value: Tensor, curve: _Curve) -> Tensor:
    """`V f(L) V'` of the symmetric part; NaN for samples that are not finite (LAPACK would fail for all)."""
    symmetric = (value + value.mT) / 2
    wide = symmetric.to(torch.promote_types(value.dtype, torch.float32))  # there is no half-precision eigh
    usable = wide.isfinite().all(dim=-1).all(dim=-1)[..., None, None]
    mapped: Tensor = _SpectralMap.apply(torch.where(usable, wide, 0.0), curve)  # type: ignore[no-untyped-call]
    return torch.where(usable, mapped, torch.nan).to(value.dtype)


def _rotated(vectors: Tensor, middle: Tensor) -> Tensor:
    """`V M V'`, symmetric to the last bit."""
    product = vectors @ middle @ vectors.mT
    symmetric: Tensor = (product + product.mT) / 2
    return symmetric


class _SpectralMap(torch.autograd.Function):
    """`f(X) = V f(L) V'` for symmetric `X`."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, curve: _Curve) -> Tensor:
        eigenvalues, vectors = torch.linalg.eigh(matrix)
        ctx.save_for_backward(matrix, eigenvalues, vectors)
        ctx.curve = curve
        return _rotated(vectors, torch.diag_embed(curve.value(eigenvalues)))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        matrix, eigenvalues, vectors = ctx.saved_tensors
        # `matrix` goes along only so that the derivative of the derivative has somewhere to go.
        grad = (grad + grad.mT) / 2
        return _Derivative.apply(matrix, grad, eigenvalues, vectors, ctx.curve), None  # type: ignore[no-untyped-call]


class _Derivative(torch.autograd.Function):
    """The derivative of `f` at `X` in direction `G`: `V (f[l_i, l_j] * (V' G V)) V'` (self-adjoint in `G`)."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, grad: Tensor, eigenvalues: Tensor, vectors: Tensor, curve: _Curve) -> Tensor:
        ctx.save_for_backward(matrix, grad, eigenvalues, vectors)
        ctx.curve = curve
        return _rotated(vectors, curve.first(eigenvalues) * (vectors.mT @ grad @ vectors))

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        matrix, grad, eigenvalues, vectors = ctx.saved_tensors
        shared = (matrix, (outer + outer.mT) / 2, eigenvalues, vectors, ctx.curve)
        to_matrix = _SecondDerivative.apply(grad, *shared)  # type: ignore[no-untyped-call]
        return to_matrix, _Derivative.apply(*shared), None, None, None  # type: ignore[no-untyped-call]


class _SecondDerivative(torch.autograd.Function):
    """The second derivative of `f` at `X` in directions `G` and `H`, symmetric in both.

    In the eigenvectors' frame it is `sum_k f[l_i, l_k, l_j] (G_ik H_kj + H_ik G_kj)`. (torch's `once_differentiable`
    would not do in its place: `autograd.grad` passes over its error node and returns a wrong third derivative.)
    """

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, matrix: Tensor, outer: Tensor, eigenvalues: Tensor, vectors: Tensor, curve: _Curve
    ) -> Tensor:
        grad, outer = vectors.mT @ grad @ vectors, vectors.mT @ outer @ vectors
        one_way = torch.einsum("...ikj,...ik,...kj->...ij", curve.second(eigenvalues), grad, outer)
        return _rotated(vectors, one_way + one_way.mT)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
        raise UnsupportedError(
            "`project_semidefinite_cone` and `squash_semidefinite_cone` have two derivatives, got a request for a third"
        )
