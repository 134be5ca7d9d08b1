"""Limits on how many cells have a class: one king a side, at most eight pawns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from constraints.errors import InfeasibleError, NonFiniteError, SpecificationError
from constraints.functional import assign_with_limits
from constraints.rules.cells import CellRule
from constraints.rules.explanation import Explanation, Guarantee
from constraints.sets import Box

__all__ = ["Census", "CountLimit"]


@final
@dataclass(frozen=True, slots=True)
class CountLimit:
    """Between `low` and `high` cells have one of `classes`.

    Example:
        >>> CountLimit((6,), low=1, high=1)
        CountLimit(classes=(6,), low=1, high=1)
    """

    classes: tuple[int, ...]
    low: int = 0
    high: int = 2**31

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise SpecificationError(f"`CountLimit` needs distinct classes, got {self.classes}")
        if not 0 <= self.low <= self.high:
            raise InfeasibleError(f"`CountLimit` needs 0 <= low <= high, got low={self.low}, high={self.high}")


@final
class Census(CellRule):
    """Counts of classes within limits.

    Soft penalises the *expected* counts beyond the limits; Decode finds the most probable labelling that obeys
    (exactly, by a small integer program, and only where the plain answer does not obey).

    Args:
        limits: the limits.
        classes: how many classes there are.
        name: see `Rule`.
        source: see `Rule`.

    Example:
        >>> kings = Census.exactly_one(of=[1], classes=2)
        >>> logits = torch.tensor([[[0.0, 1.0], [0.0, 2.0]]])         # two cells, both most probably class 1
        >>> kings.measure(torch.nn.Identity(), logits, logits)
        tensor([1.])
        >>> kings.decode(logits).argmax(dim=-1)
        tensor([[0, 1]])
    """

    groups: Tensor

    def __init__(
        self, limits: Sequence[CountLimit], *, classes: int, name: str | None = None, source: str = ""
    ) -> None:
        if not limits:
            raise SpecificationError("`Census` needs at least one limit, got none")
        beyond = [c for limit in limits for c in limit.classes if not 0 <= c < classes]
        if beyond:
            raise SpecificationError(f"`Census` needs classes in [0, {classes}), got {beyond}")
        box = Box(low=[float(limit.low) for limit in limits], high=[float(limit.high) for limit in limits])
        super().__init__(box, classes=classes, name=name, source=source)
        groups = torch.zeros(len(limits), classes, dtype=torch.float64)
        for row, limit in enumerate(limits):
            groups[row, list(limit.classes)] = 1.0
        self.register_buffer("groups", groups, persistent=False)

    @classmethod
    def exactly_one(cls, *, of: Sequence[int], classes: int, name: str | None = None) -> Census:
        """The rule that each class in `of` has exactly one cell."""
        return cls([CountLimit((c,), low=1, high=1) for c in of], classes=classes, name=name)

    def of_probabilities(self, probabilities: Tensor, x: Tensor | None) -> Tensor:
        """Expected count of each limit, `(*batch, limits)`."""
        return probabilities.sum(dim=-2) @ self.groups.to(probabilities).mT

    def decode(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """Logits whose argmax is the best labelling that obeys, `(*batch, cells, classes)`.

        Raises:
            InfeasibleError: no labelling of so many cells obeys.
        """
        self._require_logits(y)
        if not bool(torch.isfinite(y).all()):
            raise NonFiniteError(f"rule `{self.name}` needs finite logits to decode, got NaN or infinite ones")
        box = self.constraint
        assert isinstance(box, Box)
        scores = y.detach().log_softmax(dim=-1).double().cpu().numpy().reshape(-1, *y.shape[-2:])
        limits = (self.groups.cpu().numpy(), box.low.cpu().numpy(), box.high.cpu().numpy())
        labels = torch.stack([torch.from_numpy(assign_with_limits(one, *limits)) for one in scores])
        chosen = labels.to(y.device).reshape(y.shape[:-1])
        # A changed cell gets its new class lifted just above the old one: what the model thought stays readable.
        best = y.amax(dim=-1)
        step = 4.0 * torch.finfo(y.dtype).eps * best.abs().clamp(min=1.0)
        lifted = y.scatter(-1, chosen.unsqueeze(-1), (best + step).unsqueeze(-1))
        return torch.where((chosen != y.argmax(dim=-1)).unsqueeze(-1), lifted, y)

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        return Explanation(
            rule=self.name,
            kind="class counts within limits",
            embeddings=("Decode", "Soft", "AugmentedLagrangian", "Monitor"),
            guarantee=Guarantee.EXACT,
            cost="a matrix product; in Decode an integer program for answers that do not obey",
        )
