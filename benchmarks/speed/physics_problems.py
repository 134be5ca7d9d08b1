"""The equations of `benchmarks.speed.physics`: by `Derivatives`, as declared rules, and by nested autograd by hand.

Sources are constants, so that what is timed is derivatives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, final

import sympy
import torch
from torch import Tensor, nn

from constraints import FieldRule, declare
from constraints.fields import Derivatives, DifferentialOperator, laplacian, partials

__all__ = ["NU", "PROBLEMS", "Biharmonic", "Burgers", "NavierStokes", "Poisson", "Problem", "network_of"]

NU = 0.01


class Problem(ABC):
    """Equations of the outputs of a network as functions of its inputs.

    Args:
        name: as the table has it.
        coordinates: names of the columns of the points.
        wanted: the derivatives that `residual` needs.
        fields: names of the columns of the output.
    """

    def __init__(
        self,
        name: str,
        coordinates: Sequence[str],
        wanted: Sequence[DifferentialOperator | tuple[int, ...]],
        fields: Sequence[str] = ("u",),
    ) -> None:
        self.name, self.coordinates, self.fields = name, tuple(coordinates), tuple(fields)
        self.derivatives = Derivatives(wanted)

    @abstractmethod
    def residual(self, network: nn.Module, points: Tensor) -> Tensor:
        """By `derivatives`, from points `(n, d)` to `(n, equations)`."""

    @abstractmethod
    def nested(self, network: nn.Module, points: Tensor) -> Tensor:
        """The same by reverse mode in reverse mode, asking for nothing twice; the points need a gradient."""

    @abstractmethod
    def statement(self, coordinates: Sequence[Any], fields: Sequence[Any]) -> Any:
        """The same, written with sympy."""

    def declared(self) -> FieldRule:
        """The rule that `declare` makes of the statement."""
        coordinates = [sympy.Symbol(name) for name in self.coordinates]
        fields = [sympy.Function(name)(*coordinates) for name in self.fields]
        return declare(self.statement(coordinates, fields), fields=fields)

    def __str__(self) -> str:
        return self.name


@final
class Burgers(Problem):
    """`u_t + u u_x = nu u_xx`."""

    def __init__(self) -> None:
        dt, dx = partials(2)
        super().__init__("Burgers", ("t", "x"), [(0, 0), dx, dt - NU * dx**2])

    def residual(self, network: nn.Module, points: Tensor) -> Tensor:
        u, u_x, linear = self.derivatives(network, points)
        return linear + u * u_x

    def nested(self, network: nn.Module, points: Tensor) -> Tensor:
        u = network(points)
        slope = _gradient(u, points)
        u_t, u_x = slope[:, :1], slope[:, 1:]
        u_xx = _gradient(u_x, points)[:, 1:]
        found: Tensor = u_t + u * u_x - NU * u_xx
        return found

    def statement(self, coordinates: Sequence[Any], fields: Sequence[Any]) -> Any:
        (t, x), (u,) = coordinates, fields
        return sympy.Eq(u.diff(t) + u * u.diff(x), NU * u.diff(x, 2))


@final
class Poisson(Problem):
    """`Delta u + 1 = 0`."""

    def __init__(self, dimensions: int) -> None:
        names = [f"x{i:02d}" for i in range(dimensions)]  # PINA sorts them
        super().__init__(f"Poisson, {dimensions}d", names, [laplacian(dimensions)])

    def residual(self, network: nn.Module, points: Tensor) -> Tensor:
        (found,) = self.derivatives(network, points)
        return found + 1.0

    def nested(self, network: nn.Module, points: Tensor) -> Tensor:
        return _laplacian(network(points), points) + 1.0

    def statement(self, coordinates: Sequence[Any], fields: Sequence[Any]) -> Any:
        (u,) = fields
        return sympy.Eq(sum(u.diff(x, 2) for x in coordinates), -1)


@final
class Biharmonic(Problem):
    """`Delta Delta u = 1`: a plate under its load."""

    def __init__(self) -> None:
        super().__init__("biharmonic, 2d", ("x", "y"), [laplacian(2) ** 2])

    def residual(self, network: nn.Module, points: Tensor) -> Tensor:
        (found,) = self.derivatives(network, points)
        return found - 1.0

    def nested(self, network: nn.Module, points: Tensor) -> Tensor:
        return _laplacian(_laplacian(network(points), points), points) - 1.0

    def statement(self, coordinates: Sequence[Any], fields: Sequence[Any]) -> Any:
        (x, y), (u,) = coordinates, fields
        return sympy.Eq(u.diff(x, 4) + 2 * u.diff(x, 2, y, 2) + u.diff(y, 4), 1)


@final
class NavierStokes(Problem):
    """Steady, incompressible, 2d: `(w . grad) w + grad p = nu Delta w` and `div w = 0` of `w = (u, v)`."""

    def __init__(self) -> None:
        dx, dy = partials(2)
        super().__init__("Navier-Stokes, 2d", ("x", "y"), [(0, 0), dx, dy, laplacian(2)], ("u", "v", "p"))

    def residual(self, network: nn.Module, points: Tensor) -> Tensor:
        value, x, y, second = self.derivatives(network, points)
        u, v = value[:, :1], value[:, 1:2]
        momentum = u * x[:, :2] + v * y[:, :2] + torch.cat([x[:, 2:], y[:, 2:]], dim=1) - NU * second[:, :2]
        return torch.cat([momentum, x[:, :1] + y[:, 1:2]], dim=1)

    def nested(self, network: nn.Module, points: Tensor) -> Tensor:
        w = network(points)
        u, v = w[:, :1], w[:, 1:2]
        slopes = [_gradient(w[:, i : i + 1], points) for i in range(3)]
        (u_x, u_y), (v_x, v_y), (p_x, p_y) = ((slope[:, :1], slope[:, 1:]) for slope in slopes)
        second_u = _gradient(u_x, points)[:, :1] + _gradient(u_y, points)[:, 1:]
        second_v = _gradient(v_x, points)[:, :1] + _gradient(v_y, points)[:, 1:]
        along_x = u * u_x + v * u_y + p_x - NU * second_u
        along_y = u * v_x + v * v_y + p_y - NU * second_v
        return torch.cat([along_x, along_y, u_x + v_y], dim=1)

    def statement(self, coordinates: Sequence[Any], fields: Sequence[Any]) -> Any:
        (x, y), (u, v, p) = coordinates, fields
        return [
            sympy.Eq(u * u.diff(x) + v * u.diff(y) + p.diff(x), NU * (u.diff(x, 2) + u.diff(y, 2))),
            sympy.Eq(u * v.diff(x) + v * v.diff(y) + p.diff(y), NU * (v.diff(x, 2) + v.diff(y, 2))),
            sympy.Eq(u.diff(x) + v.diff(y), 0),
        ]


PROBLEMS: tuple[Problem, ...] = (Burgers(), Poisson(2), Poisson(10), Poisson(50), Biharmonic(), NavierStokes())


def network_of(problem: Problem, depth: int, width: int) -> nn.Sequential:
    """A tanh network with `depth` hidden layers, float32, the same at every call."""
    torch.manual_seed(0)
    sizes = [len(problem.coordinates), *[width] * depth]
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*hidden, nn.Linear(width, len(problem.fields)))


def _gradient(u: Tensor, points: Tensor) -> Tensor:
    return torch.autograd.grad(u, points, torch.ones_like(u), create_graph=True)[0]  # faster than of a sum


def _laplacian(u: Tensor, points: Tensor) -> Tensor:
    slopes = _gradient(u, points)
    columns = [slice(i, i + 1) for i in range(points.shape[1])]  # slices: the backward pass of a split fills all parts
    return torch.cat([_gradient(slopes[:, i], points)[:, i] for i in columns], dim=1).sum(dim=1, keepdim=True)
