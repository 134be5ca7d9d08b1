"""Newton by conjugate gradients: its products, its directions, and where it ends."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from constraints import NonFiniteError, SpecificationError
from constraints.fields import Derivatives, partials
from dkmodels.optim import NystromNewtonCG
from tests.dkmodels.optim.problems import (
    beale,
    closure_of,
    parameter,
    quadratic,
    resumed_and_whole,
    rosenbrock,
)


@pytest.mark.parametrize("jets", [False, True], ids=["regression", "an equation by jets"])
def test_products_are_those_of_the_hessian(jets):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    x = torch.rand(9, 2, dtype=torch.float64)
    dx, dt = partials(2)
    derivatives = Derivatives([(0, 0), dx, dt - 0.1 * dx**2])

    def loss():
        if not jets:
            return (network(x).squeeze() - x.prod(-1)).square().mean()
        u, u_x, heat = derivatives(network, x)
        return (heat + u * u_x).square().mean()

    optimizer = NystromNewtonCG(network.parameters())
    closure_of(optimizer, loss)()
    vector = torch.randn(sum(p.numel() for p in network.parameters()), dtype=torch.float64)
    names = [name for name, _ in network.named_parameters()]
    shapes = [p.shape for p in network.parameters()]

    def of(point):
        parts = point.split([s.numel() for s in shapes])
        values = {n: part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        answer = lambda p: torch.func.functional_call(network, values, (p,))  # noqa: E731
        if not jets:
            return (answer(x).squeeze() - x.prod(-1)).square().mean()
        u, u_x, heat = derivatives(answer, x)  # a function: nested autograd, an independent way
        return (heat + u * u_x).square().mean()

    point = torch.nn.utils.parameters_to_vector(network.parameters()).detach()
    expected = torch.autograd.functional.hvp(of, point, vector)[1]
    torch.testing.assert_close(optimizer.multiply(vector), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("f, start, minimum", [(rosenbrock, [-1.2, 1.0], 1.0), (beale, [2.0, 0.2], None)])
def test_finds_the_minimum(dtype, f, start, minimum):
    x = parameter(start, dtype)
    optimizer = NystromNewtonCG([x], damping=1e-5)
    for _ in range(25):
        optimizer.step(closure_of(optimizer, f, x))
    expected = torch.tensor([3.0, 0.5], dtype=dtype) if minimum is None else torch.full_like(x, minimum)
    torch.testing.assert_close(x.detach(), expected, rtol=0.0, atol=2e-3 if dtype == torch.float32 else 1e-7)


def test_a_quadratic_takes_one_damped_newton_step():
    matrix, f = quadratic(10)
    x = parameter(torch.ones(10))
    optimizer = NystromNewtonCG([x], damping=0.5, tolerance=1e-12)
    optimizer.step(closure_of(optimizer, f, x))
    start = torch.ones(10, dtype=torch.float64)
    damped = matrix + 0.5 * torch.eye(10, dtype=torch.float64)
    torch.testing.assert_close(x.detach(), start - torch.linalg.solve(damped, matrix @ start))


def test_it_descends_from_a_saddle():
    x = parameter([1e-3, 1.0])
    optimizer = NystromNewtonCG([x], damping=1e-3)
    values = [
        float(optimizer.step(closure_of(optimizer, lambda v: v[0] ** 4 - v[0] ** 2 + v[1] ** 2, x))) for _ in range(40)
    ]
    assert all(b <= a for a, b in pairwise(values))
    assert abs(float(x[0])) == pytest.approx(math.sqrt(0.5), abs=1e-4)


def test_goes_on_from_a_state_bit_for_bit(tmp_path):
    def make(parameters):
        return NystromNewtonCG(parameters, rank=5, refresh=2, max_products=10)

    again, whole = resumed_and_whole(make, tmp_path, 3, 4)
    assert again.memory["products"] == whole.memory["products"]


def test_the_graph_is_let_go_and_parameters_without_a_gradient_stay():
    x, unused = parameter([-1.2, 1.0]), parameter([5.0])
    optimizer = NystromNewtonCG([x, unused])
    before = float(optimizer.step(closure_of(optimizer, rosenbrock, x)))
    assert float(rosenbrock(x)) < before
    assert not x.grad.requires_grad
    assert unused.tolist() == [5.0]


def test_where_nothing_falls_the_parameters_stay():
    x = parameter([1.0])
    optimizer = NystromNewtonCG([x], max_line_search=3)
    trials = iter([0, 1, 1, 1])
    optimizer.step(closure_of(optimizer, lambda v: v.square().sum() + 100.0 * next(trials), x))
    assert x.tolist() == [1.0]
    assert optimizer.needs_graph


def test_refuses():
    x = parameter([1.0, 2.0])
    optimizer = NystromNewtonCG([x])

    def forgets():
        optimizer.zero_grad()
        loss = rosenbrock(x)
        loss.backward()
        return loss

    with pytest.raises(SpecificationError, match="gradients without a graph"):
        optimizer.step(forgets)
    with pytest.raises(NonFiniteError, match="a loss of nan"):
        optimizer.step(closure_of(optimizer, lambda v: (v * math.nan).sum(), x))
    assert x.tolist() == [1.0, 2.0]
    with pytest.raises(SpecificationError, match="damping"):
        NystromNewtonCG([x], damping=0.0)
    with pytest.raises(SpecificationError, match="rank"):
        NystromNewtonCG([x], rank=0)
