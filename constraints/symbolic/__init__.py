"""The front door: rules stated as mathematics, in sympy or as text."""

from constraints.symbolic.declare import declare
from constraints.symbolic.declared import DeclaredRule
from constraints.symbolic.field_equation import FieldEquation
from constraints.symbolic.learnable import Learnable
from constraints.symbolic.text import load_rules, read_rules

__all__ = ["DeclaredRule", "FieldEquation", "Learnable", "declare", "load_rules", "read_rules"]
