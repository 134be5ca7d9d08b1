"""What a rule reads from the input belongs to the samples of the output, and errors name both."""

import pytest
import sympy
import torch
from torch import nn

from constraints import (
    AugmentedLagrangian,
    Balance,
    Decode,
    DecodedNetwork,
    GroupBalance,
    Hard,
    LinearSystem,
    Monitor,
    MonotoneIn,
    NonFiniteError,
    ShapeError,
    Soft,
    SpecificationError,
    declare,
    join,
)

A, B, C, R, T, X, Y = sympy.symbols("a b c r t x y")
NAME = sympy.Function("u")
U = NAME(X, Y)
SPEAKS = {"outputs": {A: 0, B: 1, C: 2}, "inputs": {R: 0, T: 1}, "name": "own"}


class System(LinearSystem):
    def __init__(self):
        super().__init__(1, 3)

    def system(self, x):
        return x[..., None, :1].expand(*x.shape[:-1], 1, 3), -torch.ones_like(x[..., :1]), 1.0 + x[..., 1:2]


RULES = {
    "sum": declare(sympy.Eq(A + B + C, R), **SPEAKS),
    "half-space": declare(A + B <= R, **SPEAKS),
    "box": declare(A <= R, **SPEAKS),
    "simplex": declare([sympy.Eq(A + B + C, R**2 + 1), A >= 0, B >= 0, C >= 0], **SPEAKS),
    "rows of the input": declare(R * A + B <= T, **SPEAKS),
    "ball": declare(A**2 + B**2 <= R**2 + 1, **SPEAKS),
    "convex": declare(sympy.exp(A) + B**2 <= R**2 + 2, **SPEAKS),
    "surface": declare(sympy.Eq(A**2, B + R), **SPEAKS),
    "unknown": declare(A * B <= R, **SPEAKS),
    "union": declare(sympy.Or(A <= R, B >= T), **SPEAKS),
    "guarded": declare(sympy.Implies(R > 0, A <= 1), **SPEAKS),
    "balance": Balance(into=[0, 1], weights=[1.0, 1.0, 2.0]),
    "system": System(),
}


def uses(rule, x, y):
    """Every way of using a rule on an output."""
    yield lambda: rule.measure(nn.Identity(), x, y)
    yield lambda: Soft(rule).penalty(nn.Identity(), x, y)
    yield lambda: AugmentedLagrangian(rule).penalty(nn.Identity(), x, y)
    yield lambda: Monitor(rule).measure(nn.Identity(), x, y)
    if rule.enforceable:
        yield lambda: Hard(rule).enforce(y, x)
        yield lambda: Decode(rule).decode(y, x)
    if rule.enforceable and rule.squashable:
        yield lambda: Hard(rule, smooth=True).enforce(y, x)


@pytest.mark.parametrize(("outputs", "inputs"), [(8, 5), (8, 1), (1, 8)])
@pytest.mark.parametrize("name", RULES)
def test_inputs_of_other_samples_are_refused(name, outputs, inputs):
    rule, y, x = RULES[name], torch.rand(outputs, 3), torch.rand(inputs, 2)
    for use in uses(rule, x, y):
        with pytest.raises(ShapeError, match=rf"rule `{rule.name}`.* inputs of shape \({inputs}, 2\).*\({outputs}, "):
            use()


@pytest.mark.parametrize("name", RULES)
def test_the_samples_of_both_are_taken_with_and_without_a_batch(name):
    for use in (*uses(RULES[name], torch.rand(4, 2) + 1, torch.rand(4, 3)),):
        use()
    for use in uses(RULES[name], torch.rand(2) + 1, torch.rand(3)):
        use()


def test_several_rules_and_several_dimensions_of_a_context_are_refused_too():
    joint = {"one": Hard(RULES["sum"]), "two": Hard(RULES["rows of the input"]), "three": Hard(RULES["half-space"])}
    network = join(nn.Identity(), joint, outputs=3)
    (rule,) = network.rules()
    with pytest.raises(ShapeError, match=r"needs inputs and outputs of the same samples, got inputs of shape \(5, 2\)"):
        rule.enforce(torch.rand(8, 3), torch.rand(5, 2))
    coarse = GroupBalance("(h a) (w b) -> h w", a=2, b=2)
    assert coarse.enforce(torch.rand(8, 4, 4), torch.rand(8, 2, 2)).shape == (8, 4, 4)
    for count in (5, 1):
        with pytest.raises(ShapeError, match=rf"inputs of shape \({count}, 2, 2\)"):
            coarse.enforce(torch.rand(8, 4, 4), torch.rand(count, 2, 2))


def test_errors_name_the_key_first_and_the_rule_s_own_name_in_brackets():
    class Narrow(nn.Module):
        def forward(self, x):
            return torch.ones(len(x), 2)

    rule = declare(A + C <= 1, outputs={A: 0, C: 4}, name="own")
    with pytest.raises(ShapeError, match=r"^rule `key` \(own\) speaks of output 4"):
        join(Narrow(), {"key": Hard(rule)})(torch.zeros(3, 2))
    with pytest.raises(ShapeError, match=r"^rule `key` \(own\) speaks of output 4"):
        DecodedNetwork(Narrow(), {"key": Decode(rule)})(torch.zeros(3, 2))
    with pytest.raises(ShapeError, match=r"^rule `own` speaks of output 4"):
        join(Narrow(), {"own": Hard(rule)})(torch.zeros(3, 2))
    empty = declare([A + B <= R, A >= 0, B >= 0, A - B <= R], **SPEAKS)
    with pytest.raises(SpecificationError, match=r"^rule `key` \(own\): `Polytope` needs"):
        join(nn.Linear(2, 3), {"key": Hard(empty)})(-torch.ones(3, 2))
    with pytest.raises(ValueError, match=r"^hard rules `key` and `other` cannot hold together: the map onto `other`"):
        join(nn.Linear(2, 3), {"key": Hard(MonotoneIn([0], name="mono")), "other": Hard(RULES["sum"])})
    with pytest.raises(ValueError, match=r"^rule `key` \(mono\): a network can only be wrapped"):
        join(nn.LSTM(2, 3), {"key": Hard(MonotoneIn([0], name="mono"))})


@pytest.mark.parametrize(
    "statement",
    [
        sympy.sqrt(R) >= A,
        sympy.exp(A) <= sympy.sqrt(R) + 1,
        sympy.Or(sympy.sqrt(R) >= A, sympy.sqrt(R) + 1 <= B),
        sympy.log(R) + 2 >= A**2 + B**2,
        [sympy.sqrt(R) >= A + B, A - B <= 1],
    ],
    ids=str,
)
def test_numbers_of_the_input_that_are_none_are_blamed_with_rule_and_sample(statement):
    x, y = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [2.0, 1.0]]), torch.ones(3, 3)
    with pytest.raises(NonFiniteError, match=r"^rule `own`: .* numbers .*, got 1 of 3 samples .* sample 1$"):
        declare(statement, **SPEAKS).enforce(y, x)


FIELD_RULES = {
    "equation": declare(sympy.Eq(U.diff(X, 2) + U.diff(Y, 2), 0), fields=[U], name="own"),
    "monotone": MonotoneIn([0], name="own"),
    "symmetry": declare(sympy.Eq(NAME(-X, Y), U), fields=[U], name="own"),
}


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float64), (torch.float64, torch.float32)], ids=str)
@pytest.mark.parametrize("name", FIELD_RULES)
def test_a_network_and_points_of_other_dtypes_are_refused(name, dtypes):
    rule, (own, given) = FIELD_RULES[name], dtypes
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).to(own)
    x = torch.rand(3, 2).to(given)
    told = f"got a network of {own} and inputs of {given}"
    for use in (rule.measure, Soft(rule).penalty, AugmentedLagrangian(rule).penalty):
        with pytest.raises(SpecificationError, match=f"rule `own`.*{told}"):
            use(network, x, x)
        use(network, x.to(own), x.to(own))
    wall = declare(sympy.Eq(U.subs(X, 0), 0), fields=[U])
    for hard in (wall, FIELD_RULES["symmetry"], RULES["sum"]):
        wide = nn.Linear(2, 3).to(own) if hard is RULES["sum"] else network
        obeying = join(wide, {"key": Hard(hard)})
        with pytest.raises(SpecificationError, match=told):
            obeying(x)
        assert obeying(x.to(own)).dtype == own


def test_points_that_are_whole_numbers_are_refused():
    x = torch.ones(3, 2, dtype=torch.long)
    with pytest.raises(SpecificationError, match=r"rule `own` needs floating-point inputs, got torch\.int64"):
        FIELD_RULES["equation"].measure(nn.Linear(2, 1), x, x)
