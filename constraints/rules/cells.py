"""Rules on cells that a model classifies: pixels, tokens, the squares of a board."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from constraints.errors import InfeasibleError, ShapeError
from constraints.rules.explanation import Explanation, Guarantee
from constraints.rules.output_rule import OutputRule
from constraints.sets import Box, Constraint

__all__ = ["AllowedClasses", "CellRule"]


class CellRule(OutputRule, ABC):
    """A rule on the classes of cells; the model's output is logits `(*batch, cells, classes)`.

    Training sees probabilities (softmax), measuring sees the decision (argmax).

    Args:
        constraint: the set in which the quantity must lie.
        classes: how many classes there are.
        name: see `Rule`.
        source: see `Rule`.
    """

    def __init__(self, constraint: Constraint, *, classes: int, name: str | None = None, source: str = "") -> None:
        super().__init__(constraint, name=name, source=source)
        self.classes = classes

    @abstractmethod
    def of_probabilities(self, probabilities: Tensor, x: Tensor | None) -> Tensor:
        """The quantity of class probabilities, `(*batch, cells, classes)` to `(*batch, n)`."""

    @final
    def quantity(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """The quantity of the logits' softmax."""
        self._require_logits(y)
        return self.of_probabilities(y.softmax(dim=-1), x)

    @final
    def observe(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """The quantity of the most probable class of each cell; a NaN logit stays a NaN."""
        self._require_logits(y)
        decided = F.one_hot(y.argmax(dim=-1), self.classes).to(y.dtype)
        return self.of_probabilities(decided.masked_fill(y.isnan(), torch.nan), x)

    def _require_logits(self, y: Tensor) -> None:
        if y.dim() < 2 or y.shape[-1] != self.classes:
            raise ShapeError(
                f"rule `{self.name}` needs logits (*batch, cells, {self.classes}), got shape {tuple(y.shape)}"
            )


@final
class AllowedClasses(CellRule):
    """Classes that a cell can never have: no pawn on the first rank, no sea in the mountains.

    Hard masks the logits of forbidden classes (softmax gives them exactly 0). Data that contradict the rule would make
    the loss meaningless, so check them with `measure` on one-hot targets first.

    Args:
        allowed: bool, `(cells, classes)`.
        name: see `Rule`.
        source: see `Rule`.

    Raises:
        InfeasibleError: a cell that may have no class at all.

    Example:
        >>> rule = AllowedClasses(torch.tensor([[True, False], [True, True]]))
        >>> rule.enforce(torch.zeros(2, 2)).softmax(dim=-1)
        tensor([[1.0000, 0.0000],
                [0.5000, 0.5000]])
    """

    forbidden: Tensor

    def __init__(
        self, allowed: Tensor | Sequence[Sequence[bool]], *, name: str | None = None, source: str = ""
    ) -> None:
        mask = torch.as_tensor(allowed, dtype=torch.bool)
        if mask.dim() != 2 or 0 in mask.shape:
            raise ShapeError(f"`AllowedClasses` needs a mask (cells, classes), got shape {tuple(mask.shape)}")
        empty = (~mask.any(dim=-1)).nonzero().flatten().tolist()
        if empty:
            raise InfeasibleError(f"`AllowedClasses` needs a class for every cell, got none for cells {empty}")
        super().__init__(Box(high=0.0), classes=mask.shape[1], name=name, source=source)
        self.register_buffer("forbidden", ~mask, persistent=False)

    def of_probabilities(self, probabilities: Tensor, x: Tensor | None) -> Tensor:
        """Probability on forbidden classes of each cell, `(*batch, cells)`."""
        self._require_cells(probabilities)
        return (probabilities * self.forbidden).sum(dim=-1)

    @property
    def enforceable(self) -> bool:
        """Masking is always possible."""
        return True

    def enforce(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """Logits with the forbidden classes masked, `(*batch, cells, classes)`."""
        self._require_cells(y)
        return self.enforce_at(y, slice(None))

    def _require_cells(self, y: Tensor) -> None:
        if y.dim() < 2 or y.shape[-2] != len(self.forbidden):
            raise ShapeError(f"rule `{self.name}` needs {len(self.forbidden)} cells, got shape {tuple(y.shape)}")

    def enforce_at(self, y: Tensor, cells: Tensor | slice) -> Tensor:
        """The same for the logits of some cells only, `(*batch, k, classes)`.

        The mask is finite: minus infinity turns to NaN in sums of log-probabilities and in their gradients. It is far
        below what any network answers, and within what half precision holds.
        """
        self._require_logits(y)
        return y.masked_fill(self.forbidden[cells], max(torch.finfo(y.dtype).min / 4, -1e30))

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        return Explanation(
            rule=self.name,
            kind="classes forbidden in cells",
            embeddings=("Hard", "Decode", "Soft", "AugmentedLagrangian", "Monitor"),
            guarantee=Guarantee.EXACT,
            cost="one masked fill",
        )
