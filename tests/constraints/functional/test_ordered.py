"""Smooth maps into ordered cones: each form is another one mirrored, and all reach their ends."""

import math

import pytest
import torch

from constraints import OrderedCone
from constraints.functional import squash_ordered_cone

V = 2.0 * torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LOW, HIGH = torch.tensor(-0.7).double(), torch.tensor(1.3).double()


def test_steps_are_those_of_softplus():
    steps = torch.log1p(V.exp())
    torch.testing.assert_close(squash_ordered_cone(V)[..., 0], V[..., 0])
    torch.testing.assert_close(squash_ordered_cone(V).diff(dim=-1), steps[..., 1:])
    from_low = squash_ordered_cone(V, LOW)
    torch.testing.assert_close(torch.cat([from_low[..., :1] - LOW, from_low.diff(dim=-1)], dim=-1), steps)
    shares = torch.cat([V.exp(), torch.ones(2, 3, 1)], dim=-1)
    expected = LOW + (HIGH - LOW) * (shares / shares.sum(dim=-1, keepdim=True))[..., :-1].cumsum(dim=-1)
    torch.testing.assert_close(squash_ordered_cone(V, LOW, HIGH), expected)


def test_from_above_is_from_below_turned_over():
    turned = -squash_ordered_cone(-V.flip(-1), -HIGH).flip(-1)
    torch.testing.assert_close(squash_ordered_cone(V, None, HIGH), turned)
    assert torch.equal(squash_ordered_cone(V, None, HIGH[None]), squash_ordered_cone(V, high=HIGH))


@pytest.mark.parametrize("ends", [(None, None), (-0.7, None), (None, 1.3), (-0.7, 1.3)])
@pytest.mark.parametrize("gap", [0.0, 0.25])
def test_the_map_into_the_cone_is_the_function_with_its_gaps_added(ends, gap):
    low, high = ends
    steps = gap * torch.arange(5.0, dtype=torch.float64)
    room = None if high is None else torch.tensor(high - float(steps[-1])).double()
    expected = squash_ordered_cone(V, None if low is None else LOW, room) + steps
    torch.testing.assert_close(OrderedCone(low=low, high=high, gap=gap).squash(V), expected)
    falling = OrderedCone(
        low=None if high is None else -high, high=None if low is None else -low, gap=gap, descending=True
    )
    torch.testing.assert_close(falling.squash(-V), -expected)
    torch.testing.assert_close(OrderedCone(low=low, high=high, gap=gap).squash(V[0, 0]), expected[0, 0])


def test_the_ends_are_reached():
    cone, far = OrderedCone(low=-1.0, high=2.0, gap=0.5), torch.zeros(2, 4, dtype=torch.float64)
    far[0], far[1, -1] = -math.inf, 1e4
    far[0] = -1e4
    assert cone.squash(far)[0].tolist() == [-1.0, -0.5, 0.0, 0.5]
    assert float(cone.squash(far)[1, -1]) == 2.0
