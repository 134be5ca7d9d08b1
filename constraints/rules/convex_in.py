"""Convex: outputs that lie nowhere above their chords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import SpecificationError, UnsupportedError
from constraints.networks import ConvexNetwork, ShapedModule
from constraints.rules.explanation import Explanation, Guarantee
from constraints.rules.field_rule import FieldRule
from constraints.rules.output_rule import OutputRule
from constraints.rules.scope import Scope, apart, clips
from constraints.sets import Box
from constraints.sets.constraint import as_buffer

__all__ = ["ConvexIn"]


@final
class ConvexIn(FieldRule):
    r"""Outputs are convex in chosen inputs together, the others held, or concave.

    .. math:: y(x) \le \tfrac12 \big(y(x - d) + y(x + d)\big) \quad\text{for all steps } d \text{ of these inputs}

    Measured, and penalised by Soft, by how far the graph rises above the middle of its chord, [unit of the output], for
    steps drawn uniformly from a box of half-width `reach` round each point (all inputs at once, so joint convexity is
    tested, not only along axes). Second derivatives are **not** used: those of a ReLU network are zero almost
    everywhere, whatever its shape, so that every one would pass; a chord sees its kinks. What the rounding of three
    values can cause is not counted.

    Hard wraps a chain of linear layers and convex activations in `ConvexNetwork` where the rule speaks of all inputs;
    for some of them build a `ShapedNetwork` with these inputs `convex`. Both give **every** output this shape.

    Args:
        inputs: columns of the input, or names that `bind_inputs` resolves.
        concave: whether outputs lie nowhere below their chords instead.
        reach: the longest step of each chosen input, > 0, one for all or one each, [unit of the input]; 1 suits
            standardised inputs.
        outputs: columns of the output; all by default.
        region: bounds of the whole input in which further midpoints are drawn; steps may leave it.
        draws: how many for each sample, by default 1; only with a region.
        name: see `Rule`.
        unit: of the output; see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: see `Scope`; a reach that is not positive.

    Example:
        >>> from constraints import Hard, join
        >>> bowl = ConvexIn([0, 1], unit="EUR")
        >>> class Dome(nn.Module):
        ...     def forward(self, x):
        ...         return -x.abs().sum(dim=-1, keepdim=True)
        >>> x = torch.zeros(500, 2)
        >>> bool((bowl.measure(Dome(), x, x[:, :1]) > 0).all())  # all its second derivatives are zero
        True
        >>> net = join(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)), {"bowl": Hard(bowl)})
        >>> bool((bowl.measure(net, x, x[:, :1]) == 0).all())
        True
    """

    reach: Tensor

    def __init__(
        self,
        inputs: Sequence[int | str],
        *,
        concave: bool = False,
        reach: float | Sequence[float] = 1.0,
        outputs: Sequence[int] | None = None,
        region: Box | None = None,
        draws: int | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        super().__init__(Box(low=0.0), name=name, unit=unit, source=source)
        self.scope = Scope(self.name, inputs, outputs=outputs, region=region, draws=draws)
        self.concave = concave
        longest = as_buffer("ConvexIn", "reach", reach)
        if longest.shape not in ((), (len(self.scope.inputs),)) or not (longest > 0).all():
            raise SpecificationError(
                f"`ConvexIn` needs a reach > 0, one for all or for each of {len(self.scope.inputs)} inputs, got {reach}"
            )
        self.register_buffer("reach", longest, persistent=False)

    def bind_inputs(self, names: Sequence[str] | None) -> None:
        """Resolve the inputs that the rule names; see `Scope.bind`."""
        self.scope.bind(names)

    def points(self, x: Tensor) -> Tensor:
        """See `Scope.points`."""
        return self.scope.points(x)

    def quantity(self, field: nn.Module, points: Tensor) -> Tensor:
        """Middle of the chord less the value there, `(*batch, outputs)`, one after another for each point."""
        shape = (*points.shape[:-1], len(self.scope.inputs))
        unit = torch.rand(shape, dtype=points.dtype, device=points.device) * 2.0 - 1.0
        steps = unit * self.reach.to(points)
        ends = [self.scope.moved(points, step) for step in (-steps, steps)]
        left, middle, right = self.scope.values(field, torch.stack([ends[0], points, ends[1]])).unbind(dim=0)
        gap = 0.5 * (left + right) - middle
        size = torch.stack([left, middle, right]).detach().abs().amax(dim=0)
        rounding = 16.0 * torch.finfo(gap.dtype).eps * size
        return self.scope.by_sample((-gap if self.concave else gap) + rounding)

    def guaranteed(self, network: nn.Module) -> bool:
        """Whether the network's shape is convex (concave) in all the chosen inputs together."""
        if not isinstance(network, ShapedModule):
            return False
        shape = network.shape
        return self.scope.columns <= (shape.concave if self.concave else shape.convex)

    def wrap(self, network: nn.Module) -> nn.Module:
        """See `ConvexNetwork`."""
        columns, way = self.scope.columns, "concave" if self.concave else "convex"
        if isinstance(network, ShapedModule):
            raise UnsupportedError(
                f"rule `{self.name}` cannot be guaranteed by `{type(network).__name__}` of another shape: build a "
                f"`ShapedNetwork` with {way}={sorted(columns)} among its arguments"
            )
        wrapped = ConvexNetwork(network, concave=self.concave)
        if len(columns) < wrapped.shape.inputs:
            raise UnsupportedError(
                f"rule `{self.name}` speaks of inputs {sorted(columns)} of {wrapped.shape.inputs}, but a wrapped "
                f"network would be {way} in all: build a `ShapedNetwork` with {way}={sorted(columns)}"
            )
        self.scope.require_all(wrapped.shape.outputs)
        return wrapped

    def survives(self, rule: OutputRule, *, smooth: bool = False) -> bool:
        """A floor under convex outputs, a cap over concave ones: `max` and softplus are convex and nowhere fall."""
        if apart(rule, self.scope.outputs):
            return True
        box = rule.constraint
        if not clips(rule) or not isinstance(box, Box):
            return False
        return bool((box.low if self.concave else box.high).isinf().all())

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        return Explanation(
            rule=self.name,
            kind=f"outputs are {'concave' if self.concave else 'convex'} in inputs {list(self.scope.inputs)}",
            embeddings=("Hard", "Soft", "AugmentedLagrangian", "Monitor"),
            guarantee=Guarantee.EXACT,
            cost="Hard: an architecture (wrapped for all inputs, or ShapedNetwork); else three evaluations",
        )
