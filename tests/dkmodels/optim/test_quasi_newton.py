"""Quasi-Newton on functions with known minima, against scipy, and across checkpoints."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import nn

from constraints import NonFiniteError, SpecificationError
from dkmodels.optim import BFGS, NystromNewtonCG, QuasiNewton, SelfScaledBFGS, SelfScaledBroyden
from tests.dkmodels.optim.problems import (
    beale,
    closure_of,
    fitting,
    parameter,
    quadratic,
    resumed_and_whole,
    rosenbrock,
)

UPDATES = [BFGS(), SelfScaledBFGS(), SelfScaledBroyden()]
every_update = pytest.mark.parametrize("update", UPDATES, ids=lambda u: type(u).__name__)


@every_update
@pytest.mark.parametrize(
    "f, start, minimum",
    [
        (rosenbrock, [-1.2, 1.0], [1.0, 1.0]),
        (rosenbrock, [-1.2, 1.0] * 10, [1.0] * 20),
        (beale, [1.0, 1.0], [3.0, 0.5]),
    ],
    ids=["rosenbrock 2", "rosenbrock 20", "beale"],
)
def test_finds_the_minimum(update, f, start, minimum):
    x = parameter(start)
    optimizer = QuasiNewton([x], update=update, max_iter=300, tolerance_grad=1e-9)
    optimizer.step(closure_of(optimizer, f, x))
    torch.testing.assert_close(x.detach(), torch.tensor(minimum, dtype=torch.float64), rtol=0.0, atol=1e-6)
    assert optimizer.memory["evaluations"] < 60 * math.sqrt(len(start)) + 20 * len(start)


@every_update
def test_float32_finds_it_too(update):
    for dtype in (None, torch.float64):
        x = parameter([-1.2, 1.0], torch.float32)
        optimizer = QuasiNewton([x], update=update, max_iter=200, dtype=dtype, tolerance_grad=1e-3)
        optimizer.step(closure_of(optimizer, rosenbrock, x))
        torch.testing.assert_close(x.detach(), torch.ones(2), rtol=0.0, atol=2e-3)
        assert optimizer.inverse.dtype == (dtype or torch.float32)


@every_update
def test_a_quadratic_takes_its_dimension_of_iterations(update):
    n = 10
    _, f = quadratic(n)
    x = parameter(torch.ones(n))
    optimizer = QuasiNewton([x], update=update, max_iter=n + 4, curvature=1e-3)
    optimizer.step(closure_of(optimizer, f, x))
    assert float(f(x)) < 1e-9 * float(f(torch.ones(n, dtype=torch.float64)))


@pytest.mark.parametrize("n", [2, 20])
def test_as_far_as_scipy_with_as_many_evaluations(n):
    start = np.array([-1.2, 1.0] * (n // 2))
    peer = optimize.minimize(optimize.rosen, start, jac=optimize.rosen_der, method="BFGS", options={"gtol": 1e-8})
    x = parameter(start)
    optimizer = QuasiNewton([x], update=BFGS(), max_iter=500, tolerance_grad=1e-8)
    optimizer.step(closure_of(optimizer, rosenbrock, x))
    assert float(rosenbrock(x.detach())) < max(10.0 * peer.fun, 1e-15)
    assert optimizer.memory["evaluations"] < 1.2 * peer.nfev + 5


@every_update
def test_the_inverse_hessian_is_learnt(update):
    matrix, f = quadratic(5)
    x = parameter(torch.ones(5))
    optimizer = QuasiNewton([x], update=update, max_iter=60, curvature=0.01, tolerance_grad=1e-10)
    optimizer.step(closure_of(optimizer, f, x))
    found = optimizer.inverse
    assert float(torch.linalg.eigvalsh(found).min()) > 0.0
    torch.testing.assert_close(found, found.mT, rtol=1e-12, atol=1e-12)
    if isinstance(update, BFGS):  # the others forget on purpose
        torch.testing.assert_close(found, torch.linalg.inv(matrix), rtol=0.05, atol=0.01)


@pytest.mark.parametrize("dtype", [None, torch.float64], ids=["float32", "float32 and a float64 matrix"])
def test_goes_on_from_a_state_bit_for_bit(dtype, tmp_path):
    def make(parameters):
        return QuasiNewton(parameters, max_iter=4, dtype=dtype)

    again, whole = resumed_and_whole(make, tmp_path, 3, 3, torch.float32)
    assert torch.equal(again.inverse, whole.inverse)
    assert again.memory["evaluations"] == whole.memory["evaluations"]


def test_a_loaded_state_shares_nothing():
    network, loss = fitting()
    optimizer = QuasiNewton(network.parameters())
    optimizer.step(closure_of(optimizer, loss))
    state = optimizer.state_dict()
    before = state["state"][0]["inverse"].clone()
    other = copy.deepcopy(network)
    again = QuasiNewton(other.parameters())
    again.load_state_dict(state)
    x = torch.zeros(3, 1, dtype=torch.float64)
    again.step(closure_of(again, lambda: (other(x) - 1.0).square().mean()))
    assert torch.equal(state["state"][0]["inverse"], before)


def test_a_loss_that_is_not_finite_is_refused_and_changes_nothing():
    x = parameter([1.0, 2.0])
    optimizer = QuasiNewton([x])
    with pytest.raises(NonFiniteError, match="a loss of nan"):
        optimizer.step(closure_of(optimizer, lambda v: (v * math.nan).sum(), x))
    assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("raises", [False, True], ids=["returned", "raised"])
def test_trials_that_are_not_finite_shrink_the_step(raises):
    def f(v):
        loss = v.square().sum() - v.log().sum()
        if raises and not torch.isfinite(loss):
            raise NonFiniteError("the closure refuses")
        return loss

    x = parameter([1e-3, 2.0])
    optimizer = QuasiNewton([x], max_iter=60, lr=10.0)
    optimizer.step(closure_of(optimizer, f, x))
    torch.testing.assert_close(x.detach(), torch.full((2,), math.sqrt(0.5), dtype=torch.float64))


def test_another_error_in_the_closure_leaves_the_last_point():
    x = parameter([-1.2, 1.0])
    optimizer = QuasiNewton([x])
    asked = 0

    def f(v):
        nonlocal asked
        asked += 1
        if asked == 2:
            raise KeyError("the loss broke")
        return rosenbrock(v)

    with pytest.raises(KeyError):
        optimizer.step(closure_of(optimizer, f, x))
    assert x.tolist() == [-1.2, 1.0]


def test_no_curvature_and_restarts():
    x = parameter([0.3, 1.0])
    optimizer = QuasiNewton([x], max_iter=3)
    optimizer.step(closure_of(optimizer, lambda v: v.sum(), x))  # linear: no curvature ever, and no minimum
    assert optimizer.inverse is None
    assert x.detach().isfinite().all()
    y = parameter([-1.2, 1.0])
    optimizer = QuasiNewton([y], max_iter=5)
    closure = closure_of(optimizer, rosenbrock, y)
    optimizer.step(closure)
    optimizer.memory["inverse"].neg_()  # now every direction climbs
    before = float(rosenbrock(y))
    optimizer.step(closure)
    assert optimizer.memory["restarts"] == 1
    assert float(rosenbrock(y)) < before


def test_at_the_minimum_it_stays():
    x = parameter([1.0, 1.0])
    optimizer = QuasiNewton([x])
    assert float(optimizer.step(closure_of(optimizer, rosenbrock, x))) == 0.0
    assert x.tolist() == [1.0, 1.0]
    assert optimizer.memory["evaluations"] == 1


def test_max_eval_ends_a_step():
    x = parameter([-1.2, 1.0] * 5)
    optimizer = QuasiNewton([x], max_iter=100, max_eval=10)
    optimizer.step(closure_of(optimizer, rosenbrock, x))
    assert 10 <= optimizer.memory["evaluations"] < 20


def test_parameters_without_a_gradient_stay():
    x, unused = parameter([-1.2, 1.0]), parameter([5.0])
    optimizer = QuasiNewton([x, unused], max_iter=100)
    optimizer.step(closure_of(optimizer, rosenbrock, x))
    assert unused.tolist() == [5.0]
    torch.testing.assert_close(x.detach(), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("make", [QuasiNewton, NystromNewtonCG])
def test_parameters_may_be_frozen_and_thawed(make):
    """A curvature learnt of others would move what is frozen."""
    matrix, f = quadratic(4)
    parts = parameter([1.0, -2.0]), parameter([0.5, 3.0])
    optimizer = make(parts)
    closure = closure_of(optimizer, lambda *given: f(torch.cat(given)), *parts)
    optimizer.step(closure)
    parts[0].requires_grad_(False)
    frozen = parts[0].detach().clone()
    for _ in range(20):
        optimizer.step(closure)
    assert torch.equal(parts[0], frozen)
    wanted = -torch.linalg.solve(matrix[2:, 2:], matrix[2:, :2] @ frozen)
    torch.testing.assert_close(parts[1].detach(), wanted, atol=1e-6, rtol=1e-6)
    parts[0].requires_grad_(True)
    for _ in range(20):
        optimizer.step(closure)
    torch.testing.assert_close(torch.cat(parts).detach(), torch.zeros(4, dtype=torch.float64), atol=1e-6, rtol=0.0)
    for part in parts:
        part.requires_grad_(False)
    with pytest.raises(SpecificationError, match="not frozen, got none"):
        optimizer.step(closure)


def test_refuses():
    x = parameter([1.0])
    with pytest.raises(SpecificationError, match="one group of parameters, got 2"):
        QuasiNewton([{"params": [x]}, {"params": [parameter([2.0])]}])
    with pytest.raises(SpecificationError, match="floating-point parameters on one device"):
        QuasiNewton([x, nn.Parameter(torch.tensor([2]), requires_grad=False)])
    assert QuasiNewton([x, parameter([2.0], torch.float32)]).dtype == torch.float64
    with pytest.raises(SpecificationError, match="max_iter >= 1"):
        QuasiNewton([x], max_iter=0)
    with pytest.raises(SpecificationError, match="decrease < curvature"):
        QuasiNewton([x], curvature=1.5)
    with pytest.raises(SpecificationError, match="needs an InverseUpdate, got str"):
        QuasiNewton([x], update="bfgs")
    with pytest.raises(SpecificationError, match="needs a closure"):
        QuasiNewton([x]).step()
    with pytest.raises(ValueError, match="empty parameter list"):
        QuasiNewton(nn.Identity().parameters())
