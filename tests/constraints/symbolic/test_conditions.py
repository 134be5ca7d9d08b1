"""Hard conditions: exact on random networks whatever they are, jets equal nested autograd, contradictions named."""

import math

import pytest
import sympy
import torch
from sympy import Abs, Eq, Function, Heaviside, Max, Piecewise, Rational, cos, cosh, exp, pi, sign, sin, sqrt, tanh
from torch import nn

from constraints import (
    FieldEquation,
    InfeasibleError,
    ShapeError,
    SpecificationError,
    UnsupportedError,
    check_problem,
    declare,
    require_consistent,
)
from constraints.domains import Ball, Cuboid
from constraints.embeddings import Hard, Soft, join
from constraints.fields import Derivatives, FourierFeatures
from constraints.fields.nested import nested_derivatives
from constraints.symbolic.conditioned import ConditionedNetwork
from constraints.symbolic.formula_field import FormulaField
from constraints.testing import check_embedding
from dkmodels import FieldModule

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
    slopes = [Eq(U.diff(X).subs(X, 0), 0), Eq(v.diff(X).subs(X, 1), 0)]
    rules = rules_of(slopes, BOX, fields)
    model = join(network(2, 2), {name: Hard(rule) for name, rule in rules.items()})
    assert all(float(rule.measure(model, p, p).detach().max()) < 1e-6 for rule in rules.values())
    (free,) = Derivatives([(1, 0)])(model, torch.tensor([[0.0, 0.3], [1.0, 0.3]]))
    assert free.detach()[0, 1].abs() > 1e-3 and free.detach()[1, 0].abs() > 1e-3  # each slope is of one field


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


def test_a_period_takes_the_coordinates_or_cosine_and_sine():
    """With the coordinates only what is stated repeats; with cosine and sine all derivatives do, and it is said."""
    (rule,) = rules_of([Eq(NAME(0, T), NAME(1, T))], BOX).values()
    assert "all derivatives repeat" in rule.explain().why
    for inputs, repeats in ((2, False), (3, True)):
        model = join(network(inputs).double(), {"period": Hard(rule)})
        ends = torch.tensor([[0.0, 0.3], [1.0, 0.3]], dtype=torch.float64)
        value, slope = Derivatives([(0, 0), (1, 0)])(model, ends)
        assert float((value[0] - value[1]).detach().abs()) < 1e-12
        assert (float((slope[0] - slope[1]).detach().abs()) < 1e-12) == repeats
    with pytest.raises(SpecificationError, match="network of 2 or 3 inputs, of the coordinates x, t or of cosine and"):
        join(network(5), {"periodic": Hard(rule)})


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
        (Eq(NAME(0, T), NAME(Rational(1, 2), T)), "repeat itself within 0 <= x <= 1"),
        (Eq(U.diff(X).subs(X, 0), U.diff(X).subs(X, 1)), "only slopes"),  # u = x is such a field
    ],
)
def test_cosine_and_sine_that_would_bind_the_field_further_are_refused(condition, why):
    rule = declare(condition, fields=[U], domain=BOX)
    assert isinstance(rule, FieldEquation) and rule.conditions  # Hard, where the network is given the coordinates
    join(network(2), {"rule": Hard(rule)})
    with pytest.raises(UnsupportedError, match=why):
        join(network(3), {"rule": Hard(rule)})


def test_a_value_that_varies_along_what_it_fixes_is_not_hard():
    rule = declare(Eq(NAME(0, T), X + T), fields=[U], domain=BOX)  # holds nowhere but at x = 0
    assert isinstance(rule, FieldEquation) and not rule.conditions
    assert "varies with x" in rule.soft_because


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


def test_a_slope_inside_the_domain_leaves_both_sides_free():
    fold = declare(Eq(U.diff(X).subs(X, Rational(1, 2)), 0), fields=[U])
    start = declare(Eq(NAME(X, 0), 0), fields=[U], domain=BOX)
    for rules in ({"a": fold, "b": start}, {"b": start, "a": fold}):
        model = join(network(2).double(), {name: Hard(rule) for name, rule in rules.items()})
        p = torch.tensor([[0.1, 1.0], [0.9, 1.0]], dtype=torch.float64)
        assert float((model(p)[0] - model(p)[1]).detach().abs()) > 1e-5  # a field folded about 1/2 has 0
        assert float(fold.measure(model, p, p).detach().max()) < 1e-6


Y = sympy.Symbol("y")
SIDE = NAME(X, Y)


def on_part(condition, low, high):
    return declare(condition, fields=[SIDE], domain={X: (0, 1), Y: (low, high)})


def value_at(model, *point):
    return model(torch.tensor([point], dtype=torch.float64)).item()


def test_a_condition_on_a_part_of_a_side_leaves_the_rest_free():
    """u(0, y) = 0 for y < 1/2 says nothing of u(0, 3/4), whether or not another rule spans the whole side."""
    low = on_part(Eq(NAME(0, Y), 0), 0, Rational(1, 2))
    far = on_part(Eq(NAME(1, Y), Y), 0, 1)
    for rules in ({"low": low}, {"low": low, "far": far}, {"far": far, "low": low}):
        model = join(network(2).double(), {name: Hard(rule) for name, rule in rules.items()})
        assert abs(value_at(model, 0.0, 0.25)) < 1e-14 and abs(value_at(model, 0.0, 0.5)) < 1e-14
        assert abs(value_at(model, 0.0, 0.75)) > 1e-3
        derivatives = Derivatives([(0, 0), (1, 0), (0, 2), (1, 1), (2, 2), (0, 4)])
        assert "jets" in derivatives.explain(model)
        p = torch.rand(6, 2, dtype=torch.float64)
        nested = nested_derivatives(model, p, derivatives.wanted)
        for one, two in zip(derivatives(model, p), nested, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("end", [0.1, 0.5, 0.9])
def test_a_network_is_not_multiplied_by_more_than_2_beyond_a_part(end):
    """By 72 before, on a unit square with a part of a tenth: an ill-conditioned field."""
    network = nn.Linear(2, 1).double()
    nn.init.zeros_(network.weight), nn.init.ones_(network.bias)
    model = join(network, {"low": Hard(on_part(Eq(NAME(0, Y), 0), 0, end))})
    value = model(torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    assert float(value.min()) > 0.0 and float(value.max()) <= 2.0


def test_a_slope_on_a_part_of_a_side_leaves_the_rest_free():
    slope = on_part(Eq(SIDE.diff(X).subs(X, 1), 0), 0, Rational(1, 2))
    floor = on_part(Eq(NAME(X, 0), 0), 0, 1)
    for rules in ({"slope": slope}, {"slope": slope, "floor": floor}):
        model = join(network(2).double(), {name: Hard(rule) for name, rule in rules.items()})
        (slopes,) = Derivatives([(1, 0)])(model, torch.tensor([[1.0, 0.3], [1.0, 0.75]], dtype=torch.float64))
        assert abs(slopes[0].item()) < 1e-12 and abs(slopes[1].item()) > 1e-3


def test_equal_values_on_two_parts_of_a_side_leave_the_gap_free():
    below, above = (on_part(Eq(NAME(0, Y), Y), *ends) for ends in ((0, Rational(1, 4)), (Rational(3, 4), 1)))
    model = join(network(2).double(), {"below": Hard(below), "above": Hard(above)})
    assert value_at(model, 0.0, 0.2) == pytest.approx(0.2) and value_at(model, 0.0, 0.8) == pytest.approx(0.8)
    assert abs(value_at(model, 0.0, 0.5) - 0.5) > 1e-3
    (slope,) = Derivatives([(1, 0)])(model, torch.tensor([[0.0, 0.2]], dtype=torch.float64))
    assert abs(slope.item()) > 1e-3  # one factor a place: the slope stays free


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ([(Eq(NAME(0, Y), 0), 0, 0.5), (Eq(NAME(0, Y), 1), 0.5, 1)], "parts of the side x = 0"),
        ([(Eq(NAME(0, Y), 0), 0, 0.5), (Eq(SIDE.diff(X).subs(X, 0), 1), 0.5, 1)], "parts of the side x = 0"),
        ([(Eq(NAME(1 - X, Y), SIDE), 0, 0.5), (Eq(NAME(0, Y), 0), 0, 1)], "mirrored on a part of the domain"),
        ([(Eq(NAME(0, Y), 0), 0, 0.5), (Eq(SIDE.diff(Y).subs(Y, 1), 0), 0, 1)], "together with the others"),
    ],
    ids=["values", "value and slope", "mirror", "slope beside"],
)
def test_parts_of_sides_that_cannot_be_honoured_are_refused(conditions, why):
    rules = {f"rule{i}": Hard(on_part(*one)) for i, one in enumerate(conditions)}
    with pytest.raises(UnsupportedError, match=why):
        join(network(2), rules)


def test_values_on_parts_that_do_not_meet_do_not_contradict():
    low, high = on_part(Eq(NAME(0, Y), 0), 0, 0.5), on_part(Eq(NAME(0, Y), 1), 0.5, 1)
    require_consistent({"low": low, "high": high})
    assert check_problem({"low": low, "high": high}).contradiction == ""
    with pytest.raises(InfeasibleError, match="one wants 0 at x = 0, another 1"):
        require_consistent({"low": low, "high": on_part(Eq(NAME(0, Y), 1), 0.4, 1)})


def test_an_l_shape_keeps_its_passage_open():
    """The wall x = 1 of the upper arm, 1 < y < 2, does not close the passage below it."""
    wall = declare(Eq(NAME(1, Y), 0), fields=[SIDE], domain={X: (0, 1), Y: (1, 2)})
    floor = declare(Eq(NAME(X, 0), 0), fields=[SIDE], domain={X: (0, 2), Y: (0, 1)})
    inside = declare(Eq(SIDE.diff(X, 2) + SIDE.diff(Y, 2), 0), fields=[SIDE], domain={X: (0, 2), Y: (0, 2)})
    for rules in ({"wall": Hard(wall), "floor": Hard(floor)}, {"wall": Hard(wall), "inside": Soft(inside)}):
        model = join(network(2).double(), rules)
        assert value_at(model, 1.0, 1.5) == 0.0 and value_at(model, 1.0, 1.0) == 0.0
        assert all(abs(value_at(model, 1.0, y)) > 1e-3 for y in (0.25, 0.5, 0.75))
        assert value_at(model, 0.9, 1.5) * value_at(model, 1.1, 1.5) != 0.0
        assert "floor" not in rules or value_at(model, 0.5, 0.0) == value_at(model, 1.5, 0.0) == 0.0


@pytest.mark.parametrize(
    "others",
    [
        [(Eq(SIDE.diff(X).subs(X, 1), 1), 0, 1)],
        [(Eq(NAME(X, 1), X), 0, 1), (Eq(SIDE.diff(X).subs(X, 1), 1), 0, Rational(1, 2))],
    ],
    ids=["slope opposite", "wall and slope on a part"],
)
def test_a_value_on_a_part_beside_other_conditions(others):
    rules = {f"rule{i}": on_part(*one) for i, one in enumerate([(Eq(NAME(0, Y), 0), 0, Rational(1, 2)), *others])}
    model = join(network(2).double(), {name: Hard(rule) for name, rule in rules.items()})
    assert abs(value_at(model, 0.0, 0.75)) > 1e-3
    for rule in rules.values():
        low, high = rule.domain.bounds
        points = low + (high - low) * torch.rand(20, 2, dtype=torch.float64)
        assert float(rule.measure(model, points, points).detach().max()) < 1e-10


def test_both_walls_at_the_corner_of_an_l_shape():
    upright = declare(Eq(NAME(1, Y), 0), fields=[SIDE], domain={X: (0, 2), Y: (1, 2)})
    level = declare(Eq(NAME(X, 1), 0), fields=[SIDE], domain={X: (1, 2), Y: (0, 2)})
    model = join(network(2).double(), {"upright": Hard(upright), "level": Hard(level)})
    assert all(abs(value_at(model, *point)) < 1e-12 for point in ((1, 1), (1, 1.5), (1, 2), (1.5, 1), (2, 1)))
    assert all(abs(value_at(model, *point)) > 1e-4 for point in ((1, 0.5), (0.5, 1), (0.5, 1.5), (1.5, 0.5)))


def test_a_part_of_a_side_excludes_no_field_that_vanishes_on_all_of_it():
    """A factor that vanishes on the part alone did: beside the part the network had to make up for a steep slope."""
    half, whole = on_part(Eq(NAME(0, Y), 0), 0, Rational(1, 2)), on_part(Eq(SIDE, 0), 0, 1)

    class Wave(nn.Module):
        def forward(self, p):
            return p[..., :1] * torch.cos(3.0 * p[..., 1:])

    model, points = join(Wave(), {"half": Hard(half), "whole": Soft(whole)}), torch.rand(50, 2, dtype=torch.float64)
    torch.testing.assert_close(model(points), Wave()(points), rtol=0.0, atol=1e-14)


@pytest.mark.parametrize("beside", [None, Soft, Hard], ids=["alone", "beside Soft", "beside Hard"])
def test_a_value_on_a_part_of_a_plane_within_the_domain_leaves_the_rest_free(beside):
    low = on_part(Eq(NAME(Rational(1, 2), Y), Y), 0, Rational(1, 2))
    other = on_part(Eq(NAME(0, Y), 0), 0, 1)
    rules = {"low": Hard(low), **({"other": beside(other)} if beside else {})}
    model = join(network(2).double(), rules)
    assert value_at(model, 0.5, 0.25) == pytest.approx(0.25, abs=1e-14)
    assert value_at(model, 0.5, 0.5) == pytest.approx(0.5, abs=1e-14)
    assert abs(value_at(model, 0.5, 0.75) - 0.75) > 1e-3 and abs(value_at(model, 0.4, 0.25) - 0.25) > 1e-4
    assert beside is not Hard or value_at(model, 0.0, 0.75) == 0.0


@pytest.mark.parametrize("sign", [1, -1], ids=["even", "odd"])
@pytest.mark.parametrize("wide", [False, True], ids=["alone", "beside Soft"])
def test_a_mirror_on_a_part_leaves_the_rest_free(sign, wide):
    mirror = declare(Eq(NAME(-X, Y), sign * SIDE), fields=[SIDE], domain={X: (0, 1), Y: (0, Rational(1, 2))})
    whole = declare(Eq(SIDE.diff(X, 2), 0), fields=[SIDE], domain={X: (-1, 1), Y: (0, 1)})
    model = join(network(2).double(), {"mirror": Hard(mirror), **({"whole": Soft(whole)} if wide else {})})
    assert value_at(model, -0.5, 0.25) == sign * value_at(model, 0.5, 0.25)
    assert abs(value_at(model, -0.5, 0.75) - sign * value_at(model, 0.5, 0.75)) > 1e-3
    p = torch.rand(6, 2, dtype=torch.float64)
    derivatives = Derivatives([(0, 0), (1, 0), (0, 2), (1, 1)])
    assert "jets" in derivatives.explain(model)
    for one, two in zip(derivatives(model, p), nested_derivatives(model, p, derivatives.wanted), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("slope", [False, True], ids=["value", "slope"])
def test_a_mirror_and_conditions_hold_where_the_mirror_looks(slope):
    """Of u(-x, y) = u(x, y) and u(x, 0) = 0 in 0 < x < 1, the image at -x obeys both; before, the mirror was broken."""
    mirror = declare(Eq(NAME(-X, Y), SIDE), fields=[SIDE], domain={X: (0, 1), Y: (0, 1)})
    floor = Eq(SIDE.diff(Y).subs(Y, 0), 0) if slope else Eq(NAME(X, 0), 0)
    rules = {"mirror": mirror, "floor": declare(floor, fields=[SIDE], domain={X: (0, 1), Y: (0, 1)})}
    model = join(network(2).double(), {name: Hard(rule) for name, rule in rules.items()})
    points = torch.rand(20, 2, dtype=torch.float64)
    for rule in rules.values():
        assert float(rule.measure(model, points, points).max()) < 1e-12


def test_two_mirrors_on_parts_hold_together():
    parts = ((Eq(NAME(-X, Y), SIDE), {X: (0, 1), Y: (0, 1)}), (Eq(NAME(X, -Y), -SIDE), {X: (0, 1), Y: (0, 1)}))
    rules = {f"mirror {i}": declare(one, fields=[SIDE], domain=domain) for i, (one, domain) in enumerate(parts)}
    model = join(network(2).double(), {name: Hard(rule) for name, rule in rules.items()})
    points = torch.rand(20, 2, dtype=torch.float64)
    assert all(float(rule.measure(model, points, points).max()) < 1e-12 for rule in rules.values())


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (Heaviside(X - Rational(1, 2)), "jump"),
        (Piecewise((1, Rational(1, 2) > X), (0, True)), "jump"),
        (sign(X - 0.3), "jump"),
        (Abs(X - 0.3) / (X - 0.3), "jump"),
        (1 - Abs(2 * X - 1), "kink"),
        (Max(0, X - Rational(1, 2)), "kink"),
        (Abs(X + 1), ""),
        (Heaviside(X + 1), ""),
        (Heaviside(X), ""),
        (Piecewise((0, Rational(1, 2) > X), ((X - Rational(1, 2)) ** 3, True)), ""),
    ],
    ids=str,
)
def test_a_value_that_is_not_smooth_is_not_hard(value, what):
    """The whole field would have its kink, of which derivatives see nothing: a step stood still, a solution of heat."""
    start = declare(Eq(NAME(X, 0), value), fields=[U], domain=BOX)
    assert ("Hard" in start.explain().embeddings) is (not what)
    assert what in start.soft_because
    rim = declare(Eq(SIDE, value), fields=[SIDE], domain={(X, Y): Ball([0.5, 0.5], 0.5).boundary()})
    assert ("Hard" in rim.explain().embeddings) is (not what)


DISK = Ball([0.0, 0.0], 1.0)
W = Function("w")(X, Y, T)


def test_a_value_on_a_boundary_over_part_of_the_time():
    """Beyond the time of its own domain the field is free; within that of other rules Hard is refused."""
    rim = declare(Eq(W, 2), fields=[W], domain={(X, Y): DISK.boundary(), T: (0, Rational(1, 2))})
    model = join(network(3).double(), {"rim": Hard(rim)})
    assert value_at(model, 0.6, 0.8, 0.3) == pytest.approx(2.0, abs=1e-12)
    assert abs(value_at(model, 0.6, 0.8, 0.75) - 2.0) > 1e-3
    inside = declare(Eq(W.diff(T), 0), fields=[W], domain={(X, Y): DISK, T: (0, 1)})
    with pytest.raises(UnsupportedError, match="on a part of a boundary"):
        join(network(3), {"rim": Hard(rim), "inside": Soft(inside)})


def test_architectures_that_hold_everywhere_are_refused_on_a_part_of_the_domain():
    p, q = Function("p")(X, Y), Function("q")(X, Y)
    part, whole = {X: (0, 1), Y: (0, Rational(1, 2))}, {X: (0, 1), Y: (0, 1)}
    free = declare(Eq(p.diff(X) + q.diff(Y), 0), fields=[p, q], domain=part)
    other = declare(Eq(p, 0), fields=[p, q], domain=whole)
    with pytest.raises(UnsupportedError, match=r"its domain is a part, \(0, 1\) x \(0, 0.5\), of that of all rules"):
        join(network(2), {"free": Hard(free), "other": Soft(other)})
    join(network(2), {"free": Hard(free)})
    rising = declare(SIDE.diff(X) >= 0, fields=[SIDE], domain=part)
    with pytest.raises(UnsupportedError, match="its architecture holds everywhere"):
        join(network(2), {"rising": Hard(rising), "other": Soft(on_part(Eq(SIDE, 0), 0, 1))})
    ring = on_part(Eq(NAME(0, Y), NAME(1, Y)), 0, Rational(1, 2))
    with pytest.raises(UnsupportedError, match="cosines and sines"):
        join(network(3), {"ring": Hard(ring), "other": Soft(on_part(Eq(SIDE, 0), 0, 1))})
    model = join(network(2).double(), {"ring": Hard(ring), "other": Soft(on_part(Eq(SIDE, 0), 0, 1))})
    assert value_at(model, 0.0, 0.25) == pytest.approx(value_at(model, 1.0, 0.25), abs=1e-12)
    assert abs(value_at(model, 0.0, 0.75) - value_at(model, 1.0, 0.75)) > 1e-3


def test_a_contradiction_is_located_at_the_corner():
    walls, start = rules_of([Eq(NAME(0, T), 1), Eq(NAME(X, 0), X)], BOX).values()
    with pytest.raises(InfeasibleError, match=r"at \{'x': 0.0, 't': 0.0\}"):
        join(network(2), {"walls": Hard(walls), "start": Hard(start)})


def test_conditions_that_follow_from_others_are_kept_or_contradict():
    pair = [Eq(NAME(0, T), 1), Eq(U.diff(X).subs(X, 0), 2)]
    both = U.diff(X).subs(X, 0) + NAME(0, T)
    model = join(network(2), {"a": Hard(declare([*pair, Eq(both, 3)], fields=[U], domain=BOX))})
    assert model(torch.tensor([[0.0, 0.5]])).item() == pytest.approx(1.0)
    with pytest.raises(InfeasibleError, match="follows from the others, with the value 3 and not 4"):
        declare([*pair, Eq(both, 4)], fields=[U], domain=BOX)


def test_widths_and_precisions_of_a_network_with_conditions():
    wall = declare(Eq(NAME(0, Y), 0), fields=[NAME(X, Y)], domain={X: (0, 1), Y: (0, 1)})
    points = torch.rand(3, 2)
    with pytest.raises(ShapeError, match="1 field need a network with an output for each, got 2 outputs"):
        join(nn.Linear(2, 2), {"wall": Hard(wall)})(points)
    with pytest.raises(ShapeError, match=r"points \(\*batch, 2\) of x, y, got \(3, 3\)"):
        join(nn.Linear(2, 1), {"wall": Hard(wall)})(torch.rand(3, 3))
    for dtype in (torch.bfloat16, torch.float16):
        with pytest.raises(SpecificationError, match=f"float32 or float64, and not in {dtype}"):
            join(nn.Linear(2, 1), {"wall": Hard(wall)}).to(dtype)(points.to(dtype))
    model = join(nn.Linear(2, 1), {"wall": Hard(wall)})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert float(model(torch.tensor([[0.0, 0.3]])).abs()) == 0.0


def test_names_of_outputs_in_another_order_than_the_fields_are_refused():
    u, v = (Function(n)(X, Y) for n in "uv")
    double = declare(Eq(u, 2 * v), fields=[u, v])
    with pytest.raises(SpecificationError, match=r"outputs in the order of its fields \['u', 'v'\], got \['v', 'u'\]"):
        FieldModule(nn.Linear(2, 2), {"twice": Soft(double)}, outputs=["v", "u"])
    FieldModule(nn.Linear(2, 2), {"twice": Soft(double)}, outputs=["u", "v"])
    FieldModule(nn.Linear(2, 2), {"twice": Soft(double)}, outputs=["velocity", "pressure"])


def test_a_slit_in_a_plate_is_no_contradiction():
    rim = declare(Eq(SIDE, 1), fields=[SIDE], domain={(X, Y): Cuboid([-1, -1], [1, 1]).boundary()})
    for ends, error, message in (
        ((-0.5, 0.5), UnsupportedError, "a part of a plane: embed one of them as Soft"),
        ((-1, 1), InfeasibleError, r"do not hold at \{'x': (-)?0.0.*, 'y': (-)?1.0\}"),
    ):
        slit = declare(Eq(NAME(0, Y), 0), fields=[SIDE], domain={X: (-1, 1), Y: ends})
        with pytest.raises(error, match=message):
            join(network(2), {"rim": Hard(rim), "slit": Hard(slit)})
