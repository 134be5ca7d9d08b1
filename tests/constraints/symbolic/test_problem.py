"""Problems looked at as a whole: what is missing is found, what is enough is let pass, contradictions are named."""

import pytest
import sympy
import torch
from sympy import Eq, Function, Rational, cos, pi, sin
from torch import nn

from constraints import (
    Hard,
    InfeasibleError,
    Learnable,
    Monitor,
    Soft,
    SpecificationError,
    UnsupportedError,
    check_problem,
    declare,
    equations,
    join,
)
from constraints.domains import Ball
from constraints.sampling import RetainResample
from constraints.symbolic import require_consistent
from dkmodels import RegressionModule

X, Y, T, Z = sympy.symbols("x y t z")
NAME = Function("u")
U, V, U1 = NAME(X, T), NAME(X, Y), NAME(X)
BOX, SQUARE = {X: (0, 1), T: (0, 1)}, {X: (0, 1), Y: (0, 1)}
WALLS, START = [Eq(NAME(0, T), 0), Eq(NAME(1, T), 0)], Eq(NAME(X, 0), sin(pi * X))
HEAT = equations.heat(U, Rational(1, 10))
WAVE = equations.wave(U, 1)
POISSON = equations.poisson(V, 1)
SIDES = [Eq(V.subs(X, 0), 0), Eq(V.subs(X, 1), 0), Eq(V.subs(Y, 0), 0), Eq(V.subs(Y, 1), 0)]
SLOPES = [Eq(V.diff(s).subs(s, c), 0) for s in (X, Y) for c in (0, 1)]


def problem(statements, fields=(U,), domain=BOX):
    return {f"rule{i}": declare(s, fields=list(fields), domain=domain) for i, s in enumerate(statements)}


@pytest.mark.parametrize(
    ("statements", "field", "domain"),
    [
        ([HEAT, WALLS, START], U, BOX),
        ([WAVE, WALLS, [START, Eq(U.diff(T).subs(T, 0), 0)]], U, BOX),
        ([equations.burgers(U, Rational(1, 100)), WALLS, START], U, BOX),
        ([POISSON, SIDES], V, SQUARE),
        (
            [
                equations.poisson(V, cos(pi * X) * cos(pi * Y)),
                SLOPES,
                Eq(sympy.Integral(V, (X, 0, 1), (Y, 0, 1)), 0),
            ],
            V,
            SQUARE,
        ),
    ],
    ids=["heat", "wave", "burgers", "poisson", "poisson, its mean"],
)
def test_enough_is_let_pass(statements, field, domain):
    report = check_problem(problem(statements, (field,), domain))
    assert report.free == 0 and not report.contradiction
    assert report.smallest > 0.1
    report.require()


@pytest.mark.parametrize(
    ("statements", "field", "domain"),
    [
        ([HEAT, WALLS], U, BOX),
        ([HEAT, WALLS[0], START], U, BOX),
        ([WAVE, WALLS, START], U, BOX),
        ([POISSON, SIDES[:3]], V, SQUARE),
        ([equations.poisson(V, cos(pi * X) * cos(pi * Y)), SLOPES], V, SQUARE),
    ],
    ids=["no start", "one wall", "no velocity", "three sides", "slopes alone"],
)
def test_what_is_missing_is_found(statements, field, domain):
    report = check_problem(problem(statements, (field,), domain))
    assert report.free >= 1
    assert report.smallest < 1e-3
    with pytest.raises(SpecificationError, match=r"under-determined: \d+ independent changes of u \(100%\)"):
        report.require()


def test_a_pressure_is_free_by_a_constant():
    a, b, p = (Function(name)(X, Y) for name in "abp")
    walls = [Eq(f.subs(s, c), 0) for f in (a, b) for s in (X, Y) for c in (0, 1)]
    flow = equations.navier_stokes(a, b, p, Rational(1, 10))
    report = check_problem(problem([flow, walls], (a, b, p), SQUARE))
    assert report.free == 1
    assert report.fields["p"] > 0.999


def test_contradictions_name_the_rules():
    rules = problem([HEAT, WALLS, START, Eq(NAME(0, T), 1)])
    report = check_problem(rules)
    assert "`rule1` and `rule3`" in report.contradiction
    with pytest.raises(InfeasibleError, match="one wants 0 at x = 0, another 1"):
        report.require()
    with pytest.raises(InfeasibleError, match="`rule1` and `rule3`"):
        require_consistent(rules)


def test_a_module_refuses_them_where_they_are_imposed():
    walls, other = problem([WALLS, Eq(NAME(0, T), 1)]).values()
    network = nn.Linear(2, 1)
    with pytest.raises(InfeasibleError, match="`walls` and `other`"):
        RegressionModule(network, {"walls": Soft(walls), "other": Soft(other)})
    module = RegressionModule(network, {"walls": Soft(walls), "other": Monitor(other)})
    assert module(torch.zeros(1, 2)).shape == (1, 1)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({}, "got none"),
        (problem([HEAT], domain=None), "with bounds of each coordinate"),
        ({**problem([HEAT]), "other": declare(POISSON, fields=[V], domain=SQUARE)}, "same fields"),
        (
            {"rule": declare(Eq(NAME(X, Y, T, pi * T), 0), fields=[NAME(X, Y, T, sympy.Symbol("z"))],
                             domain={X: (0, 1), Y: (0, 1), T: (0, 1), sympy.Symbol("z"): (0, 1)})},
            "at most 3 coordinates",
        ),
        (problem([POISSON], (V,), {(X, Y): Ball([0.0, 0.0], 1.0)}), "bounds of each coordinate"),
        (problem([HEAT, WALLS, START, Eq(NAME(5, T), 0)]), "got rule `rule3` at x = 5, where x is from 0 to 1"),
    ],
)  # fmt: skip
def test_mistakes_are_named(rules, told):
    with pytest.raises(SpecificationError, match=told):
        check_problem(rules)


def test_samplers_learn_nothing_from_a_check():
    sampler = RetainResample()
    rule = declare(HEAT, fields=[U], domain=BOX, draws=4, sampler=sampler)
    p = torch.rand(3, 2)
    rule.measure(nn.Linear(2, 1), p, p)
    before = sampler.points.clone()
    rest = problem([START, WALLS])
    assert check_problem({"heat": rule, **rest}).free == 0
    assert rule.training and torch.equal(sampler.points, before)


@pytest.mark.parametrize(("length", "factor"), [(1, 1e-6), (1000, 1), (1e-3, 1), (1, 1e6)])
def test_does_not_depend_on_units(length, factor):
    """A rod in millimetres, or metres, and an equation multiplied by a number, are the same problem."""
    told = {"fields": [U1], "domain": {X: (0, length)}}
    bend = declare(Eq(factor * U1.diff(X, 2), 0), **told)
    left, right = declare(Eq(U1.subs(X, 0), 0), **told), declare(Eq(U1.subs(X, length), 0), **told)
    assert check_problem({"bend": bend, "left": left, "right": right}).free == 0
    assert check_problem({"bend": bend, "left": left}).free == 1


LAPLACIAN = V.diff(X, 2) + V.diff(Y, 2)


@pytest.mark.parametrize("more", [[], [Eq(sympy.Integral(V, (X, 0, 1), (Y, 0, 1)), 0)]], ids=["", "its mean"])
def test_a_source_in_an_insulated_box_has_no_solution(more):
    """The flux through the walls is the integral of the source (Gauss), which is 1 and not 0."""
    report = check_problem(problem([Eq(-LAPLACIAN, 1), SLOPES, *more], (V,), SQUARE))
    assert "`rule0`, `rule1` have no solution together" in report.contradiction
    with pytest.raises(InfeasibleError, match="What flows in must flow out"):
        report.require()


def test_flow_through_the_lid_of_a_closed_cavity_has_no_solution():
    a, b = (Function(name)(X, Y) for name in "ab")
    closed = [Eq(a.subs(X, 0), 0), Eq(a.subs(X, 1), 0), Eq(b.subs(Y, 0), 0)]
    mass = Eq(a.diff(X) + b.diff(Y), 0)
    assert "no solution" in check_problem(problem([mass, [*closed, Eq(b.subs(Y, 1), 1)]], (a, b), SQUARE)).contradiction
    for lid in (0, sympy.cos(pi * X)):  # nothing through it in all
        assert not check_problem(problem([mass, [*closed, Eq(b.subs(Y, 1), lid)]], (a, b), SQUARE)).contradiction


@pytest.mark.parametrize(
    ("statements", "field", "domain"),
    [
        ([Eq(-LAPLACIAN, cos(pi * X) * cos(pi * Y)), SLOPES], V, SQUARE),
        ([HEAT, Eq(NAME(X, 0), 1), WALLS], U, BOX),  # a jump at two corners
        ([HEAT, Eq(NAME(X, 0), sin(9 * pi * X)), WALLS], U, BOX),  # rougher than the polynomials
    ],
    ids=["balanced source", "jump at corners", "rough start"],
)
def test_what_has_a_solution_is_not_contradicted(statements, field, domain):
    assert check_problem(problem(statements, (field,), domain)).contradiction == ""


def test_a_value_everywhere_contradicts_another_at_a_wall():
    rules = problem([Eq(U, 2), Eq(NAME(0, T), 0)])
    assert "the value 2 everywhere, which breaks the other at x = 0" in check_problem(rules).contradiction
    with pytest.raises(InfeasibleError, match="`rule0` and `rule1`"):
        require_consistent(dict(reversed(rules.items())))
    require_consistent(problem([Eq(U, 2), Eq(NAME(0, T), 2)]))
    require_consistent(problem([Eq(U, X * T), Eq(NAME(X, 0), 0), Eq(U.diff(X).subs(X, 1), T)]))


def test_fast_growth_is_not_taken_for_freedom():
    """Fisher's equation over r T = 6: a change at the start grows e^6-fold, and is seen by so much less."""
    growth = Eq(U.diff(T), U.diff(X, 2) / 100 + 6 * U * (1 - U))
    insulated = [Eq(U.diff(X).subs(X, c), 0) for c in (0, 1)]
    start = Eq(NAME(X, 0), sympy.exp(-10 * X**2))
    assert check_problem(problem([growth, start, insulated])).free == 0
    assert check_problem(problem([growth, insulated])).free >= 1


def test_what_explain_lists_is_built():
    """A slope of one field beside others: Hard in `explain()`, and in `join`."""
    fields = [Function(name)(X, Y) for name in "uvp"]
    rule = declare(Eq(fields[2].diff(X).subs(X, 0), 0), fields=fields, domain=SQUARE)
    assert "Hard" in rule.explain().embeddings
    model = join(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3)), {"wall": Hard(rule)})
    p = torch.rand(5, 2)
    assert float(rule.measure(model, p, p).detach().max()) < 1e-6


class Peak(nn.Module):
    """A Gaussian of integral 1, of width 0.2 about 0.37."""

    def forward(self, p):
        return torch.exp(-(((p[..., :1] - 0.37) / 0.2) ** 2) / 2) / (0.2 * (2 * torch.pi) ** 0.5)


@pytest.mark.parametrize("nodes", [None, 256])
def test_integrals_that_nodes_do_not_resolve_are_told(nodes, recwarn):
    rule = declare(
        Eq(sympy.Integral(U, (X, -10, 10)), 1), fields=[U], domain={X: (-10, 10), T: (0, 1)}, draws=0, nodes=nodes
    )
    error = float(rule.quantity(Peak(), torch.zeros(1, 2, dtype=torch.float64)).detach().abs())
    told = [str(w.message) for w in recwarn if "does not resolve an integral" in str(w.message)]
    assert (error > 1e-6) == bool(told)
    if told:
        estimate = float(told[0].split("error is ")[1].split(" ")[0])
        assert error < 10 * estimate
        rule.quantity(Peak(), torch.zeros(1, 2, dtype=torch.float64))
        assert sum("does not resolve" in str(w.message) for w in recwarn) == 1  # once


def test_nodes_need_an_integral():
    for nodes, told in ((2, "nodes >= 3"), (8.0, "nodes >= 3")):
        with pytest.raises(SpecificationError, match=told):
            declare(Eq(sympy.Integral(U, (X, 0, 1)), 1), fields=[U], domain=BOX, nodes=nodes)
    with pytest.raises(SpecificationError, match="needs an integral for its nodes"):
        declare(HEAT, fields=[U], domain=BOX, nodes=8)
    with pytest.raises(SpecificationError, match="beside outputs, got nodes="):
        declare(Eq(X + T, 1), outputs=[X, T], nodes=8)


def test_what_polynomials_do_not_resolve_is_no_contradiction():
    """Layers, fast waves and fast growth, and walls of two kinds on one side: all have solutions."""
    value, slope = U1, U1.diff(X)
    for statements in (
        [Eq(-value.diff(X, 2) / 100 + slope, 1), Eq(NAME(0), 0), Eq(NAME(1), 0)],
        [Eq(value.diff(X, 2), -400 * value), Eq(NAME(0), 1), Eq(slope.subs(X, 0), 0)],
        [Eq(slope, 12 * value), Eq(NAME(0), 1)],
    ):
        assert check_problem(problem(statements, (U1,), {X: (0, 1)})).contradiction == ""
    halves = {
        "laplace": declare(Eq(LAPLACIAN, 0), fields=[V], domain=SQUARE),
        "low": declare(Eq(V.subs(X, 0), 0), fields=[V], domain={X: (0, 1), Y: (0, 0.5)}),
        "high": declare(Eq(V.subs(X, 0), 1), fields=[V], domain={X: (0, 1), Y: (0.5, 1)}),
        "far": declare(Eq(V.subs(X, 1), 0), fields=[V], domain=SQUARE),
        "sides": declare([Eq(V.diff(Y).subs(Y, c), 0) for c in (0, 1)], fields=[V], domain=SQUARE),
    }
    assert check_problem(halves).contradiction == ""


@pytest.mark.parametrize(
    ("flux", "contradicts"), [(-1.0, False), (-0.99, True), (-1.01, True), (-0.9999, False)], ids=str
)
def test_one_percent_of_imbalance_is_found(flux, contradicts):
    """-u'' = 1 with u'(0) = 0 has a solution where u'(1) = -1."""
    u = sympy.Function("u")(X)
    rules = problem(
        [Eq(-u.diff(X, 2), 1), Eq(u.diff(X).subs(X, 0), 0), Eq(u.diff(X).subs(X, 1), flux)], (u,), {X: (0, 1)}
    )
    assert ("in balance" in check_problem(rules).contradiction) is contradicts


SPACE = {X: (0, 1), Y: (0, 1), Z: (0, 1)}
ROOM = sympy.Function("w")(X, Y, Z)
BEAM = sympy.Function("u")(X)
FREE_ENDS = [Eq(BEAM.diff(X, k).subs(X, end), 0) for k in (2, 3) for end in (0, 1)]


@pytest.mark.parametrize(
    ("equation", "conditions", "field", "domain", "contradicts"),
    [
        *(
            (
                Eq(-sum(ROOM.diff(s, 2) for s in SPACE), source),
                [Eq(ROOM.diff(s).subs(s, end), 0) for s in SPACE for end in (0, 1)],
                ROOM,
                SPACE,
                contradicts,
            )
            for source, contradicts in ((1, True), (X - Rational(1, 2), False))
        ),
        (Eq(BEAM.diff(X, 4), 1), FREE_ENDS, BEAM, {X: (0, 1)}, True),  # a force
        (Eq(BEAM.diff(X, 4), X - Rational(1, 2)), FREE_ENDS, BEAM, {X: (0, 1)}, True),  # a moment
        (Eq(BEAM.diff(X, 4), 6 * X**2 - 6 * X + 1), FREE_ENDS, BEAM, {X: (0, 1)}, False),  # neither
        (
            Eq(-(sympy.exp(X) * BEAM.diff(X)).diff(X), 1),
            [Eq(BEAM.diff(X).subs(X, end), 0) for end in (0, 1)],
            BEAM,
            {X: (0, 1)},
            True,
        ),
        (
            Eq(-BEAM.diff(X, 2), 1),
            [Eq(BEAM.subs(X, 0), BEAM.subs(X, 1)), Eq(BEAM.diff(X).subs(X, 0), BEAM.diff(X).subs(X, 1))],
            BEAM,
            {X: (0, 1)},
            True,
        ),
        (
            Eq(-BEAM.diff(X, 2), sympy.cos(160 * sympy.pi * X)),  # the nodes do not resolve it
            [Eq(BEAM.diff(X).subs(X, end), 0) for end in (0, 1)],
            BEAM,
            {X: (0, 1)},
            False,
        ),
        (
            Eq(-BEAM.diff(X, 2), sympy.Piecewise((2, Rational(1, 3) > X), (-1, True))),
            [Eq(BEAM.diff(X).subs(X, end), 0) for end in (0, 1)],
            BEAM,
            {X: (0, 1)},
            False,
        ),
    ],
    ids=str,
)
def test_sources_are_weighed_against_what_flows_out(equation, conditions, field, domain, contradicts):
    report = check_problem(problem([equation, conditions], (field,), domain))
    assert ("in balance" in report.contradiction) is contradicts


@pytest.mark.parametrize(
    ("everywhere", "at_wall", "contradicts"),
    [
        (Eq(U**3, 8), Eq(NAME(0, T), 0), True),
        (Eq(U**3, 8), Eq(NAME(0, T), 2), False),
        (Eq(U**2 + X, 4), Eq(NAME(0, T), 1), True),
        (Eq(U**2 + X, 4), Eq(NAME(0, T), -2), False),
        (Eq(sympy.exp(U), 1 + X * T), Eq(NAME(0, T), 1), True),
        (Eq(sympy.exp(U), 1 + X * T), Eq(NAME(0, T), 0), False),
        (Eq(sympy.sin(U), 0), Eq(NAME(0, T), 2 * sympy.pi), False),
    ],
    ids=str,
)
def test_nonlinear_values_everywhere_against_a_wall(everywhere, at_wall, contradicts):
    rules = problem([everywhere, at_wall])
    assert bool(check_problem(rules).contradiction) is contradicts


def test_equations_that_give_several_fields_together():
    u, v = (sympy.Function(n)(X) for n in "uv")
    together = [Eq(u + v, 1), Eq(u - v, X)]  # u = (1 + x) / 2
    good, bad = (problem([together, Eq(u.subs(X, 0), value)], (u, v), {X: (0, 1)}) for value in (Rational(1, 2), 1))
    assert check_problem(good).contradiction == ""
    assert "breaks the other at x = 0" in check_problem(bad).contradiction


def test_a_value_on_part_of_the_domain_says_nothing_elsewhere():
    part = declare(Eq(U, 2), fields=[U], domain={X: (0, Rational(1, 2)), T: (0, 1)})
    wall = declare(Eq(NAME(1, T), 0), fields=[U], domain={X: (0, 1), T: (0, 1)})
    assert check_problem({"part": part, "wall": wall}).contradiction == ""


@pytest.mark.parametrize("rate", [3, 6, 10])
@pytest.mark.parametrize("spread", [Rational(1, 10), Rational(1, 100), Rational(1, 1000)])
def test_growth_of_any_rate_leaves_nothing_free(spread, rate):
    growth = Eq(U.diff(T), spread * U.diff(X, 2) + rate * U * (1 - U))
    held = [Eq(NAME(c, T), 0) for c in (0, 1)]
    assert check_problem(problem([growth, Eq(NAME(X, 0), sympy.sin(sympy.pi * X)), held])).free == 0
    if spread > 0.005:  # else what a wall misses dies out within a thin layer
        assert check_problem(problem([growth, Eq(NAME(X, 0), sympy.sin(sympy.pi * X)), held[:1]])).free > 0


def test_inequalities_determine_nothing():
    u = sympy.Function("u")(X)
    left, right = Eq(u.subs(X, 0), 0), Eq(u.subs(X, 1), 2)
    rising = problem([u.diff(X) >= 1, left, right], (u,), {X: (0, 1)})
    assert check_problem(rising).contradiction == ""
    assert check_problem(rising).free > 0
    bent = problem([Eq(u.diff(X, 2), 1), left, u >= 0], (u,), {X: (0, 1)})
    assert check_problem(bent).free == 1
    assert check_problem({**bent, "right": rising["rule2"]}).free == 0
    with pytest.raises(SpecificationError, match="needs an equation, got inequalities only: rule0"):
        check_problem(problem([u >= 0], (u,), {X: (0, 1)}))


class Bump(nn.Module):
    """Of integral 1 over the real line, of a width; a step of height 1 where the width is 0."""

    def __init__(self, centre, width):
        super().__init__()
        self.centre, self.width = centre, width

    def forward(self, p):
        z = p[..., :1] - self.centre
        if not self.width:
            return (z > 0).to(p.dtype)
        return torch.exp(-((z / self.width) ** 2) / 2) / (self.width * (2 * torch.pi) ** 0.5)


@pytest.mark.parametrize("centre", [0.37, -2.2, 5.0])
@pytest.mark.parametrize("width", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("nodes", [32, 64, 256])
def test_the_estimated_error_of_an_integral_is_above_the_true_one(centre, width, nodes, recwarn):
    size = 1.0 if width else 10.0 - centre
    rule = declare(
        Eq(sympy.Integral(U, (X, -10, 10)), size), fields=[U], domain={X: (-10, 10), T: (0, 1)}, draws=0, nodes=nodes
    )
    error = abs(float(rule.quantity(Bump(centre, width), torch.zeros(1, 2, dtype=torch.float64)))) / size
    told = [float(str(w.message).split("error is ")[1].split()[0]) for w in recwarn if "resolve" in str(w.message)]
    estimate = told[0] if told else 1e-3
    assert error < 1.5 * estimate
    assert estimate <= 1.0
    assert bool(told) or error < 1e-3
    assert not told or error > 1e-6 * estimate  # not told where all is well


PLATE = sympy.Function("u")(X, Y, T)
ROD = {X: (0, 1), Y: (0, 1), T: (0, 1)}
SPREAD = Eq(PLATE.diff(T), PLATE.diff(X, 2) + PLATE.diff(Y, 2))
EDGES = [Eq(PLATE.subs(s, c), 0) for s in (X, Y) for c in (0, 1)]
CLOSED = [Eq(PLATE.diff(s).subs(s, c), 0) for s in (X, Y) for c in (0, 1)]
AT_FIRST = [Eq(PLATE.subs(T, 0), f) for f in (sin(2 * pi * X) * sin(2 * pi * Y), cos(pi * X) * cos(2 * pi * Y))]


@pytest.mark.parametrize(
    ("statements", "free"),
    [
        ([SPREAD, EDGES, AT_FIRST[0]], False),
        ([SPREAD, CLOSED, AT_FIRST[1]], False),
        ([SPREAD, EDGES], True),  # no start
        ([SPREAD, EDGES[:3], AT_FIRST[0]], True),  # a wall is missing
    ],
    ids=["walls", "insulated", "no start", "three walls"],
)
def test_plates_over_time(statements, free):
    report = check_problem(problem(statements, (PLATE,), ROD))
    assert report.contradiction == ""
    assert (report.free > 0) is free


@pytest.mark.parametrize("length", [1, 2, 5])
def test_motions_without_a_start(length):
    a, b = (sympy.Function(n)(T) for n in "ab")
    prey = [Eq(a.diff(T), a - a * b), Eq(b.diff(T), a * b - b)]
    told = {"fields": (a, b), "domain": {T: (0, length)}}
    assert check_problem(problem([prey, Eq(a.subs(T, 0), 1)], **told)).free == 1
    assert check_problem(problem([prey, Eq(a.subs(T, 0), 1), Eq(b.subs(T, 0), 2)], **told)).free == 0


def test_a_long_box_is_no_contradiction():
    u = sympy.Function("u")(X, Y)
    insulated = [Eq(u.diff(X).subs(X, 1000), 0), *(Eq(u.diff(Y).subs(Y, c), 0) for c in (0, 1))]
    long = problem(
        [Eq(-u.diff(X, 2) - u.diff(Y, 2), 1), Eq(u.subs(X, 0), 0), insulated], (u,), {X: (0, 1000), Y: (0, 1)}
    )
    assert check_problem(long).contradiction == ""


LINE = {X: (0, 1)}
SLOPE, CURVATURE = U1.diff(X), U1.diff(X, 2)


@pytest.mark.parametrize(
    ("statements", "contradicts"),
    [
        ([Eq(SLOPE, U1), Eq(NAME(0), 1), Eq(NAME(1), 1)], True),
        ([Eq(SLOPE, U1), Eq(NAME(0), 1), Eq(NAME(1), sympy.E)], False),
        ([Eq(CURVATURE + pi**2 * U1, sin(pi * X)), Eq(NAME(0), 0), Eq(NAME(1), 0)], True),  # resonance
        ([Eq(CURVATURE + pi**2 * U1, sin(2 * pi * X)), Eq(NAME(0), 0), Eq(NAME(1), 0)], False),
        ([Eq(CURVATURE - U1, 1), Eq(NAME(0), 0), Eq(SLOPE.subs(X, 0), 0), Eq(NAME(1), 0)], True),
        ([Eq(1e-6 * CURVATURE + SLOPE, 1), Eq(NAME(0), 0), Eq(NAME(1), 0)], False),  # a layer
        ([Eq(1e-6 * CURVATURE - U1, 1), Eq(NAME(0), 0), Eq(NAME(1), 0)], False),
        ([Eq(SLOPE, 1000 * (cos(X) - U1)), Eq(NAME(0), 0)], False),
        ([Eq(CURVATURE, sympy.Heaviside(X - Rational(37, 100))), Eq(NAME(0), 0), Eq(NAME(1), 0)], False),
        (
            [Eq(U1.diff(X, 4), 1), *(Eq(U1.diff(X, k).subs(X, c), 0) for k, c in ((0, 0), (1, 0), (2, 1), (3, 1)))],
            False,
        ),
        ([Eq(U1.diff(X, 4), 1), *(Eq(U1.diff(X, k).subs(X, c), 0) for k, c in ((2, 0), (3, 0), (2, 1), (3, 1)))], True),
    ],
    ids=str,
)
def test_linear_equations_along_a_line(statements, contradicts):
    found = check_problem(problem(statements, (U1,), LINE)).contradiction
    assert ("have no solution together" in found) is contradicts


@pytest.mark.parametrize("equation", [0, 1, 2])
def test_random_linear_equations_of_order_two(equation):
    draw = torch.Generator().manual_seed(equation)
    a, b, c = (6 * torch.rand(3, generator=draw, dtype=torch.float64) - 3).tolist()
    enough = [Eq(CURVATURE + a * SLOPE + b * U1, sin(3 * X)), Eq(NAME(0), c), Eq(SLOPE.subs(X, 1) + 2 * NAME(1), 1)]
    assert check_problem(problem(enough, (U1,), LINE)).contradiction == ""
    assert "no solution" in check_problem(problem([*enough, Eq(NAME(1), 7)], (U1,), LINE)).contradiction


def test_a_contradiction_of_mass_names_all_its_rules():
    rules = problem([HEAT, *(Eq(U.diff(X).subs(X, c), 0) for c in (0, 1)), Eq(NAME(X, 0), 1), Eq(NAME(X, 1), 2)])
    assert check_problem(rules).contradiction.startswith("rules `rule0`, `rule1`, `rule2`, `rule3`, `rule4` have no")


def test_algebraic_equations_of_several_rules_against_a_wall():
    first, second = Function("v")(X, Y), Function("w")(X, Y)
    told = [Eq(first - second, X), Eq(first + second, Y)]
    for wall, contradicts in ((1, True), (Y / 2, False)):
        rules = problem([*told, Eq(first.subs(X, 0), wall)], (first, second), SQUARE)
        assert ("rules `rule0`, `rule1` and `rule2`" in check_problem(rules).contradiction) is contradicts


@pytest.mark.parametrize(("lowest", "contradicts"), [(1, True), (0, False), (-Y, False), (Y / 2, True)], ids=str)
def test_an_inequality_against_a_wall(lowest, contradicts):
    rules = problem([lowest <= V, Eq(V.subs(X, 0), 0), Eq(V.diff(X), 0)], (V,), SQUARE)
    assert ("break the inequality" in check_problem(rules).contradiction) is contradicts


def test_a_driven_cavity_in_one_list():
    """Its lid and walls meet at corners in a jump: no continuous field obeys all, Soft may come near it."""
    walls = [Eq(V.subs(X, 0), 0), Eq(V.subs(X, 1), 0), Eq(V.subs(Y, 0), 0), Eq(V.subs(Y, 1), 1)]
    cavity = declare(walls, fields=[V], domain=SQUARE)
    assert "Hard" not in cavity.explain().embeddings and "where they meet" in cavity.explain().why
    x = torch.rand(4, 2)
    assert Soft(cavity).penalty(nn.Linear(2, 1), x, x).isfinite()
    with pytest.raises(UnsupportedError, match="where they meet"):
        Hard(cavity)


def test_values_of_several_rules_that_break_an_equation():
    first, second = Function("v")(X), Function("w")(X)
    told = [Eq(first, second + 1), Eq(second.diff(X), 1), Eq(first.subs(X, 0), 0), Eq(second.subs(X, 0), 0)]
    found = check_problem(problem(told, (first, second), LINE)).contradiction
    assert found.startswith("rules `rule2`, `rule3` and `rule0`: conditions contradict each other")
    assert check_problem(problem([*told[:3], Eq(second.subs(X, 0), -1)], (first, second), LINE)).contradiction == ""


@pytest.mark.parametrize(
    ("equation", "conditions"),
    [
        (lambda h: Eq(SLOPE, -h * U1), [Eq(NAME(0), 1), Eq(NAME(1), Rational(1, 2))]),  # h = ln 2
        (lambda h: Eq(CURVATURE, X - h), [Eq(SLOPE.subs(X, 0), 0), Eq(SLOPE.subs(X, 1), 0)]),  # h = 1/2
        (lambda h: Eq(CURVATURE + h * U1, 0), [Eq(NAME(0), 0), Eq(NAME(1), 0), Eq(SLOPE.subs(X, 0), 1)]),  # h = pi^2
    ],
)
def test_what_is_learnt_may_balance_the_rest(equation, conditions):
    h = sympy.Symbol("h")
    rules = problem(conditions, (U1,), LINE)
    rules["learnt"] = declare(equation(h), fields=[U1], domain=LINE, parameters={h: Learnable(initial=0.1)})
    assert check_problem(rules).contradiction == ""
