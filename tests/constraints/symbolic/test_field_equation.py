"""Equations of fields: known solutions have no residual, conditions are found at their places, mistakes are named."""

import copy
import math
import pickle

import pytest
import sympy
import torch
from sympy import Eq, Function, exp, log, pi, sin
from torch import nn

from constraints import (
    AugmentedLagrangian,
    FieldEquation,
    Learnable,
    Monitor,
    NonFiniteError,
    ShapeError,
    Soft,
    SpecificationError,
    UnsupportedError,
    declare,
)
from constraints.domains import Cuboid
from constraints.embeddings import Hard
from constraints.fields import TransformedNetwork
from constraints.sampling import Uniform
from constraints.testing import check_embedding, check_rule

X, Y, T, NU = sympy.symbols("x y t nu")
NAME = Function("u")
U = NAME(X, T)


class Known(nn.Module):
    """A known function of two coordinates, one output an expression."""

    def __init__(self, *expressions, coordinates=(X, T)):
        super().__init__()
        self.functions = [sympy.lambdify(coordinates, e, torch) for e in expressions]

    def forward(self, p):
        return torch.stack([f(*p.unbind(-1)) + 0.0 * p[..., 0] for f in self.functions], dim=-1)


def points(seed=0, low=0.1, high=0.9):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(7, 2, generator=generator, dtype=torch.float64)


def worst(rule, field, p):
    return float(rule.measure(field, p, p).max())


TANH = sympy.tanh
SOLVED = [
    (Eq(U.diff(T), NU * U.diff(X, 2)).subs(NU, 0.3), exp(-0.3 * T) * sin(X)),
    (Eq(U.diff(T, 2), 4 * U.diff(X, 2)), sin(X) * sympy.cos(2 * T)),
    (Eq(U.diff(T) + U * U.diff(X), 0.1 * U.diff(X, 2)), 1 - TANH((X - T) / 0.2)),
    (Eq(U.diff(T) + 6 * U * U.diff(X) + U.diff(X, 3), 0), 2 / sympy.cosh(X - 4 * T) ** 2),
    (Eq(U.diff(X, 4) + 2 * U.diff(X, 2, T, 2) + U.diff(T, 4), 4 * sin(X) * sin(T)), sin(X) * sin(T)),
    (Eq(U.diff(X, T), sympy.cos(X * T) - X * T * sin(X * T)), sin(X * T)),
]


@pytest.mark.parametrize(("equation", "solution"), SOLVED, ids=lambda e: str(e)[:60])
def test_known_solutions_have_no_residual(equation, solution):
    rule = declare(equation, fields=[U])
    assert isinstance(rule, FieldEquation)
    p = points()
    assert worst(rule, Known(solution), p) < 1e-9
    assert worst(rule, Known(solution + X**4 * T**4), p) > 1e-3


def test_residuals_are_those_of_sympy():
    solution, equation = sin(2 * X) * exp(-T) + X * T, Eq(U.diff(T) + U * U.diff(X) - T, 0.2 * U.diff(X, 2))
    rule = declare(equation, fields=[U])
    p = points()
    expected = (equation.lhs - equation.rhs).subs(U, solution).doit()
    values = sympy.lambdify((X, T), expected, torch)(*p.unbind(-1))
    torch.testing.assert_close(rule.evaluate(Known(solution), p, p)[:, 0], values)


def test_conditions_are_found_at_their_places():
    field, p = Known(sin(pi * X) * (1 + T)), points()
    zero = [
        Eq(U.subs(T, 0), sin(pi * X)),
        Eq(NAME(0, T), 0),
        Eq(U.diff(X).subs(X, 0), pi * (1 + T)),
        Eq(NAME(X, 0).diff(X), pi * sympy.cos(pi * X)),
        Eq(NAME(1, T), NAME(0, T)),
        Eq(U.diff(X).subs(X, 1) + U.diff(X).subs(X, 0), NAME(1, T)),
        Eq(NAME(1 - X, T), U),
    ]
    for condition in zero:
        assert worst(declare(condition, fields=[U], domain={X: (0, 1), T: (0, 1)}, draws=3), field, p) < 1e-9, condition
    robin = declare(Eq(U.diff(X).subs(X, 0) + 2 * NAME(0, T), 1), fields=[U])
    expected = (torch.pi * (1 + p[:, 1]) - 1).abs()
    torch.testing.assert_close(robin.measure(field, p, p), expected)


def test_systems_of_several_fields():
    v, w, q = (Function(name)(X, Y) for name in ("v", "w", "q"))
    free = 40
    rate = free / 2 - math.sqrt((free / 2) ** 2 + 4 * math.pi**2)  # Kovasznay's flow
    flow = (
        1 - exp(rate * X) * sympy.cos(2 * pi * Y),
        rate / (2 * pi) * exp(rate * X) * sin(2 * pi * Y),
        (1 - exp(2 * rate * X)) / 2,
    )
    equations = [
        Eq(v * v.diff(X) + w * v.diff(Y), -q.diff(X) + (v.diff(X, 2) + v.diff(Y, 2)) / free),
        Eq(v * w.diff(X) + w * w.diff(Y), -q.diff(Y) + (w.diff(X, 2) + w.diff(Y, 2)) / free),
        Eq(v.diff(X) + w.diff(Y), 0),
    ]
    rule = declare(equations, fields=[v, w, q])
    assert worst(rule, Known(*flow, coordinates=(X, Y)), points()) < 1e-8
    with pytest.raises(ShapeError, match="its 3 fields need a model with an output for each, got 2 outputs"):
        rule.measure(Known(*flow[:2], coordinates=(X, Y)), points(), points())


def test_inequalities():
    rule = declare(U >= X, fields=[U])
    p = points()
    torch.testing.assert_close(rule.measure(Known(X - 0.25 * T), p, p), 0.25 * p[:, 1])
    assert worst(rule, Known(X + T), p) == 0.0


def test_coefficients_are_learnt():
    rule = declare(Eq(U.diff(T), NU * U.diff(X, 2)), fields=[U], parameters={NU: Learnable(initial=0.1, low=0.0)})
    field = Known(exp(-0.7 * T) * sin(X))
    embedding = Soft(rule)
    optimiser = torch.optim.Adam(rule.parameters(), lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        embedding.penalty(field, points(), points()).backward()
        optimiser.step()
    assert float(rule.learnt["nu"]) == pytest.approx(0.7, abs=1e-2)


def test_a_parameter_can_be_a_coordinate():
    u = NAME(X, T, NU)
    rule = declare(Eq(u.diff(T), NU * u.diff(X, 2)), fields=[u])
    field = Known(exp(-NU * T) * sin(X), coordinates=(X, T, NU))
    p = torch.rand(5, 3, dtype=torch.float64)
    assert worst(rule, field, p) < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_laws_hold(dtype):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)
    p = points().to(dtype)
    burgers = Eq(U.diff(T) + U * U.diff(X), 0.01 / pi * U.diff(X, 2))
    for rule in (
        declare(burgers, fields=[U], name="burgers"),
        declare(burgers, fields=[U], domain={X: (-1, 1), T: (0, 1)}, draws=4, name="drawn"),
        declare(U <= 0, fields=[U], name="negative"),
    ):
        check_rule(rule, network, p, network(p))
        check_embedding(Soft(rule), network, p)
        check_embedding(AugmentedLagrangian(rule), network, p)
        torch.manual_seed(3)
        found = rule.measure(network, p, p)
        for copied in (copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):
            torch.manual_seed(3)
            torch.testing.assert_close(copied.measure(network, p, p), found)
        with pytest.raises(UnsupportedError):
            Hard(rule)


def test_points_are_drawn_in_the_domain():
    rule = declare(Eq(U.diff(T), 1), fields=[U], domain={X: (-1, 1), T: (2, 3)}, draws=50)
    drawn = rule.points(torch.zeros(40, 2))
    assert drawn.shape == (40, 50, 2)
    assert -1 <= float(drawn[..., 0].min()) < -0.9 and 0.9 < float(drawn[..., 0].max()) <= 1
    assert float(drawn[..., 1].min()) >= 2 and float(drawn[..., 1].max()) <= 3


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: declare(Eq(U.diff(T), sympy.Symbol("q")), fields=[U]), "a coordinate or a parameter, got q"),
        (lambda: declare(Eq(NAME(X).diff(X), 0), fields=[U]), "needs 2 arguments"),
        (lambda: declare(Eq(Function("v")(X, T), U), fields=[U]), "among its fields, got v"),
        (lambda: declare(Eq(U, Function("v")(X)), fields=[U, Function("v")(X)]), "same coordinates"),
        (lambda: declare(Eq(U, 0), fields=[U], domain={X: (0, 1)}), "each of the coordinates"),
        (lambda: declare(Eq(U, 0), fields=[U], domain={X: (0, 1), T: (1, 0)}), "finite bounds"),
        (lambda: declare(Eq(U, 0), fields=[U], domain={X: (0, 1), T: (0, 1)}, draws=-1), "draws"),
        (lambda: declare(Eq(U, 0), fields=[U], domain={X: (0, 1), T: (0, 1)}, draws=True), "draws >= 0, got True"),
        (lambda: declare(sympy.And(Eq(U, 0), U.diff(X) >= 0), fields=[U]), "two rules"),
        (lambda: declare(sympy.Or(U <= 0, U.diff(X) <= 0), fields=[U]), "equations, or inequalities"),
        (lambda: declare(Eq(U.diff(X, 5), 0), fields=[U]), "order"),
        (lambda: declare(Eq(sympy.Integral(U, (X, 0, sympy.oo)), 1), fields=[U]), "finite limits"),
        (lambda: declare(X <= 1, outputs=[X], domain={X: (0, 1)}), "beside outputs, got domain="),
    ],
)
def test_mistakes_are_named(make, told):
    with pytest.raises(SpecificationError, match=told):
        make()


def test_residuals_that_are_not_finite_are_named_with_their_point():
    rule = declare(Eq(log(U), 0), fields=[U])
    with pytest.raises(NonFiniteError, match=r"'x': 0\.5, 't': 0\.25"):
        rule.measure(Known(-1 + 0 * X), torch.tensor([[0.5, 0.25]], dtype=torch.float64), torch.zeros(1, 1))


def test_integrals():
    field, p = Known(exp(-T) * sin(pi * X)), points()
    mass = declare(Eq(sympy.Integral(U, (X, 0, 1)), 2 * exp(-T) / pi), fields=[U])
    assert worst(mass, field, p) < 1e-14
    energy = declare(Eq(sympy.Integral(U**2 + X * U.diff(X), (X, 0, 1), (T, 0, 1)), 0), fields=[U])
    expected = sympy.integrate(
        (exp(-T) * sin(pi * X)) ** 2 + X * pi * exp(-T) * sympy.cos(pi * X), (X, 0, 1), (T, 0, 1)
    )
    assert worst(energy, field, p[:2]) == pytest.approx(abs(float(expected)), rel=1e-12)
    partial = declare(Eq(sympy.Integral(U, (X, 0, X)), exp(-T) * (1 - sympy.cos(pi * X)) / pi), fields=[U])
    assert worst(partial, field, p) < 1e-14


def test_points_may_be_the_models_inputs_and_must_lie_in_the_domain():
    rule = declare(Eq(U.diff(T), 0), fields=[U], domain={X: (0, 1), T: (0, 1)}, draws=0)
    p = points()
    assert rule.points(p) is p
    assert rule.measure(Known(X), p, p).shape == (7,)
    corners = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert rule.measure(Known(X), corners, corners).shape == (2,)
    with pytest.raises(SpecificationError, match=r"inside its domain, got 1 of 7 outside, one at {'x': 1.5, 't'"):
        rule.measure(Known(X), torch.cat([p[:6], torch.tensor([[1.5, 0.5]], dtype=p.dtype)]), p)


def test_places_of_the_same_derivatives_share_a_pass():
    calls = []

    class Counted(Known):
        def forward(self, p):
            calls.append(len(p))
            return super().forward(p)

    walls = declare([Eq(NAME(0, T), 0), Eq(NAME(1, T), 0), Eq(NAME(X, 0), sin(pi * X))], fields=[U])
    p = points()
    assert float(walls.measure(Counted(sin(pi * X)), p, p).max()) < 1e-15
    assert calls == [3 * len(p)]


def test_it_compiles_whole_and_falls_back(recwarn):
    rule = declare(Eq(U.diff(T) + U * U.diff(X), 0.1 * U.diff(X, 2)), fields=[U])
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    p = points()
    plain = rule.quantity(network, p)
    rule.compile(backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(rule.quantity(network, p), plain)
    rule.quantity(network, p).square().mean().backward()
    assert all(q.grad is not None for q in list(network.parameters())[:-1])
    assert not [w for w in recwarn if "runs eagerly" in str(w.message)]
    assert copy.deepcopy(rule)._compiled is None and rule._compiled is not None

    def broken(graph, example):
        raise RuntimeError("no compiler here")

    rule.compile(backend=broken)
    with pytest.warns(UserWarning, match="is not compiled, runs eagerly"):
        torch.testing.assert_close(rule.quantity(network, p), plain)


def test_a_laplacian_is_one_operator():
    """So that jets carry its sum instead of each second derivative; unless one of them is spoken of otherwise."""

    def wanted(statement):
        return [operator for several, _, _ in declare(statement, fields=[U])._residual._passes for operator in several]

    assert len(wanted(Eq(U.diff(X, 2) + 3 * U.diff(T, 2), X))) == 1
    assert len(wanted(Eq(U.diff(X, 2) + U.diff(T, 2) + U.diff(X), 0))) == 1
    assert len(wanted(Eq(U.diff(T) + U * U.diff(X), U.diff(X, 2)))) == 3  # u, u_x, u_t - u_xx
    assert len(wanted(Eq(U.diff(X, 2) ** 2 + U.diff(T, 2), 0))) == 2
    assert len(wanted(Eq(X * U.diff(X, 2) + U.diff(T, 2), 0))) == 2
    both = declare([Eq(U.diff(X, 2) + U.diff(T, 2), 0), Eq(U.diff(X, 2), U)], fields=[U])
    field, p = Known(sin(X) * exp(2 * T)), points()
    value = torch.sin(p[:, 0]) * torch.exp(2 * p[:, 1])
    torch.testing.assert_close(both.quantity(field, p), torch.stack([3 * value, -2 * value], dim=1))


@pytest.mark.parametrize(
    "symbol", [sympy.Symbol("x", real=True), sympy.Symbol("t"), sympy.Symbol("a.b"), sympy.Symbol("normal_x")]
)
def test_a_parameter_needs_a_name_of_its_own(symbol):
    with pytest.raises(SpecificationError, match="a plain name of its own"):
        FieldEquation([Eq(U.diff(T), symbol * U)], [U], parameters={symbol: Learnable(initial=2.0)})


def test_a_parameter_may_have_any_name():
    found = []
    for name in ("term_0", "term_1", "k"):
        k = sympy.Symbol(name)
        rule = declare(Eq(U.diff(T) ** 2 * k, U**2), fields=[U], parameters={k: Learnable(initial=2.0)})
        found.append(rule.measure(Known(sin(X) * exp(T)), points(), points()))
    assert torch.equal(found[0], found[2]) and torch.equal(found[1], found[2])


def test_slips_have_an_error_each():
    same = sympy.Symbol("x", positive=True)
    told = {"fields": [U], "domain": {X: (0, 1), T: (0, 1)}}
    with pytest.raises(SpecificationError, match="x with other assumptions: use the same symbol"):
        declare(Eq(U.diff(T), same), **told)
    with pytest.raises(SpecificationError, match="whole number of draws"):
        declare(Eq(U.diff(T), 0), draws=2.5, **told)
    with pytest.raises(SpecificationError, match="of which coordinates it is"):
        declare(Eq(U.diff(T), 0), fields=[U], domain=Cuboid([0.0, 0.0], [1.0, 1.0]))


RIDGE = exp(-((50 * (X - T)) ** 2))


@pytest.mark.parametrize(
    ("equation", "warns"),
    [
        (Eq(sympy.Integral(U, (X, 0, 1)), sympy.Integral(exp(-((X - 0.3) ** 2) * 9), (X, 0, 1))), False),
        (Eq(sympy.Integral(U, (X, 0, 1)), sympy.Integral(exp(-((X - 0.3) ** 2) * 5000), (X, 0, 1))), True),
        (Eq(sympy.Integral(U, (X, 0, 1)), sympy.Integral(exp(-((X - T) ** 2)), (X, 0, 1))), False),
        (Eq(sympy.Integral(U, (X, 0, 1)), sympy.Integral(exp(-((X - T) ** 2) * 5000), (X, 0, 1))), True),
        (Eq(sympy.Integral(U, (X, 0, 1), (T, 0, 1)), sympy.Integral(RIDGE, (X, 0, 1), (T, 0, 1))), True),
        (Eq(sympy.Integral(U * RIDGE, (X, 0, 1), (T, 0, 1)), 1), True),
        (Eq(sympy.Integral(U * exp(X - T), (X, 0, 1), (T, 0, 1)), 1), False),
        (Eq(sympy.Integral(X * U, (X, -1, 1)), 0), False),
    ],
    ids=str,
)
def test_integrals_of_what_is_known_and_along_diagonals(equation, warns, recwarn):
    """A ridge at an angle looks smooth once it is summed along the other coordinate."""
    rule = declare(equation, fields=[U], nodes=33 if equation.lhs.limits[0][1] == -1 else None)
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    assert rule.quantity(network, torch.rand(5, 2)).shape == (5, 1)
    assert any("does not resolve an integral" in str(one.message) for one in recwarn) is warns


@pytest.mark.parametrize("option", [{"draws": 7}, {"sampler": Uniform()}], ids=["draws", "sampler"])
@pytest.mark.parametrize("condition", [Eq(U.subs({X: 0, T: 0}), 1), Eq(U.diff(X).subs(X, 0).subs(T, 1), 0)], ids=str)
def test_draws_of_fixed_places_are_refused(condition, option):
    told = {"fields": [U], "domain": {X: (0, 1), T: (0, 1)}}
    with pytest.raises(SpecificationError, match="all coordinates are fixed"):
        declare(condition, **told, **option)
    declare([condition, Eq(U.subs(X, 0), T)], **told, **option)  # one that has a use


class Cubes(nn.Module):
    """No jets pass it."""

    def forward(self, x):
        return x**3


@pytest.mark.parametrize("width", [8, 1])
@pytest.mark.parametrize("bend", [nn.Tanh, Cubes])
@pytest.mark.parametrize("embed", [Soft, Monitor])
def test_a_network_of_other_inputs_than_coordinates_is_refused(embed, bend, width):
    rule = FieldEquation([Eq(U.diff(T), U.diff(X, 2))], [U], domain={(X, T): Cuboid([0.0, 0.0], [1.0, 1.0])}, draws=4)
    field = nn.Sequential(nn.Linear(3, width), bend(), nn.Linear(width, 1))
    told = r"needs a network of its 2 coordinates \(x, t\), got `Sequential` of 3 inputs"
    with pytest.raises(ShapeError, match=told):
        embed(rule).measure(field, torch.rand(5, 3), torch.rand(5, 1))
    whole = FieldEquation([Eq(U.diff(T), U.diff(X, 2))], [U])
    with pytest.raises(ShapeError, match=r"needs points \(\*batch, 2\) of its coordinates \(x, t\), got shape"):
        embed(whole).measure(field, torch.rand(5, 3), torch.rand(5, 1))
    features = TransformedNetwork(field, inputs=nn.Linear(2, 3))
    assert embed(rule).measure(features, torch.rand(5, 3), torch.rand(5, 1)).shape == (5,)
    two = TransformedNetwork(nn.Linear(3, 2), inputs=nn.Linear(2, 3))
    with pytest.raises(ShapeError, match="its 1 fields need a model with an output for each, got 2 outputs"):
        embed(rule).measure(two, torch.rand(5, 3), torch.rand(5, 1))
