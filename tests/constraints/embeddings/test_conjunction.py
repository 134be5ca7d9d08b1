"""Declared rules that are not convex, joined."""

import pickle

import pytest
import sympy
import torch
from sympy import Eq, Implies, Or, sin

from constraints import Hard, InfeasibleError, Learnable, UnsupportedError, declare, join

A, B, C, X = sympy.symbols("a b c x")
OUT, IN = {A: 0, B: 1, C: 2}, {X: 0}


def joined(**statements):
    rules = {name: declare(s, outputs=OUT, inputs=IN) for name, s in statements.items()}
    return rules, join(torch.nn.Identity(), {name: Hard(rule) for name, rule in rules.items()}, outputs=3)


@pytest.mark.parametrize(
    "statements",
    [
        {"one": Implies(A > 1, B >= 2), "two": Implies(B > 1, C >= A), "sum": A + B + C <= 9},
        {"either": Or(A <= X, B <= 1), "balance": Eq(A + B + C, X)},
        {"if": Implies(X > 0, A >= 1), "or": Or(A <= 0, B >= A), "low": C >= X},
        {"gap": sympy.Abs(A - B) >= 1, "box": [A >= 0, A <= 2, B >= 0, B <= 2]},
    ],
    ids=str,
)
def test_all_of_them_hold(statements):
    rules, network = joined(**statements)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 3, generator=generator, dtype=torch.float64) * 3
    y = network(x)
    for rule in rules.values():
        assert float(rule.measure(network, x, y).max()) <= 1e-9
    torch.testing.assert_close(network.enforced[0].enforce(y, x), y)
    again = pickle.loads(pickle.dumps(network))
    torch.testing.assert_close(again(x), y)


def test_the_nearest_of_all_alternatives_is_taken():
    _, network = joined(one=Or(A <= 0, A >= 2), two=Or(B <= 0, B >= 2))
    near = network(torch.tensor([[0.4, 1.7, 5.0]], dtype=torch.float64))
    assert near.tolist() == [[0.0, 2.0, 5.0]]


def test_what_is_learnt_is_shared():
    k = sympy.Symbol("k")
    learnt = declare(Or(k >= A, B <= 0), outputs=OUT, parameters={k: Learnable(initial=0.5)})
    fixed = declare(Or(C <= 0, B >= A), outputs=OUT)
    network = join(torch.nn.Identity(), {"learnt": Hard(learnt), "fixed": Hard(fixed)}, outputs=3)
    y = network(torch.tensor([[1.0, 0.9, -1.0]]))
    y.sum().backward()
    assert learnt.raw["k"].grad is not None
    assert len(list(network.parameters())) == 1


def test_contradictions_and_what_is_unknown_are_named():
    with pytest.raises(InfeasibleError, match="`one`, `two`"):
        joined(one=Or(A <= 0, A >= 2), two=[A >= 0.5, A <= 1])
    rules = {"one": declare(Or(A <= 0, A >= 2), outputs=OUT), "two": declare(Eq(A**2 + B**2, 1), outputs=OUT)}
    with pytest.raises(UnsupportedError, match="`one`, `two`"):
        join(torch.nn.Identity(), {name: Hard(rule) for name, rule in rules.items()}, outputs=3)
    with pytest.raises(UnsupportedError):
        Hard(declare(sin(A) <= B, outputs=OUT))
