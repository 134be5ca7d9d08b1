"""Group means: the laws, an independent projection, patterns that make no sense."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from einops import reduce
from hypothesis import given, settings
from hypothesis import strategies as st

from constraints import GroupMean, InfeasibleError, NonFiniteError, ShapeError, SpecificationError
from constraints.testing import check_set, law_feasible, law_idempotent, law_nearest, law_violation


def normal(*shape, seed=0):
    return 2.0 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SETS = {
    "blocks": (GroupMean("(h a) (w b) -> h w", a=2, b=3), normal(5, 4, 6), normal(5, 2, 2, seed=1)),
    "blocks, positive": (
        GroupMean("(h a) (w b) -> h w", low=0.0, a=2, b=2),
        normal(5, 4, 2),
        normal(5, 2, 1, seed=1).abs() + 0.1,
    ),
    "sums over time": (GroupMean("(t k) -> t", k=3), normal(5, 6), normal(5, 2, seed=1)),
    "a whole dimension": (GroupMean("c h -> h", c=3), normal(5, 3, 4), normal(5, 4, seed=1)),
    "to one number": (GroupMean("h w -> ", h=2, w=2), normal(5, 2, 2), normal(5, seed=1)),
    "bounded below": (GroupMean("(t k) -> t", low=-1.0, k=4), normal(5, 8), normal(5, 2, seed=1).abs()),
}


@pytest.mark.parametrize("name", SETS)
def test_laws(name):
    constraint, values, means = SETS[name]
    check_set(constraint, values, means)
    law_nearest_of_arrays(constraint, values, means)


def law_nearest_of_arrays(constraint, values, means):
    """`law_nearest`, summed over all dimensions of a value."""
    p = constraint.project(values, means)
    for seed in range(30):
        q = constraint.project(values + 3 * normal(*values.shape, seed=seed), means)
        assert bool((((values - p) * (q - p)).flatten(1).sum(dim=1) <= 1e-9).all())


@pytest.mark.parametrize("name", SETS)
def test_means_are_those_of_einops(name):
    constraint, values, means = SETS[name]
    grouping = constraint.grouping
    left, right = grouping.pattern.split("->")
    y = constraint.project(values, means)
    torch.testing.assert_close(reduce(y, f"n {left} -> n {right}", "mean", **grouping.sizes), means)


def test_laws_of_vectors_hold_for_patterns_of_one_dimension():
    constraint, values, means = SETS["bounded below"]
    law_nearest(constraint, values, means)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_laws_at_any_size_and_scale(groups, a, b, seed, scale):
    values, means = scale * normal(3, groups * a, 2 * b, seed=seed), scale * normal(3, groups, 2, seed=seed + 1)
    for constraint, given_means in (
        (GroupMean("(h a) (w b) -> h w", a=a, b=b), means),
        (GroupMean("(h a) (w b) -> h w", low=0.0, a=a, b=b), means.abs()),
    ):
        law_violation(constraint, values, given_means)
        law_feasible(constraint, values, given_means)
        law_idempotent(constraint, values, given_means)


def test_the_projection_is_that_of_an_independent_solver():
    constraint, values, means = SETS["blocks, positive"]
    y = constraint.project(values, means)
    for v, m, ours in zip(values.numpy(), means.numpy(), y.numpy(), strict=True):
        z = cp.Variable(v.shape)
        conditions = [z >= 0, *(cp.sum(z[2 * i : 2 * i + 2]) / 4 == m[i, 0] for i in range(2))]
        cp.Problem(cp.Minimize(cp.sum_squares(z - v)), conditions).solve(solver=cp.CLARABEL)
        np.testing.assert_allclose(ours, z.value, atol=1e-5)


def test_violation_is_the_largest_miss_of_a_mean_or_a_bound():
    blocks = GroupMean("(w b) -> w", low=0.0, b=2)
    y, means = torch.tensor([[1.0, 3.0, -0.5, 0.5]]), torch.tensor([[2.0, 0.0]])
    assert float(blocks.violation(y, means)) == 0.5
    assert float(GroupMean("(w b) -> w", b=2).violation(y, means + 3.0)) == 3.0
    with pytest.raises(InfeasibleError, match="1 empty"):  # a mean below the bound
        blocks.project(y, means - 1.0)


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: GroupMean("(h a) w"), SpecificationError, r"such as '\(h a\) \(w b\) -> h w'"),
        (lambda: GroupMean("(h h) -> h", h=2), SpecificationError, "distinct"),
        (lambda: GroupMean("... (h a) -> h", a=2), SpecificationError, "distinct named axes"),
        (lambda: GroupMean("h w -> h w"), SpecificationError, "some of the fine ones"),
        (lambda: GroupMean("(h a) -> c", a=2), SpecificationError, "some of the fine ones"),
        (lambda: GroupMean("(h a) -> h"), SpecificationError, r"\['a'\] have none"),
        (lambda: GroupMean("(h a) -> h", a=0), SpecificationError, r">= 1, got \{'a': 0\}"),
        (lambda: GroupMean("(h a) -> h", a=2, c=3), SpecificationError, r"no axes \['c'\]"),
        (lambda: GroupMean("(h w a) -> h w", a=2), SpecificationError, "at most one axis"),
        (lambda: GroupMean("(h a) -> h", low=float("nan"), a=2), NonFiniteError, "low"),
        (lambda: GroupMean("(h a) -> h", a=2).project(torch.zeros(4)), SpecificationError, "means of the groups"),
        (lambda: GroupMean("(h a) -> h", a=2).project(torch.zeros(5), torch.zeros(2)), ShapeError, r"not fit .*\(5,\)"),
        (lambda: GroupMean("(h a) -> h", a=2).project(torch.zeros(4), torch.zeros(3)), ShapeError, r"batch, 2\)"),
        (lambda: GroupMean("h w -> h", w=2).violation(torch.zeros(2), torch.zeros(2)), ShapeError, "2 dimensions"),
    ],
)
def test_refuses_what_makes_no_sense(build, error, says):
    with pytest.raises(error, match=says):
        build()
