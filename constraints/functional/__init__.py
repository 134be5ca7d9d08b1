"""Pure maths on tensors: no state, no modules."""

from constraints.functional.assignment import assign_with_limits
from constraints.functional.balance_forms import (
    balance_additive,
    balance_multiplicative,
    balance_scaled_additive,
    balance_simplex,
    balance_softmax,
)
from constraints.functional.certificate import Certificate, certified_tolerance
from constraints.functional.polytope import PolytopeFactors, factorise_polytope, project_polytope, solve_polytope
from constraints.functional.projections import (
    project_affine,
    project_box,
    project_box_equality,
    project_simplex,
)
from constraints.functional.tolerance import default_tolerance

__all__ = [
    "Certificate",
    "PolytopeFactors",
    "assign_with_limits",
    "balance_additive",
    "balance_multiplicative",
    "balance_scaled_additive",
    "balance_simplex",
    "balance_softmax",
    "certified_tolerance",
    "default_tolerance",
    "factorise_polytope",
    "project_affine",
    "project_box",
    "project_box_equality",
    "project_polytope",
    "project_simplex",
    "solve_polytope",
]
