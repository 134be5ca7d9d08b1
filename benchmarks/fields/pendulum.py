r"""A pendulum's motion, learnt as a vector field from noisy swings, and what mechanics knows of any such field.

    theta' = f(theta, omega),   omega' = g(theta, omega);   in truth f = omega, g = -sin(theta)

in units of sqrt(length / gravity). The model gives (f, g) of (theta, omega). Rules, from the weakest to the strongest:
`mirror` (time runs backwards as well), `hamiltonian` (some energy is kept, so that no volume of states shrinks),
`kinematics` (omega is the rate of theta), `conservation` (the true energy is kept); these two leave nothing to learn.

    energy = omega^2 / 2 + 1 - cos(theta),   period = 4 K(m),   m = sin^2(a / 2),  a the amplitude
    theta = 2 arcsin(sqrt(m) cd(t | m)),   omega = -2 sqrt(m (1 - m)) sd(t | m)      from theta = a at rest

Source: Greydanus, Dzamba and Yosinski, "Hamiltonian neural networks", NeurIPS 2019, arXiv:1906.01563; for the mirror
Huh et al., "Time-reversal symmetric ODE network", NeurIPS 2020, arXiv:2007.11362; for Jacobi's functions Abramowitz and
Stegun, chapter 16.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import sympy
import torch
from scipy.special import ellipj, ellipk
from torch import Tensor

from benchmarks.fields.rectangle import rectangle
from constraints import FieldRule, OutputRule, declare
from constraints.errors import SpecificationError

__all__ = [
    "DOMAIN",
    "NOISE",
    "conservation",
    "energy",
    "field",
    "grid",
    "hamiltonian",
    "kinematics",
    "mirror",
    "period",
    "periodic",
    "roll_out",
    "solution",
    "trajectories",
]

ANGLE, SPEED = sympy.symbols("theta omega")
RATES = tuple(sympy.Function(name)(ANGLE, SPEED) for name in "fg")
F, G = sympy.symbols("f g")
DOMAIN = {ANGLE: (-math.pi, math.pi), SPEED: (-2.5, 2.5)}
NOISE = 0.02
SOURCE = "arXiv:1906.01563"


def field(points: Tensor) -> Tensor:
    """The true rates at states `(*batch, 2)`, angle and speed; `(*batch, 2)`.

    Example:
        >>> field(torch.tensor([[0.0, 1.5]]))
        tensor([[1.5000, -0.0000]])
    """
    angle, speed = points.unbind(-1)
    return torch.stack([speed, -torch.sin(angle)], dim=-1)


def energy(points: Tensor) -> Tensor:
    """Of states `(*batch, 2)`, 0 at rest; `(*batch,)`.

    Example:
        >>> energy(torch.tensor([[0.0, 2.0]]))
        tensor([2.])
    """
    angle, speed = points.unbind(-1)
    return speed.square() / 2.0 + 2.0 * torch.sin(angle / 2.0).square()


def period(amplitude: float) -> float:
    """Of a swing.

    Raises:
        SpecificationError: an amplitude that is not between 0 and pi.

    Example:
        >>> round(period(1e-6) / math.pi, 12)
        2.0
    """
    return 4.0 * float(ellipk(_parameter(amplitude)))


def solution(amplitude: float, times: Tensor) -> Tensor:
    """States at times `(n,)`, however late, of a swing from rest; `(n, 2)`.

    Raises:
        SpecificationError: an amplitude that is not between 0 and pi.

    Example:
        >>> solution(1.0, torch.zeros(1, dtype=torch.float64)).round(decimals=12).abs()
        tensor([[1., 0.]], dtype=torch.float64)
    """
    m = _parameter(amplitude)
    sn, cn, dn, _ = (torch.from_numpy(part) for part in ellipj(times.double().numpy(), m))
    angle = 2.0 * torch.asin((math.sqrt(m) * cn / dn).clamp(-1.0, 1.0))
    return torch.stack([angle, -2.0 * math.sqrt(m * (1.0 - m)) * sn / dn], dim=-1)


def trajectories(
    seed: int, *, count: int = 10, length: int = 40, duration: float = 6.0, noise: float = NOISE
) -> tuple[Tensor, Tensor]:
    """Times of samples `(length,)` and noisy states of swings of random amplitude, 0.2 to 2.8, `(count, length, 2)`.

    Example:
        >>> times, states = trajectories(0, noise=0.0)
        >>> states.shape, bool(energy(states).std(dim=1).max() < 1e-12)
        (torch.Size([10, 40, 2]), True)
    """
    generator = torch.Generator().manual_seed(seed)
    amplitudes = 0.2 + 2.6 * torch.rand(count, generator=generator, dtype=torch.float64)
    times = torch.linspace(0.0, duration, length, dtype=torch.float64)
    exact = torch.stack([solution(float(a), times) for a in amplitudes])
    return times, exact + noise * torch.randn(exact.shape, generator=generator, dtype=torch.float64)


def roll_out(rates: Callable[[Tensor], Tensor], start: Tensor, times: Tensor, *, substeps: int = 4) -> Tensor:
    """Where a learnt field takes states `(*batch, 2)`, by steps of Runge and Kutta's; `(*batch, len(times), 2)`.

    Args:
        rates: of states.
        start: at the first time.
        times: rising, `(n,)`.
        substeps: from each time to the next.

    Raises:
        SpecificationError: no step.

    Example:
        >>> late = roll_out(field, torch.tensor([1.0, 0.0], dtype=torch.float64), torch.linspace(0, 6, 61).double())
        >>> bool((late - solution(1.0, torch.linspace(0, 6, 61).double())).abs().max() < 1e-7)
        True
    """
    if substeps < 1:
        raise SpecificationError(f"`roll_out` needs substeps >= 1, got {substeps}")
    states, y = [start], start
    for step in times.diff():
        h = step / substeps
        for _ in range(substeps):
            a = rates(y)
            b = rates(y + h / 2.0 * a)
            c = rates(y + h / 2.0 * b)
            d = rates(y + h * c)
            y = y + h / 6.0 * (a + 2.0 * b + 2.0 * c + d)
        states.append(y)
    return torch.stack(states, dim=-2)


def grid(columns: int = 81, rows: int = 81) -> Tensor:
    """States at which the field is tested, `(columns * rows, 2)`, the bounds among them."""
    return rectangle(DOMAIN, columns, rows)


def hamiltonian() -> FieldRule:
    """No volume of states shrinks, f_theta + g_omega = 0; can be Hard alone, by an energy that the network gives."""
    f, g = RATES
    statement = sympy.Eq(f.diff(ANGLE) + g.diff(SPEED), 0)
    return declare(statement, fields=RATES, domain=DOMAIN, draws=0, name="Hamiltonian", source=SOURCE)


def mirror() -> FieldRule:
    """Time runs backwards as well: `f` is odd in omega, `g` even; can be Hard, with `periodic`."""
    statements = [sympy.Eq(r.subs(SPEED, -SPEED), sign * r) for r, sign in zip(RATES, (-1, 1), strict=True)]
    return declare(statements, fields=RATES, domain=DOMAIN, draws=0, name="reversible", source="arXiv:2007.11362")


def periodic() -> FieldRule:
    """A whole turn changes nothing; can be Hard, with `mirror`."""
    statements = [sympy.Eq(r.subs(ANGLE, -sympy.pi), r.subs(ANGLE, sympy.pi)) for r in RATES]
    return declare(statements, fields=RATES, domain=DOMAIN, draws=0, name="periodic")


def kinematics() -> OutputRule:
    """The speed is the rate of the angle, f = omega; can be Hard."""
    return declare(sympy.Eq(F, SPEED), outputs={F: 0, G: 1}, inputs={SPEED: 1}, name="kinematics")


def conservation() -> OutputRule:
    """The energy is kept, sin(theta) f + omega g = 0: linear in the rates, coefficients of the state; can be Hard."""
    statement = sympy.Eq(sympy.sin(ANGLE) * F + SPEED * G, 0)
    return declare(
        statement, outputs={F: 0, G: 1}, inputs={ANGLE: 0, SPEED: 1}, name="conservation of energy", source=SOURCE
    )


def _parameter(amplitude: float) -> float:
    if not 0.0 < amplitude < math.pi:
        raise SpecificationError(f"a swing needs an amplitude between 0 and pi, got {amplitude}")
    return math.sin(amplitude / 2.0) ** 2
