"""What optimisers on full batches have in common: one vector of parameters, and a closure that is asked again."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from constraints.errors import NonFiniteError, SpecificationError
from dkmodels.optim.processes import average_

__all__ = ["Closure", "FullBatchOptimizer", "own_attributes"]

Closure = Callable[[], Tensor]


def own_attributes(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What copies and pickles of an optimiser keep: all but hooks, where torch's own keeps three attributes alone."""
    return {name: value for name, value in vars(optimizer).items() if not name.startswith("_")}


class FullBatchOptimizer(torch.optim.Optimizer, ABC):
    """An optimiser that sees all parameters as one vector and asks the closure several times a step.

    The closure clears the gradients, computes the loss on the same batch each time, calls `backward` and returns the
    loss: Lightning's does, without accumulation or clipping. Of several processes, each with its part of the batch, the
    closure averages the gradients (`DistributedDataParallel` does) and the optimiser the losses. There is one group of
    parameters, as with `torch.optim.LBFGS`. Those that are frozen (`requires_grad`) stay where they are; where others
    are than at the step before, what was learnt of the curvature is forgotten.

    The state counts `evaluations`, calls of the closure, and `iterations`.

    Args:
        params: floating-point, on one device.
        defaults: options of the group.
        dtype: of the arithmetic; the widest of the parameters by default.

    Raises:
        SpecificationError: several groups or devices, parameters that are not floating-point.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], defaults: dict[str, Any], *, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__(params, defaults)
        name = type(self).__name__
        if len(self.param_groups) != 1:
            raise SpecificationError(f"`{name}` needs one group of parameters, got {len(self.param_groups)}")
        if len({p.device for p in self._given}) != 1 or not all(p.is_floating_point() for p in self._given):
            found = ", ".join(sorted({f"{p.dtype} on {p.device}" for p in self._given}))
            raise SpecificationError(f"`{name}` needs floating-point parameters on one device, got {found}")
        self.dtype = dtype or reduce(torch.promote_types, (p.dtype for p in self._given))

    @abstractmethod
    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """One step; the loss before it."""

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles."""
        return own_attributes(self)

    def forget(self) -> None:
        """Other parameters are frozen than before: drop from `memory` what was learnt; by default nothing."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Those that are not frozen."""
        return [p for p in self._given if p.requires_grad]

    @property
    def _given(self) -> list[nn.Parameter]:
        found: list[nn.Parameter] = self.param_groups[0]["params"]
        return found

    @property
    def memory(self) -> dict[str, Any]:
        """What goes on from step to step; kept as the state of the first parameter, so that checkpoints hold it."""
        memory: dict[str, Any] = self.state[self._given[0]]
        memory.setdefault("evaluations", 0)
        memory.setdefault("iterations", 0)
        return memory

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, bit for bit: nothing is rounded to the parameters' dtype, nothing is shared."""
        super().load_state_dict(state_dict)
        saved = state_dict["state"].get(0, {})
        device = self._given[0].device
        for key, value in saved.items():
            if isinstance(value, Tensor):
                self.memory[key] = value.detach().to(device, copy=True)

    def read(self) -> Tensor:
        """The parameters as one vector, `(n,)`."""
        return torch.cat([p.detach().reshape(-1) for p in self.parameters]).to(self.dtype)

    def write(self, vector: Tensor) -> None:
        """Set the parameters from `(n,)`."""
        parts = vector.split([p.numel() for p in self.parameters])
        with torch.no_grad():
            for parameter, part in zip(self.parameters, parts, strict=True):
                parameter.copy_(part.view_as(parameter))

    def read_gradient(self) -> Tensor:
        """The gradient that `backward` left, `(n,)`; 0 where it left none."""
        parts = [
            torch.zeros_like(p).reshape(-1) if p.grad is None else p.grad.detach().to_dense().reshape(-1)
            for p in self.parameters
        ]
        return torch.cat(parts).to(self.dtype)

    def begin(self, closure: Closure | None) -> tuple[Tensor, Tensor]:
        """Loss and gradient where the parameters are.

        Raises:
            SpecificationError: no closure, nothing to train.
            NonFiniteError: one of them is not finite.
        """
        if closure is None:
            raise SpecificationError(f"`{type(self).__name__}` needs a closure that returns the loss, got None")
        if not any(p.numel() for p in self.parameters):
            raise SpecificationError(f"`{type(self).__name__}` needs parameters that are not frozen, got none")
        trained = [p.requires_grad for p in self._given]
        if self.memory.setdefault("trained", trained) != trained:
            self.forget()
            self.memory["trained"] = trained
        loss, gradient = self._ask(closure)
        if not (math.isfinite(float(loss)) and bool(gradient.isfinite().all())):
            raise NonFiniteError(
                f"`{type(self).__name__}` needs a finite loss and gradient to start a step from, got a loss of "
                f"{float(loss)} and {int((~gradient.isfinite()).sum())} gradient entries that are not; the parameters "
                "are as before"
            )
        return loss, gradient

    def probe(
        self, closure: Closure, point: Tensor, direction: Tensor
    ) -> Callable[[float], tuple[float, float, Tensor]]:
        """Value, slope and gradient along a line; the parameters are left where it was last asked.

        A closure that refuses what is not finite is taken as one that returns it: a line search then shrinks its step.
        """

        def ask(step: float) -> tuple[float, float, Tensor]:
            self.write(torch.add(point, direction, alpha=step))
            try:
                loss, gradient = self._ask(closure)
            except NonFiniteError:
                return math.nan, math.nan, torch.zeros_like(point)
            except BaseException:
                self.write(point)
                raise
            return float(loss), float(gradient @ direction), gradient

        return ask

    def _ask(self, closure: Closure) -> tuple[Tensor, Tensor]:
        self.memory["evaluations"] += 1
        with torch.enable_grad():
            loss = closure().detach()
        return average_(loss.clone()), self.read_gradient()  # else each process would end its line search elsewhere
