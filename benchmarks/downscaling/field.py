r"""Fields of water content: positive, intermittent, with fronts; generated, so that nothing is downloaded.

1. A Gaussian field `g` with the isotropic spectrum :math:`E(k) \propto k^{-\beta}`, unit variance, on a periodic grid
   twice as wide as what is kept.
2. Fronts: `g` is carried by a frozen flow without divergence, whose stream function has the spectrum
   :math:`k^{-5}`, over a distance of a quarter of the kept width (in the mean square); departure points by eight Euler
   steps backwards, values there by cubic splines.
3. Water content :math:`q = \bar q\,\exp(\sigma g - \sigma^2 / 2)`, log-normal, in kg/m^2, of which one quarter of
   the grid is kept: what is left is not periodic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

__all__ = ["ROUGHER", "USUAL", "WETTER", "Climate", "coarsen", "water_fields"]

Array = NDArray[np.float64]
STEPS = 8


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Climate:
    """What the fields are like.

    Attributes:
        slope: `beta` of the spectrum.
        mean: mean water content, kg/m^2.
        spread: `sigma`, standard deviation of its logarithm.
    """

    slope: float
    mean: float
    spread: float


USUAL = Climate(slope=2.5, mean=15.0, spread=0.5)
WETTER = Climate(slope=2.5, mean=24.0, spread=0.5)
ROUGHER = Climate(slope=1.7, mean=15.0, spread=0.7)


def water_fields(count: int, size: int, climate: Climate, rng: np.random.Generator) -> Array:
    """Fields of water content in kg/m^2.

    Args:
        count: how many.
        size: cells along each side.
        climate: what they are like.
        rng: random numbers.

    Returns:
        `(count, size, size)`, positive.

    Example:
        >>> fields = water_fields(2, 8, USUAL, np.random.default_rng(0))
        >>> fields.shape, bool((fields > 0).all())
        ((2, 8, 8), True)
    """
    wide = 2 * size
    fields = np.empty((count, size, size))
    for index in range(count):
        g = _gaussian(wide, climate.slope, rng)[0]
        moved = _advect(g, _flow(wide, rng), distance=size / 4)
        log = climate.spread * moved / g.std() - climate.spread**2 / 2
        fields[index] = climate.mean * np.exp(log[:size, :size])
    return fields


def coarsen(fields: Array, factor: int) -> Array:
    """The mean over blocks of `factor` x `factor` cells, `(*batch, H, W)` to `(*batch, H / factor, W / factor)`."""
    *batch, height, width = fields.shape
    blocks = fields.reshape(*batch, height // factor, factor, width // factor, factor)
    means: Array = blocks.mean(axis=(-3, -1))
    return means


def _gaussian(n: int, slope: float, rng: np.random.Generator) -> tuple[Array, NDArray[np.complex128], Array, Array]:
    """A periodic Gaussian field of mean 0, its transform, and the wave numbers along both axes."""
    kx, ky = np.meshgrid(np.fft.fftfreq(n, 1 / n), np.fft.fftfreq(n, 1 / n), indexing="ij")
    k = np.hypot(kx, ky)
    # A spectrum k^-slope over rings, of length 2 pi k, is a density k^-(slope + 1) in the plane.
    amplitude = np.where(k > 0, np.where(k > 0, k, 1.0) ** (-(slope + 1) / 2), 0.0)
    transform = np.fft.fft2(rng.standard_normal((n, n))) * amplitude
    return np.fft.ifft2(transform).real, transform, kx, ky


def _flow(n: int, rng: np.random.Generator) -> Array:
    """A periodic velocity without divergence and of unit mean square, `(2, n, n)`."""
    _, stream, kx, ky = _gaussian(n, 5.0, rng)
    velocity = np.stack([np.fft.ifft2(1j * ky * stream).real, np.fft.ifft2(-1j * kx * stream).real])
    scaled: Array = velocity / np.sqrt((velocity**2).sum(axis=0).mean())
    return scaled


def _advect(field: Array, velocity: Array, distance: float) -> Array:
    """What a field becomes when a steady flow carries it over `distance` cells in the mean square."""
    start = np.stack(np.meshgrid(*(np.arange(n, dtype=float) for n in field.shape), indexing="ij"))
    points = start
    for _ in range(STEPS):
        here = np.stack([map_coordinates(part, points, order=1, mode="grid-wrap") for part in velocity])
        points = points - here * (distance / STEPS)
    carried: Array = map_coordinates(field, points, order=3, mode="grid-wrap")
    return carried
