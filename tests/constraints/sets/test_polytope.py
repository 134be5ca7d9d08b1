"""Polytopes: laws, independent references, systems of every kind that hurts, refusals, fallbacks, compilation."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constraints import (
    BestEffort,
    Fallback,
    InfeasibleError,
    Interior,
    NonFiniteError,
    Polytope,
    ShapeError,
    SpecificationError,
    UncertifiedError,
    VaryingPolytope,
    certificates,
)
from constraints.functional import Certificate, factorise_polytope, project_polytope, solve_polytope
from constraints.functional.dual_method import add_rows
from constraints.functional.held_rows import solve_held
from constraints.testing import check_set, law_nearest
from tests.constraints.sets.systems import KINDS, SHAPES, is_empty, random_system

PER_SHAPE = 150  # times 7 shapes and 10 kinds: 10,500 systems


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def polytope(m=6, n=4, p=1, **options):
    a, c = torch.randn(m, n, generator=rng(1)), torch.randn(p, n, generator=rng(2))
    x = torch.randn(n, generator=rng(3))
    low = torch.where(torch.arange(m) % 2 == 0, a @ x - 1.0, -torch.inf)
    return Polytope(a, low, a @ x + 0.5, equal=c if p else None, target=c @ x if p else None, **options)


VALUES = 3.0 * torch.randn(8, 4, generator=rng(4), dtype=torch.float64)


@pytest.mark.parametrize("p", [0, 1, 2])
def test_laws(p):
    check_set(polytope(p=p), VALUES)
    law_nearest(polytope(p=p), VALUES)


def test_laws_with_bounds_of_each_sample():
    a = torch.randn(3, 4, generator=rng(1))
    middle = torch.randn(8, 4, generator=rng(5)) @ a.mT
    total = torch.randn(8, 1, generator=rng(6))
    context = torch.cat([total, middle - 0.4, middle + 0.4], dim=-1)
    check_set(Polytope(a, equal=[[1.0, 1.0, 1.0, 1.0]], varies=True), VALUES, context)


@pytest.mark.parametrize("equalities", [0, 1])
def test_laws_with_systems_of_each_sample(equalities):
    a = torch.randn(8, 3, 4, generator=rng(1))
    middle = (a @ torch.randn(8, 4, 1, generator=rng(5))).squeeze(-1)
    context = torch.cat([a, middle[..., None] - 0.3, middle[..., None] + 0.3], dim=-1)
    check_set(VaryingPolytope(3, 4, equalities=equalities), VALUES, context)


def test_gradients_reach_every_parameter():
    n, m, p = 6, 4, 2
    shapes = ((5, n), (m, n), (m,), (p, n), (p,))
    v, a, b, c, d = (torch.randn(*s, dtype=torch.float64, generator=rng(i)) for i, s in enumerate(shapes))
    inputs = [part.requires_grad_() for part in (3 * v, a, b.abs() - 3, b.abs(), c, 0 * d)]
    assert torch.autograd.gradcheck(project_polytope, inputs)
    assert torch.autograd.gradgradcheck(project_polytope, inputs)
    each = [3 * v, a.detach() + 0.1 * torch.randn(5, m, n, dtype=torch.float64, generator=rng(9)), *inputs[2:]]
    each = [part.detach().requires_grad_() for part in each]
    assert torch.autograd.gradcheck(project_polytope, each)
    assert torch.autograd.gradgradcheck(project_polytope, each)


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from([k for k in KINDS if k != "empty"]),
    m=st.integers(1, 12),
    n=st.integers(1, 8),
    seed=st.integers(0, 2**31),
)
def test_nearest_as_clarabel_finds_it(kind, m, n, seed):
    generator = np.random.default_rng(seed)
    a, low, high = random_system(kind, m, n, generator)
    v = generator.normal(size=n) * 3.0
    system = torch.tensor(np.concatenate([a, low[:, None], high[:, None]], axis=1))
    y, proof = VaryingPolytope(m, n).solve(torch.tensor(v), system)
    assert bool(proof.holds)
    point = cp.Variable(n)
    lengths = np.maximum(np.linalg.norm(a, axis=1), 1e-300)
    rows = [(r / s) @ point <= h / s for r, h, s in zip(a, high, lengths, strict=True) if np.isfinite(h)]
    rows += [(r / s) @ point >= w / s for r, w, s in zip(a, low, lengths, strict=True) if np.isfinite(w)]
    problem = cp.Problem(cp.Minimize(cp.sum_squares(point - v)), rows)
    try:
        problem.solve(solver=cp.CLARABEL)
    except cp.SolverError:
        return
    if problem.status == "optimal":  # where the reference is sure; ours may be no farther
        ours, theirs = np.linalg.norm(y.numpy() - v), np.linalg.norm(point.value - v)
        assert ours <= theirs * (1 + 1e-5) + 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_systems(kind, dtype):
    """No point outside beyond tolerance, no NaN, no contradiction accepted, nothing feasible given up."""
    generator = np.random.default_rng(KINDS.index(kind))
    for m, n in SHAPES:
        systems = [random_system(kind, m, n, generator) for _ in range(PER_SHAPE)]
        a, low, high = (torch.tensor(np.array(part)) for part in zip(*systems, strict=True))
        v = torch.tensor(generator.normal(size=(PER_SHAPE, n)) * 10 ** generator.uniform(-1, 2, size=(PER_SHAPE, 1)))
        context = torch.cat([a, low[..., None], high[..., None]], dim=-1)
        y, proof = VaryingPolytope(m, n).solve(v.to(dtype), context)
        assert y.isfinite().all()
        inside = proof.feasible.tolist()
        if kind == "empty" and m > 1:
            empty = [is_empty(*system) for system in systems]
            assert not any(ok and gone for ok, gone in zip(inside, empty, strict=True))
            assert all(ok or gone for ok, gone in zip(inside, empty, strict=True))
        else:
            assert all(inside)
            y64 = y.double()
            reach = y64.abs().amax(dim=-1, keepdim=True).clamp(min=1.0)
            position = (a @ y64[..., None]).squeeze(-1)
            size = a.norm(dim=-1) * reach
            beyond = torch.maximum(position - high, low - position)
            limit = torch.where(position > high, high, low).abs().nan_to_num(posinf=0.0)
            assert bool((beyond <= proof.tolerance * (size + limit)).all())


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("empty", "near parallel")])
def test_fixed_systems(kind):
    """The class for shared systems agrees with the one for systems of each sample."""
    generator = np.random.default_rng(1)
    for m, n in SHAPES[1:]:
        a, low, high = random_system(kind, m, n, generator)
        v = torch.tensor(generator.normal(size=(16, n)) * 5.0)
        y, proof = Polytope(torch.tensor(a), torch.tensor(low), torch.tensor(high)).solve(v)
        assert bool(proof.holds.all())
        context = torch.tensor(np.concatenate([a, low[:, None], high[:, None]], axis=1))
        other, _ = VaryingPolytope(m, n).solve(v, context.expand(16, -1, -1))
        torch.testing.assert_close(y, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("guess", [0.0, 1.0, 100.0], ids=["cold", "warm", "any"])
@pytest.mark.parametrize("rows", [15, 60])
def test_the_dual_method_alone_agrees(rows, guess):
    """Whatever rows it begins with: none, some of the right ones, or any."""
    a = torch.nn.functional.normalize(torch.randn(rows, 6, generator=rng(1), dtype=torch.float64), dim=-1)
    slack = torch.rand(rows, generator=rng(2), dtype=torch.float64)
    high = slack - (3 * torch.randn(40, 6, generator=rng(3)).double()) @ a.mT
    low = torch.full_like(high, -torch.inf)
    w = project_polytope(torch.zeros(40, 6, dtype=torch.float64), a, low, high)
    active = (w @ a.mT - high).abs() < 1e-9
    held = torch.where(active, torch.rand(40, rows, generator=rng(4)).double(), 0.0)
    if guess > 1.0:
        held = guess * torch.randn(40, rows, generator=rng(4)).double()
    sign, done, empty = add_rows(a, a @ a.mT, low, high, guess * held, most=6, steps=200)
    assert bool(done.all()) and not bool(empty.any())
    assert bool((active | (sign == 0)).all())
    multiplier = solve_held(a @ a.mT, sign, -high)
    assert float((multiplier * sign).min()) > -1e-9
    torch.testing.assert_close(-multiplier @ a, w)


def test_a_sample_without_room_for_its_rows_is_given_up_alone():
    rows, low = torch.eye(2, dtype=torch.float64), torch.full((3, 2), -torch.inf, dtype=torch.float64)
    high = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    sign, done, _ = add_rows(rows, rows, low, high, torch.zeros_like(high), most=1, steps=9)
    assert done.tolist() == [False, True, True] and sign[1:].tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_bounds_are_kept_exactly():
    rows = torch.cat([torch.eye(4), torch.tensor([[1.0, 2.0, 3.0, 4.0]])])
    y = Polytope(rows, low=[0.0] * 4 + [-torch.inf], high=[torch.inf, 1.0, 1.0, 1.0, 2.5]).project(VALUES * 3)
    assert float(y.min()) == 0.0 and float(y[:, 1:].max()) <= 1.0


def test_empty_sets_are_refused():
    with pytest.raises(InfeasibleError, match="2 inequalities and 0 equalities that none does"):
        Polytope([[1.0, 1.0], [-1.0, -1.0]], high=[1.0, -2.0])
    with pytest.raises(InfeasibleError, match="low <= high"):
        Polytope([[1.0]], low=2.0, high=1.0)
    with pytest.raises(InfeasibleError, match="1 inequalities and 1 equalities"):
        Polytope([[1.0, 0.0]], high=0.0, equal=[[2.0, 0.0]], target=[2.0])


def test_bad_numbers_are_refused():
    with pytest.raises(NonFiniteError, match="finite numbers for matrix"):
        Polytope([[torch.nan]], high=1.0)
    with pytest.raises(ShapeError, match=r"matrix of shape \(m, n\)"):
        Polytope(torch.ones(3), high=1.0)
    with pytest.raises(ShapeError, match="one width, got 2 and 3"):
        Polytope([[1.0, 1.0]], high=1.0, equal=[[1.0, 1.0, 1.0]], target=[1.0])
    with pytest.raises(ShapeError, match="1 bounds high"):
        Polytope([[1.0, 1.0]], high=[1.0, 2.0])
    with pytest.raises(SpecificationError, match="needs a target"):
        Polytope([[1.0, 1.0]], high=1.0, equal=[[1.0, 1.0]])
    with pytest.raises(ShapeError, match=r"context \(\*batch, 2\), got None"):
        Polytope([[1.0, 1.0]], varies=True).project(torch.zeros(2))
    with pytest.raises(ShapeError, match=r"context \(\*batch, 2, 5\)"):
        VaryingPolytope(2, 3).project(torch.zeros(3), torch.zeros(2, 3))
    with pytest.raises(SpecificationError, match="equalities=3"):
        VaryingPolytope(2, 3, equalities=3)
    with pytest.raises(ShapeError, match="value of shape"):
        polytope().project(torch.zeros(3))


def test_nan_in_the_value_is_not_passed_on_silently():
    with pytest.raises(NonFiniteError, match="finite values"):
        polytope().project(torch.full((2, 4), torch.nan))


EMPTY = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])  # low, high of two samples; the second has no point


@pytest.mark.parametrize("fallback", [BestEffort(), Interior([0.25, 0.25])])
def test_fallbacks(fallback: Fallback):
    sum_ = Polytope([[1.0, 1.0]], varies=True, fallback=fallback)
    with certificates() as found:
        y = sum_.project(torch.full((2, 2), 3.0), EMPTY)
    assert found[0][1].feasible.tolist() == [True, False] and found[0][1].empty.tolist() == [False, True]
    assert y.isfinite().all() and y[0].tolist() == [0.5, 0.5]
    if isinstance(fallback, Interior):
        assert y[1].tolist() == [0.25, 0.25]
        with pytest.raises(ShapeError, match="`Interior` needs a point"):
            Polytope([[1.0, 1.0, 1.0]], varies=True, fallback=fallback).project(torch.ones(2, 3), EMPTY)


def test_raise_is_the_default():
    with pytest.raises(InfeasibleError, match="1 empty ones: 1 of 2 samples"):
        Polytope([[1.0, 1.0]], varies=True).project(torch.full((2, 2), 3.0), EMPTY)
    not_proved = Certificate(torch.tensor([1.0]), 1e-6, torch.tensor([False]), torch.tensor([False]))
    with pytest.raises(UncertifiedError, match="at most 1e-06: 1 of 1 samples"):
        polytope().fallback.settle("Polytope", torch.zeros(1, 4), not_proved)


class Layer(nn.Module):
    def __init__(self, constraint):
        super().__init__()
        self.constraint, self.linear = constraint, nn.Linear(4, 4)

    def forward(self, x, context=None):
        return self.constraint.project(self.linear(x), context)


@pytest.mark.parametrize("kind", ["few rows", "many rows", "varying"])
def test_compiles_whole_and_exports(kind):
    varying = kind == "varying"
    many = Polytope(torch.randn(24, 4, generator=rng(3)), high=0.2)  # more rows than are masked where they are
    constraint = VaryingPolytope(3, 4) if varying else many if kind == "many rows" else polytope()
    a = torch.randn(8, 3, 4, generator=rng(1))
    context = torch.cat([a, -torch.ones(8, 3, 1), torch.ones(8, 3, 1)], dim=-1) if varying else None
    layer, x = Layer(constraint), torch.randn(8, 4, generator=rng(2))
    expected = layer(x, context)
    expected.square().sum().backward()
    gradient = layer.linear.weight.grad.clone()
    layer.zero_grad()
    y = torch.compile(layer, backend="aot_eager", fullgraph=True)(x, context)
    y.square().sum().backward()
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(layer.linear.weight.grad, gradient)
    exported = torch.export.export(layer, (x, context)).module()
    torch.testing.assert_close(exported(x + 1.0, context), layer(x + 1.0, context))


def test_a_compiled_layer_still_refuses():
    layer = torch.compile(Layer(Polytope(torch.eye(4), varies=True)), backend="aot_eager", fullgraph=True)
    empty = torch.cat([torch.ones(2, 4), -torch.ones(2, 4)], dim=-1)
    with pytest.raises(RuntimeError, match="some samples are outside"):
        layer(torch.ones(2, 4), empty)


def test_huge_and_tiny_values():
    for scale in (1e-12, 1e-6, 1e6, 1e12):
        y, proof = polytope(p=0).solve(VALUES * scale)
        assert bool(proof.holds.all()) and y.isfinite().all()


def test_no_rows_and_no_samples():
    factors = factorise_polytope(torch.zeros(0, 3).double(), torch.ones(1, 3).double())
    none = torch.zeros(0)
    y, proof = solve_polytope(torch.zeros(2, 3), factors, none, none, torch.tensor([3.0]))
    assert y.tolist() == [[1.0] * 3] * 2 and bool(proof.holds.all())
    assert polytope().project(torch.zeros(0, 4)).shape == (0, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("low", "high"), [(1.0, 5.0), (-5.0, -1.0)])
def test_a_row_of_zeros_that_nothing_meets_leaves_a_sample_without_a_point(low, high, dtype):
    system = torch.tensor([[[0.0, 0.0, low, high]], [[0.0, 0.0, -1.0, 1.0]]], dtype=dtype)
    values = torch.ones(2, 2, dtype=dtype)
    point, certificate = VaryingPolytope(rows=1, size=2).solve(values, system)
    assert certificate.empty.tolist() == [True, False] == (~certificate.feasible).tolist()
    assert torch.equal(point[1], values[1])


def test_targets_of_another_number_are_refused():
    with pytest.raises(ShapeError, match=r"`Polytope` needs a target of shape \(1,\), got \(2,\)"):
        Polytope([[1.0, 0.0]], low=0.0, equal=[[1.0, 1.0]], target=[1.0, 2.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e8])
def test_points_nearest_to_far_values_are_inside(size, dtype):
    """In float64 32 of 200 were outside by the rounding of the value, 1e4 sizes away."""
    for seed in range(60):
        draw = rng(seed)
        n, m, p = (int(torch.randint(low, high, (1,), generator=draw)) for low, high in ((2, 9), (2, 13), (0, 2)))
        a, c, x = (torch.randn(k, generator=draw, dtype=torch.float64) for k in ((m, n), (p, n), (n,)))
        low, high = (a @ x + sign * torch.rand(m, generator=draw, dtype=torch.float64) for sign in (-1, 1))
        fixed = Polytope(a, low, high, equal=c, target=c @ x)
        system = torch.cat([torch.cat([c, a]), torch.stack([torch.cat([c @ x, end]) for end in (low, high)], 1)], 1)
        varying = VaryingPolytope(rows=m + p, size=n, equalities=p)
        values = (size * torch.randn(4, n, generator=draw, dtype=torch.float64)).to(dtype)
        point = fixed.project(values)
        assert bool(fixed.check(point).all()), seed
        numbers = system.expand(4, -1, -1)
        assert bool(varying.check(varying.project(values, numbers), numbers).all()), seed
        law = 1e-9 * size if dtype == torch.float64 else 1e-4 * size
        torch.testing.assert_close(varying.project(values, numbers), point, rtol=0.0, atol=law)


def test_far_values_pass_gradients_on():
    fixed = Polytope(torch.eye(3) + 0.5, low=-1.0, high=1.0)
    values = (1e4 * torch.randn(5, 3, generator=rng(4), dtype=torch.float64)).requires_grad_()
    near = fixed.project(values.detach())
    (slope,) = torch.autograd.grad(fixed.project(values).sum(), values)
    held = torch.autograd.functional.jacobian(lambda v: fixed.project(v).sum(), values.detach() + 1e-3)
    assert bool(slope.isfinite().all()) and bool(fixed.check(near).all())
    torch.testing.assert_close(slope, held, atol=1e-9, rtol=1e-9)
