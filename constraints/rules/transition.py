"""Legal successors: what a state may turn into by the next observation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from constraints.errors import ShapeError, SpecificationError
from constraints.rules.cells import CellRule
from constraints.rules.explanation import Explanation, Guarantee
from constraints.sets import Box

__all__ = ["Changes", "Transition"]

State = TypeVar("State")


@final
@dataclass(frozen=True, slots=True)
class Changes:
    """What each of `k` successors changes, padded with -1 to the largest number of changed cells `c`.

    Attributes:
        cells: `(k, c)`, -1 where a successor changes fewer cells.
        labels: their new labels, `(k, c)`.

    Example:
        >>> len(Changes(np.array([[0, 1], [2, -1]]), np.array([[5, 6], [7, 0]])))  # two cells change, or one
        2
    """

    cells: NDArray[np.intp]
    labels: NDArray[np.intp]

    def __post_init__(self) -> None:
        if self.cells.ndim != 2 or self.cells.shape != self.labels.shape:
            raise ShapeError(
                f"`Changes` needs cells and labels of one shape (k, c), got {self.cells.shape} and {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.cells)


class Transition(CellRule, ABC, Generic[State]):
    """The labels of the cells are a legal successor of the labels before, or unchanged.

    A state may hold more than labels (whose turn it is); a user writes four methods and gets the measure (distance to
    the nearest successor), the Soft quantity (its expectation) and the Decode (`constraints.tracking`).

    As a rule on single samples, `before(x)` must say which labels came before; by default `x` is those labels, and a
    `KnowledgeModule`, whose `x` is something else, leaves the rule to whoever feeds it sequences.

    Args:
        cells: how many cells there are.
        classes: how many classes there are.
        name: see `Rule`.
        source: see `Rule`.

    Example:
        >>> class Countdown(Transition[int]):
        ...     '''One cell that holds a number, which falls by one or stays.'''
        ...     def initial(self, labels): return int(labels[0])
        ...     def labels(self, state): return np.array([state])
        ...     def successors(self, state):
        ...         k = 1 if state else 0
        ...         return Changes(np.zeros((k, 1), dtype=np.intp), np.full((k, 1), state - 1))
        ...     def advance(self, state, index): return state - 1
        >>> rule = Countdown(cells=1, classes=4)
        >>> logits = torch.eye(4)[torch.tensor([[2], [0]])] * 9.0        # reads 2, reads 0
        >>> rule.measure(torch.nn.Identity(), torch.tensor([[3], [3]]), logits)
        tensor([0., 1.])
    """

    def __init__(self, *, cells: int, classes: int, name: str | None = None, source: str = "") -> None:
        if cells < 1 or classes < 2:
            raise SpecificationError(f"`Transition` needs cells >= 1 and classes >= 2, got {cells} and {classes}")
        super().__init__(Box(high=0.0), classes=classes, name=name, source=source)
        self.cells = cells

    @abstractmethod
    def initial(self, labels: NDArray[np.integer]) -> State:
        """The state of which only the labels `(cells,)` are known."""

    @abstractmethod
    def labels(self, state: State) -> NDArray[np.integer]:
        """Labels of a state, `(cells,)`."""

    @abstractmethod
    def successors(self, state: State) -> Changes:
        """What each legal successor changes; that nothing changed is always possible and not listed."""

    @abstractmethod
    def advance(self, state: State, index: int) -> State:
        """The state after the successor at `index` of `successors(state)`."""

    def begin(self, scores: NDArray[np.floating]) -> tuple[NDArray[np.integer], bool]:
        """How a sequence begins.

        Args:
            scores: log-probabilities, `(cells, classes)`.

        Returns:
            Labels `(cells,)`, by default what is read, and whether they are known otherwise than by reading.
        """
        return self.reread(scores), False

    def reread(self, scores: NDArray[np.floating]) -> NDArray[np.integer]:
        """The most probable labels `(cells,)` of a legal state, by default of any state."""
        labels: NDArray[np.integer] = scores.argmax(axis=1)
        return labels

    def lost(self, labels: NDArray[np.integer], read: NDArray[np.integer]) -> bool:
        """Whether contradicted cells mean that a transition was missed; by default where there are two or more.

        Args:
            labels: what was believed of these cells, `(k,)`.
            read: what is read now, `(k,)`.
        """
        return len(labels) >= 2

    @property
    def sequential(self) -> bool:
        """True unless `before` says which labels came before a sample."""
        return type(self).before is Transition.before

    def before(self, x: Tensor) -> Tensor:
        """Labels before each sample, from the model's input, `(*batch, cells)`."""
        return x

    @final
    def of_probabilities(self, probabilities: Tensor, x: Tensor | None) -> Tensor:
        """Expected number of cells off the nearest successor, `(*batch, 1)`."""
        if x is None:
            raise SpecificationError(f"rule `{self.name}` needs the labels before as its input, got x=None")
        before = self.before(x).reshape(-1, self.cells).cpu().numpy()
        flat = probabilities.reshape(-1, self.cells, self.classes)
        nearest = [self._distance(p, labels) for p, labels in zip(flat, before, strict=True)]
        return torch.stack(nearest).reshape(*probabilities.shape[:-2], 1)

    def _distance(self, probabilities: Tensor, before: NDArray[np.integer]) -> Tensor:
        stay = torch.as_tensor(before, dtype=torch.long, device=probabilities.device)
        off = 1.0 - probabilities.gather(-1, stay.unsqueeze(-1)).squeeze(-1)  # (cells,)
        changes = self.successors(self.initial(before))
        cells = torch.as_tensor(changes.cells, device=probabilities.device)
        labels = torch.as_tensor(changes.labels, device=probabilities.device)
        used = cells >= 0
        at = cells.clamp(min=0)
        moved = torch.where(used, 1.0 - probabilities[at, labels.clamp(min=0)] - off[at], 0.0).sum(dim=-1)
        return off.sum() + torch.cat([moved.new_zeros(1), moved]).amin().clamp(max=0.0)

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        return Explanation(
            rule=self.name,
            kind="legal successor of the state before",
            embeddings=("Decode", "Soft", "Monitor"),
            guarantee=Guarantee.EXACT,
            cost="the successors of one state a sample; a lazy decoder asks the network for fewer cells",
        )
