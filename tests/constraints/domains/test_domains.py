"""What single domains are, and refuse."""

import math

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from constraints.domains import (
    Ball,
    Cuboid,
    Intersection,
    Part,
    PointCloud,
    Polygon,
    Product,
    Sides,
)
from constraints.domains.maps import choose, directions
from constraints.domains.triangles import cross, triangulate
from constraints.errors import InfeasibleError, NonFiniteError, ShapeError, SpecificationError, UnsupportedError
from constraints.fields import Derivatives, laplacian
from constraints.fields import Product as FieldProduct
from constraints.fields.nested import nested_derivatives
from constraints.sampling import Sobol, Uniform
from tests.constraints.domains.cases import ELL, STAR

DOUBLE = torch.zeros((), dtype=torch.float64)
SQUARE = Cuboid([0.0, 0.0], [1.0, 1.0])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("corners", [ELL, STAR, ELL[::-1]])
def test_a_polygon_is_shapelys(corners):
    ours, theirs = Polygon(corners), shapely.Polygon(corners)
    assert ours.volume == pytest.approx(theirs.area)
    assert ours.boundary().volume == pytest.approx(theirs.length)
    low, high = ours.bounds
    points = low - 0.2 + (high - low + 0.4) * torch.rand(1000, 2, dtype=torch.float64)
    made = shapely.points(points.numpy())
    assert ours.contains(points).tolist() == shapely.intersects(theirs, made).tolist()
    expected = torch.from_numpy(shapely.distance(theirs.boundary, made))
    torch.testing.assert_close(ours.signed_distance(points).abs(), expected)


@settings(max_examples=40, deadline=None)
@given(
    radii=st.lists(st.floats(0.2, 1.0), min_size=3, max_size=14),
    turn=st.floats(0.0, 6.0),
    size=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_triangles_fill_a_polygon(radii, turn, size):
    """Star-shaped around the middle, so simple."""
    m = len(radii)
    corners = size * torch.tensor(
        [
            [r * math.cos(turn + 2 * math.pi * i / m), r * math.sin(turn + 2 * math.pi * i / m)]
            for i, r in enumerate(radii)
        ],
        dtype=torch.float64,
    )
    found = triangulate(corners)
    a, b, c = found.unbind(1)
    areas = 0.5 * cross(b - a, c - a)
    assert (areas > 0.0).all()
    assert float(areas.sum()) == pytest.approx(Polygon(corners).volume, rel=1e-9)
    middles = found.mean(dim=1)
    assert Polygon(corners).contains(middles).all()


def test_points_of_a_polygon_fall_on_each_triangle_by_its_area():
    ell = Polygon(ELL)
    points = Uniform().sample(ell, 3000, DOUBLE)
    cells = (points.floor().long() * torch.tensor([2, 1])).sum(dim=-1)  # three unit squares
    assert stats.chisquare(torch.bincount(cells, minlength=3)[:3].numpy()).pvalue > 1e-3


@pytest.mark.parametrize("d", [2, 3, 4, 6])
def test_radius_and_direction_of_balls_are_uniform(d):
    points = Uniform().sample(Ball([0.0] * d, 1.0), 3000, DOUBLE)
    radius = points.norm(dim=-1)
    assert stats.kstest((radius**d).numpy(), "uniform").pvalue > 1e-3
    along = (points / radius[:, None])[:, 0].numpy()  # its square is a beta variable
    assert stats.kstest(along**2, stats.beta(0.5, (d - 1) / 2).cdf).pvalue > 1e-3
    assert stats.binomtest(int((along > 0).sum()), 3000).pvalue > 1e-3


def test_the_middle_of_the_cube_has_a_direction():
    assert directions(torch.full((1, 5), 0.5), 5).tolist() == [[1.0, 0.0, 0.0, 0.0, 0.0]]
    assert directions(torch.tensor([[0.0] * 4, [1.0] * 4]), 4).isfinite().all()


def test_each_face_of_a_cuboid_gets_its_share():
    faces = Cuboid([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]).boundary()
    points = Uniform().sample(faces, 4400, DOUBLE)
    normal = faces.normal(points)
    areas = torch.tensor([6.0, 3.0, 2.0])
    counts = torch.cat([(normal == 1.0).sum(dim=0), (normal == -1.0).sum(dim=0)])
    assert stats.chisquare(counts.numpy(), (4400 * torch.cat([areas, areas]) / 22).numpy()).pvalue > 1e-3
    upper = (points > torch.tensor([0.5, 1.0, 1.5])).long()
    for axis in range(3):  # and each quarter of a face its own
        one, two = upper[normal[:, axis] != 0.0][:, [i for i in range(3) if i != axis]].unbind(-1)
        assert stats.chisquare(torch.bincount(2 * one + two, minlength=4).numpy()).pvalue > 1e-3


def test_a_low_discrepancy_set_stays_one():
    for domain in (Cuboid([0.0, 1.0], [1.0, 3.0]), Polygon([[0, 0], [1, 0], [1, 1], [0, 1]])):
        low, high = domain.bounds
        worst = [
            stats.qmc.discrepancy(((sampler.sample(domain, 256, DOUBLE) - low) / (high - low)).clamp(0, 1).numpy())
            for sampler in (Sobol(), Uniform())
        ]
        assert worst[0] < 0.5 * worst[1]


def test_an_empty_piece_is_never_chosen():
    place, rest = choose(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 1.0, 0.0]))
    assert place.tolist() == [1, 1, 1] and rest.tolist() == [0.0, 0.5, 1.0]


def test_fixed_coordinates():
    start = Cuboid([0.0, 3.0], [2.0, 3.0])
    points = Uniform().sample(start, 50, DOUBLE)
    assert (points[:, 1] == 3.0).all() and start.contains(points).all()
    assert not start.contains(torch.tensor([[1.0, 3.1]]))
    assert start.signed_distance(torch.tensor([[0.5, 3.0], [0.5, 4.0], [3.0, 3.0]])).tolist() == [-0.5, 1.0, 1.0]
    assert set(Uniform().sample(start.boundary(), 50, DOUBLE)[:, 0].tolist()) == {0.0, 2.0}
    assert start.distance()(torch.tensor([[1.0, 3.0]])).item() == 0.5
    moment = Cuboid([1.0], [1.0])
    assert Sobol().sample(moment, 3, DOUBLE).flatten().tolist() == [1.0, 1.0, 1.0]
    assert (SQUARE * moment).contains(Uniform().sample(SQUARE * moment, 5, DOUBLE)).all()
    for refused in (moment.boundary, moment.distance):
        with pytest.raises(UnsupportedError, match="low < high in a coordinate"):
            refused()


def test_rounding_puts_no_point_outside():
    for size in (1e-6, 1.0, 1e6):
        disk = Ball([size, -size], size)
        angle = torch.rand(1000) * 6.3
        assert disk.contains(torch.stack([size + size * angle.cos(), -size + size * angle.sin()], dim=-1)).all()
        assert not disk.contains(torch.tensor([[size * 2.01, -size]])).any()
    tenth = Cuboid([0.1], [0.3])
    assert tenth.contains(torch.tensor([[0.1], [0.3]])).all()
    assert tenth.contains(torch.tensor([[0.1], [0.3]], dtype=torch.float64)).all()


def test_a_cloud_gives_its_own_points_each_once_first():
    numbers = torch.arange(10.0, dtype=torch.float64)[:, None]
    cloud = PointCloud(numbers)
    drawn = Uniform().sample(cloud, 25, torch.zeros(()))
    assert drawn[:10].flatten().sort().values.tolist() == list(range(10))
    assert drawn[10:20].flatten().sort().values.tolist() == list(range(10))
    assert cloud.contains(drawn).all() and not cloud.contains(torch.tensor([[0.5]]))
    assert Uniform().sample(cloud, 0, torch.zeros(())).shape == (0, 1)
    line = cloud * Cuboid([0.0], [1.0])
    assert line.contains(Uniform().sample(line, 30, torch.zeros(()))).all()
    for refused, hint in ((cloud.boundary, "as a `PointCloud`"), (cloud.distance, "soft rule")):
        with pytest.raises(UnsupportedError, match=hint):
            refused()


def test_sides_of_a_cylinder():
    space, time = Ball([0.0, 0.0], 2.0), Cuboid([0.0], [3.0])
    for sides, turned in ((space.boundary() * time, [0, 1, 2]), (time * space.boundary(), [1, 2, 0])):
        assert sides.volume == pytest.approx(12 * math.pi)
        points = Uniform().sample(sides, 100, DOUBLE)
        normal, arm = sides.normal(points)[:, turned], points[:, turned]
        torch.testing.assert_close(normal[:, :2], arm[:, :2] / 2.0)
        assert (normal[:, 2] == 0.0).all() and sides.contains(points).all()
        torch.testing.assert_close(sides.distance()(points), torch.zeros(100, 1, dtype=torch.float64))
        assert sides.distance()(torch.zeros(1, 3)).item() == 1.0  # not 0 at the first moment
    with pytest.raises(SpecificationError, match="a boundary and a domain"):
        space.boundary() * time.boundary()
    with pytest.raises(SpecificationError, match="Sides"):
        Product(space.boundary(), time)
    with pytest.raises(SpecificationError, match="a boundary and a domain"):
        Sides(space, time)


def test_parts_of_a_boundary():
    circle = Ball([0.0, 0.0], 1.0).boundary()
    right = circle & Cuboid([0.0, -2.0], [2.0, 2.0])
    rest = circle - Cuboid([0.0, -2.0], [2.0, 2.0])
    for part, side in ((right, 1.0), (rest, -1.0)):
        points = Uniform().sample(part, 500, torch.zeros(()))
        assert (points[:, 0] * side >= -1e-5).all() and part.contains(points).all()
        assert part.volume == pytest.approx(math.pi, rel=2e-3)
        torch.testing.assert_close(part.normal(points), points)
        assert part.distance()(points).abs().max() < 1e-6
    assert not right.contains(torch.tensor([[-1.0, 0.0]]))
    with pytest.raises(InfeasibleError, match="none of"):
        circle & Cuboid([2.0, 2.0], [3.0, 3.0])
    with pytest.raises(ShapeError, match="2 and 1"):
        Part(circle, Cuboid([0.0], [1.0]))
    with pytest.raises(UnsupportedError, match="it is one"):
        circle.boundary()


def test_common_faces_count_once_or_not_at_all():
    """A step inside a cuboid shares three of its sides with it; a stack has no face in the middle."""
    stack = SQUARE | Cuboid([1.0, 0.0], [2.0, 1.0])
    points = Uniform().sample(stack.boundary(), 1000, DOUBLE)
    inner = ((points[:, 0] - 1.0).abs() < 1e-9) & (points[:, 1] > 1e-6) & (points[:, 1] < 1 - 1e-6)
    assert not inner.any()
    same = SQUARE & Cuboid([0.0, 0.0], [0.5, 1.0])
    assert same.boundary().volume == pytest.approx(3.0, rel=5e-3)
    cut = SQUARE - Cuboid([0.5, 0.0], [1.0, 1.0])
    assert cut.boundary().volume == pytest.approx(3.0, rel=5e-3)
    beside = SQUARE - Cuboid([1.0, 0.0], [2.0, 1.0])
    assert beside.boundary().volume == pytest.approx(4.0, rel=5e-3)


def test_pieces_that_keep_less_are_not_drawn_more_rarely():
    """The sides of a product of a sparse space, of which a tenth of the tries is kept, and its ends."""
    sparse = Ball([0.0, 0.0], 1.0) - Ball([0.0, 0.0], 0.95)
    pipe = sparse * Cuboid([0.0], [0.5])
    boundary = pipe.boundary()
    points = Uniform().sample(boundary, 4000, DOUBLE)
    on_ends = int((boundary.normal(points)[:, 2] != 0.0).sum())
    ends, sides = 2 * sparse.volume, 0.5 * 2 * math.pi * 1.95
    assert stats.binomtest(on_ends, 4000, ends / (ends + sides)).pvalue > 1e-3


def test_the_laplacian_grows_at_corners_and_is_no_number_there():
    """Documented: like one over the distance to the corner."""
    for phi in (SQUARE.distance(), Polygon([[0, 0], [1, 0], [1, 1], [0, 1]]).distance()):
        far, near = (
            Derivatives([laplacian(2)])(phi, torch.full((1, 2), e, dtype=torch.float64))[0] for e in (1e-3, 1e-4)
        )
        assert float(near / far) == pytest.approx(10.0, rel=0.05)
        for dtype in (torch.float32, torch.float64):
            corner = torch.zeros(1, 2, dtype=dtype)
            assert phi(corner).abs().item() < torch.finfo(dtype).eps
            slope, curvature = Derivatives([(1, 0), laplacian(2)])(phi, corner)
            assert bool(slope.isfinite().all()) and bool(curvature.isnan().all())


def test_a_network_times_the_distance_function_is_zero_on_the_boundary():
    plate = SQUARE - Ball([0.5, 0.5], 0.25)
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    field, heat = FieldProduct(plate.distance(), network), Derivatives([(0, 0), laplacian(2)])
    assert heat.explain(field).startswith("forward jets")
    on = Uniform().sample(plate.boundary(), 100, DOUBLE)
    torch.testing.assert_close(field(on), torch.zeros_like(on[:, :1]))
    inside = Uniform().sample(plate, 100, DOUBLE)
    for got, expected in zip(heat(field, inside), nested_derivatives(field, inside, heat.wanted), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-10)
    heat(field, inside)[1].square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("corners", [ELL, STAR])
def test_the_distance_function_of_a_polygon_is_that_of_the_source(corners):
    """The formulas of Sukumar and Srivastava as they stand, in numpy; R-equivalence with m = 1."""
    points = Uniform().sample(Polygon(corners), 200, DOUBLE)
    x, ends = points.numpy()[:, None], np.array(corners)
    start, end = ends, np.roll(ends, -1, axis=0)
    length = np.linalg.norm(end - start, axis=-1)
    f = ((x[..., 0] - start[:, 0]) * (end - start)[:, 1] - (x[..., 1] - start[:, 1]) * (end - start)[:, 0]) / length
    t = ((length / 2) ** 2 - ((x - (start + end) / 2) ** 2).sum(axis=-1)) / length
    w = (np.sqrt(t**2 + f**4) - t) / 2
    expected = 1 / (1 / np.sqrt(f**2 + w**2)).sum(axis=-1)
    found = Polygon(corners).distance()(points)[:, 0]
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "make, error, match",
    [
        (lambda: Cuboid([0.0], [-1.0]), SpecificationError, "low <= high"),
        (lambda: Cuboid([0.0], [1.0, 2.0]), ShapeError, r"\(d,\)"),
        (lambda: Cuboid([], []), ShapeError, r"\(d,\)"),
        (lambda: Cuboid([0.0], [math.inf]), NonFiniteError, "finite"),
        (lambda: Ball([0.0], 0.0), SpecificationError, "radius"),
        (lambda: Ball([0.0], math.nan), SpecificationError, "radius"),
        (lambda: Ball([[0.0]], 1.0), ShapeError, r"\(d,\)"),
        (lambda: Ball([math.nan], 1.0), NonFiniteError, "finite"),
        (lambda: Polygon([[0, 0], [1, 1]]), ShapeError, "m >= 3"),
        (lambda: Polygon([[0, 0], [1, 1], [1, 0], [0, 1]]), SpecificationError, "edges 0 and 2"),
        (lambda: Polygon([[0, 0], [1, 1], [2, 2]]), SpecificationError, "edges"),
        (lambda: Polygon([[0, 0], [1, 0], [1, 0], [0, 1]]), SpecificationError, "edges"),
        (lambda: Polygon([[0, 0], [2, 0], [2, 2], [1, 0], [0, 2]]), SpecificationError, "edges"),
        (lambda: Polygon([[0, 0], [2, 0], [1, 0], [1, 1]]), SpecificationError, "edges"),
        (lambda: PointCloud([[]]), ShapeError, "n >= 1"),
        (lambda: PointCloud([[math.nan]]), NonFiniteError, "finite"),
        (lambda: SQUARE & Cuboid([2.0, 2.0], [3.0, 3.0]), InfeasibleError, "apart"),
        (lambda: SQUARE - Cuboid([-1.0, -1.0], [2.0, 2.0]), InfeasibleError, "none of"),
        (lambda: SQUARE - SQUARE, InfeasibleError, "none of"),
        (lambda: SQUARE & (Cuboid([-1.0, -1.0], [2.0, 2.0]) - SQUARE), InfeasibleError, "none of"),
        (lambda: SQUARE | Cuboid([0.0], [1.0]), ShapeError, "2 and 1"),
        (lambda: Intersection(SQUARE, SQUARE.boundary()), SpecificationError, "a boundary"),
        (lambda: SQUARE.contains(torch.zeros(3, 3)), ShapeError, r"\*batch, 2"),
        (lambda: SQUARE.contains(torch.zeros(3, 2, dtype=torch.long)), SpecificationError, "floating"),
        (lambda: SQUARE.draw(torch.zeros(3, 1)), ShapeError, r"\(n, 2\)"),
        (lambda: Uniform().sample(SQUARE, -1, DOUBLE), SpecificationError, "count >= 0"),
        (lambda: SQUARE.sample(1, torch.rand, torch.zeros((), dtype=torch.long)), SpecificationError, "floating"),
    ],
)
def test_what_is_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_a_domain_of_nearly_no_volume_ends_in_an_error():
    """Few enough points inside to be built, none where the source of numbers gives any."""
    thin = SQUARE - Cuboid([0.0, 1e-3], [1.0, 1.0])
    with pytest.raises(InfeasibleError, match="of the points drawn"):
        thin.sample(10, lambda n, k: torch.full((n, k), 0.5), DOUBLE)


def test_a_straight_corner_is_a_corner():
    square = Polygon([[0, 0], [0.5, 0], [1, 0], [1, 1], [0, 1]])
    assert square.volume == 1.0
    assert square.contains(Uniform().sample(square, 100, torch.zeros(()))).all()


def test_sides_of_very_different_lengths_in_single_precision():
    """A rod of 1 m over 1e5 s, of which rounding alone is longer than the rod."""
    rod, hole = Cuboid([0.0, 0.0], [1.0, 1e5]), Cuboid([0.4, 0.0], [0.6, 1e5])
    left = rod.boundary() & Cuboid([0.0, 0.0], [0.0, 1e5])
    assert bool((left.sample(200, torch.rand, torch.zeros(()))[:, 0] == 0.0).all())
    inside = (rod - hole).sample(200, torch.rand, torch.zeros(()))
    assert inside.dtype == torch.float32
    assert not bool(((inside[:, 0] > 0.4001) & (inside[:, 0] < 0.5999)).any())
    walls = (rod - hole).boundary().sample(200, torch.rand, torch.zeros(()))[:, 0]
    assert bool(((walls - 0.4).abs() < 1e-6).any()) and bool(((walls - 0.6).abs() < 1e-6).any())
