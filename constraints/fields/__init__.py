"""Fields: functions of coordinates, and their derivatives by forward Taylor arithmetic."""

from constraints.fields.derivatives import Derivatives
from constraints.fields.jet import Jet
from constraints.fields.layers import JetModule, NoJetRuleError, push
from constraints.fields.operators import DifferentialOperator, laplacian, partials

__all__ = ["Derivatives", "DifferentialOperator", "Jet", "JetModule", "NoJetRuleError", "laplacian", "partials", "push"]
