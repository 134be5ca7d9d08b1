"""Potentials and what spreads: Poisson, Helmholtz, heat, advection and diffusion, Allen and Cahn."""

from __future__ import annotations

from collections.abc import Sequence

import sympy
from sympy.core.function import AppliedUndef

from constraints.equations.coordinates import Number, expressions, laplacian, line_and_time, places_and_time
from constraints.errors import SpecificationError
from constraints.sympy_input import as_expression, require_fields

__all__ = ["advection_diffusion", "allen_cahn", "heat", "helmholtz", "poisson"]


def poisson(u: AppliedUndef, source: Number = 0) -> sympy.Eq:
    r""":math:`-\Delta u = f`.

    Args:
        u: of any number of places.
        source: `f`, of the places.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> poisson(sympy.Function("u")(x, y), 1)
        Eq(-Derivative(u(x, y), (x, 2)) - Derivative(u(x, y), (y, 2)), 1)
    """
    require_fields([u], "`poisson`")
    (f,) = expressions("poisson", source=source)
    return sympy.Eq(-laplacian(u, u.args), f)


def helmholtz(u: AppliedUndef, wavenumber: Number, source: Number = 0) -> sympy.Eq:
    r""":math:`\Delta u + k^2 u = f`.

    Args:
        u: of any number of places.
        wavenumber: `k`, in radians per unit of length.
        source: `f`, of the places.

    Example:
        >>> x = sympy.symbols("x")
        >>> helmholtz(sympy.Function("u")(x), 2)
        Eq(4*u(x) + Derivative(u(x), (x, 2)), 0)
    """
    require_fields([u], "`helmholtz`")
    k, f = expressions("helmholtz", wavenumber=wavenumber, source=source)
    return sympy.Eq(laplacian(u, u.args) + k**2 * u, f)


def heat(u: AppliedUndef, diffusivity: Number, source: Number = 0) -> sympy.Eq:
    r""":math:`u_t = \nabla \cdot (\kappa \nabla u) + f`.

    Args:
        u: of places and, last, the time.
        diffusivity: :math:`\kappa`, which may vary from place to place.
        source: `f`.

    Raises:
        SpecificationError: a field of fewer than two arguments.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> heat(sympy.Function("u")(x, t), 3)
        Eq(Derivative(u(x, t), t), 3*Derivative(u(x, t), (x, 2)))
    """
    places, t = places_and_time(u, "heat")
    kappa, f = expressions("heat", diffusivity=diffusivity, source=source)
    return sympy.Eq(u.diff(t), sympy.Add(*((kappa * u.diff(x)).diff(x) for x in places)) + f)


def advection_diffusion(
    u: AppliedUndef, velocity: Sequence[Number], diffusivity: Number, source: Number = 0
) -> sympy.Eq:
    r""":math:`u_t + c \cdot \nabla u = \kappa\,\Delta u + f`.

    Args:
        u: of places and, last, the time.
        velocity: `c`, one component a place.
        diffusivity: :math:`\kappa`; 0 for advection alone.
        source: `f`.

    Raises:
        SpecificationError: another number of components than places.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> advection_diffusion(sympy.Function("u")(x, t), [30], 0)
        Eq(Derivative(u(x, t), t) + 30*Derivative(u(x, t), x), 0)
    """
    places, t = places_and_time(u, "advection_diffusion")
    if len(velocity) != len(places):
        raise SpecificationError(
            f"`advection_diffusion` needs a velocity of {len(places)} components, got {list(velocity)}"
        )
    kappa, f = expressions("advection_diffusion", diffusivity=diffusivity, source=source)
    speeds = [as_expression(c, "a velocity of `advection_diffusion`") for c in velocity]
    moved = sympy.Add(*(c * u.diff(x) for c, x in zip(speeds, places, strict=True)))
    return sympy.Eq(u.diff(t) + moved, kappa * laplacian(u, places) + f)


def allen_cahn(u: AppliedUndef, diffusivity: Number, reaction: Number) -> sympy.Eq:
    r""":math:`u_t = \kappa\,u_{xx} + r\,(u - u^3)`.

    Args:
        u: of a place and the time.
        diffusivity: :math:`\kappa`.
        reaction: `r`.

    Raises:
        SpecificationError: a field of other arguments.

    Source: Allen and Cahn, "A microscopic theory for antiphase boundary motion", Acta Metallurgica 27, 1979,
    doi:10.1016/0001-6160(79)90196-2.

    Example:
        >>> x, t = sympy.symbols("x t")
        >>> allen_cahn(sympy.Function("u")(x, t), sympy.Rational(1, 10000), 5).rhs
        -5*u(x, t)**3 + 5*u(x, t) + Derivative(u(x, t), (x, 2))/10000
    """
    x, t = line_and_time(u, "allen_cahn")
    kappa, r = expressions("allen_cahn", diffusivity=diffusivity, reaction=reaction)
    return sympy.Eq(u.diff(t), kappa * u.diff(x, 2) + sympy.expand(r * (u - u**3)))
