"""The walk over sympy trees: both targets give sympy's own numbers; normal forms are the same functions."""

import math

import cvxpy as cp
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constraints.errors import SpecificationError
from constraints.functional.active_newton import RowLayout, polish
from constraints.functional.convex_form import Coefficients, Normaliser
from constraints.functional.expressions import (
    CvxpyTarget,
    GeometricMean,
    LogSumExp,
    NegativeEntropy,
    Norm,
    QuadraticOverLinear,
    RelativeEntropy,
    SumSquares,
    TorchTarget,
    evaluate,
)
from constraints.functional.quadratic_terms import complete_squares, squares_of_form

x, y, z = sympy.symbols("x y z", real=True)
PLAIN = [
    x + 2 * y - sympy.pi,
    3 * x**2 - x * y,
    sympy.exp(x) + sympy.log(y),
    sympy.sqrt(y) + 1 / y + y ** sympy.Rational(-3, 2),
    sympy.Max(x, y, 1) + sympy.Min(x, y) + sympy.Abs(x),
    (x + y) ** 4,
]
ATOMS = {
    Norm(x, y, 2): sympy.sqrt(x**2 + y**2 + 4),
    SumSquares(x, y): x**2 + y**2,
    QuadraticOverLinear(x, x + 1, y): (x**2 + (x + 1) ** 2) / y,
    LogSumExp(x, y, 0): sympy.log(sympy.exp(x) + sympy.exp(y) + 1),
    NegativeEntropy(y): y * sympy.log(y),
    RelativeEntropy(y, y + 2): y * sympy.log(y / (y + 2)),
    GeometricMean(y, y + 1): sympy.sqrt(y * (y + 1)),
}
positive = st.floats(0.1, 5.0)
real = st.floats(-3.0, 3.0)


def torch_value(expression, a, b):
    at = torch.tensor([a, b], dtype=torch.float64)
    return float(evaluate(expression, TorchTarget(at), {x: at[0], y: at[1]}))


def test_atoms_are_real_and_some_never_negative():
    for atom in ATOMS:
        assert atom.is_real and (atom <= 1) not in (sympy.true, sympy.false), atom
        assert ((atom + 1).is_positive is True) == isinstance(
            atom, Norm | SumSquares | QuadraticOverLinear | GeometricMean
        ), atom


@settings(max_examples=8, deadline=None)
@given(real, positive)
def test_tensors_agree_with_sympy(a, b):
    for expression, meaning in [*((e, e) for e in PLAIN), *ATOMS.items()]:
        wanted = float(meaning.subs({x: sympy.Float(a, 30), y: sympy.Float(b, 30)}))
        assert torch_value(expression, a, b) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_cvxpy_agrees_with_tensors():
    a, b = 0.7, 1.9
    leaves = {x: cp.Variable(value=a), y: cp.Variable(value=b)}
    for expression in [*PLAIN[:1], *PLAIN[2:], *ATOMS]:
        found = evaluate(expression, CvxpyTarget(), leaves)
        assert float(found.value) == pytest.approx(torch_value(expression, a, b), rel=1e-9), expression


@pytest.mark.parametrize("expression", [sympy.sqrt(y), sympy.log(y), GeometricMean(y, y + 5)])
def test_concave_functions_are_minus_infinity_outside_with_a_finite_derivative(expression):
    at = torch.tensor([0.0, -1.0], dtype=torch.float64, requires_grad=True)
    found = evaluate(expression, TorchTarget(at), {x: at[0], y: at[1]})
    found.backward()
    assert float(found) == -math.inf and bool(at.grad.isfinite().all())


@pytest.mark.parametrize(
    "expression", [y**-2.5, QuadraticOverLinear(x, y), NegativeEntropy(y), RelativeEntropy(y, x + 1), 1 / (y + 1)]
)
def test_convex_functions_are_infinity_outside(expression):
    assert torch_value(expression, 0.0, -1.0) == math.inf


def test_unknown_symbols_functions_and_numbers_are_refused():
    for expression, words in [
        (x + z, "declared, got z"),
        (sympy.sin(x), r"got sin\(x\)"),
        (x + sympy.I, "real and finite, got I"),
        (x**y, "number as its exponent"),
    ]:
        with pytest.raises(SpecificationError, match=words):
            torch_value(expression, 1.0, 1.0)


FORMS = [
    x**2 + x * y + y**2,
    (x - 1) * (x - 2) + sympy.exp(y),
    -(x**2) - (x + y) ** 2 / 3 + 2 * x,
    sympy.sqrt(x**2 + 2 * x + y**2 + 1),
    sympy.sqrt(x**2 + x * y + y**2 + 3),
    (x**2 + y**2) ** sympy.Rational(3, 2),
    sympy.Abs(x) ** 3 + sympy.Abs(x + y),
    x**2 / y + 3 * sympy.log(sympy.exp(x) + 2 * sympy.exp(y) + 1),
    y * sympy.log(y) + y * sympy.log(y / (2 * y + 1)) - sympy.sqrt(y * (y + 1)),
    sympy.Max(x, y) ** 2 - sympy.Min(x, 3 - y) + 2**x,
    1 / y + y**3,
    sympy.sqrt(-y * (x - 4)),  # a number among the factors
]


@pytest.mark.parametrize("expression", FORMS)
def test_normal_forms_are_the_same_functions(expression):
    found = Normaliser([x, y], [-y, x - 4], Coefficients()).normalise(expression)
    for a, b in [(0.3, 1.2), (-2.0, 0.4), (1.5, 3.0)]:
        wanted = float(expression.subs({x: sympy.Float(a, 30), y: sympy.Float(b, 30)}))
        assert torch_value(found, a, b) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("expression", [sympy.Abs(x), sympy.Max(x, 2 * y), sympy.sqrt(x**2 + y**2)])
def test_lifted_functions_are_bounded_by_rows_that_are_tight(expression):
    lifting = Normaliser([x, y], [], Coefficients(), lift=True)
    bound = lifting.normalise(expression)
    rows = [*lifting.rows, *(Norm(*parts) - t for t, parts in lifting.norms)]
    at = {x: sympy.Rational(-3, 2), y: sympy.Rational(1, 3)}
    values = {**{s: torch.tensor(float(v)) for s, v in at.items()}, bound: torch.tensor(float(expression.subs(at)))}
    found = [float(evaluate(row, TorchTarget(torch.ones(())), values)) for row in rows]
    assert max(found) == pytest.approx(0.0, abs=1e-6)


def test_what_depends_on_parameters_alone_becomes_one_number_of_known_sign():
    p, q = sympy.symbols("p q", real=True)
    coefficients = Coefficients()
    Normaliser([x, y], [], coefficients).normalise(p**2 * sympy.exp(q) * x**2 + p * (y - q) + 3)
    signs = {str(e): symbol.is_nonnegative for e, symbol in coefficients.symbols.items()}
    assert signs["p**2*exp(q)"] is True and signs["p"] is None


def test_quadratics_of_both_signs_are_refused_with_their_eigenvalues():
    with pytest.raises(SpecificationError, match=r"\[-1.0, 1.0\]"):
        squares_of_form(x * y, [x, y])


@settings(max_examples=20, deadline=None)
@given(st.lists(real, min_size=6, max_size=6))
def test_completed_squares_are_the_same_norm(numbers):
    a, b, c, d, e, f = (round(number, 3) for number in numbers)
    square = (a * x + b * y + c) ** 2 + (d * x + e * y + f) ** 2
    poly = sympy.Poly(sympy.expand(square), x, y)
    affine = sympy.Add(*(poly.coeff_monomial(v) * v for v in (x, y)), poly.coeff_monomial(1))
    if poly.total_degree() < 2:
        return
    parts = complete_squares(squares_of_form(poly.as_expr(), [x, y]) + affine, [x, y])
    if not parts:  # nearly singular: refused, never wrong
        assert np.linalg.cond([[a, b], [d, e]]) > 1e2
        return
    assert torch_value(Norm(*parts), 0.3, -0.7) ** 2 == pytest.approx(
        float(square.subs({x: 0.3, y: -0.7})), rel=1e-6, abs=1e-7
    )


def test_newton_ends_at_rounding_and_says_how_far_it_is():
    def rows(at, radius):
        return torch.stack([at.square().sum() - radius[0], at[0] - 0.5])

    value = torch.tensor([[2.0, 0.0], [2.0, 2.0], [0.1, 0.1]], dtype=torch.float64)
    near = torch.tensor([[0.51, 0.01], [0.5, 0.86], [0.1, 0.1]], dtype=torch.float64)
    start = torch.tensor([[0.0, 1.5], [0.7, 0.7], [0.0, 0.0]], dtype=torch.float64)
    found = polish(value, near, start, rows, torch.ones(3, 1, dtype=torch.float64), RowLayout(2, 0, 2))
    wanted = torch.tensor([[0.5, 0.0], [0.5, 0.75**0.5], [0.1, 0.1]], dtype=torch.float64)
    torch.testing.assert_close(found.point, wanted, atol=1e-14, rtol=0.0)
    assert bool((found.misfit <= 1e-14).all())
    assert found.active.tolist() == [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
