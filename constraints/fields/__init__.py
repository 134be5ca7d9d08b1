"""Fields: functions of coordinates, and their derivatives by forward Taylor arithmetic."""

from constraints.fields.blocks import FourierFeatures, GatedNetwork, Mirrored, Product, Residual, Sine
from constraints.fields.constrained_expression import ConstrainedExpression, PlaceFunctional
from constraints.fields.derivatives import Derivatives
from constraints.fields.derived import DerivedField, hamiltonian, stream_function
from constraints.fields.jet import Jet, LinearLayer
from constraints.fields.layers import JetModule, NoJetRuleError, SmoothModule, push
from constraints.fields.operators import DifferentialOperator, laplacian, partials
from constraints.fields.plain import plain_operations
from constraints.fields.transformed import TransformedNetwork

__all__ = [
    "ConstrainedExpression",
    "Derivatives",
    "DerivedField",
    "DifferentialOperator",
    "FourierFeatures",
    "GatedNetwork",
    "Jet",
    "JetModule",
    "LinearLayer",
    "Mirrored",
    "NoJetRuleError",
    "PlaceFunctional",
    "Product",
    "Residual",
    "Sine",
    "SmoothModule",
    "TransformedNetwork",
    "hamiltonian",
    "laplacian",
    "partials",
    "plain_operations",
    "push",
    "stream_function",
]
