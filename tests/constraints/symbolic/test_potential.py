"""Linear equations held by potentials: exact on random networks, refused where there are none."""

import pytest
import sympy
import torch
from sympy import Eq, Function, Rational, symbols
from torch import nn

from constraints import Hard, ShapeError, SpecificationError, UnsupportedError, declare
from constraints.embeddings import join
from constraints.fields import Derivatives, DerivedField, hamiltonian, partials, stream_function
from constraints.fields.nested import nested_derivatives
from constraints.testing import check_embedding

X, Y, Z, T = symbols("x y z t")
Q1, Q2, P1, P2 = symbols("q1 q2 p1 p2")


def named(names, *coordinates):
    return [Function(name)(*coordinates) for name in names]


def curl(a, coordinates):
    x, y, z = coordinates
    return [a[2].diff(y) - a[1].diff(z), a[0].diff(z) - a[2].diff(x), a[1].diff(x) - a[0].diff(y)]


def divergence(a, coordinates):
    return sum(one.diff(x) for one, x in zip(a, coordinates, strict=True))


PLANE = named("uvp", X, Y)
FLUX = named(["rho", "j"], X, T)
SPACE = named("uvw", X, Y, Z)
HEAT = named(["u", "q", "r"], X, Y)
MAGNETIC, ELECTRIC = named(["b1", "b2", "b3"], X, Y, Z, T), named(["e1", "e2", "e3"], X, Y, Z, T)
MOTION = named(["f1", "f2", "g1", "g2"], Q1, Q2, P1, P2)  # of (q1, q2, p1, p2): (-g, f) is the slope of an energy
SLOPE = [-MOTION[2], -MOTION[3], MOTION[0], MOTION[1]]
STATE = [Q1, Q2, P1, P2]
CASES = {
    "a plane flow, and a pressure": (Eq(divergence(PLANE[:2], [X, Y]), 0), PLANE, 2),
    "mass": (Eq(FLUX[0].diff(T), -FLUX[1].diff(X)), FLUX, 1),
    "a flow in space": (Eq(divergence(SPACE, [X, Y, Z]), 0), SPACE, 3),
    "no curl": ([Eq(e, 0) for e in curl(SPACE, [X, Y, Z])], SPACE, 1),
    "Fourier's law": ([Eq(HEAT[1], -HEAT[0].diff(X) / 2), Eq(HEAT[2], -0.5 * HEAT[0].diff(Y))], HEAT, 1),
    "Faraday, and no monopoles": (
        [
            Eq(divergence(MAGNETIC, [X, Y, Z]), 0),
            *(Eq(b.diff(T), -c) for b, c in zip(MAGNETIC, curl(ELECTRIC, [X, Y, Z]), strict=True)),
        ],
        [*MAGNETIC, *ELECTRIC],
        4,
    ),
    "two degrees of freedom": (
        [Eq(SLOPE[j].diff(STATE[i]), SLOPE[i].diff(STATE[j])) for j in range(4) for i in range(j)],
        MOTION,
        1,
    ),
}


def network(inputs, outputs, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, outputs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_hold_to_rounding_on_random_networks(case, dtype):
    statement, fields, potentials = CASES[case]
    rule = declare(statement, fields=fields)
    d = len(fields[0].args)
    for seed in range(3):
        model = join(network(d, potentials, seed).to(dtype), {"rule": Hard(rule)})
        assert isinstance(model, DerivedField) and rule.guaranteed(model)
        for parameter in model.parameters():
            parameter.data *= 3.0
        p = torch.rand(20, d, dtype=dtype)
        assert model(p).shape == (20, len(fields)) and model(p).abs().amax(dim=0).min() > 0
        assert float(rule.measure(model, p, p).detach().max()) < 300 * torch.finfo(dtype).eps


@pytest.mark.parametrize("case", CASES)
def test_jets_equal_nested_autograd(case):
    statement, fields, potentials = CASES[case]
    rule = declare(statement, fields=fields)
    model = join(network(len(fields[0].args), potentials).double(), {"rule": Hard(rule)})
    p = torch.rand(5, len(fields[0].args), dtype=torch.float64)
    wanted = [partials(p.shape[1])[0] ** 0, *partials(p.shape[1])]
    for one, other in zip(Derivatives(wanted)(model, p), nested_derivatives(model, p, wanted), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_are_those_that_are_known_by_name():
    """Up to the sign of the potential; and a network that obeys by one of them is left as it is."""
    inner, p = network(2, 2), torch.rand(6, 2)
    flow = declare(CASES["a plane flow, and a pressure"][0], fields=PLANE)
    torch.testing.assert_close(join(inner, {"flow": Hard(flow)})(p), stream_function(inner, others=1)(p))
    own = stream_function(network(2, 2), others=1)
    assert join(own, {"flow": Hard(flow)}) is own
    energy, state = network(4, 1), torch.rand(6, 4)
    motion = declare(CASES["two degrees of freedom"][0], fields=MOTION)
    found, known = join(energy, {"motion": Hard(motion)})(state), hamiltonian(energy, 2)(state)
    assert torch.allclose(found, known) or torch.allclose(found, -known)
    assert motion.guaranteed(hamiltonian(energy, 2)) and not motion.guaranteed(stream_function(energy, coordinates=4))


def test_potentials_reach_a_known_flow():
    """Taylor and Green's vortex has no divergence: its stream function, put in the network's place, gives it."""

    class Vortex(nn.Module):
        def forward(self, p):
            return torch.cos(p[..., :1]) * torch.cos(p[..., 1:])

    rule = declare(Eq(PLANE[0].diff(X) + PLANE[1].diff(Y), 0), fields=PLANE[:2])
    p = torch.rand(7, 2, dtype=torch.float64)
    found = join(Vortex(), {"flow": Hard(rule)})(p)
    x, y = p.unbind(-1)
    torch.testing.assert_close(found, torch.stack([-torch.cos(x) * torch.sin(y), torch.sin(x) * torch.cos(y)], -1))


def test_law_of_embeddings():
    rule = declare(Eq(divergence(PLANE[:2], [X, Y]), 0), fields=PLANE)
    check_embedding(Hard(rule), network(2, 2).double(), torch.rand(5, 2, dtype=torch.float64))


def test_explains_what_the_network_gives():
    told = declare(CASES["a flow in space"][0], fields=SPACE).explain()
    assert "Hard" in told.embeddings and "3 potentials" in told.why and told.kind.startswith("equation on")


@pytest.mark.parametrize(
    ("statement", "fields", "reason"),
    [
        (Eq(PLANE[0].diff(X, 2) + PLANE[0].diff(Y, 2), 0), PLANE[:2], "not the derivatives of free functions"),
        (Eq(PLANE[0].diff(X, 2) + PLANE[1].diff(X, Y), 0), PLANE[:2], "solutions that are not the derivatives"),
        (Eq(PLANE[0].diff(X) + PLANE[1].diff(Y), X), PLANE[:2], "has a source"),
        (Eq(PLANE[0].diff(X) + X * PLANE[1].diff(Y), 0), PLANE[:2], "constant rational coefficients"),
        (Eq(PLANE[0].diff(X) + sympy.pi * PLANE[1].diff(Y), 0), PLANE[:2], "constant rational coefficients"),
        (Eq(PLANE[0] * PLANE[1].diff(Y), 0), PLANE[:2], "not linear"),
        (Eq(PLANE[0], 0), PLANE[:2], "not the derivatives of free functions"),
    ],
)
def test_cannot_be_hard_where_no_potentials_are_known(statement, fields, reason):
    rule = declare(statement, fields=fields)
    assert reason in rule.soft_because and "Hard" not in rule.explain().embeddings
    with pytest.raises(UnsupportedError, match=reason):
        rule.wrap(network(2, 1))


def test_networks_of_another_width_are_refused():
    rule = declare(CASES["a flow in space"][0], fields=SPACE, name="flow")
    with pytest.raises(SpecificationError, match=r"`flow`.* needs a network of 3 outputs.*got one of 2"):
        join(network(3, 2), {"flow": Hard(rule)})
    hidden = join(network(3, 2).append(nn.Tanh()), {"flow": Hard(rule)})
    with pytest.raises(ShapeError, match="needs a network of 3 outputs, got 2"):
        hidden(torch.rand(1, 3))


def test_others_beside_it_are_refused():
    flow = declare(CASES["a plane flow, and a pressure"][0], fields=PLANE)
    wall = declare(Eq(PLANE[0].subs(X, 0), 0), fields=PLANE)
    other = declare(Eq(PLANE[0].diff(Y) - PLANE[1].diff(X), 0), fields=PLANE)
    for beside in (wall, other):
        for rules in ({"a": flow, "b": beside}, {"b": beside, "a": flow}):
            with pytest.raises(UnsupportedError, match=r"no longer guarantees|do not keep"):
                join(network(2, 2), {name: Hard(rule) for name, rule in rules.items()})


def test_scaled_equations_are_the_same():
    scaled = declare(Eq(-3 * PLANE[0].diff(X) / 7 - Rational(3, 7) * PLANE[1].diff(Y), 0), fields=PLANE)
    assert scaled.guaranteed(stream_function(network(2, 2), others=1))
