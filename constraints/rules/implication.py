"""If this, then that: implications between linear conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch

from constraints.errors import ShapeError, SpecificationError
from constraints.rules.explanation import Explanation
from constraints.rules.output_rule import OutputRule
from constraints.sets import Disjunction, Polytope, ProjectableConstraint

__all__ = ["Implication"]


@final
class Implication(OutputRule):
    r"""Where the premise holds, so does the conclusion: outside :math:`P`, or in :math:`Q`.

    A premise of several rows is left through any one of them: the set is the union of the reversed half-spaces of `P`
    and of `Q`, and an output is mapped to the nearest of these. The boundary of the premise counts as outside it;
    `margin` keeps a distance, for "strictly faster than".

    Args:
        premise: `P`, a polytope with fixed inequalities.
        conclusion: `Q`, any set with a projection, on the same outputs.
        margin: how far beyond its bound a row of the premise must be to count as not holding, >= 0.
        outputs: see `OutputRule`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.

    Raises:
        SpecificationError: a premise with equalities (its complement is not closed), or with input-dependent bounds.

    Example:
        >>> fast, far = Polytope([[1.0, 0.0]], low=[80.0]), Polytope([[0.0, 1.0]], low=[40.0])
        >>> rule = Implication(fast, far, name="distance")            # speed [km/h], gap [m]
        >>> rule.enforce(torch.tensor([[100.0, 39.0], [81.0, 10.0], [50.0, 10.0]]))
        tensor([[100.,  40.],
                [ 80.,  10.],
                [ 50.,  10.]])
    """

    def __init__(
        self,
        premise: Polytope,
        conclusion: ProjectableConstraint,
        *,
        margin: float = 0.0,
        outputs: Sequence[int | str] | None = None,
        name: str | None = None,
        unit: str = "",
        source: str = "",
    ) -> None:
        if not isinstance(premise, Polytope) or premise.varies or premise.equalities:
            raise SpecificationError(
                f"`Implication` needs a premise of fixed inequalities, got {type(premise).__name__} with "
                f"{premise.equalities} equalities"
            )
        if not margin >= 0:
            raise SpecificationError(f"`Implication` needs margin >= 0, got {margin}")
        if conclusion.size not in (None, premise.size):
            raise ShapeError(f"`Implication` needs sets of one size, got {premise.size} and {conclusion.size}")
        outside = []
        for row, low, high in zip(premise.matrix, premise.low, premise.high, strict=True):
            if torch.isfinite(high):
                outside.append(Polytope(row[None], low=float(high) + margin))
            if torch.isfinite(low):
                outside.append(Polytope(row[None], high=float(low) - margin))
        if not outside:
            raise SpecificationError("`Implication` needs a premise with a finite bound: it always holds")
        super().__init__(Disjunction([*outside, conclusion]), outputs=outputs, name=name, unit=unit, source=source)
        self.premise = premise

    def explain(self) -> Explanation:
        """See `Rule.explain`."""
        told = super().explain()
        branches = len(self.constraint.branches) if isinstance(self.constraint, Disjunction) else 0
        return Explanation(
            rule=told.rule,
            kind=f"output in a union of {branches} sets",
            embeddings=told.embeddings,
            guarantee=told.guarantee,
            cost=f"{branches} projections; the answer jumps where two are equally near",
        )
