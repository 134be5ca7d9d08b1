"""Rules: what must hold of a model."""

from constraints.rules.balance_forms import Additive, BalanceForm, Multiplicative, ScaledAdditive, Softmax
from constraints.rules.cells import AllowedClasses, CellRule
from constraints.rules.census import Census, CountLimit
from constraints.rules.convex_in import ConvexIn
from constraints.rules.group_balance import GroupBalance
from constraints.rules.implication import Implication
from constraints.rules.limits import Budget, Capacity, RateLimit
from constraints.rules.linear import Balance, Bounds, FixedSum, LinearEquality, LinearInequality, LinearSystem
from constraints.rules.lipschitz import LipschitzIn
from constraints.rules.monotone import MonotoneIn
from constraints.rules.ordering import Ordering
from constraints.rules.rule import Explanation, FieldRule, Guarantee, OutputRule, Rule
from constraints.rules.rule_set import RuleReport, RuleSet
from constraints.rules.scores import EagerScores, LazyScores, Scores
from constraints.rules.transition import Transition

__all__ = [
    "Additive",
    "AllowedClasses",
    "Balance",
    "BalanceForm",
    "Bounds",
    "Budget",
    "Capacity",
    "CellRule",
    "Census",
    "ConvexIn",
    "CountLimit",
    "EagerScores",
    "Explanation",
    "FieldRule",
    "FixedSum",
    "GroupBalance",
    "Guarantee",
    "Implication",
    "LazyScores",
    "LinearEquality",
    "LinearInequality",
    "LinearSystem",
    "LipschitzIn",
    "MonotoneIn",
    "Multiplicative",
    "Ordering",
    "OutputRule",
    "RateLimit",
    "Rule",
    "RuleReport",
    "RuleSet",
    "ScaledAdditive",
    "Scores",
    "Softmax",
    "Transition",
]
