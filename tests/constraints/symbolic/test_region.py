"""Equations over domains of any shape: points, samplers, normals, exact values on boundaries."""

import copy

import pytest
import sympy
import torch
from sympy import Eq, Function
from torch import nn

from constraints import (
    InfeasibleError,
    ShapeError,
    Soft,
    SpecificationError,
    UnsupportedError,
    declare,
    equations,
    normal,
)
from constraints.domains import Ball, Cuboid, Polygon
from constraints.embeddings import Hard, join
from constraints.fields import Derivatives
from constraints.fields.nested import nested_derivatives
from constraints.sampling import LatinHypercube, ResidualAdaptive, RetainResample, Sobol
from constraints.symbolic.formula_field import FormulaField
from constraints.symbolic.region import read_region
from constraints.testing import check_embedding

X, Y, T = sympy.symbols("x y t", real=True)
U, V = Function("u")(X, Y, T), Function("v")(X, Y)
PLATE = Cuboid([0.0, 0.0], [1.0, 1.0]) - Ball([0.5, 0.5], 0.25)
SPACE = {(X, Y): PLATE, T: (0.0, 2.0)}
RIM = {(X, Y): PLATE.boundary(), T: (0.0, 2.0)}
DISK = Ball([1.0, 0.0], 2.0)


def network(inputs=3, outputs=1, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))


def test_points_lie_in_the_domain():
    rule = declare(equations.heat(U, 1), fields=[U], domain=SPACE, draws=5)
    p = rule.points(torch.zeros(40, 3, dtype=torch.float64))
    assert p.shape == (40, 5, 3) and p.dtype == torch.float64
    assert bool(rule.domain.contains(p).all())
    assert bool((((p[..., :2] - 0.5).norm(dim=-1)) >= 0.25 - 1e-9).all())


@pytest.mark.parametrize(
    "sampler", [Sobol(), LatinHypercube(), ResidualAdaptive(every=1, candidates=200), RetainResample()]
)
def test_samplers_choose_points_in_training_alone(sampler):
    rule = declare(equations.heat(U, 1), fields=[U], domain=SPACE, draws=4, sampler=copy.deepcopy(sampler))
    x = torch.zeros(10, 3)
    for _ in range(2):
        penalty = Soft(rule).penalty(network(), x, x)
        assert bool(penalty.isfinite())
        rule.after_step(network())
    kept = [b.clone() for b in rule.sampler.buffers()]
    rule.eval()
    rule.measure(network(), x, x)
    assert all(torch.equal(a, b) for a, b in zip(kept, rule.sampler.buffers(), strict=True))


def test_an_adaptive_sampler_goes_where_the_residual_is():
    peak = FormulaField([sympy.exp(-200 * (X - 0.7) ** 2)], [X, Y])
    domain = {X: (0, 1), Y: (0, 1)}
    sampler = ResidualAdaptive(every=1, candidates=4000, floor=0.0)
    rule = declare(Eq(V, 0), fields=[V], domain=domain, draws=10, sampler=sampler)
    torch.manual_seed(0)
    x = torch.zeros(20, 2)
    rule.evaluate(peak, x, x)
    before = rule.points(x)
    assert torch.equal(rule.points(x), before), "points stay until the step is over"
    rule.after_step(peak)
    assert float((rule.points(x)[..., 0] - 0.7).abs().mean()) < 0.06


def test_values_on_a_boundary_are_exact():
    edge = declare(Eq(U, 1 + X * T), fields=[U], domain=RIM)
    start = declare(Eq(U.subs(T, 0), 1), fields=[U], domain=SPACE)
    assert "Hard" in edge.explain().embeddings
    for dtype in (torch.float32, torch.float64):
        model = join(network(), {"edge": Hard(edge), "start": Hard(start)}).to(dtype)
        x = torch.zeros(30, 3, dtype=dtype)
        assert float(edge.measure(model, x, x).detach().max()) < 100 * torch.finfo(dtype).eps
        assert float(start.measure(model, x, x).detach().max()) < 100 * torch.finfo(dtype).eps
        model.to(torch.float32)
    derivatives = Derivatives([(2, 0, 0), (0, 2, 0), (0, 0, 1)])
    assert "jets" in derivatives.explain(model)
    p = torch.tensor([[0.1, 0.5, 0.3], [0.85, 0.2, 1.7]], dtype=torch.float64)
    nested = nested_derivatives(model.double(), p, derivatives.wanted)
    for one, two in zip(derivatives(model, p), nested, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


def test_values_on_the_boundary_of_one_field_of_two():
    w = Function("w")(X, Y)
    edge = declare(Eq(w, X), fields=[V, w], domain={(X, Y): DISK.boundary()})
    check_embedding(Hard(edge), network(2, 2), torch.rand(6, 2))


def test_values_that_contradict_the_start_are_refused():
    edge = declare(Eq(U, X), fields=[U], domain=RIM)
    start = declare(Eq(U.subs(T, 0), 1), fields=[U], domain=SPACE)
    with pytest.raises(InfeasibleError, match="where they meet the boundary"):
        join(network(), {"edge": Hard(edge), "start": Hard(start)})


def test_values_beside_slopes_are_not_known():
    edge = declare(Eq(U, 1), fields=[U], domain=RIM)
    slope = declare(Eq(U.diff(T).subs(T, 0), 0), fields=[U], domain=SPACE)
    with pytest.raises(UnsupportedError, match="values on a boundary, and slopes"):
        join(network(), {"edge": Hard(edge), "slope": Hard(slope)})


def test_normals_are_symbols():
    nx, ny = normal(X, Y)
    flux = declare(Eq(nx * V.diff(X) + ny * V.diff(Y), 2), fields=[V], domain={(X, Y): DISK.boundary()}, draws=3)
    assert "Hard" not in flux.explain().embeddings
    field = FormulaField([((X - 1) ** 2 + Y**2) / 2], [X, Y])  # its slope along the normal is the radius
    x = torch.zeros(9, 2, dtype=torch.float64)
    assert float(flux.measure(field, x, x).max()) < 1e-12
    with pytest.raises(SpecificationError, match="got normal_x"):
        declare(Eq(nx * V.diff(X), 2), fields=[V], domain={(X, Y): DISK})


def test_points_of_the_users_must_lie_inside():
    triangle = Polygon([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    rule = declare(equations.poisson(V), fields=[V], domain={(X, Y): triangle}, draws=0)
    assert rule.measure(network(2), torch.tensor([[0.2, 0.2]]), torch.zeros(1, 1)).shape == (1,)
    with pytest.raises(SpecificationError, match=r"got 1 of 2 outside, one at {'x': 0.7, 'y': 0.6}"):
        rule.measure(network(2), torch.tensor([[0.2, 0.2], [0.7, 0.6]]), torch.zeros(2, 1))


@pytest.mark.parametrize(
    ("region", "kind", "told"),
    [
        ({X: (0, 1)}, SpecificationError, "each of the coordinates"),
        ({(Y, X): DISK, T: (0, 1)}, SpecificationError, "in their order"),
        ({X: (0, 1), Y: (1, 0), T: (0, 1)}, SpecificationError, "finite bounds low <= high of y"),
        ({X: (0, 1), Y: (0, 1), T: (0, float("inf"))}, SpecificationError, "finite bounds"),
        ({X: 3, Y: (0, 1), T: (0, 1)}, SpecificationError, "finite bounds"),
        ({(X, Y, T): DISK}, ShapeError, "needs dimension 3, got 2"),
    ],
)
def test_regions_that_are_none_are_refused(region, kind, told):
    with pytest.raises(kind, match=told):
        read_region(region, [X, Y, T])
