"""The same step in jax under `jax.jit`: jinns, as its own documents write it, and jax alone by hand.

Both are float32, mapped over points by `jax.vmap`. jax is imported when a step is made.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.speed.physics_problems import NU, Biharmonic, Burgers, NavierStokes, Poisson, Problem
from benchmarks.speed.physics_steps import Step

__all__ = ["Jax", "Jinns"]


class JaxStep(Step):
    """A loss in jax, and its gradients, compiled together."""

    def __init__(self, problem: Problem, network: nn.Sequential, points: Tensor) -> None:
        self.problem = problem
        self.jax: Any = importlib.import_module("jax")
        numbers: Any = self.jax.numpy
        linears = [layer for layer in network if isinstance(layer, nn.Linear)]
        weights = [numbers.asarray(p.detach().numpy()) for linear in linears for p in (linear.weight, linear.bias)]
        self.start, residual = self._model(weights)
        self.points = numbers.asarray(points.numpy())

        def loss(start: Any, points: Any) -> Any:
            residuals = self.jax.vmap(lambda x: residual(start, x))(points)
            return numbers.mean(numbers.sum(residuals**2, axis=-1))

        self.step: Any = self.jax.jit(self.jax.value_and_grad(loss))
        self.found: Any = None

    @abstractmethod
    def _model(self, weights: list[Any]) -> tuple[Any, Callable[[Any, Any], Any]]:
        """The parameters from weights and biases in turn, and the residuals `(equations,)` of them at a point."""

    @abstractmethod
    def _weights(self, parameters: Any) -> list[Any]:
        """The weights and biases of parameters."""

    def __call__(self) -> None:
        _, self.found = self.jax.block_until_ready(self.step(self.start, self.points))

    def gradients(self) -> list[Tensor]:
        return [torch.from_numpy(np.array(g)) for g in self._weights(self.found)]


@final
class Jinns(JaxStep):
    """Its dynamic losses, shipped where it ships them, on its `PINN_MLP`."""

    def _model(self, weights: list[Any]) -> tuple[Any, Callable[[Any, Any], Any]]:
        jinns: Any = importlib.import_module("jinns")
        eqx: Any = importlib.import_module("equinox")
        layers: list[tuple[Any, ...]] = []
        for weight in weights[::2]:
            layers += [(eqx.nn.Linear, *reversed(weight.shape)), (self.jax.nn.tanh,)]
        kind = "PDENonStatio" if isinstance(self.problem, Burgers) else "PDEStatio"
        key = self.jax.random.PRNGKey(0)
        u, start = jinns.nn.PINN_MLP.create(eq_type=kind, key=key, eqx_list=tuple(layers[:-1]))
        known = {"nu": self.jax.numpy.asarray(NU), "rho": self.jax.numpy.asarray(1.0)}
        dynamic = _jinns_equation(self.problem, jinns)

        def residual(start: Any, x: Any) -> Any:
            return dynamic.evaluate(x, u, jinns.parameters.Params(nn_params=start, eq_params=known))

        return eqx.tree_at(self._weights, start, weights), residual

    def _weights(self, parameters: Any) -> list[Any]:
        return [p for linear in parameters.layers[::2] for p in (linear.weight, linear.bias)]


@final
class Jax(JaxStep):
    """By hand: forward mode in forward mode along the coordinates, so that no mixed derivatives are found."""

    def _model(self, weights: list[Any]) -> tuple[Any, Callable[[Any, Any], Any]]:
        return weights, self._residual

    def _weights(self, parameters: Any) -> list[Any]:
        return list(parameters)

    def _residual(self, weights: list[Any], x: Any) -> Any:
        jax, numbers = self.jax, self.jax.numpy

        def u(x: Any) -> Any:
            for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
                x = numbers.tanh(weight @ x + bias)
            return weights[-2] @ x + weights[-1]

        def along(f: Callable[[Any], Any], direction: Any) -> Callable[[Any], Any]:
            return lambda x: jax.jvp(f, (x,), (direction,))[1]

        units = numbers.eye(len(self.problem.coordinates), dtype=x.dtype)

        def laplacian(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
            return lambda x: jax.vmap(lambda e: along(along(f, e), e)(x))(units).sum(axis=0)

        match self.problem:
            case Burgers():
                time, space = units
                return along(u, time)(x) + u(x) * along(u, space)(x) - NU * along(along(u, space), space)(x)
            case Poisson():
                return laplacian(u)(x) + 1.0
            case Biharmonic():
                return laplacian(laplacian(u))(x) - 1.0
            case NavierStokes():
                value, first = u(x), jax.jacfwd(u)(x)
                momentum = first[:2] @ value[:2] + first[2] - NU * laplacian(u)(x)[:2]
                return numbers.append(momentum, first[0, 0] + first[1, 1])
        raise NotImplementedError(self.problem.name)


def _jinns_equation(problem: Problem, jinns: Any) -> Any:
    laplacian = jinns.loss.laplacian_rev

    class PoissonLoss(jinns.loss.PDEStatio):  # type: ignore[misc]
        def equation(self, x: Any, u: Any, params: Any) -> Any:
            return laplacian(x, u, params)[None] + 1.0

    class BiharmonicLoss(jinns.loss.PDEStatio):  # type: ignore[misc]
        def equation(self, x: Any, u: Any, params: Any) -> Any:
            return laplacian(x, lambda z, p: laplacian(z, u, p)[None], params, eq_type="PDEStatio")[None] - 1.0

    match problem:
        case Burgers():
            return jinns.loss.BurgersEquation()
        case Poisson():
            return PoissonLoss()
        case Biharmonic():
            return BiharmonicLoss()
        case NavierStokes():
            return jinns.loss.NavierStokesMassConservation2DStatio()
    raise NotImplementedError(problem.name)
