"""Quasi-Newton with a dense inverse Hessian."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import SpecificationError
from dkmodels.optim.full_batch import Closure, FullBatchOptimizer
from dkmodels.optim.inverse_update import InverseUpdate, Measured, SelfScaledBroyden, correct
from dkmodels.optim.line_search import Trial, search_line

__all__ = ["QuasiNewton"]

EAGER = 2.02  # of the fall over the slope: where a parabola would be least is at 2


@final
class QuasiNewton(FullBatchOptimizer):
    r"""A dense inverse Hessian, learnt step by step, and a line search for the strong Wolfe conditions.

    .. math:: x \leftarrow x - t H g(x)

    It needs :math:`n^2` numbers and two passes over them an iteration, for n parameters: 0.5 GB at n = 8,000 in
    float64. Where that is little beside the loss, it goes further in as many evaluations than a short memory
    (`torch.optim.LBFGS`) does, above all where losses fall by many orders of magnitude, as those of equations do.

    A direction that does not descend, or along which the line search finds nothing lower, starts the matrix anew from
    the identity; a step without curvature (:math:`s^T y` within rounding of 0) teaches it nothing. Where the steepest
    descent leads nowhere either, the step ends early.

    Args:
        params: see `FullBatchOptimizer`.
        update: how the matrix learns.
        lr: the longest step that a line search tries first, > 0; 1 is Newton's.
        max_iter: iterations a step, >= 1.
        max_eval: a step begins no further iteration after so many evaluations; without limit by default.
        tolerance_grad: a step ends where no entry of the gradient is larger, >= 0.
        decrease: constant of the first Wolfe condition.
        curvature: constant of the second.
        max_line_search: evaluations a line search, >= 1.
        initial_scale: whether the identity is scaled the first time by what was learnt of the curvature; without,
            BFGS explores more at first.
        dtype: of the matrix; see `FullBatchOptimizer`. float64 keeps float32 parameters from restarts near the end of
            a long run, for twice the memory.

    Raises:
        SpecificationError: numbers out of range.

    Source: Nocedal and Wright, "Numerical Optimization", 2006, algorithm 6.1, first trials by equation 3.60,
    doi:10.1007/978-0-387-40065-5; for equations: Urbán, Stefanou and Pons, Journal of Computational Physics 523, 2025,
    arXiv:2405.04230.

    Example:
        >>> x = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
        >>> optimizer = QuasiNewton([x], max_iter=100, tolerance_grad=1e-10)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2
        ...     loss.backward()
        ...     return loss
        >>> _ = optimizer.step(closure)
        >>> torch.allclose(x.detach(), torch.ones(2, dtype=torch.float64))
        True
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        update: InverseUpdate | None = None,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 0.0,
        decrease: float = 1e-4,
        curvature: float = 0.9,
        max_line_search: int = 25,
        initial_scale: bool = True,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not lr > 0.0 or max_iter < 1 or not tolerance_grad >= 0.0 or max_line_search < 1:
            raise SpecificationError(
                "`QuasiNewton` needs lr > 0, max_iter >= 1, tolerance_grad >= 0 and max_line_search >= 1, got "
                f"{lr}, {max_iter}, {tolerance_grad} and {max_line_search}"
            )
        if not 0.0 < decrease < curvature < 1.0:
            raise SpecificationError(
                f"`QuasiNewton` needs 0 < decrease < curvature < 1, got decrease={decrease}, curvature={curvature}"
            )
        if update is not None and not isinstance(update, InverseUpdate):
            raise SpecificationError(f"`QuasiNewton` needs an InverseUpdate, got {type(update).__name__}")
        options = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_eval,
            "tolerance_grad": tolerance_grad,
            "decrease": decrease,
            "curvature": curvature,
            "max_line_search": max_line_search,
            "initial_scale": initial_scale,
        }
        super().__init__(params, options, dtype=dtype)
        self.update = update or SelfScaledBroyden()

    @property
    def inverse(self) -> Tensor | None:
        """The inverse Hessian, `(n, n)`; None where it is the identity."""
        return self.memory.get("inverse")

    def forget(self) -> None:
        """See `FullBatchOptimizer`."""
        self._restart()

    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """At most `max_iter` iterations.

        Args:
            closure: see `FullBatchOptimizer`.

        Returns:
            The loss before them.

        Raises:
            NonFiniteError: a loss or gradient to start from that is not finite.
        """
        memory, options = self.memory, self.param_groups[0]
        before = memory["evaluations"]
        loss, gradient = self.begin(closure)
        assert closure is not None
        value, point, product = float(loss), self.read(), self._times(gradient)
        for _ in range(options["max_iter"]):
            spent = memory["evaluations"] - before
            if float(gradient.abs().max()) <= options["tolerance_grad"]:
                break
            if options["max_eval"] is not None and spent >= options["max_eval"]:
                break
            moved = self._iterate(closure, point, value, gradient, product)
            if moved is None and self.inverse is not None:
                self._restart()
                moved = self._iterate(closure, point, value, gradient, gradient)
            if moved is None:
                break
            point, value, gradient, product = moved
        return loss

    def _iterate(
        self, closure: Closure, point: Tensor, value: float, gradient: Tensor, product: Tensor
    ) -> tuple[Tensor, float, Tensor, Tensor] | None:
        """One iteration from where `product` is :math:`H g`: the same at where it leads, or None: nowhere."""
        memory, options = self.memory, self.param_groups[0]
        direction = -product
        slope = float(gradient @ direction)
        if not slope < 0.0:
            return None
        rounding = max(torch.finfo(p.dtype).eps for p in self.parameters)
        found = search_line(
            self.probe(closure, point, direction),
            Trial(0.0, value, slope, gradient),
            step=options["lr"] * self._first_trial(value, gradient, slope, rounding),
            decrease=options["decrease"],
            curvature=options["curvature"],
            max_evaluations=options["max_line_search"],
            rounding=rounding,
        )
        reached = torch.add(point, direction, alpha=found.step)
        self.write(reached)
        if found.step == 0.0:
            return None
        memory["iterations"] += 1
        memory["fall"] = value - found.value
        return reached, found.value, found.gradient, self._learn(found.step, product, gradient, found.gradient)

    def _times(self, gradient: Tensor) -> Tensor:
        return gradient if self.inverse is None else self.inverse @ gradient

    def _first_trial(self, value: float, gradient: Tensor, slope: float, rounding: float) -> float:
        """A step of length 1 at first, then one to where the loss would fall as much again; at most Newton's."""
        if self.inverse is None:
            return min(1.0, 1.0 / float(gradient.norm()))
        fall = self.memory["fall"]
        return min(1.0, -EAGER * fall / slope) if fall > rounding * abs(value) else 1.0

    def _learn(self, step: float, product: Tensor, old: Tensor, new: Tensor) -> Tensor:
        """Update the matrix by a step along :math:`-H g`; :math:`H g` at the new gradient, for the matrix learnt."""
        s, y = -step * product, new - old
        sy = float(s @ y)
        after = self._times(new)
        rounding = torch.finfo(y.dtype).eps * float(s.norm()) * float(y.norm())
        if not sy > rounding:
            return after
        inverse = self.inverse
        first = inverse is None and self.param_groups[0]["initial_scale"]
        if inverse is None:
            inverse = torch.eye(len(s), dtype=s.dtype, device=s.device)
        hy = after - product  # what saves a pass over the matrix
        yhy = float(y @ hy)
        if not yhy > 0.0:
            self._restart()
            return new
        b = step * step * float(old @ product) / sy
        weights = self.update.weigh(Measured(b=b, h=yhy / sy, first=first, size=len(s)))
        correction = correct(s, hy, sy, yhy, weights)
        self.memory["inverse"] = correction.add_to_(inverse)
        return correction.apply(after, new)

    def _restart(self) -> None:
        self.memory.pop("inverse", None)
        self.memory["restarts"] = self.memory.get("restarts", 0) + 1
