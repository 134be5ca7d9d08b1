"""Budgets, capacities, rates, implications: what they mean, laws, refusals."""

import pytest
import torch
from torch import nn

from constraints import (
    Bounds,
    Box,
    Budget,
    Capacity,
    Disjunction,
    Guarantee,
    Hard,
    Implication,
    InfeasibleError,
    Polytope,
    RateLimit,
    ShapeError,
    SpecificationError,
    VaryingAffine,
    join,
)
from constraints.testing import check_embedding, check_rule, check_set

X = torch.rand(12, 4, generator=torch.Generator().manual_seed(0)) + 0.5
Y = 4.0 * torch.randn(12, 3, generator=torch.Generator().manual_seed(1))

FAST, FAR = Polytope([[1.0, 0.0, 0.0]], low=[1.0]), Polytope([[0.0, 1.0, 1.0]], low=[2.0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Budget([1.0, 2.0, 3.0], total=2.0),
        lambda: Budget([1.0, 2.0, 3.0], column=1),
        lambda: Capacity([1.0, 2.0, 3.0]),
        lambda: Capacity(columns=[0, 1, 3], low=-1.0),
        lambda: RateLimit(steps=3, rise=0.5, fall=0.2),
        lambda: RateLimit(steps=3, rise=0.5, previous=2),
        lambda: Implication(FAST, FAR),
        lambda: Implication(FAST, FAR, margin=0.1),
    ],
)
def test_laws(make):
    check_rule(make(), nn.Identity(), X, Y)
    check_embedding(Hard(make()), nn.Linear(4, 3), X)


def test_rates_hold_from_the_value_before():
    ramp = RateLimit(steps=3, rise=0.5, fall=0.25, previous=2)
    y = ramp.enforce(Y, X)
    steps = torch.diff(torch.cat([X[:, 2:3], y], dim=-1), dim=-1)
    assert float(steps.max()) <= 0.5 + 1e-6 and float(steps.min()) >= -0.25 - 1e-6


def test_capacities_come_from_the_input_and_hold_exactly():
    y = Capacity(columns=[0, 1, 3]).enforce(Y, X)
    assert bool((y <= X[:, [0, 1, 3]]).all()) and float(y.min()) >= 0.0


def test_an_implication_goes_the_shorter_way():
    rule = Implication(FAST, FAR)
    y = rule.enforce(torch.tensor([[1.1, 0.0, 0.0], [5.0, 0.5, 1.4], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(y, torch.tensor([[1.0, 0.0, 0.0], [5.0, 0.55, 1.45], [0.0, 0.0, 0.0]]))
    assert rule.measure(nn.Identity(), X, torch.tensor([[5.0, 0.5, 1.4]])).tolist() == pytest.approx([0.1], abs=1e-6)
    assert "union of 2 sets" in str(rule.explain())


def test_a_premise_of_two_rows_is_left_through_either():
    rule = Implication(Polytope(torch.eye(2), low=[0.0, 0.0]), Box(low=5.0))
    y = rule.enforce(torch.tensor([[0.1, 3.0], [3.0, 0.2], [4.9, 4.9], [-1.0, 3.0]]))
    torch.testing.assert_close(y, torch.tensor([[0.0, 3.0], [3.0, 0.0], [5.0, 5.0], [-1.0, 3.0]]))


def test_a_margin_keeps_away_from_the_premise():
    y = Implication(FAST, FAR, margin=0.25).enforce(torch.tensor([[1.1, 0.0, 0.0]]))
    assert float(y[0, 0]) == pytest.approx(0.75)


def test_guarantees_are_said():
    assert Budget([1.0], total=1.0).explain().guarantee is Guarantee.TOLERANCE
    assert Bounds(low=0.0).explain().guarantee is Guarantee.EXACT


def test_joined_limits():
    rules = {
        "money": Budget([1.0, 1.0, 1.0], column=0),
        "tanks": Capacity(2.0, low=[0.0] * 3),
        "ramp": RateLimit(3, 0.3),
    }
    y = join(nn.Linear(4, 3), {name: Hard(rule) for name, rule in rules.items()})(X)
    for rule in rules.values():
        assert float(rule.measure(nn.Identity(), X, y).max()) <= 1e-5


def test_unions():
    values = 3.0 * torch.randn(8, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    check_set(Disjunction([Box(high=-1.0), Box(low=1.0), Polytope([[1.0, 1.0]], low=0.5, high=0.6)]), values)
    with pytest.raises(SpecificationError, match="at least two sets"):
        Disjunction([Box(low=0.0)])
    with pytest.raises(ShapeError, match=r"got sizes \[2, 3\]"):
        Disjunction([Box(low=[0.0, 0.0]), Box(low=[0.0] * 3)])


def test_equalities_of_each_sample():
    g = torch.Generator().manual_seed(4)
    matrix, point = torch.randn(6, 2, 4, generator=g).double(), torch.randn(6, 4, 1, generator=g).double()
    matrix[0, 1] = 2.0 * matrix[0, 0]  # of rank one, and consistent
    system = torch.cat([matrix, matrix @ point], dim=-1)
    values = torch.randn(6, 4, generator=g, dtype=torch.float64)
    check_set(VaryingAffine(2, 4), values[1:], system[1:])
    y, proof = VaryingAffine(2, 4).solve(values, system)
    assert bool(proof.holds.all())
    nearest = values - (torch.linalg.pinv(matrix) @ (matrix @ values[..., None] - system[..., 4:])).squeeze(-1)
    torch.testing.assert_close(y, nearest)
    system[0, 1, 4] += 1.0
    with pytest.raises(InfeasibleError, match="1 of 6 samples"):
        VaryingAffine(2, 4).project(values, system)
    with pytest.raises(ShapeError, match="context"):
        VaryingAffine(2, 4).project(values)
    with pytest.raises(SpecificationError, match="rows=0"):
        VaryingAffine(0, 4)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: Budget([1.0]), SpecificationError, "either a total or a column"),
        (lambda: Budget([1.0], total=1.0, column=0), SpecificationError, "either a total or a column"),
        (lambda: Capacity(), SpecificationError, "either capacities or columns"),
        (lambda: Capacity(1.0), ShapeError, "one number of outputs"),
        (lambda: Capacity([1.0, 2.0], low=[0.0] * 3), ShapeError, "one number of outputs"),
        (lambda: Capacity([1.0, -1.0]), InfeasibleError, "low <= high"),
        (lambda: RateLimit(1, 0.5), SpecificationError, "steps=1"),
        (lambda: RateLimit(3, -0.5), SpecificationError, "rise=-0.5"),
        (
            lambda: Implication(Polytope([[1.0]], 0.0, 0.0), Box(low=0.0)),
            SpecificationError,
            "1 equal",
        ),
        (lambda: Implication(FAST, Box(low=[0.0, 0.0])), ShapeError, "one size"),
        (lambda: Implication(FAST, FAR, margin=-1.0), SpecificationError, "margin"),
        (lambda: Budget([1.0], column=0).enforce(torch.ones(1, 1)), SpecificationError, "got x=None"),
    ],
)
def test_refusals(make, error, said):
    with pytest.raises(error, match=said):
        make()
