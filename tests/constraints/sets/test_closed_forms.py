"""The closed-form sets pass the laws at any size and scale, compile, export, and refuse what makes no sense."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constraints import (
    Box,
    HalfSpace,
    InfeasibleError,
    L1Ball,
    L2Ball,
    LinfBall,
    NonFiniteError,
    OrderedCone,
    ProjectableConstraint,
    RayMap,
    SecondOrderCone,
    SemidefiniteCone,
    ShapeError,
    Simplex,
    SpecificationError,
    Squashing,
)
from constraints.functional import project_semidefinite_cone
from constraints.testing import (
    check_set,
    law_feasible,
    law_idempotent,
    law_nearest,
    law_squash,
    law_violation,
)

INF = float("inf")


def normal(*shape, seed=0, scale=2.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


RADII = normal(6, 1, seed=1).abs() + 0.1
CENTER = [1.0, 0.0, -1.0, 2.0]
SETS = {
    "box, mixed": (Box(low=[-1.0, 0.0, -9.0, -INF, -INF], high=[1.0, INF, 2.0, 3.0, INF]), normal(6, 5), None),
    "simplex, total": (Simplex(), normal(6, 5), RADII),
    "half-space": (HalfSpace([1.0, -2.0, 0.5], 0.3), normal(6, 3), None),
    "half-space, offset": (HalfSpace([1.0, -2.0, 0.5]), normal(6, 3), normal(6, 1, seed=1)),
    "half-line": (HalfSpace([-1e-3], 5.0), normal(6, 1), None),
    "l1 ball": (L1Ball(1.5, center=CENTER), normal(6, 4), None),
    "l1 ball, radius": (L1Ball(), normal(6, 4), RADII),
    "l2 ball": (L2Ball(1.5, center=CENTER), normal(6, 4), None),
    "l2 ball, radius": (L2Ball(), normal(6, 4), RADII),
    "linf ball": (LinfBall(1.5, center=CENTER), normal(6, 4), None),
    "linf ball, radius": (LinfBall(), normal(6, 4), RADII),
    "ordered": (OrderedCone(), normal(6, 7), None),
    "ordered, one": (OrderedCone(), normal(6, 1), None),
    "ordered, low": (OrderedCone(low=-1.0), normal(6, 7), None),
    "ordered, falling below": (OrderedCone(high=1.0, descending=True), normal(6, 7), None),
    "ordered, both": (OrderedCone(low=-1.0, high=1.0), normal(6, 7), None),
    "ordered, falling between": (OrderedCone(low=-1.0, high=1.0, descending=True), normal(6, 7), None),
    "second-order cone": (SecondOrderCone(), normal(8, 4), None),
    "second-order cone, two": (SecondOrderCone(), normal(8, 2), None),
    "semidefinite": (SemidefiniteCone(3), normal(5, 3, 3), None),
    "semidefinite, one": (SemidefiniteCone(1), normal(5, 1, 1), None),
}
RAYS = RayMap([L2Ball(2.0), Box(low=[-1.0, 0.0], high=1.5), HalfSpace([1.0, 1.0], 2.0)])


@pytest.mark.parametrize("name", SETS)
def test_laws(name):
    constraint, values, context = SETS[name]
    assert isinstance(constraint, Squashing)
    check_set(constraint, values, context)
    law_nearest(constraint, values, context)


scales = st.sampled_from([1e-6, 1e-3, 1.0, 1e3, 1e6])


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 25), st.integers(0, 10_000), scales, scales, st.booleans())
def test_laws_at_any_size_and_scale(n, seed, size, reach, tied):
    """Small sets seen from far away, large ones from close by, ties and zeros."""
    values = reach * normal(4, n, seed=seed)
    if tied:
        values = torch.where(normal(4, n, seed=seed + 1) > 0, values[:, :1], 0.0)
    center = size * normal(n, seed=seed + 2)
    for constraint in (
        HalfSpace(normal(n, seed=seed + 3, scale=size), size),
        L1Ball(size, center=center),
        L2Ball(size, center=center),
        LinfBall(size, center=center),
        OrderedCone(),
        OrderedCone(low=-size, high=size, descending=True),
        SecondOrderCone(),
    ):
        law_violation(constraint, values)
        law_feasible(constraint, values)
        law_idempotent(constraint, values)
        law_squash(constraint, values[:1, :3] / reach, second_order=False) if constraint.size is None else None
    m = min(n, 6)
    square = values[:, :m, None] * values[:, None, :m] / reach - reach * torch.eye(m, dtype=torch.float64)
    law_feasible(SemidefiniteCone(m), square)
    law_idempotent(SemidefiniteCone(m), square)


@pytest.mark.parametrize("name", SETS)
def test_gradients_are_finite_where_the_map_has_kinks(name):
    """At 0, at ties, at the centre of a ball, on the boundary itself."""
    constraint, values, context = SETS[name]
    on = constraint.project(values, context).detach()
    for at in (
        torch.zeros_like(values),
        torch.ones_like(values),
        on,
        0.0 * values + getattr(constraint, "center", 0.0),
    ):
        for dtype in (torch.float32, torch.float64):
            given = at.to(dtype).requires_grad_()
            ctx = None if context is None else context.to(dtype)
            y = constraint.project(given, ctx)
            (grad,) = torch.autograd.grad((y * torch.arange(y.numel()).reshape(y.shape)).sum(), given)
            assert bool(grad.isfinite().all())


class Layer(nn.Module):
    def __init__(self, constraint):
        super().__init__()
        self.constraint = constraint

    def forward(self, value, context=None):
        return self.constraint.project(value, context), self.constraint.squash(value, context)


@pytest.mark.parametrize("name", [*SETS, "rays"])
def test_exports_and_compiles_without_a_break(name):
    constraint, values, context = SETS.get(name, (RAYS, normal(6, 2), None))
    layer = Layer(constraint)
    made_with = (values,) if context is None else (values, context)
    run_with = (values.flip(0) * 3.0, *made_with[1:])
    expected = layer(*run_with)
    exported = torch.export.export(layer, made_with).module()
    for ours, theirs in zip(exported(*run_with), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    moved = run_with[0].clone().requires_grad_()
    for ours, theirs in zip(compiled(moved, *run_with[1:]), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
        (grad,) = torch.autograd.grad(ours.square().sum(), moved, retain_graph=True)
        assert bool(grad.isfinite().all())


def test_one_sample_that_is_not_a_number_spoils_no_other():
    values = normal(3, 2, 2)
    values[1, 0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match=r"got \d of 12 values that are not finite, the first at sample 1"):
        SemidefiniteCone(2).project(values)
    y = project_semidefinite_cone(values)
    assert y[1].isnan().all() and y[[0, 2]].isfinite().all()
    assert SemidefiniteCone(2).check(y).tolist() == [True, False, True]
    assert SemidefiniteCone(2).project(torch.eye(2, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("name", [name for name in [*SETS, "rays"] if "semidefinite" not in name])
def test_large_values_overflow_nowhere(name):
    """As mixed precision sees them, whose squares are beyond float16, and near the end of float32."""
    constraint, values, context = SETS.get(name, (RAYS, normal(6, 2), None))
    context = None if context is None else context.clamp(min=0.1)
    for dtype, size in ((torch.float16, 2e3), (torch.bfloat16, 2e3), (torch.float32, 1e8), (torch.float32, 1e30)):
        unit = (values / values.abs().amax()).to(torch.float32)
        given = (unit * size).to(dtype).requires_grad_()
        ctx = None if context is None else context.to(dtype)
        maps = [constraint.project, constraint.squash]
        for onto in maps[: 1 if size == 1e30 and "cone" in name else 2]:  # that squash takes fourth powers
            y = onto(given, ctx)
            (grad,) = torch.autograd.grad(y.float().sum(), given)
            assert bool(y.isfinite().all()) and bool(grad.isfinite().all()), (dtype, size, onto)
            # What a bounded set maps to must not fall back to its inner point.
            inner = RAYS.interior if name == "rays" else getattr(constraint, "center", None)
            if inner is not None:
                assert bool(((y.double() - inner).abs().amax(dim=-1) > 1e-3).all()), (dtype, size, onto)


def test_matrices_that_are_not_symmetric_are_outside():
    cone = SemidefiniteCone(2)
    assert float(cone.violation(torch.tensor([[2.0, 1.0], [0.5, 2.0]]))) == 0.5
    assert float(cone.violation(torch.diag(torch.tensor([-3.0, 1.0])))) == 3.0


def test_the_smooth_map_is_alive_where_the_projection_is_not():
    far = torch.tensor([[5.0, 5.0, -8.0]], requires_grad=True)
    for constraint in (Box(low=0.0, high=1.0), LinfBall(1.0), SecondOrderCone()):
        grads = [torch.autograd.grad(f(far)[0, 0], far)[0].abs().max() for f in (constraint.project, constraint.squash)]
        assert grads[0] == 0 and grads[1] > 0, constraint
    assert not isinstance(SpecificationError("x"), Squashing)
    assert issubclass(SemidefiniteCone, ProjectableConstraint)


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: HalfSpace([0.0, 0.0], 1.0), SpecificationError, "not all zero"),
        (lambda: HalfSpace([1.0, 0.0], [1.0, 2.0]), ShapeError, r"one number as offset, got shape \(2,\)"),
        (lambda: HalfSpace([1.0, INF], 1.0), NonFiniteError, "finite numbers for normal"),
        (lambda: HalfSpace([1.0, 0.0]).project(torch.zeros(2)), SpecificationError, "needs one as context"),
        (lambda: HalfSpace([1.0, 0.0], 1.0).project(torch.zeros(3)), ShapeError, r"\(\*batch, 2\), got \(3,\)"),
        (lambda: L1Ball(0.0), InfeasibleError, "`L1Ball` needs radius > 0, got radius=0.0"),
        (lambda: L2Ball(-1.0), InfeasibleError, "`L2Ball` needs radius > 0, got radius=-1.0"),
        (lambda: LinfBall(INF), NonFiniteError, "finite numbers for radius"),
        (lambda: L2Ball([1.0, 2.0]), ShapeError, "one number as radius"),
        (lambda: L2Ball(1.0, center=[[0.0]]), ShapeError, "center of one number or"),
        (lambda: L2Ball().project(torch.zeros(2)), SpecificationError, "`L2Ball` without a fixed radius"),
        (lambda: L2Ball().project(torch.zeros(2), torch.ones(2)), ShapeError, r"context \(\*batch, 1\)"),
        (lambda: OrderedCone(low=2.0, high=1.0), InfeasibleError, "low <= high, got low=2.0, high=1.0"),
        (lambda: OrderedCone(low=torch.zeros(2)), ShapeError, "one number as low"),
        (lambda: SecondOrderCone().project(torch.zeros(1)), ShapeError, "n >= 2"),
        (lambda: SemidefiniteCone(0), ShapeError, "size >= 1, got size=0"),
        (lambda: SemidefiniteCone(2).project(torch.zeros(3, 2)), ShapeError, r"\(\*batch, 2, 2\), got \(3, 2\)"),
        (lambda: SemidefiniteCone(2).project(torch.zeros(2)), ShapeError, r"\(\*batch, 2, 2\), got \(2,\)"),
    ],
)
def test_refuses_what_makes_no_sense(build, error, says):
    with pytest.raises(error, match=says):
        build()


def test_laws_catch_a_squash_that_leaves_or_dies():
    class Wrong(ProjectableConstraint):
        def __init__(self, squash):
            super().__init__()
            self.map = squash

        def residual(self, value, context=None):
            return value - 1.0

        def project(self, value, context=None):
            return value.clamp(max=1.0)

        def squash(self, value, context=None):
            return self.map(value)

    with pytest.raises(AssertionError, match="violation"):
        law_squash(Wrong(lambda v: v), normal(3, 2))
    with pytest.raises(AssertionError, match="no gradient"):
        law_squash(Wrong(lambda v: v.clamp(max=1.0)), normal(3, 2).abs() + 2.0)
