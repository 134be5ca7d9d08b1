r"""Stiff equations of coefficients, c' = L c + N(c), by exponential Runge-Kutta steps of order 4, and sums of them.

Source: Kassam and Trefethen, "Fourth-order time-stepping for stiff PDEs", SIAM J. Sci. Comput. 26, 2005,
doi:10.1137/S1064827502410633, whose scheme is Cox and Matthews' ETDRK4, doi:10.1006/jcph.2002.6995.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "History", "evolve", "series"]

Array: TypeAlias = NDArray[Any]
"""Of real or complex numbers in double precision."""

CONTOUR = 32
NEGLIGIBLE = 1e-15
CHUNK = 256


@final
@dataclass(frozen=True, slots=True)
class History:
    """Coefficients at times, and at any time between them.

    Attributes:
        times: rising, `(steps,)`.
        states: coefficients, `(steps, modes)`.
        rates: their derivatives by time, `(steps, modes)`.
    """

    times: Array
    states: Array
    rates: Array

    def at(self, t: Array, modes: int | None = None) -> Array:
        """Coefficients at times `(n,)`, the first `modes` of them, by Hermite's cubic: `(n, modes)`.

        Example:
            >>> cube = History(np.array([0.0, 1.0]), np.array([[0.0], [1.0]]), np.array([[0.0], [3.0]]))
            >>> cube.at(np.array([0.5])).tolist()
            [[0.125]]
        """
        i = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, len(self.times) - 2)
        step = (self.times[i + 1] - self.times[i])[:, None]
        s = (t - self.times[i])[:, None] / step
        kept = slice(0, modes)
        c: Array = (
            (1.0 + 2.0 * s) * (1.0 - s) ** 2 * self.states[i, kept]
            + s**2 * (3.0 - 2.0 * s) * self.states[i + 1, kept]
            + s * (1.0 - s) * step * ((1.0 - s) * self.rates[i, kept] - s * self.rates[i + 1, kept])
        )
        return c


def evolve(linear: Array, nonlinear: Callable[[Array], Array], start: Array, times: Array) -> History:
    r"""Coefficients from a start on, one ETDRK4 step from each time to the next.

    .. math:: \varphi\text{-functions by the mean over a circle of radius 1 about each } h L_k

    Args:
        linear: :math:`L`, a number for each mode, real or imaginary, `(modes,)`.
        nonlinear: :math:`N`.
        start: the coefficients at the first time, `(modes,)`.
        times: rising, `(steps,)`; steps of a few sizes, each of which costs once.

    Example:
        >>> fall = evolve(np.array([-1e4]), np.cos, np.array([1.0]), np.linspace(0.0, 1.0, 3))
        >>> bool(abs(fall.states[-1, 0] - 1e-4) < 1e-10)  # c = cos(c) / 1e4, where it has come to rest
        True
    """
    weights: dict[float, tuple[Array, ...]] = {}
    states, rates = [start], []
    for step in np.diff(times):
        h = float(f"{step:.12e}")  # equal steps differ by their rounding
        if h not in weights:
            weights[h] = _weights(linear, h)
        whole, half, q, f1, f2, f3 = weights[h]
        v = states[-1]
        nv = nonlinear(v)
        a = half * v + q * nv
        na = nonlinear(a)
        b = half * v + q * na
        nb = nonlinear(b)
        c = half * a + q * (2.0 * nb - nv)
        nc = nonlinear(c)
        rates.append(linear * v + nv)
        states.append(whole * v + f1 * nv + 2.0 * f2 * (na + nb) + f3 * nc)
    rates.append(linear * states[-1] + nonlinear(states[-1]))
    return History(times, np.stack(states), np.stack(rates))


def series(history: History, x: Array, t: Array) -> Array:
    r""":math:`\mathrm{Re} \sum_k c_k(t)\,e^{i \pi k x}` at places and times `(n,)`.

    Modes that are too small to matter, at the times near, are left out.

    Example:
        >>> still = History(np.array([0.0, 1.0]), np.array([[1.0, 2.0]] * 2), np.zeros((2, 2)))
        >>> series(still, np.array([0.0, 1.0]), np.array([0.2, 0.7])).round(12).tolist()
        [3.0, -1.0]
    """
    u = np.empty(len(x))
    size = np.abs(history.states)
    kept = size.shape[1] - np.argmax(size[:, ::-1] > NEGLIGIBLE * size.max(), axis=1)  # modes that matter, by time
    order = np.argsort(t, kind="stable")
    for start in range(0, len(x), CHUNK):
        rows = order[start : start + CHUNK]
        first = max(int(np.searchsorted(history.times, t[rows[0]], side="right")) - 1, 0)
        last = int(np.searchsorted(history.times, t[rows[-1]], side="right")) + 1
        modes = int(kept[first:last].max())
        c = history.at(t[rows], modes)
        angle = math.pi * x[rows][:, None] * np.arange(modes)
        u[rows] = (c.real * np.cos(angle)).sum(axis=1)
        if np.iscomplexobj(c):
            u[rows] -= (c.imag * np.sin(angle)).sum(axis=1)
    return u


def _weights(linear: Array, h: float) -> tuple[Array, ...]:
    """The numbers of a step of size `h`: two exponentials, and the weights of stages and of their sum."""
    circle = np.exp(2j * math.pi * (np.arange(CONTOUR) + 0.5) / CONTOUR)
    z = h * linear[:, None] + circle
    e = np.exp(z)
    means = (
        h * ((np.exp(z / 2.0) - 1.0) / z).mean(axis=1),
        h * ((-4.0 - z + e * (4.0 - 3.0 * z + z**2)) / z**3).mean(axis=1),
        h * ((2.0 + z + e * (z - 2.0)) / z**3).mean(axis=1),
        h * ((-4.0 - 3.0 * z - z**2 + e * (4.0 - z)) / z**3).mean(axis=1),
    )
    real = not np.iscomplexobj(linear)
    return np.exp(h * linear), np.exp(h * linear / 2.0), *(m.real if real else m for m in means)
