"""Allen and Cahn's problem: the reference has converged, is that of a second method, and obeys what is known of it."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import dct

from benchmarks.fields.allen_cahn import (
    DOMAIN,
    _start,
    bounds,
    equation,
    free_energy,
    grid,
    mirror,
    motion,
    periodic,
    reference,
    solution,
    start,
)
from benchmarks.fields.spectral import series
from constraints import Hard, InfeasibleError, SpecificationError
from constraints.embeddings import join
from tests.benchmarks.fields.laws import held, inside, is_hard, network, violation

X = np.concatenate([np.linspace(-1.0, 1.0, 201), 1.0 - np.logspace(-5, -1, 50)])


def difference(one, other, t):
    return np.abs(series(one, X, np.full(len(X), t)) - series(other, X, np.full(len(X), t))).max()


def test_the_reference_is_that_of_a_second_method():
    """Strang's splitting: reaction and diffusion each solved exactly, in turn; extrapolated in the step."""
    n, end, found = 1024, 0.5, []
    x, k = np.arange(n + 1) / n, math.pi * np.arange(n + 1)

    def react(u, h):
        grown = math.exp(5.0 * h)
        return u * grown / np.sqrt(1.0 + u**2 * (grown**2 - 1.0))

    for steps in (500, 1000):
        h, u = end / steps, x**2 * np.cos(math.pi * x)
        fall = np.exp(-1e-4 * k**2 * h)
        for _ in range(steps):
            u = react(dct(fall * dct(react(u, h / 2.0), 1), 1) / (2.0 * n), h / 2.0)
        found.append(u)
    truth = solution(torch.from_numpy(np.stack([x, np.full(n + 1, end)], axis=1))).numpy()[:, 0]
    assert np.abs(found[1] + (found[1] - found[0]) / 3.0 - truth).max() < 1e-6


def test_the_kink_is_resolved_as_fast_as_is_said():
    times = reference().times
    many = motion(_start(6145), times[times <= 0.004])
    for t, bound in ((1e-4, 6e-5), (1e-3, 3e-7), (0.003, 1e-10)):
        assert 1e-4 * bound < difference(reference(), many, t) < bound


def test_half_the_modes_are_enough():
    half = reference(modes=1025)
    assert max(difference(reference(), half, t) for t in (0.012, 0.1, 0.555, 1.0)) < 1e-10


def test_smaller_steps_change_nothing():
    some, fine = reference(modes=1025), reference(modes=1025, steps=1500, octave=64)
    assert max(difference(some, fine, t) for t in (1e-5, 1e-3, 0.01, 0.1, 0.3333, 0.7, 0.9993, 1.0)) < 1e-10


def test_a_front_at_rest_solves_the_equation():
    steep = math.sqrt(5.0 / 2e-4)
    p = inside(DOMAIN, 50)
    p[:, 0] /= 50.0
    assert violation(equation(), lambda p: torch.tanh(steep * p[:, :1]), p) < 1e-10
    assert violation(equation(), lambda p: torch.tanh(2.0 * steep * p[:, :1]), p) > 1.0


def test_free_energy_falls():
    fallen = [free_energy(c) for c in reference().states[::10]]
    assert max(np.diff(fallen)) < 0.0 and fallen[0] > 1.9 > 0.3 > fallen[-1] > 0.0
    x, w = np.polynomial.legendre.leggauss(2000)
    c = reference().states[-1]
    u = series(reference(), x, np.ones_like(x))
    slope = -np.sin(math.pi * x[:, None] * np.arange(len(c))) @ (math.pi * np.arange(len(c)) * c)
    assert w @ (0.5e-4 * slope**2 + 1.25 * (1.0 - u**2) ** 2) == pytest.approx(free_energy(c), abs=1e-9)


def test_the_solution_obeys_what_is_known_of_it():
    p = grid(101, 41)
    u = solution(p)
    assert float(bounds().measure(None, p, u).max()) == 0.0
    assert float(bounds().measure(None, p, 2.0 * u).max()) > 0.5
    assert float(u.abs().max()) <= 1.0
    torch.testing.assert_close(solution(p * torch.tensor([-1.0, 1.0])), u, rtol=0, atol=1e-14)

    def smooth(p):
        return solution(p) + 0.0 * p[:, :1]

    assert violation(start(), smooth, inside(DOMAIN)) < 1e-15
    assert violation(mirror(), smooth, inside(DOMAIN)) < 1e-14
    assert violation(start(), lambda p: smooth(p) + p[:, :1], inside(DOMAIN)) > 0.1
    assert violation(mirror(), lambda p: smooth(p) + p[:, :1], inside(DOMAIN)) > 0.1


def test_the_start_has_a_kink_where_it_repeats_itself():
    def wave(p):
        return p[:, :1] ** 2 * torch.cos(math.pi * p[:, :1])

    assert violation(periodic(), wave, inside(DOMAIN)) == pytest.approx(4.0)
    with pytest.raises(InfeasibleError, match="contradict each other"):
        join(network(3, 1), {"start": Hard(start()), "periodic": Hard(periodic())})
    assert violation(periodic(), lambda p: torch.cos(math.pi * p[:, :1]), inside(DOMAIN)) < 1e-12


def test_what_can_be_hard():
    assert held([start(), mirror()], DOMAIN, 2, 1) < 1e-14
    assert held([periodic(), mirror()], DOMAIN, 3, 1) < 1e-13
    assert held([bounds()], DOMAIN, 2, 1) == 0.0
    assert not is_hard(equation())


def test_the_series_of_the_start_is_the_start():
    x = np.linspace(-0.9, 0.9, 50)
    assert np.abs(series(reference(), x, np.zeros(50)) - x**2 * np.cos(math.pi * x)).max() < 1e-5


def test_growth_weighs_the_same_residual():
    x, model = inside(DOMAIN, 20), network(2, 1)
    plain, weighed = (equation(growth=growth).evaluate(model, x, model(x)) for growth in (0.0, 2.0))
    assert (
        torch.allclose(weighed, plain * torch.exp(2.0 * (0.5 - x[:, 1:])), rtol=1e-12) and float(plain.abs().max()) > 0
    )


@pytest.mark.parametrize("growth", [-1.0, math.inf, math.nan])
def test_a_rate_that_is_none_is_refused(growth):
    with pytest.raises(SpecificationError, match="finite growth >= 0, got"):
        equation(growth=growth)
