"""The same step by the peers on torch, each as its own documents write it: its operators, its calls, its residuals.

What is timed is the loss and its gradients alone: no sampler, optimiser, logger or trainer. Where a peer ships the
equation, that is taken. A peer is imported when its step is made; `ImportError` says that it is absent.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn

from benchmarks.speed.physics_problems import NU, Biharmonic, Burgers, NavierStokes, Poisson, Problem
from benchmarks.speed.physics_steps import TorchStep, mean_square

__all__ = ["DeepXDE", "Pina", "TorchPhysics"]


@final
class DeepXDE(TorchStep):
    """`dde.grad` on torch, whose memory of derivatives is cleared after each step, as `dde.Model` does."""

    def __init__(self, problem: Problem, network: nn.Sequential, points: Tensor) -> None:
        super().__init__(problem, network, points)
        os.environ.setdefault("DDE_BACKEND", "pytorch")
        self.grad: Any = importlib.import_module("deepxde").grad
        self.points.requires_grad_()

    def loss(self) -> Tensor:
        outputs = self.network(self.points)
        loss = mean_square(self._residual(self.points, outputs))
        self.grad.clear()
        return loss

    def _residual(self, x: Tensor, y: Tensor) -> Tensor:
        jacobian, hessian = self.grad.jacobian, self.grad.hessian
        match self.problem:
            case Burgers():
                y_t, y_x, y_xx = jacobian(y, x, i=0, j=0), jacobian(y, x, i=0, j=1), hessian(y, x, i=1, j=1)
                found: Tensor = y_t + y * y_x - NU * y_xx
            case Poisson():
                found = self._laplacian(x, y) + 1.0
            case Biharmonic():
                found = self._laplacian(x, self._laplacian(x, y)) - 1.0
            case NavierStokes():
                u, v = y[:, 0:1], y[:, 1:2]
                (u_x, u_y), (v_x, v_y), (p_x, p_y) = ([jacobian(y, x, i=i, j=j) for j in (0, 1)] for i in range(3))
                (u_xx, u_yy), (v_xx, v_yy) = ([hessian(y, x, component=i, i=j, j=j) for j in (0, 1)] for i in range(2))
                along_x = u * u_x + v * u_y + p_x - NU * (u_xx + u_yy)
                along_y = u * v_x + v * v_y + p_y - NU * (v_xx + v_yy)
                found = torch.cat([along_x, along_y, u_x + v_y], dim=1)
            case _:
                raise NotImplementedError(self.problem.name)
        return found

    def _laplacian(self, x: Tensor, y: Tensor) -> Any:
        return sum(self.grad.hessian(y, x, i=i, j=i) for i in range(x.shape[1]))


@final
class Pina(TorchStep):
    """The operators `grad` and `laplacian` on its `LabelTensor`, the network called by its solver."""

    def __init__(self, problem: Problem, network: nn.Sequential, points: Tensor) -> None:
        super().__init__(problem, network, points)
        pina: Any = importlib.import_module("pina")
        self.pina, self.operator = pina, importlib.import_module("pina.operator")
        names = list(problem.coordinates)
        self.equation: Any = self._equation(importlib.import_module("pina.equation"))
        domain = importlib.import_module("pina.domain").CartesianDomain({name: [0, 1] for name in names})
        members = {
            "output_variables": list(problem.fields),
            "spatial_domain": domain,  # t too: its problems in time would turn the columns round
            "domains": {"D": domain},
            "conditions": {"D": pina.Condition(domain="D", equation=self.equation)},
        }
        posed = type("Posed", (importlib.import_module("pina.problem").SpatialProblem,), members)()
        self.solver: Any = importlib.import_module("pina.solver").PINN(problem=posed, model=self.network)
        self.labelled: Any = pina.LabelTensor(self.points, names)
        assert posed.input_variables == names

    def loss(self) -> Tensor:
        samples = self.labelled.requires_grad_(True)
        residual = self.equation.residual(samples, self.solver.forward(samples))
        return mean_square(residual.as_subclass(Tensor))

    def _equation(self, equation: Any) -> Any:
        match self.problem:
            case Burgers():
                return equation.BurgersEquation(NU)
            case Poisson():
                return equation.PoissonEquation(lambda _: -1.0)
            case Biharmonic():
                return equation.Equation(self._biharmonic)
            case NavierStokes():
                return equation.SystemEquation([self._momentum, self._continuity], reduction=None)
        raise NotImplementedError(self.problem.name)

    def _biharmonic(self, x: Any, u: Any) -> Any:
        return self.operator.laplacian(self.operator.laplacian(u, x), x) - 1.0

    def _momentum(self, x: Any, w: Any) -> Any:
        velocity = ["u", "v"]
        transport = self.operator.advection(w, x, velocity_field=velocity, components=velocity)
        pressure = self.operator.grad(w, x, components=["p"])
        return transport + pressure - NU * self.operator.laplacian(w, x, components=velocity)

    def _continuity(self, x: Any, w: Any) -> Any:
        return self.operator.div(w, x, components=["u", "v"])


@final
class TorchPhysics(TorchStep):
    """A `PINNCondition` on its `FCN`, at points that are given; residuals by `tp.utils`."""

    def __init__(self, problem: Problem, network: nn.Sequential, points: Tensor) -> None:
        super().__init__(problem, network, points)
        tp: Any = importlib.import_module("torchphysics")
        residual, inputs, outputs = self._residual(tp)
        hidden = [layer.out_features for layer in network if isinstance(layer, nn.Linear)][:-1]
        model = tp.models.FCN(inputs, outputs, hidden=hidden)
        model.sequential.load_state_dict(network.state_dict())
        self.network = model.sequential
        sampler = tp.samplers.DataSampler(tp.spaces.Points(self.points, inputs))
        self.condition: Any = tp.conditions.PINNCondition(model, sampler, residual)

    def loss(self) -> Tensor:
        loss: Tensor = self.condition()
        return loss

    def _residual(self, tp: Any) -> tuple[Callable[..., Tensor], Any, Any]:
        """The residual, whose arguments' names choose what it is given, and the spaces of inputs and outputs."""
        grad, laplacian, jac, spaces = tp.utils.grad, tp.utils.laplacian, tp.utils.jac, tp.spaces

        def burgers(u: Tensor, t: Tensor, x: Tensor) -> Tensor:
            u_x = grad(u, x)
            found: Tensor = grad(u, t) + u * u_x - NU * laplacian(u, x, grad=u_x)
            return found

        def poisson(u: Tensor, x: Tensor) -> Tensor:
            found: Tensor = laplacian(u, x) + 1.0
            return found

        def biharmonic(u: Tensor, x: Tensor) -> Tensor:
            found: Tensor = laplacian(laplacian(u, x), x) - 1.0
            return found

        def navier_stokes(u: Tensor, p: Tensor, x: Tensor) -> Tensor:
            slopes = jac(u, x)
            second = torch.cat([laplacian(u[:, i : i + 1], x, grad=slopes[:, i]) for i in (0, 1)], dim=1)
            momentum = (slopes * u[:, None]).sum(dim=2) + grad(p, x) - NU * second
            return torch.cat([momentum, slopes[:, 0, :1] + slopes[:, 1, 1:]], dim=1)

        plane, one = spaces.R2("x"), spaces.R1("u")
        match self.problem:
            case Burgers():
                return burgers, spaces.R1("t") * spaces.R1("x"), one
            case Poisson():
                return poisson, spaces.Rn("x", len(self.problem.coordinates)), one
            case Biharmonic():
                return biharmonic, plane, one
            case NavierStokes():
                return navier_stokes, plane, spaces.R2("u") * spaces.R1("p")
        raise NotImplementedError(self.problem.name)
