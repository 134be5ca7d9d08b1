"""Sets: where a quantity must lie."""

from constraints.sets.affine import Affine
from constraints.sets.box import Box
from constraints.sets.box_equality import BoxEquality
from constraints.sets.constraint import Constraint, ProjectableConstraint
from constraints.sets.disjunction import Disjunction
from constraints.sets.fallback import BestEffort, Certifying, Fallback, Interior, Raise, certificates
from constraints.sets.group_mean import GroupMean
from constraints.sets.polytope import Polytope, VaryingPolytope
from constraints.sets.simplex import Simplex
from constraints.sets.varying_affine import VaryingAffine

__all__ = [
    "Affine",
    "BestEffort",
    "Box",
    "BoxEquality",
    "Certifying",
    "Constraint",
    "Disjunction",
    "Fallback",
    "GroupMean",
    "Interior",
    "Polytope",
    "ProjectableConstraint",
    "Raise",
    "Simplex",
    "VaryingAffine",
    "VaryingPolytope",
    "certificates",
]
