"""Lorenz' motion: two other methods find the same, and the sampled states tell its numbers."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

from benchmarks.fields.lorenz_inverse import (
    BEGIN,
    DOMAIN,
    END,
    NOISE,
    NUMBERS,
    equation,
    grid,
    measured,
    positive,
    rates,
    sensors,
    solution,
    start,
)
from tests.benchmarks.fields.laws import held, inside, is_hard, tell, violation

TRUE = list(NUMBERS.values())


@pytest.mark.parametrize("method, tolerance, bound", [("Radau", 1e-9, 1e-7), ("LSODA", 1e-11, 1e-7)])
def test_other_methods_find_the_same(method, tolerance, bound):
    times = np.linspace(0.0, END, 31)
    found = solve_ivp(rates, (0, END), np.array(BEGIN, float), method, t_eval=times, rtol=tolerance, atol=tolerance)
    assert np.abs(found.y.T - solution(torch.from_numpy(times)[:, None]).numpy()).max() < bound


def test_between_steps_it_is_as_good():
    """Started again at any time, the motion goes on as it did; smaller steps change nothing."""
    times = inside(DOMAIN, 9)[:, 0].sort().values.numpy()
    found = solve_ivp(
        rates, (0, times[-1]), np.array(BEGIN, float), "DOP853", t_eval=times, rtol=1e-13, atol=1e-13, max_step=0.002
    )
    assert np.abs(found.y.T - solution(torch.from_numpy(times)[:, None]).numpy()).max() < 1e-9


def chebyshev(degree=120):
    """The motion as a polynomial that autograd sees."""
    nodes = np.polynomial.chebyshev.chebpts1(degree + 1)
    states = solution(torch.from_numpy(END / 2 * (1.0 + nodes))[:, None]).numpy()
    c = torch.from_numpy(np.polynomial.chebyshev.chebfit(nodes, states, degree))
    k = torch.arange(degree + 1, dtype=torch.float64)
    return lambda p: torch.cos(k * torch.acos(p * (2.0 / END) - 1.0)) @ c


def test_rules_hold_for_the_solution_with_the_right_numbers():
    motion, rule, p = chebyshev(), equation(), inside(DOMAIN, 40).clamp(0.01, 2.99)
    torch.testing.assert_close(motion(p), solution(p), rtol=0, atol=1e-7)
    assert violation(rule, motion, p) > 1.0  # where learning begins
    tell(rule, **NUMBERS)
    assert {name: float(value) for name, value in rule.learnt.items()} == pytest.approx(NUMBERS, rel=1e-6)
    assert violation(rule, motion, p) < 1e-3  # of rates of some hundreds; the numbers were rounded
    assert violation(start(), lambda p: solution(p) + 0.0 * p, p) < 1e-14
    assert violation(start(), lambda p: solution(p) + 1.0 + 0.0 * p, p) == pytest.approx(1.0)


def test_z_is_positive():
    states = solution(grid())
    assert float(positive().measure(None, grid(), states).max()) == 0.0
    assert bool((states[:, 2] >= states[:, 0] ** 2 / (2 * NUMBERS["sigma"])).all())
    assert float(positive().measure(None, grid(), -states).max()) > 20.0


def test_samples_tell_the_numbers():
    points, values = sensors(0)
    assert points.shape == (25, 1) and values.shape == (25, 3)

    def gap(numbers):
        def motion(_, s):
            return [numbers[0] * (s[1] - s[0]), s[0] * (numbers[1] - s[2]) - s[1], s[0] * s[1] - numbers[2] * s[2]]

        times = points[:, 0].numpy()
        found = solve_ivp(motion, (0.0, END), BEGIN, "DOP853", t_eval=times, rtol=1e-7, atol=1e-7)
        return ((found.y.T - values.numpy()) / NOISE).ravel()

    found = least_squares(gap, [9.0, 14.0, 2.5])
    deviation = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)))
    assert np.abs((found.x - TRUE) / deviation).max() < 4.0
    assert np.abs(deviation / TRUE).max() < 0.03
    assert 0.6 < 2.0 * found.cost / 72.0 < 1.5  # as chi squared


def test_samples_are_spread_and_measured_in_deviations():
    points, values = sensors(1)
    assert bool((points[1:] > points[:-1]).all()) and float(points[0]) >= 0.0 and float(points[-1]) <= END
    worst = float((solution(points) - values).abs().max()) / NOISE
    seen = violation(measured(points, values), lambda p: solution(p) + 0.0 * p, inside(DOMAIN, 2))
    assert seen == pytest.approx(worst)


def test_what_can_be_hard():
    assert held([start()], DOMAIN, 1, 3) < 1e-13
    assert held([positive()], DOMAIN, 1, 3) == 0.0
    assert not is_hard(equation())
