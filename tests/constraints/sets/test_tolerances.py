"""A large number does not hide what is violated beside it; rounding of coupled numbers is that of the largest."""

import pytest
import torch
from sympy import Eq, Implies, Not, symbols

from constraints import declare
from constraints.functional.coupling import coupled_rows
from constraints.rules import Bounds
from constraints.sets import Affine, BoxEquality, Polytope
from dkmodels import SatisfactionRate

P, S, A, B, Q = symbols("p s a b q")
MIXED = {
    "bounds": ([P >= 0, P <= 10_000_000, S >= 0, S <= 1], (P, S), [5e6, 3.0], [5e6, 1.0]),
    "sum beside a bound": ([Eq(A + B, 1), Q <= 1_000_000], (A, B, Q), [0.3, 0.2, 5e5], [0.5, 0.5, 5e5]),
    "labels beside a bound": ([Not(A & B), Q <= 1_000_000], (A, B, Q), [0.9, 0.9, 5e5], [0.9, 0.1, 5e5]),
    "label of a number": ([Implies(Q > 1_000_000, A)], (Q, A), [2e6, 0.1], [2e6, 0.9]),
    "rows beside a bound": ([A <= 2 * B, B <= 1, Q <= 10**7], (A, B, Q), [4.0, 1.0, 1e6], [2.0, 1.0, 1e6]),
}


@pytest.mark.parametrize("case", MIXED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_of_several_sizes(case, dtype):
    statements, outputs, outside, inside = MIXED[case]
    rule = declare(statements if len(statements) > 1 else statements[0], outputs={s: i for i, s in enumerate(outputs)})
    value = torch.tensor([outside, inside], dtype=dtype)
    assert rule.constraint.check(value).tolist() == [False, True]
    rate = SatisfactionRate()
    rate.update(rule.constraint.violation(value), rule.constraint.tolerance(value))
    assert float(rate.compute()) == 0.5


def test_a_share_beside_a_pressure():
    box = Bounds(low=[0.0, 0.0], high=[1e6, 1.0]).constraint
    value = torch.tensor([[101325.0, 1.5], [101325.0, -0.4], [2e5, 1.05], [2e5, 1.0]])
    assert box.check(value).tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Affine([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [1.0, 1e7]),
        lambda: Polytope([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], -1.0, [1.0, 1e7]),
        lambda: BoxEquality([1.0, 1.0, 0.0], target=1.0, low=0.0, high=[1.0, 1.0, 1e7]),
    ],
    ids=["affine", "polytope", "sum in a box"],
)
def test_uncoupled_conditions_have_their_own_tolerance(make):
    wrong = torch.tensor([[0.6, 0.45, 1e7]])
    constraint = make()
    assert constraint.check(wrong).tolist() == [False]
    assert constraint.check(constraint.project(wrong)).tolist() == [True]


def test_groups_of_rows():
    """0 and 2 share a column, 2 and 3 another: the three are one group."""
    rows = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]])
    assert coupled_rows(rows).tolist() == [0, 1, 0, 0, 2]
    assert coupled_rows(torch.zeros(0, 3)).tolist() == []
