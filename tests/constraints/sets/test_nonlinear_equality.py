"""Curved surfaces: laws, a closed form as reference, refusals."""

import pytest
import torch

from constraints import BestEffort, NonFiniteError, NonlinearEquality, SpecificationError, UncertifiedError
from constraints.testing import check_set


def sphere(y, _):
    return (y * y).sum(-1, keepdim=True) - 1.0


def two(y, x):
    return torch.stack([y[0] * y[1] - x[0], y[0] + torch.sin(y[2]) + 0.1 * y[3] ** 2])


def nowhere(y, _):
    return (y * y).sum(-1, keepdim=True) + 1.0


VALUES = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_sphere_has_a_closed_form():
    ball = NonlinearEquality(sphere, size=4, conditions=1)
    torch.testing.assert_close(ball.project(VALUES), VALUES / VALUES.norm(dim=-1, keepdim=True))
    check_set(ball, VALUES[:2])


def test_laws_with_a_context():
    context = torch.rand(4, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.2
    check_set(NonlinearEquality(two, size=4, conditions=2), VALUES[:2], context[:2])


def test_no_solution_is_told():
    with pytest.raises(UncertifiedError, match="1 of 1 samples"):
        NonlinearEquality(nowhere, size=3, conditions=1).project(torch.ones(1, 3))
    point = NonlinearEquality(nowhere, size=3, conditions=1, fallback=BestEffort()).project(torch.ones(1, 3))
    assert point.isfinite().all()


def test_the_centre_of_a_sphere_is_left():
    y = NonlinearEquality(sphere, size=3, conditions=1).project(torch.zeros(1, 3, dtype=torch.float64))
    assert float(y.norm()) == pytest.approx(1.0, abs=1e-6)


def test_more_conditions_than_outputs_are_refused():
    with pytest.raises(SpecificationError, match="conditions=3"):
        NonlinearEquality(sphere, size=2, conditions=3)


@pytest.mark.parametrize("power", [2, 4])
@pytest.mark.parametrize("size", [1e-10, 1e-5, 1.0, 1e5, 2.0**30])
def test_from_the_origin_at_every_scale(size, power):
    """The origin has no size of its own, and a nearest point in several directions."""
    surface = NonlinearEquality(lambda y, _: ((y / size) ** power).sum(-1, keepdim=True) - 1.0, size=2, conditions=1)
    point, proof = surface.solve(torch.zeros(5, 2, dtype=torch.float64))
    assert bool(proof.holds.all())
    torch.testing.assert_close((point / size).norm(dim=-1), torch.ones(5, dtype=torch.float64))


def test_a_gradient_at_the_centre_is_refused():
    circle = NonlinearEquality(lambda y, _: (y**2).sum(-1, keepdim=True) - 1.0, size=2, conditions=1)
    values = torch.tensor([[2.0, 0.0], [0.0, 0.0]], requires_grad=True)
    with pytest.raises(NonFiniteError, match=r"no gradient at a value with several nearest points.*1 of 2 samples"):
        circle.project(values)
    assert bool(circle.project(values.detach()).isfinite().all())
