"""Lipschitz: outputs that change by no more than so much for a change of the inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import SpecificationError, UnsupportedError
from constraints.functional import dual_exponent
from constraints.networks import NormalisedNetwork, ShapedModule
from constraints.rules.explanation import Explanation, Guarantee
from constraints.rules.field_rule import FieldRule
from constraints.rules.output_rule import OutputRule
from constraints.rules.scope import Scope, apart, clips, sorts
from constraints.sets import Box

__all__ = ["LipschitzIn"]


@final
class LipschitzIn(FieldRule):
    r"""Each output changes by at most `L` times the change of chosen inputs, the others held.

    .. math:: |y_k(x) - y_k(x')| \le L\,\lVert x - x'\rVert_p \iff \lVert \nabla y_k\rVert_q \le L, \quad 1/p + 1/q = 1

    Measured, and penalised by Soft, by the dual norm of the gradient, which for a ReLU network too is its steepness.
    The rule is about single outputs: as a vector of `m` they may move by up to :math:`\sqrt m` times as much in the
    Euclidean norm.

    Hard wraps a chain of linear layers and 1-Lipschitz activations in `NormalisedNetwork`, in which other inputs stay
    unlimited; `GroupSort` is the activation to use. Beside `MonotoneIn` the two share one wrap and the bound.

    Args:
        bound: `L` > 0, [output per input].
        inputs: columns of the input, or names that `bind_inputs` resolves.
        norm: `p`, 1, 2 or inf: how the change of several inputs is measured.
        outputs: columns of the output; all by default.
        region: bounds of the whole input in which further points are drawn.
        draws: how many for each sample, by default 1; only with a region.
        name: see `Rule`.
        unit: of output per input; see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: see `Scope`; a bound or a norm that is none.

    Source: Anil, Lucas and Grosse, "Sorting out Lipschitz function approximation", 2019, arXiv:1811.05381.

    Example:
        >>> from constraints import Hard, join
        >>> gentle = LipschitzIn(1.0, [0, 1])
        >>> steep = nn.Linear(2, 1)
        >>> _ = nn.init.constant_(steep.weight, 3.0)
        >>> round(float(gentle.measure(steep, torch.zeros(1, 2), torch.zeros(1, 1))), 4)  # sqrt(3^2 + 3^2) - 1
        3.2426
        >>> gentle.measure(join(steep, {"gentle": Hard(gentle)}), torch.zeros(1, 2), torch.zeros(1, 1)).tolist()
        [0.0]
    """

    def __init__(
        self,
        bound: float,
        inputs: Sequence[int | str],
        *,
        norm: float = 2.0,
        outputs: Sequence[int] | None = None,
        region: Box | None = None,
        draws: int | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        if not 0 < bound < math.inf:
            raise SpecificationError(f"`LipschitzIn` needs a finite bound > 0, got bound={bound}")
        if float(norm) not in (1.0, 2.0, math.inf):
            raise SpecificationError(f"`LipschitzIn` needs a norm of 1, 2 or inf, got norm={norm}")
        super().__init__(Box(high=bound), name=name, unit=unit, source=source)
        self.scope = Scope(self.name, inputs, outputs=outputs, region=region, draws=draws)
        self.bound, self.norm = float(bound), float(norm)

    def bind_inputs(self, names: Sequence[str] | None) -> None:
        """Resolve the inputs that the rule names; see `Scope.bind`."""
        self.scope.bind(names)

    def points(self, x: Tensor) -> Tensor:
        """See `Scope.points`."""
        return self.scope.points(x)

    def quantity(self, field: nn.Module, points: Tensor) -> Tensor:
        """Dual norm of the gradient of each output, `(*batch, outputs)`, one after another for each point."""
        slopes = self.scope.gradients(field, points)
        return self.scope.by_sample(torch.linalg.vector_norm(slopes, ord=dual_exponent(self.norm), dim=-1))

    def guaranteed(self, network: nn.Module) -> bool:
        """Whether the network's bound, turned into this rule's norm, is as low."""
        if not isinstance(network, ShapedModule) or not self.scope.columns <= network.shape.limited:
            return False
        p, q = dual_exponent(network.shape.norm), dual_exponent(self.norm)
        # A vector of k numbers has a q-norm of at most k^(1/q - 1/p) times its p-norm, or no greater one where q > p.
        stretch = max(0.0, 1.0 / q - 1.0 / p)
        return bool(network.shape.bound * len(self.scope.columns) ** stretch <= self.bound)

    def wrap(self, network: nn.Module) -> nn.Module:
        """See `NormalisedNetwork`."""
        columns = self.scope.columns
        if isinstance(network, NormalisedNetwork) and not network.shape.limited:
            old = network.shape
            wrapped = NormalisedNetwork(
                network.network,
                directions=old.directions,
                limited=columns,
                bound=self.bound,
                norm=self.norm,
            )
        elif isinstance(network, ShapedModule):
            raise UnsupportedError(
                f"rule `{self.name}` cannot be guaranteed by `{type(network).__name__}` of another shape: build a "
                f"`NormalisedNetwork` with limited={sorted(columns)}, bound={self.bound:g}, norm={self.norm:g}, one "
                f"for all its Lipschitz rules"
            )
        else:
            wrapped = NormalisedNetwork(network, limited=columns, bound=self.bound, norm=self.norm)
        self.scope.require_all(wrapped.shape.outputs)
        return wrapped

    def survives(self, rule: OutputRule, *, smooth: bool = False) -> bool:
        """Clips, and isotonic regression of outputs that are all limited, move no output by more than what they map.

        Other projections do so for the outputs as a vector only, and smooth maps can be steeper.
        """
        mine = self.scope.outputs
        return apart(rule, mine) or (not smooth and (clips(rule) or sorts(rule, mine)))

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        return Explanation(
            rule=self.name,
            kind=f"outputs change by at most {self.bound:g} a unit of inputs {list(self.scope.inputs)}",
            embeddings=("Hard", "Soft", "AugmentedLagrangian", "Monitor"),
            guarantee=Guarantee.EXACT,
            cost="Hard: an architecture (wrapped linear layers); else one gradient an output",
        )
