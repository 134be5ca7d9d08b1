"""Hard imposes nothing but what was stated: random fields that obey are reached, with derivatives up to order 4."""

import pytest
import sympy
import torch
from sympy import Eq, Function, Rational, symbols
from torch import nn

from constraints import FieldEquation, declare
from constraints.embeddings import Hard, join
from constraints.field_laws import check_reach, obeying_fields

X, T = symbols("x t")
F, U, V = Function("f"), Function("u"), Function("v")
LINE, BOX, AROUND = {X: (0, 1)}, {X: (0, 1), T: (0, 2)}, {X: (-1, 1), T: (0, 1)}


def f(at, k=0):
    return F(X).diff(X, k).subs(X, at) if k else F(at)


def u(at, k=0):
    return U(X, T).diff(X, k).subs(X, at) if k else U(at, T)


ON_A_LINE = {
    "slope": [Eq(f(0, 1), 0)],
    "slope, far wall": [Eq(f(0, 1), 0), Eq(f(1), 0)],
    "value, slope": [Eq(f(0), 0), Eq(f(1, 1), 0)],
    "two slopes": [Eq(f(0, 1), 1), Eq(f(1, 1), -2)],
    "Robin": [Eq(f(0, 1) + 3 * f(0), 1), Eq(f(1, 1), f(1))],
    "steep Robin": [Eq(f(1, 1) + 1000 * f(1), 0)],
    "slope inside": [Eq(f(Rational(1, 3), 1), 0), Eq(f(0), 1)],
    "three slopes": [Eq(f(0, 1), 0), Eq(f(Rational(1, 2), 1), 0), Eq(f(1, 1), 1)],
    "guided beam": [Eq(f(0, 1), 0), Eq(f(0, 3), 0), Eq(f(1), 0), Eq(f(1, 1), 0)],
    "free beam": [Eq(f(0), 0), Eq(f(0, 1), 0), Eq(f(1, 2), 0), Eq(f(1, 3), 0)],
    "supported beam": [Eq(f(0), 0), Eq(f(0, 2), 0), Eq(f(1), 0), Eq(f(1, 2), 0)],
    "elastic support": [Eq(f(0), 0), Eq(f(0, 2), 2 * f(0, 1)), Eq(f(1, 3), f(1))],
    "same values": [Eq(f(0), f(1))],
    "same slopes": [Eq(f(0, 1), f(1, 1))],
    "same values, slopes": [Eq(f(0), f(1)), Eq(f(0, 1), f(1, 1))],
    "same values and a value": [Eq(f(0), f(1)), Eq(f(0), 2)],
    "same values inside": [Eq(f(0), f(Rational(1, 2)))],
    "even": [Eq(F(1 - X), F(X))],
    "odd with a slope": [Eq(F(1 - X), -F(X)), Eq(f(0, 1), 1)],
    "even with a wall": [Eq(F(1 - X), F(X)), Eq(f(0), 0)],
}
OVER_TIME = {
    "insulated": ([Eq(u(0, 1), 0), Eq(u(1, 1), T), Eq(U(X, 0), 0)], BOX),
    "mixed": ([Eq(u(0), 1), Eq(u(1, 1), 0), Eq(U(X, T).diff(T).subs(T, 0), 0)], BOX),
    "slopes along both": ([Eq(u(0, 1), 0), Eq(U(X, T).diff(T).subs(T, 2), 0)], BOX),
    "odd": ([Eq(U(-X, T), -U(X, T)), Eq(u(1), 0), Eq(U(X, 0), 0)], AROUND),
    "odd with slopes": ([Eq(U(-X, T), -U(X, T)), Eq(u(1, 1), 0)], AROUND),
    "value inside": ([Eq(u(Rational(1, 2)), T), Eq(u(0, 1), 0), Eq(U(X, 0), 0)], BOX),
    "periodic": ([Eq(u(-1), u(1)), Eq(u(-1, 1), u(1, 1)), Eq(U(X, 0), (1 - X**2) ** 2)], AROUND),
}


def rules_of(conditions, fields, domain):
    return {f"rule{i}": declare(c, fields=fields, domain=domain) for i, c in enumerate(conditions)}


@pytest.mark.parametrize("case", ON_A_LINE)
def test_conditions_on_a_line(case):
    ends = torch.tensor([[0.0], [1.0], [1.0 / 3.0]])
    check_reach(rules_of(ON_A_LINE[case], [F(X)], LINE), torch.zeros(1), torch.ones(1), ends)


@pytest.mark.parametrize("case", OVER_TIME)
def test_conditions_over_time(case):
    conditions, domain = OVER_TIME[case]
    low, high = (torch.tensor([float(domain[s][i]) for s in (X, T)]) for i in (0, 1))
    places = torch.cartesian_prod(torch.tensor([low[0], high[0]]), torch.tensor([0.0, 0.4]))
    check_reach(rules_of(conditions, [U(X, T)], domain), low, high, places, degree=4, extra=3, count=1)


def test_a_condition_of_one_field_leaves_the_other_free():
    fields = [F(X), V(X)]
    rules = rules_of([Eq(f(0, 1), 0), Eq(V(X).diff(X).subs(X, 1), 2), Eq(V(1 - X), V(X))], fields, LINE)
    check_reach(rules, *ends())


def test_potentials_reach_every_flow_without_divergence():
    x, y = symbols("x y")
    flow = [U(x, y), V(x, y)]
    square = {x: (0, 1), y: (0, 1)}
    rule = declare(Eq(flow[0].diff(x) + flow[1].diff(y), 0), fields=flow, domain=square)
    places = torch.rand(4, 2, generator=torch.Generator().manual_seed(0))
    check_reach(
        {"mass": rule}, torch.zeros(2), torch.ones(2), places, degree=4, extra=2, potentials=1, order=3, count=1
    )


def test_potentials_do_not_reach_the_flow_of_a_source_in_a_hole():
    from constraints.domains import Ball, Polygon

    x, y = symbols("x y")
    flow = [U(x, y), V(x, y)]
    mass = Eq(flow[0].diff(x) + flow[1].diff(y), 0)
    ring = declare(mass, fields=flow, domain={(x, y): Ball([0.0, 0.0], 2.0) - Ball([0.0, 0.0], 1.0)})
    assert isinstance(ring, FieldEquation) and "Hard" not in ring.explain().embeddings
    assert "holes" in ring.soft_because
    corner = Polygon([[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]])
    for whole in (Ball([0.0, 0.0], 2.0), corner):
        assert "Hard" in declare(mass, fields=flow, domain={(x, y): whole}).explain().embeddings


def test_the_law_finds_an_architecture_that_imposes_more():
    class Even(nn.Module):
        """Holds a slope of 0 at 0, and the third derivative with it."""

        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(x**2)

    rule = declare(Eq(f(0, 1), 0), fields=[F(X)], domain=LINE)
    rule.wrap = Even
    rule.guaranteed = lambda model: isinstance(model, Even)
    with pytest.raises(AssertionError, match=r"not reached: its derivative \("):
        check_reach({"slope": rule}, *ends())


def test_third_derivatives_differ_from_network_to_network():
    """A slope of 0 at 0 and a wall at 1, both Hard: the third derivative at 0 is the network's own."""
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        rules = rules_of([Eq(f(0, 1), 0), Eq(f(1), 0)], [F(X)], LINE)
        network = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        model = join(network, {name: Hard(rule) for name, rule in rules.items()})
        at = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
        value = derivative = model(at)
        for _ in range(3):
            (derivative,) = torch.autograd.grad(derivative.sum(), at, create_graph=True)
        found.append(float((derivative / value).detach()))
    assert max(found) - min(found) > 0.05


def test_fields_that_cannot_obey_are_refused():
    rules = rules_of([Eq(f(0), 0), Eq(f(1), 5), Eq(f(0, 1), 0), Eq(f(1, 1), 0)], [F(X)], LINE)
    with pytest.raises(AssertionError, match="no field of degree 2 obeys"):
        obeying_fields(list(rules.values()), 2, torch.zeros(1), torch.ones(1), torch.Generator().manual_seed(0))


def ends():
    return torch.zeros(1), torch.ones(1), torch.tensor([[0.0], [1.0]])


def test_sympy_finds_the_field_of_a_slope_too():
    """u'' = 6 x, u'(0) = 0, u(1) = 1 has the solution x^3, which an even construction cannot give."""
    solution = sympy.dsolve(F(X).diff(X, 2) - 6 * X, F(X), ics={f(0, 1): 0, F(1): 1})
    assert solution.rhs == X**3
    rules = rules_of([Eq(f(0, 1), 0), Eq(f(1), 1)], [F(X)], LINE)
    (field,) = obeying_fields(
        [*rules.values(), declare(Eq(F(X).diff(X, 2), 6 * X), fields=[F(X)], domain=LINE)],
        3,
        torch.zeros(1),
        torch.ones(1),
        torch.Generator().manual_seed(0),
    )
    x = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    torch.testing.assert_close(field(x), x**3, rtol=0.0, atol=1e-10)
