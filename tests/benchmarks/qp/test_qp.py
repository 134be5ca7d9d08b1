"""The quadratic programs: published instances, optima that satisfy KKT, and every arm for a few steps."""

import math

import cvxpy as cp
import numpy as np
import pytest
import torch

from benchmarks.qp.exhibits import beside_published
from benchmarks.qp.problem import Linear, Sine, dc3_problem
from benchmarks.qp.reference import load_optima, problems, solve
from benchmarks.qp.task import Feasible, HardnetQp, NonconvexQp, Qp, QpProfile
from constraints.testing import check_rule

PUBLISHED = {"convex": -15.05, "nonconvex": -11.59, "hardnet": -14.28}  # OSQP, IPOPT, IPOPT


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_optima_have_the_published_mean(name):
    values, price = load_optima(name)
    assert len(values) == 833
    assert math.isclose(values.mean(), PUBLISHED[name], abs_tol=0.005)
    assert 0.0 < price < 1.0


@pytest.mark.parametrize("name", PUBLISHED)
def test_shipped_optima_come_out_again_and_satisfy_kkt(name):
    problem, (values, price) = problems()[name], load_optima(name)
    for index in (0, 400, 832):
        found = solve(problem, problem.test[index], starts=2)
        assert math.isclose(found.value, values[index], abs_tol=1e-7)
        assert found.violation <= 1e-8
        assert found.stationarity <= 1e-5
        assert found.price <= price + 1e-6
        assert math.isclose(float(problem.objective(torch.from_numpy(found.y))), found.value)


def test_the_convex_optima_are_those_of_another_solver():
    problem, (values, _) = dc3_problem(Linear()), load_optima("convex")
    for index in (1, 500):
        y = cp.Variable(len(problem.q))
        objective = 0.5 * cp.sum(cp.multiply(problem.q, cp.square(y))) + problem.p @ y
        conditions = [problem.a @ y == problem.test[index], problem.g @ y <= problem.h]
        cp.Problem(cp.Minimize(objective), conditions).solve(solver=cp.CLARABEL)
        assert math.isclose(float(objective.value), values[index], rel_tol=1e-6)


def test_every_instance_has_a_feasible_point():
    for problem in problems().values():
        y = problem.x[:200] @ np.linalg.pinv(problem.a).T
        assert float(np.abs(y @ problem.a.T - problem.x[:200]).max()) < 1e-10
        assert float((y @ problem.g.T - problem.h).max()) <= 0.0


def test_terms_have_their_slope():
    y, step = np.linspace(-3, 3, 50), 1e-5
    for term in (Linear(), Sine()):
        value, slope = term.with_slope(y)
        torch.testing.assert_close(term.value(torch.from_numpy(y)), torch.from_numpy(value))
        assert np.allclose((term.with_slope(y + step)[0] - term.with_slope(y - step)[0]) / (2 * step), slope)


def test_the_rule_obeys_the_laws():
    problem = dc3_problem(Linear())
    x = torch.from_numpy(problem.test[:4])
    y = torch.randn(4, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    check_rule(Feasible(problem), torch.nn.Identity(), x, y)
    obeying = Feasible(problem).enforce(y, x)
    assert float(problem.equality_gap(obeying, x).max()) < 1e-10
    assert float(problem.inequality_gap(obeying).max()) < 1e-10


@pytest.mark.parametrize("cls", [Qp, NonconvexQp, HardnetQp])
def test_every_arm_trains_and_the_layer_obeys(run_arms, cls):
    task, store = run_arms(cls, QpProfile(seeds=2, epochs=1, rounds=1, train=400, test=20))
    cells = {cell["arm"]: cell["metrics"] for cell in store.cells()}
    for arm in ("hard", "decode", "soft + decode"):
        assert cells[arm]["worst"] < 1e-9
        assert cells[arm]["infeasible"] == 0.0
        assert cells[arm]["gap"] > 0.0
        assert math.isclose(cells[arm]["merit"], cells[arm]["gap"], abs_tol=1e-6)
    assert cells["none"]["infeasible"] == 1.0
    assert all(cell["merit"] > 0.0 for cell in cells.values())
    table = task.exhibits(store.cells(), [])[0]
    assert len(table.rows) >= 1 + 6 + 1 + 2
    assert beside_published(task.title(), -1.0, [], []).rows[1][0].startswith("optimum")
