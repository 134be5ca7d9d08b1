"""Nearest points of surfaces: nothing in the search has a unit of its own."""

import pytest
import torch

from constraints.functional.surface import _curved_step, _restart, nearest_on_surface


def quartic(y):
    return (y**4).sum(-1, keepdim=True) - 1.0


def lemniscate(y):
    square = (y * y).sum(-1, keepdim=True)
    return square**2 - (y[..., :1] ** 2 - y[..., 1:] ** 2) - 0.01


def two_conditions(y):
    return torch.stack([y[..., 0] * y[..., 1] - 0.2, (y**2).sum(-1) - 1.0], dim=-1)


@pytest.mark.parametrize("power", [-60, -30, 30])
@pytest.mark.parametrize("surface", [quartic, lemniscate, two_conditions])
def test_a_surface_of_another_size_has_the_same_points(surface, power):
    """As near to the last bit for powers of two, and so are the points that other starts lead to."""
    scale = 2.0**power
    value = 3.0 * torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value[:20] *= 30.0
    none = value.new_zeros(len(value), 0)
    near = nearest_on_surface(value, lambda y, _: surface(y), none).point
    scaled = nearest_on_surface(scale * value, lambda y, _: surface(y / scale), none).point / scale
    assert torch.equal((scaled - value).norm(dim=-1), (near - value).norm(dim=-1))
    ends, found = _restart(value, lambda y, _: surface(y), none, torch.Generator().manual_seed(0))
    others, same = _restart(scale * value, lambda y, _: surface(y / scale), none, torch.Generator().manual_seed(0))
    assert torch.equal(others / scale, ends) and torch.equal(found, same) and bool(found.any())


@pytest.mark.parametrize("surface", [quartic, lemniscate, two_conditions])
def test_samples_of_other_sizes_do_not_see_each_other(surface):
    value = 3.0 * torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    both = torch.cat([value, 1e9 * value[:2]])
    found = nearest_on_surface(both, lambda y, _: surface(y), both.new_zeros(22, 0)).point[:20]
    alone = nearest_on_surface(value, lambda y, _: surface(y), value.new_zeros(20, 0)).point
    torch.testing.assert_close(found, alone, rtol=1e-13, atol=1e-13)


def test_curved_steps_are_shortest_in_the_metric_of_each_samples_own_curvature():
    """They remove the residuals, go where the conditions bend least, and are plain where curvature is unknown or 0."""
    rows = torch.nn.functional.normalize(torch.ones(5, 1, 2, dtype=torch.float64), dim=-1)
    residual = torch.tensor([[1.0], [2.0], [1e-9], [3.0], [1.0]], dtype=torch.float64)
    bends = torch.diag(torch.tensor([1.0, 0.25], dtype=torch.float64))
    curvature = torch.stack([bends, 1e12 * bends, 1e-12 * bends, 0.0 * bends, torch.nan * bends])
    steps = _curved_step(rows, residual, curvature)
    torch.testing.assert_close((rows @ steps[..., None]).squeeze(-1), -residual)
    ratios = steps[:, 1] / steps[:, 0]
    assert ratios.tolist() == pytest.approx([4.0, 4.0, 4.0, 1.0, 1.0], rel=1e-3)
    for i in range(5):
        torch.testing.assert_close(
            _curved_step(rows[i : i + 1], residual[i : i + 1], curvature[i : i + 1])[0], steps[i]
        )
