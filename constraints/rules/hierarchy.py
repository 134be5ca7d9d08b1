"""Hierarchies of labels: what is a dog is an animal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeAlias, final

from torch import Tensor, nn
from torch.nn import functional as F

from constraints.errors import ShapeError, SpecificationError
from constraints.functional import lower_children, max_constraint_loss, raise_parents
from constraints.functional.partial_order import find_cycle
from constraints.rules.explanation import Explanation, Guarantee
from constraints.rules.output_rule import OutputRule
from constraints.sets import PartialOrder

__all__ = ["Hierarchy", "HierarchyMap", "LowerChildren", "NearestCoherent", "RaiseParents"]

Label: TypeAlias = int | str
Parents: TypeAlias = Mapping[Label, Label | Sequence[Label]] | Mapping[str, str] | Mapping[int, int]


class HierarchyMap(nn.Module, ABC):
    """How scores are brought onto a hierarchy.

    Attributes:
        guarantee: how sure the result is.
        cost: what it costs a sample, in words.
    """

    guarantee: Guarantee = Guarantee.EXACT
    cost: str

    @abstractmethod
    def forward(self, value: Tensor, order: PartialOrder) -> Tensor:
        """Coherent scores, `(*batch, n)`."""


@final
class RaiseParents(HierarchyMap):
    """A parent gets the greatest score of itself and all below it: a child that is sure is believed.

    Example:
        >>> import torch
        >>> RaiseParents()(torch.tensor([0.2, 0.6]), PartialOrder([(1, 0)], size=2))
        tensor([0.6000, 0.6000])
    """

    cost = "the greatest score below each parent: one comparison an edge; not the nearest point"

    def forward(self, value: Tensor, order: PartialOrder) -> Tensor:
        """See `raise_parents`."""
        return raise_parents(value, order.rising_steps())


@final
class LowerChildren(HierarchyMap):
    """A child gets the least score of itself and all above it: a parent that is sure is believed.

    Example:
        >>> import torch
        >>> LowerChildren()(torch.tensor([0.2, 0.6]), PartialOrder([(1, 0)], size=2))
        tensor([0.2000, 0.2000])
    """

    cost = "the least score above each child: one comparison an edge; not the nearest point"

    def forward(self, value: Tensor, order: PartialOrder) -> Tensor:
        """See `lower_children`."""
        return lower_children(value, order.falling_steps())


@final
class NearestCoherent(HierarchyMap):
    """The nearest coherent scores (isotonic regression on the graph): child and parent meet half way.

    It depends on the scale: nearest logits are not the logits of nearest probabilities.

    Example:
        >>> import torch
        >>> NearestCoherent()(torch.tensor([0.2, 0.6]), PartialOrder([(1, 0)], size=2))
        tensor([0.4000, 0.4000])
    """

    guarantee = Guarantee.TOLERANCE
    cost = "active-set projection"

    def forward(self, value: Tensor, order: PartialOrder) -> Tensor:
        """See `PartialOrder.project`."""
        return order.project(value)


@final
class Hierarchy(OutputRule):
    r"""A child implies its parents, over scores: :math:`y_\text{child} \le y_\text{parent}`.

    Then at every threshold a label that holds makes all above it hold. Scores may be logits or probabilities: any
    increasing map keeps the rule, and `RaiseParents` and `LowerChildren` commute with it, so that logits may be mapped
    and the loss taken `with_logits`. Violations and penalties are in the unit of the scores.

    Hard (and Decode, at inference only) uses `form`. Other Hard linear rules on the same outputs make one joint
    projection onto the nearest point, in the place of `form`. A network that is trained through `RaiseParents` goes
    with `loss`; plain cross entropy rewards a wrong child for lifting a right parent.

    Args:
        parents: the parent of each child, or its parents; or edges (child, parent). By column or by name.
        form: how scores are made coherent; `RaiseParents` by default.
        outputs: see `OutputRule`; by default the labels that `parents` names, columns in ascending order, names in the
            order of their first appearance.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: no edges, a label twice among the parents of another, a label that is its own ancestor
            (names the cycle), or one that `outputs` does not have.

    Source: Giunchiglia and Lukasiewicz, "Coherent Hierarchical Multi-Label Classification Networks", NeurIPS 2020,
    arXiv:2010.10151.

    Example:
        >>> import torch
        >>> animals = Hierarchy({"dog": "mammal", "cat": "mammal", "mammal": "animal"})
        >>> animals.bind(["animal", "mammal", "dog", "cat", "colour"])
        >>> animals.enforce(torch.tensor([[0.1, 0.3, 0.9, 0.2, 0.5]]))
        tensor([[0.9000, 0.9000, 0.9000, 0.2000, 0.5000]])
    """

    def __init__(
        self,
        parents: Parents | Sequence[tuple[Label, Label]],
        *,
        form: HierarchyMap | None = None,
        outputs: Sequence[Label] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        edges = _edges(parents)
        labels = list(outputs) if outputs is not None else _labels(edges)
        place = {label: i for i, label in enumerate(labels)}
        missing = sorted({str(label) for edge in edges for label in edge if label not in place})
        if missing:
            raise SpecificationError(f"`Hierarchy` needs labels that are among its outputs, got {missing} beside them")
        if form is not None and not isinstance(form, HierarchyMap):
            raise SpecificationError(f"`Hierarchy` needs a HierarchyMap as form, got {type(form).__name__}")
        order = PartialOrder([(place[child], place[parent]) for child, parent in edges], len(labels))
        super().__init__(order, outputs=labels, name=name, unit=unit, source=source)
        self.form = form or RaiseParents()

    @property
    def order(self) -> PartialOrder:
        """The set, over the rule's own outputs."""
        assert isinstance(self.constraint, PartialOrder)
        return self.constraint

    def enforce(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """Coherent scores, `(*batch, n)`, by the form; outputs without a place in the hierarchy stay as they are."""
        return self._put(y, x, self._coherent)

    def _coherent(self, scores: Tensor, context: Tensor | None) -> Tensor:
        self.order.require_values(scores)
        coherent: Tensor = self.form(scores, self.order)
        return coherent

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """The max constraint loss of each output, `(*batch, n)`: see `max_constraint_loss`.

        Outputs without a place in the hierarchy get the binary cross entropy, which it is of a label alone.

        Args:
            logits: of the network before any map, `(*batch, n)`.
            target: coherent labels, 0 or 1, `(*batch, n)`.
        """
        if logits.shape != target.shape:
            raise ShapeError(
                f"rule `{self.name}` needs a target of the logits' shape {tuple(logits.shape)}, got "
                f"{tuple(target.shape)}"
            )
        loss = max_constraint_loss(self.select(logits), self.select(target), self.order.rising_steps())
        if self.index is None:
            return loss
        alone = F.binary_cross_entropy_with_logits(logits, target.to(logits), reduction="none")
        return alone.index_copy(-1, self.index, loss)

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        return Explanation(
            rule=self.name,
            kind=f"scores in a partial order of {len(self.order.edges)} edges",
            embeddings=("Hard", "Decode", "Soft", "AugmentedLagrangian", "Monitor"),
            guarantee=self.form.guarantee,
            cost=self.form.cost,
        )


def _edges(parents: Parents | Sequence[tuple[Label, Label]]) -> list[tuple[Label, Label]]:
    """Edges (child, parent), checked."""
    edges: list[tuple[Label, Label]] = []
    if isinstance(parents, Mapping):
        for child, above in parents.items():
            several = (above,) if isinstance(above, int | str) else tuple(above)
            edges += [(child, parent) for parent in several]
    else:
        wrong = [edge for edge in parents if isinstance(edge, str) or len(edge) != 2]
        if wrong:
            raise SpecificationError(f"`Hierarchy` needs edges (child, parent), got {wrong[0]!r}")
        edges = [(child, parent) for child, parent in parents]
    if not edges:
        raise SpecificationError("`Hierarchy` needs at least one child and its parent, got none")
    twice = [edge for edge in dict.fromkeys(edges) if edges.count(edge) > 1] if len(set(edges)) < len(edges) else []
    if twice:
        raise SpecificationError(f"`Hierarchy` needs each edge once, got {twice[0][0]!r} under {twice[0][1]!r} twice")
    cycle = find_cycle(edges)
    if cycle:
        raise SpecificationError(
            f"`Hierarchy` needs labels that are not their own ancestors, got the cycle {' -> '.join(map(str, cycle))}"
        )
    return edges


def _labels(edges: Sequence[tuple[Label, Label]]) -> list[Label]:
    """All labels once; columns in ascending order, names in the order of their first appearance."""
    found = list(dict.fromkeys(label for edge in edges for label in edge))
    columns = sorted(label for label in found if isinstance(label, int))
    return [*columns, *(label for label in found if isinstance(label, str))]
