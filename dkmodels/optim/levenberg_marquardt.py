"""Levenberg and Marquardt's method: Gauss and Newton's step, damped until the loss falls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from constraints import NonFiniteError, SpecificationError, Squares
from dkmodels.optim.full_batch import Closure, FullBatchOptimizer
from dkmodels.optim.normal_equations import NormalEquations, normal_equations
from dkmodels.optim.processes import average_

__all__ = ["LevenbergMarquardt"]


@final
class LevenbergMarquardt(FullBatchOptimizer):
    r"""For losses that are sums of squares, and up to a few thousand parameters: each step solves a linear system.

    .. math:: (J^\top J + \mu I)\,d = -J^\top r, \qquad x \leftarrow x + d

    The Jacobian `J` of all residuals costs a few evaluations of the loss and its gradient; the system a product of
    its rows and a Cholesky factorisation. `mu` follows the ratio of the fall to what the linear model promised
    (Nielsen); a step after which the loss would not fall is not taken, but tried again with more damping. Where
    physics-informed losses stall first-order methods and creep under quasi-Newton ones, it takes some hundred steps.
    Use float64, and as many residuals as parameters or more, or regularise.

    In a `KnowledgeModule` it finds the squares by itself: of `Soft` rules that are squared, and of the task
    (`task_squares`). Elsewhere pass `module` and `terms`. All terms are those of one step: points drawn at random are
    drawn once a step.

    The state counts `evaluations` of the loss, accepted `iterations`, and holds the `damping`.

    Args:
        params: see `FullBatchOptimizer`.
        damping: the first `mu`, relative to the largest diagonal entry of :math:`J^\top J`, > 0.
        trials: factorisations a step, >= 1; where none makes the loss fall the parameters stay as they are.
        chunk: rows whose Jacobian is held at a time, >= 1.
        module: holds the parameters; by default the `KnowledgeModule` that made the optimiser.
        terms: the loss as squares, asked once a step; likewise.
        dtype: of the linear system; that of the parameters by default.

    Raises:
        SpecificationError: numbers out of range.

    Source: Nielsen, "Damping parameter in Marquardt's method", IMM, DTU, 1999; for physics-informed losses, Jnini,
    Vella and Zeinhofer, "Gauss-Newton natural gradient descent for physics-informed computational fluid dynamics",
    2024, arXiv:2402.10680.

    Example:
        >>> x = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]
        >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
        <torch...
        >>> network = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1)).double()
        >>> fit = Squares(lambda z: network(z) - torch.sin(6 * z), x, 1 / 9)
        >>> optimizer = LevenbergMarquardt(network.parameters(), module=network, terms=lambda: [fit])
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = fit.loss()
        ...     loss.backward()
        ...     return loss
        >>> losses = [float(optimizer.step(closure)) for _ in range(60)]
        >>> losses[0] > 0.1, losses[-1] < 1e-9
        (True, True)
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        damping: float = 1e-3,
        trials: int = 10,
        chunk: int = 1024,
        module: nn.Module | None = None,
        terms: Callable[[], Sequence[Squares]] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not damping > 0.0 or min(trials, chunk) < 1:
            raise SpecificationError(
                f"`LevenbergMarquardt` needs damping > 0, trials and chunk >= 1, got {damping}, {trials}, {chunk}"
            )
        super().__init__(params, {"damping": damping, "trials": trials, "chunk": chunk}, dtype=dtype)
        self.module, self.terms = module, terms

    def __getstate__(self) -> dict[str, Any]:
        """A copy has to be told the squares anew: functions are not copied, and would speak of the old module."""
        return {**super().__getstate__(), "module": None, "terms": None}

    def bind_squares(self, module: nn.Module, terms: Callable[[], Sequence[Squares]]) -> None:
        """Be told which squares the loss is; what was passed already stays."""
        if self.module is None or self.terms is None:
            self.module, self.terms = module, terms

    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """One step.

        Args:
            closure: the loss and its gradient; called once, for the loss that is returned and logged.

        Returns:
            The loss before it.

        Raises:
            SpecificationError: nobody has said which squares the loss is.
            NonFiniteError: a loss or gradient to start from that is not finite.
            UnsupportedError: residuals that `torch.func` cannot transform.
        """
        if self.module is None or self.terms is None:
            raise SpecificationError(
                "`LevenbergMarquardt` needs the loss as squares: use it in a `KnowledgeModule`, or pass module and "
                "terms"
            )
        loss, _ = self.begin(closure)
        terms, options = list(self.terms()), self.param_groups[0]
        system = normal_equations(self.module, self.parameters, terms, dtype=self.dtype, chunk=options["chunk"])
        if not bool(system.matrix.isfinite().all() & system.vector.isfinite().all()):
            raise NonFiniteError(
                "`LevenbergMarquardt` needs finite residuals and slopes, got some that are not; the parameters "
                "are as before"
            )
        if bool(system.vector.any()):
            self._descend(system, terms)
        return loss

    def _descend(self, system: NormalEquations, terms: Sequence[Squares]) -> None:
        """Damp the system until the loss falls, or leave the parameters as they are."""
        options, memory, start = self.param_groups[0], self.memory, self.read()
        scale = float(system.matrix.diagonal().max())
        damping, growth = float(memory.setdefault("damping", options["damping"] * scale)), 2.0
        least = torch.finfo(self.dtype).eps * scale
        for _ in range(options["trials"]):
            damping = max(damping, least)
            direction = _solve(system, damping)
            if direction is not None:
                self.write(start + direction)
                try:
                    fall = float(system.loss) - self._loss(terms)
                except BaseException:
                    self.write(start)
                    raise
                promised = -float(direction @ (2.0 * system.vector + system.matrix @ direction))
                if fall > 0.0:
                    ratio = fall / promised if promised > 0.0 else 1.0
                    memory["damping"] = damping * max(1.0 / 3.0, 1.0 - (2.0 * ratio - 1.0) ** 3)
                    memory["iterations"] += 1
                    return
            damping, growth = damping * growth, 2.0 * growth
        memory["damping"] = damping
        self.write(start)

    def _loss(self, terms: Sequence[Squares]) -> float:
        """Where the parameters are; not a number, and residuals that refuse to be none, count as no fall."""
        self.memory["evaluations"] += 1
        try:
            with torch.no_grad():
                loss = torch.stack([term.loss() for term in terms]).sum()
        except NonFiniteError:
            loss = self.parameters[0].new_full((), math.nan)
        return float(average_(loss))  # all processes average, also where one refuses


def _solve(system: NormalEquations, damping: float) -> Tensor | None:
    """The damped step; None where the system is not positive definite to rounding."""
    damped = system.matrix.clone()
    damped.diagonal().add_(damping)
    factor, failed = torch.linalg.cholesky_ex(damped)
    if bool(failed):
        return None
    direction = -torch.cholesky_solve(system.vector[:, None], factor)[:, 0]
    return direction if bool(direction.isfinite().all()) else None
