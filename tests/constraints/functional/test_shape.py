"""Limited rows, signed columns, sorted groups."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constraints import SpecificationError
from constraints.functional import dual_exponent, group_sort, limit_rows, sign_columns


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 300),
    st.sampled_from([1.0, 2.0, math.inf]),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([1e-3, 1.0, 1e6]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_rows_stay_within_their_limit_and_small_ones_stay_what_they_are(rows, n, p, most, scale, dtype):
    weight = scale * torch.randn(rows, n, dtype=dtype)
    columns = torch.rand(n) < 0.7
    limited = limit_rows(weight, p=p, columns=columns, most=most)
    norms = torch.linalg.vector_norm(torch.where(columns, limited, 0.0).double(), ord=p, dim=-1)
    assert (norms <= most).all()
    assert torch.equal(limited[:, ~columns], weight[:, ~columns])
    small = torch.linalg.vector_norm(torch.where(columns, weight, 0.0), ord=p, dim=-1) <= most
    torch.testing.assert_close(limited[small], weight[small], rtol=2 * n * torch.finfo(dtype).eps, atol=0.0)


def test_derivatives_of_limited_rows():
    weight = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    for p in (1.0, 2.0, math.inf):
        assert torch.autograd.gradcheck(lambda w, p=p: limit_rows(w, p=p), [weight])
    zero = torch.zeros(2, 3, requires_grad=True)
    limit_rows(zero, p=2.0).sum().backward()
    assert zero.grad.isfinite().all()


def test_signs():
    weight = torch.randn(5, 3)
    signed = sign_columns(weight, torch.tensor([1.0, 0.0, -1.0]))
    assert (signed[:, 0] >= 0).all() and (signed[:, 2] <= 0).all()
    assert torch.equal(signed[:, 1], weight[:, 1])
    assert torch.equal(signed.abs(), weight.abs())


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_sort_moves_no_number_by_more_than_the_most_moved(size):
    x, y = torch.randn(100, 12), torch.randn(100, 12)
    moved = (group_sort(x, size) - group_sort(y, size)).abs().amax(dim=-1)
    assert (moved <= (x - y).abs().amax(dim=-1) + 1e-6).all()
    assert torch.equal(group_sort(x, size), x.unflatten(-1, (-1, size)).sort(dim=-1).values.flatten(-2))


def test_other_norms_are_refused():
    with pytest.raises(SpecificationError, match="1, 2 or inf"):
        dual_exponent(3.0)
