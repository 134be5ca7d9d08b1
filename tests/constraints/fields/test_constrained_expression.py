"""Constrained expressions: what a network breaks of conditions is taken off it, also under transformations."""

import copy

import pytest
import sympy
import torch
from torch import nn

from constraints import ShapeError, Soft, SpecificationError, UnsupportedError, declare
from constraints.fields import ConstrainedExpression, PlaceFunctional

SLOPE = PlaceFunctional(0, ((0.0, 1, 1.0),))


def field(*layers):
    torch.manual_seed(0)
    network = nn.Sequential(*(layers or (nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)))).double()
    return ConstrainedExpression(network, 0, 1, [SLOPE], nn.Identity())


def slope_at_zero(model):
    x = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(model(x).sum(), x)
    return float(slope)


def test_the_condition_holds():
    assert abs(slope_at_zero(field())) < 1e-15


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(8)], ids=["dropout", "batch norm"])
def test_networks_whose_evaluations_differ_are_refused(layer):
    with pytest.raises(UnsupportedError, match=f"depends on that point alone, got `{type(layer).__name__}`"):
        field(nn.Linear(1, 8), layer, nn.Linear(8, 1))
    field(nn.Linear(1, 8), nn.Dropout(0.0), nn.Tanh(), nn.Linear(8, 1))


def test_torch_func_passes():
    model = field()
    x = torch.rand(5, 1, dtype=torch.float64)
    torch.testing.assert_close(torch.vmap(lambda p: model(p[None])[0])(x), model(x))
    slopes = torch.vmap(torch.func.jacrev(lambda p: model(p[None])[0, 0]))(x)
    points = x.clone().requires_grad_()
    (right,) = torch.autograd.grad(model(points).sum(), points)
    torch.testing.assert_close(slopes, right)
    weights = {name: p.detach() for name, p in model.named_parameters()}
    gradient = torch.func.grad(lambda w: torch.func.functional_call(model, w, (x,)).square().sum())(weights)
    model(x).square().sum().backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(gradient[name], p.grad if p.grad is not None else torch.zeros_like(p))


def test_mistakes_are_named():
    network = nn.Linear(2, 1)
    with pytest.raises(SpecificationError, match="0 <= axis < 2"):
        ConstrainedExpression(network, 2, 2, [SLOPE], nn.Identity())
    with pytest.raises(SpecificationError, match="needs functionals"):
        ConstrainedExpression(network, 0, 2, [], nn.Identity())
    with pytest.raises(UnsupportedError, match="order <= 4, got order 5"):
        ConstrainedExpression(network, 0, 2, [PlaceFunctional(0, ((0.0, 5, 1.0),))], nn.Identity())
    one = ConstrainedExpression(nn.Linear(1, 1), 0, 1, [PlaceFunctional(1, ((0.0, 1, 1.0),))], nn.Identity())
    with pytest.raises(ShapeError, match="at least 2 outputs, got 1"):
        one(torch.zeros(3, 1))


@pytest.mark.parametrize("seen", [False, True], ids=["at once", "after a call"])
def test_a_compiled_equation_of_a_constrained_expression(seen):
    """Jets pass it under torch.compile, too."""
    torch._dynamo.reset()
    x = sympy.Symbol("x")
    u = sympy.Function("u")(x)
    rule = declare(sympy.Eq(u.diff(x, 2) + u, 1), fields=[u], domain={x: (0, 1)}, draws=0)
    model, p = field(), torch.rand(5, 1, dtype=torch.float64)
    right = rule.residuals(model, p) if seen else None
    rule.compile(backend="aot_eager")
    found = Soft(rule).penalty(model, p, model(p))
    assert rule._compiled is not None
    right = copy.deepcopy(rule).residuals(model, p) if right is None else right
    torch.testing.assert_close(found, right.square().mean())
    for one, two in zip(
        torch.autograd.grad(found, list(model.parameters())),
        torch.autograd.grad(right.square().mean(), list(model.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


class Noisy(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.inner, self.change = nn.Linear(1, 4).double(), change

    def forward(self, x):
        h = torch.tanh(self.inner(x))
        return self.change(h).sum(-1, keepdim=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: nn.functional.dropout(h, 0.5),
        lambda h: h + 0.1 * torch.randn_like(h),
        lambda h: h - h.mean(0) ** 2,
        nn.RReLU(0.1, 0.5),
    ],
    ids=["dropout", "noise", "mean of the batch", "random slopes"],
)
def test_networks_that_draw_or_mix_samples_are_refused_when_called(change):
    torch.manual_seed(0)
    model = ConstrainedExpression(Noisy(change), 0, 1, [SLOPE], nn.Identity())
    with pytest.raises(UnsupportedError, match="evaluated again by itself"):
        model(torch.linspace(-1, 1, 6, dtype=torch.float64)[:, None])


def test_a_network_of_points_is_looked_at_once():
    calls = []
    network = Noisy(lambda h: calls.append(len(h)) or h)
    model, x = ConstrainedExpression(network, 0, 1, [SLOPE], nn.Identity()), torch.rand(5, 1, dtype=torch.float64)
    model(x)
    first = len(calls)
    model(x)
    assert calls.count(1) == 2 and len(calls) < 2 * first
