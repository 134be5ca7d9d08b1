"""The pendulum: Jacobi's functions, quadrature and DOP853 agree for many swings; each law is held as it says."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from benchmarks.fields.pendulum import (
    DOMAIN,
    NOISE,
    conservation,
    energy,
    field,
    grid,
    hamiltonian,
    kinematics,
    mirror,
    period,
    periodic,
    roll_out,
    solution,
    trajectories,
)
from constraints import Hard, SpecificationError, UnsupportedError
from constraints.embeddings import join
from tests.benchmarks.fields.laws import held, inside, network, violation


@pytest.mark.parametrize("amplitude, bound", [(0.1, 1e-10), (1.5, 1e-9), (3.0, 1e-7)])
def test_a_second_method_finds_the_same_for_ten_swings(amplitude, bound):
    """Swings that nearly turn over multiply the second method's errors."""
    times = np.linspace(0.0, 10.0 * period(amplitude), 101)
    found = solve_ivp(
        lambda t, s: [s[1], -math.sin(s[0])],
        (0.0, times[-1]),
        [amplitude, 0.0],
        "DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-12,
    )
    assert np.abs(found.y.T - solution(amplitude, torch.from_numpy(times)).numpy()).max() < bound


def test_jacobis_functions_are_those_of_many_digits():
    m, times = math.sin(0.75) ** 2, [0.3, 5.0, 1234.5]
    found = solution(1.5, torch.tensor(times, dtype=torch.float64))
    for t, (angle, speed) in zip(times, found.tolist(), strict=True):
        with mpmath.workdps(40):
            cd, sd = (mpmath.ellipfun(name, u=t, m=m) for name in ("cd", "sd"))
            assert float(2 * mpmath.asin(mpmath.sqrt(m) * cd)) == pytest.approx(angle, abs=1e-10)
            assert float(-2 * mpmath.sqrt(m * (1 - m)) * sd) == pytest.approx(speed, abs=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 3.1), st.floats(0.0, 200.0))
def test_laws_of_the_motion(amplitude, t):
    whole = period(amplitude)
    times = torch.tensor([0.0, t, t + whole, whole - t, whole / 4], dtype=torch.float64)
    begin, one, later, back, quarter = solution(amplitude, times)
    torch.testing.assert_close(later, one, rtol=0, atol=1e-9)
    torch.testing.assert_close(back, one * torch.tensor([1.0, -1.0]), rtol=0, atol=1e-9)
    torch.testing.assert_close(begin, torch.tensor([amplitude, 0.0], dtype=torch.float64), rtol=0, atol=1e-12)
    assert abs(float(quarter[0])) < 1e-12
    kept = energy(torch.stack([begin, one, later, quarter]))
    torch.testing.assert_close(kept, kept[0].expand(4), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("amplitude", [0.2, 1.0, 2.8])
def test_the_period_is_that_of_quadrature(amplitude):
    with mpmath.workdps(20):
        half = mpmath.sin(amplitude / 2)
        quarter = mpmath.quad(lambda s: 1 / mpmath.sqrt(1 - (half * mpmath.sin(s)) ** 2), [0, mpmath.pi / 2])
    assert period(amplitude) == pytest.approx(4.0 * float(quarter), rel=1e-13)


def test_learnt_fields_are_rolled_out_to_order_4():
    times = torch.linspace(0.0, 20.0, 41, dtype=torch.float64)
    begin = torch.tensor([[0.5, 0.0], [2.0, 0.0]], dtype=torch.float64)
    truth = torch.stack([solution(0.5, times), solution(2.0, times)])
    errors = [float((roll_out(field, begin, times, substeps=n) - truth).abs().max()) for n in (4, 8)]
    assert errors[1] < 1e-4 and 12.0 < errors[0] / errors[1] < 20.0
    assert roll_out(field, begin, times).shape == (2, 41, 2)
    learnt = network(2, 2)
    roll_out(learnt, begin, times[:4]).sum().backward()
    assert all(q.grad is not None for q in learnt.parameters())
    with pytest.raises(SpecificationError, match="substeps >= 1, got 0"):
        roll_out(field, begin, times, substeps=0)


@pytest.mark.parametrize("make", [hamiltonian, mirror, periodic, kinematics, conservation], ids=lambda m: m.__name__)
def test_laws_hold_for_the_true_field_and_not_for_any(make):
    assert violation(make(), field, grid(9, 9)) < 1e-12
    wrong = torch.tensor([[-0.1, 0.2], [0.3, -0.1]], dtype=torch.float64)
    assert violation(make(), lambda p: field(p) + p @ wrong, grid(9, 9)) > 0.1


@pytest.mark.parametrize(
    "rules, inputs, outputs",
    [
        ([hamiltonian], 2, 1),
        ([mirror], 2, 2),
        ([mirror, periodic], 3, 2),
        ([kinematics], 2, 2),
        ([conservation], 2, 2),
        ([kinematics, conservation], 2, 2),
    ],
)
def test_what_can_be_hard(rules, inputs, outputs):
    assert held([make() for make in rules], DOMAIN, inputs, outputs) < 1e-13


def test_kinematics_and_conservation_leave_the_true_field_alone():
    p = inside(DOMAIN)
    p[:, 1] += 0.1 * p[:, 1].sign()
    found = join(network(2, 2), {"k": Hard(kinematics()), "c": Hard(conservation())})(p.clamp(-2.5, 2.5))
    torch.testing.assert_close(found.detach(), field(p.clamp(-2.5, 2.5)), rtol=0, atol=1e-9)


def test_an_energy_is_not_held_together_with_others():
    for other in (mirror, kinematics):
        with pytest.raises(UnsupportedError, match="cannot hold together"):
            join(network(2, 1), {"h": Hard(hamiltonian()), "o": Hard(other())})


def test_swings_are_noisy_and_repeatable():
    times, states = trajectories(1, count=50)
    _, exact = trajectories(1, count=50, noise=0.0)
    assert states.shape == (50, 40, 2) and times.shape == (40,)
    assert float((states - exact).std()) == pytest.approx(NOISE, rel=0.05)
    assert torch.equal(trajectories(1)[1], trajectories(1)[1])
    assert not torch.equal(trajectories(1)[1], trajectories(2)[1])
    low, high = exact[:, 0, 0].min(), exact[:, 0, 0].max()
    assert 0.2 <= float(low) < 0.6 and 2.4 < float(high) <= 2.8
    seen = exact.reshape(-1, 2).abs()
    assert float(seen[:, 0].max()) < math.pi and float(seen[:, 1].max()) < 2.5  # the domain has room for them


@pytest.mark.parametrize("amplitude", [0.0, -1.0, math.pi, 4.0, math.nan])
def test_other_amplitudes_are_refused(amplitude):
    for make in (period, lambda a: solution(a, torch.zeros(1))):
        with pytest.raises(SpecificationError, match="between 0 and pi, got"):
            make(amplitude)
