"""The rules of a problem leave nothing free together, and something where one is left out."""

import pytest

from benchmarks.fields import heat_inverse, navier_stokes
from constraints import check_problem

HEAT = [heat_inverse.equation, heat_inverse.start, heat_inverse.walls]
FLOW = [navier_stokes.momentum, navier_stokes.divergence, navier_stokes.walls, navier_stokes.gauge]


@pytest.mark.parametrize("makers", [HEAT, FLOW], ids=["heat", "flow"])
def test_together_they_determine_the_fields(makers):
    check_problem({make.__name__: make() for make in makers}).require()


def test_the_pressure_is_known_up_to_a_constant_by_velocities_alone():
    report = check_problem({make.__name__: make() for make in FLOW[:-1]})
    assert report.free == 1 and report.fields["p"] > 0.99


def test_a_rod_is_free_without_its_start():
    assert check_problem({make.__name__: make() for make in (HEAT[0], HEAT[2])}).free > 0
