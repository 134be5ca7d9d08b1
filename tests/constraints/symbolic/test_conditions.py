"""Hard conditions: exact on random networks whatever they are, jets equal nested autograd, contradictions named."""

import math

import pytest
import sympy
import torch
from sympy import Eq, Function, Rational, cos, cosh, exp, pi, sin, sqrt, tanh
from torch import nn

from constraints import FieldEquation, InfeasibleError, SpecificationError, UnsupportedError, declare
from constraints.domains import Cuboid
from constraints.embeddings import Hard, join
from constraints.fields import Derivatives, FourierFeatures
from constraints.fields.nested import nested_derivatives
from constraints.symbolic.conditioned import ConditionedNetwork
from constraints.symbolic.formula_field import FormulaField
from constraints.testing import check_embedding

X, T, K = sympy.symbols("x t k")
NAME = Function("u")
U = NAME(X, T)
BOX = {X: (0, 1), T: (0, 2)}
AROUND = {X: (-1, 1), T: (0, 1)}
WALLS = [Eq(NAME(0, T), 0), Eq(NAME(1, T), 0)]
CASES = {
    "Dirichlet, initial": ([Eq(NAME(X, 0), sin(pi * X)), WALLS], BOX, 2),
    "initial velocity": ([[Eq(NAME(X, 0), sin(pi * X)), Eq(U.diff(T).subs(T, 0), X * (1 - X))], WALLS], BOX, 2),
    "Neumann, Robin": ([Eq(U.diff(X).subs(X, 0), T), Eq(U.diff(X).subs(X, 1) + 2 * NAME(1, T), 1)], BOX, 2),
    "Dirichlet, Neumann, initial": (
        [Eq(NAME(0, T), 1), Eq(U.diff(X).subs(X, 1), exp(-T)), Eq(NAME(X, 0), 1 + X)],
        BOX,
        2,
    ),
    "clamped": ([[*WALLS, Eq(U.diff(X).subs(X, 0), 0), Eq(U.diff(X).subs(X, 1), T)]], BOX, 2),
    "periodic": (
        [[Eq(NAME(0, T), NAME(1, T)), Eq(U.diff(X).subs(X, 0), U.diff(X).subs(X, 1))], Eq(NAME(X, 0), cos(2 * pi * X))],
        BOX,
        3,
    ),
    "odd": ([[Eq(NAME(-1, T), 0), Eq(NAME(1, T), 0)], Eq(NAME(X, 0), -sin(pi * X)), Eq(NAME(-X, T), -U)], AROUND, 2),
    "odd, one wall": ([Eq(NAME(1, T), T), Eq(NAME(X, 0), 0), Eq(NAME(-X, T), -U)], AROUND, 2),
    "even": ([Eq(NAME(-X, T), U), Eq(NAME(X, 0), cos(pi * X))], AROUND, 2),
    "even about a middle": ([Eq(NAME(1 - X, T), U), WALLS], BOX, 2),
    "without a domain": ([Eq(NAME(X, 0), X), Eq(NAME(2, T), 2)], None, 2),
    "two Neumann": ([[Eq(U.diff(X).subs(X, 0), 0), Eq(U.diff(X).subs(X, 1), T)]], BOX, 2),
}


def network(inputs, outputs=1, seed=0):
    torch.manual_seed(seed)
    layers = [nn.Linear(inputs, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, outputs)]
    return nn.Sequential(*layers)


def rules_of(conditions, domain, fields=(U,)):
    return {f"rule{i}": declare(c, fields=list(fields), domain=domain) for i, c in enumerate(conditions)}


def joined(conditions, domain, inputs, seed=0):
    rules = rules_of(conditions, domain)
    return rules, join(network(inputs, seed=seed), {name: Hard(rule) for name, rule in rules.items()})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_hold_to_rounding_on_random_networks(case, dtype):
    conditions, domain, inputs = CASES[case]
    for seed in range(3):
        rules, model = joined(conditions, domain, inputs, seed)
        model = model.to(dtype)
        for parameter in model.parameters():
            parameter.data *= 3.0  # far from the small networks that training begins with
        p = torch.rand(40, 2, dtype=dtype)
        for rule in rules.values():
            assert isinstance(rule, FieldEquation) and rule.guaranteed(model)
            assert float(rule.measure(model, p, p).detach().max()) < 300 * torch.finfo(dtype).eps, rule.name


@pytest.mark.parametrize("case", CASES)
def test_jets_equal_nested_autograd(case):
    _, model = joined(*CASES[case])
    derivatives = Derivatives([(0, 0), (1, 0), (0, 2), (1, 1), (2, 2), (4, 0)])
    assert "jets" in derivatives.explain(model)
    p = 0.1 + 0.8 * torch.rand(6, 2, dtype=torch.float64)
    nested = nested_derivatives(model.double(), p, derivatives.wanted)
    for one, two in zip(derivatives(model, p), nested, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


def test_what_a_network_gives_still_matters():
    conditions, domain, inputs = CASES["odd"]
    _, one = joined(conditions, domain, inputs, 0)
    _, two = joined(conditions, domain, inputs, 1)
    p = torch.tensor([[0.3, 0.5]])
    assert (one(p) - two(p)).abs().item() > 1e-4


def test_the_laws_of_embeddings():
    (rule,) = rules_of([WALLS], BOX).values()
    check_embedding(Hard(rule), network(2), torch.rand(5, 2))


def test_several_fields():
    v = Function("v")(X, T)
    fields = [U, v]
    conditions = [Eq(NAME(0, T), 1), Eq(v.subs(X, 1), T), Eq(v.subs(T, 0), 0)]
    rules = rules_of(conditions, BOX, fields)
    model = join(network(2, 2), {name: Hard(rule) for name, rule in rules.items()})
    p = torch.rand(20, 2)
    assert all(float(rule.measure(model, p, p).detach().max()) < 1e-6 for rule in rules.values())
    free = Derivatives([(0, 0)])(model, torch.tensor([[0.0, 0.0], [1.0, 1.0]]))[0]
    assert free[1, 0].item() != pytest.approx(1.0)  # a condition of v does not bind u
    one_only = declare(Eq(U.diff(X).subs(X, 0), 0), fields=fields, domain=BOX)
    assert "Hard" in one_only.explain().embeddings  # but the slope of v is bound with it: see below
    slopes = [Eq(U.diff(X).subs(X, 0), 0), Eq(v.diff(X).subs(X, 1), 0)]
    rules = rules_of(slopes, BOX, fields)
    with pytest.raises(UnsupportedError, match="along x must be those of all fields"):
        join(network(2, 2), {name: Hard(rule) for name, rule in rules.items()})


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (Eq(U.diff(T), U.diff(X, 2)), "everywhere"),
        (Eq(NAME(0, T) ** 2, 1), "not linear"),
        (Eq(NAME(0, T) * T, 1), "coefficients that vary"),
        (Eq(U.diff(T).subs(X, 0), 1), "derivatives along the place"),
        (Eq(NAME(0, 0), 1), "several coordinates"),
        (Eq(NAME(0, T) + NAME(1, T), 1), "ties several places"),
        (Eq(NAME(X * T, T), U), "places that move"),
        (Eq(U.diff(X, 2).subs(X, 0), 0), "orders [2]"),
        (U >= 0, "inequality"),
    ],
    ids=str,
)
def test_what_cannot_be_held_is_soft_and_says_why(condition, reason):
    rule = declare(condition, fields=[U], domain=BOX)
    assert "Hard" not in rule.explain().embeddings
    assert reason in rule.soft_because
    with pytest.raises(UnsupportedError, match="cannot be"):
        Hard(rule)
    with pytest.raises(UnsupportedError, match="cannot be guaranteed"):
        rule.wrap(network(2))


def test_contradictions_are_named():
    with pytest.raises(InfeasibleError, match="one wants 1 at x = 0, another 2"):
        declare([Eq(NAME(0, T), 1), Eq(2 * NAME(0, T), 4)], fields=[U], domain=BOX)
    walls, start = rules_of([Eq(NAME(0, T), 1), Eq(NAME(X, 0), sin(X))], BOX).values()
    with pytest.raises(InfeasibleError, match="where they meet"):
        join(network(2), {"walls": Hard(walls), "start": Hard(start)})
    with pytest.raises(InfeasibleError, match="contradict"):
        declare([Eq(NAME(-X, T), -U), Eq(NAME(X, 0), cos(X))], fields=[U], domain=AROUND)


def test_a_period_takes_a_network_that_begins_with_features():
    (rule,) = rules_of([Eq(NAME(0, T), NAME(1, T))], BOX).values()
    features = FourierFeatures(3, 5, generator=torch.Generator().manual_seed(0))
    model = join(nn.Sequential(features, nn.Linear(10, 1)).double(), {"period": Hard(rule)})
    ends = torch.tensor([[0.0, 0.3], [1.0, 0.3]], dtype=torch.float64)
    low, high = model(ends)
    assert float((low - high).abs().detach()) < 1e-12


def test_a_period_needs_a_network_of_another_width():
    (rule,) = rules_of([Eq(NAME(0, T), NAME(1, T))], BOX).values()
    with pytest.raises(
        SpecificationError, match=r"network of 3 inputs, cos\(2\*pi\*x\), sin\(2\*pi\*x\), t, got one of 2"
    ):
        join(network(2), {"periodic": Hard(rule)})


def test_a_hard_condition_survives_training_steps():
    rules, model = joined(*CASES["Dirichlet, initial"])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        Derivatives([(2, 0)])(model, torch.rand(8, 2))[0].square().mean().backward()
        optimizer.step()
    assert isinstance(model, ConditionedNetwork)
    assert all(
        float(r.measure(model, torch.rand(8, 2), torch.rand(8, 2)).detach().max()) < 1e-5 for r in rules.values()
    )


FORMULAS = [X * sin(T) + exp(-X * T) + 2, sqrt(1 + X**2) / cosh(T), sympy.tan(X) + sympy.sech(T) ** 3, tanh(X) * X**-2,
            sympy.log(1 + X) * X ** sympy.Rational(3, 2), sympy.Integer(3)]  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_formulas_as_fields(formula):
    real = {X: sympy.Symbol("x", real=True), T: sympy.Symbol("t", real=True)}
    field = FormulaField([formula.xreplace(real)], list(real.values()))
    p = 0.2 + 0.6 * torch.rand(5, 2, dtype=torch.float64)
    wanted = [(0, 0), (1, 0), (2, 1), (3, 1)]
    derivatives = Derivatives(wanted)
    assert "jets" in derivatives.explain(field)
    for (i, j), value in zip(wanted, derivatives(field, p), strict=True):
        truth = sympy.lambdify((X, T), formula.diff(X, i, T, j) + 0 * X, "math")
        expected = torch.tensor([truth(*row) for row in p.tolist()], dtype=torch.float64)
        torch.testing.assert_close(value[:, 0], expected, rtol=1e-9, atol=1e-9)


def test_formulas_without_a_jet_rule_fall_back():
    x = sympy.Symbol("x", real=True)
    field = FormulaField([sympy.erf(x)], [x])
    derivatives = Derivatives([(1,)])
    assert "nested autograd: `FormulaField` has no jet rule for erf" in derivatives.explain(field)
    (slope,) = derivatives(field, torch.zeros(1, 1))
    assert slope.item() == pytest.approx(2 / math.sqrt(math.pi))
    with pytest.raises(SpecificationError, match="expressions of"):
        FormulaField([x * K], [x])


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        (Eq(U.diff(X).subs(X, sympy.Rational(1, 2)), 0), "mirrored there"),  # would make the field even about it
        (Eq(NAME(0, T), NAME(sympy.Rational(1, 2), T)), "repeat itself within 0 <= x <= 1"),
        ([Eq(U.diff(X).subs(X, -1), 0), Eq(U.diff(X).subs(X, 0), 0)], "mirrored there"),
        (Eq(U.diff(X).subs(X, 0), U.diff(X).subs(X, 1)), "only slopes"),  # u = x is such a field
        (Eq(NAME(0, T), X + T), "varies with x"),  # holds nowhere but at x = 0
    ],
)
def test_what_would_bind_the_field_further_is_not_hard(condition, why):
    rule = declare(condition, fields=[U], domain=BOX)
    assert isinstance(rule, FieldEquation) and not rule.conditions
    assert why in rule.soft_because


def test_slopes_at_the_ends_of_a_domain_written_in_decimals():
    domain = {X: (0, math.pi), T: (0, 1)}
    rule = declare([Eq(U.diff(X).subs(X, 0), 0), Eq(U.diff(X).subs(X, pi), 0)], fields=[U], domain=domain)
    assert "Hard" in rule.explain().embeddings


def test_a_value_on_a_part_of_a_boundary_does_not_bind_the_rest():
    y = sympy.Symbol("y")
    u = NAME(X, y)
    left = Cuboid([0.0, 0.0], [1.0, 1.0]).boundary() & Cuboid([0.0, 0.0], [0.0, 1.0])
    rule = declare(Eq(u, y), fields=[u], domain={(X, y): left})
    assert isinstance(rule, FieldEquation) and "part of a boundary" in rule.soft_because
    u = NAME(X, y, T)
    sides = declare(Eq(u, y), fields=[u], domain={(X, y): left, T: (0, 1)})
    assert isinstance(sides, FieldEquation) and "part of a boundary" in sides.soft_because


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("heat", [20, 1000])
def test_steep_robin_conditions_leave_the_field_of_ordinary_size(dtype, heat):
    walls = [Eq(U.diff(X).subs(X, 0), heat * NAME(0, T)), Eq(U.diff(X).subs(X, 1) + heat * NAME(1, T), 0)]
    for conditions in (walls, walls[1:]):
        _, model = joined(conditions, BOX, 2)
        p = torch.rand(40, 2, dtype=dtype)
        assert 1e-3 < float(model.to(dtype)(p).abs().max()) < 10.0
        for c in conditions:
            rule = declare(c, fields=[U], domain=BOX)
            assert float(rule.measure(model, p, p).detach().max()) < 30 * heat * torch.finfo(dtype).eps


def test_a_moment_of_time_as_the_domain_of_an_initial_condition():
    (rule,) = rules_of([Eq(NAME(X, 0), sin(pi * X))], {X: (0, 1), T: (0, 0)}).values()
    model = join(network(2), {"start": Hard(rule)})
    p = torch.rand(5, 2)
    assert float(rule.measure(model, p, p).detach().max()) < 1e-6


def test_contradictions_are_found_at_every_scale():
    for scale in (1e-12, 1e12):
        with pytest.raises(InfeasibleError, match="contradict"):
            joined([Eq(NAME(X, 0), scale * (1 + X)), Eq(NAME(0, T), 0)], BOX, 2)
        joined([Eq(NAME(X, 0), scale * exp(-0.3 * X)), Eq(NAME(0, T), scale * cos(0.7 * T))], BOX, 2)
    joined([Eq(NAME(X, 0), sin(math.pi * X)), *WALLS], BOX, 2)  # sin(pi) in decimals is not 0


def test_decimals_are_the_numbers_that_they_show():
    at = 12345.678901234567
    _, model = joined([Eq(NAME(at, T), 1)], None, 2)
    assert float(model.double()(torch.tensor([[at, 0.5]], dtype=torch.float64)).detach()) == 1.0
    joined([Eq(NAME(0, T), 0.3 * T), Eq(2 * NAME(0, T), 0.6 * T)], None, 2)


def test_bounds_are_those_of_all_rules_in_any_order():
    """A slope in the middle of a domain that only another rule knows would fold the field."""
    fold = declare(Eq(U.diff(X).subs(X, Rational(1, 2)), 0), fields=[U])
    start = declare(Eq(NAME(X, 0), 0), fields=[U], domain=BOX)
    for rules in ({"a": fold, "b": start}, {"b": start, "a": fold}):
        with pytest.raises(UnsupportedError, match="slope"):
            join(network(2), {name: Hard(rule) for name, rule in rules.items()})
