"""Steps of ETDRK4: exact where the equation is linear, of order 4 where it is not, also where it is stiff."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from benchmarks.fields.spectral import History, evolve, series


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e6, 0.0), st.floats(-1e3, 1e3), st.floats(1e-4, 1.0))
def test_linear_equations_are_solved_exactly(rate, turn, end):
    linear = np.array([rate + 0j, 1j * turn])
    found = evolve(linear, np.zeros_like, np.ones(2, dtype=complex), np.linspace(0.0, end, 4))
    rounding = 1e-10 * max(1.0, abs(turn) * end / 100.0)  # of a phase of so many radians, over many steps
    np.testing.assert_allclose(found.states[-1], np.exp(linear * end), rtol=rounding, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e6, -1e-9), st.floats(0.1, 5.0))
def test_a_constant_source_is_exact(rate, source):
    found = evolve(np.array([rate]), lambda c: np.full_like(c, source), np.zeros(1), np.array([0.0, 0.5, 1.0]))
    assert found.states[-1, 0] == pytest.approx(source * math.expm1(rate) / rate, rel=1e-9)


@pytest.mark.parametrize("stiff", [-1.0, -50.0 + 0j, 30j], ids=str)
def test_of_order_4(stiff):
    linear = np.array([stiff, 0.5j if isinstance(stiff, complex) else -0.5])

    def nonlinear(c):
        return np.array([c[1] ** 2, -c[0] * c[1]])

    start = np.array([1.0, 0.8]).astype(linear.dtype)
    exact = solve_ivp(lambda t, c: linear * c + nonlinear(c), (0, 1), start, "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    errors = [
        np.abs(evolve(linear, nonlinear, start, np.linspace(0, 1, n + 1)).states[-1] - exact).max() for n in (40, 80)
    ]
    assert errors[1] < 1e-6 and errors[0] / errors[1] > 12.0


def test_rates_are_those_of_the_equation():
    times = np.array([0.0, 0.1, 0.3])
    found = evolve(np.array([-2.0]), np.sin, np.array([1.0]), times)
    np.testing.assert_allclose(found.rates, -2.0 * found.states + np.sin(found.states))
    assert found.states.shape == found.rates.shape == (3, 1)


def test_histories_are_exact_for_cubics_and_pass_their_nodes():
    times = np.array([0.0, 0.5, 2.0])
    cubic = History(times, (times**3 - times)[:, None], (3 * times**2 - 1)[:, None])
    t = np.linspace(0.0, 2.0, 17)
    np.testing.assert_allclose(cubic.at(t)[:, 0], t**3 - t, atol=1e-14)
    assert cubic.at(t, 0).shape == (17, 0)


def test_series_are_sums_whatever_is_left_out():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(5, 40)) * 10.0 ** -np.arange(40) + 1j * rng.normal(size=(5, 40)) * 10.0 ** -np.arange(40)
    history = History(np.linspace(0.0, 1.0, 5), states, np.zeros_like(states))
    x, t = rng.uniform(-1, 1, 600), rng.uniform(0, 1, 600)
    whole = (history.at(t) * np.exp(1j * math.pi * x[:, None] * np.arange(40))).real.sum(axis=1)
    np.testing.assert_allclose(series(history, x, t), whole, atol=1e-13)
