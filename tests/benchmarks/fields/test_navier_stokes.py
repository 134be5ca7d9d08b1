"""Kovasznay's flow: its closed forms solve both statements, and each kind of knowledge is held as it says."""

import pytest
import sympy
import torch

from benchmarks.fields import navier_stokes as flow
from constraints import Hard, UnsupportedError
from constraints.embeddings import join
from constraints.fields import DerivedField
from tests.benchmarks.fields.laws import Formula, held, inside, is_hard, network, residual, violation

P = (1 - flow._FALL**2) / 2
KNOWN = dict(zip(flow.FIELDS, (*flow._VELOCITY, P), strict=True))
MIXED = [flow.momentum, flow.divergence, flow.walls, flow.gauge, flow.mirror]


def test_the_closed_forms_solve_the_equations():
    assert residual(flow.momentum(), KNOWN) == [0, 0] and residual(flow.divergence(), KNOWN) == [0]
    (left,) = residual(
        flow.stream_equation(), {flow.PSI: flow._STREAM}
    )  # 0 in terms that sympy does not bring together
    assert abs(left.subs({flow.X: sympy.Rational(1, 3), flow.Y: sympy.Rational(1, 7)}).evalf(40, maxn=200)) < 1e-30
    assert float(flow.GROWTH) == pytest.approx(20.0 - (400.0 + 4.0 * torch.pi**2) ** 0.5)
    p = inside(flow.DOMAIN, 5)
    for at, velocity, psi in zip(p, flow.solution(p), flow.stream(p), strict=True):
        put = {flow.X: float(at[0]), flow.Y: float(at[1])}
        assert [float(e.subs(put)) for e in KNOWN.values()] == pytest.approx(velocity.tolist(), abs=1e-13)
        assert float(flow._STREAM.subs(put)) == pytest.approx(float(psi), abs=1e-13)


@pytest.mark.parametrize("make", MIXED, ids=lambda make: make.__name__)
def test_rules_hold_for_velocity_and_pressure(make):
    assert violation(make(), flow.solution, inside(flow.DOMAIN)) < 1e-11
    tilted = torch.tensor([[0.3, 0.5, 0.7], [0.2, 0.4, 0.6]], dtype=torch.float64)
    assert violation(make(), lambda p: flow.solution(p) + p @ tilted, inside(flow.DOMAIN)) > 0.1


def test_rules_hold_for_the_stream_function():
    """`stream_walls` takes a second to declare, and some to hold: once for all tests."""
    sides = flow.stream_walls()
    for rule in (flow.stream_equation(), sides, flow.stream_mirror()):
        assert violation(rule, flow.stream, inside(flow.DOMAIN)) < 1e-9
        assert violation(rule, lambda p: flow.stream(p) + p[:, :1] ** 2, inside(flow.DOMAIN)) > 0.1
    assert held([sides, flow.stream_mirror()], flow.DOMAIN, 2, 1) < 1e-11


def test_the_stream_function_gives_the_velocity():
    model = join(
        Formula(lambda p: torch.cat([flow.stream(p), flow.solution(p)[:, 2:]], dim=1)), {"d": Hard(flow.divergence())}
    )
    p = inside(flow.DOMAIN)
    found, truth = model(p).detach(), flow.solution(p)
    torch.testing.assert_close(found[:, 2], truth[:, 2])
    torch.testing.assert_close(found[:, :2].abs(), truth[:, :2].abs())  # the potential is known up to its sign


def test_the_divergence_is_held_by_a_potential_alone():
    model = join(network(2, 2), {"divergence": Hard(flow.divergence())})
    assert isinstance(model, DerivedField)
    assert violation(flow.divergence(), model, inside(flow.DOMAIN)) < 1e-14
    for other in (flow.gauge, flow.mirror):
        with pytest.raises(UnsupportedError, match=r"no longer guarantees|do not keep"):
            join(network(2, 2), {"divergence": Hard(flow.divergence()), "other": Hard(other())})


def test_what_can_be_hard():
    assert held([flow.walls(), flow.gauge(), flow.mirror()], flow.DOMAIN, 2, 3) < 1e-13
    assert not is_hard(flow.momentum()) and not is_hard(flow.stream_equation())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_have_the_dtype_of_the_points(dtype):
    p = flow.grid(5, 3).to(dtype)
    assert flow.solution(p).dtype == flow.stream(p).dtype == dtype
    assert flow.solution(p).shape == (15, 3) and flow.stream(p[None]).shape == (1, 15, 1)
