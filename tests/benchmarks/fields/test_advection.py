"""Advection: its solution is one, by sympy and along characteristics; its rules hold for it and for no other."""

import pytest
import torch
from sympy import pi, sin

from benchmarks.fields.advection import DOMAIN, SPEED, U, X, equation, grid, periodic, solution, start
from benchmarks.fields.advection import T as TIME
from tests.benchmarks.fields.laws import held, inside, is_hard, residual, violation


def test_the_solution_solves_the_equation_and_obeys_its_conditions():
    assert residual(equation(), {U: sin(2 * pi * (X - SPEED * TIME))}) == [0]
    for rule in (equation(), start(), periodic()):
        assert violation(rule, solution, inside(DOMAIN)) < 1e-12
    assert violation(equation(), lambda p: solution(p * 1.1), inside(DOMAIN)) < 1e-12, "another wave with that speed"
    assert violation(start(), lambda p: solution(p * 1.1), inside(DOMAIN)) > 0.1
    assert violation(periodic(), lambda p: solution(p * 1.1), inside(DOMAIN)) > 0.1
    assert violation(equation(), lambda p: solution(p.flip(1)), inside(DOMAIN)) > 1.0


def test_values_are_carried_along_characteristics():
    points = inside(DOMAIN)
    foot = points.clone()
    foot[:, 0] = torch.remainder(points[:, 0] - float(SPEED) * points[:, 1], 1.0)
    foot[:, 1] = 0.0
    torch.testing.assert_close(solution(points), solution(foot), rtol=0.0, atol=1e-12)


def test_at_0_equation_and_period_hold_as_well():
    for rule in (equation(), periodic()):
        assert violation(rule, lambda p: 0.0 * p[:, :1], inside(DOMAIN)) == 0.0


def test_conditions_can_be_hard_together():
    assert is_hard(start()) and is_hard(periodic())
    assert held([start(), periodic()], DOMAIN, 3, 1) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_have_the_dtype_of_the_points(dtype):
    found = solution(grid(5, 3).to(dtype))
    assert found.dtype == dtype and found.shape == (15, 1)
