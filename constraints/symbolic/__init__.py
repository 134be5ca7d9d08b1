"""The front door: rules stated as mathematics, in sympy or as text."""

from constraints.symbolic.agreement import require_consistent
from constraints.symbolic.declare import declare
from constraints.symbolic.declared import DeclaredRule
from constraints.symbolic.field_equation import FieldEquation
from constraints.symbolic.learnable import Learnable
from constraints.symbolic.problem import ProblemReport, check_problem
from constraints.symbolic.region import normal
from constraints.symbolic.rescale import Dimensionless, nondimensionalise
from constraints.symbolic.text import load_rules, read_rules

__all__ = [
    "DeclaredRule",
    "Dimensionless",
    "FieldEquation",
    "Learnable",
    "ProblemReport",
    "check_problem",
    "declare",
    "load_rules",
    "nondimensionalise",
    "normal",
    "read_rules",
    "require_consistent",
]
