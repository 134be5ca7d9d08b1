"""Statements on functions: which rule of structure they are, and that it means what was written."""

import pytest
import sympy
import torch
from sympy import Abs, And, Eq, Function, Implies, Max, Not, Or, sqrt
from sympy.physics.units import meter
from torch import nn

from constraints import (
    ConvexIn,
    Equivariance,
    FieldEquation,
    Hard,
    Hierarchy,
    Invariance,
    Learnable,
    LipschitzIn,
    MonotoneIn,
    SpecificationError,
    UnsupportedError,
    declare,
    join,
)
from constraints.sampling import LatinHypercube
from constraints.sets import Raise
from constraints.testing import check_rule

X, Y, Z = sympy.symbols("x y z")
NAME = Function("f")
F, G = NAME(X, Y, Z), Function("g")(X, Y, Z)
INPUTS = {X: 0, Y: 1, Z: 2}


@pytest.mark.parametrize(
    ("statement", "decreasing", "inputs"),
    [
        (F.diff(X) >= 0, False, (0,)),
        (F.diff(X) <= 0, True, (0,)),
        (-2 * F.diff(Y) >= 0, True, (1,)),
        (F.diff(Z) >= 0, False, (2,)),
        (And(F.diff(X) >= 0, F.diff(Z) >= 0), False, (0, 2)),
    ],
    ids=str,
)
def test_signs_of_slopes_are_monotone(statement, decreasing, inputs):
    rule = declare(statement, fields=[F], inputs=INPUTS)
    assert isinstance(rule, MonotoneIn)
    assert rule.decreasing == decreasing and set(rule.scope.inputs) == set(inputs)


def test_signs_of_second_derivatives_are_convex():
    bowl, dome = declare(F.diff(X, 2) >= 0, fields=[F]), declare(F.diff(Y, 2) <= 0, fields=[F])
    assert isinstance(bowl, ConvexIn) and not bowl.concave and bowl.scope.inputs == ("x",)
    assert isinstance(dome, ConvexIn) and dome.concave


@pytest.mark.parametrize(
    ("statement", "p", "inputs"),
    [
        (Abs(F.diff(X)) <= 2, 2.0, ("x",)),
        (3 * sqrt(F.diff(X) ** 2 + F.diff(Y) ** 2) <= 6, 2.0, ("x", "y")),
        (Abs(F.diff(X)) + Abs(F.diff(Y)) <= 2, float("inf"), ("x", "y")),
        (Max(Abs(F.diff(X)), Abs(F.diff(Y))) <= 2, 1.0, ("x", "y")),
    ],
    ids=str,
)
def test_bounds_of_slopes_are_lipschitz(statement, p, inputs):
    rule = declare(statement, fields=[F])
    assert isinstance(rule, LipschitzIn)
    assert set(rule.scope.inputs) == set(inputs)
    rule.bind_inputs(["x", "y", "z"])
    torch.manual_seed(0)
    network = nn.Linear(3, 1).double()
    with torch.no_grad():
        network.weight.mul_(6.0)
    slopes = network.weight[0, : len(inputs)].detach().abs()
    dual = {2.0: slopes.norm(), float("inf"): slopes.sum(), 1.0: slopes.max()}[p]  # as the statement says
    x = torch.zeros(1, 3, dtype=torch.float64)
    assert rule.measure(network, x, network(x)).item() == pytest.approx(max(0.0, float(dual) - 2.0), abs=1e-9)


@pytest.mark.parametrize(
    ("statement", "kind", "elements"),
    [
        (Eq(NAME(-X, Y, Z), F), Invariance, 2),
        (Eq(F, NAME(Y, X, Z)), Invariance, 2),
        (Eq(NAME(Y, Z, X), F), Invariance, 3),
        (Eq(NAME(-Y, X, Z), F), Invariance, 4),
        (Eq(NAME(-X, Y, Z), -F), Equivariance, 2),
    ],
    ids=str,
)
def test_equations_of_moved_inputs_are_symmetries(statement, kind, elements):
    rule = declare(statement, fields=[F])
    assert isinstance(rule, kind) and len(rule.representation.group) == elements
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    obeying = join(network, {"symmetry": Hard(rule)})
    moved = statement.lhs if statement.lhs.func == NAME and statement.lhs != F else statement.rhs
    columns = {X: x[:, 0], Y: x[:, 1], Z: x[:, 2]}
    there = torch.stack([float(a.as_coeff_Mul()[0]) * columns[a.as_coeff_Mul()[1]] for a in moved.args], dim=-1)
    sign = -1.0 if kind is Equivariance else 1.0
    torch.testing.assert_close(obeying(there.double()), sign * obeying(x))
    check_rule(rule, network, x, network(x))


@pytest.mark.parametrize(
    "statement", [Eq(F, NAME(Y, X, Z)), Eq(NAME(Y, Z, X), F), Eq(NAME(-Y, X, Z), F), Eq(NAME(Y, X, Z), -F)], ids=str
)
def test_a_domain_takes_no_symmetry_away(statement):
    """Where it is tested is said beside what holds: it stays Hard, and Soft tests points of the domain."""
    box = {X: (-1, 1), Y: (-1, 1), Z: (-1, 1)}
    rule = declare(statement, fields=[F], domain=box, draws=5)
    assert "Hard" in rule.explain().embeddings
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double(), torch.randn(4, 3).double()
    obeying = join(network, {"symmetry": Hard(rule)})
    assert float(rule.measure(network, x, network(x)).max()) > 1e-3
    assert float(rule.measure(obeying, x, obeying(x)).max()) < 1e-14


def test_one_of_several_fields_is_one_output():
    rule = declare(G.diff(X) >= 0, fields=[F, G])
    assert rule.scope.outputs == (1,)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (F.diff(X) < 0, "boundary"),
        (Abs(F.diff(X)) <= X, "real and finite"),
        (Or(F.diff(X) >= 0, F.diff(Y) >= 0), "equations, or inequalities"),
    ],
    ids=str,
)
def test_other_statements_are_refused(statement, told):
    with pytest.raises(SpecificationError, match=told):
        declare(statement, fields=[F])


@pytest.mark.parametrize(
    "statement",
    [
        F.diff(X) + F.diff(Y) <= 1,
        And(F.diff(X, 2) >= 0, F.diff(Y, 2) >= 0),  # convex in each is less than convex in both together
        F.diff(X, 3) >= 0,
        Eq(F.diff(X), F.diff(Y, 2)),
        Eq(NAME(2 * X, Y, Z), F),
        Eq(NAME(-Y, X, Z), -F),  # it does not undo itself
        F <= 1,
    ],
    ids=str,
)
def test_what_has_no_architecture_is_an_equation_of_fields(statement):
    rule = declare(statement, fields=[F])
    assert isinstance(rule, FieldEquation) and "Hard" not in rule.explain().embeddings


CUBE = {X: (0, 1), Y: (0, 1), Z: (0, 1)}
STEEP = Abs(F.diff(X)) <= 1


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (F.diff(X) >= 0, {"domain": CUBE}),
        (F.diff(X) >= 0, {"domain": CUBE, "draws": 3}),
        (F.diff(X) >= 0, {"domain": CUBE, "draws": 2, "sampler": LatinHypercube()}),
        (And(F.diff(X) >= 0, F.diff(Y) <= 0), {}),
        (And(F.diff(X) >= 0, F.diff(Y) <= 0), {"domain": CUBE}),
        (And(F.diff(X) >= 0, STEEP), {}),
        (STEEP, {"domain": CUBE}),
        (And(F.diff(X) >= 0, F.diff(Z) >= 0), {"domain": CUBE, "inputs": INPUTS}),
    ],
    ids=str,
)
def test_saying_more_keeps_an_architecture(statement, told):
    rule = declare(statement, fields=[F], **told)
    assert "Hard" in rule.explain().embeddings
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    network[0].weight.data.abs_()
    network[2].weight.data.abs_().mul_(-9.0)  # falls steeply with each input
    x = torch.rand(20, 3, dtype=torch.float64)
    assert float(rule.measure(network, x, network(x)).detach().max()) > 0
    obeying = join(network, {"shape": Hard(rule)})
    assert float(rule.measure(obeying, x, obeying(x)).detach().max()) < 1e-12


def test_curvature_in_a_domain_stays_convex():
    rule = declare(F.diff(X, 2) >= 0, fields=[F], domain=CUBE, draws=2)
    assert isinstance(rule, ConvexIn) and rule.scope.region is not None and rule.scope.draws == 2


def test_the_same_direction_of_all_fields_is_one_rule():
    rule = declare([F.diff(X) >= 0, G.diff(X) >= 0], fields=[F, G])
    assert isinstance(rule, MonotoneIn) and rule.scope.outputs is None
    obeying = join(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)), {"grows": Hard(rule_at(rule))})
    x = torch.rand(20, 3)
    assert float(rule.measure(obeying, x, obeying(x)).max()) == 0.0


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fields_have_directions_of_their_own(dtype, apart):
    parts = [F.diff(X) >= 0, G.diff(X) <= 0, G.diff(Y) >= 0]
    rules = [declare(part, fields=[F, G]) for part in parts] if apart else [declare(parts, fields=[F, G])]
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).to(dtype)
    obeying = join(network, {f"rule {i}": Hard(rule_at(rule)) for i, rule in enumerate(rules)})
    x = (3.0 * torch.randn(100, 3)).to(dtype)
    slopes = torch.func.vmap(torch.func.jacrev(obeying))(x)
    assert (slopes[:, 0, 0] >= 0).all() and (slopes[:, 1, 0] <= 0).all() and (slopes[:, 1, 1] >= 0).all()
    assert slopes[:, 0, 1].min() < 0 < slopes[:, 0, 1].max()  # what is not said does not hold
    for rule in rules:
        assert float(rule.measure(network, x, network(x)).max()) > 0.0
        assert float(rule.measure(obeying, x, obeying(x)).max()) == 0.0


@pytest.mark.parametrize(
    "parts",
    [
        [F.diff(X, 2) >= 0, G.diff(X, 2) <= 0],
        [F.diff(X) >= 0, G.diff(X, 2) <= 0],
        [Abs(F.diff(X)) <= 1, G.diff(X) >= 0],
    ],
    ids=str,
)
def test_why_fields_of_different_shapes_are_not_hard_is_in_the_explanation(parts):
    rule = declare(parts, fields=[F, G])
    assert "Hard" not in rule.explain().embeddings
    assert "declare the relations of each field apart" in rule.explain().why
    with pytest.raises(UnsupportedError, match="declare the relations of each field apart"):
        Hard(rule)


def rule_at(rule):
    rule.bind_inputs(["x", "y", "z"])
    return rule


@pytest.mark.parametrize(
    "told",
    [{"threshold": 0.4}, {"margin": 0.1}, {"fallback": Raise()}, {"draws": 3}, {"sampler": LatinHypercube()}],
    ids=lambda told: next(iter(told)),
)
def test_arguments_without_a_meaning_are_refused_beside_fields(told):
    with pytest.raises(SpecificationError, match=f"beside fields.*{next(iter(told))}="):
        declare(F.diff(X) >= 0, fields=[F], **told)


LEARNT = {sympy.Symbol("k"): Learnable(initial=1.0)}
BOTH = F.diff(X) + F.diff(Y) <= 1


@pytest.mark.parametrize(
    ("statement", "told", "expected"),
    [
        (BOTH, {"parameters": LEARNT}, "`parameters` that have a use, got k, of which no relation speaks"),
        (F.diff(X) >= 0, {"parameters": LEARNT}, "`parameters` that have a use, got k"),
        (BOTH, {"units": {sympy.Symbol("w"): meter}}, "`units` that have a use, got w"),
        (BOTH, {"inputs": [X, sympy.Symbol("w")]}, "`inputs` that have a use, got w"),
        (F.diff(X) >= 0, {"inputs": {sympy.Symbol("w"): 1}}, "`inputs` that have a use, got w"),
        (BOTH, {"inputs": {X: 1, Y: 0}}, "order of the fields' arguments .*, got column 1 for x"),
        (BOTH, {"inputs": {X: "time"}}, "order of the fields' arguments .*, got column time for x"),
        (Eq(NAME(-X, Y, Z), F), {"inputs": {X: 1, Y: 0}}, "order of the fields' arguments"),
        (Eq(F.diff(X), 1), {"nodes": 8}, "needs an integral for its nodes"),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, dict) else str(one),
)
def test_arguments_without_a_use_are_refused_beside_fields(statement, told, expected):
    with pytest.raises(SpecificationError, match=expected):
        declare(statement, fields=[F], **told)


def test_inputs_of_shapes_are_found_by_the_names_given():
    rule = declare(F.diff(X) >= 0, fields=[F], inputs={X: "time"})
    rule.bind_inputs(["place", "height", "time"])
    assert rule.scope.columns == {2}


def test_inputs_in_another_order_than_the_coordinates_are_refused():
    rule = declare(Eq(F.diff(X), F.diff(Y)), fields=[F])
    rule.bind_inputs(["x", "y", "z"])
    rule.bind_inputs(["a", "b", "c"])  # names of its own: by place
    with pytest.raises(SpecificationError, match="in the order of its coordinates"):
        rule.bind_inputs(["y", "x", "z"])


@pytest.mark.parametrize("told", [{"draws": 3}, {"sampler": LatinHypercube()}], ids=lambda told: next(iter(told)))
def test_equations_without_points_to_draw_take_no_draws(told):
    with pytest.raises(SpecificationError, match="without a domain, got"):
        FieldEquation([Eq(F, 1)], [F], **told)
    with pytest.raises(SpecificationError, match="beside draws=0, got sampler="):
        FieldEquation([Eq(F, 1)], [F], domain=CUBE, draws=0, sampler=LatinHypercube())


@pytest.mark.parametrize("told", [{"draws": 3}, {"draws": 0}, {"sampler": LatinHypercube()}, {"domain": CUBE}], ids=str)
def test_arguments_without_a_meaning_are_refused_beside_outputs(told):
    with pytest.raises(SpecificationError, match=f"beside outputs, got {next(iter(told))}="):
        declare(Eq(X + Y, 1), outputs=[X, Y], **told)


def test_a_sampler_needs_draws_and_to_be_one():
    with pytest.raises(SpecificationError, match="beside draws=0, got sampler="):
        declare(F.diff(X) + F.diff(Y) <= 1, fields=[F], domain=CUBE, draws=0, sampler=LatinHypercube())
    with pytest.raises(SpecificationError, match="needs a Sampler, got str"):
        declare(F.diff(X) + F.diff(Y) <= 1, fields=[F], domain=CUBE, sampler="none")


def test_columns_that_are_not_places_are_refused_for_equations():
    with pytest.raises(SpecificationError, match="order of the fields' arguments"):
        declare(And(F.diff(X) >= 0, F.diff(Y) <= 0), fields=[F], inputs={X: 2})


def test_fields_are_functions_of_symbols():
    with pytest.raises(SpecificationError, match="needs fields"):
        declare(F.diff(X) >= 0, fields=[X])
    for wrong in (NAME(X, X), NAME(X**2, Y)):
        with pytest.raises(SpecificationError, match="functions of distinct symbols"):
            declare(F.diff(X) >= 0, fields=[wrong])
    with pytest.raises(SpecificationError, match="distinct fields"):
        declare(F.diff(X) >= 0, fields=[F, F])
    with pytest.raises(SpecificationError, match="a meaning beside fields, got outputs="):
        declare(F.diff(X) >= 0, fields=[F], outputs=[Y])
    with pytest.raises(SpecificationError, match="fields of the same coordinates"):
        declare(F.diff(X) >= 0, fields=[F, Function("g")(X)])


def test_children_and_parents_are_a_hierarchy():
    cat, dog, animal, plant = sympy.symbols("cat dog animal plant")
    known = {"outputs": [cat, dog, animal, plant]}
    rule = declare([Implies(cat, animal), Or(Not(dog), animal)], **known)
    assert isinstance(rule, Hierarchy)
    rule.bind(["cat", "dog", "animal", "plant"])
    assert rule.enforce(torch.tensor([[0.9, 0.2, 0.1, 0.5]])).tolist() == [pytest.approx([0.9, 0.2, 0.9, 0.5])]
    for other in (Implies(cat, Not(dog)), [Implies(cat, animal), Implies(animal, cat)], Implies(cat, Or(animal, dog))):
        assert not isinstance(declare(other, **known), Hierarchy)
