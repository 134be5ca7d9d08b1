"""The rod: its temperature solves the equation, its heat is kept, its conductivity can be found from the sensors."""

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit
from sympy import Rational, cos, exp, pi, sympify

from benchmarks.fields.heat_inverse import (
    CONDUCTIVITY,
    DOMAIN,
    FLUX,
    NOISE,
    K,
    T,
    U,
    X,
    balance,
    bounds,
    content,
    equation,
    grid,
    law,
    least_deviation,
    measured,
    sensors,
    solution,
    start,
    temperature_and_flux,
    walls,
)
from tests.benchmarks.fields.laws import held, inside, is_hard, residual, tell, violation

EXACT = (
    Rational(1, 2)
    + Rational(3, 8) * exp(-K * pi**2 * T) * cos(pi * X)
    + Rational(1, 8) * exp(-9 * K * pi**2 * T) * cos(3 * pi * X)
)


def test_the_solution_solves_the_equations():
    assert residual(equation(), {U: EXACT}) == [0]
    flux = -K * EXACT.diff(X)
    assert residual(balance(), {U: EXACT, FLUX: flux}) == [0] and residual(law(), {U: EXACT, FLUX: flux}) == [0]
    p = inside(DOMAIN)
    for at, truth in zip(p, temperature_and_flux(p), strict=True):
        put = {X: float(at[0]), T: float(at[1]), K: CONDUCTIVITY}
        assert float(EXACT.subs(put)) == pytest.approx(float(truth[0]), abs=1e-14)
        assert float(sympify(flux).subs(put)) == pytest.approx(float(truth[1]), abs=1e-14)


@pytest.mark.parametrize("k", [0.02, CONDUCTIVITY])
def test_rules_hold_for_the_solution_at_the_right_conductivity(k):
    heat, fourier, p = equation(), law(), inside(DOMAIN)
    for rule, field in ((heat, lambda p: solution(p, k)), (fourier, lambda p: temperature_and_flux(p, k))):
        assert violation(rule, field, p) > 0.01  # where learning begins
        tell(rule, k=k)
        assert float(rule.learnt["k"]) == pytest.approx(k, rel=1e-6)
        assert violation(rule, field, p) < 1e-5  # the number was rounded
    assert violation(balance(), lambda p: temperature_and_flux(p, k), p) < 1e-14
    for rule in (start(), walls(), content()):
        assert violation(rule, lambda p: solution(p, k), p) < 1e-13


def test_rules_see_what_is_wrong():
    p = inside(DOMAIN)
    for rule in (start(), walls(), content()):
        assert violation(rule, lambda p: solution(p) + 0.1 * p[:, :1], p) > 0.04
    assert violation(balance(), lambda p: temperature_and_flux(p) * torch.tensor([1.0, 2.0]), p) > 0.01


def test_the_maximum_principle_holds():
    u = solution(grid())
    assert float(u.max()) <= 1.0 and float(u.min()) >= -1e-15
    assert float(bounds().measure(None, grid(), u).max()) < 1e-14
    assert float(bounds().measure(None, grid(), u + 0.5).max()) == pytest.approx(0.5)


def test_a_finite_difference_scheme_finds_the_same():
    n, steps = 64, 400
    second = np.diag(np.full(n + 1, -2.0)) + np.diag(np.ones(n), 1) + np.diag(np.ones(n), -1)
    second[0, 1] = second[-1, -2] = 2.0
    a = CONDUCTIVITY * n**2 / steps / 2.0 * second
    step = np.linalg.solve(np.eye(n + 1) - a, np.eye(n + 1) + a)
    x = torch.linspace(0, 1, n + 1, dtype=torch.float64)
    first, last = (solution(torch.stack([x, torch.full_like(x, t)], dim=1)).numpy()[:, 0] for t in (0.0, 1.0))
    assert np.abs(np.linalg.matrix_power(step, steps) @ first - last).max() < 2e-4


def test_sensors_tell_the_conductivity_as_well_as_cramer_and_rao_say():
    found = []
    for seed in range(20):
        points, values = sensors(seed, readings=3)
        assert points.shape == (90, 2) and values.shape == (90, 1)
        assert len(points[:, 0].unique()) == 30 and points[:3, 1].tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])

        def show(_, k, points=points):
            return solution(points, float(k)).numpy()[:, 0]

        (k,), variance = curve_fit(
            show, points, values.numpy()[:, 0], p0=[0.2], sigma=np.full(90, NOISE), absolute_sigma=True
        )
        deviation = CONDUCTIVITY * least_deviation(points)
        assert np.sqrt(variance[0, 0]) == pytest.approx(deviation, rel=0.05)
        found.append((k - CONDUCTIVITY) / deviation)
    assert np.abs(found).max() < 4.0 and 0.5 < np.std(found) < 1.7
    assert least_deviation(points, 2.0 * NOISE) == pytest.approx(2.0 * least_deviation(points))
    assert torch.equal(sensors(3)[1], sensors(3)[1]) and not torch.equal(sensors(3)[1], sensors(4)[1])


def test_measurements_are_in_deviations_of_the_noise():
    points, values = sensors(0)
    rule = measured(points, values)
    worst = float((solution(points) - values).abs().max()) / NOISE
    assert violation(rule, solution, inside(DOMAIN, 2)) == pytest.approx(worst)
    assert 1.0 < worst < 4.0


def test_what_can_be_hard():
    assert held([start(), walls()], DOMAIN, 2, 1) < 1e-13
    assert held([bounds()], DOMAIN, 2, 1) == 0.0
    assert held([balance()], DOMAIN, 2, 1) < 1e-14  # by one potential
    assert not any(map(is_hard, (equation(), law(), content())))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_have_the_dtype_of_the_points(dtype):
    assert solution(grid(5, 3).to(dtype)).dtype == dtype
    assert temperature_and_flux(torch.rand(2, 3, 2, dtype=dtype)).shape == (2, 3, 2)
