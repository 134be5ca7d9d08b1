"""Closed forms against independent solvers, and their gradients to every parameter."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from constraints import UnsupportedError
from constraints import functional as F
from constraints.functional.ordered import _starts_by_formula, _starts_by_pooling


def normal(*shape, seed=0, scale=2.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def nearest(value, build):
    """The nearest point by a general convex solver."""
    y = cp.Variable(value.shape, symmetric=value.ndim == 2)
    cp.Problem(cp.Minimize(cp.sum_squares(y - value)), build(y)).solve(solver=cp.CLARABEL)
    return y.value


def number(x):
    return torch.tensor(x, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_nearest_points_by_a_general_solver(seed):
    rng = np.random.default_rng(seed)
    v, c, a = rng.normal(size=(3, 6)) * 2
    r = float(rng.uniform(0.1, 3))
    value, center, normal_ = (torch.from_numpy(x) for x in (v, c, a))
    cases = [
        (F.project_half_space(value, normal_, number(-1.0)), lambda y: [a @ y <= -1.0]),
        (F.project_l1_ball(value, center, number(r)), lambda y: [cp.norm1(y - c) <= r]),
        (F.project_l2_ball(value, center, number(r)), lambda y: [cp.norm2(y - c) <= r]),
        (F.project_linf_ball(value, center, number(r)), lambda y: [cp.norm_inf(y - c) <= r]),
        (F.project_second_order_cone(value), lambda y: [cp.norm2(y[:-1]) <= y[-1]]),
    ]
    for ours, build in cases:
        np.testing.assert_allclose(ours.numpy(), nearest(v, build), atol=2e-5)
    square = rng.normal(size=(4, 4))
    ours = F.project_semidefinite_cone(torch.from_numpy(square))
    np.testing.assert_allclose(ours.numpy(), nearest(square, lambda y: [y >> 0]), atol=2e-5)


numbers = st.floats(-1e6, 1e6, allow_subnormal=False) | st.sampled_from([0.0, 1.0, -1.0, 1e-6])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(numbers, min_size=9, max_size=9), min_size=1, max_size=4), st.integers(1, 9))
def test_isotonic_regression_is_scipys(rows, n):
    """Ties, runs, mixed scales; both ways to find the blocks; float32 as well as its numbers allow."""
    value = np.asarray(rows)[:, :n]
    theirs = np.stack([isotonic_regression(row).x for row in value])
    size = max(1.0, np.abs(value).max())
    ours = F.project_ordered_cone(torch.from_numpy(value))
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-13 * size)
    low = F.project_ordered_cone(torch.from_numpy(value).float())
    np.testing.assert_allclose(low.numpy(), theirs, atol=1e-6 * size)
    for starts in (_starts_by_formula, _starts_by_pooling):
        blocks = starts(torch.from_numpy(value)).long().cumsum(dim=-1) - 1
        means = F.ordered._block_means(torch.from_numpy(value), blocks)
        np.testing.assert_allclose(means.numpy(), theirs, atol=1e-12 * size)


def test_isotonic_regression_of_long_and_adverse_sequences():
    ramp = torch.arange(2000.0, 0.0, -1.0)
    torch.testing.assert_close(F.project_ordered_cone(ramp), torch.full((2000,), 1000.5))
    # One violator a round at the start: pooling grows backwards.
    slow = torch.cat([torch.arange(300.0), torch.full((1,), -1e5)])
    for value in (slow, normal(4, 3000).float() + 1e3, 1e6 + normal(3000)):
        rows = value.reshape(-1, value.shape[-1])
        theirs = np.stack([isotonic_regression(row.double().numpy()).x for row in rows])
        tolerance = float(F.default_tolerance(rows).max())
        np.testing.assert_allclose(F.project_ordered_cone(rows).numpy(), theirs, rtol=0, atol=tolerance)


def test_gradients_reach_every_parameter():
    """Twice differentiable in the value, the centre, the radius, the normal, the offset, the ends."""
    v, c, a = normal(4, 5), normal(5, seed=1), normal(5, seed=2)
    r, b = normal(4, 1, seed=3).abs() + 0.2, normal(4, 1, seed=4)
    low, high = number(-0.8), number(0.9)
    cases = [
        (F.project_half_space, (v, a, b)),
        (F.project_half_space, (v, normal(4, 5, seed=5), number(0.3))),
        (F.squash_half_space, (v, a, b)),
        *((f, (v, c, r)) for f in (F.project_l1_ball, F.project_l2_ball, F.project_linf_ball)),
        *((f, (v, c, r)) for f in (F.squash_l1_ball, F.squash_l2_ball, F.squash_linf_ball)),
        (F.squash_box, (v, number([-1.0, -3.0, 0.0, 1.0, 2.0]), number(4.0))),
        (F.squash_simplex, (v, r)),
        (F.squash_ordered_cone, (v, low, high)),
        (lambda x, e: F.squash_ordered_cone(x, e), (v, low)),
        (lambda x, e: F.squash_ordered_cone(x, None, e), (v, high)),
        (F.project_ray, (c, v, v.abs().amax(dim=-1))),
        (F.squash_ray, (c, v, v.abs().amax(dim=-1))),
        (F.gauge_half_space, (number(0.1) * v, v, a, b.abs() + 20.0)),
        *(
            (f, (c + 0.1 * normal(4, 5, seed=6), v, c, r + 2.0))
            for f in (F.gauge_l1_ball, F.gauge_l2_ball, F.gauge_linf_ball)
        ),
        (F.gauge_box, (number([0.0] * 5), v, number(-0.8), number([0.9, 1.0, 2.0, 0.5, 3.0]))),
        (F.gauge_second_order_cone, (number([0.1, 0.2, 0.0, -0.1, 1.0]), v)),
    ]
    for function, tensors in cases:
        inputs = [t.clone().requires_grad_() for t in tensors]
        assert torch.autograd.gradcheck(function, inputs), function
        assert torch.autograd.gradgradcheck(function, inputs), function


def test_gradients_reach_quadratics_and_matrix_inequalities():
    root, skew = normal(3, 3, seed=1), normal(4, 4, 4, seed=2)

    def quadratic(p, d, m, q, r):
        return F.gauge_quadratic(p, d, m @ m.mT, q, r)

    def inequality(p, d, f):
        f = f + f.mT
        return F.gauge_linear_matrix_inequality(p, d, torch.cat([f[:1] + 9.0 * torch.eye(4), 0.2 * f[1:]]))

    p, d = 0.1 * normal(3, seed=3), normal(5, 3, seed=4)
    for function, rest in ((quadratic, (root, normal(3, seed=5), number(-4.0))), (inequality, (skew,))):
        inputs = [t.clone().requires_grad_() for t in (p, d, *rest)]
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def turned(eigenvalues, seed=0):
    vectors = torch.linalg.qr(normal(len(eigenvalues), len(eigenvalues), seed=seed)).Q
    return vectors @ torch.diag(number(eigenvalues)) @ vectors.mT


@pytest.mark.parametrize(
    "eigenvalues", [[2.0, 2.0, -1.0, -1.0], [3.0, 3.0, 3.0, 3.0], [-1.0, -1.0, 2.0, 5.0], [1.0, 1.0 + 1e-13, -2.0, 1.0]]
)
@pytest.mark.parametrize("function", [F.project_semidefinite_cone, F.squash_semidefinite_cone])
def test_matrix_functions_are_smooth_at_repeated_eigenvalues(function, eigenvalues):
    matrix = turned(eigenvalues).requires_grad_()
    assert torch.autograd.gradcheck(function, (matrix,))
    assert torch.autograd.gradgradcheck(function, (matrix,))


def test_the_third_derivative_of_a_matrix_function_is_refused_not_wrong():
    matrix = turned([1.0, -1.0, 2.0]).requires_grad_()
    once = torch.autograd.grad(F.project_semidefinite_cone(matrix).square().sum(), matrix, create_graph=True)[0]
    twice = torch.autograd.grad(once.square().sum(), matrix, create_graph=True)[0]
    with pytest.raises(UnsupportedError, match="two derivatives"):
        torch.autograd.grad(twice.square().sum(), matrix)


def test_second_derivatives_are_finite_where_functions_have_kinks():
    """At 0, at the centre, at an apex, with ties: whatever is returned, no NaN and no infinity."""
    zero, one = torch.zeros(2, 3, dtype=torch.float64), number(1.0)
    apex = torch.eye(3, dtype=torch.float64)
    matrices = torch.stack([torch.eye(2), torch.eye(2), -torch.eye(2), torch.zeros(2, 2)]).double()
    origin = number([0.0, 0.0, 0.5])
    cases = [
        (lambda v: F.safe_norm(v), zero),
        (lambda v: F.project_half_space(v, torch.ones(3).double(), number(0.0)), zero),
        *((lambda v, f=f: f(v, number(0.0), one), zero) for f in (F.project_l1_ball, F.project_l2_ball)),
        *((lambda v, f=f: f(v, number(0.0), one), zero + 1.0) for f in (F.project_l1_ball, F.project_l2_ball)),
        (lambda v: F.project_ordered_cone(v), zero),
        (lambda v: F.project_second_order_cone(v), zero),
        (lambda v: F.project_second_order_cone(v), -apex),
        (lambda v: F.squash_second_order_cone(v), zero),
        (lambda v: F.project_semidefinite_cone(v), torch.zeros(3, 3).double()),
        (lambda v: F.project_semidefinite_cone(v), torch.diag(number([1.0, 0.0, 0.0]))),
        (lambda v: F.gauge_l1_ball(0.1 * one, v, number(0.0), one), zero),
        (lambda v: F.gauge_l2_ball(0.1 * one.expand(3), v, number(0.0), one), zero),
        (lambda v: F.gauge_quadratic(origin, v, apex, zero[0], -one), zero),
        (lambda v: F.gauge_second_order_cone(origin, v), zero),
        (lambda v: F.gauge_linear_matrix_inequality(origin, v, matrices), zero),
    ]
    for function, at in cases:
        v = at.clone().requires_grad_()
        once = torch.autograd.grad((function(v) * number(1.7)).sum() + function(v).square().sum(), v, create_graph=True)
        assert bool(once[0].isfinite().all()), function
        twice = torch.autograd.grad(once[0].sum(), v, allow_unused=True)[0]
        assert twice is None or bool(twice.isfinite().all()), function


def test_gauges_find_the_boundary_by_bisection():
    """An independent way to the same number: walk along the ray and halve."""
    g = np.random.default_rng(0)
    p, d = torch.from_numpy(g.normal(size=(40, 4)) * 0.1), torch.from_numpy(g.normal(size=(40, 4)))
    m = torch.from_numpy(g.normal(size=(5, 3, 3)))
    m = m + m.mT
    m[0] += 6.0 * torch.eye(3)
    c, r = number([0.1, 0.0, -0.1, 0.2]), number(1.3)
    cone = p + number([0.0, 0.0, 0.0, 2.0])
    cases = [
        (p, F.gauge_l1_ball(p, d, c, r), lambda y: (y - c).abs().sum(-1) - r),
        (p, F.gauge_l2_ball(p, d, c, r), lambda y: (y - c).norm(dim=-1) - r),
        (p, F.gauge_linf_ball(p, d, c, r), lambda y: (y - c).abs().amax(-1) - r),
        (cone, F.gauge_second_order_cone(cone, d), lambda y: y[..., :3].norm(dim=-1) - y[..., 3]),
        (
            p,
            F.gauge_linear_matrix_inequality(p, d, m),
            lambda y: -torch.linalg.eigvalsh(m[0] + torch.einsum("bi,ijk->bjk", y, m[1:]))[:, 0],
        ),
    ]
    for origin, gauge, outside in cases:
        near, far = torch.zeros(40).double(), torch.full((40,), 1e4).double()
        never = outside(origin + far[:, None] * d) <= 0
        for _ in range(80):
            middle = (near + far) / 2
            out = outside(origin + middle[:, None] * d) > 0
            near, far = torch.where(out, near, middle), torch.where(out, middle, far)
        torch.testing.assert_close(gauge, torch.where(never, 0.0, 1 / far), rtol=1e-8, atol=1e-9)


def test_the_smooth_map_into_the_second_order_cone_is_that_of_its_eigenvalues():
    """By the spectral decomposition: `t +- |x|` are smoothed one by one."""
    value = 3.0 * torch.randn(400, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, t = value[:, :-1], value[:, -1:]
    length = x.norm(dim=-1, keepdim=True)
    low, high = ((s + (s * s + 4.0).sqrt()) / 2.0 for s in (t - length, t + length))
    expected = torch.cat([(high - low) / 2.0 * x / length, (high + low) / 2.0], dim=-1)
    torch.testing.assert_close(F.squash_second_order_cone(value), expected)
