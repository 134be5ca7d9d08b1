"""The piecewise task: the function, its boundary, and every arm for one step."""

import math

import torch

from benchmarks.pwc.exhibits import beside_published
from benchmarks.pwc.problem import Boundary, bounds, grid_points, samples, target
from benchmarks.pwc.task import Pwc
from constraints.testing import check_rule
from dkmodels.study.task import Profile


def test_the_samples_are_the_published_ones():
    x = samples()
    assert x.shape == (50, 1)
    assert float(x.abs().max()) <= 1.2
    torch.testing.assert_close(samples(), x)
    assert grid_points().shape == (401, 1)


def test_the_function_is_that_of_the_paper_and_obeys_its_own_boundary():
    for x, y in [(-1.5, 5 * math.sin(math.pi / 4)), (-0.5, 0.0), (0.5, 4 - 9 / 36), (1.5, 0.5)]:
        assert math.isclose(float(target(torch.tensor(x, dtype=torch.float64))), y)
    x = grid_points()
    low, high = bounds(x)
    assert bool((target(x) >= low - 1e-12).all() & (target(x) <= high + 1e-12).all())
    assert bool((low.isinf() ^ high.isinf()).all())


def test_the_rule_obeys_the_laws():
    torch.manual_seed(0)
    network = torch.nn.Linear(1, 1).double()
    check_rule(Boundary(), network, grid_points()[::40], network(grid_points()[::40]))


def test_every_arm_trains_and_the_layer_obeys(run_arms):
    _, store = run_arms(Pwc, Profile(seeds=2, epochs=2, rounds=1))
    cells = {cell["arm"]: cell["metrics"] for cell in store.cells()}
    for arm in ("hard", "decode", "soft + decode"):
        assert cells[arm]["max_violation"] == 0.0
    for arm in ("none", "soft", "lagrangian"):
        assert cells[arm]["max_violation"] > 0.1
    table = beside_published(store.cells(), [])
    assert len(table.rows) == 1 + 6 + 4
    assert [row[1] for row in table.rows if row[0] == "published: HardNet"] == [".16"]
