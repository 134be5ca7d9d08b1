"""`Intersection`: the laws, independent references, sets that share normals, sets that do not meet."""

import cvxpy as cp
import numpy as np
import pytest
import torch

from constraints import (
    Affine,
    BestEffort,
    Box,
    Disjunction,
    HalfSpace,
    InfeasibleError,
    Interior,
    Intersection,
    L1Ball,
    L2Ball,
    OrderedCone,
    Polytope,
    ShapeError,
    Simplex,
    SpecificationError,
    UncertifiedError,
    certificates,
)
from constraints.sets import ProjectableConstraint, SemidefiniteCone
from constraints.testing import check_set, law_nearest


def rng(seed):
    return torch.Generator().manual_seed(seed)


VALUES = 2.0 * torch.randn(6, 4, generator=rng(0), dtype=torch.float64)
BOX = Box(low=[-0.5] * 4, high=[1.0] * 4)
TIGHT = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
ROUND = {
    "ball, box, sum": (
        lambda: Intersection([L2Ball(1.5), BOX, Affine([[1.0, 1.0, 1.0, 1.0]], [1.0])]),
        lambda y: [cp.norm(y) <= 1.5, y >= -0.5, y <= 1.0, cp.sum(y) == 1.0],
    ),
    "simplex, ball, half-space": (
        lambda: Intersection([Simplex(), L2Ball(0.6), HalfSpace([1.0, 0.0, 0.0, 0.0], 0.3)]),
        lambda y: [y >= 0.0, cp.sum(y) == 1.0, cp.norm(y) <= 0.6, y[0] <= 0.3],
    ),
    "diamond, ball, order": (
        lambda: Intersection([L1Ball(1.5), L2Ball(1.0), OrderedCone()]),
        lambda y: [cp.norm1(y) <= 1.5, cp.norm(y) <= 1.0, cp.diff(y) >= 0.0],
    ),
}


@pytest.mark.parametrize("kind", ROUND)
def test_laws_and_nearest_points(kind):
    make, conditions = ROUND[kind]
    constraint = make()
    check_set(constraint, VALUES[:3])
    y, proof = constraint.solve(VALUES)
    assert bool(proof.holds.all()) and float(proof.violation.max()) <= 1e-14
    for v, found in zip(VALUES.numpy(), y.numpy(), strict=True):
        u = cp.Variable(4)
        cp.Problem(cp.Minimize(cp.sum_squares(u - v)), conditions(u)).solve(solver=cp.CLARABEL, **TIGHT)
        np.testing.assert_allclose(found, u.value, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ROUND)
def test_values_far_outside(kind, dtype):
    """From 1e4 sizes away, 26 to 40 of 40 answers of Dykstra's algorithm alone are not certified."""
    constraint = ROUND[kind][0]()
    for scale in (30.0, 1e4, 1e6):
        v = (scale * torch.randn(40, 4, generator=rng(7), dtype=torch.float64)).to(dtype)
        y, proof = constraint.solve(v)
        assert bool(proof.holds.all()) and bool(constraint.check(y).all()), scale
        along = ((v[:, None] - y[:, None]) * (y[None] - y[:, None])).double().sum(dim=-1)  # <v - y, q - y> <= 0
        assert float(along.max()) <= max(32.0 * torch.finfo(dtype).eps, 1e-7) * scale


@pytest.mark.parametrize("kind", ROUND)
def test_the_origin_is_certified_at_once(kind):
    """A value of no size of its own: what is nearest to it is measured by the size of the point."""
    y, proof = ROUND[kind][0]().solve(torch.zeros(2, 4, dtype=torch.float64))
    assert bool(proof.holds.all()) and bool(proof.optimal.all())
    u = cp.Variable(4)
    cp.Problem(cp.Minimize(cp.sum_squares(u)), ROUND[kind][1](u)).solve(solver=cp.CLARABEL, **TIGHT)
    np.testing.assert_allclose(y[0].numpy(), u.value, atol=1e-3)  # a norm of about 0 is little exact there


def test_linear_sets_agree_with_the_polytope():
    a = torch.randn(3, 4, generator=rng(1), dtype=torch.float64)
    joint = Intersection([BOX, *(HalfSpace(row, 0.2) for row in a)])
    rows = torch.cat([a, torch.eye(4, dtype=torch.float64)])
    exact = Polytope(rows, [-torch.inf] * 3 + [-0.5] * 4, [0.2] * 3 + [1.0] * 4)
    torch.testing.assert_close(joint.project(VALUES), exact.project(VALUES), rtol=0.0, atol=1e-13)
    law_nearest(joint, VALUES, joint.project(torch.randn(20, 4, generator=rng(2), dtype=torch.float64)), others=6)


def test_sets_that_share_their_normals():
    """The parts of the correction are then not determined, but the point and its derivatives are."""
    twice = Intersection([L2Ball(1.0), L2Ball(1.0), Box(high=[2.0] * 4)])
    v = VALUES.clone().requires_grad_()
    torch.testing.assert_close(twice.project(v), L2Ball(1.0).project(v))
    assert torch.autograd.gradcheck(twice.project, (v[:2],))


class OnesOnDiagonal(ProjectableConstraint):
    """Symmetric or not, with ones on the diagonal."""

    event_dim = 2

    def __init__(self, n):
        super().__init__()
        self.size = self.equalities = n

    def residual(self, value, context=None):
        return value.diagonal(dim1=-2, dim2=-1) - 1.0

    def project(self, value, context=None):
        eye = torch.eye(self.size, dtype=value.dtype)
        return value * (1.0 - eye) + eye


def test_matrices():
    """The nearest correlation matrix: semidefinite, with ones on the diagonal."""
    constraint = Intersection([SemidefiniteCone(3), OnesOnDiagonal(3)])
    given = torch.randn(4, 3, 3, generator=rng(3), dtype=torch.float64)
    given = given + given.mT
    y, proof = constraint.solve(given)
    assert bool(proof.holds.all())
    for v, found in zip(given.numpy(), y.numpy(), strict=True):
        u = cp.Variable((3, 3), PSD=True)
        cp.Problem(cp.Minimize(cp.sum_squares(u - v)), [cp.diag(u) == 1.0]).solve(solver=cp.CLARABEL, **TIGHT)
        np.testing.assert_allclose(found, u.value, atol=1e-3)
        assert ((found - v) ** 2).sum() <= ((u.value - v) ** 2).sum() + 1e-5


def test_contexts_go_to_their_sets():
    constraint = Intersection([L2Ball(2.0), Affine([[1.0, 1.0, 1.0, 1.0]])], widths=(0, 1))
    total = torch.tensor([[0.5], [1.0], [-1.0]], dtype=torch.float64)
    check_set(constraint, VALUES[:3], total)
    torch.testing.assert_close(constraint.project(VALUES[:3], total).sum(-1, keepdim=True), total)
    with pytest.raises(ShapeError, match=r"context \(\*batch, 1\), got \(3, 2\)"):
        constraint.project(VALUES[:3], total.expand(3, 2))
    with pytest.raises(ShapeError, match="got None"):
        constraint.project(VALUES[:3])


def test_samples_without_a_common_point_are_told():
    sets = [L2Ball(1.0), Affine([[1.0, 0.0]])]
    at = torch.tensor([[0.5], [3.0]])
    with pytest.raises(UncertifiedError, match="1 of 2 samples"):
        Intersection(sets, widths=(0, 1)).project(torch.zeros(2, 2), at)
    with certificates() as found:
        y = Intersection(sets, widths=(0, 1), fallback=BestEffort()).project(torch.zeros(2, 2), at)
    assert found[0][1].holds.tolist() == [True, False] and bool(y.isfinite().all())
    y = Intersection(sets, widths=(0, 1), fallback=Interior([0.0, 0.0])).project(torch.zeros(2, 2), at)
    assert y.tolist() == [[0.5, 0.0], [0.0, 0.0]]


def test_what_is_refused():
    with pytest.raises(InfeasibleError, match="common point"):
        Intersection([L2Ball(1.0), HalfSpace([1.0, 0.0], -2.0)])
    with pytest.raises(SpecificationError, match="at least two convex sets"):
        Intersection([L2Ball(1.0)])
    with pytest.raises(SpecificationError, match="Disjunction"):
        Intersection([L2Ball(1.0), Disjunction([Box(high=-1.0), Box(low=1.0)])])
    with pytest.raises(ShapeError, match=r"one size, got sizes \[2, 3\]"):
        Intersection([Box(low=[0.0] * 2), Box(low=[0.0] * 3)])
    with pytest.raises(ShapeError, match="one width >= 0 a set"):
        Intersection([L2Ball(1.0), BOX], widths=(1,))


def test_an_empty_batch_and_one_sample():
    constraint = Intersection([L2Ball(1.0), BOX])
    assert constraint.project(torch.zeros(0, 4)).shape == (0, 4)
    assert constraint.project(torch.full((4,), 9.0)).shape == (4,)
