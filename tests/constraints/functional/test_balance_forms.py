"""Every form gives every group its mean, has the gradient that differences show, and keeps what it says it keeps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constraints import Additive, InfeasibleError, Multiplicative, NonFiniteError, ScaledAdditive, Softmax
from constraints.functional import balance_additive, balance_scaled_additive, balance_simplex, default_tolerance


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


FORMS = [Additive(), ScaledAdditive(), ScaledAdditive(low=0.0, high=3.0), Multiplicative(), Softmax()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", FORMS, ids=repr)
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_feasible_at_any_size_and_scale(form, dtype, members, seed, scale):
    values, mean = (scale * normal(4, 3, members, seed=seed)).to(dtype), (scale * normal(4, 3, seed=seed + 1)).to(dtype)
    if isinstance(form, Softmax):
        values = values / scale
    y = form(values, mean)
    assert y.dtype == dtype
    gap = (y.mean(dim=-1) - mean).abs()
    assert bool((gap <= default_tolerance(y, terms=members)).all())


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_gradients(form):
    values, mean = normal(2, 3, 4).requires_grad_(), (normal(2, 3, seed=1).abs() + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(form, (values, mean))
    assert torch.autograd.gradgradcheck(form, (values, mean))


def test_a_group_that_has_the_mean_stays():
    values = normal(5, 2, 4).clamp(-0.9, 0.9)
    mean = values.mean(dim=-1)
    for form in FORMS:
        if not isinstance(form, Softmax):
            torch.testing.assert_close(form(values, mean), values)


def test_scaled_additive_is_the_published_formula_on_its_range_and_stays_in_it():
    values, mean = normal(50, 3, 4).clamp(-1, 1), normal(50, 3, seed=1).clamp(-0.99, 0.99)
    given, wanted = values.mean(dim=-1, keepdim=True), mean.unsqueeze(-1)
    sign = torch.sign(given - wanted)
    published = values + (wanted - given) * (sign + values) / (sign + given)
    y = balance_scaled_additive(values, mean, torch.tensor(-1.0), torch.tensor(1.0))
    torch.testing.assert_close(y, published)
    assert float(y.abs().max()) <= 1.0 + 1e-12
    assert float(balance_additive(values, mean).abs().max()) > 1.0


def test_means_out_of_range_and_means_of_zero_are_met_all_the_same():
    outside = torch.tensor([[5.0, -7.0]], dtype=torch.float64)
    y = ScaledAdditive()(normal(1, 2, 4), outside)
    torch.testing.assert_close(y.mean(dim=-1), outside)
    cancelling = torch.tensor([[[1.0, -1.0], [0.0, 0.0]]], dtype=torch.float64)
    y = Multiplicative()(cancelling, torch.tensor([[3.0, 2.0]], dtype=torch.float64))
    torch.testing.assert_close(y, torch.tensor([[[4.0, 2.0], [2.0, 2.0]]], dtype=torch.float64))


def test_positive_forms_are_positive():
    values, mean = 5 * normal(9, 3, 4), normal(9, 3, seed=1).abs()
    assert bool((Softmax()(values, mean) >= 0).all())
    low = torch.tensor(0.0, dtype=torch.float64)
    y = balance_simplex(values, mean, low)
    assert bool((y >= 0).all())
    torch.testing.assert_close(y.mean(dim=-1), mean)
    assert bool((balance_simplex(values, torch.zeros_like(mean), low) == 0).all())


def test_the_range_makes_sense():
    with pytest.raises(InfeasibleError, match=r"low < high, got low=1.0, high=1.0"):
        ScaledAdditive(low=1.0, high=1.0)
    with pytest.raises(NonFiniteError, match="finite"):
        ScaledAdditive(low=0.0, high=float("inf"))


def test_a_form_keeps_its_precision():
    assert ScaledAdditive().half().low.dtype == torch.float64
