"""Sets: where a quantity must lie."""

from constraints.sets.affine import Affine
from constraints.sets.agreement import Agreement
from constraints.sets.balls import L1Ball, L2Ball, LinfBall
from constraints.sets.box import Box
from constraints.sets.box_equality import BoxEquality
from constraints.sets.cones import SecondOrderCone, SemidefiniteCone
from constraints.sets.constraint import Constraint, ProjectableConstraint, RayTraceable, Squashing
from constraints.sets.convex import Convex
from constraints.sets.disjunction import Disjunction
from constraints.sets.fallback import BestEffort, Certifying, Fallback, Interior, Raise, certificates
from constraints.sets.formula import Formula
from constraints.sets.given import Given
from constraints.sets.group_mean import GroupMean
from constraints.sets.half_space import HalfSpace
from constraints.sets.intersection import Intersection
from constraints.sets.linear_matrix_inequality import LinearMatrixInequality
from constraints.sets.nonlinear_equality import NonlinearEquality
from constraints.sets.ordered import OrderedCone
from constraints.sets.partial_order import PartialOrder
from constraints.sets.polytope import Polytope, VaryingPolytope
from constraints.sets.quadratic import Quadratic
from constraints.sets.ray_map import RayMap
from constraints.sets.simplex import Simplex
from constraints.sets.varying_affine import VaryingAffine
from constraints.sets.zero import NonPositive, Zero

__all__ = [
    "Affine",
    "Agreement",
    "BestEffort",
    "Box",
    "BoxEquality",
    "Certifying",
    "Constraint",
    "Convex",
    "Disjunction",
    "Fallback",
    "Formula",
    "Given",
    "GroupMean",
    "HalfSpace",
    "Interior",
    "Intersection",
    "L1Ball",
    "L2Ball",
    "LinearMatrixInequality",
    "LinfBall",
    "NonPositive",
    "NonlinearEquality",
    "OrderedCone",
    "PartialOrder",
    "Polytope",
    "ProjectableConstraint",
    "Quadratic",
    "Raise",
    "RayMap",
    "RayTraceable",
    "SecondOrderCone",
    "SemidefiniteCone",
    "Simplex",
    "Squashing",
    "VaryingAffine",
    "VaryingPolytope",
    "Zero",
    "certificates",
]
