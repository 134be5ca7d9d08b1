"""Where samplers put points, what they learn, and that they come back from a checkpoint."""

import copy
import io
import math

import pytest
import torch
from scipy import stats

from constraints.domains import Ball, Cuboid, PointCloud
from constraints.errors import InfeasibleError, NonFiniteError, ShapeError, SpecificationError
from constraints.sampling import (
    CausalWindows,
    Importance,
    LatinHypercube,
    ResidualAdaptive,
    RetainResample,
    Sobol,
    Uniform,
)
from constraints.sampling.weighted import pick

LINE, SQUARE = Cuboid([0.0], [1.0]), Cuboid([0.0, 0.0], [1.0, 1.0])
DOMAINS = [
    SQUARE,
    Ball([1.0, 0.0], 2.0),
    SQUARE - Ball([0.5, 0.5], 0.3),
    Ball([0.0], 1.0) * Cuboid([0.0], [4.0]),
    SQUARE.boundary(),
    Cuboid([0.0, 1.0], [1.0, 1.0]),
    PointCloud(torch.rand(50, 2)),
]
SAMPLERS = [
    Uniform,
    LatinHypercube,
    Sobol,
    lambda: Importance(lambda p: 1.0 + p[:, 0].square()),
    lambda: ResidualAdaptive(every=1, candidates=500),
    RetainResample,
    lambda: CausalWindows(time=0, windows=3, tolerance=0.1),
]
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def residual(points):
    return points[:, 0].abs()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@dtypes
@pytest.mark.parametrize("make", SAMPLERS)
@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: type(domain).__name__)
def test_every_sampler_works_on_every_domain_and_follows_the_seed(make, domain, dtype):
    like, runs = torch.zeros((), dtype=dtype), []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        sampler, seen = make(), []
        for _ in range(3):
            points = sampler.sample(domain, 20, like)
            assert points.shape == (20, 2) and points.dtype == dtype and domain.contains(points).all()
            sampler.learn(domain, points, residual(points), residual)
            seen.append(points)
        assert sampler.sample(domain, 0, like).shape == (0, 2)
        runs.append(torch.cat(seen))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_discrepancies_are_in_order():
    def worst(sampler):
        like = torch.zeros((), dtype=torch.float64)
        found = [stats.qmc.discrepancy(sampler.sample(SQUARE, 128, like).numpy()) for _ in range(8)]
        return sum(found) / len(found)

    sobol, hypercube, uniform = worst(Sobol()), worst(LatinHypercube()), worst(Uniform())
    assert 2 * sobol < hypercube < uniform / 2


def test_a_latin_hypercube_has_one_point_a_stratum():
    points = LatinHypercube().sample(Cuboid([0.0] * 3, [1.0] * 3), 50, torch.zeros((), dtype=torch.float64))
    for column in points.unbind(-1):
        assert torch.equal((column * 50).long().sort().values, torch.arange(50))


@pytest.mark.parametrize("power, floor", [(1.0, 1.0), (2.0, 0.0), (0.5, 0.2)])
def test_adaptive_points_have_the_density_of_the_formula(power, floor):
    """Against its integral, with so many candidates that drawing without replacement makes no difference."""

    def peak(points):
        return torch.exp(-((points[:, 0] - 0.3) ** 2) / 0.02)

    sampler = ResidualAdaptive(every=1, candidates=100_000, power=power, floor=floor)
    points = sampler.sample(LINE, 1500, torch.zeros(()))
    sampler.learn(LINE, points, peak(points), peak)
    found = sampler.sample(LINE, 1500, torch.zeros(()))[:, 0]
    grid = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    powers = peak(grid[:, None]) ** power
    density = powers / powers.mean() + floor
    share = density.reshape(10, -1).sum(dim=1) / density.sum()
    counts = torch.histc(found, bins=10, min=0.0, max=1.0)
    merged = [(float(counts[share > 0.01].sum()), float(share[share > 0.01].sum()))]
    assert merged[0][0] == pytest.approx(1500 * merged[0][1], rel=0.02)
    likely = share > 0.01
    expected = share[likely] / share[likely].sum() * counts[likely].sum()
    assert stats.chisquare(counts[likely].double().numpy(), expected.numpy()).pvalue > 1e-3


def test_adaptive_points_stay_between_changes():
    sampler = ResidualAdaptive(every=3, candidates=100)
    before = sampler.sample(LINE, 10, torch.zeros(()))
    for step in range(1, 4):
        sampler.learn(LINE, before, residual(before), residual)
        assert torch.equal(sampler.sample(LINE, 10, torch.zeros(())), before) == (step < 3)


def test_weights_survive_extreme_residuals():
    sampler = ResidualAdaptive(power=4.0, floor=0.5)
    for size in (1e-30, 1.0, 1e30):
        found = sampler.weights(torch.tensor([1.0, 2.0]) * size)
        torch.testing.assert_close(found, torch.tensor([1 / 8.5, 16 / 8.5], dtype=torch.float64) + 0.5)
    assert sampler.weights(torch.zeros(3)).tolist() == [1.0, 1.0, 1.0]


def test_picking_is_in_proportion():
    first = torch.stack([pick(torch.tensor([1.0, 2.0, 3.0, 0.0]), 1) for _ in range(3000)])
    counts = torch.bincount(first.flatten(), minlength=4)
    assert counts[3] == 0
    assert stats.chisquare(counts[:3].numpy(), [500, 1000, 1500]).pvalue > 1e-3


def test_retained_are_exactly_those_above_the_mean():
    sampler, like = RetainResample(), torch.zeros((), dtype=torch.float64)
    for _ in range(5):
        before = sampler.sample(SQUARE, 40, like)
        found = residual(before) ** 2
        sampler.learn(SQUARE, before, found, residual)
        after = sampler.sample(SQUARE, 40, like)
        assert torch.equal((after == before).all(dim=-1), found > found.mean())


def test_importance_follows_its_density():
    sampler = Importance(lambda p: p[:, 0], candidates=200)
    points = sampler.sample(LINE, 800, torch.zeros((), dtype=torch.float64))[:, 0]
    assert stats.kstest(points.numpy(), lambda x: x**2).pvalue > 1e-3


def test_windows_open_in_order():
    domain = Ball([0.0], 1.0) * Cuboid([2.0], [6.0])
    sampler = CausalWindows(time=-1, windows=4, tolerance=0.1)
    for opened in (1, 2, 3, 4, 4):
        assert int(sampler.opened) == opened
        points = sampler.sample(domain, 200, torch.zeros(()))
        assert 2.0 + opened - 0.2 < points[:, 1].max() <= 2.0 + opened
        late = (points[:, 1] > 1.0 + opened).float()  # wrong in the newest window alone
        sampler.learn(domain, points, late * 0.11, residual)
        assert opened == 4 or int(sampler.opened) == opened
        sampler.learn(domain, points, torch.full((200,), 0.09), residual)


def test_a_window_without_points_keeps_the_next_one_shut():
    sampler = CausalWindows(time=0, windows=4, tolerance=0.1)
    sampler.opened.fill_(2)
    sampler.learn(LINE, torch.full((10, 1), 0.1), torch.zeros(10), residual)
    assert int(sampler.opened) == 2


def test_samples_of_open_windows_are_uniform():
    sampler = CausalWindows(time=0, windows=4, tolerance=0.1)
    points = sampler.sample(LINE, 1000, torch.zeros((), dtype=torch.float64))
    assert stats.kstest(4 * points[:, 0].numpy(), "uniform").pvalue > 1e-3


@dtypes
@pytest.mark.parametrize("make", SAMPLERS[4:])
def test_a_checkpoint_resumes_to_the_same_points(make, dtype):
    like, first = torch.zeros((), dtype=dtype), make()
    for _ in range(3):
        points = first.sample(SQUARE, 12, like)
        first.learn(SQUARE, points, 0.01 * residual(points), residual)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = make()
    second.load_state_dict(torch.load(file, weights_only=True))
    again = [copy.deepcopy(first), second]
    runs = []
    for sampler in again:
        torch.manual_seed(7)
        seen = []
        for _ in range(2):
            points = sampler.sample(SQUARE, 12, like)
            sampler.learn(SQUARE, points, residual(points), residual)
            seen.append(points)
        runs.append(torch.cat(seen))
    assert torch.equal(*runs)
    for name, value in first.state_dict().items():
        assert second.state_dict()[name].dtype == value.dtype


def test_another_count_makes_a_new_pool():
    sampler = RetainResample(every=2)
    points = sampler.sample(LINE, 10, torch.zeros(()))
    sampler.learn(LINE, points, residual(points), residual)
    assert sampler.sample(LINE, 11, torch.zeros(())).shape == (11, 1) and int(sampler.steps) == 0
    assert sampler.sample(SQUARE, 11, torch.zeros(())).shape == (11, 2)


def test_given_points_are_not_the_pool_itself():
    sampler = RetainResample()
    points = sampler.sample(LINE, 4, torch.zeros(()))
    points.zero_()
    assert sampler.sample(LINE, 4, torch.zeros(())).abs().min() > 0.0
    assert sampler.sample(LINE, 4, torch.zeros((), dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    "make, error, match",
    [
        (lambda: ResidualAdaptive(every=0), SpecificationError, "every >= 1"),
        (lambda: ResidualAdaptive(candidates=0), SpecificationError, "candidates >= 1"),
        (lambda: ResidualAdaptive(power=-1.0), SpecificationError, "power >= 0"),
        (lambda: ResidualAdaptive(floor=math.nan), SpecificationError, "floor >= 0"),
        (lambda: ResidualAdaptive(candidates=5).sample(LINE, 6, torch.zeros(())), SpecificationError, "5 and 6"),
        (lambda: RetainResample(every=0), SpecificationError, "every >= 1"),
        (lambda: learnt(RetainResample(), torch.tensor([1.0, math.nan])), NonFiniteError, "finite"),
        (lambda: learnt(RetainResample(), torch.tensor([1.0, -1.0])), SpecificationError, ">= 0"),
        (lambda: learnt(RetainResample(), torch.zeros(3)), ShapeError, r"residuals \(n,\)"),
        (lambda: learnt(ResidualAdaptive(every=1), torch.zeros(2), lambda p: p), ShapeError, r"\(10000,\)"),
        (lambda: Importance(residual, candidates=0), SpecificationError, "candidates >= 1"),
        (lambda: Importance(lambda p: p).sample(LINE, 5, torch.zeros(())), ShapeError, r"density \(n,\)"),
        (lambda: Importance(lambda p: -p[:, 0]).sample(LINE, 5, torch.zeros(())), SpecificationError, ">= 0"),
        (lambda: Importance(lambda p: p[:, 0] * math.inf).sample(LINE, 5, torch.zeros(())), NonFiniteError, "finite"),
        (lambda: Importance(lambda p: 0 * p[:, 0]).sample(LINE, 5, torch.zeros(())), InfeasibleError, "candidates"),
        (lambda: CausalWindows(time=0, windows=0, tolerance=1.0), SpecificationError, "windows >= 1"),
        (lambda: CausalWindows(time=0, windows=1, tolerance=0.0), SpecificationError, "tolerance"),
        (
            lambda: CausalWindows(time=2, windows=2, tolerance=1.0).sample(SQUARE, 1, torch.zeros(())),
            SpecificationError,
            "a column of 2",
        ),
        (
            lambda: CausalWindows(time=1, windows=2, tolerance=1.0).sample(DOMAINS[5], 1, torch.zeros(())),
            SpecificationError,
            "span of time",
        ),
        (
            lambda: CausalWindows(time=0, windows=10**7, tolerance=1.0).sample(LINE, 9, torch.zeros(())),
            InfeasibleError,
            "fewer windows",
        ),
        (lambda: learnt(CausalWindows(time=0, windows=2, tolerance=1.0), torch.zeros(3)), ShapeError, "residuals"),
        (
            lambda: learnt(CausalWindows(time=0, windows=2, tolerance=1.0), torch.tensor([0.0, math.inf])),
            NonFiniteError,
            "finite",
        ),
    ],
)
def test_what_is_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


def learnt(sampler, found, probe=residual):
    points = sampler.sample(LINE, 2, torch.zeros(()))
    sampler.learn(LINE, points, found, probe)
