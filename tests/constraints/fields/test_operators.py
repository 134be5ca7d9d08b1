from __future__ import annotations

import pytest

from constraints.errors import SpecificationError
from constraints.fields import DifferentialOperator, laplacian, partials


def test_they_add_and_multiply_like_polynomials() -> None:
    dx, dy = partials(2)
    assert (dx + dy) ** 2 == dx**2 + 2 * dx * dy + dy**2
    assert (dx - dy) * (dx + dy) == dx**2 - dy**2
    assert 1.0 - dx == -(dx - 1.0)
    assert dx**0 == DifferentialOperator({(0, 0): 1.0})
    assert laplacian(2) ** 2 == dx**4 + 2.0 * dx**2 * dy**2 + dy**4
    assert hash(dx + dy) == hash(dy + dx)


def test_terms_that_cancel_are_gone() -> None:
    dx, dy = partials(2)
    assert (dx - dx).terms == {(0, 0): 0.0}
    assert (dx**4 - dx**4 + dy).order == 1


@pytest.mark.parametrize("terms", [{}, {(): 1.0}, {(1,): 1.0, (1, 0): 1.0}, {(-1,): 1.0}, {(1,): float("nan")}])
def test_refused_terms(terms: dict[tuple[int, ...], float]) -> None:
    with pytest.raises(SpecificationError, match="DifferentialOperator"):
        DifferentialOperator(terms)


def test_refused_arithmetic() -> None:
    (dx,) = partials(1)
    with pytest.raises(SpecificationError, match="as many coordinates"):
        dx + partials(2)[0]
    with pytest.raises(SpecificationError, match="exponent"):
        dx**-1
    with pytest.raises(SpecificationError, match="coordinates >= 1"):
        partials(0)
