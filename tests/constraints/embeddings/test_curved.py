"""Hard rules on one output of which some are not linear: one projection."""

import cvxpy as cp
import numpy as np
import pytest
import sympy
import torch
from torch import nn

from constraints import (
    BestEffort,
    Bounds,
    Budget,
    Hard,
    InfeasibleError,
    L2Ball,
    OutputRule,
    UnsupportedError,
    declare,
    join,
)
from constraints.embeddings.conjunction import Conjunction
from constraints.embeddings.curved import IntersectionRule, intersect_rules
from constraints.rules import FixedSum, LinearEquality
from constraints.sets import Disjunction, HalfSpace, SecondOrderCone
from constraints.testing import check_embedding

A, B = sympy.symbols("a b")


class Thrust(OutputRule):
    """No more than the motors give together."""

    def __init__(self, limit=2.0, **options):
        super().__init__(L2Ball(limit), **options)


class ThrustOf(OutputRule):
    """No more than the battery of each sample gives."""

    def __init__(self, **options):
        super().__init__(L2Ball(), **options)

    def context(self, x):
        return 1.0 + x[..., :1].abs()


class Demand(LinearEquality):
    def __init__(self):
        super().__init__([[1.0, 1.0, 1.0, 0.0]])

    def target(self, x):
        return 0.1 * x[..., 1:2]


def network(outputs=4):
    torch.manual_seed(0)
    return nn.Linear(4, outputs).double()


X = 3.0 * torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
RULES = {
    "fixed": (
        lambda: {"thrust": Thrust(), "positive": Bounds(low=0.0), "limit": Budget([1.0] * 4, total=1.5)},
        lambda y, x: [cp.norm(y) <= 2.0, y >= 0.0, cp.sum(y) <= 1.5],
    ),
    "of the input": (
        lambda: {"thrust": ThrustOf(), "demand": Demand(), "bounds": Bounds(low=-0.6, high=0.9)},
        lambda y, x: [cp.norm(y) <= 1.0 + abs(x[0]), y[0] + y[1] + y[2] == 0.1 * x[1], y >= -0.6, y <= 0.9],
    ),
    "of some outputs": (
        lambda: {"thrust": ThrustOf(outputs=[3, 0]), "shares": FixedSum(1.0, outputs=[0, 1, 2])},
        lambda y, x: [
            cp.norm(cp.hstack([y[3], y[0]])) <= 1.0 + abs(x[0]),
            y[0] + y[1] + y[2] == 1.0,
            y[0] >= 0.0,
            y[1] >= 0.0,
            y[2] >= 0.0,
        ],
    ),
}


@pytest.mark.parametrize("kind", RULES)
def test_one_projection_onto_the_nearest_point(kind):
    make, conditions = RULES[kind]
    rules = make()
    joined = join(network(), {name: Hard(rule) for name, rule in rules.items()}, outputs=4)
    y, v = joined(X).detach(), network()(X).detach()
    for rule in rules.values():
        assert float(rule.measure(nn.Identity(), X, y).max()) <= 1e-9
    for sample, found, x in zip(v.numpy(), y.numpy(), X.numpy(), strict=True):
        u = cp.Variable(4)
        cp.Problem(cp.Minimize(cp.sum_squares(u - sample)), conditions(u, x)).solve(solver=cp.CLARABEL)
        np.testing.assert_allclose(found, u.value, atol=1e-4)


def test_it_trains_and_obeys_the_laws():
    make, _ = RULES["of the input"]
    rule = intersect_rules(make(), 4)
    check_embedding(Hard(rule), network(), X)
    joined = join(network(), {"rule": Hard(rule)}, outputs=4)
    joined(X).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in joined.parameters())


def test_contradictions_are_named():
    class Far(OutputRule):
        def __init__(self):
            super().__init__(HalfSpace([-1.0, 0.0, 0.0, 0.0], -3.0))

    with pytest.raises(InfeasibleError, match="no output satisfies `thrust`, `far` together"):
        join(network(), {"thrust": Hard(Thrust()), "far": Hard(Far())}, outputs=4)


def test_what_cannot_be_joined():
    class Either(OutputRule):
        def __init__(self):
            super().__init__(Disjunction([HalfSpace([1.0, 0.0, 0.0, 0.0], 0.0), HalfSpace([0.0, 1.0, 0.0, 0.0], 0.0)]))

    class Own(Thrust):
        def enforce(self, y, x=None):
            return 0.0 * y

    class ConeOf(ThrustOf):
        pass

    for other in (Either(), Own()):
        with pytest.raises(UnsupportedError, match="no joint projection is known for rules"):
            join(network(), {"thrust": Hard(Thrust()), "other": Hard(other)}, outputs=4)
    with pytest.raises(UnsupportedError, match="at most one rule that is not linear can depend on the input"):
        join(network(), {"thrust": Hard(ThrustOf()), "other": Hard(ConeOf())}, outputs=4)


def test_a_set_that_is_not_convex_is_named():
    labels = declare(sympy.Implies(A, B), outputs={A: 0, B: 1}, threshold=0.5)
    told = "rules `thrust`, `labels`: the set of `labels`, a `Disjunction`, is not convex"
    with pytest.raises(UnsupportedError, match=told):
        join(network(2), {"thrust": Hard(Thrust()), "labels": Hard(labels)}, outputs=2)


def test_a_cone_beside_bounds():
    class Grip(OutputRule):
        def __init__(self):
            super().__init__(SecondOrderCone())

    joined = join(network(), {"grip": Hard(Grip()), "bounds": Hard(Bounds(low=-1.0, high=1.0))}, outputs=4)
    y = joined(X).detach()
    assert bool((y.abs() <= 1.0 + 1e-9).all())
    assert bool(SecondOrderCone().check(y, atol=1e-9).all())


@pytest.mark.parametrize(
    ("statement", "kind"), [(A**2 + B**2 <= 4, IntersectionRule), (sympy.Or(A <= 0, B <= 0), Conjunction)]
)
def test_convex_rules_are_intersected_and_others_chosen_from(statement, kind):
    outputs = {A: 0, B: 1}
    rules = {"curved": declare(statement, outputs=outputs), "line": declare(A + B <= 1, outputs=outputs)}
    assert type(intersect_rules(rules, 2)) is kind


def test_the_fallback_of_a_rule_is_that_of_the_intersection():
    fallback = BestEffort()

    class Given(OutputRule):
        def __init__(self):
            super().__init__(L2Ball(fallback=fallback))

        def context(self, x):
            return x[..., :1]

    rules = {"given": Given(), "far": LinearEquality([[1.0, 0.0, 0.0, 0.0]], [3.0])}
    rule = intersect_rules(rules, 4)
    assert type(rule) is IntersectionRule and rule.constraint.fallback is fallback


def test_linear_rules_on_some_outputs_beside_a_ball():
    """The linear rules name outputs 0 and 1 of four; their joint set is of all four, as the ball is."""
    first, second = Bounds(low=0.5, outputs=[0]), Bounds(high=0.2, outputs=[1])
    rule = intersect_rules({"first": first, "second": second, "thrust": Thrust(2.0)}, 4)
    y = 3.0 * torch.randn(6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = rule.enforce(y, None)
    for value, near in zip(y.numpy(), found.numpy(), strict=True):
        z = cp.Variable(4)
        sides = [z[0] >= 0.5, z[1] <= 0.2, cp.norm(z) <= 2.0]
        cp.Problem(cp.Minimize(cp.sum_squares(z - value)), sides).solve(solver=cp.CLARABEL)
        np.testing.assert_allclose(near, z.value, atol=1e-4)
