"""Projections against independent solvers."""

import math
from unittest.mock import patch

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from constraints.functional import default_tolerance, project_affine, project_box_equality, project_simplex, projections
from constraints.functional.projections import _support_by_newton, _support_by_sorting


def nearest(value, build):
    """The nearest point by a general convex solver."""
    y = cp.Variable(len(value))
    cp.Problem(cp.Minimize(cp.sum_squares(y - value)), build(y)).solve(solver=cp.CLARABEL)
    return y.value


@pytest.mark.parametrize("seed", range(5))
def test_simplex_is_the_nearest_point(seed):
    rng = np.random.default_rng(seed)
    value, total = rng.normal(size=7) * 3, float(rng.uniform(0.1, 5))
    ours = project_simplex(torch.from_numpy(value), torch.tensor(total, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(ours, nearest(value, lambda y: [y >= 0, cp.sum(y) == total]), atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_box_equality_is_the_nearest_point(seed):
    rng = np.random.default_rng(seed)
    n = 6
    value, a = rng.normal(size=n) * 3, rng.normal(size=n)
    low, high = -rng.uniform(0, 2, n), rng.uniform(0, 2, n)
    low[0], high[1], a[2] = -math.inf, math.inf, 0.0
    inside = np.clip(rng.normal(size=n), np.maximum(low, -9), np.minimum(high, 9))
    target = float(a @ inside)
    ours = project_box_equality(
        *(torch.from_numpy(np.asarray(v, dtype=float)) for v in (value, low, high, a)),
        torch.tensor(target, dtype=torch.float64),
    ).numpy()
    finite = (
        [(i, b) for i, b in enumerate(low) if np.isfinite(b)],
        [(i, b) for i, b in enumerate(high) if np.isfinite(b)],
    )
    theirs = nearest(
        value,
        lambda y: [a @ y == target, *(y[i] >= b for i, b in finite[0]), *(y[i] <= b for i, b in finite[1])],
    )
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            *(st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=n, max_size=n) for _ in range(2)),
            st.lists(st.floats(0, 3), min_size=n, max_size=n),
            st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]), min_size=n, max_size=n).filter(any),
            st.floats(0, 1),
        )
    )
)
def test_box_equality_matches_root_finding(case):
    """Ties, zero coefficients, empty intervals and targets at the very edge of what is attainable.

    By Newton's method, and by the binary search that compiled graphs use.
    """
    value, low, width, a, share = (np.asarray(part, dtype=float) for part in case)
    high = low + width
    least, most = np.minimum(a * low, a * high).sum(), np.maximum(a * low, a * high).sum()
    target = float(np.clip(least + share * (most - least), least, most))

    def level(tau):
        return a @ np.clip(value - tau * a, low, high) - target

    for steps in (projections.NEWTON_STEPS, 0):
        with patch.object(projections, "NEWTON_STEPS", steps):
            ours = project_box_equality(
                *(torch.from_numpy(v) for v in (value, low, high, a)), torch.tensor(target, dtype=torch.float64)
            ).numpy()
        assert (ours >= low - 1e-12).all() and (ours <= high + 1e-12).all()
        assert abs(a @ ours - target) <= 1e-11 * (1 + np.abs(a) @ np.abs(ours))
        if level(-1e3) > 1e-9 and level(1e3) < -1e-9:
            tau = brentq(level, -1e3, 1e3, xtol=1e-14)
            np.testing.assert_allclose(ours, np.clip(value - tau * a, low, high), atol=1e-8)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_box_equality_by_newton_and_by_binary_search_agree(scale):
    """The search is what compiled graphs use; here with infinite bounds, coefficients of zero and of all sizes."""
    rng = np.random.default_rng(0)
    shape = (300, 5)
    value, a = 3.0 * rng.normal(size=shape), rng.normal(size=shape) * rng.choice([0.0, 0.1, 1.0, 10.0], size=shape)
    a[:, 0] = 1.0
    low, high = -rng.uniform(0, 2, shape), rng.uniform(0, 2, shape)
    target = (a * rng.uniform(low, high)).sum(axis=-1, keepdims=True)
    low[rng.random(shape) < 0.2], high[rng.random(shape) < 0.2] = -math.inf, math.inf
    numbers = [torch.from_numpy(v) for v in (scale * value, scale * low, scale * high, a, scale * target)]
    with patch.object(projections, "NEWTON_STEPS", 100):
        by_newton = torch.stack([project_box_equality(*sample) for sample in zip(*numbers, strict=True)])
    with patch.object(projections, "NEWTON_STEPS", 0):
        by_search = project_box_equality(*numbers)
    torch.testing.assert_close(by_search, by_newton, rtol=1e-10, atol=1e-12 * scale)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6])
def test_open_box_equalities_of_any_size_hold_to_rounding_in_float32(scale):
    """In a batch, where Newton's method leaves samples to the search; it once stepped by 1 whatever the size."""
    value = 2.0 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    low, high, a = torch.full((3,), -1.0), torch.full((3,), math.inf), torch.tensor([1.0, -2.0, 0.5])
    found = project_box_equality(scale * value, scale * low, high, a, torch.tensor(0.7 * scale)) / scale
    assert float(((found * a).sum(dim=-1) - 0.7).abs().max()) <= 1e-5
    exact = project_box_equality(value.double(), low.double(), high.double(), a.double(), torch.tensor(0.7).double())
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)


def test_affine_handles_any_rank_and_bad_scale():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(2, 6))
    matrix = torch.from_numpy(np.vstack([base, base[:1] * 2 - base[1:], 1e4 * base[:1]]))
    target = matrix @ torch.from_numpy(rng.normal(size=6))
    value = torch.from_numpy(rng.normal(size=(5, 6)))
    y = project_affine(value, matrix, torch.linalg.pinv(matrix), target)
    assert float(((y @ matrix.mT - target) / matrix.abs().amax(dim=1)).abs().max()) < 1e-13
    expected = np.stack(
        [
            nearest(v, lambda y: [base @ y == (base @ np.linalg.lstsq(matrix.numpy(), target.numpy(), rcond=None)[0])])
            for v in value.numpy()
        ]
    )
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-5)


def test_gradients_reach_the_sets_own_parameters():
    g = torch.Generator().manual_seed(3)
    v, a = (torch.randn(4, 5, generator=g, dtype=torch.float64).requires_grad_() for _ in range(2))
    b = torch.zeros(4, 1, dtype=torch.float64).requires_grad_()
    low, high = (torch.full((5,), s, dtype=torch.float64).requires_grad_() for s in (-0.7, 0.9))
    assert torch.autograd.gradcheck(lambda *p: project_box_equality(p[0], p[3], p[4], p[1], p[2]), (v, a, b, low, high))
    total = torch.tensor(1.3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(project_simplex, (v, total))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tolerance_follows_dtype_and_magnitude(dtype):
    small, large = default_tolerance(torch.ones(3, dtype=dtype)), default_tolerance(1e6 * torch.ones(3, dtype=dtype))
    assert float(large / small) == pytest.approx(1e6)
    assert float(small) == pytest.approx(64 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("kind", ["any", "ties", "one", "far below"])
def test_wide_simplices_by_newton_and_by_sorting_agree(kind, scale, dtype):
    """Wide ones are searched by Newton's method, but where the graph must not depend on data."""
    generator = torch.Generator().manual_seed(0)
    value = scale * torch.randn(40, 200, generator=generator, dtype=torch.float64).to(dtype)
    if kind == "ties":
        value = (value / scale).round() * scale
    elif kind == "one":
        value[:, 0] += 1e3 * scale
    elif kind == "far below":
        value -= 1e4 * scale
    total = scale * (0.1 + torch.rand(40, 1, generator=generator, dtype=torch.float64).to(dtype))
    point = project_simplex(value, total)
    assert float(point.min()) >= 0.0
    tolerance = 200 * torch.finfo(dtype).eps * scale * (1e4 if kind == "far below" else 1e3 if kind == "one" else 1.0)
    torch.testing.assert_close(point.sum(dim=-1, keepdim=True), total, rtol=1e-5 if dtype == torch.float32 else 1e-12,
                               atol=tolerance)  # fmt: skip
    centred = value - value.amax(dim=-1, keepdim=True)
    differ = _support_by_newton(centred, total) != _support_by_sorting(centred, total)
    # Only coordinates that rounding puts on either side of 0 may differ.
    assert float((point * differ).abs().max()) <= tolerance


def test_wide_simplices_have_two_derivatives():
    value = torch.randn(1, 80, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    total = torch.tensor([[1.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(project_simplex, (value, total))
    assert torch.autograd.gradgradcheck(project_simplex, (value, total))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("least", "most"), [(-1.0, math.inf), (-math.inf, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("newton", [True, False])
def test_a_sum_in_a_box_holds_from_far_and_at_every_scale(least, most, size, far, dtype, newton):
    """To a few roundings of the answer, however large the value: by up to 4e5 before, of a box open on one side."""
    value = (far * size * torch.randn(100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).to(
        dtype
    )
    low, high = (torch.full((3,), size * end, dtype=dtype) for end in (least, most))
    a, target = torch.tensor([1.0, -2.0, 0.5], dtype=dtype), torch.tensor(0.7 * size, dtype=dtype)
    with patch.object(projections, "NEWTON_STEPS", projections.NEWTON_STEPS if newton else 0):
        y = project_box_equality(value, low, high, a, target).double()
    off = (y @ a.double() - target.double()).abs() / (y.abs().amax(dim=-1) + size)
    assert float(off.max()) <= 4.0 * torch.finfo(dtype).eps
