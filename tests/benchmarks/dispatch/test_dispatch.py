"""Dispatch: the case against figures known elsewhere, optima against other solvers, every arm for a few steps."""

import math

import cvxpy as cp
import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from benchmarks.dispatch import market
from benchmarks.dispatch.case14 import BRANCHES, CAPACITY, COST, DEMAND, LIMITS, LOADS, MVA, transfer_factors
from benchmarks.dispatch.exhibits import arms_table, worth
from benchmarks.dispatch.market import cheapest_dispatch, cost, demands, flows
from benchmarks.dispatch.rules import LineLimits, Operable, balance, generator_limits
from benchmarks.dispatch.task import Dispatch, DispatchProfile
from constraints.testing import check_rule


def test_the_case_is_the_ieee_14_bus_case():
    assert math.isclose(sum(LOADS.values()), 259.0)
    assert len(BRANCHES) == 20
    assert math.isclose(MVA * CAPACITY.sum(), 772.4)


def test_without_line_limits_the_optimum_is_that_of_equal_marginal_costs(monkeypatch):
    monkeypatch.setattr(market, "LIMITS", np.full(20, 1e3))
    g = MVA * cheapest_dispatch(DEMAND)
    # Generators 1 and 2 alone run, at 20 + 2 c g each: g1 = 259 c2 / (c1 + c2).
    c1, c2 = 0.0430292599, 0.25
    np.testing.assert_allclose(g, [259 * c2 / (c1 + c2), 259 * c1 / (c1 + c2), 0, 0, 0], atol=1e-4)
    assert math.isclose(float(cost(g / MVA)), 7642.59, abs_tol=0.01)  # MATPOWER's DC optimal power flow
    overloaded = np.abs(flows(g / MVA, DEMAND)) > LIMITS
    lines = [(1, 2), (1, 5), (2, 3), (2, 4), (2, 5), (4, 5), (5, 6)]
    assert [BRANCHES[i][:2] for i in overloaded.nonzero()[0]] == lines


def test_flows_balance_at_every_bus():
    rng = np.random.default_rng(0)
    demand = demands(3, rng)
    g = rng.dirichlet(np.ones(5), size=3) * demand.sum(axis=1, keepdims=True)
    flow = flows(g, demand)
    injected = np.zeros((3, 14))
    injected[:, [0, 1, 2, 5, 7]] += g
    injected[:, [bus - 1 for bus in LOADS]] -= demand
    for line, (start, end, *_) in enumerate(BRANCHES):
        injected[:, start - 1] -= flow[:, line]
        injected[:, end - 1] += flow[:, line]
    np.testing.assert_allclose(injected, 0.0, atol=1e-12)


def test_optima_are_those_of_another_solver():
    by_generator, by_load = transfer_factors()
    for demand in demands(4, np.random.default_rng(1)):
        g = cp.Variable(5)
        base = by_load @ demand
        conditions = [cp.sum(g) == demand.sum(), g >= 0, g <= CAPACITY, cp.abs(by_generator @ g - base) <= LIMITS]
        objective = cp.sum(cp.multiply(COST[0], cp.square(g)) + cp.multiply(COST[1], g))
        cp.Problem(cp.Minimize(objective), conditions).solve(solver=cp.CLARABEL)
        found = cheapest_dispatch(demand)
        assert math.isclose(float(cost(found)), float(objective.value), rel_tol=1e-6)
        np.testing.assert_allclose(found, g.value, atol=1e-3)


def test_all_demands_can_be_served_and_many_congest():
    by_generator, by_load = transfer_factors()
    sampled = demands(100, np.random.default_rng(2))
    at_limit = 0
    for demand in sampled:
        base = by_load @ demand
        found = linprog(
            COST[1],
            A_ub=np.concatenate([by_generator, -by_generator]),
            b_ub=np.concatenate([LIMITS + base, LIMITS - base]),
            A_eq=np.ones((1, 5)),
            b_eq=[demand.sum()],
            bounds=list(zip(np.zeros(5), CAPACITY, strict=True)),
        )
        assert found.status == 0
        at_limit += bool((np.abs(flows(cheapest_dispatch(demand), demand)) > LIMITS - 1e-6).any())
    assert 50 <= at_limit <= 95


def test_a_demand_that_nobody_can_serve_raises():
    with pytest.raises(RuntimeError, match="no dispatch within the limits"):
        cheapest_dispatch(3 * DEMAND)


def test_the_rules_obey_the_laws_and_agree_with_the_flows():
    demand = demands(6, np.random.default_rng(3))
    x = torch.from_numpy(demand)
    y = torch.rand(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 0.5
    for rule in (balance(), LineLimits(), generator_limits(), Operable()):
        rule.bind(None)
        check_rule(rule, torch.nn.Identity(), x, y)
    overload = (np.abs(flows(y.numpy(), demand)) - LIMITS).max(axis=1).clip(min=0.0)
    np.testing.assert_allclose(LineLimits().measure(torch.nn.Identity(), x, y).numpy(), overload, atol=1e-12)
    together = torch.stack(
        [rule.measure(torch.nn.Identity(), x, y) for rule in (balance(), LineLimits(), generator_limits())]
    )
    torch.testing.assert_close(Operable().measure(torch.nn.Identity(), x, y), together.amax(dim=0))
    best = torch.from_numpy(np.array([cheapest_dispatch(row) for row in demand]))
    assert float(Operable().measure(torch.nn.Identity(), x, best).max()) < 1e-6


def test_every_arm_trains_and_all_rules_hold_together(run_arms):
    _, store = run_arms(Dispatch, DispatchProfile(seeds=2, epochs=1, rounds=1, train=50, test=10))
    cells = {cell["arm"]: cell["metrics"] for cell in store.cells()}
    assert len(cells) == 12
    for arm in ("all", "decode", "soft + decode"):
        assert cells[arm]["inoperable"] == 0.0
        assert cells[arm]["imbalance"] + cells[arm]["overload"] + cells[arm]["beyond"] < 1e-3  # MW, of float32
        assert cells[arm]["regret"] > -0.5
    assert cells["none"]["inoperable"] == 1.0
    assert all(0 <= cell["stuck"] <= 5 for cell in cells.values())
    assert cells["all but balance"]["overload"] < 1e-3 < cells["all but balance"]["imbalance"]
    assert len(arms_table(store.cells(), []).rows) == 13
    assert len(worth(store.cells()).rows) == 4
    assert worth([]).rows == worth(store.cells()).rows[:1]
