"""Pure maths on tensors: no state, no modules."""

from constraints.functional.assignment import assign_with_limits
from constraints.functional.projections import (
    project_affine,
    project_box,
    project_box_equality,
    project_simplex,
)
from constraints.functional.tolerance import default_tolerance

__all__ = [
    "assign_with_limits",
    "default_tolerance",
    "project_affine",
    "project_box",
    "project_box_equality",
    "project_simplex",
]
