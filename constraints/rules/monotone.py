"""Monotone: outputs that never fall, or never rise, as an input grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError, UnsupportedError
from constraints.networks import NormalisedNetwork, ShapedModule
from constraints.rules.explanation import Explanation, Guarantee
from constraints.rules.field_rule import FieldRule
from constraints.rules.output_rule import OutputRule
from constraints.rules.scope import Scope, apart, clips, sorts
from constraints.sets import Box

__all__ = ["MonotoneIn"]


@final
class MonotoneIn(FieldRule):
    r"""Outputs grow with chosen inputs, or fall: :math:`\partial y_k / \partial x_i \ge 0`, or :math:`\le 0`.

    Measured, and penalised by Soft, through the partial derivatives at the data, which also see a ReLU network's slope;
    with a region at points drawn in it as well, since a slope that is right at the data alone is worth little.

    Hard wraps a chain of linear layers and 1-Lipschitz activations in `NormalisedNetwork`; several such rules on one
    network share one wrap, also rules of other directions for other outputs. A `ShapedNetwork` built with these
    directions already obeys, and has no bound on slopes to pay for; it gives **every** output these directions.

    Args:
        inputs: columns of the input, or names that `bind_inputs` resolves.
        decreasing: whether outputs fall instead of grow.
        outputs: columns of the output; all by default.
        region: bounds of the whole input in which further points are drawn.
        draws: how many for each sample, by default 1; only with a region.
        name: see `Rule`.
        unit: of output per input; see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: see `Scope`.

    Example:
        >>> import torch
        >>> from constraints import Hard, Soft, join
        >>> heavier = MonotoneIn([0], decreasing=True, name="heavier")
        >>> rising = nn.Linear(2, 1)
        >>> _ = nn.init.constant_(rising.weight, 0.5)
        >>> heavier.measure(rising, torch.zeros(1, 2), torch.zeros(1, 1)).tolist()
        [0.5]
        >>> obeying = join(rising, {"heavier": Hard(heavier)})
        >>> bool((heavier.measure(obeying, torch.randn(9, 2), torch.zeros(9, 1)) == 0).all())
        True
    """

    def __init__(
        self,
        inputs: Sequence[int | str],
        *,
        decreasing: bool = False,
        outputs: Sequence[int] | None = None,
        region: Box | None = None,
        draws: int | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        super().__init__(Box(low=0.0), name=name, unit=unit, source=source)
        self.scope = Scope(self.name, inputs, outputs=outputs, region=region, draws=draws)
        self.decreasing = decreasing

    def bind_inputs(self, names: Sequence[str] | None) -> None:
        """Resolve the inputs that the rule names; see `Scope.bind`."""
        self.scope.bind(names)

    def points(self, x: Tensor) -> Tensor:
        """See `Scope.points`."""
        return self.scope.points(x)

    def quantity(self, field: nn.Module, points: Tensor) -> Tensor:
        """Partial derivatives in the direction asked, `(*batch, outputs * inputs)`, point by point."""
        slopes = self.scope.gradients(field, points).flatten(-2)
        return self.scope.by_sample(-slopes if self.decreasing else slopes)

    def guaranteed(self, network: nn.Module) -> bool:
        """Whether the network's shape has the direction of the chosen outputs in every chosen input."""
        if not isinstance(network, ShapedModule):
            return False
        directions, sign = network.shape.directions, -1 if self.decreasing else 1
        return all(directions[k][i] == sign for k in self._outputs(network.shape.outputs) for i in self.scope.columns)

    def wrap(self, network: nn.Module) -> nn.Module:
        """See `NormalisedNetwork`."""
        if not isinstance(network, NormalisedNetwork) and isinstance(network, ShapedModule):
            way = "decreasing" if self.decreasing else "increasing"
            raise UnsupportedError(
                f"rule `{self.name}` cannot be guaranteed by `{type(network).__name__}` of another shape: build a "
                f"`ShapedNetwork` with {way}={sorted(self.scope.columns)} among its arguments"
            )
        if isinstance(network, NormalisedNetwork):
            shaped, before = network, network.shape.directions
        else:
            shaped = NormalisedNetwork(network, increasing=self.scope.columns)  # for the sizes
            before = ((0,) * shaped.shape.inputs,) * shaped.shape.outputs
        old = shaped.shape
        return NormalisedNetwork(
            shaped.network, directions=self._join(before), limited=old.limited, bound=old.bound, norm=old.norm
        )

    def _join(self, directions: Sequence[Sequence[int]]) -> list[list[int]]:
        """Directions of each output in each input, with those of the rule."""
        found, sign = [list(row) for row in directions], -1 if self.decreasing else 1
        for k in self._outputs(len(found)):
            for i in self.scope.columns:
                if found[k][i] == -sign:
                    raise SpecificationError(
                        f"rule `{self.name}` needs inputs that are increasing or decreasing, got both for output {k} "
                        f"in input {i}"
                    )
                found[k][i] = sign
        return found

    def _outputs(self, count: int) -> Sequence[int]:
        """The chosen outputs of so many."""
        chosen = range(count) if self.scope.outputs is None else self.scope.outputs
        if max(chosen) >= count:
            raise ShapeError(f"rule `{self.name}` speaks of output {max(chosen)}, but the model has only {count}")
        return chosen

    def survives(self, rule: OutputRule, *, smooth: bool = False) -> bool:
        """Clips, their smooth maps, and isotonic regression of monotone outputs grow with what they map."""
        mine = self.scope.outputs
        return apart(rule, mine) or clips(rule) or (sorts(rule, mine) and not smooth)

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        return Explanation(
            rule=self.name,
            kind=f"outputs {'fall' if self.decreasing else 'grow'} with inputs {list(self.scope.inputs)}",
            embeddings=("Hard", "Soft", "AugmentedLagrangian", "Monitor"),
            guarantee=Guarantee.EXACT,
            cost="Hard: an architecture (wrapped linear layers, or ShapedNetwork); else one gradient an output",
        )
