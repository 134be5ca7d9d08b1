"""Equations with names, as statements of sympy: `declare(burgers(u, viscosity=0.01), fields=[u])`."""

from constraints.equations.diffusion import advection_diffusion, allen_cahn, heat, helmholtz, poisson
from constraints.equations.dynamics import lorenz, lotka_volterra, pendulum, sir
from constraints.equations.flow import linear_elasticity, navier_stokes, navier_stokes_stream
from constraints.equations.waves import burgers, korteweg_de_vries, kuramoto_sivashinsky, schroedinger, wave

__all__ = [
    "advection_diffusion",
    "allen_cahn",
    "burgers",
    "heat",
    "helmholtz",
    "korteweg_de_vries",
    "kuramoto_sivashinsky",
    "linear_elasticity",
    "lorenz",
    "lotka_volterra",
    "navier_stokes",
    "navier_stokes_stream",
    "pendulum",
    "poisson",
    "schroedinger",
    "sir",
    "wave",
]
