"""Partial orders: a directed acyclic graph of `lower <= upper`, the maps onto it, and a loss that goes with one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from constraints.errors import ShapeError

__all__ = [
    "find_cycle",
    "lower_children",
    "max_constraint_loss",
    "order_steps",
    "raise_parents",
    "reduce_edges",
]

Node = TypeVar("Node", bound=Hashable)
Edges = Sequence[tuple[Node, Node]]
Steps = Sequence[tuple[Tensor, Tensor]]


def find_cycle(edges: Edges[Node]) -> list[Node]:
    """The nodes of a cycle in the order of its edges, the first repeated at the end; empty where there is none.

    Args:
        edges: pairs (lower, upper).

    Example:
        >>> find_cycle([("a", "b"), ("b", "c"), ("c", "b")])
        ['b', 'c', 'b']
        >>> find_cycle([("a", "b"), ("a", "c")])
        []
    """
    above = _above(edges)
    done: set[Node] = set()
    for root in above:
        path: dict[Node, None] = {}  # ordered
        stack = [(root, iter(above[root]))] if root not in done else []
        path[root] = None
        while stack:
            node, rest = stack[-1]
            nxt = next(rest, None)
            if nxt is None:
                stack.pop()
                done.add(node)
                path.pop(node, None)
            elif nxt in path:
                walked = list(path)
                return [*walked[walked.index(nxt) :], nxt]
            elif nxt not in done:
                path[nxt] = None
                stack.append((nxt, iter(above[nxt])))
    return []


def reduce_edges(edges: Edges[Node]) -> list[tuple[Node, Node]]:
    """The transitive reduction: edges without those that others imply, in the order given.

    Args:
        edges: pairs (lower, upper) without a cycle.

    Example:
        >>> reduce_edges([("dog", "animal"), ("dog", "mammal"), ("mammal", "animal")])
        [('dog', 'mammal'), ('mammal', 'animal')]
    """
    above = _above(edges)
    bit = {node: 1 << place for place, node in enumerate(above)}
    beyond: dict[Node, int] = {}  # all ancestors of a node, as bits
    for node in reversed(_topological(above)):
        reached = 0
        for upper in above[node]:
            reached |= bit[upper] | beyond[upper]
        beyond[node] = reached
    return [
        (lower, upper)
        for lower, upper in dict.fromkeys(edges)
        if not any(beyond[other] & bit[upper] for other in above[lower] if other != upper)
    ]


def order_steps(edges: Edges[int]) -> list[tuple[Tensor, Tensor]]:
    """The edges in batches, from the leaves up: in each, all that lies below its upper ends has been dealt with.

    Args:
        edges: pairs (lower, upper) of columns, without a cycle.

    Returns:
        `(lower, upper)` columns of each step, `(e,)` each, int64; as many steps as the longest chain has edges.

    Example:
        >>> [(low.tolist(), up.tolist()) for low, up in order_steps([(2, 1), (1, 0), (3, 0)])]
        [([2], [1]), ([1, 3], [0, 0])]
    """
    above = _above(edges)
    height = dict.fromkeys(above, 0)
    for node in _topological(above):
        for upper in above[node]:
            height[upper] = max(height[upper], height[node] + 1)
    levels: dict[int, list[tuple[int, int]]] = {}
    for lower, upper in edges:
        levels.setdefault(height[upper], []).append((lower, upper))
    return [tuple(torch.tensor(pairs).unbind(dim=1)) for _, pairs in sorted(levels.items())]  # type: ignore[misc]


def raise_parents(value: Tensor, steps: Steps) -> Tensor:
    r"""Each node becomes the greatest of itself and all that lies below it: :math:`\max_{B \le A} v_B`.

    The least point of the order that is nowhere below `value`. Increasing maps commute with it: of logits it gives the
    logits of what it gives of probabilities. The gradient goes to the greatest node alone (shared where some tie).

    Args:
        value: `(*batch, n)`.
        steps: see `order_steps`.

    Returns:
        `(*batch, n)`, whose values are values of the input, so that the order holds without any rounding.

    Source: Giunchiglia and Lukasiewicz, "Coherent Hierarchical Multi-Label Classification Networks", NeurIPS 2020,
    arXiv:2010.10151.

    Example:
        >>> raise_parents(torch.tensor([0.2, 0.1, 0.7]), order_steps([(2, 1), (1, 0)]))
        tensor([0.7000, 0.7000, 0.7000])
    """
    for lower, upper in steps:
        below = value.index_select(-1, lower)
        value = value.scatter_reduce(-1, upper.expand_as(below), below, "amax")
    return value


def lower_children(value: Tensor, steps: Steps) -> Tensor:
    r"""Each node becomes the least of itself and all that lies above it: :math:`\min_{B \ge A} v_B`.

    The greatest point of the order that is nowhere above `value`; see `raise_parents`.

    Args:
        value: `(*batch, n)`.
        steps: `order_steps` of the edges turned round, (upper, lower).

    Example:
        >>> lower_children(torch.tensor([0.2, 0.1, 0.7]), order_steps([(1, 2), (0, 1)]))
        tensor([0.2000, 0.1000, 0.1000])
    """
    for upper, lower in steps:
        above = value.index_select(-1, upper)
        value = value.scatter_reduce(-1, lower.expand_as(above), above, "amin")
    return value


def max_constraint_loss(logits: Tensor, target: Tensor, steps: Steps) -> Tensor:
    r"""The max constraint loss (MCLoss): cross entropy that knows that `raise_parents` follows.

    .. math:: -y_A \ln \max_{B \le A} y_B h_B - (1 - y_A) \ln\bigl(1 - \max_{B \le A} h_B\bigr)

    with probabilities :math:`h = \sigma(\text{logits})`. Cross entropy of the raised scores would reward a wrong child
    for lifting a right parent; here a label that holds is explained by itself and by children that hold, only.

    Args:
        logits: of the network, before any map, `(*batch, n)`.
        target: 0 or 1, `(*batch, n)`; a label that holds makes all above it hold.
        steps: see `order_steps`.

    Returns:
        The loss of each label, `(*batch, n)`.

    Raises:
        ShapeError: logits and target of different shapes.

    Source: Giunchiglia and Lukasiewicz, NeurIPS 2020, arXiv:2010.10151.

    Example:
        >>> steps = order_steps([(1, 0), (2, 0)])
        >>> logits = torch.tensor([[-2.0, 3.0, -1.0]])            # a parent, and its children
        >>> max_constraint_loss(logits, torch.tensor([[1.0, 0.0, 1.0]]), steps)
        tensor([[1.3133, 3.0486, 1.3133]])
    """
    if logits.shape != target.shape:
        raise ShapeError(
            f"`max_constraint_loss` needs a target of the logits' shape {tuple(logits.shape)}, got "
            f"{tuple(target.shape)}"
        )
    holds = target > 0.5
    right = raise_parents(logits.masked_fill(~holds, torch.finfo(logits.dtype).min), steps)
    return torch.where(holds, F.softplus(-right), F.softplus(raise_parents(logits, steps)))


def _above(edges: Edges[Node]) -> dict[Node, list[Node]]:
    """The direct uppers of every node."""
    above: dict[Node, list[Node]] = {}
    for lower, upper in edges:
        above.setdefault(lower, []).append(upper)
        above.setdefault(upper, [])
    return above


def _topological(above: dict[Node, list[Node]]) -> list[Node]:
    """Nodes, each before all that lie above it."""
    waiting = dict.fromkeys(above, 0)
    for uppers in above.values():
        for upper in uppers:
            waiting[upper] += 1
    ready = [node for node, count in waiting.items() if count == 0]
    for node in ready:  # grows as we go
        for upper in above[node]:
            waiting[upper] -= 1
            if waiting[upper] == 0:
                ready.append(upper)
    return ready
