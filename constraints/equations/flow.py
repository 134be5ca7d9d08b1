"""Flows and solids in the plane: Navier and Stokes in two forms, linear elasticity."""

from __future__ import annotations

import sympy
from sympy.core.function import AppliedUndef

from constraints.equations.coordinates import Number, expressions, laplacian, plane
from constraints.errors import SpecificationError
from constraints.sympy_input import as_expression

__all__ = ["linear_elasticity", "navier_stokes", "navier_stokes_stream"]


def navier_stokes(
    u: AppliedUndef, v: AppliedUndef, p: AppliedUndef, viscosity: Number, density: Number = 1
) -> list[sympy.Eq]:
    r"""Incompressible flow in the plane, by velocity and pressure.

    .. math:: w_t + (w \cdot \nabla) w = -\nabla p / \rho + \nu\,\Delta w, \quad \nabla \cdot w = 0, \quad w = (u, v)

    Args:
        u: velocity along the first place; of `(x, y)`, steady, or `(x, y, t)`.
        v: along the second.
        p: pressure, known up to a constant (at each time).
        viscosity: :math:`\nu`, kinematic; 1/Re in units of the flow.
        density: :math:`\rho`.

    Raises:
        SpecificationError: fields of different arguments, or of others.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> u, v, p = (sympy.Function(name)(x, y) for name in "uvp")
        >>> navier_stokes(u, v, p, 0.1)[2]
        Eq(Derivative(u(x, y), x) + Derivative(v(x, y), y), 0)
    """
    x, y, t = plane((u, v, p), "navier_stokes")
    nu, rho = expressions("navier_stokes", viscosity=viscosity, density=density)

    def momentum(w: AppliedUndef, along: sympy.Symbol) -> sympy.Eq:
        change = sympy.Integer(0) if t is None else w.diff(t)
        return sympy.Eq(change + u * w.diff(x) + v * w.diff(y), -p.diff(along) / rho + nu * laplacian(w, (x, y)))

    return [momentum(u, x), momentum(v, y), sympy.Eq(u.diff(x) + v.diff(y), 0)]


def navier_stokes_stream(stream: AppliedUndef, viscosity: Number) -> sympy.Eq:
    r"""Incompressible flow in the plane by its stream function, :math:`u = \psi_y`, :math:`v = -\psi_x`.

    .. math:: \Delta\psi_t + \psi_y\,\Delta\psi_x - \psi_x\,\Delta\psi_y = \nu\,\Delta^2 \psi

    Args:
        stream: :math:`\psi`, of `(x, y)`, steady, or `(x, y, t)`.
        viscosity: :math:`\nu`, kinematic.

    Raises:
        SpecificationError: a field of other arguments.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> navier_stokes_stream(sympy.Function("psi")(x, y), 0).rhs
        0
    """
    x, y, t = plane((stream,), "navier_stokes_stream")
    (nu,) = expressions("navier_stokes_stream", viscosity=viscosity)
    spin = laplacian(stream, (x, y))
    change = sympy.Integer(0) if t is None else spin.diff(t)
    moved = stream.diff(y) * spin.diff(x) - stream.diff(x) * spin.diff(y)
    return sympy.Eq(change + moved, nu * laplacian(spin, (x, y)))


def linear_elasticity(
    u: AppliedUndef,
    v: AppliedUndef,
    first: Number,
    shear: Number,
    force: tuple[Number, Number] = (0, 0),
    density: Number = 1,
) -> list[sympy.Eq]:
    r"""Small displacements of an isotropic solid in the plane (plane strain), by Navier and Cauchy.

    .. math:: \rho\,w_{tt} = (\lambda + \mu)\,\nabla(\nabla \cdot w) + \mu\,\Delta w + f, \quad w = (u, v)

    Args:
        u: displacement along the first place; of `(x, y)`, at rest, or `(x, y, t)`.
        v: along the second.
        first: Lame's first parameter, :math:`\lambda`.
        shear: the shear modulus, :math:`\mu`.
        force: on a unit of volume.
        density: :math:`\rho`, where there is a time.

    Raises:
        SpecificationError: fields of different arguments, a force of another number of components.

    Example:
        >>> x, y = sympy.symbols("x y")
        >>> one, two = linear_elasticity(sympy.Function("u")(x, y), sympy.Function("v")(x, y), 1, 1, (0, -9.81))
        >>> one.lhs, one.rhs.coeff(sympy.Function("u")(x, y).diff(x, 2))
        (0, 3)
    """
    x, y, t = plane((u, v), "linear_elasticity")
    if len(force) != 2:
        raise SpecificationError(f"`linear_elasticity` needs a force of 2 components, got {list(force)}")
    lam, mu, rho = expressions("linear_elasticity", first=first, shear=shear, density=density)
    forces = [as_expression(f, "a force of `linear_elasticity`") for f in force]
    spread = u.diff(x) + v.diff(y)
    return [
        sympy.Eq(
            sympy.Integer(0) if t is None else rho * w.diff(t, 2),
            sympy.expand((lam + mu) * spread.diff(along) + mu * laplacian(w, (x, y)) + f),
        )
        for w, along, f in zip((u, v), (x, y), forces, strict=True)
    ]
