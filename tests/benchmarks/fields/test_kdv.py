"""Korteweg and de Vries' problem: the reference has converged, is that of another method, keeps what it should."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from benchmarks.fields.kdv import (
    DISPERSION,
    DOMAIN,
    SMOOTH,
    energy,
    equation,
    grid,
    invariants,
    mass,
    momentum,
    motion,
    periodic,
    reference,
    solution,
    start,
)
from benchmarks.fields.spectral import History, series
from tests.benchmarks.fields.laws import held, inside, is_hard, violation

D = float(DISPERSION)
HEIGHT = 3.0
WIDTH = math.sqrt(12.0 * D / HEIGHT)


def soliton(p):
    """One alone, as good as periodic: at the ends it is 1e-19."""
    x, t = p[..., :1], p[..., 1:]
    return HEIGHT / torch.cosh((x - HEIGHT / 3.0 * t) / WIDTH) ** 2


def at(t, d=D):
    """The reference at one time, as a function of `x` that autograd sees."""
    c = torch.from_numpy(reference(d, steps=16000 if d == D else 4000).at(np.array([t]))[0])
    k = torch.arange(len(c), dtype=torch.float64)
    return lambda p: (torch.exp(1j * math.pi * p[..., :1] * k) * c).real.sum(dim=-1, keepdim=True)


def test_the_method_moves_a_soliton():
    n, times = 512, np.linspace(0.0, 0.25, 2001)
    x = torch.from_numpy(-1.0 + 2.0 * np.arange(n) / n)
    places = torch.stack([x, torch.zeros_like(x)], dim=1)
    c = np.fft.rfft(soliton(places).numpy()[:, 0])[:160] * (2.0 / n) * np.exp(1j * math.pi * np.arange(160))
    c[0] /= 2.0
    found = motion(c, times, D)
    for t in (0.0, 0.1, 0.25):
        places[:, 1] = t
        truth = soliton(places).numpy()[:, 0]
        assert np.abs(series(found, x.numpy(), np.full(n, t)) - truth).max() < 1e-7 * HEIGHT


@pytest.mark.parametrize("dispersion, steps, bound", [(D, 16000, 1e-9), (float(SMOOTH), 4000, 1e-8)])
def test_the_reference_has_converged(dispersion, steps, bound):
    """Of order 4: half the steps err 16 times as much, so that the finer one errs by 1/15 of the difference."""
    fine, half = (reference(dispersion, steps=n) for n in (steps, steps // 2))
    assert np.abs(fine.states[::2] - half.states).max() < bound


def test_more_modes_change_nothing():
    some, many = (reference(D, steps=2000, modes=modes) for modes in (144, 192))
    assert np.abs(some.states - many.states[:, :144]).max() < 1e-10
    assert np.abs(many.states[:, 144:]).max() < 1e-11


def test_between_steps_it_is_what_it_is_at_steps():
    """Interpolated from every other step, the answer at the others errs 16 times as much."""
    fine, steps = reference(), slice(1, None, 64)
    half = History(fine.times[::2], fine.states[::2], fine.rates[::2])
    x = np.linspace(-1.0, 1.0, len(fine.times[steps]))
    t = fine.times[steps]
    assert np.abs(series(half, x, t) - series(fine, x, t)).max() < 16e-9


def test_the_reference_is_that_of_a_second_method():
    """DOP853 with the dispersion integrated exactly, on values, without the functions of the reference."""
    n, end = 192, 0.36
    k = np.fft.fftfreq(n, 1.0 / n) * math.pi
    turn = 1j * D * k**3

    def rate(t, v):
        u = np.fft.ifft(v * np.exp(turn * t)).real
        return -0.5j * k * np.fft.fft(u * u) * np.exp(-turn * t)

    x = -1.0 + 2.0 * np.arange(n) / n
    begin = np.fft.fft(np.cos(math.pi * x))
    found = solve_ivp(rate, (0.0, end), begin, "DOP853", rtol=1e-11, atol=1e-10)
    u = np.fft.ifft(found.y[:, -1] * np.exp(turn * end)).real
    truth = solution(torch.from_numpy(np.stack([x, np.full(n, end)], axis=1))).numpy()[:, 0]
    assert np.abs(u - truth).max() < 2e-9


@pytest.mark.parametrize("d, steps", [(D, 16000), (float(SMOOTH), 4000)])
def test_what_is_kept_is_kept(d, steps):
    kept = np.stack([invariants(c, d) for c in reference(d, steps=steps).states[:: steps // 40]])
    wanted = np.array([0.0, 1.0, d * math.pi**2 / 2.0])
    np.testing.assert_allclose(kept, np.broadcast_to(wanted, kept.shape), rtol=0, atol=1e-10)


def test_invariants_are_those_of_quadrature():
    c = reference().states[7000]
    x, w = np.polynomial.legendre.leggauss(400)
    waves = np.exp(1j * math.pi * x[:, None] * np.arange(len(c)))
    u, slope = (waves @ c).real, (waves @ (1j * math.pi * np.arange(len(c)) * c)).real
    by_hand = [w @ u, w @ u**2, w @ (D * slope**2 / 2.0 - u**3 / 6.0)]
    np.testing.assert_allclose(invariants(c), by_hand, rtol=0, atol=1e-12)


def test_the_equation_holds_for_a_soliton():
    p = inside(DOMAIN, 60)
    p[:, 0] = p[:, 1] + 3.0 * WIDTH * p[:, 0]  # where it is
    p = p[p[:, 0] < 1.0]
    assert violation(equation(), soliton, p) < 1e-9
    assert violation(equation(SMOOTH), soliton, p) > 1.0


def test_the_rules_of_what_is_kept_hold_for_the_solution():
    smooth = float(SMOOTH)
    for rule, tolerance in ((mass(64), 1e-10), (momentum(64), 1e-8), (energy(SMOOTH, 64), 1e-7)):
        assert not is_hard(rule)
        for t in (0.0, 0.35, 0.7, 1.0):
            p = torch.tensor([[0.3, t]], dtype=torch.float64)
            assert violation(rule, at(t, smooth), p.clone()) < tolerance
            assert violation(rule, lambda p, t=t: 0.1 + at(t, smooth)(p), p.clone()) > 1e-4


def test_equal_places_are_enough_for_solitons():
    """The sums that the rules are, of 128 places, at every hundredth of the time."""
    k, x = np.arange(144), -1.0 + np.arange(128) / 64.0
    waves = np.exp(1j * math.pi * x[:, None] * k)
    c = reference().states[::160].T
    sums = (D / 2.0 * (waves @ (1j * math.pi * k[:, None] * c)).real ** 2 - (waves @ c).real ** 3 / 6.0).mean(axis=0)
    assert np.abs(2.0 * ((waves @ c).real ** 2).mean(axis=0) - 1.0).max() < 5e-8
    assert np.abs(2.0 * sums - D * math.pi**2 / 2.0).max() < 3e-4 * D * math.pi**2 / 2.0


def test_conditions():
    assert violation(start(), solution_with_graph, inside(DOMAIN)) < 1e-12
    for t in (0.2, 1.0):
        assert violation(periodic(), at(t), torch.tensor([[0.0, t]], dtype=torch.float64)) < 1e-8
    assert violation(periodic(), lambda p: p[:, :1], inside(DOMAIN)) == pytest.approx(2.0)
    assert held([start(), periodic()], DOMAIN, 3, 1) < 1e-12
    assert not is_hard(equation())


def solution_with_graph(p):
    return solution(p) + 0.0 * p[:, :1]


def test_points_of_any_order_and_dtype():
    p = inside(DOMAIN, 700)
    once = solution(p)
    torch.testing.assert_close(solution(p.flip(0)).flip(0), once, rtol=0, atol=1e-14)
    torch.testing.assert_close(torch.cat([solution(one[None]) for one in p[:5]]), once[:5], rtol=0, atol=1e-13)
    assert solution(p.float()).dtype == torch.float64
    assert solution(grid(21, 11)).shape == (231, 1) and bool(solution(grid(21, 11)).isfinite().all())
