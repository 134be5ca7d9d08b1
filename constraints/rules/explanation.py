"""What is known of a rule before it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import final

__all__ = ["Explanation", "Guarantee"]


class Guarantee(StrEnum):
    """How sure the strongest possible embedding of a rule is.

    Example:
        >>> from constraints.rules import Bounds
        >>> Bounds(low=0.0).explain().guarantee is Guarantee.EXACT
        True
    """

    EXACT = "exact to rounding"
    TOLERANCE = "to tolerance, with a certificate a sample"
    SOFT = "none: encouraged or measured only"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is known of a rule before it is trained.

    Attributes:
        rule: its name.
        kind: the class of set found.
        embeddings: names of the embeddings that can hold it, strongest first; "Hard(smooth=True)" among them where a
            smooth map is known: feasible as the projection is, but neither the nearest point nor idempotent.
        guarantee: what the strongest of them guarantees.
        cost: what that costs a sample, in words.
        why: what was seen that makes it of this kind; empty where the class says it.

    Example:
        >>> from constraints.rules import Bounds
        >>> print(Bounds(low=0.0, name="positive").explain())
        positive: output in Box
          embeddings: Hard, Hard(smooth=True), Decode, Soft, AugmentedLagrangian, Monitor
          guarantee: exact to rounding
          cost: closed-form projection
    """

    rule: str
    kind: str
    embeddings: tuple[str, ...]
    guarantee: Guarantee
    cost: str
    why: str = ""

    def __str__(self) -> str:
        why = f"  why: {self.why}\n" if self.why else ""
        return (
            f"{self.rule}: {self.kind}\n{why}  embeddings: {', '.join(self.embeddings)}\n"
            f"  guarantee: {self.guarantee.value}\n  cost: {self.cost}"
        )
