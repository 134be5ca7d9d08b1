"""Named equations: known solutions solve them, jets equal nested autograd, residuals are sympy's."""

import math

import pytest
import sympy
import torch
from sympy import Eq, Function, Rational, cos, cosh, exp, pi, sin, sqrt, symbols, tanh
from torch import nn

from constraints import SpecificationError, declare, equations
from constraints.fields import Derivatives
from constraints.symbolic.formula_field import FormulaField

X, Y, T = symbols("x y t", real=True)
U, V, P = (Function(name) for name in "uvp")
RATE = 20 - sqrt(400 + 4 * pi**2)  # Kovasznay's flow at Re = 40

SLOW = tanh(X / (2 * sqrt(19)))
SHOCK = 15 / (19 * sqrt(19)) * (SLOW**3 - 3 * SLOW)

SOLVED = {
    "poisson": ([U(X, Y)], equations.poisson(U(X, Y), 2 * sin(X) * cos(Y)), [sin(X) * cos(Y)]),
    "helmholtz": ([U(X, Y)], equations.helmholtz(U(X, Y), 5), [sin(3 * X) * cos(4 * Y)]),
    "heat": ([U(X, Y, T)], equations.heat(U(X, Y, T), 3), [exp(-6 * T) * sin(X) * cos(Y)]),
    "heat, varying": ([U(X, T)], equations.heat(U(X, T), 1 + X, -1), [X]),
    "advection_diffusion": (
        [U(X, T)],
        equations.advection_diffusion(U(X, T), [2], Rational(1, 2)),
        [exp(-T / 2) * sin(X - 2 * T)],
    ),
    "allen_cahn": (
        [U(X, T)],
        equations.allen_cahn(U(X, T), 1, 1),
        [(1 - tanh((X - 3 * T / sqrt(2)) / (2 * sqrt(2)))) / 2],
    ),
    "wave": ([U(X, T)], equations.wave(U(X, T), 2), [sin(X - 2 * T) + (X + 2 * T) ** 3]),
    "burgers": ([U(X, T)], equations.burgers(U(X, T), Rational(1, 10)), [1 - tanh((X - T) * 5)]),
    "korteweg_de_vries": ([U(X, T)], equations.korteweg_de_vries(U(X, T)), [2 / cosh(X - 4 * T) ** 2]),
    "kuramoto_sivashinsky": (
        [U(X, T)],
        equations.kuramoto_sivashinsky(U(X, T), growth=-1),
        [SHOCK],
    ),
    "schroedinger": (
        [U(X, T), V(X, T)],
        equations.schroedinger(U(X, T), V(X, T), nonlinearity=1),
        [cos(T / 2) / cosh(X), sin(T / 2) / cosh(X)],
    ),
    "navier_stokes": (
        [U(X, Y), V(X, Y), P(X, Y)],
        equations.navier_stokes(U(X, Y), V(X, Y), P(X, Y), Rational(1, 40)),
        [1 - exp(RATE * X) * cos(2 * pi * Y), RATE / (2 * pi) * exp(RATE * X) * sin(2 * pi * Y),
         (1 - exp(2 * RATE * X)) / 2],
    ),
    "navier_stokes, time": (
        [U(X, Y, T), V(X, Y, T), P(X, Y, T)],
        equations.navier_stokes(U(X, Y, T), V(X, Y, T), P(X, Y, T), Rational(1, 10), density=2),
        [cos(X) * sin(Y) * exp(-T / 5), -sin(X) * cos(Y) * exp(-T / 5),
         -(cos(2 * X) + cos(2 * Y)) * exp(-2 * T / 5) / 2],
    ),
    "navier_stokes_stream": (
        [U(X, Y, T)],
        equations.navier_stokes_stream(U(X, Y, T), Rational(1, 10)),
        [-cos(X) * cos(Y) * exp(-T / 5)],
    ),
    "linear_elasticity": (
        [U(X, Y), V(X, Y)],
        equations.linear_elasticity(U(X, Y), V(X, Y), 2, 1, (sin(X) * 4, -2)),
        [sin(X), Y**2 / 4],
    ),
    "linear_elasticity, time": (
        [U(X, Y, T), V(X, Y, T)],
        equations.linear_elasticity(U(X, Y, T), V(X, Y, T), 2, 1),
        [sin(X - 2 * T), sin(X - T)],
    ),
    "pendulum": ([U(T)], equations.pendulum(U(T), damping=Rational(1, 2)), [pi]),
    "lotka_volterra": ([U(T), V(T)], equations.lotka_volterra(U(T), V(T), 2, 4, 1, 3), [3, Rational(1, 2)]),
    "lorenz": ([U(T), V(T), P(T)], equations.lorenz(U(T), V(T), P(T)), [sqrt(72), sqrt(72), 27]),
    "sir": ([U(T), V(T), P(T)], equations.sir(U(T), V(T), P(T), 2, 1), [1, 0, 5]),
}  # fmt: skip


class Plain(nn.Module):
    """A network that jets cannot pass."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)


def points(n, d):
    return 0.1 + 0.8 * torch.rand(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", [name for name in SOLVED if name != "kuramoto_sivashinsky"])
def test_known_solutions_solve_them(name):
    fields, statement, solution = SOLVED[name]
    rule = declare(statement, fields=fields)
    p = points(7, len(fields[0].args))
    assert float(rule.measure(FormulaField(solution, fields[0].args), p, p).max()) < 1e-9
    moved = [s + sin(sum(fields[0].args)) / 3 for s in solution]
    assert float(rule.measure(FormulaField(moved, fields[0].args), p, p).max()) > 1e-3


@pytest.mark.parametrize("name", SOLVED)
def test_jets_equal_nested_autograd(name):
    fields, statement, _ = SOLVED[name]
    rule = declare(statement, fields=fields)
    d = len(fields[0].args)
    for seed, activation in enumerate([nn.Tanh, nn.SiLU, nn.GELU]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(d, 12), activation(), nn.Linear(12, 12), activation(), nn.Linear(12, len(fields))
        ).double()
        p = points(5, d)
        assert "jets" in Derivatives([(1,) + (0,) * (d - 1)]).explain(network)
        torch.testing.assert_close(rule.quantity(network, p), rule.quantity(Plain(network), p), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", SOLVED)
def test_residuals_are_those_of_sympy(name):
    fields, statement, _ = SOLVED[name]
    coordinates = fields[0].args
    trial = [sin(1 + i + sum((2 + i + j) * x / 4 for j, x in enumerate(coordinates))) for i in range(len(fields))]
    rule = declare(statement, fields=fields)
    p = points(4, len(coordinates))
    found = rule.quantity(FormulaField(trial, coordinates), p)
    relations = statement if isinstance(statement, list) else [statement]
    for column, relation in zip(found.unbind(-1), relations, strict=True):
        gap = (relation.lhs - relation.rhs).subs(dict(zip(fields, trial, strict=True))).doit()
        truth = sympy.lambdify(coordinates, gap + 0 * coordinates[0], "math")
        expected = torch.tensor([truth(*row) for row in p.tolist()], dtype=torch.float64)
        torch.testing.assert_close(column, expected, rtol=1e-9, atol=1e-9)


def test_every_equation_is_tested():
    tested = {name.split(",")[0] for name in SOLVED}
    assert tested == set(equations.__all__)


def test_the_pendulum_swings_as_long_as_its_energy_says():
    small = sympy.Rational(1, 10**4) * cos(sqrt(Rational(981, 100)) * T)
    rule = declare(equations.pendulum(U(T)), fields=[U(T)])
    p = points(7, 1)
    assert float(rule.measure(FormulaField([small], [T]), p, p).max()) < 1e-10
    assert math.isclose(float(equations.pendulum(U(T)).lhs.coeff(sin(U(T)))), 9.81)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: equations.heat(U(T), 1), "places and then a time"),
        (lambda: equations.burgers(U(X, Y, T), 1), "one place and a time"),
        (lambda: equations.advection_diffusion(U(X, T), [1, 2], 0), "velocity of 1 components, got"),
        (lambda: equations.schroedinger(U(X, T), V(T, X)), "same arguments"),
        (lambda: equations.navier_stokes(U(X, Y), V(X, Y), P(X), 1), r"same \(x, y\)"),
        (lambda: equations.linear_elasticity(U(X, Y), V(X, Y), 1, 1, (0,)), "force of 2 components"),
        (lambda: equations.lorenz(U(T), V(T), P(X)), "functions of one time"),
        (lambda: equations.pendulum(U(X, T)), "functions of one time"),
    ],
)
def test_mistakes_are_named(make, told):
    with pytest.raises(SpecificationError, match=told):
        make()


def test_a_statement_is_an_equation_of_sympy():
    assert isinstance(equations.poisson(U(X, Y)), Eq)
