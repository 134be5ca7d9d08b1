"""Laws of all domains."""

import copy
import math
import pickle

import pytest
import torch

from constraints.domains import Boundary
from constraints.fields import Derivatives, laplacian, partials
from constraints.fields.nested import nested_derivatives
from constraints.sampling import Sobol, Uniform
from tests.constraints.domains.cases import CASES

DOUBLE = torch.zeros((), dtype=torch.float64)
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
# on the face that two abutting domains share, the function of their union is 0, too
whole = pytest.mark.parametrize("case", [c for c in CASES if c.name != "abutting"], ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@every
@dtypes
@pytest.mark.parametrize("sampler", [Uniform(), Sobol()], ids=lambda s: type(s).__name__)
def test_drawn_points_are_inside(case, dtype, sampler):
    points = sampler.sample(case.domain, 257, torch.zeros((), dtype=dtype))
    assert points.shape == (257, case.domain.dimension) and points.dtype == dtype
    assert case.domain.contains(points).all()
    low, high = (end.to(dtype) for end in case.domain.bounds)
    slack = case.domain.tolerance(dtype)
    assert (points >= low - slack).all() and (points <= high + slack).all()


@every
@dtypes
def test_drawn_boundary_points_are_on_it_with_outward_unit_normals(case, dtype):
    boundary = case.domain.boundary()
    points = Uniform().sample(boundary, 200, torch.zeros((), dtype=dtype))
    assert boundary.contains(points).all() and case.domain.contains(points).all()
    normal = boundary.normal(points)
    torch.testing.assert_close(normal.norm(dim=-1), torch.ones(200, dtype=dtype))
    low, high = case.domain.bounds
    step = torch.finfo(dtype).eps ** 0.5 * float((high - low).max())
    assert (case.domain.signed_distance(points + step * normal) > 0.0).float().mean() > 0.98  # but in notches
    assert (case.domain.signed_distance(points - step * normal) < 0.0).float().mean() > 0.98


@every
def test_measures_are_the_analytic_ones(case):
    tolerance = {"rel": 1e-12} if case.exact else {"rel": 4e-3}
    assert case.domain.volume == pytest.approx(case.volume, **tolerance)
    assert case.domain.boundary().volume == pytest.approx(case.surface, **tolerance)


@every
@pytest.mark.parametrize("boundary", [False, True])
def test_points_are_uniform(case, boundary):
    """First and second moments, against quasi-random points of the bounding box: those inside, or in a thin shell."""
    domain = case.domain.boundary() if boundary else case.domain
    n = 4000
    points = Uniform().sample(domain, n, DOUBLE)
    low, high = case.domain.bounds
    box = low + (high - low) * torch.quasirandom.SobolEngine(case.domain.dimension, scramble=True, seed=1).draw(
        2**16, dtype=torch.float64
    )
    gap = case.domain.signed_distance(box)
    if boundary:
        width = 0.02 * float((high - low).min())
        box = box[(gap.abs() < width) & (gap < 0.0)]
    else:
        box = box[gap <= 0.0]
    slack = 0.04 if boundary else 0.0
    scaled, reference = moments((points - low) / (high - low)), moments((box - low) / (high - low))
    error = (scaled.mean(dim=0) - reference.mean(dim=0)).abs()
    noise = scaled.std(dim=0) * math.sqrt(1 / n + 1 / len(box))
    assert (error < 5.0 * noise + slack + 1e-3).all()


def moments(points):
    """The coordinates, and the products of two of them."""
    return torch.cat([points, (points[:, :, None] * points[:, None]).flatten(1)], dim=1)


@every
def test_signed_distance_is_a_distance(case):
    """1-Lipschitz, and its size at most (exact: equal to) that to a dense sample of the boundary."""
    low, high = case.domain.bounds
    reach = high - low
    points = low - 0.3 * reach + 1.6 * reach * torch.rand(300, case.domain.dimension, dtype=torch.float64)
    gap = case.domain.signed_distance(points)
    others = points.roll(1, 0)
    assert ((gap - gap.roll(1, 0)).abs() <= (points - others).norm(dim=-1) * (1 + 1e-12)).all()
    near = torch.cdist(points, Sobol().sample(case.domain.boundary(), 2**13, DOUBLE)).amin(dim=-1)
    assert (gap.abs() <= near * (1 + 1e-9)).all()
    if case.exact and case.domain.dimension < 3:
        torch.testing.assert_close(gap.abs(), near, rtol=0.01, atol=5e-3 * float(reach.max()))


@whole
@dtypes
def test_distance_function(case, dtype):
    """0 on the boundary, positive inside, and derivative 1 along the inward normal."""
    like, size = torch.zeros((), dtype=dtype), float((case.domain.bounds[1] - case.domain.bounds[0]).max())
    phi = case.domain.distance()
    points = Uniform().sample(case.domain.boundary(), 200, like)
    on = phi(points)
    assert on.shape == (200, 1) and (on.abs() <= 64 * torch.finfo(dtype).eps * max(size, 1e-30) * 8).all()
    inside = Uniform().sample(case.domain, 200, like)
    inside = inside[case.domain.signed_distance(inside) < -1e-4 * size]
    assert (phi(inside) > 0.0).all()
    points = Uniform().sample(case.domain.boundary(), 200, DOUBLE)
    gradient = torch.cat(Derivatives(list(partials(case.domain.dimension)))(phi, points), dim=-1)
    slope = -(gradient * case.domain.boundary().normal(points)).sum(dim=-1)
    away = (slope - 1.0).abs() > 1e-6
    assert away.float().mean() < 0.02, slope[away]  # corners are met by chance, if at all


@whole
def test_outside_the_distance_function_is_negative(case):
    low, high = case.domain.bounds
    points = low - 0.3 * (high - low) + 1.6 * (high - low) * torch.rand(500, case.domain.dimension, dtype=torch.float64)
    gap = case.domain.signed_distance(points)
    clear = gap.abs() > 1e-3 * float((high - low).max())
    assert torch.equal(case.domain.distance()(points[clear])[:, 0] > 0.0, gap[clear] < 0.0)


@every
def test_jets_equal_nested_autograd(case):
    phi, d = case.domain.distance(), case.domain.dimension
    scale = float((case.domain.bounds[1] - case.domain.bounds[0]).max())
    points = Uniform().sample(case.domain, 40, DOUBLE)
    points = points[case.domain.signed_distance(points) < -0.02 * scale]
    axes = partials(d)
    wanted = [*axes, axes[0] ** 2, axes[0] * axes[-1], laplacian(d), axes[-1] ** 3, axes[0] ** 2 * axes[-1] ** 2]
    derivatives = Derivatives(wanted)
    assert derivatives.explain(phi).startswith("forward jets")
    for operator, got, expected in zip(
        wanted, derivatives(phi, points), nested_derivatives(phi, points, wanted), strict=True
    ):
        unit = scale ** (1 - operator.order)  # what a derivative of this order is of the size of
        torch.testing.assert_close(got / unit, expected / unit, rtol=1e-10, atol=1e-10)


@every
def test_jets_on_the_boundary_are_finite(case):
    points = Uniform().sample(case.domain.boundary(), 100, DOUBLE)
    for found in Derivatives([*partials(case.domain.dimension), laplacian(case.domain.dimension)])(
        case.domain.distance(), points
    ):
        assert found.isfinite().all()


@every
def test_copies_and_casts_keep_precision(case):
    points = Uniform().sample(case.domain, 20, DOUBLE)
    expected, phi = case.domain.signed_distance(points), case.domain.distance()(points)
    for made in (
        copy.deepcopy(case.domain),
        pickle.loads(pickle.dumps(case.domain)),
        copy.deepcopy(case.domain).float(),
    ):
        assert torch.equal(made.signed_distance(points), expected)
        assert torch.equal(made.distance().float()(points), phi)
        assert not made.state_dict()


@every
def test_batches_of_any_shape(case):
    points = Uniform().sample(case.domain, 12, DOUBLE)
    batch = points.reshape(3, 4, -1)
    assert torch.equal(case.domain.contains(batch), case.domain.contains(points).reshape(3, 4))
    assert torch.equal(case.domain.distance()(batch), case.domain.distance()(points).reshape(3, 4, 1))
    assert case.domain.boundary().normal(batch).shape == batch.shape
    assert case.domain.contains(points[0]).shape == ()


@every
def test_gradients_at_the_boundary_are_finite(case):
    """Through the value, in training and for points that move."""
    points = Uniform().sample(case.domain.boundary(), 50, DOUBLE).requires_grad_()
    (found,) = torch.autograd.grad(case.domain.distance()(points).sum(), points)
    assert found.isfinite().all()
    assert isinstance(case.domain.boundary(), Boundary)


@pytest.mark.parametrize("case", [c for c in CASES if c.name in ("disk", "prism")], ids=lambda case: case.name)
def test_distance_functions_compile(case):
    phi, d = case.domain.distance(), case.domain.dimension
    points, heat = Uniform().sample(case.domain, 10, DOUBLE), Derivatives([laplacian(d)])
    field = Laplacian(phi, heat)
    compiled = torch.compile(field, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(points), field(points), rtol=1e-9, atol=1e-9)
    torch._dynamo.reset()


class Laplacian(torch.nn.Module):
    def __init__(self, phi, derivatives):
        super().__init__()
        self.phi, self.derivatives = phi, derivatives

    def forward(self, points):
        return self.derivatives(self.phi, points)[0]
