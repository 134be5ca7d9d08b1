"""Multipliers of the rows that hold a point: those it was made with."""

import pytest
import torch

from constraints.functional.active_newton import RowLayout, supporting_multipliers

POINT = torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64)
NONE = torch.zeros(1, 0, dtype=torch.float64)
SLOPES = torch.tensor([[1.0, 1.0, 0.0], [3.0, 0.0, 4.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]).double()
GAPS = torch.tensor([0.0, 0.0, 0.0, 0.5, 0.0]).double()
LAYOUT = RowLayout(3, 1, 3)  # an equality, three inequalities of which the last is far, a row of a kink


def conditions(y, _):
    return SLOPES @ (y - POINT[0]) - GAPS


@pytest.mark.parametrize("power", [-40, 0, 40])
@pytest.mark.parametrize("pulls", [[0.7, 0.2, 3.0], [-0.7, 0.2, 0.0], [-2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
def test_multipliers_are_those_that_hold_the_point(pulls, power):
    """Of both signs for an equality; none for what is far or a kink; at any size of the problem."""
    scale = 2.0**power
    expected = torch.tensor([[*pulls, 0.0, 0.0]], dtype=torch.float64)
    value = scale * (POINT + expected @ SLOPES)
    multipliers = supporting_multipliers(
        value, scale * POINT, lambda y, c: scale * conditions(y / scale, c), NONE, LAYOUT
    )
    torch.testing.assert_close(multipliers / scale, expected)


def test_samples_do_not_see_each_other():
    point = torch.cat([POINT, 1e9 * POINT, POINT])
    value = torch.cat([POINT + SLOPES[:1], 1e9 * POINT + SLOPES[:1], torch.full_like(POINT, torch.nan)])
    multipliers = supporting_multipliers(value, point, lambda y, _: SLOPES @ y, NONE.expand(3, 0), RowLayout(3, 1, 0))
    assert multipliers[0].tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0, 0.0])
    assert multipliers[1].tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0, 0.0], rel=1e-5)
    assert not bool(multipliers[2].any()), "nothing is known of a value that is not finite"


def test_lifted_variables_are_no_part_of_the_distance():
    """|y| - t <= 0 and t - 1 <= 0 hold y = t = 1: both rows pull alike."""
    rows = lambda y, _: torch.stack([y[0] - y[1], y[1] - 1.0])  # noqa: E731
    ends = torch.ones(1, 2, dtype=torch.float64)
    multipliers = supporting_multipliers(3.0 * ends[:, :1], ends, rows, NONE, RowLayout(1, 0, 2))
    torch.testing.assert_close(multipliers, torch.tensor([[2.0, 2.0]], dtype=torch.float64))


@pytest.mark.parametrize("length", [1e-6, 1.0, 1e6])
def test_rows_hold_a_point_that_is_near_them_whatever_their_length(length):
    """In units of distance, relative to the point: a tenth away it is far, 1e-9 away it is near."""
    point, value = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), 3.0, dtype=torch.float64)
    for gap, expected in ((0.1, 0.0), (1e-9, 2.0 / length)):
        row = lambda y, _, gap=gap: length * (y - 1.0 - gap)  # noqa: E731
        multipliers = supporting_multipliers(value, point, row, NONE, RowLayout(1, 0, 1))
        assert float(multipliers) == pytest.approx(expected)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_rows_with_an_infinite_slope_hold_nothing(side):
    point = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    rows = lambda y, _: torch.stack([side * y[0].sqrt(), y[1] - 1.0])  # noqa: E731
    multipliers = supporting_multipliers(point + torch.tensor([[0.5, 2.0]]), point, rows, NONE, RowLayout(2, 0, 2))
    torch.testing.assert_close(multipliers, torch.tensor([[0.0, 2.0]], dtype=torch.float64))
