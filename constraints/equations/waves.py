"""What travels: the wave equation, Burgers, Korteweg and de Vries, Kuramoto and Sivashinsky, Schroedinger."""

from __future__ import annotations

import sympy
from sympy.core.function import AppliedUndef

from constraints.equations.coordinates import Number, expressions, laplacian, line_and_time, places_and_time
from constraints.errors import SpecificationError

__all__ = ["burgers", "korteweg_de_vries", "kuramoto_sivashinsky", "schroedinger", "wave"]


def wave(u: AppliedUndef, speed: Number, source: Number = 0) -> sympy.Eq:
    r""":math:`u_{tt} = c^2 \Delta u + f`.

    Args:
        u: of places and, last, the time.
        speed: `c`.
        source: `f`.

    Raises:
        SpecificationError: a field of fewer than two arguments.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> wave(sympy.Function("u")(x, t), 2)
        Eq(Derivative(u(x, t), (t, 2)), 4*Derivative(u(x, t), (x, 2)))
    """
    places, t = places_and_time(u, "wave")
    c, f = expressions("wave", speed=speed, source=source)
    return sympy.Eq(u.diff(t, 2), c**2 * laplacian(u, places) + f)


def burgers(u: AppliedUndef, viscosity: Number) -> sympy.Eq:
    r""":math:`u_t + u\,u_x = \nu\,u_{xx}`.

    Args:
        u: of a place and the time.
        viscosity: :math:`\nu`.

    Raises:
        SpecificationError: a field of other arguments.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> burgers(sympy.Function("u")(x, t), 0)
        Eq(u(x, t)*Derivative(u(x, t), x) + Derivative(u(x, t), t), 0)
    """
    x, t = line_and_time(u, "burgers")
    (nu,) = expressions("burgers", viscosity=viscosity)
    return sympy.Eq(u.diff(t) + u * u.diff(x), nu * u.diff(x, 2))


def korteweg_de_vries(u: AppliedUndef, steepening: Number = 6, dispersion: Number = 1) -> sympy.Eq:
    r""":math:`u_t + a\,u\,u_x + b\,u_{xxx} = 0`.

    Args:
        u: of a place and the time.
        steepening: `a`; 6 in the usual form.
        dispersion: `b`.

    Raises:
        SpecificationError: a field of other arguments.

    Source: Korteweg and de Vries, Philosophical Magazine 39, 1895, doi:10.1080/14786449508620739.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> korteweg_de_vries(sympy.Function("u")(x, t)).lhs.coeff(sympy.Function("u")(x, t).diff(x, 3))
        1
    """
    x, t = line_and_time(u, "korteweg_de_vries")
    a, b = expressions("korteweg_de_vries", steepening=steepening, dispersion=dispersion)
    return sympy.Eq(u.diff(t) + a * u * u.diff(x) + b * u.diff(x, 3), 0)


def kuramoto_sivashinsky(u: AppliedUndef, steepening: Number = 1, growth: Number = 1, damping: Number = 1) -> sympy.Eq:
    r""":math:`u_t + a\,u\,u_x + b\,u_{xx} + c\,u_{xxxx} = 0`.

    Args:
        u: of a place and the time.
        steepening: `a`.
        growth: `b`, of long waves where it is positive.
        damping: `c`, of short ones.

    Raises:
        SpecificationError: a field of other arguments.

    Source: Kuramoto and Tsuzuki, Progress of Theoretical Physics 55, 1976, doi:10.1143/PTP.55.356.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> len(kuramoto_sivashinsky(sympy.Function("u")(x, t)).lhs.args)
        4
    """
    x, t = line_and_time(u, "kuramoto_sivashinsky")
    a, b, c = expressions("kuramoto_sivashinsky", steepening=steepening, growth=growth, damping=damping)
    return sympy.Eq(u.diff(t) + a * u * u.diff(x) + b * u.diff(x, 2) + c * u.diff(x, 4), 0)


def schroedinger(
    real: AppliedUndef, imaginary: AppliedUndef, potential: Number = 0, nonlinearity: Number = 0
) -> list[sympy.Eq]:
    r""":math:`i\,h_t + \tfrac12 \Delta h - V h + \kappa |h|^2 h = 0` for :math:`h = a + i\,b`, as two real equations.

    Args:
        real: `a`, of places and, last, the time.
        imaginary: `b`, of the same.
        potential: `V`.
        nonlinearity: :math:`\kappa`; 1 is the focusing cubic equation, 0 the linear one.

    Raises:
        SpecificationError: fields of different arguments.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> one, two = schroedinger(sympy.Function("a")(x, t), sympy.Function("b")(x, t))
        >>> one
        Eq(Derivative(a(x, t), (x, 2))/2 - Derivative(b(x, t), t), 0)
    """
    places, t = places_and_time(real, "schroedinger")
    if getattr(imaginary, "args", None) != real.args:
        raise SpecificationError(f"`schroedinger` needs two fields of the same arguments, got {real} and {imaginary}")
    a, b = real, imaginary
    v, kappa = expressions("schroedinger", potential=potential, nonlinearity=nonlinearity)
    size = kappa * (a**2 + b**2) - v
    return [
        sympy.Eq(-b.diff(t) + laplacian(a, places) / 2 + size * a, 0),
        sympy.Eq(a.diff(t) + laplacian(b, places) / 2 + size * b, 0),
    ]
