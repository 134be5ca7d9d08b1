"""What a review of `declare` found, held for good."""

import math

import pytest
import sympy
import torch
from sympy import Eq, Heaviside, Implies, Max, Or, Piecewise, Xor, exp, log, sqrt
from sympy.physics.units import meter
from torch import nn

from constraints import (
    BestEffort,
    InfeasibleError,
    Learnable,
    OutputRule,
    RuleSet,
    RuleTextError,
    SpecificationError,
    declare,
    read_rules,
)

A, B, C = sympy.symbols("a b c")
X, Z, K = sympy.symbols("x z k")
OUT, IN = {A: 0, B: 1, C: 2}, {X: 0, Z: 1}


def known(statement, **options):
    return declare(statement, outputs=OUT, inputs=IN, **options)


def test_a_rule_of_one_module_is_not_turned_by_another():
    rule = declare(X >= A, outputs=[A], inputs=[X])
    rule.bind(["a", "b"])
    rule.bind_inputs(["x", "z"])
    rule.bind(["a", "c"])  # the same columns
    with pytest.raises(SpecificationError, match="of another module"):
        rule.bind(["b", "a"])
    with pytest.raises(SpecificationError, match="of another module"):
        rule.bind_inputs(["z", "x"])
    assert rule.enforce(torch.tensor([[9.0, 9.0]]), torch.tensor([[1.0, 0.0]])).tolist() == [[1.0, 9.0]]


def test_balls_far_from_0_keep_their_radius():
    ball = known((A - 1234567.891) ** 2 + (B - 7654321.123) ** 2 <= 1e-4).constraint
    assert float(ball.radius) == pytest.approx(1e-2, rel=1e-14)
    assert ball.center.tolist() == [1234567.891, 7654321.123]
    assert float(known((A - 1e8 - 0.1) ** 2 + (B - 1e8 - 0.3) ** 2 <= 1).constraint.radius) == 1.0


def test_a_square_and_a_constant_are_no_ball():
    assert known(sqrt((A - 1e7) ** 2 + B**2 + 50) <= X).found.kind != "ball"


def test_a_square_of_negative_size_is_empty():
    for left in (A**2 + B**2, sqrt(A**2 + B**2)):
        with pytest.raises(InfeasibleError):
            known(left <= X).enforce(torch.tensor([[3.0, 4.0, 0.0]]), torch.tensor([[-1.0, 0.0]]))
        best = known(left <= X, fallback=BestEffort())
        assert best.enforce(torch.tensor([[3.0, 4.0, 0.0]]), torch.tensor([[-1.0, 0.0]])).tolist() == [[0.0, 0.0, 0.0]]


def test_pi_is_the_number():
    for text in ("outputs: pi, b\npi + b <= 4", "outputs: a\ninputs: pi\na <= pi"):
        with pytest.raises(RuleTextError, match="other than pi"):
            read_rules(text)
    with pytest.raises(RuleTextError, match="other than pi"):
        read_rules("outputs: a\na <= pi", parameters={"pi": Learnable(initial=1.0)})


def test_a_product_without_a_sign_after_a_divisor_is_refused():
    with pytest.raises(RuleTextError, match="after a divisor"):
        read_rules("outputs: a, b\na/2b <= 1")
    assert read_rules("outputs: a, b\na/2*b + 2a <= 1")


def test_large_numbers_are_no_conflict_and_small_ones_not_redundant():
    pytest.importorskip("z3")
    rules = {"p": known(Eq(3 * A, 1e9)), "q": known(Eq(A, 1e9 / 3)), "o": known(Or(B <= 1, C <= 1))}
    assert RuleSet(rules, outputs=3).check().satisfiable
    small = {"t": known(1e-9 * A <= 1e-9), "q": known(A <= 50), "o": known(Or(B <= 1, C <= 1))}
    assert RuleSet(small, outputs=3).check().redundant == ("q",)
    either = {"t": known(Or(1e-9 * A <= 1e-9, 1e-9 * B <= 1e-9)), "disc": known(A**2 + B**2 <= 100)}
    assert RuleSet(either, outputs=3).check().redundant == ()


def test_samples_for_which_a_rule_does_not_hold_pass_no_gradient():
    rule = known(Implies(X > 0, K * log(X) >= A), parameters={K: Learnable(initial=2.0)})
    x = torch.tensor([[3.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    rule.enforce(torch.full((3, 3), 5.0), x).sum().backward()
    assert float(rule.raw["k"].grad) == pytest.approx(math.log(3.0))
    assert bool(x.grad.isfinite().all())


def test_soft_rules_outside_their_domain_have_a_gradient():
    rule = known(log(A) * B >= 1)
    y = torch.tensor([[-1.0, 2.0, 0.0]], requires_grad=True)
    rule.measure(nn.Identity(), y, y).sum().backward()
    assert y.grad.tolist() == [[-1.0, 0.0, 0.0]]


@pytest.mark.parametrize("count", [3, 4])
def test_xor_of_many(count):
    labels = sympy.symbols("l0:4")[:count]
    rule = declare(Xor(*labels), outputs={s: i for i, s in enumerate(labels)})
    corners = torch.cartesian_prod(*[torch.tensor([0.1, 0.9])] * count)
    odd = (corners > 0.5).sum(-1) % 2 == 1
    assert torch.equal(rule.measure(nn.Identity(), corners, corners) == 0, odd)


def test_surfaces_far_away_are_not_called_empty():
    for statement in (Eq(A * B, 3e12), Eq(log(A) + log(B), 30)):
        rule = known(statement)
        assert isinstance(rule, OutputRule)


def test_zero_times_what_is_not_defined_is_not_zero():
    assert known(Eq(A * log(B), 0)).found.kind != "disjunction"


def test_what_cancels_says_nothing_or_cannot_hold():
    square = (A + B) ** 2 - A**2 - 2 * A * B - B**2
    with pytest.raises(SpecificationError, match="says nothing"):
        known(square - 1 <= 0)
    with pytest.raises(InfeasibleError):
        known(square + 1 <= 0)


def test_other_mistakes_are_named():
    with pytest.raises(SpecificationError, match="a label has no unit"):
        known(Or(A, B), units={A: meter})
    with pytest.raises(SpecificationError, match="cannot learn k"):
        known(Implies(X > K, A <= 1), parameters={K: Learnable(initial=0.5)})
    with pytest.raises(SpecificationError, match="finite threshold"):
        known(Or(A, B), threshold=math.nan)
    q = sympy.Symbol("q", extended_nonnegative=True)
    assert declare(q <= 1, outputs={q: 0}).enforce(torch.tensor([[-5.0]])).tolist() == [[0.0]]


def test_a_step_has_a_derivative():
    rule = known(Heaviside(A) * B <= 1)
    y = torch.tensor([[1.0, 3.0, 0.0]], requires_grad=True)
    rule.measure(nn.Identity(), y, y).sum().backward()
    assert y.grad.tolist() == [[0.0, 1.0, 0.0]]
    assert known(Max(A, Piecewise((X, X > 0), (0, True))) <= exp(Z)).found.kind == "polytope"
