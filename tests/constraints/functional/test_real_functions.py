"""Every function that can be printed to torch, against sympy itself at random points."""

import math
import random

import pytest
import sympy
import torch

from constraints import SpecificationError
from constraints.functional.real_functions import REAL_FUNCTIONS, evaluate_real, real_number

X, Y, Z = sympy.symbols("x y z", real=True)
LOGIC = {sympy.And, sympy.Or, sympy.Not, sympy.Xor, sympy.Implies, sympy.Equivalent, sympy.ITE}
RELATIONS = {sympy.Eq, sympy.Ne, sympy.Lt, sympy.Le, sympy.Gt, sympy.Ge}
SEVERAL = {sympy.Add, sympy.Mul, sympy.Max, sympy.Min}
TWO = {sympy.Pow, sympy.atan2, sympy.Mod, sympy.Heaviside}
ONE = [kind for kind in REAL_FUNCTIONS if kind not in LOGIC | RELATIONS | SEVERAL | TWO]


def exactly(expression, values):
    """Sympy's value to 30 digits as a float; NaN where it is not real."""
    put = {symbol: sympy.Float(value, 30) for symbol, value in values.items()}
    try:
        found = sympy.N(expression.subs(put), 30)
    except ValueError:  # mpmath's word for outside the domain
        return math.nan
    if found.is_extended_real is False or not found.is_number or found.has(sympy.zoo, sympy.nan):
        return math.nan
    real, imaginary = found.as_real_imag()
    return math.nan if abs(imaginary) > 1e-25 else float(real)


def agree(expression, points, dtype=torch.float64):
    like = torch.zeros((), dtype=dtype)
    for values in points:
        leaves = {symbol: torch.tensor(value, dtype=dtype) for symbol, value in values.items()}
        rounded = {symbol: float(leaf) for symbol, leaf in leaves.items()}
        ours, theirs = float(evaluate_real(expression, leaves, like)), exactly(expression, rounded)
        if math.isnan(theirs):
            assert not math.isfinite(ours), (expression, values, ours)
            continue
        close = 64 * torch.finfo(dtype).eps * max(1.0, abs(theirs)) * condition(expression, rounded)
        assert abs(ours - theirs) <= close, (expression, values, ours, theirs)


def condition(expression, values):
    """How much rounding of the arguments is magnified."""
    total = 1.0
    for symbol, value in values.items():
        step = 1e-7 * (1.0 + abs(value))
        ends = [exactly(expression, {**values, symbol: value + s * step}) for s in (1, -1)]
        if all(map(math.isfinite, ends)):
            total += (
                abs(ends[0] - ends[1]) / (2 * step) * (1.0 + abs(value)) / max(1.0, abs(exactly(expression, values)))
            )
    return total


def draws(symbols, count, scale, seed):
    rng = random.Random(seed)
    return [{symbol: rng.gauss(0.0, scale) for symbol in symbols} for _ in range(count)]


@pytest.mark.parametrize("kind", ONE, ids=lambda kind: kind.__name__)
def test_functions_of_one_number(kind):
    for scale in (0.5, 3.0):
        agree(kind(X), draws([X], 12, scale, seed=len(kind.__name__)))


@pytest.mark.parametrize("kind", sorted(SEVERAL | TWO, key=str), ids=lambda kind: kind.__name__)
def test_functions_of_several_numbers(kind):
    symbols = (X, Y) if kind in TWO else (X, Y, Z)
    expression = kind(*symbols)
    agree(expression, draws(symbols, 20, 2.0, seed=3))
    if kind in SEVERAL:
        agree(expression, draws(symbols, 10, 2.0, seed=4), dtype=torch.float32)


@pytest.mark.parametrize("exponent", [2, 3, -1, -2, 0.5, -0.5, 1.5, sympy.Rational(1, 3), sympy.pi, 7])
def test_powers(exponent):
    agree(X ** sympy.sympify(exponent), draws([X], 20, 2.0, seed=5))


def test_digamma():
    agree(sympy.digamma(X), [{X: value} for value in (0.3, 1.0, 2.5, 7.0, -0.4)])


@pytest.mark.parametrize("kind", sorted(RELATIONS, key=str), ids=lambda kind: kind.__name__)
def test_relations(kind):
    t = torch.tensor([-1.0, 0.0, 1.0])
    found = evaluate_real(kind(X, Y), {X: t, Y: torch.zeros(3)}, t)
    assert found.tolist() == [bool(kind(v, 0)) for v in (-1, 0, 1)]


def test_logic():
    a, b, c = X > 0, Y > 0, Z > 0
    grid = torch.tensor([[i >> k & 1 for k in range(3)] for i in range(8)], dtype=torch.float64) * 2 - 1
    leaves = {X: grid[:, 0], Y: grid[:, 1], Z: grid[:, 2]}
    statements = [
        sympy.And(a, b, c),
        sympy.Or(a, sympy.Not(b), c),
        sympy.Xor(a, b, c),
        sympy.Implies(a, sympy.And(b, c)),
        sympy.Equivalent(a, b, c),
        sympy.ITE(a, b, c),
        sympy.Nand(a, b),
    ]
    for s in statements:
        ours = evaluate_real(s, leaves, grid[:, 0]).tolist()
        assert ours == [bool(s.subs(dict(zip((X, Y, Z), row, strict=True)))) for row in grid.tolist()], s


def test_at_the_edges_nothing_is_clamped():
    t = torch.tensor([0.0, -1.0, 4.0], dtype=torch.float64)
    assert evaluate_real(sympy.sqrt(X), {X: t}, t).tolist()[0] == 0.0
    assert math.isnan(evaluate_real(sympy.sqrt(X), {X: t}, t).tolist()[1])
    assert evaluate_real(sympy.log(X), {X: t}, t).tolist()[0] == -math.inf
    assert evaluate_real(sympy.acot(X), {X: t}, t).tolist()[0] == pytest.approx(math.pi / 2)
    assert evaluate_real(sympy.sinc(X), {X: t}, t).tolist()[0] == 1.0
    assert evaluate_real(sympy.Heaviside(X), {X: t}, t).tolist() == [0.5, 0.0, 1.0]
    assert evaluate_real(sympy.Mod(X, 3), {X: t}, t).tolist() == [0.0, 2.0, 1.0]
    assert math.isnan(evaluate_real(sympy.gamma(X), {X: t}, t).tolist()[0])


def test_a_case_not_taken_passes_no_gradient():
    t = torch.tensor([-1.0, 0.0, 4.0], dtype=torch.float64, requires_grad=True)
    safe = sympy.Piecewise((sympy.sqrt(X), X > 0), (2 * X, True))
    (slope,) = torch.autograd.grad(evaluate_real(safe, {X: t}, t).sum(), t)
    assert slope.tolist() == [2.0, 2.0, 0.25]
    nowhere = sympy.Piecewise((X, X > 10), (sympy.sqrt(X - 100), X > 5))
    assert bool(evaluate_real(nowhere, {X: t}, t).isnan().all())


def test_cases_hold_functions_of_numbers_and_cases():
    t = torch.tensor([-3.0, -1.5, -0.5, 0.5, 2.0], dtype=torch.float64)
    inner = sympy.Piecewise((sympy.Min(X, -2), X < -1), (7, True))
    cases = sympy.Piecewise((sympy.Max(X, 1), X > 0), (1 + inner**2, True))
    for expression in (cases, 2 * cases, sympy.Piecewise((3, X > 0), (sympy.Max(1, cases), True))):
        expected = [float(expression.subs(X, x)) for x in t.tolist()]
        assert evaluate_real(expression, {X: t}, t).tolist() == expected


def test_derivatives_agree_with_sympy():
    expression = sympy.exp(-X) * sympy.sin(Y) + X**3 / (1 + Y**2) + sympy.atan2(X, Y) + sympy.erf(X * Y)
    for values in draws([X, Y], 5, 1.0, seed=9):
        leaves = {s: torch.tensor(v, dtype=torch.float64, requires_grad=True) for s, v in values.items()}
        value = evaluate_real(expression, leaves, torch.zeros((), dtype=torch.float64))
        grads = torch.autograd.grad(value, list(leaves.values()))
        for symbol, grad in zip(leaves, grads, strict=True):
            assert float(grad) == pytest.approx(exactly(expression.diff(symbol), values), rel=1e-11)


@pytest.mark.parametrize(
    "expression",
    [sympy.I * X, sympy.zeta(X), X + sympy.oo, sympy.Symbol("q"), sympy.Function("f")(X), sympy.besselj(0, X)],
)
def test_what_is_not_real_or_not_known_is_refused(expression):
    t = torch.ones(2)
    with pytest.raises(SpecificationError):
        evaluate_real(expression, {X: t}, t)


def test_numbers_are_real_and_finite():
    assert real_number(sympy.pi) == math.pi
    for wrong in (sympy.I, sympy.oo, sympy.zoo, sympy.nan, sympy.Integer(10) ** 400):
        with pytest.raises(SpecificationError, match="real and finite"):
            real_number(wrong)
