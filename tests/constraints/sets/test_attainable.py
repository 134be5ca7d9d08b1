"""Numbers that a sample brings and that leave a closed-form set without a point are told, and dealt with as asked."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constraints import (
    Affine,
    BestEffort,
    Bounds,
    Box,
    BoxEquality,
    Disjunction,
    FixedSum,
    GroupBalance,
    GroupMean,
    Guarantee,
    HalfSpace,
    Hard,
    InfeasibleError,
    Interior,
    L1Ball,
    L2Ball,
    LinearEquality,
    LinfBall,
    Multiplicative,
    NonFiniteError,
    OutputRule,
    Polytope,
    ShapeError,
    Simplex,
    SpecificationError,
    certificates,
    join,
)

NAN, INF = math.nan, math.inf
VALUE = torch.tensor([3.0, -1.0, 0.5, 2.0])

# name: set of a fallback, a context that can be attained, ones that cannot, what the best effort gives for the first.
SETS = {
    "simplex": (lambda f: Simplex(fallback=f), 2.0, [-1.0, -1e-3], [0.0] * 4),
    "box and equality": (
        lambda f: BoxEquality([1.0, 1.0, 1.0, -1.0], low=0.0, high=1.0, fallback=f),
        2.5,
        [3.5, 3.01, -1.01],
        [1.0, 1.0, 1.0, 0.0],
    ),
    "l1 ball": (lambda f: L1Ball(center=0.5, fallback=f), 1.0, [-0.1], [0.5] * 4),
    "l2 ball": (lambda f: L2Ball(center=0.5, fallback=f), 1.0, [-0.1], [0.5] * 4),
    "linf ball": (lambda f: LinfBall(center=0.5, fallback=f), 1.0, [-0.1], [0.5] * 4),
    "group mean": (lambda f: GroupMean("(g m) -> g", low=0.25, m=4, fallback=f), 1.0, [0.0], [0.25] * 4),
}
FREE = {  # any finite number can be attained
    "affine": (lambda f: Affine([[1.0, 1.0, 0.0, 0.0]], fallback=f), 1.0),
    "half-space": (lambda f: HalfSpace([1.0, 1.0, 0.0, 0.0], fallback=f), 1.0),
    "group mean, free": (lambda f: GroupMean("(g m) -> g", m=4, fallback=f), -1.0),
}
ALL = {name: parts[:2] for name, parts in SETS.items()} | FREE


def batch(*contexts, dtype=torch.float32):
    context = torch.tensor(contexts, dtype=dtype)[:, None]
    return VALUE.to(dtype).expand(len(contexts), 4), context


def maps(constraint):
    return [constraint.project] + ([constraint.squash] if hasattr(constraint, "squash") else [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SETS)
def test_a_sample_without_a_point_is_told(name, dtype):
    make, good, bad, best = SETS[name]
    flagged = make(BestEffort())
    for number in bad:
        values, context = batch(good, number, good, dtype=dtype)
        for onto in maps(make(None)):
            said = rf"`{type(flagged).__name__}` .*1 empty ones: 1 of 3 samples \(first: \[1\]\)"
            with pytest.raises(InfeasibleError, match=said):
                onto(values, context)
        for onto in maps(flagged):
            with certificates() as found:
                y = onto(values, context)
            assert found[0][1].feasible.tolist() == [True, False, True] == (~found[0][1].empty).tolist()
            assert bool(y.isfinite().all()) and flagged.check(y, context).tolist() == [True, False, True]
        known = make(Interior([1.0, 0.0, 0.0, 0.0]))
        for onto in maps(known):
            y = onto(values, context)
            assert y[1].tolist() == [1.0, 0.0, 0.0, 0.0]
            torch.testing.assert_close(y[[0, 2]], onto(values[:2], context[[0, 2]]))
    values, context = batch(bad[0], dtype=dtype)
    torch.testing.assert_close(make(BestEffort()).project(values, context)[0], torch.tensor(best, dtype=dtype))


@pytest.mark.parametrize("number", [NAN, INF, -INF])
@pytest.mark.parametrize("name", ALL)
def test_numbers_that_are_not_finite_are_told(name, number):
    make, good = ALL[name]
    values, context = batch(good, number)
    for onto in maps(make(None)):
        with pytest.raises(NonFiniteError, match="needs finite"):
            onto(values, context)
    flagged = make(BestEffort())
    for onto in maps(flagged):
        with certificates() as found:
            y = onto(values, context)
        assert bool(y.isfinite().all())
        assert found[0][1].feasible.tolist() == [True, False] and not bool(found[0][1].empty.any())


@pytest.mark.parametrize("name", ALL)
def test_certificates_tell_nothing_where_all_is_well(name):
    make, good = ALL[name]
    values, context = batch(good, good)
    constraint = make(None)
    point, proof = constraint.solve(values, context)
    assert bool(proof.holds.all()) and proof.holds.shape == (2,)
    torch.testing.assert_close(constraint.project(values, context), point)
    assert constraint.project(values[:0], context[:0]).shape == (0, 4)
    torch.testing.assert_close(constraint.project(values, context[0]), point)
    torch.testing.assert_close(constraint.project(values[0], context[0]), point[0])
    deep, shared = values[:, None].expand(2, 3, 4), context[:, None]
    torch.testing.assert_close(constraint.project(deep, shared), point[:, None].expand(2, 3, 4))


@pytest.mark.parametrize("name", [name for name in ALL if "group" not in name])
def test_contexts_of_other_samples_are_refused(name):
    make, good = ALL[name]
    values, context = batch(good, good)
    for wrong in (context[:, 0], context.expand(2, 2), context[[0, 1, 1]], context[:, None]):
        with pytest.raises(ShapeError, match=r"context \(\*batch, 1\), got .* for values \(2, 4\)"):
            make(None).project(values, wrong)
    with pytest.raises(ShapeError, match="context"):
        make(None).project(values[0], context)  # two contexts for one value


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 10_000), st.floats(-1.5, 1.5), st.sampled_from([1e-4, 1.0, 1e4]))
def test_exactly_the_targets_that_the_box_attains_are_accepted(n, seed, position, scale):
    generator = torch.Generator().manual_seed(seed)
    a, ends = torch.randn(n, generator=generator).double(), scale * torch.randn(2, n, generator=generator).double()
    box = BoxEquality(a, low=ends.amin(0), high=ends.amax(0), fallback=BestEffort())
    products = torch.stack([a * ends.amin(0), a * ends.amax(0)])
    least, most = float(products.amin(0).sum()), float(products.amax(0).sum())
    middle, half = (most + least) / 2, (most - least) / 2
    target = middle + position * half
    value = scale * torch.randn(1, n, generator=generator).double()
    point, proof = box.solve(value, torch.tensor([[target]], dtype=torch.float64))
    if abs(abs(position) - 1.0) * half > 1e-9 * max(1.0, abs(least), abs(most)):
        assert bool(proof.feasible) == (abs(position) < 1.0)
        assert bool(proof.empty) == (abs(position) > 1.0)
    if abs(position) < 1.0:
        assert bool(box.check(point, torch.tensor([[target]], dtype=torch.float64)))
    elif abs(position) > 1.0:  # the corner that comes nearest to the target
        nearest = most if position > 0 else least
        assert float((a * point).sum()) == pytest.approx(nearest, abs=1e-9 * max(scale, 1.0) * n)


def test_a_total_of_zero_leaves_one_point():
    values, context = batch(0.0, 1.0)
    assert Simplex().project(values, context)[0].tolist() == [0.0] * 4
    assert Simplex().squash(values, context)[0].tolist() == [0.0] * 4
    assert L2Ball(center=2.0).project(values, context)[0].tolist() == [2.0] * 4
    edge = BoxEquality([0.1, 0.1, 0.1], low=1.0, high=2.0)  # rounding: 3 * 0.1 is not 0.3
    for dtype in (torch.float32, torch.float64):
        y = edge.project(torch.zeros(1, 3, dtype=dtype), torch.tensor([[0.3]], dtype=dtype))
        torch.testing.assert_close(y, torch.ones(1, 3, dtype=dtype))


@pytest.mark.parametrize("name", SETS)
def test_gradients_stay_finite_where_a_sample_has_no_point(name):
    make, good, bad, _ = SETS[name]
    values, context = (part.clone().requires_grad_() for part in batch(good, bad[0]))
    for onto in maps(make(BestEffort())):
        grads = torch.autograd.grad(onto(values, context).square().sum(), [values, context])
        assert all(bool(grad.isfinite().all()) for grad in grads)
        assert float(grads[0][0].abs().sum()) > 0


def test_compiled_programs_assert():
    """One compile for all: a first compile is slow."""
    sets = [make(None) for make, *_ in ALL.values()]
    flagged = [make(BestEffort()) for make, *_ in ALL.values()]
    contexts = [batch(good, good)[1] for _, good in ALL.values()]
    union = Disjunction([L2Ball(center=3.0), L2Ball(center=-3.0)])
    torch._dynamo.reset()

    def layer(values, contexts):
        pairs = zip([*sets, *flagged, union], [*contexts, *contexts, contexts[0]], strict=True)
        return [constraint.project(values, context) for constraint, context in pairs]

    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    values = VALUE.expand(2, 4)
    for ours, theirs in zip(compiled(values, contexts), layer(values, contexts), strict=True):
        torch.testing.assert_close(ours, theirs)
    with pytest.raises(RuntimeError, match="`Simplex`: some samples are outside"):
        compiled(values, [-contexts[0], *contexts[1:]])


# --- unions ----------------------------------------------------------------------------------------------------


def test_a_branch_that_is_empty_for_a_sample_is_left_out_for_it():
    """Two budgets: the sum equals what the input says, within a box; or nothing at all."""
    union = Disjunction([BoxEquality([1.0, 1.0], low=0.0, high=1.0), Box(low=-1.0, high=0.0)])
    values, contexts = torch.full((3, 2), 0.9), torch.tensor([[1.0], [3.0], [2.0]])
    with certificates() as found:
        y = union.project(values, contexts)
    torch.testing.assert_close(y, torch.tensor([[0.5, 0.5], [0.0, 0.0], [1.0, 1.0]]))
    assert found[0][0] == "Disjunction" and bool(found[0][1].holds.all()) and len(found) == 1


@pytest.mark.parametrize("fallback", [BestEffort(), Interior([9.0, 9.0])])
def test_a_union_without_a_point(fallback):
    parts = [BoxEquality([1.0, 1.0], low=0.0, high=1.0), Polytope(torch.eye(2), varies=True)]
    with pytest.raises(ShapeError, match="context"):
        Disjunction(parts).project(torch.zeros(1, 2), torch.zeros(1, 1))  # the branches take one context
    parts = [BoxEquality([1.0, 1.0], low=0.0, high=1.0), BoxEquality([1.0, 1.0], low=2.0, high=4.0)]
    values, contexts = torch.full((3, 2), 0.9), torch.tensor([[1.0], [3.2], [5.0]])
    with pytest.raises(InfeasibleError, match=r"`Disjunction` .* 1 of 3 samples \(first: \[1\]\)"):
        Disjunction(parts).project(values, contexts)
    _, proof = Disjunction(parts, fallback=fallback).solve(values, contexts)
    assert proof.feasible.tolist() == [True, False, True] == (~proof.empty).tolist()
    y = Disjunction(parts, fallback=fallback).project(values, contexts)
    torch.testing.assert_close(y[[0, 2]], torch.tensor([[0.5, 0.5], [2.5, 2.5]]))
    assert y[1].tolist() == (
        [9.0, 9.0] if isinstance(fallback, Interior) else [2.0, 2.0]
    )  # 3.2 is nearer to 4 than to 2
    with pytest.raises(NonFiniteError):
        Disjunction(parts).project(values, torch.tensor([[1.0], [NAN], [5.0]]))


def test_unions_say_how_sure_they_are():
    assert Disjunction([Box(low=0.0), Simplex()]).closed_form
    assert not Disjunction([Box(low=0.0), Polytope([[1.0]], low=0.0)]).closed_form


# --- rules -----------------------------------------------------------------------------------------------------


class Shares(OutputRule):
    """Parts of a total that the input gives."""

    def __init__(self, fallback=None, **options):
        super().__init__(Simplex(fallback=fallback), **options)

    def context(self, x):
        return x[..., :1]


class Demand(LinearEquality):
    def __init__(self):
        super().__init__([[1.0, 1.0, 1.0]])

    def target(self, x):
        return x[..., :1]


def test_rules_pass_it_on():
    x = torch.tensor([[1.0, 0.0, 0.0], [-2.0, 1.0, 1.0]])
    for smooth in (False, True):
        hard = join(nn.Identity(), {"shares": Hard(Shares(outputs=[0, 2]), smooth=smooth)}, outputs=3)
        with pytest.raises(InfeasibleError, match=r"`Simplex` .* 1 of 2 samples \(first: \[1\]\)"):
            hard(x)
        best = join(nn.Identity(), {"shares": Hard(Shares(BestEffort(), outputs=[0, 2]), smooth=smooth)}, outputs=3)
        torch.testing.assert_close(best(x)[1], torch.tensor([0.0, 1.0, 0.0]))
    with pytest.raises(NonFiniteError):
        Demand().enforce(torch.zeros(1, 3), torch.tensor([[NAN]]))
    for rule in (Shares(), Demand(), FixedSum()):
        assert rule.explain().guarantee is Guarantee.EXACT and "closed-form" in rule.explain().cost


def test_a_joint_projection_in_closed_form_tells_too():
    rules = {"demand": Hard(Demand()), "units": Hard(Bounds(low=0.0, high=1.0))}
    joined = join(nn.Identity(), rules, outputs=3)
    assert type(joined.enforced[0].constraint) is BoxEquality
    with pytest.raises(InfeasibleError, match="1 of 2 samples"):
        joined(torch.tensor([[3.0, 0.0, 0.0], [3.1, 0.0, 0.0]]))
    joined = join(nn.Identity(), {"shares": Hard(Shares(BestEffort())), "units": rules["units"]}, outputs=3)
    with certificates() as found:
        y = joined(torch.tensor([[3.0, 0.0, 0.0], [3.1, 0.0, 0.0]]))
    assert y.tolist() == [[1.0] * 3] * 2 and found[0][1].feasible.tolist() == [True, False]


def test_balances_of_groups_tell_in_every_form():
    x, y = torch.tensor([[1.0, NAN]]), torch.ones(1, 4)
    for form in (None, Multiplicative()):
        with pytest.raises(NonFiniteError):
            GroupBalance("(g m) -> g", form, m=2).enforce(y, x)
        best = GroupBalance("(g m) -> g", form, m=2, fallback=BestEffort()).enforce(y, x)
        torch.testing.assert_close(best, torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    with pytest.raises(InfeasibleError):
        GroupBalance("(g m) -> g", low=0.0, m=2).enforce(y, torch.tensor([[1.0, -1.0]]))
    square = GroupMean("(h a) w -> h w", low=0.0, a=2, fallback=Interior(torch.ones(2, 1)))
    assert square.project(torch.zeros(2, 2, 1), torch.tensor([[[1.0]], [[-1.0]]]))[1].tolist() == [[1.0], [1.0]]


def test_dependent_rows_take_no_target_of_a_sample():
    affine = Affine([[1.0, 1.0], [2.0, 2.0]], [1.0, 2.0])
    torch.testing.assert_close(affine.project(torch.zeros(2)), torch.tensor([0.5, 0.5]))
    with pytest.raises(SpecificationError, match="independent"):
        affine.project(torch.zeros(1, 2), torch.tensor([[1.0, 3.0]]))


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e9])
def test_contradictions_of_any_size_are_refused_at_build(scale):
    big = [1e8, 0.0, 1e8]
    with pytest.raises(InfeasibleError):
        Affine([big, [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]], [1e8 * scale, scale, 1.05 * scale])
    Affine([big, [0.0, 1.0, 0.0], [0.0, 3.0, 0.0]], [1e8 * scale, 0.1 * scale, 0.3 * scale])
    with pytest.raises(InfeasibleError):
        Polytope([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]], low=[-INF, scale, scale], high=[1.9 * scale, INF, INF])
    Polytope([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]], low=[-INF, 0.1 * scale, 0.2 * scale], high=[0.3 * scale, INF, INF])
    with pytest.raises(InfeasibleError):
        Polytope([[0.0, 0.0]], low=scale)


@pytest.mark.parametrize("name", ALL)
def test_contexts_that_are_not_finite_are_refused_by_name(name):
    make, good = ALL[name]
    constraint = make(None)
    values, context = batch(good, NAN, good)
    for onto in maps(constraint):
        with pytest.raises(NonFiniteError, match=f"`{type(constraint).__name__}` needs finite "):
            onto(values, context)
