"""Equations in other units: residuals are those of SI, kinds agree; dimensionless forms have the same solutions."""

import pytest
import sympy
import torch
from sympy import Eq, Function, Integral, Rational, exp, pi, sin
from sympy.physics.units import centimeter, gram, kelvin, meter, minute, pascal, second

from constraints import Learnable, SpecificationError, declare, equations
from constraints.symbolic.formula_field import FormulaField
from constraints.symbolic.rescale import nondimensionalise, rescale

X, T, K = sympy.symbols("x t k", real=True)
NAME = Function("u")
U = NAME(X, T)
TRUTH = exp(-2 * T) * sin(3 * X) + X * T**2
SCALES = {X: Rational(5, 2), T: 3, U: 7}
STATEMENTS = [
    U.diff(T) + U * U.diff(X) - 2 * U.diff(X, 2) + X,
    NAME(1, T) - T,
    U.diff(X).subs(X, 0) + 2 * NAME(0, T),
    U.diff(X, 2, T).subs(T, Rational(1, 2)) - X**2,
    NAME(-X, T) + U,
    Integral(U * X, (X, 0, 2)) - T,
    U.diff(X, T) * sin(X),
    sympy.Subs(U.diff(X) + U, X, 5),
]
UNITS = {X: centimeter, T: minute, U: kelvin}


@pytest.mark.parametrize("statement", STATEMENTS, ids=str)
def test_a_rescaled_statement_says_the_same(statement):
    """Of the field `u = 7 w(x / 2.5, t / 3)`, at the place that is called otherwise."""
    small = TRUTH.subs({X: Rational(5, 2) * X, T: 3 * T}, simultaneous=True) / 7
    moved = rescale(statement, [U], SCALES)
    there = {X: Rational(3, 10), T: Rational(2, 5)}
    here = {X: Rational(3, 10) * Rational(5, 2), T: Rational(2, 5) * 3}

    def value(e, field, at):
        put = e.replace(NAME, lambda a, b: field.subs({X: a, T: b}, simultaneous=True)).doit()
        return float(put.subs(at))

    assert value(moved, small, there) == pytest.approx(value(statement, TRUTH, here), rel=1e-9, abs=1e-12)


def test_dimensionless_equations():
    heat = equations.heat(U, Rational(1, 10**4))
    found = nondimensionalise(heat, [U], {X: Rational(1, 10), T: 60, U: 300})
    assert found.groups == ((1, Rational(3, 5)),)
    several = nondimensionalise([heat, Eq(NAME(Rational(1, 10), T), 600)], [U], {X: Rational(1, 10), T: 60, U: 300})
    assert len(several.statements) == 2
    rule = declare(several.statements[1], fields=[U])
    p = torch.rand(5, 2, dtype=torch.float64)
    real = {s: s for s in (X, T)}
    assert float(rule.measure(FormulaField([2 * X.xreplace(real)], [X, T]), p, p).max()) < 1e-12
    length, speed, nu = sympy.symbols("L V nu", positive=True)
    burgers = nondimensionalise(equations.burgers(U, nu), [U], {X: length, T: length / speed, U: speed})
    assert burgers.groups[0][-1] == nu / (length * speed)  # one over Reynolds' number


@pytest.mark.parametrize(
    "scales", [{X: 0}, {X: -2}, {K: 1}, {NAME(T, X): 2}], ids=["zero", "negative", "a parameter", "another field"]
)
def test_scales_that_are_none_are_refused(scales):
    with pytest.raises(SpecificationError, match="scales need to be positive"):
        rescale(U.diff(T), [U], scales)
    with pytest.raises(SpecificationError, match="equations or inequalities"):
        nondimensionalise([U], [U], {})


def test_residuals_are_in_si_units():
    """Diffusivity 1 cm^2/s, coordinates in centimetres and minutes: residuals in kelvin per second."""
    heat = Eq(U.diff(T), (centimeter**2 / second) * U.diff(X, 2))
    rule = declare(heat, fields=[U], units=UNITS)
    assert rule.unit == "s^-1 K"
    p = torch.rand(6, 2, dtype=torch.float64)
    found = rule.quantity(FormulaField([TRUTH], [X, T]), p)[:, 0]
    plain = declare(Eq(U.diff(T) / 60, U.diff(X, 2)), fields=[U])  # by hand: cm^2/s times K/cm^2 is K/s
    torch.testing.assert_close(found, plain.quantity(FormulaField([TRUTH], [X, T]), p)[:, 0])


def test_conditions_with_units_can_be_hard():
    wall = declare(Eq(U.subs(X, meter / 10), 300 * kelvin), fields=[U], units=UNITS, domain={X: (0, 10), T: (0, 1)})
    (pin,) = wall.conditions
    assert (float(pin.at), float(pin.value)) == (10.0, 300.0)  # in the coordinates of the model


def test_parameters_have_units():
    rule = declare(
        Eq(U.diff(T), K * U.diff(X, 2)),
        fields=[U],
        units={**UNITS, K: centimeter**2 / minute},
        parameters={K: Learnable(initial=2.0)},
    )
    by_hand = declare(Eq(U.diff(T) / 60, 2 * U.diff(X, 2) / 60), fields=[U])
    p, field = torch.rand(6, 2, dtype=torch.float64), FormulaField([TRUTH], [X, T])
    torch.testing.assert_close(rule.quantity(field, p), by_hand.quantity(field, p))


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (Eq(U.diff(T), U.diff(X, 2)), "units need to agree"),
        (Eq(U, 3), r"u\(x, t\) is in K, 3 is in 1"),
        (Eq(NAME(1, T), 0), "x is in m, its place 1 is in 1"),
        (Eq(U.diff(X).subs(X, 2 * second), 0), r"x is in m, its place 2\*second is in s"),
        (Eq(Integral(U, (X, 0, meter)), 3 * kelvin), "m K"),
        (Eq(sin(U), 0), "cancel inside sin"),
        (Eq(U.diff(T) + gram * pascal, 0), "units need to agree"),
        (Eq(Function("v")(X), 0), "among its fields"),
    ],
    ids=str,
)
def test_kinds_must_agree(statement, told):
    with pytest.raises(SpecificationError, match=told):
        declare(statement, fields=[U], units=UNITS)


def test_what_agrees_is_let_pass():
    for statement in [
        Eq(NAME(0, T), 0),
        Eq(Integral(U, (X, 0, meter)), 3 * kelvin * meter),
        Eq(U.subs(X, 2 * meter) - U, 5 * kelvin),
        Eq(sin(U / kelvin) * pi, 0),
        3 * kelvin <= U,
    ]:
        assert declare(statement, fields=[U], units=UNITS).name


def test_what_cannot_be_rescaled_is_said():
    y = sympy.Symbol("y")
    with pytest.raises(SpecificationError, match="needs a coordinate to be along, got y"):
        rescale(Integral(NAME(y, T), (y, 0, X)), [U], SCALES)
    with pytest.raises(SpecificationError, match="needs equations or inequalities, got True"):
        nondimensionalise(Eq(U, U), [U], SCALES)


def test_sums_at_a_place_have_units():
    told = {"fields": [U], "units": UNITS}
    apart = declare(Eq(U.diff(X).subs(X, 0) * meter + NAME(0, T), 5 * kelvin), **told)
    together = declare(Eq(sympy.Subs(U.diff(X) * meter + U, X, 0), 5 * kelvin), **told)
    assert together.relations == apart.relations
