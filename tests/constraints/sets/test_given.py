"""A set that reads a shared context: everything is that of the set with its own numbers."""

import pytest
import torch

from constraints import Affine, Box, HalfSpace, Polytope, ShapeError, VaryingAffine
from constraints.sets.given import Given
from constraints.testing import check_set


def normal(*shape, seed=0):
    return 2.0 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


VALUE, SHARED = normal(6, 2), normal(6, 5, seed=1)
CASES = {
    "closed form": (HalfSpace([1.0, 2.0]), 2, (1,), SHARED[:, 2:3]),
    "certified": (Polytope([[1.0, 1.0]], varies=True), 1, (2,), SHARED[:, 1:3].sort(dim=-1).values),
    "a matrix": (VaryingAffine(rows=1, size=2), 2, (1, 3), SHARED[:, None, 2:]),
    "no certificate": (Box(low=-1.0, high=[0.5, torch.inf]), 0, (), None),
    "no numbers": (Affine([[1.0, 1.0]], [1.0]), 0, (), None),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_set_reads_is_its_own(name):
    constraint, start, shape, own = CASES[name]
    shared = SHARED.clone()
    if own is not None:
        shared[:, start : start + own[0].numel()] = own.flatten(1)
    given = Given(constraint, start=start, shape=shape)
    assert (given.size, given.equalities, given.convex) == (2, constraint.equalities, constraint.convex)
    for method in ("residual", "tolerance", "project", "violation", "check"):
        assert torch.equal(getattr(given, method)(VALUE, shared), getattr(constraint, method)(VALUE, own)), method
    point, certificate = given.solve(VALUE, shared)
    assert torch.equal(point, constraint.project(VALUE, own))
    assert bool(certificate.holds.all()) and not bool(certificate.empty.any())
    assert certificate.violation.shape == (6,) and float(certificate.violation.max()) <= certificate.tolerance
    check_set(given, VALUE, shared)


def test_closed_forms_need_no_certificate():
    assert [Given(c, start=s, shape=k).closed_form for c, s, k, _ in CASES.values()] == [True, False, False, True, True]


def test_a_context_that_is_too_short_is_refused():
    given = Given(HalfSpace([1.0, 2.0]), start=4, shape=(1,))
    given.project(VALUE, SHARED)
    for context, got in ((SHARED[:, :4], r"\(6, 4\)"), (None, "None")):
        with pytest.raises(ShapeError, match=rf"\(\*batch, 5 or more\), got {got}"):
            given.project(VALUE, context)
