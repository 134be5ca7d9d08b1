"""Every set passes the laws, in both dtypes, and refuses what makes no sense."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constraints import (
    Affine,
    Box,
    BoxEquality,
    InfeasibleError,
    NonFiniteError,
    ShapeError,
    Simplex,
    SpecificationError,
)
from constraints.testing import check_set, law_feasible, law_idempotent, law_nearest, law_violation


def normal(*shape, seed=0):
    return 2.0 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SETS = {
    "box": (Box(low=-1.0, high=1.0), normal(6, 4), None),
    "box, bounds of its own": (Box(low=[-1.0, 0.0, -9.0], high=[1.0, float("inf"), 2.0]), normal(6, 3), None),
    "affine": (Affine([[1.0, 2.0, -1.0], [0.0, 1.0, 1.0]], [1.0, 2.0]), normal(6, 3), None),
    "affine, redundant": (Affine([[1.0, 2.0], [2.0, 4.0]], [1.0, 2.0]), normal(6, 2), None),
    "affine, target": (Affine([[1.0, 2.0, -1.0]]), normal(6, 3), normal(6, 1, seed=1)),
    "simplex": (Simplex(2.5), normal(6, 5), None),
    "simplex, total": (Simplex(), normal(6, 5), normal(6, 1, seed=1).abs() + 0.1),
    "box and equality": (BoxEquality([1.0, -2.0, 0.0, 0.5], target=0.7, low=-1.0, high=1.0), normal(6, 4), None),
    "box and equality, target": (BoxEquality([1.0, 2.0, 1.0], low=0.0), normal(6, 3), normal(6, 1, seed=1).abs()),
}


@pytest.mark.parametrize("name", SETS)
def test_laws(name):
    constraint, values, context = SETS[name]
    check_set(constraint, values, context)
    law_nearest(constraint, values, context)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_laws_at_any_size_and_scale(n, seed, scale):
    values = scale * normal(3, n, seed=seed)
    for constraint in (
        Simplex(scale),
        Box(low=-scale, high=scale / 2),
        BoxEquality(torch.linspace(-1, 2, n) + 0.01, target=0.0, low=-scale, high=scale),
        Affine(normal(max(1, n // 2), n, seed=seed + 1), torch.zeros(max(1, n // 2))),
    ):
        law_violation(constraint, values)
        law_feasible(constraint, values)
        law_idempotent(constraint, values)


def test_violation_is_the_largest_miss():
    box = BoxEquality([1.0, 1.0], target=1.0, low=0.0, high=1.0)
    assert float(box.violation(torch.tensor([3.0, -0.5]))) == 2.0
    assert bool(box.check(torch.tensor([0.25, 0.75])))
    assert not bool(box.check(torch.tensor([0.25, 0.751])))
    assert bool(box.check(torch.tensor([0.25, 0.751]), atol=0.01))


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: Box(low=2.0, high=1.0), InfeasibleError, r"low <= high, got low=2.0, high=1.0"),
        (lambda: Box(low=float("nan")), NonFiniteError, "not NaN"),
        (lambda: Box(low=float("inf")), InfeasibleError, "low=inf"),
        (lambda: Simplex(0.0), InfeasibleError, "total=0.0"),
        (lambda: Simplex(float("inf")), NonFiniteError, "finite"),
        (lambda: Affine([[1.0, 1.0], [2.0, 2.0]], [1.0, 3.0]), InfeasibleError, "rank 1"),
        (lambda: Affine([[1.0, 1.0], [2.0, 2.0]]), SpecificationError, "independent rows"),
        (lambda: Affine([[1.0, 1.0]], [1.0, 2.0]), ShapeError, r"shape \(1,\)"),
        (lambda: Affine(torch.zeros(0, 3)), ShapeError, r"\(0, 3\)"),
        (lambda: BoxEquality([0.0, 0.0]), SpecificationError, "not all zero"),
        (lambda: BoxEquality([1.0, 1.0], target=3.0, low=0.0, high=1.0), InfeasibleError, r"\[0, 2\]"),
        (lambda: BoxEquality([1.0, 1.0], low=[0.0, 0.0, 0.0]), ShapeError, "2 bounds, got 3"),
    ],
)
def test_refuses_what_makes_no_sense(build, error, says):
    with pytest.raises(error, match=says):
        build()


def test_refuses_misshapen_values():
    with pytest.raises(ShapeError, match=r"\(\*batch, 2\), got \(3,\)"):
        Affine([[1.0, 1.0]], [1.0]).project(torch.zeros(3))
    with pytest.raises(SpecificationError, match="context"):
        Affine([[1.0, 1.0]]).project(torch.zeros(2))
    with pytest.raises(ShapeError, match=r"context \(\*batch, 1\), got \(1, 2\)"):
        Affine([[1.0, 1.0]]).project(torch.zeros(1, 2), torch.zeros(1, 2))


def test_closed_forms_compile_without_a_break():
    """One compile for all closed forms: a first compile is slow."""

    def layer(value):
        return (
            Box(low=0.0, high=1.0).project(value),
            simplex.project(value),
            affine.project(value),
            both.project(value),
        )

    simplex, affine = Simplex(1.0), Affine([[1.0, 2.0, 3.0]], [1.0])
    both = BoxEquality([1.0, 1.0, 1.0], target=1.0, low=0.0, high=0.8)
    box = Box(low=0.0, high=1.0)

    def compiled(value):
        return box.project(value), simplex.project(value), affine.project(value), both.project(value)

    value = normal(4, 3).float()
    for ours, theirs in zip(
        torch.compile(compiled, fullgraph=True, backend="aot_eager")(value), layer(value), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
