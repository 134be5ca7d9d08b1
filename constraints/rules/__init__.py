"""Rules: what must hold of a model."""

from constraints.rules.balance_forms import Additive, BalanceForm, Multiplicative, ScaledAdditive, Softmax
from constraints.rules.cells import AllowedClasses, CellRule
from constraints.rules.census import Census, CountLimit
from constraints.rules.convex_in import ConvexIn
from constraints.rules.explanation import Explanation, Guarantee
from constraints.rules.field_rule import FieldRule
from constraints.rules.group_balance import GroupBalance
from constraints.rules.hierarchy import Hierarchy, HierarchyMap, LowerChildren, NearestCoherent, RaiseParents
from constraints.rules.implication import Implication
from constraints.rules.limits import Budget, Capacity, RateLimit
from constraints.rules.linear import Balance, Bounds, FixedSum, LinearEquality, LinearInequality, LinearSystem
from constraints.rules.lipschitz import LipschitzIn
from constraints.rules.measurements import Measurements
from constraints.rules.monotone import MonotoneIn
from constraints.rules.ordering import Ordering
from constraints.rules.output_rule import OutputRule
from constraints.rules.rule import Rule
from constraints.rules.rule_set import RuleReport, RuleSet
from constraints.rules.scores import EagerScores, LazyScores, Scores
from constraints.rules.squares import Squares
from constraints.rules.symmetry import Averaging, Canonicalisation, Equivariance, Invariance, Symmetriser
from constraints.rules.transition import Transition

__all__ = [
    "Additive",
    "AllowedClasses",
    "Averaging",
    "Balance",
    "BalanceForm",
    "Bounds",
    "Budget",
    "Canonicalisation",
    "Capacity",
    "CellRule",
    "Census",
    "ConvexIn",
    "CountLimit",
    "EagerScores",
    "Equivariance",
    "Explanation",
    "FieldRule",
    "FixedSum",
    "GroupBalance",
    "Guarantee",
    "Hierarchy",
    "HierarchyMap",
    "Implication",
    "Invariance",
    "LazyScores",
    "LinearEquality",
    "LinearInequality",
    "LinearSystem",
    "LipschitzIn",
    "LowerChildren",
    "Measurements",
    "MonotoneIn",
    "Multiplicative",
    "NearestCoherent",
    "Ordering",
    "OutputRule",
    "RaiseParents",
    "RateLimit",
    "Rule",
    "RuleReport",
    "RuleSet",
    "ScaledAdditive",
    "Scores",
    "Softmax",
    "Squares",
    "Symmetriser",
    "Transition",
]
