"""The line search against its conditions, and against scipy's."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from constraints import NonFiniteError, SpecificationError
from dkmodels.optim.line_search import Trial, search_line

DECREASE, CURVATURE = 1e-4, 0.9


def along(f, slope, dtype=torch.float64):
    return lambda t: (f(t), slope(t), torch.tensor([slope(t)], dtype=dtype))


def obeys(phi, found, decrease=DECREASE, curvature=CURVATURE):
    value, slope, gradient = phi(0.0)
    reached, there, _ = phi(found.step)
    noise = 4.0 * torch.finfo(gradient.dtype).eps * abs(value)
    return reached <= value + decrease * found.step * slope + noise and abs(there) <= curvature * abs(slope)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=6),
    st.floats(-6.0, 3.0),
    st.sampled_from([(1e-4, 0.9), (1e-3, 0.1), (0.1, 0.4)]),
)
def test_wolfe_holds_on_random_functions_bounded_below(waves, log_step, constants):
    decrease, curvature = constants

    def f(t):
        return 0.05 * t * t + sum(a * math.sin((k + 1) * t + a) for k, a in enumerate(waves))

    def slope(t):
        return 0.1 * t + sum(a * (k + 1) * math.cos((k + 1) * t + a) for k, a in enumerate(waves))

    sign = -math.copysign(1.0, slope(0.0))
    phi = along(lambda t: f(sign * t), lambda t: sign * slope(sign * t))
    if abs(slope(0.0)) < 1e-6:
        return
    found = search_line(
        phi, Trial(0.0, *phi(0.0)), step=10.0**log_step, decrease=decrease, curvature=curvature, max_evaluations=60
    )
    assert found.satisfied
    assert found.step > 0.0
    assert obeys(phi, found, decrease, curvature)
    assert found.value == phi(found.step)[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_finds_a_step_where_scipy_does(seed):
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(4, 4))
    point, direction = generator.normal(size=4), generator.normal(size=4)

    def f(x):
        return float(np.log1p(np.sum((root @ x) ** 2)) + 0.1 * np.sum(np.cos(x)))

    def gradient(x):
        r = root @ x
        return 2.0 * root.T @ r / (1.0 + r @ r) - 0.1 * np.sin(x)

    direction *= -math.copysign(1.0, gradient(point) @ direction)
    asked = 0

    def phi(t):
        nonlocal asked
        asked += 1
        g = gradient(point + t * direction)
        return f(point + t * direction), float(g @ direction), torch.from_numpy(g)

    peer = optimize.line_search(f, gradient, point, direction, c1=DECREASE, c2=CURVATURE)
    start = Trial(0.0, *phi(0.0))
    found = search_line(phi, start)
    assert found.evaluations == asked - 1
    if peer[0] is not None:
        assert found.satisfied
        assert obeys(phi, found)
        assert found.evaluations <= peer[1] + 8


def test_a_wall_of_nans_shrinks_the_step():
    phi = along(lambda t: (t - 0.01) ** 2 if t < 0.02 else math.nan, lambda t: 2.0 * (t - 0.01))
    found = search_line(phi, Trial(0.0, *phi(0.0)), step=100.0)
    assert found.satisfied
    assert 0.0 < found.step < 0.02


def test_minus_infinity_is_no_success():
    phi = along(lambda t: -t if t < 1.0 else -math.inf, lambda t: -1.0 if t < 1.0 else math.nan)
    found = search_line(phi, Trial(0.0, *phi(0.0)), step=2.0)
    assert not found.satisfied
    assert 0.0 < found.step < 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_a_flat_end_slopes_decide(dtype):
    # The fall, 1e-20, drowns in the value; the slope still knows where the minimum is.
    phi = along(lambda t: 1.0 + torch.finfo(dtype).eps * math.sin(1e9 * t), lambda t: 1e-20 * (t - 3.0), dtype)
    found = search_line(phi, Trial(0.0, *phi(0.0)), curvature=0.2)
    assert found.satisfied
    assert found.step == pytest.approx(3.0, abs=0.7)


def test_says_when_it_fails():
    endless = along(lambda t: -t, lambda t: -1.0)
    found = search_line(endless, Trial(0.0, *endless(0.0)), max_evaluations=5)
    assert not found.satisfied
    assert found.evaluations == 5
    assert found.value == -found.step < 0.0
    liar = along(lambda t: t, lambda t: -1.0)  # a slope of the wrong sign: nothing falls
    found = search_line(liar, Trial(0.0, *liar(0.0)))
    assert not found.satisfied
    assert found.step == 0.0
    assert found.value == 0.0


def test_refuses():
    parabola = along(lambda t: (t - 1.0) ** 2, lambda t: 2.0 * (t - 1.0))
    start = Trial(0.0, *parabola(0.0))
    with pytest.raises(SpecificationError, match="slope < 0, got 2"):
        search_line(parabola, Trial(2.0, *parabola(2.0)))
    with pytest.raises(NonFiniteError, match="finite start"):
        search_line(parabola, start._replace(value=math.nan))
    with pytest.raises(SpecificationError, match="decrease < curvature"):
        search_line(parabola, start, decrease=0.95)
    with pytest.raises(SpecificationError, match="max_evaluations >= 1"):
        search_line(parabola, start, max_evaluations=0)
