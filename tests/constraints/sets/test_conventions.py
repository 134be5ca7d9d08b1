"""What holds for every set: sides, scales, threads, transforms, numbers that are none; laws that catch what breaks."""

import time

import pytest
import sympy
import torch

from constraints import (
    Affine,
    BestEffort,
    Box,
    BoxEquality,
    Convex,
    GroupMean,
    HalfSpace,
    Hard,
    InfeasibleError,
    Interior,
    Intersection,
    L1Ball,
    L2Ball,
    LinearMatrixInequality,
    LinfBall,
    NonFiniteError,
    NonlinearEquality,
    OrderedCone,
    PartialOrder,
    Polytope,
    ProjectableConstraint,
    Quadratic,
    RayMap,
    ShapeError,
    Simplex,
    UncertifiedError,
    UnsupportedError,
    VaryingPolytope,
    declare,
    join,
)
from constraints.functional import certified_tolerance
from constraints.networks import Averaged, Canonicalised, Permutations, Representation, column_shifts, turns_and_flips
from constraints.sets import Agreement, Constraint, Formula, NonPositive, Zero
from constraints.testing import (
    check_set,
    law_batch_shape,
    law_convex,
    law_distance,
    law_empty_batch,
    law_far,
    law_feasible,
    law_finite,
    law_floating,
    law_gradcheck,
    law_nearest,
    law_reference,
    law_scale,
    law_sides,
    law_threads,
    law_transforms,
)
from tests.constraints.sets.cases import FAMILIES, SETS, circle, normal


@pytest.mark.parametrize("name", SETS)
def test_conventions(name):
    constraint, values, context = SETS[name]
    law_sides(constraint, values, context)
    law_floating(constraint, values, context)
    law_empty_batch(constraint, values, context)
    law_finite(constraint, values, context)
    law_threads(constraint, values, context)
    law_transforms(constraint, values, context)


@pytest.mark.parametrize("name", [name for name in SETS if not name.startswith("surface")])
def test_points_are_certified(name):
    law_feasible(*SETS[name])
    assert repr(SETS[name][0]).startswith(type(SETS[name][0]).__name__)


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("build", "owner", "what", "infinite"),
    [
        (lambda v: Box(low=v), "Box", "low", True),
        (lambda v: Box(low=[0.0, v], high=INF), "Box", "low", True),
        (lambda v: Box(high=-v), "Box", "high", True),
        (lambda v: Affine([[1.0, v]], [1.0]), "Affine", "matrix", False),
        (lambda v: Affine([[1.0, 1.0]], [v]), "Affine", "target", False),
        (lambda v: Simplex(v), "Simplex", "total", False),
        (lambda v: BoxEquality([1.0, v]), "BoxEquality", "coefficients", False),
        (lambda v: BoxEquality([1.0, 1.0], target=v), "BoxEquality", "target", False),
        (lambda v: HalfSpace([1.0, v], 1.0), "HalfSpace", "normal", False),
        (lambda v: HalfSpace([1.0, 1.0], v), "HalfSpace", "offset", False),
        *((lambda v, k=kind: k(v), kind.__name__, "radius", False) for kind in (L1Ball, L2Ball, LinfBall)),
        *(
            (lambda v, k=kind: k(1.0, center=[v]), kind.__name__, "center", False)
            for kind in (L1Ball, L2Ball, LinfBall)
        ),
        (lambda v: OrderedCone(low=v), "OrderedCone", "low", False),
        (lambda v: OrderedCone(high=v), "OrderedCone", "high", False),
        (lambda v: GroupMean("(g m) -> g", m=2, low=v), "GroupMean", "low", False),
        (lambda v: Polytope([[1.0, v]], high=1.0), "Polytope", "matrix", False),
        (lambda v: Polytope([[1.0, 1.0]], low=v), "Polytope", "low", True),
        (lambda v: Polytope([[1.0, 1.0]], high=-v), "Polytope", "high", True),
        (lambda v: Interior([v]), "Interior", "point", False),
        (lambda v: Quadratic([[v]], [0.0], -1.0), "Quadratic", "matrix", False),
        (lambda v: Quadratic([[1.0]], [v], -1.0), "Quadratic", "vector", False),
        (lambda v: Quadratic([[1.0]], [0.0], v), "Quadratic", "offset", False),
        (lambda v: LinearMatrixInequality([[[1.0]], [[v]]]), "LinearMatrixInequality", "matrices", False),
    ],
)
def test_numbers_that_are_none_are_refused_by_name(build, owner, what, infinite):
    for number in (NAN, INF):
        error = InfeasibleError if infinite and number == INF else NonFiniteError
        with pytest.raises(
            error, match=f"`{owner}`.*" if error is InfeasibleError else f"`{owner}` needs .* for {what}"
        ):
            build(number)


@pytest.mark.parametrize("name", SETS)
def test_numbers_of_a_set_are_no_state_of_a_model(name):
    assert not SETS[name][0].state_dict()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("name", SETS)
def test_violations_in_every_dtype(name, dtype):
    constraint, values, context = SETS[name]
    low, ctx = values.to(dtype), None if context is None else context.to(dtype)
    violation = constraint.violation(low, ctx)
    expected = constraint.violation(low.double(), None if ctx is None else ctx.double())
    assert violation.dtype == dtype
    scale = 10.0 * (1.0 + float(values.abs().max()) ** 2)
    assert float((violation.double() - expected).abs().max()) <= torch.finfo(dtype).eps * scale


@pytest.mark.parametrize("name", [name for name in SETS if SETS[name][0].size is not None])
def test_values_of_another_size_are_refused(name):
    constraint, values, context = SETS[name]
    wide = torch.cat([values, values[..., :1]], dim=-1)
    for method in (constraint.violation, constraint.check, constraint.project):
        with pytest.raises(ShapeError, match=rf"`{type(constraint).__name__}` needs a value of shape \(\*batch, "):
            method(wide, context)


def test_what_a_set_prints():
    assert repr(GroupMean("(g m) -> g", m=2)) == "GroupMean('(g m) -> g', m=2)"
    assert repr(GroupMean("(g m) -> g", m=2, low=0.5)) == "GroupMean('(g m) -> g', m=2, low=0.5)"
    with pytest.raises(ShapeError, match="got None"):
        VaryingPolytope(rows=1, size=2).project(torch.zeros(1, 2))


@pytest.mark.parametrize("kind", [L1Ball, L2Ball, LinfBall])
def test_a_centre_gives_a_ball_its_size(kind):
    assert (kind(1.0, center=[0.0, 1.0, 2.0]).size, kind(1.0).size, kind(1.0, center=2.0).size) == (3, None, None)


@pytest.mark.parametrize("name", [name for name in SETS if SETS[name][0].convex])
def test_what_is_declared_convex_is(name):
    constraint, values, context = SETS[name]
    law_convex(constraint, values, context)
    law_nearest(constraint, values, context, others=8)
    law_reference(constraint, values, context, samples=2)


@pytest.mark.parametrize("name", FAMILIES)
def test_scale(name):
    make, values, context = FAMILIES[name]
    scales = (1e-12, 1e-7, 1.0, 1e7, 1e12) if "convex" in name or name == "intersection" else None
    law_scale(make, values, context, **({} if scales is None else {"scales": scales}))


@pytest.mark.parametrize("kind", [Zero, NonPositive])
def test_residuals_have_two_sides_or_one(kind):
    law_sides(kind(), torch.tensor([[0.0, -2.0], [0.5, 0.0], [0.0, 0.0]]))
    assert Zero().violation(torch.tensor([[-2.0, 0.0]])).tolist() == [2.0]
    assert Agreement().violation(torch.tensor([[1.0, 2.0]])).tolist() == [1.0]
    equal = Formula(lambda y, _: y[..., :1] - y[..., 1:], size=2, conditions=1, equalities=1)
    law_sides(equal, normal(5, 2))
    assert equal.violation(torch.tensor([[0.0, 1.0], [1.0, 0.0]])).tolist() == [1.0, 1.0]


class OneSided(ProjectableConstraint):
    """An equality whose negative side is taken for inside: what a wrong `excess` does."""

    size, equalities = 2, 1

    def residual(self, value, context=None):
        return value.sum(dim=-1, keepdim=True) - 1.0

    def excess(self, value, context=None):
        return self.residual(value).clamp(min=0.0)

    def project(self, value, context=None):
        return value - (value.sum(dim=-1, keepdim=True) - 1.0) / 2.0


class Radial(ProjectableConstraint):
    """Scaled towards the origin, onto an ellipse: inside, but not the nearest point."""

    size = 2

    def residual(self, value, context=None):
        return value[..., :1] ** 2 + 9.0 * value[..., 1:] ** 2 - 1.0

    def project(self, value, context=None):
        return value / (self.residual(value) + 1.0).clamp(min=1.0).sqrt()


class Ring(ProjectableConstraint):
    """Outside a circle, and declared convex."""

    size = 2

    def residual(self, value, context=None):
        return 1.0 - value.norm(dim=-1, keepdim=True)

    def project(self, value, context=None):
        return value / value.norm(dim=-1, keepdim=True).clamp(max=1.0)


class Stateful(ProjectableConstraint):
    """Keeps the value of the call, as a solver does."""

    size = 2

    def residual(self, value, context=None):
        return value.abs() - 1.0

    def project(self, value, context=None):
        self.value = value
        time.sleep(0.01)  # the other threads write theirs meanwhile
        return self.value.clamp(-1.0, 1.0)


class RadialBeyond(ProjectableConstraint):
    """The same in more dimensions than a general solver is tried in."""

    def __init__(self, size, longest):
        super().__init__()
        self.size = size
        self.weights = torch.linspace(1.0, longest, size, dtype=torch.float64)

    def residual(self, value, context=None):
        return (value**2 * self.weights.to(value)).sum(dim=-1, keepdim=True) - 1.0

    def project(self, value, context=None):
        return value / (self.residual(value) + 1.0).clamp(min=1.0).sqrt()


@pytest.mark.parametrize(("size", "longest"), [(14, 9.0), (14, 1.2), (30, 1.05)])
def test_a_radial_map_in_many_dimensions_is_not_the_nearest(size, longest):
    with pytest.raises(AssertionError, match="a point of the set is nearer"):
        law_nearest(RadialBeyond(size, longest), 2.0 * normal(12, size), others=8)


class Apart(ProjectableConstraint):
    """Two half-lines far from each other, declared convex."""

    size = 2

    def residual(self, value, context=None):
        return 30.0 - (value[..., :1] - 30.0).abs()

    def project(self, value, context=None):
        first = value[..., :1]
        low, high = first.clamp(max=0.0), first.clamp(min=60.0)
        nearer = torch.where((first - low).abs() <= (first - high).abs(), low, high)
        return torch.cat([nearer, value[..., 1:]], dim=-1)


class Clipped(ProjectableConstraint):
    """Gives far values back."""

    size = 2

    def residual(self, value, context=None):
        return value.abs() - 1.0

    def project(self, value, context=None):
        return torch.where(value.abs() > 100.0, value, value.clamp(-1.0, 1.0))


class Squared(ProjectableConstraint):
    """The residual is squared: next to the set it vanishes."""

    size = 2

    def residual(self, value, context=None):
        return (value - 1.0).clamp(min=0.0) ** 2

    def project(self, value, context=None):
        return value.clamp(max=1.0)


class SquaredBall(L2Ball):
    """The same, with a tolerance small enough that `check` tells."""

    def residual(self, value, context=None):
        return super().residual(value, context).clamp(min=0.0) ** 2

    def tolerance(self, value, context=None):
        return 1e-9 * super().tolerance(value, context)


class Small(Squared):
    """The residual is linear, and of another size than the values."""

    def residual(self, value, context=None):
        return 1e-4 * (value - 1.0)


class Pooled(ProjectableConstraint):
    """Looks at the other samples, where there are many."""

    size = 2

    def residual(self, value, context=None):
        return value.abs() - 1.0

    def project(self, value, context=None):
        return value.clamp(-1.0, 1.0) if len(value) < 100 else value.clamp(-0.5, 0.5)


class Absolute(Constraint):
    """With a tolerance of its own unit, whatever its size."""

    def __init__(self, size):
        super().__init__()
        self.ball = L2Ball(size)

    def residual(self, value, context=None):
        return self.ball.residual(value)

    def tolerance(self, value, context=None):
        return torch.full_like(value[..., 0], 1e-6)

    def project(self, value, context=None):
        return self.ball.project(value)


class Origin(ProjectableConstraint):
    """One point, whatever the value."""

    size = 2

    def residual(self, value, context=None):
        return torch.cat([value, -value], dim=-1)

    def project(self, value, context=None):
        return torch.zeros_like(value)


def test_a_map_that_does_not_depend_on_the_value_has_derivatives_of_zero():
    law_transforms(Origin(), normal(3, 2))


@pytest.mark.parametrize(
    ("law", "constraint", "says"),
    [
        (law_sides, OneSided(), "sides: the violation is not that of the residual"),
        (law_nearest, Radial(), "nearest"),
        (law_convex, Apart(), "a point between two of the set is outside"),
        (law_reference, Radial(), "a point of the set is nearer"),
        (law_convex, Ring(), "a point between two of the set is outside"),
        (law_threads, Stateful(), "a concurrent call differs"),
        (law_far, Clipped(), "of values times 1e\\+03, the violation"),
        (law_batch_shape, Pooled(), "in a large batch"),
        (law_distance, Squared(), r"\(torch.float32\): check takes a point outside by 0.001 of its size for inside"),
        (law_distance, SquaredBall(1.0), "to a tenth of the distance, the violation falls .*: expected about 10"),
        (law_distance, Small(), "check takes a point outside by 0.01 of its size for inside"),
    ],
)
def test_laws_catch_what_breaks_them(law, constraint, says):
    with pytest.raises(AssertionError, match=says):
        law(constraint, normal(20, 2))


def test_a_violation_may_grow_with_the_square_far_away():
    law_distance(Radial(), 100.0 * normal(20, 2))
    law_distance(Apart(), normal(20, 2))


class Answering(ProjectableConstraint):
    """Refuses what every set refuses, and gives an answer of its own."""

    def answer(self, value):
        raise NotImplementedError

    def project(self, value, context=None):
        self.require_values(value)
        return self.answer(value)


class Smaller(Answering):
    """A disc whose answers are at .99 of its radius."""

    size = 2

    def residual(self, value, context=None):
        return value.norm(dim=-1, keepdim=True) - 1.0

    def answer(self, value):
        length = value.norm(dim=-1, keepdim=True)
        return torch.where(length > 1.0, 0.99 * value / length, value)


class Shifted(Answering):
    """A box whose answers are those of one within it."""

    size = 2

    def residual(self, value, context=None):
        return (value.abs() - 1.0).amax(dim=-1, keepdim=True)

    def answer(self, value):
        return torch.where(self.residual(value) > 0.0, value.clamp(-0.9, 1.0), value)


class Inset(Answering):
    """A half-space whose answers lie on the hyperplane of another offset."""

    size = 2

    def residual(self, value, context=None):
        return value.sum(dim=-1, keepdim=True) - 1.0

    def answer(self, value):
        return value - 0.5 * (value.sum(dim=-1, keepdim=True) - 0.9) * (self.residual(value) > 0.0)


class Normalising(Answering):
    """A simplex whose answers are clipped and divided by their sum."""

    size, equalities = 3, 1

    def residual(self, value, context=None):
        return torch.cat([value.sum(dim=-1, keepdim=True) - 1.0, -value], dim=-1)

    def answer(self, value):
        clipped = value.clamp(min=0.0) + 1e-300
        return clipped / clipped.sum(dim=-1, keepdim=True)


class Shortsighted(Answering):
    """A disc that is right near by, and answers with the nearest point of its inner square far away."""

    size = 2

    def residual(self, value, context=None):
        return value.norm(dim=-1, keepdim=True) - 1.0

    def answer(self, value):
        length = value.norm(dim=-1, keepdim=True)
        inner = value.clamp(-(0.5**0.5), 0.5**0.5)
        return torch.where(length > 50.0, inner, value / length.clamp(min=1.0))


class OneStep(Answering):
    """An ellipse, by one Newton step and a radial map back: feasible, and nearly right on the boundary alone."""

    size = 2

    def residual(self, value, context=None):
        return value[..., :1] ** 2 + 4.0 * value[..., 1:] ** 2 - 1.0

    def answer(self, value):
        gap = self.residual(value).clamp(min=0.0)
        slope = torch.cat([2.0 * value[..., :1], 8.0 * value[..., 1:]], dim=-1)
        moved = value - gap * slope / slope.square().sum(dim=-1, keepdim=True).clamp(min=1e-300)
        return moved / (self.residual(moved) + 1.0).clamp(min=1.0).sqrt()


WRONG = (Smaller(), Shifted(), Inset(), Normalising(), Shortsighted(), OneStep())


@pytest.mark.parametrize("constraint", WRONG, ids=lambda one: type(one).__name__)
def test_a_set_whose_answers_are_not_the_nearest_fails(constraint):
    values = normal(6, constraint.size, seed=2)
    with pytest.raises(AssertionError, match="reference: a point of the set is nearer"):
        law_reference(constraint, values)
    with pytest.raises(AssertionError, match=r"nearest: |reference: |convex: "):
        check_set(constraint, values)


def test_the_law_of_scales_catches_an_absolute_tolerance():
    with pytest.raises(AssertionError, match="a violation as large as the set is taken for rounding"):
        law_scale(Absolute, normal(6, 3))


def test_a_radial_map_cannot_be_intersected_unnoticed():
    """Its intersection with a half-plane was .53 from the nearest point, and every law passed."""
    law_feasible(Radial(), normal(6, 2))
    with pytest.raises(AssertionError):
        law_reference(Radial(), normal(6, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_certificate_is_relative_to_the_set(dtype):
    """A circle of size 1e-7 (1e-12) once certified points a million times its radius away."""
    radius = 1e-7 if dtype == torch.float32 else 1e-12
    ring = NonlinearEquality(circle, size=2, conditions=1, fallback=BestEffort())
    values, radii = (
        torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=dtype),
        torch.full((50, 1), radius),
    )
    point, certificate = ring.solve(values, radii.to(dtype))
    assert bool(certificate.feasible.all())
    torch.testing.assert_close(point.norm(dim=-1) / radius, torch.ones(50, dtype=dtype), rtol=1e-3, atol=0.0)
    assert not bool(ring.check(1.01 * point, radii.to(dtype)).any())
    slab = Polytope([[1.0, 1.0]], high=[radius], fallback=BestEffort())
    far, certificate = slab.solve(values)
    assert bool((far.sum(dim=-1) <= radius + certified_tolerance(dtype) * far.abs().amax(dim=-1) * 4).all())


def test_the_message_names_number_and_place():
    values = torch.zeros(5, 20)
    values[2, 3:6] = torch.nan
    for constraint in (
        Box(low=0.0),
        Polytope(torch.ones(1, 20), high=[1.0]),
        Intersection([L2Ball(1.0), Box(low=0.0)]),
    ):
        with pytest.raises(NonFiniteError, match=r"of 100 values that are not finite, the first at sample 2"):
            constraint.project(values)
    with pytest.raises(
        NonFiniteError, match=r"got 3 of 100 values that are not finite, the first at sample 2, index \(2, 3\)"
    ):
        Box(low=0.0).project(values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("function", "size"),
    [
        (lambda y, _: y[..., :1] ** 2 + 100.0 * y[..., 1:] ** 2 - 1.0, 2),
        (lambda y, _: y[..., :1] ** 4 + y[..., 1:] ** 4 - 1.0, 2),
        (lambda y, _: y[..., 1:] - y[..., :1] ** 2, 2),
        (lambda y, _: (y * y).sum(-1, keepdim=True) - 1e12, 2),
        (lambda y, _: y[..., :1].exp() + y[..., 1:] - 1.0, 2),
        (lambda y, _: torch.stack([(y * y).sum() - 4.0, y.sum() - 1.0]), 3),
    ],
    ids=["ellipse", "quartic", "parabola", "large circle", "exponential", "system"],
)
def test_surfaces_are_found_from_afar(function, size, dtype):
    surface = NonlinearEquality(function, size=size, conditions=2 if size == 3 else 1)
    values = 30.0 * torch.randn(100, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    point, certificate = surface.solve(values.to(dtype))
    assert bool(certificate.feasible.all()) and point.dtype == dtype


def test_the_nearest_point_of_an_ellipse_from_afar():
    """Against a fine search of its angle."""
    ellipse = NonlinearEquality(lambda y, _: y[..., :1] ** 2 + 100.0 * y[..., 1:] ** 2 - 1.0, size=2, conditions=1)
    values = 30.0 * torch.randn(40, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    angle = torch.linspace(0.0, 6.2831853, 20001, dtype=torch.float64)
    curve = torch.stack([angle.cos(), 0.1 * angle.sin()], dim=-1)
    nearest = torch.cdist(values, curve).amin(dim=-1)
    ours = (ellipse.project(values) - values).norm(dim=-1)
    assert bool((ours <= nearest * (1.0 + 1e-6)).all())


def test_a_surface_without_points_is_refused():
    with pytest.raises(UncertifiedError, match="2 of 2 samples"):
        NonlinearEquality(lambda y, _: (y * y).sum(-1, keepdim=True) + 1e-20, size=2, conditions=1).project(
            normal(2, 2)
        )


class Mapped(torch.nn.Module):
    """A set as a layer."""

    def __init__(self, constraint):
        super().__init__()
        self.constraint = constraint

    def forward(self, value, context=None):
        return self.constraint.project(value, context)


ITERATIVE = ("intersection", "surface", "convex")


@pytest.mark.parametrize("name", [name for name in SETS if not name.startswith(ITERATIVE)])
def test_exports_with_a_batch_of_any_size(name):
    constraint, values, context = SETS[name]
    given = (values,) if context is None else (values, context)
    constraint.project(*given)  # makes the rows of a partial order
    size = torch.export.Dim("size", min=1, max=1024)
    exported = torch.export.export(Mapped(constraint), given, dynamic_shapes=({0: size},) * len(given)).module()
    longer = [torch.cat([part, part.flip(0)[:2]]) for part in given]
    torch.testing.assert_close(exported(*longer), constraint.project(*longer))


@pytest.mark.parametrize("name", [name for name in SETS if name.startswith(ITERATIVE)])
def test_what_cannot_be_exported_is_refused_by_name(name):
    constraint, values, context = SETS[name]
    given = (values,) if context is None else (values, context)
    with pytest.raises(UnsupportedError, match=f"`{type(constraint).__name__}` needs to run outside a graph"):
        torch.export.export(Mapped(constraint), given)


def test_rules_with_numbers_from_the_input_compile_and_export():
    a, b, x, y = sympy.symbols("a b x y")
    for statement in ([a - b <= x, a + 2 * b <= y, a >= -1, b >= -1], [sympy.Eq(a + b, x), a >= 0, b >= 0]):
        rule = declare(statement, outputs=[a, b], inputs=[x, y])
        rule.bind(["a", "b"])
        rule.bind_inputs(["x", "y"])
        model = join(torch.nn.Linear(2, 2), {"rule": Hard(rule)}, outputs=2)
        points = torch.rand(6, 2, generator=torch.Generator().manual_seed(0)) + 0.5
        torch._dynamo.reset()
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(points), model(points))
        size = torch.export.Dim("size", min=1, max=1024)
        exported = torch.export.export(model, (points,), dynamic_shapes=({0: size},)).module()
        more = torch.cat([points, points])
        torch.testing.assert_close(exported(more), model(more))


@pytest.mark.parametrize(
    ("wrapper", "group", "shape"),
    [
        (Averaged, column_shifts(3), (3,)),
        (Canonicalised, column_shifts(3), (3,)),
        (Canonicalised, Permutations(3), (3,)),
        (Canonicalised, turns_and_flips(), (4, 4)),
        (Averaged, turns_and_flips(), (4, 4)),
    ],
    ids=lambda one: getattr(one, "__name__", type(one).__name__),
)
def test_symmetric_networks_export_with_a_batch_of_any_size(wrapper, group, shape):
    torch.manual_seed(0)
    inner = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(torch.Size(shape).numel(), 2), torch.nn.Tanh())
    network = wrapper(inner, Representation(group))
    size = torch.export.Dim("size", min=1, max=1024)
    exported = torch.export.export(network, (torch.randn(4, *shape),), dynamic_shapes=({0: size},)).module()
    for count in (1, 9):
        more = torch.randn(count, *shape)
        torch.testing.assert_close(exported(more), network(more))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_diamond_is_projected_onto_from_inside_and_outside(dtype):
    """Eq(|a| + |b|, 1) was offered as Hard and found for 93 of 200 points; against a fine walk along its edges."""
    a, b, c, d = sympy.symbols("a b c d")
    rule = declare(sympy.Eq(sympy.Abs(a) + sympy.Abs(b), 1), outputs=[a, b])
    rule.bind(["a", "b"])
    values = torch.randn(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = torch.linspace(0.0, 1.0, 4001, dtype=torch.float64)
    edges = torch.cat([torch.stack([i * share, j * (1.0 - share)], dim=-1) for i in (-1, 1) for j in (-1, 1)])
    point = rule.enforce(values.to(dtype)).double()
    best = torch.cdist(values, edges).amin(dim=-1)
    assert bool(((point - values).norm(dim=-1) <= best + 1e-6).all())
    torch.testing.assert_close(point.abs().sum(dim=-1), torch.ones(200, dtype=torch.float64), atol=1e-6, rtol=0.0)
    four = declare(sympy.Eq(sum(map(sympy.Abs, (a, 2 * b, c, d))), 1), outputs=[a, b, c, d])
    four.bind(["a", "b", "c", "d"])
    found = four.enforce(torch.randn(50, 4, generator=torch.Generator().manual_seed(1), dtype=dtype))
    assert bool(four.constraint.check(found).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_convex_sets_are_found_from_afar(dtype):
    a, b, c, d = sympy.symbols("a b c d")
    size = sympy.Abs(2.15e-7 * a - 0.74) + sympy.Abs(5.8e-8 * b + 2.31) + sympy.Abs(1.52e-7 * c + 1.88)
    noise = torch.randn(10, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    curved = [0.92 * a - 0.52 * b <= 0.9, -0.45 * a - 0.28 * b <= 0.9, sympy.sqrt(a) - 2.87 * a - 2.47 * b >= -0.1]
    sets = [
        (Convex([size + sympy.Abs(5.7e-8 * d - 1.69) <= 9.5191], [a, b, c, d]), 3e8 * noise),
        (Convex([sympy.exp(1.2 * a - 0.4 * b) + sympy.exp(-b) <= 3], [a, b]), 30.0 * noise[:, :2]),
        (Convex(curved, [a, b]), noise[:4, :2] * 0.3 + noise.new_tensor([4.75, -15.3])),
    ]
    for constraint, values in sets:
        _, certificate = constraint.solve(values.to(dtype))
        assert bool(certificate.feasible.all()), constraint
        assert not bool(certificate.empty.any())


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
def test_an_interior_point_is_found_at_any_scale(scale):
    rays = RayMap([L2Ball(2.0 * scale), Box(low=[-scale, 0.0], high=1.5 * scale)])
    assert bool(rays.check(rays.project(scale * normal(20, 2))).all())


def test_a_partial_order_is_refused_by_export_before_its_first_call():
    with pytest.raises(UnsupportedError, match=r"one call before torch\.export"):
        torch.export.export(Mapped(PartialOrder([(1, 0)], size=2)), (torch.randn(3, 2),))


class LongGauge(L2Ball):
    """Rays end inside it."""

    def gauge(self, origin, direction):
        return 1.5 * super().gauge(origin, direction)


class IdleInEvaluation(L2Ball):
    """What is deployed is not what was tested."""

    def project(self, value, context=None):
        return super().project(value, context) if self.training else value


class WrongSlope(L2Ball):
    def project(self, value, context=None):
        point = super().project(value, context)
        return point.detach() + 0.5 * (point - point.detach())


class Failing(L2Ball):
    def project(self, value, context=None):
        if value.is_floating_point() and float(value.abs().max()) > 1e3:
            raise IndexError("out of range")
        return super().project(value, context)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (LongGauge, r"gauge \(torch.float32\): rays end .* off the boundary"),
        (IdleInEvaluation, "modes: project differs between training and evaluation"),
        (WrongSlope, "gradcheck: first derivatives do not agree with differences. Jacobian mismatch"),
        (SquaredBall, "distance: to a tenth of the distance, the violation falls"),
        (Failing, "finite: .*IndexError: out of range"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_check_set_finds_it_and_names_the_law(kind, told):
    with pytest.raises(AssertionError, match=told):
        check_set(kind(1.0), normal(6, 3))


def test_gradcheck_names_its_law():
    with pytest.raises(AssertionError, match="gradcheck: first derivatives"):
        law_gradcheck(WrongSlope(1.0), normal(6, 3))
