"""Motion in time: Lorenz, the pendulum, Lotka and Volterra, SIR."""

from __future__ import annotations

import sympy
from sympy.core.function import AppliedUndef

from constraints.equations.coordinates import Number, expressions, time_of

__all__ = ["lorenz", "lotka_volterra", "pendulum", "sir"]


EIGHT_THIRDS = sympy.Rational(8, 3)
GRAVITY = sympy.Rational(981, 100)


def lorenz(
    x: AppliedUndef,
    y: AppliedUndef,
    z: AppliedUndef,
    sigma: Number = 10,
    rho: Number = 28,
    beta: Number = EIGHT_THIRDS,
) -> list[sympy.Eq]:
    r""":math:`\dot x = \sigma (y - x)`, :math:`\dot y = x (\rho - z) - y`, :math:`\dot z = x y - \beta z`.

    Args:
        x: intensity of convection, of the time.
        y: difference of temperature between rising and falling parts.
        z: deviation of the vertical profile.
        sigma: Prandtl's number.
        rho: Rayleigh's number over its critical value.
        beta: shape of the rolls.

    Raises:
        SpecificationError: functions of different arguments, or of several.

    Source: Lorenz, "Deterministic nonperiodic flow", J. Atmos. Sci. 20, 1963,
    doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2.

    Example:
        >>> t = sympy.Symbol("t")
        >>> lorenz(*(sympy.Function(name)(t) for name in "xyz"))[0]
        Eq(Derivative(x(t), t), -10*x(t) + 10*y(t))
    """
    t = time_of((x, y, z), "lorenz")
    s, r, b = expressions("lorenz", sigma=sigma, rho=rho, beta=beta)
    right = (sympy.expand(s * (y - x)), x * (r - z) - y, x * y - b * z)
    return [sympy.Eq(f.diff(t), rate) for f, rate in zip((x, y, z), right, strict=True)]


def pendulum(angle: AppliedUndef, length: Number = 1, gravity: Number = GRAVITY, damping: Number = 0) -> sympy.Eq:
    r""":math:`\ddot\theta + \gamma\,\dot\theta + \tfrac{g}{l} \sin\theta = 0`.

    Args:
        angle: :math:`\theta` from hanging down, radians, of the time.
        length: `l`, metres.
        gravity: `g`, metres per second squared.
        damping: :math:`\gamma`, per second.

    Raises:
        SpecificationError: a function of other arguments.

    Example:
        >>> t = sympy.Symbol("t")
        >>> pendulum(sympy.Function("a")(t), gravity=1)
        Eq(sin(a(t)) + Derivative(a(t), (t, 2)), 0)
    """
    t = time_of((angle,), "pendulum")
    reach, g, gamma = expressions("pendulum", length=length, gravity=gravity, damping=damping)
    return sympy.Eq(angle.diff(t, 2) + gamma * angle.diff(t) + g / reach * sympy.sin(angle), 0)


def lotka_volterra(
    prey: AppliedUndef, predators: AppliedUndef, birth: Number, predation: Number, growth: Number, death: Number
) -> list[sympy.Eq]:
    r""":math:`\dot n = a n - b n m`, :math:`\dot m = c n m - d m`.

    Args:
        prey: `n`, of the time.
        predators: `m`.
        birth: `a`.
        predation: `b`.
        growth: `c`.
        death: `d`.

    Raises:
        SpecificationError: functions of different arguments, or of several.

    Example:
        >>> t = sympy.Symbol("t")
        >>> lotka_volterra(sympy.Function("n")(t), sympy.Function("m")(t), 1, 2, 3, 4)[1]
        Eq(Derivative(m(t), t), 3*m(t)*n(t) - 4*m(t))
    """
    t = time_of((prey, predators), "lotka_volterra")
    a, b, c, d = expressions("lotka_volterra", birth=birth, predation=predation, growth=growth, death=death)
    return [
        sympy.Eq(prey.diff(t), a * prey - b * prey * predators),
        sympy.Eq(predators.diff(t), c * prey * predators - d * predators),
    ]


def sir(
    susceptible: AppliedUndef, infected: AppliedUndef, removed: AppliedUndef, infection: Number, recovery: Number
) -> list[sympy.Eq]:
    r""":math:`\dot s = -\beta s i`, :math:`\dot i = \beta s i - \gamma i`, :math:`\dot r = \gamma i`; of shares.

    Args:
        susceptible: `s`, of the time.
        infected: `i`.
        removed: `r`.
        infection: :math:`\beta`.
        recovery: :math:`\gamma`.

    Raises:
        SpecificationError: functions of different arguments, or of several.

    Source: Kermack and McKendrick, Proc. R. Soc. A 115, 1927, doi:10.1098/rspa.1927.0118.

    Example:
        >>> t = sympy.Symbol("t")
        >>> sir(*(sympy.Function(name)(t) for name in ("s", "i", "r")), 2, 1)[2]
        Eq(Derivative(r(t), t), i(t))
    """
    t = time_of((susceptible, infected, removed), "sir")
    beta, gamma = expressions("sir", infection=infection, recovery=recovery)
    caught, healed = beta * susceptible * infected, gamma * infected
    rates = (-caught, caught - healed, healed)
    return [sympy.Eq(f.diff(t), rate) for f, rate in zip((susceptible, infected, removed), rates, strict=True)]
