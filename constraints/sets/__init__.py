"""Sets: where a quantity must lie."""

from constraints.sets.affine import Affine
from constraints.sets.box import Box
from constraints.sets.box_equality import BoxEquality
from constraints.sets.constraint import Constraint, ProjectableConstraint
from constraints.sets.simplex import Simplex

__all__ = ["Affine", "Box", "BoxEquality", "Constraint", "ProjectableConstraint", "Simplex"]
