"""Text never reaches sympy, which would evaluate it as code."""

import re
from pathlib import Path

import numpy as np
import pytest
import sympy
from sympy.physics.units import meter

import constraints
from constraints import Convex, FieldEquation, Learnable, SpecificationError, declare, nondimensionalise, normal
from constraints import equations as named
from constraints.symbolic.formula_field import FormulaField
from constraints.symbolic.rescale import rescale
from constraints.symbolic.units import in_si, scale_of

ROOT = Path(constraints.__file__).parents[1]
A, B, X, T, K = sympy.symbols("a b x t k")
U, V, W = (sympy.Function(name)(X, T) for name in "uvw")
P, Q, R = (sympy.Function(name)(X, B) for name in "pqr")
Y1, Y2, Y3 = (sympy.Function(name)(T) for name in ("y1", "y2", "y3"))
HEAT = sympy.Eq(U.diff(T), U.diff(X, 2))
EVALUATES = re.compile(r"\b(sympify|parse_expr|lambdify|nsimplify|sympy\.S|eval|exec)\(")
CHECKED = {
    "constraints/sympy_input.py",  # the type is checked in the line before
    "constraints/symbolic/potential.py",  # the slope of an expression
    "benchmarks/fields/allen_cahn.py",  # of a float
}


def test_no_source_gives_what_may_be_text_to_sympy():
    found = {
        str(file.relative_to(ROOT))
        for folder in ("constraints", "dkmodels", "benchmarks")
        for file in (ROOT / folder).rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if EVALUATES.search(re.sub(r"\.eval\(", "", line.split("#")[0]))
    }
    assert found == CHECKED


CALLS = {
    "unit": lambda s: declare(A <= 1, outputs=[A], units={A: s}),
    "unit of": lambda s: declare(A <= 1, outputs=[A], units={s: meter}),
    "unit of a field": lambda s: declare(HEAT, fields=[U], units={U: s}),
    "unit of a coordinate": lambda s: declare(HEAT, fields=[U], units={X: s}),
    "in_si": lambda s: in_si(A <= 1, {A: s}),
    "scale_of": lambda s: scale_of(s),
    "statement": lambda s: declare(s, outputs=[A]),
    "statement in a list": lambda s: declare([A <= 1, s], outputs=[A]),
    "statement on fields": lambda s: declare([HEAT, s], fields=[U]),
    "outputs": lambda s: declare(A <= 1, outputs=[A, s]),
    "outputs as text": lambda s: declare(A <= 1, outputs=s),
    "outputs by column": lambda s: declare(A <= 1, outputs={s: 0}),
    "inputs": lambda s: declare(A <= X, outputs=[A], inputs=[s]),
    "inputs by column": lambda s: declare(A <= X, outputs=[A], inputs={s: 0}),
    "inputs of fields": lambda s: declare(U.diff(X) >= 0, fields=[U], inputs={s: 0}),
    "parameters": lambda s: declare(A <= K, outputs=[A], parameters={s: Learnable(initial=1.0)}),
    "parameters of fields": lambda s: declare(HEAT, fields=[U], parameters={s: Learnable(initial=1.0)}),
    "a learnable": lambda s: declare(A <= K, outputs=[A], parameters={K: s}),
    "margin": lambda s: declare(A < 1, outputs=[A], margin=s),
    "threshold": lambda s: declare(~A, outputs=[A], threshold=s),
    "fields": lambda s: declare(HEAT, fields=[U, s]),
    "fields as text": lambda s: declare(HEAT, fields=s),
    "domain": lambda s: declare(HEAT, fields=[U], domain=s),
    "domain of": lambda s: declare(HEAT, fields=[U], domain={X: (0, 1), s: (0, 1)}),
    "low": lambda s: declare(HEAT, fields=[U], domain={X: (s, 1), T: (0, 1)}),
    "high": lambda s: declare(HEAT, fields=[U], domain={X: (0, s), T: (0, 1)}),
    "bounds": lambda s: declare(HEAT, fields=[U], domain={X: s, T: (0, 1)}),
    "nodes": lambda s: declare(sympy.Eq(sympy.Integral(U, (X, 0, 1)), 1), fields=[U], nodes=s),
    "draws": lambda s: declare(HEAT, fields=[U], domain={X: (0, 1), T: (0, 1)}, draws=s),
    "FieldEquation": lambda s: FieldEquation([s], [U]),
    "fields of FieldEquation": lambda s: FieldEquation([HEAT], [s]),
    "parameters of FieldEquation": lambda s: FieldEquation([HEAT], [U], parameters={s: Learnable(initial=1.0)}),
    "normal": lambda s: normal(X, s),
    "scale": lambda s: rescale(HEAT, [U], {X: s}),
    "scale of": lambda s: rescale(HEAT, [U], {s: 2}),
    "rescale's fields": lambda s: rescale(HEAT, [s], {X: 2}),
    "rescale": lambda s: rescale(s, [U], {X: 2}),
    "nondimensionalise": lambda s: nondimensionalise([HEAT, s], [U], {X: 2}),
    "nondimensionalise alone": lambda s: nondimensionalise(s, [U], {X: 2}),
    "nondimensionalise's scale": lambda s: nondimensionalise(HEAT, [U], {X: s}),
    "Convex": lambda s: Convex([A**2 <= 1, s], [A]),
    "Convex's outputs": lambda s: Convex([A**2 <= 1], [A, s]),
    "Convex's parameters": lambda s: Convex([A**2 <= 1], [A], [s]),
    "FormulaField": lambda s: FormulaField([X, s], [X]),
    "FormulaField's coordinates": lambda s: FormulaField([X], [X, s]),
    "poisson": lambda s: named.poisson(U, s),
    "poisson's field": lambda s: named.poisson(s),
    "helmholtz": lambda s: named.helmholtz(U, s),
    "helmholtz's source": lambda s: named.helmholtz(U, 1, s),
    "helmholtz's field": lambda s: named.helmholtz(s, 1),
    "heat": lambda s: named.heat(U, s),
    "heat's source": lambda s: named.heat(U, 1, s),
    "heat's field": lambda s: named.heat(s, 1),
    "advection": lambda s: named.advection_diffusion(U, [s], 1),
    "diffusion": lambda s: named.advection_diffusion(U, [1], s),
    "allen_cahn": lambda s: named.allen_cahn(U, s, 1),
    "allen_cahn's reaction": lambda s: named.allen_cahn(U, 1, s),
    "lorenz": lambda s: named.lorenz(Y1, Y2, Y3, s),
    "lorenz's rho": lambda s: named.lorenz(Y1, Y2, Y3, 1, s),
    "lorenz's beta": lambda s: named.lorenz(Y1, Y2, Y3, 1, 1, s),
    "pendulum": lambda s: named.pendulum(Y1, s),
    "gravity": lambda s: named.pendulum(Y1, 1, s),
    "damping": lambda s: named.pendulum(Y1, 1, 1, s),
    "prey": lambda s: named.lotka_volterra(Y1, Y2, s, 1, 1, 1),
    "predators": lambda s: named.lotka_volterra(Y1, Y2, 1, 1, 1, s),
    "sir": lambda s: named.sir(Y1, Y2, Y3, s, 1),
    "recovery": lambda s: named.sir(Y1, Y2, Y3, 1, s),
    "navier_stokes": lambda s: named.navier_stokes(P, Q, R, s),
    "density": lambda s: named.navier_stokes(P, Q, R, 1, s),
    "stream": lambda s: named.navier_stokes_stream(P, s),
    "elasticity": lambda s: named.linear_elasticity(P, Q, s, 1),
    "shear": lambda s: named.linear_elasticity(P, Q, 1, s),
    "force": lambda s: named.linear_elasticity(P, Q, 1, 1, (s, 0)),
    "wave": lambda s: named.wave(U, s),
    "wave's source": lambda s: named.wave(U, 1, s),
    "burgers": lambda s: named.burgers(U, s),
    "burgers's field": lambda s: named.burgers(s, 1),
    "steepening": lambda s: named.korteweg_de_vries(U, s),
    "dispersion": lambda s: named.korteweg_de_vries(U, 6, s),
    "kuramoto": lambda s: named.kuramoto_sivashinsky(U, s),
    "kuramoto's damping": lambda s: named.kuramoto_sivashinsky(U, 1, 1, s),
    "schroedinger": lambda s: named.schroedinger(U, V, s),
    "schroedinger's nonlinearity": lambda s: named.schroedinger(U, V, 0, s),
    "schroedinger's field": lambda s: named.schroedinger(U, s),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_text_in_the_place_of_mathematics_is_refused_and_never_run(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("__import__('os').system('touch canary')", "2", "x"):
        with pytest.raises(SpecificationError, match=r"need|got|does not know|speaks"):
            call(text)
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_every_kind_are_taken():
    for two in (2, 2.0, np.float32(2), np.int64(2), sympy.Integer(2), sympy.Rational(2)):
        assert float(named.heat(U, two).rhs.coeff(U.diff(X, 2))) == 2.0
        assert declare(HEAT, fields=[U], domain={X: (0, two), T: (0, 1)}).domain.bounds[1].tolist() == [2.0, 1.0]
