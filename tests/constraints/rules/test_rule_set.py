"""Rules looked at together: conflicts, redundancy, rank, samples; held against brute force and another solver."""

from itertools import combinations

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constraints import (
    AllowedClasses,
    Balance,
    Bounds,
    Budget,
    FixedSum,
    Hard,
    InfeasibleError,
    LinearEquality,
    LinearInequality,
    LinearSystem,
    RuleSet,
    SpecificationError,
    join,
)

NAN, INF = float("nan"), float("inf")


class Slope(LinearSystem):
    """Coefficients that the input gives."""

    def __init__(self):
        super().__init__(rows=1, size=2)

    def system(self, x):
        return x[..., None, :2], torch.full_like(x[..., :1], 1.0), torch.full_like(x[..., :1], INF)


class Demand(LinearEquality):
    def __init__(self):
        super().__init__([[1.0, 1.0]])

    def target(self, x):
        return x[..., :1]


def empty(rules):
    """Whether a set of rows has no point, by Clarabel: the least violation is positive."""
    if not rules:
        return False
    y, miss = cp.Variable(3), cp.Variable(nonneg=True)
    rows = [cond for matrix, low, high in rules for cond in (matrix @ y <= high + miss, matrix @ y >= low - miss)]
    problem = cp.Problem(cp.Minimize(miss), rows)
    problem.solve(solver=cp.CLARABEL)
    return float(miss.value) > 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.integers(0, 10_000), st.sampled_from([1e-9, 1e-3, 1.0, 1e6]))
def test_the_smallest_conflict_is_that_of_brute_force(count, seed, scale):
    """Rows with small whole numbers: conflicts, if any, are of size one."""
    rng = np.random.default_rng(seed)
    systems = {}
    for k in range(count):
        matrix = rng.integers(-2, 3, size=(2, 3)).astype(float)
        matrix[(matrix == 0).all(axis=1), 0] = 1.0
        low = rng.integers(-3, 4, size=2).astype(float)
        systems[f"r{k}"] = (matrix, low, low + rng.integers(0, 3, size=2))
    rules = {}
    for name, (matrix, low, high) in systems.items():
        if empty([(matrix, low, high)]):
            with pytest.raises(InfeasibleError):
                LinearInequality(matrix.tolist(), low=(scale * low).tolist(), high=(scale * high).tolist())
        else:
            rules[name] = LinearInequality(matrix.tolist(), low=(scale * low).tolist(), high=(scale * high).tolist())
    report = RuleSet(rules, outputs=3).check()
    sizes = [n for n in range(1, len(rules) + 1) for s in combinations(rules, n) if empty([systems[k] for k in s])]
    assert len(report.conflict) == (min(sizes) if sizes else 0)
    assert report.satisfiable == (not sizes)
    if sizes:
        assert empty([systems[name] for name in report.conflict]) and report.redundant == ()


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9, 1e12])
def test_redundancy_at_any_scale(scale):
    rules = {
        "cap": Bounds(low=0.0, high=scale),
        "sum": LinearInequality([[1.0, 1.0]], high=[2.0 * scale]),  # follows from the cap
        "tight": LinearInequality([[1e-6, 1e-6]], high=[1.9e-6 * scale]),
    }
    report = RuleSet(rules, outputs=2).check()
    assert report.satisfiable and report.redundant == ("sum",)
    twice = RuleSet({"a": rules["tight"], "b": LinearInequality([[1.0, 1.0]], high=[1.9 * scale])}).check()
    assert twice.redundant == ("a", "b")  # each follows from the other: both are named


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_conflicts_at_any_scale(scale):
    rules = {
        "sum": LinearEquality([[1.0, 1.0]], [scale]),
        "innocent": Bounds(low=-9.0 * scale),
        "floor": Bounds(low=0.6 * scale),
    }
    assert RuleSet(rules, outputs=2).check().conflict == ("sum", "floor")


def test_rounding_is_no_conflict():
    third = LinearEquality([[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]], [1e12])
    report = RuleSet({"a": third, "b": LinearEquality([[1.0, 1.0, 1.0]], [3e12])}).check()
    assert report.satisfiable and report.rank == 1 and report.equalities == 2 and report.redundant == ("a", "b")


def test_rank_of_all_equalities():
    rules = {
        "a": LinearEquality([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]], [1.0, 1.0]),
        "b": Balance(into=[0], weights=[1, 2, 1]),
    }
    report = RuleSet(rules).check()
    assert (report.rank, report.equalities, report.unchecked) == (2, 3, ("b",))


def test_samples_without_an_output_are_found_and_the_first_is_explained():
    rules = {"demand": Demand(), "units": Bounds(low=0.0, high=1.0), "slope": Slope()}
    x = torch.tensor([[1.0, 1.0], [2.5, 1.0], [1.0, -9.0], [NAN, 1.0], [INF, 1.0], [0.5, 0.5], [1.5, 0.5]])
    report = RuleSet(rules, outputs=2).check(x)
    # Sample 5: 0.5 y1 + 0.5 y2 >= 1 needs a sum of 2, but the demand is 0.5.
    assert report.feasible.tolist() == [True, False, True, False, False, False, True]
    assert report.sample_conflict == ("demand", "units") and report.conflict == () and not report.satisfiable
    assert "4 of 7 samples without a feasible output (the first for demand, units)" in str(report)
    rule_set = RuleSet(rules, outputs=2)
    assert rule_set.find_conflict(x[5]) == ("demand", "slope") and rule_set.find_conflict(x[0]) == ()
    assert rule_set.check(x[:1]).sample_conflict == () and rule_set.check(x[:0]).feasible.shape == (0,)
    for wrong in (lambda: rule_set.check(x[0]), lambda: rule_set.find_conflict(x)):
        with pytest.raises(SpecificationError, match="got shape"):
            wrong()


def test_samples_agree_with_the_projection():
    """What the check calls feasible is what the joint projection certifies."""
    rules = {"demand": Demand(), "units": Bounds(low=0.0, high=1.0), "money": Budget([2.0, 1.0], column=1)}
    x = 3.0 * torch.rand(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    feasible = RuleSet(rules, outputs=2).feasible(x)
    constraint = join(nn.Identity(), {n: Hard(r) for n, r in rules.items()}, outputs=2).enforced[0]
    proof = constraint.constraint.solve(x, constraint.context(x))[1]
    assert proof.feasible.tolist() == feasible.tolist() and 0 < int(feasible.sum()) < 40


def test_what_is_not_linear_is_named():
    rules = {"mask": AllowedClasses([[True, False]]), "low": Bounds(low=0.0), "sum": FixedSum()}
    report = RuleSet(rules).check()
    assert report.unchecked == ("mask", "sum")  # how many outputs there are is not known: neither is what a sum says
    assert str(RuleSet({}).check()) == "can hold together; 0 equalities of rank 0"


def test_refusals():
    with pytest.raises(SpecificationError, match="bound to their outputs, got `x`"):
        RuleSet({"x": Bounds(low=0.0, outputs=["p"])}, outputs=3)
    with pytest.raises(SpecificationError, match=r"rules \['x'\] speak of outputs that do not exist, .* < 3"):
        RuleSet({"x": Bounds(low=0.0, outputs=[3])}, outputs=3)
    with pytest.raises(SpecificationError, match="needs rules, got int"):
        RuleSet({"x": 1})
    with pytest.raises(InfeasibleError, match="no output satisfies `a`, `b` together"):
        RuleSet({"a": Bounds(low=1.0), "b": Bounds(high=0.0)}).require()
