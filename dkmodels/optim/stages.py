"""Optimisers one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from constraints import Squares
from constraints.errors import SpecificationError
from dkmodels.optim.full_batch import own_attributes
from dkmodels.optim.normal_equations import AsksSquares

__all__ = ["Stage", "Stages"]


@final
@dataclass(frozen=True, slots=True)
class Stage:
    """An optimiser for some steps.

    Attributes:
        optimizer: from parameters to an optimiser.
        steps: how many it takes, >= 1; None for a last stage without end.
        schedule: from the optimiser to a schedule of its learning rate, stepped after each of its steps.
        repeat: how often it steps on a batch, one after the other: a quasi-Newton method's step is many iterations, and
            so a step of Adam may be many.

    Raises:
        SpecificationError: fewer than one step, or repeat.

    Example:
        >>> from torch.optim.lr_scheduler import ExponentialLR
        >>> Stage(torch.optim.Adam, 2000, lambda adam: ExponentialLR(adam, 0.999)).steps
        2000
    """

    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    steps: int | None = None
    schedule: Callable[[torch.optim.Optimizer], LRScheduler] | None = None
    repeat: int = 1

    def __post_init__(self) -> None:
        if (self.steps is not None and self.steps < 1) or self.repeat < 1:
            raise SpecificationError(f"`Stage` needs steps and repeat >= 1, got {self.steps} and {self.repeat}")


@final
class Stages(torch.optim.Optimizer):
    """Optimisers one after another, as one: Adam for some steps, then a second-order method.

    `step`, `param_groups` and `state` are those of the current stage, so that Lightning's automatic optimisation, its
    checkpoints and its `LearningRateMonitor` need to know nothing of stages. A stage that is over gives its memory
    back. The last one goes on when its steps are over: the trainer says when to stop.

    Args:
        params: see `torch.optim.Optimizer`; each stage has them all.
        stages: at least one; all but the last have `steps`.

    Attributes:
        place: which stage is next to step, from 0.
        taken: how many steps it has taken.
        optimizers: one a stage.

    Raises:
        SpecificationError: no stage; one without end before another.

    Example:
        >>> from dkmodels.optim import QuasiNewton
        >>> x = nn.Parameter(torch.ones(3))
        >>> optimizer = Stages([x], [Stage(torch.optim.Adam, 2), Stage(QuasiNewton)])
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = x.square().sum()
        ...     loss.backward()
        ...     return loss
        >>> for _ in range(3):
        ...     _ = optimizer.step(closure)
        ...     print(type(optimizer.current).__name__)
        Adam
        QuasiNewton
        QuasiNewton
    """

    def __init__(self, params: Iterable[nn.Parameter] | Iterable[dict[str, Any]], stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
        if not self.stages:
            raise SpecificationError("`Stages` needs at least one stage, got none")
        endless = [i for i, stage in enumerate(self.stages[:-1]) if stage.steps is None]
        if endless:
            raise SpecificationError(
                f"`Stages` needs steps for all stages but the last, got none for stage {endless[0]}"
            )
        given: list[Any] = list(params)
        super().__init__(_copied(given), {})
        self.optimizers = [stage.optimizer(_copied(given)) for stage in self.stages]
        self.schedules = [
            stage.schedule(optimizer) if stage.schedule else None
            for stage, optimizer in zip(self.stages, self.optimizers, strict=True)
        ]
        self.place = self.taken = 0
        self._enter(0, 0)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles."""
        return own_attributes(self)

    @property
    def current(self) -> torch.optim.Optimizer:
        """The optimiser that is next to step."""
        return self.optimizers[self.place]

    @property
    def needs_graph(self) -> bool:
        """Whether the current optimiser differentiates the gradient again: see `NystromNewtonCG`."""
        return bool(getattr(self.current, "needs_graph", False))

    def bind_squares(self, module: nn.Module, terms: Callable[[], Sequence[Squares]]) -> None:
        """Tell each stage that needs it which squares the loss is: see `LevenbergMarquardt`."""
        for optimizer in self.optimizers:
            if isinstance(optimizer, AsksSquares):
                optimizer.bind_squares(module, terms)

    def step(self, closure: Callable[[], Tensor] | None = None) -> Any:  # type: ignore[override]
        """A step of the current stage, or as many as it repeats; returns the first's loss.

        Args:
            closure: computes the gradients anew and returns the loss.
        """
        losses: list[Any] = []
        schedule = self.schedules[self.place]
        for _ in range(self.stages[self.place].repeat):
            losses.append(self.current.step(closure))  # type: ignore[arg-type]
            if schedule is not None:
                schedule.step()
        loss = losses[0]
        self.taken += 1
        last = self.place == len(self.stages) - 1
        if not last and self.taken == self.stages[self.place].steps:
            self.current.state.clear()
            self._enter(self.place + 1, 0)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of all stages, and which is the current one."""
        return {
            "place": self.place,
            "taken": self.taken,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedules": [None if schedule is None else schedule.state_dict() for schedule in self.schedules],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of the same stages.

        Raises:
            SpecificationError: a state of other stages.
        """
        scheduled = [schedule is not None for schedule in self.schedules]
        saved = [schedule is not None for schedule in state_dict.get("schedules", [])]
        if saved != scheduled:
            raise SpecificationError(
                f"`Stages` needs the state of {len(scheduled)} stages, scheduled {scheduled}, got {len(saved)}, {saved}"
            )
        for optimizer, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        for schedule, state in zip(self.schedules, state_dict["schedules"], strict=True):
            if schedule is not None:
                schedule.load_state_dict(state)
        self._enter(state_dict["place"], state_dict["taken"])

    def _enter(self, place: int, taken: int) -> None:
        self.place, self.taken = place, taken
        self.param_groups, self.state = self.current.param_groups, self.current.state


def _copied(groups: Sequence[Any]) -> list[Any]:
    """Groups of which each optimiser may add options to its own."""
    return [dict(group) if isinstance(group, dict) else group for group in groups]
