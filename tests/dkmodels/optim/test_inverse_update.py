"""Updates against the formulas as they are printed, and against the inverse of the direct update."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dkmodels.optim import BFGS, SelfScaledBFGS, SelfScaledBroyden
from dkmodels.optim.inverse_update import Measured, Weights, correct

UPDATES = [BFGS(), SelfScaledBFGS(), SelfScaledBroyden()]


def step_of(n, seed, dtype=torch.float64):
    """A positive definite matrix, a step, and a change of the gradient with curvature."""
    generator = torch.Generator().manual_seed(seed)
    root, other = torch.randn(2, n, n, generator=generator, dtype=dtype)
    inverse = root @ root.mT / n + 0.1 * torch.eye(n, dtype=dtype)
    s = torch.randn(n, generator=generator, dtype=dtype)
    return inverse, s, other @ (other.mT @ s) / n + 0.1 * s


def learn(inverse, s, y, weigh):
    hy, sy = inverse @ y, float(s @ y)
    yhy = float(y @ hy)
    b = float(s @ torch.linalg.solve(inverse, s)) / sy
    weights = weigh(Measured(b=b, h=yhy / sy, first=False, size=len(s)))
    correction = correct(s, hy, sy, yhy, weights)
    found = correction.add_to_(inverse.clone())
    g = torch.arange(len(s), dtype=s.dtype) - 1.0
    size = float(found.abs().max()) * len(s) ** 2
    atol = 100.0 * torch.finfo(s.dtype).eps * max(size, correction.scale * float(inverse.abs().max()) * len(s) ** 2)
    torch.testing.assert_close(correction.apply(inverse @ g, g), found @ g, rtol=0.0, atol=atol)
    return found, weights


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 1000), st.floats(0.1, 3.0), st.floats(-0.5, 3.0))
def test_is_the_inverse_of_the_direct_update(n, seed, tau, wish):
    inverse, s, y = step_of(n, seed)
    theta = 0.0

    def weigh(measured):
        nonlocal theta
        theta = max(wish, -0.9 / measured.a) if measured.a > 1e-9 else 0.0
        return Weights(tau, (1.0 - theta) / (1.0 + measured.a * theta))

    found, _ = learn(inverse, s, y, weigh)
    direct = torch.linalg.inv(inverse)
    bs, sy = direct @ s, s @ y
    sbs = s @ bs
    w = y / sy - bs / sbs
    expected = tau * (direct - torch.outer(bs, bs) / sbs + theta * sbs * torch.outer(w, w)) + torch.outer(y, y) / sy
    torch.testing.assert_close(torch.linalg.inv(found), expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("update", UPDATES, ids=lambda u: type(u).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 12), seed=st.integers(0, 1000))
def test_stays_positive_definite_and_keeps_the_secant_equation(update, dtype, n, seed):
    inverse, s, y = step_of(n, seed, dtype)
    found, weights = learn(inverse, s, y, update.weigh)
    unit = torch.finfo(dtype).eps
    size = float(found.abs().max())
    assert weights.tau > 0.0
    assert float((found - found.mT).abs().max()) <= 8.0 * unit * size
    torch.testing.assert_close(found @ y, s, rtol=0.0, atol=100.0 * n * unit * size * float(y.norm()))
    assert float(torch.linalg.eigvalsh(found.double()).min()) > 0.0


@given(st.floats(1e-3, 1e3), st.floats(0.0, 1e3), st.integers(2, 1000), st.booleans())
def test_broyden_is_as_printed(b, a, n, first):
    h = (1.0 + a) / b
    measured = Measured(b=b, h=h, first=first, size=n)
    a = b * h - 1.0
    if a < 1e-6:
        return
    c = math.sqrt(a / (1.0 + a))
    low = min(1.0, h * (1.0 - c))
    theta = max((low - 1.0) / a, min(1.0 / low, (1.0 - b) / b))
    sigma = 1.0 + a * theta
    least = min(1.0, 1.0 / b)
    scale = sigma ** (-1.0 / (n - 1))
    tau = least * min(scale, 1.0 / theta) if theta > 0.0 else min(least * scale, sigma)
    found = SelfScaledBroyden().weigh(measured)
    assert found.tau == pytest.approx(h / sigma if first else tau, rel=1e-6)
    assert found.phi == pytest.approx((1.0 - theta) / sigma, rel=1e-6, abs=1e-6)


def test_bfgs_as_printed_everywhere_else():
    inverse, s, y = step_of(6, 3)
    found, _ = learn(inverse, s, y, BFGS().weigh)
    rho = 1.0 / (s @ y)
    left = torch.eye(6, dtype=torch.float64) - rho * torch.outer(s, y)
    torch.testing.assert_close(found, left @ inverse @ left.mT + rho * torch.outer(s, s))
    grown, _ = learn(inverse, s, y, SelfScaledBFGS().weigh)
    b = float(s @ torch.linalg.solve(inverse, s) * rho)
    tau = min(1.0, 1.0 / b)
    torch.testing.assert_close(grown, left @ inverse @ left.mT / tau + rho * torch.outer(s, s))
