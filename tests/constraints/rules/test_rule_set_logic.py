"""Rules looked at together where they are not linear: z3 finds what contradicts and what is said twice."""

import pytest
import sympy
import torch

from constraints import (
    Bounds,
    Disjunction,
    Hard,
    Implication,
    InfeasibleError,
    L2Ball,
    OutputRule,
    Polytope,
    RuleSet,
    Soft,
    SpecificationError,
    declare,
    join,
)
from constraints.functional.solver_formula import SolverFormulas, solver_installed
from constraints.rules.statements import set_statement
from constraints.sets import Box, L1Ball, Quadratic, SecondOrderCone, Simplex

pytestmark = pytest.mark.skipif(not solver_installed(), reason="needs z3")
A, B, X = sympy.symbols("a b x")


def rule(statement):
    return declare(statement, outputs={A: 0, B: 1}, inputs={X: 0})


class Disc(OutputRule):
    def __init__(self):
        super().__init__(L2Ball(1.0, center=[0.0, 0.0]))


CONFLICTS = [
    ({"or": rule(sympy.Or(A <= 0, B <= 0)), "high": rule([A >= 1, B >= 1]), "loose": rule(A <= 9)}, ("or", "high")),
    ({"disc": rule(A**2 + B**2 <= 1), "far": rule(A + B >= 2)}, ("disc", "far")),
    ({"circle": rule(sympy.Eq(A**2 + B**2, 1)), "in": rule(sympy.Abs(A) + sympy.Abs(B) <= 0.5)}, ("circle", "in")),
    ({"if": rule(sympy.Implies(A > 1, B >= 2)), "a": rule(A >= 1.5), "b": rule(B <= 1.9)}, ("if", "a", "b")),
    ({"low": rule(A <= X), "high": rule(A >= X + 1), "other": rule(B >= X)}, ("low", "high")),
    (
        {
            "if": Implication(Polytope([[1.0, 0.0]], low=[1.0]), Polytope([[0.0, 1.0]], low=[2.0])),
            "a": Bounds(low=1.5, outputs=[0]),
            "b": Bounds(high=1.9, outputs=[1]),
        },
        ("if", "a", "b"),
    ),
    ({"disc": Disc(), "far": Bounds(low=1.2, outputs=[1])}, ("disc", "far")),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "conflict"), CONFLICTS, ids=lambda value: " ".join(value))
def test_the_smallest_conflict_is_named(rules, conflict):
    report = RuleSet(rules, outputs=2).check()
    assert report.conflict == conflict and not report.satisfiable and report.unchecked == ()
    with pytest.raises(InfeasibleError, match=" together"):
        RuleSet(rules, outputs=2).require()


def test_a_module_refuses_them_soft_or_hard():
    hard = {"disc": Hard(rule(A**2 + B**2 <= 1)), "far": Hard(rule(A + B >= 2))}
    with pytest.raises(InfeasibleError, match="`disc`, `far`"):
        join(torch.nn.Identity(), hard, outputs=2)
    pytest.importorskip("pytorch_lightning")
    from dkmodels import RegressionModule

    soft = {name: Soft(embedding.rule) for name, embedding in hard.items()}
    with pytest.raises(InfeasibleError, match="`disc`, `far`"):
        RegressionModule(torch.nn.Linear(1, 2), soft, outputs=["a", "b"])


def test_what_others_imply_is_redundant():
    rules = {"disc": rule(A**2 + B**2 <= 1), "square": rule([A <= 1, B <= 1, A >= -1, B >= -1]), "half": rule(A >= 0)}
    report = RuleSet(rules, outputs=2).check()
    assert report.satisfiable and report.redundant == ("square",)


def test_what_no_solver_decides_is_said():
    rules = {"exp": rule(sympy.exp(A) + B**2 <= 1), "far": rule(A >= 1.5)}
    report = RuleSet(rules, outputs=2).check()
    assert report.satisfiable and report.unchecked == ("exp",)


def test_single_samples_are_judged():
    rules = {"circle": rule(sympy.Eq(A**2 + B**2, X)), "line": rule(A + B >= 1)}
    report = RuleSet(rules, outputs=2).check(torch.tensor([[1.0], [0.25], [-1.0]]))
    assert report.conflict == () and report.feasible.tolist() == [True, False, False]
    assert report.sample_conflict == ("circle", "line")


@pytest.mark.parametrize(
    "constraint",
    [
        Box(low=0.0, high=[1.0, 2.0]),
        Simplex(2.0),
        L2Ball(1.5, center=[1.0, 0.0]),
        L1Ball(1.0, center=[0.5, 0.5]),
        SecondOrderCone(),
        Quadratic([[2.0, 0.5], [0.5, 1.0]], [0.3, 0.0], -1.0),
        Polytope([[1.0, 2.0]], low=[0.0], high=[1.0]),
        Disjunction([Box(high=-1.0), Polytope([[1.0, 1.0]], low=[1.0])]),
    ],
    ids=lambda constraint: type(constraint).__name__,
)
def test_sets_and_their_statements_agree(constraint):
    statement = set_statement(constraint, [A, B])
    points = torch.cartesian_prod(*[torch.linspace(-2, 2, 17, dtype=torch.float64)] * 2)
    inside = constraint.violation(points) <= 1e-12
    said = torch.tensor([bool(statement.subs({A: a, B: b})) for a, b in points.tolist()])
    assert torch.equal(inside, said)


def test_the_solver_keeps_the_meaning_of_kinks_and_cases():
    cases = sympy.Piecewise((A, A > 0), (-2 * A, True))
    formulas = SolverFormulas(
        {"is": sympy.Eq(B, cases), "low": B <= -1, "high": B >= 4, "left": A <= -2, "max": sympy.Max(A, B) <= 1}
    )
    assert formulas.satisfiable(["is", "low"]) is False
    assert formulas.implied("high", ["is", "left"]) is True
    assert formulas.satisfiable(["is", "high", "max"]) is False
    assert SolverFormulas({"exp": sympy.exp(A) <= 1}).known == []


def test_only_rules_are_asked():
    with pytest.raises(SpecificationError):
        RuleSet({"x": L2Ball(1.0)})
