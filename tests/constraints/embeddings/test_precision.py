"""Rules compute in float32 at least, whatever the network runs in, and are measured in it."""

import pytest
import torch
from sympy import And, Eq, Function, Not, symbols
from torch import nn

from constraints import AugmentedLagrangian, Decode, Hard, Hierarchy, MonotoneIn, Soft, declare, join
from constraints.rules import Bounds, FixedSum
from dkmodels import RegressionModule

A, B, C, X = symbols("a b c x")


def total():
    rule = declare(Eq(A + B + C, X), outputs={A: 0, B: 1, C: 2}, inputs={X: 0})
    return rule


def inputs():
    return torch.rand(64, 1, generator=torch.Generator().manual_seed(0)) * 1000


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_hard_rules_hold_to_float32_under_autocast(dtype):
    x = inputs()
    model = join(nn.Linear(1, 3), {"sum": Hard(total())}, outputs=3)
    with torch.autocast("cpu", dtype=dtype):
        y = model(x)
        assert y.dtype == torch.float32
        violation = total().measure(model, x, y)
        decoded = Decode(total()).decode(nn.Linear(1, 3)(x), x)
    assert float((y.double().sum(1) - x[:, 0].double()).abs().max()) < 1e-3
    assert float(violation.max()) < 1e-3
    assert decoded.dtype == torch.float32
    assert float((decoded.double().sum(1) - x[:, 0].double()).abs().max()) < 1e-3


@pytest.mark.parametrize("embedding", [Soft, AugmentedLagrangian])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_penalties_and_measures_are_those_of_float32(embedding, dtype):
    x = inputs()
    y = (torch.randn(64, 3, generator=torch.Generator().manual_seed(1)) * 300).to(dtype)
    right = embedding(total()).penalty(nn.Identity(), x, y.float())
    with torch.autocast("cpu", dtype=dtype):
        found = embedding(total()).penalty(nn.Identity(), x, y)
        measured = total().measure(nn.Identity(), x, y)
    torch.testing.assert_close(found, right)
    torch.testing.assert_close(measured, (y.float().sum(1) - x[:, 0]).abs(), rtol=1e-5, atol=1e-3)


def test_a_violation_that_half_precision_hides_is_reported():
    """In bfloat16 1000 has neighbours 4 apart: an answer in it counts as broken, that of a Hard network is float32."""
    x = inputs().bfloat16()
    hard = RegressionModule(nn.Linear(1, 3).bfloat16(), {"sum": Hard(total())})
    y = hard(x)
    assert y.dtype == torch.float32
    (violation, atol) = hard._assess(x, y)["sum"]
    assert bool((violation <= atol).all())
    (violation, atol) = hard._assess(x, y.bfloat16())["sum"]
    assert violation.dtype == torch.float32
    assert float((violation > atol).float().mean()) > 0.5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_labels_of_half_precision_obey(dtype):
    scores = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    labels = declare(Not(And(A, B)), outputs={A: 0, B: 1}).enforce(scores) >= 0.5
    assert not bool(labels.all(dim=1).any())


@pytest.mark.parametrize(
    "rule",
    [Bounds(low=0.0), FixedSum(1.0), Hierarchy({0: 1}), declare(A + 2 * B <= 1, outputs={A: 0, B: 1})],
    ids=lambda rule: type(rule).__name__,
)
def test_every_map_obeys_in_float32_at_least(rule):
    y = torch.randn(50, 2, generator=torch.Generator().manual_seed(2)) * 5
    for dtype, given in ((torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float64,) * 2):
        answer = rule.enforce(y.to(dtype))
        assert answer.dtype == given and bool(rule.constraint.check(rule.select(answer)).all())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = rule.enforce(y.bfloat16())
    assert answer.dtype == torch.float32
    assert bool(rule.constraint.check(rule.select(answer)).all())


def test_slopes_of_a_network_are_measured_without_autocast():
    rule = MonotoneIn([0])
    network = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    x = inputs() / 1000
    right = rule.measure(network, x, network(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(rule.measure(network, x, network(x)), right)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_conditions_with_derivatives_hold_under_autocast(dtype):
    """Both evaluations of the network, at a point and at the place, are of one precision."""
    u = Function("u")
    rule = declare(Eq(u(X).diff(X).subs(X, 0) + 2 * u(0), 1), fields=[u(X)], domain={X: (0, 1)})
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 1))
    model = join(network, {"robin": Hard(rule)})
    at = torch.tensor([[0.0], [1e-3]])
    with torch.autocast("cpu", dtype=dtype):
        zero, near = model(at).flatten()
    plain = model(at).flatten()
    torch.testing.assert_close(torch.stack([zero, near]), plain)
