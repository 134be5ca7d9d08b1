r"""A rod with insulated ends, whose conductivity is sought from noisy thermometers.

    u_t = k u_xx,   x in [0, 1],   t in [0, 1],   u_x(0, t) = u_x(1, t) = 0,   u(x, 0) = (1 + cos^3(pi x)) / 2
    u(x, t) = 1/2 + 3/8 e^(-k pi^2 t) cos(pi x) + 1/8 e^(-9 k pi^2 t) cos(3 pi x),   k = 0.1

All in units of the rod: `k` is the diffusivity, conductivity over heat capacity. No heat is lost (`content`), and none
gathers: u is never outside the bounds of the start, [0, 1] (`bounds`, the maximum principle). The same by temperature
and flux: `balance` is linear with constant coefficients, `law` has the unknown.

Source: Raissi, Perdikaris and Karniadakis, "Physics-informed neural networks", J. Comput. Phys. 378, 2019,
doi:10.1016/j.jcp.2018.10.045, for fields with unknown coefficients; Evans, "Partial differential equations", section
2.3, for the maximum principle.
"""

from __future__ import annotations

import math

import sympy
import torch
from torch import Tensor

from benchmarks.fields.rectangle import rectangle
from constraints import FieldRule, Learnable, Measurements, OutputRule, declare
from constraints.equations import heat

__all__ = [
    "CONDUCTIVITY",
    "DOMAIN",
    "NOISE",
    "balance",
    "bounds",
    "content",
    "equation",
    "grid",
    "law",
    "least_deviation",
    "measured",
    "sensors",
    "solution",
    "start",
    "temperature_and_flux",
    "walls",
]

CONDUCTIVITY = 0.1
SENSORS, READINGS, NOISE = 30, 20, 0.01
X, T, K = sympy.symbols("x t k")
FIELD = sympy.Function("u")
U = FIELD(X, T)
FLUX = sympy.Function("q")(X, T)
DOMAIN = {X: (0.0, 1.0), T: (0.0, 1.0)}
SOURCE = "doi:10.1016/j.jcp.2018.10.045"


def solution(points: Tensor, conductivity: float | Tensor = CONDUCTIVITY) -> Tensor:
    """The temperature at points `(*batch, 2)`, `x` and `t`; `(*batch, 1)`.

    Args:
        points: in the domain.
        conductivity: `k`.

    Example:
        >>> solution(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.7]], dtype=torch.float64)).round(decimals=12)
        tensor([[1.0000],
                [0.0000],
                [0.5000]], dtype=torch.float64)
    """
    return temperature_and_flux(points, conductivity)[..., :1]


def temperature_and_flux(points: Tensor, conductivity: float | Tensor = CONDUCTIVITY) -> Tensor:
    """Temperature, and heat that flows to the right, at points `(*batch, 2)`; `(*batch, 2)`.

    Args:
        points: in the domain.
        conductivity: `k`.

    Example:
        >>> temperature_and_flux(torch.tensor([[0.0, 0.0]]))
        tensor([[1., 0.]])
    """
    x, t = points.unbind(-1)
    u, q = torch.full_like(x, 0.5), torch.zeros_like(x)
    for size, waves in ((3.0 / 8.0, 1), (1.0 / 8.0, 3)):
        wave = waves * math.pi
        left = size * torch.exp(-conductivity * wave**2 * t)
        u = u + left * torch.cos(wave * x)
        q = q + conductivity * wave * left * torch.sin(wave * x)
    return torch.stack([u, q], dim=-1)


def grid(columns: int = 101, rows: int = 101) -> Tensor:
    """Where answers are tested, `(columns * rows, 2)`, both ends of both coordinates among them."""
    return rectangle(DOMAIN, columns, rows)


def sensors(
    seed: int, *, count: int = SENSORS, readings: int = READINGS, noise: float = NOISE
) -> tuple[Tensor, Tensor]:
    """Thermometers at places drawn uniformly, each read at the same equally spaced times, the last of them the end.

    Args:
        seed: of places and noise.
        count: thermometers.
        readings: of each.
        noise: standard deviation; the rod is between 0 and 1.

    Returns:
        Places and times `(count * readings, 2)`, and what was read `(count * readings, 1)`.

    Example:
        >>> points, values = sensors(0, count=3, readings=2, noise=0.0)
        >>> points[:, 1].tolist(), bool((values == solution(points)).all())
        ([0.5, 1.0, 0.5, 1.0, 0.5, 1.0], True)
    """
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(count, generator=generator, dtype=torch.float64)
    times = torch.arange(1, readings + 1, dtype=torch.float64) / readings
    points = torch.cartesian_prod(places, times)
    return points, solution(points) + noise * torch.randn(len(points), 1, generator=generator, dtype=torch.float64)


def least_deviation(points: Tensor, noise: float = NOISE, conductivity: float = CONDUCTIVITY) -> float:
    r"""What no unbiased estimate of `k` can be below: its least standard deviation, relative to `k`.

    .. math:: \frac{\sigma}{k} \Big(\sum_i \big(\partial u(p_i) / \partial k\big)^2\Big)^{-1/2}

    by Cramér and Rao, for one who knows all but `k`.

    Args:
        points: where and when thermometers are read, `(n, 2)`.
        noise: :math:`\sigma`.
        conductivity: `k`.

    Example:
        >>> round(least_deviation(sensors(0)[0]), 4)
        0.0063
    """
    k = torch.tensor(conductivity, dtype=points.dtype)
    slope = torch.func.jacfwd(lambda k: solution(points, k))(k)
    return noise / conductivity / float(slope.norm())


def measured(points: Tensor, values: Tensor, *, noise: float = NOISE) -> Measurements:
    """What the thermometers showed, in deviations of their noise."""
    return Measurements(points, values, outputs=[0], deviation=noise, name="thermometers")


def equation() -> FieldRule:
    """The equation at the model's inputs, its conductivity learnt within [0.001, 1]; it cannot be Hard."""
    return declare(
        heat(U, K),
        fields=[U],
        domain=DOMAIN,
        draws=0,
        parameters={K: _unknown()},
        name="heat",
        source=SOURCE,
    )


def start() -> FieldRule:
    """The initial temperature; can be Hard, with the walls."""
    statement = sympy.Eq(FIELD(X, 0), (1 + sympy.cos(sympy.pi * X) ** 3) / 2)
    return declare(statement, fields=[U], domain=DOMAIN, draws=0, name="start", source=SOURCE)


def walls() -> FieldRule:
    """No heat passes the ends; can be Hard, with the start."""
    statements = [sympy.Eq(U.diff(X).subs(X, end), 0) for end in (0, 1)]
    return declare(statements, fields=[U], domain=DOMAIN, draws=0, name="insulated", source=SOURCE)


def content() -> FieldRule:
    """The heat in the rod is 1/2 at the times of the model's inputs, whatever `k` is; an integral cannot be Hard."""
    statement = sympy.Eq(sympy.Integral(U, (X, 0, 1)), sympy.Rational(1, 2))
    return declare(statement, fields=[U], domain=DOMAIN, draws=0, name="heat content", source=SOURCE)


def bounds() -> OutputRule:
    """The maximum principle: within [0, 1]; can be Hard (a clip)."""
    u = sympy.Symbol("u")
    return declare([u >= 0, u <= 1], outputs={u: 0}, name="maximum principle")


def balance() -> FieldRule:
    """Of temperature and flux: what flows in stays, u_t = -q_x; can be Hard, by a potential."""
    return declare(sympy.Eq(U.diff(T), -FLUX.diff(X)), fields=[U, FLUX], domain=DOMAIN, draws=0, name="balance")


def law() -> FieldRule:
    """Of temperature and flux: Fourier's law q = -k u_x, `k` learnt; not Hard, as `k` is unknown."""
    return declare(
        sympy.Eq(FLUX, -K * U.diff(X)),
        fields=[U, FLUX],
        domain=DOMAIN,
        draws=0,
        parameters={K: _unknown()},
        name="Fourier's law",
    )


def _unknown() -> Learnable:
    return Learnable(initial=0.2, low=0.001, high=1.0)
