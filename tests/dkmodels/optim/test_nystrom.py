"""The sketch and conjugate gradients against dense linear algebra."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constraints import NonFiniteError, SpecificationError
from dkmodels.optim.nystrom import LowRank, approximate, solve
from tests.dkmodels.optim.problems import quadratic


def gaussian(n, rank, dtype=torch.float64):
    return torch.randn(n, rank, generator=torch.Generator().manual_seed(1), dtype=dtype)


both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@both
def test_a_matrix_of_low_rank_is_found_whole(dtype):
    root = gaussian(12, 4, dtype)
    matrix = root @ root.mT
    found = approximate(lambda v: matrix @ v, gaussian(12, 6, dtype))
    unit = torch.finfo(dtype).eps
    torch.testing.assert_close(
        found.vectors @ torch.diag(found.values) @ found.vectors.mT,
        matrix,
        rtol=0.0,
        atol=1e3 * unit * float(matrix.norm()),
    )
    torch.testing.assert_close(found.vectors.mT @ found.vectors, torch.eye(6, dtype=dtype), rtol=0.0, atol=100 * unit)


@given(st.integers(0, 500))
@settings(max_examples=20, deadline=None)
def test_it_never_exceeds_a_positive_matrix_and_takes_an_indefinite_one(seed):
    matrix, _ = quadratic(10, seed)
    found = approximate(lambda v: matrix @ v, gaussian(10, 4))
    rest = matrix - found.vectors @ torch.diag(found.values) @ found.vectors.mT
    assert float(torch.linalg.eigvalsh(rest).min()) > -1e-9
    shifted = matrix - 30.0 * torch.eye(10, dtype=torch.float64)
    found = approximate(lambda v: shifted @ v, gaussian(10, 4))
    assert bool((found.values >= 0.0).all())
    assert bool(found.vectors.isfinite().all())


def test_the_preconditioner_is_the_dense_formula():
    matrix, _ = quadratic(8)
    low, mu = approximate(lambda v: matrix @ v, gaussian(8, 3)), 0.1
    u, values = low
    inverse = (values[-1] + mu) * u @ torch.diag(1.0 / (values + mu)) @ u.mT
    inverse = inverse + torch.eye(8, dtype=torch.float64) - u @ u.mT
    residual = gaussian(8, 1)[:, 0]
    torch.testing.assert_close(low.precondition(residual, mu), inverse @ residual)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 500), warm=st.booleans())
@both
def test_preconditioned_gradients_solve_as_a_dense_solver(dtype, seed, warm):
    matrix, mu = quadratic(15, seed, condition=1e3)[0].to(dtype), 1e-2
    low = approximate(lambda v: matrix @ v, gaussian(15, 6, dtype))
    right = gaussian(15, 2, dtype)[:, 1]
    tolerance = 1e3 * torch.finfo(dtype).eps
    found = solve(
        lambda v: matrix @ v + mu * v,
        right,
        lambda r: low.precondition(r, mu),
        start=right if warm else None,
        tolerance=tolerance,
        max_products=200,
    )
    damped = matrix + mu * torch.eye(15, dtype=dtype)
    expected = torch.linalg.solve(damped.double(), right.double()).to(dtype)
    assert found.convex
    assert found.residual <= tolerance
    torch.testing.assert_close(found.point, expected, rtol=0.0, atol=20.0 * tolerance * float(right.norm()))


def test_the_sketch_saves_products():
    matrix, mu = torch.diag(torch.cat([torch.logspace(2, 6, 10), torch.ones(90)]).double()), 1e-3
    right = torch.ones(100, dtype=torch.float64)

    def products(precondition):
        damped = matrix.diagonal() + mu
        return solve(lambda v: damped * v, right, precondition, tolerance=1e-10, max_products=500).products

    low = approximate(lambda v: matrix.diagonal() * v, gaussian(100, 20))
    assert products(lambda r: low.precondition(r, mu)) < 0.7 * products(lambda r: r)


def test_negative_curvature_ends_it():
    diagonal = torch.tensor([1.0, -1.0])
    found = solve(lambda v: diagonal * v, torch.tensor([0.1, 1.0]), lambda r: r, tolerance=1e-6, max_products=10)
    assert not found.convex
    assert found.products == 1


def test_refuses():
    with pytest.raises(SpecificationError, match="at most 3 test vectors, got 4"):
        approximate(lambda v: v, torch.ones(3, 4))
    with pytest.raises(NonFiniteError, match="finite products"):
        approximate(lambda v: v * math.nan, torch.ones(3, 1))
    assert LowRank(torch.eye(2), torch.ones(2)).values.tolist() == [1.0, 1.0]
