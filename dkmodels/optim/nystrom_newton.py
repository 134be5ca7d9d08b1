"""Damped Newton by preconditioned conjugate gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import SpecificationError
from dkmodels.optim.full_batch import Closure, FullBatchOptimizer
from dkmodels.optim.nystrom import LowRank, approximate, solve

__all__ = ["NystromNewtonCG"]


@final
class NystromNewtonCG(FullBatchOptimizer):
    r"""Newton's direction of the damped Hessian by conjugate gradients, preconditioned by a random sketch of it.

    .. math:: (H + \mu) d = g, \qquad x \leftarrow x - t d

    `t` is halved until the loss falls by `decrease` of what the slope promises (Armijo). It keeps `rank` vectors, not a
    matrix, and is meant for the end of a training that L-BFGS began. Where the matrix of `QuasiNewton` fits, that one
    has gone further at equal cost, wherever we measured both.

    **The closure keeps the graph.** Products with the Hessian differentiate the gradient that `backward` left, so the
    closure calls `loss.backward(create_graph=optimizer.needs_graph, inputs=parameters)`. The attribute is True only
    where products follow, so that a line search keeps nothing. Without `inputs`, other leaves of the graph (points at
    which derivatives are taken) keep their gradients, those keep the graph, and memory grows with every step; the
    parameters' own cycle, of which torch warns, is broken here. `KnowledgeModule` does all this by itself; another
    LightningModule overrides `backward(self, loss)` so. Every operation must have a second backward pass.

    A direction of negative curvature ends the conjugate gradients early; where the direction found does not descend,
    the preconditioned gradient is taken. Random numbers depend on `seed` and the count of iterations alone.

    The state counts `products` with the Hessian too; one costs about two evaluations.

    Args:
        params: see `FullBatchOptimizer`.
        lr: the largest step `t`, > 0; 1 is Newton's.
        damping: :math:`\mu`, > 0; the authors try 1e-5 to 1e-1.
        rank: test vectors of the sketch, >= 1; at most one a parameter is used.
        refresh: iterations after which the sketch is made anew, >= 1.
        max_products: of conjugate gradients, an iteration, >= 1.
        tolerance: of their residual, relative to the gradient, > 0.
        decrease: share of the promised fall that a step must reach, in (0, 1).
        max_line_search: evaluations a line search, >= 1.
        seed: of the test vectors.

    Raises:
        SpecificationError: numbers out of range.

    Source: Rathore, Lei, Frangella, Lu and Udell, "Challenges in training PINNs: a loss landscape perspective", ICML
    2024, algorithms 4 to 7, arXiv:2402.01868. Ours: the tolerance is relative, and curvature is watched.

    Example:
        >>> x = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
        >>> optimizer = NystromNewtonCG([x], damping=1e-6)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2
        ...     loss.backward(create_graph=optimizer.needs_graph, inputs=[x])
        ...     return loss
        >>> for _ in range(30):
        ...     _ = optimizer.step(closure)
        >>> torch.allclose(x.detach(), torch.ones(2, dtype=torch.float64))
        True
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float = 1.0,
        damping: float = 1e-3,
        rank: int = 60,
        refresh: int = 20,
        max_products: int = 200,
        tolerance: float = 1e-6,
        decrease: float = 0.1,
        max_line_search: int = 30,
        seed: int = 0,
    ) -> None:
        if not (lr > 0.0 and damping > 0.0 and tolerance > 0.0 and 0.0 < decrease < 1.0):
            raise SpecificationError(
                "`NystromNewtonCG` needs lr, damping and tolerance > 0 and decrease in (0, 1), got "
                f"{lr}, {damping}, {tolerance} and {decrease}"
            )
        if min(rank, refresh, max_products, max_line_search) < 1:
            raise SpecificationError(
                "`NystromNewtonCG` needs rank, refresh, max_products and max_line_search >= 1, got "
                f"{rank}, {refresh}, {max_products} and {max_line_search}"
            )
        options = {
            "lr": lr,
            "damping": damping,
            "rank": rank,
            "refresh": refresh,
            "max_products": max_products,
            "tolerance": tolerance,
            "decrease": decrease,
            "max_line_search": max_line_search,
            "seed": seed,
        }
        super().__init__(params, options)
        self.needs_graph = True

    def forget(self) -> None:
        """See `FullBatchOptimizer`."""
        for name in ("vectors", "values", "direction"):
            self.memory.pop(name, None)

    def step(self, closure: Closure | None = None) -> Tensor:  # type: ignore[override]
        """One iteration.

        Args:
            closure: see the class.

        Returns:
            The loss before it.

        Raises:
            SpecificationError: the closure kept no graph.
            NonFiniteError: a loss or gradient to start from that is not finite.
        """
        loss, gradient = self.begin(closure)
        assert closure is not None
        if bool(gradient.any()):
            direction = self._direct(gradient)
            self.needs_graph = False
            try:
                self._descend(closure, float(loss), gradient, direction)
            finally:
                self.needs_graph = True
            self.memory["iterations"] += 1
        return loss

    def multiply(self, vector: Tensor) -> Tensor:
        """The product of the Hessian, where the closure was last asked, with a vector `(n,)`."""
        parts = vector.split([p.numel() for p in self.parameters])
        pairs = [
            (p.grad, part.view_as(p).to(p.dtype))
            for p, part in zip(self.parameters, parts, strict=True)
            if p.grad is not None and p.grad.requires_grad
        ]
        if not pairs:
            raise SpecificationError(
                "`NystromNewtonCG` needs a closure that calls loss.backward(create_graph=optimizer.needs_graph), and a "
                "loss that is not linear, got gradients without a graph"
            )
        self.memory["products"] = self.memory.get("products", 0) + 1
        gradients, weights = zip(*pairs, strict=True)
        found = torch.autograd.grad(gradients, self.parameters, weights, retain_graph=True, materialize_grads=True)
        return torch.cat([part.reshape(-1) for part in found]).to(self.dtype)

    def _direct(self, gradient: Tensor) -> Tensor:
        """The direction, to be subtracted; the graph is let go."""
        memory, options = self.memory, self.param_groups[0]
        damping = options["damping"]
        if memory["iterations"] % options["refresh"] == 0 or "vectors" not in memory:
            memory["vectors"], memory["values"] = approximate(self.multiply, self._test_vectors(gradient))
        sketch = LowRank(memory["vectors"], memory["values"])
        found = solve(
            lambda v: torch.add(self.multiply(v), v, alpha=damping),
            gradient,
            lambda r: sketch.precondition(r, damping),
            start=memory.get("direction"),
            tolerance=options["tolerance"],
            max_products=options["max_products"],
        )
        direction = found.point
        if not float(direction @ gradient) > 0.0:
            direction = sketch.precondition(gradient, damping) / (memory["values"][-1] + damping)
        parts = direction.split([p.numel() for p in self.parameters])
        for parameter, part in zip(self.parameters, parts, strict=True):
            if parameter.grad is None:
                part.zero_()  # but for rounding it is
            else:
                parameter.grad = parameter.grad.detach()  # else parameter and graph would keep each other
        memory["direction"] = direction
        return direction

    def _descend(self, closure: Closure, value: float, gradient: Tensor, direction: Tensor) -> None:
        """Halve the step until the loss falls enough; where it never does, the parameters stay."""
        options, point = self.param_groups[0], self.read()
        ask, slope = self.probe(closure, point, -direction), float(gradient @ direction)
        step = float(options["lr"])
        for _ in range(options["max_line_search"]):
            if ask(step)[0] <= value - options["decrease"] * step * slope:
                return
            step *= 0.5
        self.write(point)
        self.memory.pop("direction")

    def _test_vectors(self, like: Tensor) -> Tensor:
        options = self.param_groups[0]
        generator = torch.Generator().manual_seed(options["seed"] + self.memory["iterations"])
        shape = (len(like), min(options["rank"], len(like)))
        return torch.randn(shape, generator=generator, dtype=like.dtype).to(like.device)
