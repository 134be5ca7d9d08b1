"""Rays: gauges of every set that has one, intersections, interior points found or refused."""

import re

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constraints import (
    Affine,
    Box,
    HalfSpace,
    InfeasibleError,
    L1Ball,
    L2Ball,
    LinearMatrixInequality,
    LinfBall,
    Quadratic,
    RayMap,
    RayTraceable,
    SecondOrderCone,
    ShapeError,
    Simplex,
    SpecificationError,
)
from constraints.sets import interior
from constraints.testing import check_set, law_feasible, law_gauge, law_idempotent

INF = float("inf")
DISC = LinearMatrixInequality(
    [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]]
)  # the unit disc
PARABOLA = Quadratic([[2.0, 0.0], [0.0, 0.0]], [0.0, -1.0], 0.5)  # y2 >= y1^2 + 1/2


def normal(*shape, seed=0, scale=2.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


GAUGES = {
    "box": (Box(low=[-1.0, 0.0], high=[1.0, INF]), [0.3, 2.0]),
    "half-space": (HalfSpace([1.0, -2.0], 1.0), [0.3, 2.0]),
    "l1 ball": (L1Ball(2.0, center=[1.0, 0.0]), [0.3, 0.2]),
    "l2 ball": (L2Ball(2.0, center=[1.0, 0.0]), [0.3, 0.2]),
    "linf ball": (LinfBall(2.0, center=[1.0, 0.0]), [0.3, 0.2]),
    "second-order cone": (SecondOrderCone(), [0.3, 1.2]),
    "ellipse": (Quadratic([[2.0, 0.5], [0.5, 1.0]], [1.0, -1.0], -3.0), [0.3, 0.2]),
    "parabola": (PARABOLA, [0.3, 2.0]),
    "disc": (DISC, [0.3, 0.2]),
}


@pytest.mark.parametrize("name", GAUGES)
def test_gauges(name):
    constraint, origin = GAUGES[name]
    assert isinstance(constraint, RayTraceable)
    law_gauge(constraint, torch.tensor(origin, dtype=torch.float64), normal(12, 2))
    check_set(constraint, normal(6, 2))


MAPS = {
    "three sets": (RayMap([L2Ball(2.0), Box(low=[-1.0, 0.0], high=1.5), HalfSpace([1.0, 1.0], 2.0)]), normal(6, 2)),
    "on a plane": (
        RayMap(
            [L1Ball(3.0), Quadratic(torch.eye(4), [1.0, 0.0, 0.0, 0.0], -2.0)],
            equality=Affine([[1.0, 1.0, 0.0, 1.0]], [0.5]),
        ),
        normal(6, 4),
    ),
    "matrix inequality": (RayMap([DISC]), normal(6, 2)),
    "unbounded": (RayMap([PARABOLA]), normal(6, 2)),
    "cone": (RayMap([SecondOrderCone(), HalfSpace([0.0, 0.0, 1.0], 4.0)]), normal(6, 3)),
    "given": (RayMap([Box(low=0.0, high=4.0)], interior=[1.0, 3.0, 2.0]), normal(6, 3)),
}


@pytest.mark.parametrize("name", MAPS)
def test_ray_maps_pass_the_laws(name):
    rays, values = MAPS[name]
    check_set(rays, values)
    inside = rays.interior + 0.01 * (rays.squash(values) - rays.interior)
    torch.testing.assert_close(rays.project(inside), inside)
    still = rays.interior.expand(2, -1).clone().requires_grad_()
    for f in (rays.project, rays.squash):
        (grad,) = torch.autograd.grad(f(still).sum(), still)
        torch.testing.assert_close(f(still), still)
        assert bool(grad.isfinite().all())


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 6),
    st.integers(0, 10_000),
    st.sampled_from([1e-4, 1e-2, 1.0, 1e3, 1e5]),
    st.sampled_from([1e-3, 1.0, 1e6]),
)
def test_random_intersections_are_met(n, seed, size, reach):
    """Sets about a common hidden point: an interior is found, and no ray leaves."""
    hidden = normal(n, seed=seed, scale=size)
    normals = normal(3, n, seed=seed + 1)
    root = normal(n, n, seed=seed + 2)
    matrix = root @ root.mT
    rays = RayMap(
        [
            *(HalfSpace(a, float(a @ hidden) + size) for a in normals),
            L2Ball(2.0 * size, center=hidden + 0.3 * size),
            Box(low=hidden - size, high=hidden + 2.0 * size),
            Quadratic(matrix, -matrix @ hidden, float(0.5 * hidden @ matrix @ hidden) - size**2),
        ],
        equality=Affine(normal(1, n, seed=seed + 3), normal(1, n, seed=seed + 3) @ hidden),
    )
    values = reach * normal(5, n, seed=seed + 4)
    law_feasible(rays, values)
    law_idempotent(rays, values)
    for dtype in (torch.float32, torch.float64):
        assert bool(rays.check(rays.squash(values.to(dtype))).all())


def test_the_centre_of_a_polytope_is_the_largest_balls():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(8, 3)), rng.uniform(0.5, 2.0, 8)
    rays = RayMap([Box(low=-3.0, high=3.0), *(HalfSpace(row, float(end)) for row, end in zip(a, b, strict=True))])
    y, r = cp.Variable(3), cp.Variable()
    bounds = [a @ y + np.linalg.norm(a, axis=1) * r <= b, y + r <= 3, y - r >= -3]
    cp.Problem(cp.Maximize(r), bounds).solve(solver=cp.CLARABEL)
    depth = np.min((b - a @ rays.interior.numpy()) / np.linalg.norm(a, axis=1))
    assert depth == pytest.approx(float(r.value), rel=1e-4)


SQUARE = [([1.0, 0.0], 4.0), ([-1.0, 0.0], 0.0), ([0.0, 1.0], 5.0), ([0.0, -1.0], -1.0)]  # (0, 4) x (1, 5)


@pytest.mark.parametrize("reach", [10.0, 1e3, 1e6])
@pytest.mark.parametrize("length", [1e-6, 1.0, 1e6])
def test_the_centre_below_cuts_of_any_length(reach, length):
    cuts = [(length * np.array(slope), length * level) for slope, level in SQUARE]
    for more in ([], [(np.zeros(2), 1.0)], [(np.zeros(2), 1e9)]):  # flat where it is negative: cuts nothing
        centre, radius = interior._centre(cuts + more, 2, reach)
        assert centre == pytest.approx([2.0, 3.0], rel=1e-6) and radius == pytest.approx(2.0, rel=1e-6)
    for level in (0.0, -1.0):
        assert interior._centre([*cuts, (np.zeros(2), level)], 2, reach) is None
    beyond = (length * np.array([1.0, 0.0]), -length)
    assert interior._centre([*cuts, beyond], 2, reach) is None, "empty"
    assert interior._centre([*cuts, (beyond[0], 0.0)], 2, reach) is None, "without inside"


@pytest.mark.parametrize("reach", [10.0, 1e6])
def test_where_nothing_bounds_the_ball_it_is_near_the_start(reach):
    """Its radius is half the reach, its centre the nearest with that: y1 >= 1 is met at 1 + reach / 2."""
    centre, radius = interior._centre([(np.array([-2.0, 0.0]), -2.0)], 2, reach)
    assert centre == pytest.approx([1.0 + reach / 2, 0.0], rel=1e-5, abs=1e-5) and radius == pytest.approx(reach / 2)
    centre, radius = interior._centre([(np.array([0.0, 1.0]), reach)], 2, reach)
    assert centre == pytest.approx([0.0, 0.0], abs=1e-5) and radius == pytest.approx(reach / 2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_the_lowest_point_of_a_quadratic(rank, scale):
    """The least value where there is one; one below it, and below 0, where the value falls for ever."""
    turn = torch.linalg.qr(normal(3, 3, seed=rank))[0]
    curved = torch.tensor([1.0, 4.0, 0.5], dtype=torch.float64) * (torch.arange(3) < rank)
    root = torch.diag(scale * curved)
    point, level = normal(3, seed=5), torch.tensor(2.0 * scale, dtype=torch.float64)
    slope = scale * torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    for falls in (False, True):
        along = torch.where(curved > 0, -(scale * curved) * point, slope * falls)
        bottom = torch.where(curved > 0, point, 0.0)
        least = -0.5 * float(scale * (curved * bottom**2).sum())
        for above in (-level, 0.0 * level, level):
            endless = falls and rank < 3
            build = lambda a=along, r=above - least: Quadratic(turn @ root @ turn.mT, turn @ a, r)  # noqa: E731
            if above > 0 and not endless:
                with pytest.raises(InfeasibleError, match="least value of"):
                    build()
                continue
            quadratic = build()
            value = float(quadratic.residual(quadratic.lowest))
            expected = max(float(above), 0.0) * -1.0 + float(above) - 1.0 if endless else float(above)
            assert value == pytest.approx(expected, abs=1e-9 * max(scale, 1.0))
            if not endless:
                torch.testing.assert_close(turn.mT @ quadratic.lowest, bottom)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_eigenvalues_are_negative_beyond_rounding(scale):
    turn = torch.linalg.qr(normal(4, 4))[0]
    for least, fine in ((0.0, True), (-1e-16, True), (-1e-9, False), (-1.0, False)):
        matrix = scale * turn @ torch.diag(torch.tensor([3.0, 2.0, 1.0, least], dtype=torch.float64)) @ turn.mT
        if fine:
            assert Quadratic(matrix, torch.zeros(4), -1.0).size == 4
        else:
            with pytest.raises(SpecificationError, match=re.escape(f"got the eigenvalue {scale * least:.3g}")):
                Quadratic(matrix, torch.zeros(4), -1.0)


@pytest.mark.parametrize("shape", [(2, 2), (1, 2, 2), (3, 2, 1), (3, 1, 2), (3, 0, 0), (2, 2, 2, 2)])
def test_matrices_of_other_shapes_are_refused(shape):
    with pytest.raises(ShapeError, match=r"got shape \(" + ", ".join(map(str, shape))):
        LinearMatrixInequality(torch.ones(shape))


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_each_matrix_is_symmetric_on_its_own_scale(size):
    """Beside one a billion times as large, whose rounding is larger than the other."""
    big, small = torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    big[0, 1] += 1e-14
    matrices = size * torch.stack([1e9 * big, small, small])
    assert LinearMatrixInequality(matrices).size == 2
    assert torch.equal(LinearMatrixInequality(matrices).matrices, (matrices + matrices.mT) / 2)
    matrices[2, 0, 1] += 1e-6 * size
    with pytest.raises(SpecificationError, match="F_2 with entries that differ by"):
        LinearMatrixInequality(matrices)


def test_an_offset_matrix_inequality_is_found():
    """The unit disc moved to (7, -3): nothing but cutting planes knows where."""
    f = DISC.matrices.clone()
    f[0] -= 7.0 * f[1] - 3.0 * f[2]
    interior = RayMap([LinearMatrixInequality(f)]).interior
    assert float((interior - torch.tensor([7.0, -3.0])).norm()) < 0.9


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: Quadratic([[1.0, 0.0], [0.0, -2.0]], [0.0, 0.0], -1.0), SpecificationError, "eigenvalue -2"),
        (lambda: Quadratic([[1.0]], [0.0], 1.0), InfeasibleError, "least value of 1 at"),
        (lambda: Quadratic([[2.0]], [2.0], 0.75), None, ""),  # least value -1/4
        (lambda: Quadratic([[1.0, 0.0]], [0.0], 1.0), ShapeError, r"got shapes \(1, 2\), \(1,\) and \(\)"),
        (lambda: LinearMatrixInequality([[[1.0]]]), ShapeError, r"\(1 \+ n, m, m\)"),
        (lambda: LinearMatrixInequality([[[1.0]], [[1.0]]]), None, ""),
        (
            lambda: LinearMatrixInequality([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 0.0]]]),
            SpecificationError,
            "F_1 with entries that differ by 1",
        ),
        (lambda: RayMap([]), SpecificationError, "at least one set"),
        (lambda: RayMap([Simplex()], interior=[0.5, 0.5]), SpecificationError, "`gauge`, got Simplex"),
        (lambda: RayMap([Box(low=0.0)]), SpecificationError, "known size"),
        (lambda: RayMap([L2Ball()], interior=[0.0, 0.0]), SpecificationError, "`L2Ball` without a fixed radius"),
        (lambda: RayMap([DISC], interior=[0.0, 0.0, 0.0]), ShapeError, "LinearMatrixInequality`: 2"),
        (lambda: RayMap([L2Ball(1.0)], interior=[2.0, 0.0]), InfeasibleError, "strictly inside.*1 in `L2Ball`"),
        (lambda: RayMap([L2Ball(1.0)], interior=[1.0, 0.0]), InfeasibleError, "strictly inside"),
        (
            lambda: RayMap([L2Ball(1.0)], interior=[0.5, 0.0], equality=Affine([[1.0, 0.0]], [0.0])),
            InfeasibleError,
            "misses them by 0.5",
        ),
        (lambda: RayMap([L2Ball(1.0)], equality=Affine([[1.0, 0.0]], [2.0])), InfeasibleError, "no point was found"),
        (lambda: RayMap([L2Ball(1.0), HalfSpace([1.0, 0.0], -1.0)]), InfeasibleError, "no point was found"),
        (lambda: RayMap([Box(low=[0.0, 0.0], high=[1.0, 0.0])]), InfeasibleError, "`Box`"),
        (lambda: RayMap([L2Ball(1.0)], equality=Affine([[1.0, 0.0]])), SpecificationError, "target"),
    ],
)
def test_refuses_what_makes_no_sense(build, error, says):
    if error is None:
        build()
        return
    with pytest.raises(error, match=says):
        build()


@pytest.mark.parametrize(
    ("sets", "equality"),
    [
        ([L2Ball(1.0, center=[3.0, 4.0, 0.0]), Box(low=[2.9, 3.9, -1.0])], None),
        ([L2Ball(2.0), HalfSpace([1.0, 1.0, 1.0], -3.0)], None),
        ([L2Ball(2.0), Box(low=0.1)], Affine([[1.0, 1.0, 1.0]], [1.0])),
    ],
)
def test_a_descent_finds_an_interior_point_where_cutting_planes_have_not(sets, equality, monkeypatch):
    monkeypatch.setattr(interior, "ROUNDS", 1)
    point = interior.find_interior(sets, 3, equality)
    assert all(bool(part.residual(point).amax() < 0.0) for part in sets)
    assert equality is None or bool(equality.check(point))
