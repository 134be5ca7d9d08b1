"""Downscaling: fields with the stated properties, and every form for a few steps."""

import numpy as np
import pytest
import torch

from benchmarks.downscaling.exhibits import forms, slices
from benchmarks.downscaling.field import ROUGHER, USUAL, WETTER, Climate, coarsen, water_fields
from benchmarks.downscaling.network import Upsampler
from benchmarks.downscaling.task import Downscaling, Downscaling8, DownscalingProfile


def fields(climate, count=60, size=32, seed=0):
    return water_fields(count, size, climate, np.random.default_rng(seed))


def test_fields_are_deterministic_and_positive():
    one, two = fields(USUAL, 3), fields(USUAL, 3)
    np.testing.assert_array_equal(one, two)
    assert one.shape == (3, 32, 32)
    assert (one > 0).all()
    assert not np.array_equal(one, fields(USUAL, 3, seed=1))


def test_climates_differ_as_they_say():
    usual, wetter, rougher = (fields(climate) for climate in (USUAL, WETTER, ROUGHER))
    assert abs(usual.mean() / USUAL.mean - 1) < 0.15
    np.testing.assert_allclose(wetter / usual, WETTER.mean / USUAL.mean)
    spread = {name: np.log(f).std() for name, f in (("usual", usual), ("rougher", rougher))}
    assert abs(spread["usual"] / USUAL.spread - 1) < 0.2
    assert spread["rougher"] > spread["usual"]
    # What a coarse cell does not show is what downscaling is about: more of it in the rougher climate.
    hidden = [np.log(f) - np.kron(coarsen(np.log(f), 4), np.ones((4, 4))) for f in (usual, rougher)]
    assert hidden[1].std() > 1.5 * hidden[0].std()


def test_the_spectrum_falls_with_the_stated_slope():
    steep, flat = (Climate(slope=slope, mean=15.0, spread=0.5) for slope in (3.5, 1.5))

    def slope(climate):
        power = np.zeros((32, 32))
        for field in np.log(fields(climate, 40)):
            window = np.hanning(32)[:, None] * np.hanning(32)
            power += np.abs(np.fft.fft2((field - field.mean()) * window)) ** 2
        k = np.hypot(*np.meshgrid(np.fft.fftfreq(32, 1 / 32), np.fft.fftfreq(32, 1 / 32)))
        rings = [(r, power[(k >= r - 0.5) & (k < r + 0.5)].sum()) for r in range(3, 12)]
        return np.polyfit(*np.log(np.array(rings).T), 1)[0]

    # The flow stirs, which moves power to small scales: slopes are less steep than those of `g`, but in order.
    assert slope(steep) < slope(flat) - 1.0


def test_coarse_cells_are_means():
    f = fields(USUAL, 2)
    torch.testing.assert_close(torch.from_numpy(coarsen(f, 8)), torch.nn.functional.avg_pool2d(torch.from_numpy(f), 8))
    assert coarsen(f, 8).shape == (2, 4, 4)


@pytest.mark.parametrize("doublings", [2, 3])
def test_the_network_makes_fields_of_any_size_finer(doublings):
    assert Upsampler(doublings)(torch.zeros(2, 4, 6)).shape == (2, 4 * 2**doublings, 6 * 2**doublings)


@pytest.mark.parametrize("cls", [Downscaling, Downscaling8])
def test_every_arm_trains_and_every_form_conserves(run_arms, cls):
    _, store = run_arms(cls, DownscalingProfile(seeds=2, epochs=1, rounds=1, train=8, test=4, size=16, width=8))
    cells = {cell["arm"]: cell["metrics"] for cell in store.cells()}
    assert len(cells) == 10
    for arm, metrics in cells.items():
        if arm in ("none", "soft", "lagrangian"):
            assert metrics["mass_violation"] > 0.1
        else:
            worst = [metrics[name] for name in metrics if name.startswith("mass_violation")]
            assert max(worst) < 1e-3  # kg/m^2, of float32
    for arm in ("softmax", "simplex"):
        assert cells[arm]["negative"] == 0.0
    assert len(forms(store.cells(), []).rows) == len(slices(store.cells()).rows) == 11
