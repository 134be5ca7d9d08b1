"""Convex sets stated in sympy: laws, closed forms and cvxpy as references, kinks, parameters, refusals."""

import copy
import pickle
import sys

import cvxpy as cp
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constraints import (
    BestEffort,
    Box,
    Convex,
    HalfSpace,
    InfeasibleError,
    Interior,
    L1Ball,
    L2Ball,
    LinfBall,
    MissingExtraError,
    NonFiniteError,
    SecondOrderCone,
    ShapeError,
    Simplex,
    SpecificationError,
    certificates,
)
from constraints.functional.expressions import CvxpyTarget, evaluate
from constraints.testing import (
    check_set,
    law_dtype,
    law_feasible,
    law_gradcheck,
    law_idempotent,
    law_nearest,
    law_serialises,
    law_violation,
)

x, y, z, p, q = sympy.symbols("x y z p q")
r = sympy.Symbol("r", positive=True)


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpylayers.torch", None)
    with pytest.raises(MissingExtraError, match='extra "convex"'):
        Convex([x <= 1], [x])


class TestConvex:
    """What needs the extra."""

    @pytest.fixture(autouse=True)
    def _extra(self):
        pytest.importorskip("cvxpylayers")

    @pytest.mark.parametrize(
        "conditions, known",
        [
            ([sympy.sqrt(x**2 + y**2 + z**2) <= 2], L2Ball(2.0)),
            ([x**2 + y**2 + z**2 <= 4], L2Ball(2.0)),
            ([sympy.Abs(x) + sympy.Abs(y) + sympy.Abs(z) <= 1], L1Ball(1.0)),
            ([sympy.Max(sympy.Abs(x), sympy.Abs(y), sympy.Abs(z)) <= 0.5], LinfBall(0.5)),
            ([sympy.sqrt(x**2 + y**2) <= z], SecondOrderCone()),
            ([sympy.Eq(x + y + z, 1), sympy.And(x >= 0, y >= 0, z >= 0)], Simplex(total=1.0)),
            ([x - 2 * y + 0.5 * z <= 1], HalfSpace([1.0, -2.0, 0.5], 1.0)),
            ([sympy.And(x >= -1, x <= 1, y >= -1, y <= 1, z >= -1, z <= 1)], Box(low=-1.0, high=1.0)),
        ],
    )
    def test_our_closed_forms_agree(self, conditions, known):
        values = samples(40)
        ours = Convex(conditions, [x, y, z])
        for scale in (1.0, 1e3):
            with certificates() as found:
                points = ours.project(values * scale)
            torch.testing.assert_close(points, known.project(values * scale), rtol=1e-9, atol=1e-9 * scale)
            assert bool(found[0][1].holds.all())
            low = ours.project((values * scale).float())
            torch.testing.assert_close(low.double(), points, rtol=1e-5, atol=1e-5 * scale)

    @pytest.mark.parametrize("name", ["exponential", "kinks", "quadratics", "over linear", "entropy", "norms"])
    def test_clarabel_finds_no_nearer_point(self, name):
        ours = Convex(SETS[name], [x, y, z])
        values = samples(12, seed=3) * 3.0
        points, certificate = ours.solve(values)
        assert bool(certificate.feasible.all())
        at = cp.Variable(3)
        leaves = dict(zip(ours.program.outputs, at, strict=True))
        rows = [evaluate(row, CvxpyTarget(), leaves) for row in ours.program.rows]
        for value, point in zip(values.numpy(), points.numpy(), strict=True):
            problem = cp.Problem(cp.Minimize(cp.norm(at - value)), [row <= 0 for row in rows])
            problem.solve(solver=cp.CLARABEL)
            assert np.linalg.norm(point - value) <= problem.value + 1e-6 * (1.0 + problem.value)

    @pytest.mark.parametrize("name", ["exponential", "kinks", "quadratics", "norms"])
    def test_laws_of_points_and_first_derivatives(self, name):
        ours, values = Convex(SETS[name], [x, y, z]), samples(4, seed=5) * 2.0
        law_violation(ours, values)
        law_feasible(ours, values)
        law_idempotent(ours, values)
        law_dtype(ours, values)
        law_nearest(ours, values, others=4)
        law_gradcheck(ours, values[:2], second_order=False)

    def test_every_law_at_kinks_with_a_context(self):
        conditions = [sympy.Abs(x) + sympy.sqrt(x**2 + y**2) <= r * sympy.exp(p), y <= p + 2]
        values, context = samples(3)[:, :2] * 2.0, torch.tensor([[0.5, 0.1], [0.7, -0.2], [1.0, 0.3]]).double()
        values[0] = torch.tensor([0.05, 2.0])  # whose nearest point is at the kink x = 0
        ours = Convex(conditions, [x, y], [r, p])
        check_set(ours, values, context, second_order=False)
        law_gradcheck(ours, values[:1], context[:1])
        assert float(ours.project(values, context)[0, 0]) == pytest.approx(0.0, abs=1e-15)

    def test_second_derivatives_where_the_surface_is_curved(self):
        value = torch.tensor([[-1.0, 2.5]], dtype=torch.float64)
        law_gradcheck(Convex([x**2 + x * y + y**2 <= r, sympy.exp(x) <= 2], [x, y], [r]), value, torch.tensor([[2.0]]))

    def test_the_apex_of_a_cone_is_exact_and_flat(self):
        value = torch.tensor([[0.1, 0.2, -3.0]], dtype=torch.float64, requires_grad=True)
        point = Convex([sympy.sqrt(x**2 + y**2) <= z], [x, y, z]).project(value)
        point.sum().backward()
        torch.testing.assert_close(point.detach(), torch.zeros(1, 3, dtype=torch.float64), rtol=0.0, atol=1e-14)
        torch.testing.assert_close(value.grad, torch.zeros_like(value), rtol=0.0, atol=1e-12)

    def test_parameters_give_the_same_as_numbers(self):
        ours = Convex([r * (x - p) ** 2 + y**2 <= q**2 + 1, p * x + q * y <= 1], [x, y], [r, p, q])
        context = torch.tensor([[2.0, 0.3, -1.0], [0.5, -0.2, 0.4]], dtype=torch.float64)
        values = samples(2)[:, :2] * 3.0
        points = ours.project(values, context)
        for value, given_, point in zip(values, context.tolist(), points, strict=True):
            a, b, c = given_
            fixed = Convex([a * (x - b) ** 2 + y**2 <= c**2 + 1, b * x + c * y <= 1], [x, y])
            torch.testing.assert_close(fixed.project(value), point, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(ours.project(values[:, None], context[:, None])[:, 0], points)
        torch.testing.assert_close(ours.project(values, context[0])[0], points[0])

    def test_residuals_are_signed_and_in_order(self):
        ours = Convex([x**2 <= y, sympy.Eq(x, 1), y <= 3, r >= 2], [x, y, r])
        residual = ours.residual(torch.tensor([2.0, 1.0, 3.0]))
        assert ours.equalities == 1
        torch.testing.assert_close(residual, torch.tensor([1.0, 3.0, -2.0, -1.0, -3.0]))
        assert float(Convex([sympy.log(x) >= 0], [x]).residual(torch.tensor([-1.0]))) == torch.inf

    @settings(max_examples=5, deadline=None)
    @given(st.integers(0, 10**6), st.floats(-4.0, 4.0))
    def test_points_are_inside_or_said_not_to_be(self, seed, power):
        generator = torch.Generator().manual_seed(seed)
        values = torch.randn(4, 3, generator=generator, dtype=torch.float64) * 10.0**power
        for name in ("entropy", "flat", "needle"):
            ours = Convex(SETS[name], [x, y, z], fallback=BestEffort())
            for given_ in (values, values.float()):
                with certificates() as found:
                    points = ours.project(given_)
                assert bool(points.isfinite().all())
                inside = found[0][1].feasible
                scale = ours.tolerance(points) / torch.finfo(points.dtype).eps
                allowed = scale * found[0][1].tolerance
                assert bool((ours.violation(points) <= allowed)[inside].all())

    def test_empty_samples_go_to_the_fallback(self):
        conditions, context = [x**2 + y**2 <= p, x + y >= 1], torch.tensor([[1.0], [0.3], [-1.0], [2.0]])
        values = samples(4)[:, :2].float()
        with pytest.raises(InfeasibleError, match="2 empty ones: 2 of 4"):
            Convex(conditions, [x, y], [p]).project(values, context)
        best = Convex(conditions, [x, y], [p], fallback=BestEffort())
        with certificates() as found:
            points = best.project(values, context)
        assert found[0][1].feasible.tolist() == [True, False, False, True] == (~found[0][1].empty).tolist()
        assert bool(points.isfinite().all())
        known = Convex(conditions, [x, y], [p], fallback=Interior([0.5, 0.5])).project(values, context)
        assert known[1].tolist() == [0.5, 0.5] and torch.equal(known[0], points[0])

    def test_a_set_without_interior_is_found_by_planes(self):
        point = Convex([x**2 + y**2 <= 0], [x, y]).project(torch.ones(1, 2, dtype=torch.float64))
        assert float(point.abs().max()) < 1e-6

    def test_where_newton_does_not_end_planes_prove_the_nearest_point(self):
        ours = Convex([x * sympy.log(x / y) + y * sympy.log(y / x) <= 0.1, x >= 0, y >= 0], [x, y])
        value = torch.tensor([[-1.0, -2.0], [2.0, 0.5]], dtype=torch.float64, requires_grad=True)
        point, certificate = ours.solve(value)
        point.sum().backward()
        assert certificate.feasible.tolist() == [True, True] and certificate.optimal.tolist() == [True, True]
        assert float(point[0].abs().max()) < 1e-6 and bool(value.grad.isfinite().all())

    def test_values_that_are_not_finite(self):
        values = torch.tensor([[torch.nan, 0.0], [torch.inf, 0.0], [3.0, 0.0]])
        with pytest.raises(NonFiniteError):
            Convex([x + y <= 1], [x, y]).project(values)
        points = Convex([x + y <= 1], [x, y], fallback=BestEffort()).project(values)
        assert points.isfinite().all() and points[2].tolist() == [2.0, -1.0]

    def test_wrong_shapes_and_signs_are_refused(self):
        ours = Convex([r * x**2 <= 1], [x], [r])
        for value, context, words in [
            (torch.ones(2, 2), torch.ones(2, 1), r"value of shape \(\*batch, 1\)"),
            (torch.ones(2, 1), torch.ones(2, 2), r"context \(\*batch, 1\), got \(2, 2\)"),
            (torch.ones(2, 1), None, r"context \(\*batch, 1\), got None"),
        ]:
            with pytest.raises(ShapeError, match=words):
                ours.project(value, context)
        with pytest.raises(SpecificationError, match="signs"):
            ours.project(torch.ones(2, 1), torch.tensor([[1.0], [-1.0]]))

    def test_copies_are_the_same_set(self):
        ours, values = Convex([x**2 + p * y <= 1, y >= 0], [x, y], [p]), torch.tensor([[3.0, 2.0]])
        law_serialises(ours)
        context = torch.tensor([0.5])
        for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), ours.double()):
            torch.testing.assert_close(other.project(values, context), ours.project(values, context))

    @pytest.mark.parametrize(
        "conditions, words",
        [
            ([x < 1], "closed conditions, got x < 1"),
            ([sympy.Ne(x, 1)], r"Eq, Le, Ge and And, got Ne\(x, 1\)"),
            ([sympy.Or(x <= 1, y <= 1)], "Eq, Le, Ge and And"),
            ([x], "Eq, Le, Ge and And, got x"),
            ([x + z <= 1], r"declared, got z in x \+ z <= 1"),
            ([p >= 1], "on outputs, got p >= 1"),
            ([x <= sympy.oo], "finite conditions"),
            ([], "at least one condition"),
            ([x**2 >= 1], r"got x\*\*2 >= 1, whose difference is concave"),
            ([sympy.Abs(x) >= 1], "whose difference is concave"),
            ([sympy.Min(x, y) <= 1], "whose difference is concave"),
            ([sympy.Eq(x**2, 1)], "whose difference is convex"),
            ([sympy.Eq(sympy.Abs(x), 1)], "whose difference is convex"),
            ([x * y >= 1], "eigenvalues of both signs"),
            ([x**2 - y**2 <= 1], "eigenvalues of both signs"),
            ([sympy.sin(x) <= 1], r"cannot use sin\(x\) <= 1"),
            ([x * sympy.sin(p) <= 1], r"cannot use x\*sin\(p\) <= 1"),
            ([sympy.Heaviside(x) <= 1], "got Heaviside"),
            ([x**3 <= 8], "only where x is positive"),
            ([1 / x <= 8], "only where x is positive"),
            ([x / y <= 1], "at most one factor"),
            ([p**x <= 1], "number as its exponent"),
            ([p * x**2 <= 1], "its sign decides"),
            ([p * sympy.exp(x) <= 1], "whose difference is unknown"),
            ([p * sympy.exp(q * x) + y <= 1], "cannot use|needs"),
        ],
    )
    def test_what_cannot_be_used_is_refused_by_name(self, conditions, words):
        with pytest.raises(SpecificationError, match=words):
            Convex(conditions, [x, y], [p, q])

    @pytest.mark.parametrize("outputs", [[], [x, x], [sympy.Symbol("x", integer=True)], ["x"]])
    def test_outputs_are_different_real_symbols(self, outputs):
        with pytest.raises(SpecificationError):
            Convex([x <= 1], outputs)

    @pytest.mark.parametrize(
        "conditions", [[x >= 1, x <= 0], [x**2 + y**2 + 1 <= 0], [sympy.Eq(x, 1), sympy.Eq(x, 2)], [sympy.false]]
    )
    def test_contradictions_are_refused(self, conditions):
        with pytest.raises(InfeasibleError):
            Convex(conditions, [x, y])

    @pytest.mark.parametrize("scale", [1e-10, 1e-5, 1.0, 1e5, 1e8, 1e10])
    def test_contradictions_are_refused_at_any_scale(self, scale):
        for apart in (2.0, 1.42):
            with pytest.raises(InfeasibleError):
                Convex([x**2 + y**2 <= scale**2, x + y >= apart * scale], [x, y])
        Convex([x**2 + y**2 <= scale**2, x + y >= 1.41 * scale], [x, y])

    @pytest.mark.parametrize("scale", [1e-10, 1e-5, 1e5, 1e8, 1e10, 1e12])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_a_lens_of_any_scale_has_its_nearest_points(self, scale, dtype):
        ours = Convex([x**2 + y**2 <= scale**2, x + y >= scale / 2], [x, y])
        value = torch.tensor([[3.0, 0.0], [-3.0, -3.0], [-2.0, 1.5]], dtype=dtype)
        point = ours.project(scale * value) / scale
        corner = (1.0 - 7.0**0.5) / 4.0, (1.0 + 7.0**0.5) / 4.0  # x + y = 1/2 on the circle
        expected = torch.tensor([[1.0, 0.0], [0.25, 0.25], corner], dtype=dtype)
        torch.testing.assert_close(point, expected, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize(
        "conditions",
        [
            [0.92 * x - 0.52 * y <= 0.9, -0.45 * x - 0.28 * y <= 0.9, sympy.sqrt(x) - 2.87 * x - 2.47 * y >= -0.1],
            [sympy.sqrt(x) + sympy.sqrt(y) >= 1.2, x <= 2, y <= 3],
            [sympy.log(x) - 0.7 * y >= -1.2, x + y <= 3],
            [x * sympy.log(x) + y * sympy.log(y) <= 0.4],
        ],
        ids=str,
    )
    def test_answers_at_the_end_of_a_domain_are_found(self, conditions, dtype):
        ours = Convex(conditions, [x, y])
        value = 30.0 * torch.randn(20, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
        point, certificate = ours.solve(value)
        assert certificate.feasible.all() and not certificate.empty.any()
        # No point between it and one well inside is nearer.
        inner = ours.program.inside(torch.zeros(2, dtype=torch.float64), torch.zeros(0))[1].to(dtype)
        ways = (point - value) * (inner - point)
        assert (ways.sum(-1) >= -1e-4 * (point - value).norm(dim=-1)).all()

    def test_declared_signs_are_conditions(self):
        ours = Convex([r + x <= 1], [r, x])
        torch.testing.assert_close(ours.project(torch.tensor([-2.0, 0.5])), torch.tensor([0.0, 0.5]))


SETS = {
    "exponential": [sympy.exp(x) + y <= 2, sympy.log(y) >= -1, sympy.log(sympy.exp(x) + sympy.exp(z) + 1) <= 2],
    "kinks": [sympy.Max(x, y, z) <= 1, sympy.Abs(x - y) + sympy.Abs(z) <= 0.5, sympy.Min(x, z) >= -2],
    "quadratics": [x**2 + x * y + y**2 <= 4, (x - 1) * (x - 2) <= y, sympy.Abs(z) ** 3 <= 1 + x],
    "over linear": [x**2 / y <= 1, 1 / z <= y, y >= 0, z >= 0],
    "entropy": [x * sympy.log(x) + y * sympy.log(y) <= -0.2, z**2 <= sympy.sqrt(x)],
    "norms": [sympy.sqrt(x**2 + y**2) + sympy.sqrt(y**2 + z**2) <= 1],
    "flat": [x + y <= 1, 2 * x + 2 * y <= 2, x + y + 0 * z >= 1, z**4 <= x],
    "needle": [sympy.sqrt(x**2 + y**2) <= 1e-3 * z, z <= 1e4],
}


def samples(count, seed=0):
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_square_whose_factor_is_not_positive():
    """`r a^2 + b >= -1` at r = -1 is `a^2 - b <= 1`, and at r = -4 a narrower parabola."""
    a, b = sympy.symbols("a b")
    r = sympy.Symbol("r", nonpositive=True)
    values = 2.0 * torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    context = torch.tensor([[-1.0], [-4.0], [-1.0], [-4.0]], dtype=torch.float64)
    ours = Convex([r * a**2 + b >= -1], [a, b], [r]).project(values, context)
    for factor in (1, 4):
        fixed = Convex([factor * a**2 - b <= 1], [a, b]).project(values)
        torch.testing.assert_close(
            ours[context[:, 0] == -factor], fixed[context[:, 0] == -factor], rtol=1e-6, atol=1e-6
        )
