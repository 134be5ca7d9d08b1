"""Pure maths on tensors: no state, no modules."""

from constraints.functional.assignment import assign_with_limits
from constraints.functional.balance_forms import (
    balance_additive,
    balance_multiplicative,
    balance_scaled_additive,
    balance_simplex,
    balance_softmax,
)
from constraints.functional.balls import (
    gauge_l1_ball,
    gauge_l2_ball,
    gauge_linf_ball,
    project_l1_ball,
    project_l2_ball,
    project_linf_ball,
    squash_l1_ball,
    squash_l2_ball,
    squash_linf_ball,
)
from constraints.functional.certificate import Certificate, certified_tolerance
from constraints.functional.half_space import gauge_half_space, project_half_space, squash_half_space
from constraints.functional.orbits import last_of_orbit, lexicographically_greater
from constraints.functional.ordered import project_ordered_cone, squash_ordered_cone
from constraints.functional.partial_order import (
    find_cycle,
    lower_children,
    max_constraint_loss,
    order_steps,
    raise_parents,
    reduce_edges,
)
from constraints.functional.polytope import PolytopeFactors, factorise_polytope, project_polytope, solve_polytope
from constraints.functional.projections import (
    project_affine,
    project_box,
    project_box_equality,
    project_simplex,
)
from constraints.functional.rays import (
    gauge_box,
    gauge_linear_matrix_inequality,
    gauge_quadratic,
    project_ray,
    squash_ray,
)
from constraints.functional.second_order_cone import (
    gauge_second_order_cone,
    project_second_order_cone,
    squash_second_order_cone,
)
from constraints.functional.semidefinite import project_semidefinite_cone, squash_semidefinite_cone
from constraints.functional.shape import dual_exponent, group_sort, limit_rows, sign_columns
from constraints.functional.smooth import safe_norm, softplus
from constraints.functional.squash import squash_box, squash_simplex
from constraints.functional.tolerance import default_tolerance, program_unit

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
    "dual_exponent",
    "factorise_polytope",
    "find_cycle",
    "gauge_box",
    "gauge_half_space",
    "gauge_l1_ball",
    "gauge_l2_ball",
    "gauge_linear_matrix_inequality",
    "gauge_linf_ball",
    "gauge_quadratic",
    "gauge_second_order_cone",
    "group_sort",
    "last_of_orbit",
    "lexicographically_greater",
    "limit_rows",
    "lower_children",
    "max_constraint_loss",
    "order_steps",
    "program_unit",
    "project_affine",
    "project_box",
    "project_box_equality",
    "project_half_space",
    "project_l1_ball",
    "project_l2_ball",
    "project_linf_ball",
    "project_ordered_cone",
    "project_polytope",
    "project_ray",
    "project_second_order_cone",
    "project_semidefinite_cone",
    "project_simplex",
    "raise_parents",
    "reduce_edges",
    "safe_norm",
    "sign_columns",
    "softplus",
    "solve_polytope",
    "squash_box",
    "squash_half_space",
    "squash_l1_ball",
    "squash_l2_ball",
    "squash_linf_ball",
    "squash_ordered_cone",
    "squash_ray",
    "squash_second_order_cone",
    "squash_semidefinite_cone",
    "squash_simplex",
]
