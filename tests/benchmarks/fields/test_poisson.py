"""Poisson's problem: its solution is one, by sympy and by a second method; its rules hold for it and for no other."""

import numpy as np
import pytest
import scipy.sparse as sparse
import sympy
import torch
from scipy.sparse.linalg import spsolve
from sympy import pi, sin

from benchmarks.fields.poisson import DOMAIN, FIELD, U, X, Y, equation, grid, mirrors, solution, swap, walls
from constraints import SpecificationError
from tests.benchmarks.fields.laws import held, inside, is_hard, residual, violation

WAVES = [1, 2, 5]


@pytest.mark.parametrize("k", WAVES)
def test_the_solution_solves_the_equation(k):
    assert residual(equation(k), {U: sin(k * pi * X) * sin(k * pi * Y)}) == [0]
    assert violation(equation(k), lambda p: solution(p, k), inside(DOMAIN)) < 1e-11
    assert violation(equation(k), lambda p: solution(p, k + 1), inside(DOMAIN)) > 1.0


@pytest.mark.parametrize("k", [1, 3])
def test_finite_differences_converge_to_it(k):
    errors = []
    for n in (32, 64):
        line = sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n - 1, n - 1)) * n**2
        eye = sparse.eye_array(n - 1)
        matrix = sparse.kron(line, eye) + sparse.kron(eye, line)
        points = grid(n + 1, n + 1).reshape(n + 1, n + 1, 2)[1:-1, 1:-1].reshape(-1, 2)
        truth = solution(points, k).numpy()[:, 0]
        errors.append(np.abs(spsolve(matrix.tocsc(), 2 * (k * np.pi) ** 2 * truth) - truth).max())
    assert errors[1] < 0.003 * k**2
    assert 3.8 < errors[0] / errors[1] < 4.2


@pytest.mark.parametrize("k", WAVES)
def test_the_solution_obeys_its_conditions(k):
    for rule in (walls(), mirrors(k), swap()):
        assert violation(rule, lambda p: solution(p, k), inside(DOMAIN)) < 1e-14
    assert violation(mirrors(k + 1), lambda p: solution(p, k), inside(DOMAIN)) > 0.1
    assert violation(walls(), lambda p: 1.0 + solution(p, k), inside(DOMAIN)) == pytest.approx(1.0)
    assert violation(swap(), lambda p: p[:, :1] * solution(p, k), inside(DOMAIN)) > 0.01


def test_what_can_be_hard():
    assert not is_hard(equation())
    for k in (1, 2):
        assert held([walls(), mirrors(k)], DOMAIN, 2, 1) < 1e-14
    assert held([swap()], DOMAIN, 2, 1) < 1e-14


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_have_the_dtype_of_the_points(dtype):
    found = solution(grid(5, 3).to(dtype), 1)
    assert found.dtype == dtype and found.shape == (15, 1)
    assert solution(torch.rand(2, 3, 2)).shape == (2, 3, 1)


@pytest.mark.parametrize("k", [0, -1, 1.5])
def test_other_frequencies_are_refused(k):
    for make in (equation, mirrors, lambda k: solution(grid(2, 2), k)):
        with pytest.raises(SpecificationError, match=r"whole frequency > 0, got"):
            make(k)


def test_the_statement_is_of_the_field():
    assert equation().relations[0].has(sympy.Derivative(FIELD(X, Y), (X, 2)))
