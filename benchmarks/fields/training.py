"""Ways to train a field, as setups of arms: each of their steps asks for the loss about `ITERATIONS` times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from constraints.sampling import ResidualAdaptive
from dkmodels.balance import Balance
from dkmodels.module import KnowledgeModule
from dkmodels.optim import (
    BFGS,
    SOAP,
    InverseUpdate,
    LevenbergMarquardt,
    NystromNewtonCG,
    QuasiNewton,
    SelfScaledBFGS,
    Stage,
    Stages,
)
from dkmodels.study.metric import Contrast

__all__ = [
    "ITERATIONS",
    "LargerLBFGS",
    "adaptive",
    "balanced",
    "by_adam",
    "by_bfgs",
    "by_lbfgs",
    "by_levenberg_marquardt",
    "by_nystrom_newton",
    "by_self_scaled_bfgs",
    "by_single_iterations",
    "by_soap",
    "careful",
    "first_order",
    "optimiser_contrasts",
    "quasi_newton",
]

ITERATIONS = 50
LARGER = 1e10  # of losses that end at 1e-20
ADAM = partial(torch.optim.Adam, betas=(0.9, 0.99))


def adaptive(points: int, candidates: int = 10) -> ResidualAdaptive:
    """All points anew after each step, out of some times as many, in proportion to 1 + |residual| / mean.

    Example:
        >>> adaptive(100).candidates
        1000
    """
    return ResidualAdaptive(every=1, candidates=candidates * points)


def quasi_newton(
    parameters: Iterable[nn.Parameter], *, update: InverseUpdate | None = None, iterations: int = ITERATIONS
) -> torch.optim.Optimizer:
    """The default: self-scaled Broyden from the first step on.

    Args:
        parameters: of a network.
        update: of the inverse Hessian; self-scaled Broyden's by default.
        iterations: in a step.

    Example:
        >>> type(quasi_newton([nn.Parameter(torch.zeros(2))])).__name__
        'QuasiNewton'
    """
    return QuasiNewton(parameters, update=update, max_iter=iterations)


def first_order(
    parameters: Iterable[nn.Parameter],
    *,
    steps: int,
    kind: Callable[..., torch.optim.Optimizer] = ADAM,
    learning_rate: float = 1e-2,
    repeat: int = ITERATIONS,
) -> Stages:
    """Adam or one like it, with a learning rate that falls to 0 along a cosine in so many of its steps.

    Example:
        >>> first_order([nn.Parameter(torch.zeros(2))], steps=100, repeat=1).stages[0].repeat
        1
    """

    def make(given: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return kind(given, lr=learning_rate)

    def decayed(optimizer: torch.optim.Optimizer) -> LRScheduler:
        return CosineAnnealingLR(optimizer, steps)

    return Stages(parameters, [Stage(make, schedule=decayed, repeat=repeat)])


def by_self_scaled_bfgs(module: KnowledgeModule) -> None:
    """Another update of the inverse Hessian."""
    module.optimizer = partial(quasi_newton, update=SelfScaledBFGS())


def by_bfgs(module: KnowledgeModule) -> None:
    """The update of the textbooks."""
    module.optimizer = partial(quasi_newton, update=BFGS())


@final
class LargerLBFGS(torch.optim.LBFGS):
    """torch's L-BFGS of the loss times `LARGER`, which is the same method where losses are small.

    torch's learns nothing of a pair whose product of step and change of gradient is 1e-10 or less: as it is, it
    would end as steepest descent where losses reach 1e-6.
    """

    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        """See `torch.optim.LBFGS`; the loss as it is."""

        def larger() -> Tensor:
            loss = closure()
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.mul_(LARGER)
            return LARGER * loss

        found: Tensor = super().step(larger)  # type: ignore[no-untyped-call]
        return found / LARGER


def by_lbfgs(module: KnowledgeModule) -> None:
    """torch's, with a memory of 100 pairs."""
    module.optimizer = partial(
        LargerLBFGS,
        max_iter=ITERATIONS,
        history_size=100,
        line_search_fn="strong_wolfe",
        tolerance_grad=0.0,
        tolerance_change=0.0,
    )


def by_adam(module: KnowledgeModule, steps: int, learning_rate: float = 1e-2, repeat: int = ITERATIONS) -> None:
    """A step at each evaluation, with a learning rate that falls to 0 along a cosine in so many steps."""
    module.optimizer = partial(first_order, steps=steps, learning_rate=learning_rate, repeat=repeat)


def by_single_iterations(module: KnowledgeModule) -> None:
    """Self-scaled Broyden, one iteration a step, so that weights of points move with each."""
    module.optimizer = partial(quasi_newton, iterations=1)


def by_soap(module: KnowledgeModule, steps: int) -> None:
    """Adam in the basis of Shampoo's preconditioner, likewise."""
    module.optimizer = partial(first_order, steps=steps, kind=SOAP)


def balanced(module: KnowledgeModule, make: Callable[[], Balance]) -> None:
    """Weights of terms that move, by a balance of the module's own."""
    module.set_balance(make())


def careful(parameters: Iterable[nn.Parameter], *, first: int = 6, learning_rate: float = 1e-2) -> Stages:
    """Adam, then self-scaled Broyden: long first steps may drive learnt numbers to bounds where a minimum is.

    Example:
        >>> len(careful([nn.Parameter(torch.zeros(2))]).stages)
        2
    """

    def adam(given: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(given, lr=learning_rate)

    return Stages(parameters, [Stage(adam, first, repeat=ITERATIONS), Stage(quasi_newton)])


def by_levenberg_marquardt(module: KnowledgeModule, first: int = 2) -> None:
    """After some quasi-Newton steps, a step of Gauss and Newton's, damped: about as long as some evaluations."""
    module.optimizer = partial(_marquardt, first=first)


def by_nystrom_newton(module: KnowledgeModule, first: int = 3) -> None:
    """After some steps of Adam, Newton's by conjugate gradients: products that cost about `ITERATIONS` evaluations."""
    module.optimizer = partial(_nystrom_newton, first=first)


def optimiser_contrasts(*pairs: tuple[str, str, str]) -> list[Contrast]:
    """What optimisers are worth: each by name, with its arm and the arm that it is held against.

    Example:
        >>> optimiser_contrasts(("SOAP", "hard, SOAP", "hard, Adam"))[0].family
        'optimiser'
    """
    return [
        Contrast(rule=f"optimiser {name}", embedding=name, arm=arm, baseline=baseline, family="optimiser")
        for name, arm, baseline in pairs
    ]


def _nystrom_newton(parameters: Iterable[nn.Parameter], *, first: int) -> Stages:
    newton = partial(NystromNewtonCG, damping=1e-5, rank=ITERATIONS, max_products=ITERATIONS // 2)
    adam = partial(torch.optim.Adam, lr=5e-3)
    return Stages(parameters, [Stage(adam, first, repeat=ITERATIONS), Stage(newton)])


def _marquardt(parameters: Iterable[nn.Parameter], *, first: int) -> Stages:
    return Stages(parameters, [Stage(quasi_newton, first), Stage(LevenbergMarquardt, repeat=5)])
