"""Sets of which nothing but residuals is known."""

import pytest
import torch

from constraints import ShapeError
from constraints.sets import Agreement, Formula


def test_infinite_residuals_are_as_far_as_can_be():
    """-inf holds as an inequality and breaks an equality; what is not defined breaks both."""
    values = torch.tensor([[-torch.inf], [torch.inf], [torch.nan], [0.0]])
    assert Formula(lambda y, _: y, size=1, conditions=1).excess(values).flatten().tolist() == [
        0,
        torch.inf,
        torch.inf,
        0,
    ]
    equal = Formula(lambda y, _: y, size=1, conditions=1, equalities=1)
    assert equal.excess(values).flatten().tolist() == [torch.inf, torch.inf, torch.inf, 0]


def test_residuals_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"needs residuals \(4, 1\) of its function, got \(4, 2\)"):
        Formula(lambda y, _: y, size=2, conditions=1).residual(torch.zeros(4, 2))
    with pytest.raises(ShapeError, match="two halves, got 3"):
        Agreement().residual(torch.zeros(4, 3))


@pytest.mark.parametrize("size", [0.0, 1.0, 1e6])
def test_results_agree_to_the_rounding_of_what_they_were_computed_from(size):
    """That is of size one at least; an error of a hundred roundings of the larger is none of two numbers."""
    scale, rounding = max(size, 1.0), torch.finfo(torch.float32).eps
    pair = torch.tensor([size, size + 8.0 * rounding * scale])
    assert bool(Agreement().check(pair)) and not bool(
        Agreement().check(pair + torch.tensor([0.0, 128.0 * rounding * scale]))
    )
