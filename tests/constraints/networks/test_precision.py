"""Architectures compute in float32 at least: under autocast, and with weights of half precision."""

import inspect

import pytest
import torch
from sympy import Eq, Function, symbols
from torch import nn

from constraints import ConvexIn, Equivariance, Hard, Invariance, LipschitzIn, MonotoneIn, declare, join, networks
from constraints.networks import (
    Averaged,
    Canonicalised,
    ConvexNetwork,
    GroupSort,
    LinearAction,
    NormalisedNetwork,
    Permutations,
    Representation,
    Shape,
    ShapedModule,
    ShapedNetwork,
    column_shifts,
    sign_flips,
)

HALVES = [torch.bfloat16, torch.float16]
X, Y = symbols("x y")
F, U, V = (Function(name) for name in "fuv")
TURN = LinearAction([[0.0, -1.0], [1.0, 0.0]])


def mlp(inputs=2, outputs=1, activation=nn.ReLU):
    return nn.Sequential(nn.Linear(inputs, 32), activation(), nn.Linear(32, outputs))


def sorting():
    return mlp(activation=GroupSort)


class Own(ShapedModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    @property
    def shape(self):
        return Shape(inputs=2, outputs=1, convex={0, 1})

    def forward(self, x):
        return self.layer(x)


ARCHITECTURES = {
    ConvexNetwork: lambda: ConvexNetwork(mlp()),
    NormalisedNetwork: lambda: NormalisedNetwork(sorting(), limited=[0], bound=0.5, increasing=[1]),
    ShapedNetwork: lambda: ShapedNetwork(2, 1, [8, 8], increasing=[0], convex=[1]),
    Averaged: lambda: Averaged(mlp(), Representation(column_shifts(2))),
    Canonicalised: lambda: Canonicalised(mlp(2, 2), Representation(column_shifts(2), column_shifts(2).actions)),
}


def test_the_table_is_complete():
    kinds = [kind for name in networks.__all__ if inspect.isclass(kind := getattr(networks, name))]
    takes = ("network", "hidden")
    built = {k for k in kinds if issubclass(k, nn.Module) and set(takes) & set(inspect.signature(k).parameters)}
    assert built == set(ARCHITECTURES)


def points(count=64):
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("kind", [*ARCHITECTURES, Own], ids=lambda kind: kind.__name__)
def test_architectures_ignore_autocast(kind, dtype):
    torch.manual_seed(0)
    network, x = ARCHITECTURES.get(kind, kind)(), points()
    right = network(x)
    with torch.autocast("cpu", dtype=dtype):
        found = network(x)
    assert found.dtype == torch.float32
    assert torch.equal(found, right)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("kind", ARCHITECTURES, ids=lambda kind: kind.__name__)
def test_architectures_of_half_precision_answer_in_single(kind, dtype):
    torch.manual_seed(0)
    network, x = ARCHITECTURES[kind](), points()
    right = network(x)
    found = network.to(dtype)(x.to(dtype))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, right, rtol=0.05, atol=0.05)


def field(statement, **options):
    return declare(statement, fields=[F(X, Y)], **options)


RULES = {
    "lipschitz": (lambda: LipschitzIn(0.5, [0, 1]), sorting),
    "monotone": (lambda: MonotoneIn([0]), mlp),
    "convex": (lambda: ConvexIn([0, 1]), mlp),
    "invariance": (lambda: Invariance(column_shifts(2)), mlp),
    "permutations": (lambda: Invariance(Permutations(2)), mlp),
    "odd": (lambda: Equivariance(sign_flips(2, [0]), sign_flips(1, [0]).actions), mlp),
    "declared odd": (lambda: field(Eq(F(-X, Y), -F(X, Y))), mlp),
    "declared slopes": (lambda: field([F(X, Y).diff(X) >= 0, F(X, Y).diff(Y) >= 0]), mlp),
    "value": (lambda: field(Eq(F(0, Y), Y)), mlp),
    "slope": (lambda: field(Eq(F(X, Y).diff(X).subs(X, 0), 0), domain={X: (0, 1), Y: (0, 1)}), lambda: tanh(2)),
    "period": (lambda: field(Eq(F(0, Y), F(1, Y)), domain={X: (0, 1), Y: (0, 1)}), lambda: tanh(3)),
    "potential": (
        lambda: declare(Eq(U(X, Y).diff(X) + V(X, Y).diff(Y), 0), fields=[U(X, Y), V(X, Y)]),
        lambda: tanh(2),
    ),
}


def tanh(inputs):
    return mlp(inputs, activation=nn.Tanh)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", RULES)
def test_rules_that_build_an_architecture_ignore_autocast(name, dtype):
    torch.manual_seed(0)
    make, network = RULES[name]
    rule, x = make(), points()
    rule.bind_inputs(["x", "y"])
    model = join(network(), {name: Hard(rule)})
    right, measured = model(x), rule.measure(model, x, model(x))
    with torch.autocast("cpu", dtype=dtype):
        y = model(x)
        violation = rule.measure(model, x, y)
    assert y.dtype == violation.dtype == torch.float32
    torch.testing.assert_close(y, right)
    torch.testing.assert_close(violation, measured, rtol=1e-5, atol=2e-6)  # of draws
    assert float(violation.max()) < 1e-5


@pytest.mark.parametrize("dtype", HALVES)
def test_secants_of_a_lipschitz_network_obey_under_autocast(dtype):
    torch.manual_seed(0)
    model = join(mlp(activation=GroupSort), {"gentle": Hard(LipschitzIn(0.5, [0, 1]))})
    x = 10.0 * points(1000)
    step = 1e-3 * points(1000).flip(0)
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        change = (model(x + step) - model(x)).abs().squeeze(1).double()
    assert bool((change <= 0.5 * step.double().norm(dim=1) + 1e-5).all())


@pytest.mark.parametrize("dtype", HALVES)
def test_symmetries_by_matrices_hold_under_autocast(dtype):
    group = networks.FiniteGroup.generated([TURN])
    model = join(mlp(), {"turns": Hard(Invariance(group))})
    x, turned = points(), TURN(points())
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        torch.testing.assert_close(model(turned), model(x), rtol=1e-5, atol=1e-6)
