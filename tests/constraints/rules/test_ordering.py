"""Orderings: nearest points by an independent solver, alone and joined with other rules."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constraints import (
    Bounds,
    Budget,
    FixedSum,
    HalfSpace,
    Hard,
    InfeasibleError,
    LinearEquality,
    LinfBall,
    NonFiniteError,
    OrderedCone,
    Ordering,
    OutputRule,
    Polytope,
    RateLimit,
    RuleSet,
    ShapeError,
    SpecificationError,
    join,
)
from constraints.testing import check_embedding, check_rule, check_set, law_feasible, law_idempotent, law_nearest

X = torch.rand(8, 4, generator=torch.Generator().manual_seed(0)) + 0.5
Y = 4.0 * torch.randn(8, 3, generator=torch.Generator().manual_seed(1))


def normal(*shape, seed=0, scale=2.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def nearest(value, conditions):
    """The nearest point of one value, by Clarabel."""
    y = cp.Variable(len(value))
    problem = cp.Problem(cp.Minimize(cp.sum_squares(y - value)), conditions(y))
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    assert problem.status == cp.OPTIMAL
    return y.value


def enforced(rules, values, x=None):
    x = torch.zeros(len(values), 1, dtype=values.dtype) if x is None else x

    class Given(nn.Module):
        def forward(self, x):
            return values

    return join(Given(), {name: Hard(rule) for name, rule in rules.items()}, outputs=values.shape[-1])(x)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("ends", [{}, {"low": -1.0}, {"high": 1.0}, {"low": -1.0, "high": 1.5}])
def test_spaced_cones_pass_the_laws(descending, ends):
    cone = OrderedCone(gap=0.3, descending=descending, **ends)
    check_set(cone, normal(6, 5), second_order=not ends)
    law_nearest(cone, normal(6, 5))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(0, 10_000), st.sampled_from([0.0, 1e-3, 0.5, 20.0]), st.booleans())
def test_spaced_cones_give_the_nearest_point(n, seed, gap, descending):
    values = normal(1, n, seed=seed)
    cone = OrderedCone(gap=gap, descending=descending, low=-gap * n - 1.0)
    law_feasible(cone, values)
    law_idempotent(cone, values)
    sign = -1.0 if descending else 1.0
    expected = nearest(values[0].numpy(), lambda y: [sign * cp.diff(y) >= gap, y >= -gap * n - 1.0])
    np.testing.assert_allclose(cone.project(values)[0].numpy(), expected, atol=1e-6 * (1 + gap * n))


def test_as_many_as_just_fit():
    cone = OrderedCone(gap=0.1, low=0.0, high=0.3)
    torch.testing.assert_close(cone.project(normal(4).float()), torch.tensor([0.0, 0.1, 0.2, 0.3]))
    with pytest.raises(InfeasibleError, match=r"at most 4 coordinates.*got 5"):
        cone.project(normal(5))


def test_a_spaced_cone_compiles():
    cone = OrderedCone(gap=0.3, low=-1.0, descending=True)
    torch._dynamo.reset()
    compiled = torch.compile(lambda v: (cone.project(v), cone.squash(v)), fullgraph=True, backend="eager")
    for ours, theirs in zip(
        compiled(normal(6, 5)), (cone.project(normal(6, 5)), cone.squash(normal(6, 5))), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "make",
    [Ordering, lambda: Ordering(gap=0.5, descending=True), lambda: Ordering(outputs=[2, 0], low=0.0, high=1.0)],
)
def test_laws(make):
    check_rule(make(), nn.Identity(), X, Y)
    check_embedding(Hard(make()), nn.Linear(4, 3), X)


def test_the_order_named_is_the_order_kept():
    y = Ordering(outputs=[2, 0], gap=1.0).enforce(torch.tensor([[0.0, 7.0, 0.0]]))
    torch.testing.assert_close(y, torch.tensor([[0.5, 7.0, -0.5]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("descending", [False, True])
def test_joined_with_bounds_and_a_sum_it_is_the_nearest_point(descending, dtype):
    rules = {
        "order": Ordering(descending=descending, gap=0.05),
        "units": Bounds(low=0.1, high=0.6),
        "shares": FixedSum(1.0),
    }
    values = normal(12, 4, seed=3).to(dtype)
    y = enforced(rules, values)
    for rule in rules.values():
        assert bool(rule.constraint.check(y).all()), rule.name
    sign = -1.0 if descending else 1.0
    for value, ours in zip(values.double().numpy(), y.double().numpy(), strict=True):
        expected = nearest(value, lambda p: [sign * cp.diff(p) >= 0.05, p >= 0.1, p <= 0.6, cp.sum(p) == 1.0])
        np.testing.assert_allclose(ours, expected, atol=2e-6)


class Within(OutputRule):
    """As near to a centre as the input says."""

    def __init__(self, radius=None):
        super().__init__(LinfBall(radius, center=[1.0, 0.0, -1.0]))
        self.varies = radius is None

    def context(self, x):
        return x[..., :1] if self.varies else None


class WithinFixed(OutputRule):
    def __init__(self, radius=0.5):
        super().__init__(LinfBall(radius, center=0.5))


class Weight(OutputRule):
    """A weighted sum, at most what the input says."""

    def __init__(self):
        super().__init__(HalfSpace([1.0, 2.0, 3.0]))

    def context(self, x):
        return x[..., 1:2]


class WeightFixed(OutputRule):
    def __init__(self, offset=0.5):
        super().__init__(HalfSpace([1.0, 2.0, 3.0], offset))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_half_spaces_and_boxes_about_a_centre_are_joined(dtype):
    values, x = normal(12, 3, seed=4).to(dtype), X.repeat(2, 1)[:12].to(dtype)
    y = enforced({"within": Within(), "weight": Weight(), "order": Ordering(descending=True)}, values, x)
    center, weights = np.array([1.0, 0.0, -1.0]), np.array([1.0, 2.0, 3.0])
    for value, ours, given_ in zip(values.double().numpy(), y.double().numpy(), x.double().numpy(), strict=True):
        r, b = given_[0], given_[1]
        expected = nearest(value, lambda p: [cp.abs(p - center) <= r, weights @ p <= b, cp.diff(p) <= 0])  # noqa: B023
        np.testing.assert_allclose(ours, expected, atol=2e-6)
    fixed = enforced(
        {"within": WithinFixed(), "weight": WeightFixed(0.8), "budget": Budget([1.0, 0.0, 0.0], total=0.3)}, values
    )
    for value, ours in zip(values.double().numpy(), fixed.double().numpy(), strict=True):
        expected = nearest(value, lambda p: [cp.abs(p - 0.5) <= 0.5, weights @ p <= 0.8, p[0] <= 0.3])
        np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_two_boxes_stay_a_box_in_closed_form():
    joined = join(nn.Identity(), {"a": Hard(WithinFixed()), "b": Hard(Bounds(low=0.2))}, outputs=3)
    assert type(joined.enforced[0].constraint).__name__ == "Box"


def test_contradictions_are_named_at_build():
    rules = {
        "innocent": Hard(Bounds(low=-9.0)),
        "order": Hard(Ordering(gap=1.0)),
        "ramp": Hard(RateLimit(3, rise=0.5)),
    }
    with pytest.raises(InfeasibleError, match="no output satisfies `order`, `ramp` together"):
        join(nn.Linear(4, 3), rules, outputs=3)
    with pytest.raises(InfeasibleError, match="`order`, `pair`"):
        join(nn.Linear(4, 3), {"order": Hard(Ordering(gap=1.0)), "pair": Hard(Bounds(low=0.0, high=1.5))}, outputs=3)
    with pytest.raises(InfeasibleError, match="`weight`, `within`"):
        join(nn.Linear(4, 3), {"weight": Hard(WeightFixed(-1.0)), "within": Hard(WithinFixed())}, outputs=3)
    full = {"full": Ordering(low=0.0, high=1.0, gap=0.6), "other": Bounds(high=9.0)}
    with pytest.raises(InfeasibleError, match="no output satisfies `full`"):
        join(nn.Linear(4, 3), {name: Hard(rule) for name, rule in full.items()}, outputs=3)


def test_a_rule_set_knows_orderings():
    rules = {"order": Ordering(gap=0.5), "loose": Ordering(gap=0.1), "sum": FixedSum(3.0), "weight": WeightFixed(20.0)}
    report = RuleSet(rules, outputs=3).check()
    assert report.satisfiable and report.redundant == ("loose", "weight") and report.unchecked == ()
    unknown = RuleSet({"order": Ordering(), "low": Bounds(low=0.0)}).check()
    assert unknown.unchecked == ("order",)
    told = RuleSet({"within": Within(), "floor": Bounds(low=1.0)}).check(torch.tensor([[0.5], [2.5]]))
    assert told.unchecked == ("within",) and told.feasible.tolist() == [False, True]


def test_a_target_given_beside_a_fixed_one_is_not_taken_for_fixed():
    class Sum(OutputRule):
        def __init__(self):
            from constraints import Affine

            super().__init__(Affine([[1.0, 1.0, 1.0]], [1.0]))

        def context(self, x):
            return x[..., :1]

    x = torch.full((2, 1), 5.0)
    y = enforced({"sum": Sum(), "same": LinearEquality([[1.0, -1.0, 0.0]], [0.0])}, torch.zeros(2, 3), x)
    torch.testing.assert_close(y.sum(-1), torch.tensor([5.0, 5.0]))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: Ordering(outputs=[1]), SpecificationError, "at least two outputs"),
        (lambda: Ordering(gap=-1.0), SpecificationError, "gap=-1"),
        (lambda: Ordering(gap=float("nan")), NonFiniteError, "gap"),
        (lambda: Ordering(low=1.0, high=0.0), InfeasibleError, "low <= high"),
        (lambda: Ordering(outputs=[0, 1, 2], low=0.0, high=1.0, gap=0.6), InfeasibleError, "at most 2, got 3"),
        (lambda: OrderedCone(gap=torch.ones(2)), ShapeError, "one number as gap"),
    ],
)
def test_refusals(make, error, said):
    with pytest.raises(error, match=said):
        make()


def test_polytope_is_what_is_joined():
    joined = join(nn.Linear(4, 3), {"o": Hard(Ordering()), "b": Hard(Bounds(low=0.0))}, outputs=3)
    assert type(joined.enforced[0].constraint) is Polytope
