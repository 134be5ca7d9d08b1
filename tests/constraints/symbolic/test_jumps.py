"""Derivatives through jumps are refused by name; kinks, sources and the mixed form are let pass."""

import pytest
import torch
from sympy import (
    Abs,
    Derivative,
    Eq,
    Function,
    Heaviside,
    Integral,
    Max,
    Min,
    Piecewise,
    Rational,
    acot,
    asin,
    atan,
    ceiling,
    cos,
    exp,
    floor,
    frac,
    log,
    sign,
    sin,
    sqrt,
    symbols,
    tanh,
)
from torch import nn

from constraints import FieldEquation, Learnable, SpecificationError, declare

X, T = symbols("x t")
F, Q = Function("F")(X), Function("Q")(X)
U, H = Function("U")(X, T), Function("H")(X, T)
K = Piecewise((1, Rational(1, 2) > X), (10, True))
ENTHALPY = Piecewise((2 * U + 80, U > 0), (U, True))
CONDUCTIVITY = Piecewise((3, U > 1), (1, True))
KINK = Piecewise((1, Rational(1, 2) > X), (X + Rational(1, 2), True))


@pytest.mark.parametrize(
    "gap",
    [
        (K * F.diff(X)).diff(X),
        (-K * F.diff(X)).diff(X) + F,
        Derivative(K * F.diff(X), X),
        Derivative(K * F, X),
        (K * F).diff(X),
        K.subs(X, 2 * X - 1) * F.diff(X, 2) - 1,
        (K * F).diff(X) - F.diff(X, 2),
        (K * F).diff(X) - F.diff(X, 3),
        Piecewise((1, X < 0.2), (2, X < 0.8), (1, True)) * F.diff(X, 2),
        (Heaviside(X - 1) * F.diff(X)).diff(X),
        (sign(X) * F).diff(X),
        (floor(X) * F).diff(X),
        (ceiling(X) * F).diff(X),
        (frac(X) * F).diff(X),
        floor(F).diff(X),
        sign(F).diff(X),
        Heaviside(F).diff(X) - 1,
    ],
    ids=str,
)
def test_jumps_along_a_coordinate_or_of_the_field(gap):
    with pytest.raises(SpecificationError, match=r"jump.*field of its own|is lost.*mixed form"):
        declare(Eq(gap, 0), fields=[F], domain={X: (-1, 2)})


@pytest.mark.parametrize(
    "gap",
    [
        Derivative(Piecewise((U + 80, U > 0), (U, True)), T) - U.diff(X, 2),
        ENTHALPY.diff(T) - U.diff(X, 2),
        U.diff(T) - (CONDUCTIVITY * U.diff(X)).diff(X),
        U.diff(T) - (K * U.diff(X)).diff(X),
        (K * U.diff(T)).diff(X),
        U.diff(T) + (K * U).diff(X),
    ],
    ids=str,
)
def test_jumps_over_time(gap):
    with pytest.raises(SpecificationError, match=r"rule `.*jump.*mixed form"):
        declare(Eq(gap, 0), fields=[U], domain={X: (0, 1), T: (0, 1)})


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        ([Eq(Q, -K * F.diff(X)), Eq(Q.diff(X), 0)], [F, Q]),
        ([Eq((KINK * F.diff(X)).diff(X), 0)], [F]),
        ([Eq((Piecewise((1, Rational(1, 4) > X**2), (4 * X**2, True)) * F.diff(X)).diff(X), 0)], [F]),
        ([Eq(Piecewise((0.3, X < 0.1), (3.0 * X, True)) * F.diff(X, 2), 1)], [F]),
        ([Eq(Piecewise((1, Eq(X, 0)), (X**2 + 1, True)) * F.diff(X, 2), 1)], [F]),
        ([Eq(F.diff(X, 2), (1 + 9 * Heaviside(X - 1)) * F.diff(X))], [F]),
        ([Eq(F.diff(X, 2), K)], [F]),
        ([Eq(F.diff(X, 2), K * F)], [F]),
        ([Eq(F.diff(X, 2), 1 / K)], [F]),
        ([Eq(Abs(X - 2) * F.diff(X, 2), 1)], [F]),
        ([Eq((Abs(X - Rational(1, 2)) * F.diff(X)).diff(X), 1)], [F]),
        ([Eq(Abs(F).diff(X), 1)], [F]),
        ([Eq(F.diff(X, 2) + Max(0, F), 0)], [F]),
        ([Eq(K * U.diff(T), U.diff(X, 2))], [U]),  # a heat capacity: nothing is differentiated along x
        ([Eq(H.diff(T), U.diff(X, 2)), Eq(H, ENTHALPY)], [U, H]),
    ],
    ids=str,
)
def test_what_has_no_derivative_of_a_jump_is_let_pass(parts, fields):
    rule = declare(parts, fields=fields)
    assert isinstance(rule, FieldEquation)
    value = rule.quantity(nn.Linear(len(fields[0].args), len(fields)), torch.rand(4, len(fields[0].args)))
    assert bool(value.isfinite().all())


SQUARE = {X: (0, 1), T: (0, 1)}


@pytest.mark.parametrize(
    "heat",
    [
        Abs(U) / U,
        U / Abs(U),
        U + 5 * U / Abs(U),
        Max(U, 0) / U,
        U + 7 * Abs(U - 1) / (U - 1),
        Abs(U**3) / U**3,
        (Max(U, 0) + 3 * Min(U, 0)) / U,
        sin(Abs(U)) / U,
    ],
    ids=str,
)
@pytest.mark.parametrize("others", [[], [H]], ids=["one field", "two fields"])
def test_a_derivative_that_cancels_on_both_sides_of_a_jump(heat, others):
    """Of `Abs(u) / u` sympy leaves `sign(u) / u - Abs(u) / u**2` times the derivative of `u`, which is 0."""
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq(heat.diff(T), others[0].diff(X) if others else U.diff(X, 2)), fields=[U, *others], domain=SQUARE)


@pytest.mark.parametrize("heat", [1 / Abs(U), U / (1 + Abs(U)), Abs(U) ** 3 / U, Abs(U) * U], ids=str)
def test_kinks_beside_poles_are_let_pass(heat):
    declare(Eq(heat.diff(T), U.diff(X, 2)), fields=[U], domain=SQUARE)


def test_a_heat_that_is_continuous_and_written_as_a_derivative_is_let_pass():
    heat = Derivative(Piecewise((2 * U, U > 0), (U, True)), T)
    rule = declare(Eq(heat, U.diff(X, 2)), fields=[U], domain=SQUARE, draws=0)
    points = torch.tensor([[0.3, 0.4], [0.6, 0.2]], dtype=torch.float64)

    class Plane(nn.Module):
        def forward(self, x):
            return 3 * x[..., 1:] - 1  # 0.2 and -0.4, of slope 3 in time

    assert rule.quantity(Plane(), points).flatten().tolist() == pytest.approx([6.0, 3.0])


@pytest.mark.parametrize(
    "integrand",
    [(K * F.diff(X)).diff(X), Derivative(K * F.diff(X), X), ((2 + Abs(X - 0.4) / (X - 0.4)) * F.diff(X)).diff(X)],
    ids=str,
)
def test_a_derivative_through_a_jump_in_an_integral(integrand):
    s = symbols("s")
    for inner, variable in ((integrand, X), (integrand.subs(X, s).doit(), s)):
        with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
            declare(Eq(Integral(inner, (variable, 0, 1)), 0), fields=[F], domain={X: (0, 1)})
        declare(Eq(Integral(inner, (variable, Rational(1, 2), 1)), 0), fields=[F], domain={X: (0, 1)})


@pytest.mark.parametrize("place", [40.3, -1e4, 0.3])
def test_a_jump_far_away_without_a_domain(place):
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq(((2 + Abs(X - place) / (X - place)) * F.diff(X)).diff(X), 0), fields=[F])


def test_a_layer_between_two_jumps():
    k = 2 + Abs(X - 0.4) / (X - 0.4) - Abs(X - 0.40001) / (X - 0.40001)
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq((k * F.diff(X)).diff(X), 0), fields=[F], domain={X: (0, 1)})


@pytest.mark.parametrize("gap", [Derivative(Abs(F), X, 2), Abs(F).diff(X, 2), Derivative(Abs(X - 0.5) * F, X, 2)])
def test_the_second_derivative_of_a_kink(gap):
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq(gap, 1), fields=[F], domain={X: (0, 1)})


@pytest.mark.parametrize(
    ("k", "ends", "inside"),
    [
        (1 + Heaviside(X), (0, 1), 2),
        (Piecewise((1, X < 1), (5, True)), (0, 1), 1),
        (2 + Abs(X) / X, (0, 1), 3),
        (1 + floor(X), (0, 0.5), 1),
        (1 + ceiling(X), (0, 1), 2),
        (2 + floor(X), (-1, 0), 1),
        (2 + frac(X), (0, 1), 2.5),
    ],
    ids=str,
)
def test_a_jump_at_the_end_of_a_domain_is_none(k, ends, inside):
    low, high = ends
    rule = declare(Eq(Derivative(k * F, X), 0), fields=[F], domain={X: ends}, draws=0)
    middle = torch.tensor([[(low + high) / 2]], dtype=torch.float64)
    slope = float(middle) if k.has(frac) else 0.0
    assert float(rule.quantity(nn.Identity(), middle)) == pytest.approx(inside + slope)
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq(Derivative(k * F, X), 0), fields=[F], domain={X: (low - 0.6, high + 0.6)})


HIDDEN = [
    Abs(X - Rational(1, 3)) / (X - Rational(1, 3)),
    sqrt((X - Rational(1, 3)) ** 2) / (X - Rational(1, 3)),
    Max(X - Rational(1, 3), 0) / (X - Rational(1, 3)),
    atan(1 / (X - Rational(1, 3))),
    acot(X - Rational(1, 3)),
    sin(3 * X - 1) / sqrt(1 - cos(3 * X - 1) ** 2),  # only rounding within 1e-8 of it
]
LEARNT = symbols("h")


@pytest.mark.parametrize("place", [Rational(1, 2), Rational(1, 4), Rational(3, 8), Rational(1, 1024), Rational(3, 10)])
@pytest.mark.parametrize("root", [False, True])
def test_jumps_at_round_places(place, root):
    """The grid of the search has no round numbers, at which the quotient is 0 / 0."""
    k = 3 + (sqrt((X - place) ** 2) if root else Abs(X - place)) / (X - place)
    for gap in ((k * F.diff(X)).diff(X), Derivative(k * F.diff(X), X)):
        with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
            declare(Eq(gap, 0), fields=[F], domain={X: (0, 1)})


@pytest.mark.parametrize("step", HIDDEN, ids=str)
@pytest.mark.parametrize("evaluate", [True, False])
def test_jumps_that_show_in_the_values_alone(step, evaluate):
    gap = Derivative((step + 2) * F.diff(X), X, evaluate=evaluate)
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq(gap, 0), fields=[F], domain={X: (0, 1)})
    declare(Eq(gap, 0), fields=[F], domain={X: (0.5, 1)})  # the jump is outside
    declare(Eq(F.diff(X, 2), step), fields=[F], domain={X: (0, 1)})  # a source


@pytest.mark.parametrize(
    ("heat", "domain"),
    [(U + 5 * Abs(U) / U, {X: (0, 1), T: (0, 1)}), (U + atan(1 / U), {X: (0, 1), T: (0, 1)})],
    ids=str,
)
def test_jumps_of_the_field_that_show_in_the_values_alone(heat, domain):
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq(Derivative(heat, T), U.diff(X, 2)), fields=[U], domain=domain)


@pytest.mark.parametrize(
    "k",
    [
        Piecewise((1, X < 2), (10, True)),
        Piecewise((1, X > -1), (10, True)),
        2 + sign(X + 1),
        1 + Heaviside(X - 3),
        Abs(X - Rational(1, 3)) + 1,
        Abs(X + 1) / (X + 1),
        1 / X,
        sqrt(X + 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("evaluate", [True, False])
def test_a_coefficient_without_a_jump_in_the_domain_is_let_pass(k, evaluate):
    gap = Derivative(k * F.diff(X), X, evaluate=evaluate)
    rule = declare(Eq(gap, 0), fields=[F], domain={X: (0, 1)}, draws=0)
    place = torch.tensor([[0.7]], dtype=torch.float64)
    right = float((k.subs(X, 0.7 + 1e-6) - k.subs(X, 0.7 - 1e-6)) / 2e-6)
    value = rule.quantity(nn.Identity(), place)  # T = x: (k T')' = k'
    assert float(value.detach()) == pytest.approx(right, abs=1e-7)


@pytest.mark.parametrize("place", [0.1, 0.37, 0.8])
@pytest.mark.parametrize("step", [Abs(X - LEARNT) / (X - LEARNT), atan(1 / (X - LEARNT))], ids=str)
def test_a_jump_at_a_learnt_place(step, place):
    options = {"fields": [F], "domain": {X: (0, 1)}, "parameters": {LEARNT: Learnable(initial=place)}}
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq(((step + 2) * F.diff(X)).diff(X), 0), **options)


def test_a_kink_that_shows_in_the_values_alone():
    """asin(sin(6 x)) has kinks: one derivative of it jumps and is let pass, the second would lose the jump."""
    wave = asin(sin(6 * X))
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq((wave * F).diff(X, 2), 1), fields=[F], domain={X: (0, 1)})
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq(asin(sin(6 * U)).diff(X, 2), 1), fields=[U], domain={X: (0, 1), T: (0, 1)})
    declare(Eq((wave * F.diff(X)).diff(X), 1), fields=[F], domain={X: (0, 1)})


@pytest.mark.parametrize(
    "k", [tanh(1e5 * X - 3e4), sqrt(X), log(X + 1e-9), sin(1 / (X + 0.01)), exp(1000 * X), exp(-1e6 * X)], ids=str
)
def test_a_steep_coefficient_is_no_jump(k):
    declare(Eq(((k + 2) * F.diff(X)).diff(X), 0), fields=[F], domain={X: (0, 1)})


def test_an_edge_at_an_angle_is_found_near_a_corner():
    v, y = Function("v")(X, symbols("y")), symbols("y")
    k = Piecewise((1, X + y < 1.9), (2, True))
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq((k * v.diff(X)).diff(X), 0), fields=[v], domain={X: (0, 1), y: (0, 1)})
    declare(Eq((k * v.diff(X)).diff(X), 0), fields=[v], domain={X: (0, 0.9), y: (0, 0.9)})


def test_the_mixed_form_tells_the_right_temperature_from_the_wrong_one():
    """T(0) = 0, T(1) = 1 and a tenfold conductivity on the right: T(1/2) = 10/11; T = x has two fluxes."""
    rule = declare([Eq(Q, -K * F.diff(X)), Eq(Q.diff(X), 0)], fields=[F, Q], domain={X: (0, 1)}, draws=0)

    class Rod(nn.Module):
        def __init__(self, middle):
            super().__init__()
            self.middle = middle

        def forward(self, x):
            left = 2 * self.middle * x
            right = self.middle + (1 - self.middle) * (2 * x - 1)
            flux = -torch.where(x < 0.5, 0.0 * x + 2 * self.middle, 0.0 * x + 20 * (1 - self.middle))
            return torch.cat([torch.where(x < 0.5, left, right), flux], dim=-1)

    x = torch.tensor([[0.2], [0.8]], dtype=torch.float64)
    true, wrong = Rod(10 / 11), Rod(0.5)
    assert float(rule.quantity(true, x).detach().abs().max()) < 1e-12
    assert float((true(x)[0, 1] - true(x)[1, 1]).abs()) < 1e-12
    assert float((wrong(x)[0, 1] - wrong(x)[1, 1]).abs()) > 5  # what q' = 0 in the mean sees


TABLE = Piecewise((1 + F, Rational(1, 2) > F), (Rational(3, 2), True))
BEND = Piecewise((1 + (X - Rational(1, 2)) ** 2, Rational(1, 2) < X), (1, True))


@pytest.mark.parametrize(
    "gap",
    [
        (TABLE * F.diff(X)).diff(X),
        Piecewise((F**2, F > 0), (0, True)).diff(X, 2),
        (Max(F, 0) ** 2).diff(X, 2),
        (Max(F, 0) ** 3).diff(X, 2),
        (BEND * F.diff(X, 2)).diff(X, 2),
    ],
    ids=str,
)
def test_slopes_of_continuous_coefficients_may_jump(gap):
    rule = declare(Eq(gap, 0), fields=[F], domain={X: (0, 1)}, draws=0)
    assert bool(
        rule.quantity(nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)), torch.rand(9, 1)).isfinite().all()
    )


@pytest.mark.parametrize(
    "gap",
    [
        (Piecewise((1 + F, Rational(1, 2) > F), (3, True)) * F.diff(X)).diff(X),
        (Piecewise((X + Rational(1, 2), Rational(1, 2) < X), (1, True)) * F.diff(X, 2)).diff(X, 2),
    ],
    ids=["value", "slope twice"],
)
def test_coefficients_that_jump_beside_a_slope(gap):
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq(gap, 1), fields=[F], domain={X: (0, 1)})


@pytest.mark.parametrize("integrand", [K * F.diff(X) * cos(X), K * F.diff(X) ** 2], ids=["weak form", "energy"])
def test_the_weak_form_is_let_pass(integrand):
    rule = declare(Eq(Integral(integrand, (X, 0, 1)), 0), fields=[F], domain={X: (0, 1)}, draws=0)
    value = rule.quantity(nn.Identity(), torch.zeros(1, 1, dtype=torch.float64))
    right = {True: 10 * sin(1) - 9 * sin(Rational(1, 2)), False: Rational(11, 2)}[integrand.has(cos)]
    assert float(value.detach()) == pytest.approx(float(right), abs=0.3)  # the nodes do not resolve the jump


@pytest.mark.parametrize("along", [T, X])
def test_a_density_that_jumps_with_another_field(along):
    """`(rho(phi) v)_t` of sympy is `rho v_t`: where the front passes, the momentum jumps."""
    density = Piecewise((1, H > 0), (10, True))
    with pytest.raises(SpecificationError, match=r"jump.*mixed form"):
        declare(Eq((density * U).diff(along), 0), fields=[U, H], domain=SQUARE)
    own = Piecewise((1, U > 0), (3, True))
    declare([Eq(H, -own * U.diff(X)), Eq(H.diff(X), U.diff(T))], fields=[U, H], domain=SQUARE)
