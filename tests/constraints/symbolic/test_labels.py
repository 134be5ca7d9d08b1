"""Rules on labels hold for the labels, read as `score >= threshold`: brute force over truth tables."""

import itertools
import random

import pytest
import sympy
import torch
from sympy import ITE, And, Equivalent, Implies, Not, Or, Xor, symbols
from sympy.logic.boolalg import to_dnf
from sympy.logic.inference import satisfiable

from constraints import Hierarchy, InfeasibleError, SpecificationError, declare
from constraints.rules import OutputRule
from constraints.symbolic.labels import alternatives

A, B, C = LABELS = symbols("a b c")
NAMED = [
    Not(And(A, B)),
    Implies(And(A, B), C),
    Xor(A, B),
    Equivalent(A, B),
    Xor(A, B, C),
    Equivalent(A, B, C),
    ITE(A, B, C),
    Not(A),
    Or(And(A, Not(B)), And(Not(A), C)),
    Implies(A, B),
    And(Implies(A, B), Implies(B, C)),
]


def table(minterms):
    """The formula that holds in the given rows of the truth table of three labels."""
    rows = [
        And(*(label if true else Not(label) for label, true in zip(LABELS, row, strict=True)))
        for i, row in enumerate(itertools.product([False, True], repeat=3))
        if minterms >> i & 1
    ]
    return Or(*rows)


def tables(count):
    draw = random.Random(0)
    return [to_dnf(table(m), simplify=True) for m in draw.sample(range(1, 255), count)]


def pairwise(labels):
    """At most one of several labels."""
    return And(*(Not(And(one, other)) for one, other in itertools.combinations(labels, 2)))


def holds(statement, labels):
    """The statement of each row of labels, `(n, 3)`, by its own truth table."""
    truth = {
        row: bool(statement.xreplace(dict(zip(LABELS, map(_truth, row), strict=True))))
        for row in itertools.product([False, True], repeat=3)
    }
    return torch.tensor([truth[tuple(row)] for row in labels.tolist()])


def _truth(value):
    return sympy.true if value else sympy.false


def scores(threshold, dtype):
    """Random scores about a threshold, those exactly at it and next to it among them."""
    draw = torch.Generator().manual_seed(0)
    spread = threshold + torch.randn(400, 3, generator=draw, dtype=torch.float64)
    near = torch.tensor([0.0, 1e-9, -1e-9, 1e-5, -1e-5, 1e-3, -1e-3], dtype=torch.float64)
    corners = threshold + torch.cartesian_prod(near, near, near)
    return torch.cat([spread, corners]).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.35, 0.7, 0.0, -2.7, 0.9])
def test_labels_obey_every_formula(threshold, dtype):
    y = scores(threshold, dtype)
    for statement in [*NAMED, *tables(12)]:
        rule = declare(statement, outputs={A: 0, B: 1, C: 2}, threshold=threshold)
        assert isinstance(rule, OutputRule)
        answer = rule.enforce(y, None)
        labels = answer.double() >= threshold
        assert bool(holds(statement, labels).all()), (statement, y[~holds(statement, labels)][:3])
        before = y >= threshold
        clear = ((y - threshold).abs() > 1e-3).all(dim=1)
        kept = clear & holds(statement, before) if not isinstance(rule, Hierarchy) else clear & False
        assert torch.equal(answer[kept], y[kept])  # what obeys is left as it is
        broken = clear & ~holds(statement, before)
        measured = rule.measure(torch.nn.Identity(), y, y)
        assert bool((measured[broken] > 0).all()), statement


def test_the_margin_is_how_far_a_label_that_does_not_hold_stays_below():
    rule = declare(Not(And(A, B)), outputs={A: 0, B: 1}, margin=0.1)
    answer = rule.enforce(torch.tensor([[0.9, 0.8]]), None)
    torch.testing.assert_close(answer, torch.tensor([[0.9, 0.4]]))
    for margin in (None, 0.0):
        answer = declare(Not(A), outputs={A: 0}, margin=margin).enforce(torch.tensor([[0.9]]), None)
        assert 0.4998 < answer.item() < 0.5


def test_every_truth_table_of_three_labels_is_hard():
    y = scores(0.35, torch.float32)[::12]
    for minterms in range(1, 255):
        rule = declare(table(minterms), outputs={A: 0, B: 1, C: 2}, threshold=0.35)
        answer = rule.enforce(y, None)
        rows = {tuple(float(score) >= 0.35 for score in row) for row in answer.tolist()}
        allowed = {row for i, row in enumerate(itertools.product([False, True], repeat=3)) if minterms >> i & 1}
        assert rows <= allowed, minterms


@pytest.mark.parametrize("count", [3, 4, 5, 6, 8])
@pytest.mark.parametrize("one", [False, True])
def test_pairwise_statements_are_hard(count, one):
    labels = symbols(f"l:{count}")
    statement = And(Or(*labels), pairwise(labels)) if one and count < 8 else pairwise(labels)
    rule = declare(statement, outputs={label: i for i, label in enumerate(labels)}, threshold=0.7)
    assert rule.explain().why.startswith(f"at least one of {count} alternatives")
    y = torch.rand(200, count, generator=torch.Generator().manual_seed(0))
    on = (rule.enforce(y, None).double() >= 0.7).sum(dim=1)
    assert int(on.max()) == 1
    assert int(on.min()) == int(one and count < 8)


def test_any_formula_of_six_labels_has_few_alternatives():
    labels = symbols("l:6")
    draw = random.Random(0)
    rows = list(itertools.product([False, True], repeat=6))
    for share in (0.1, 0.5, 0.5, 0.9):
        allowed = {row for row in rows if draw.random() < share}
        products = [And(*(s if one else Not(s) for s, one in zip(labels, row, strict=True))) for row in allowed]
        found = alternatives(Or(*products, evaluate=False), labels)
        assert len(found) <= 32
        assert {row for row in rows if any(_agrees(labels, row, one) for one in found)} == allowed
    assert len(alternatives(Xor(*labels), labels)) == 32


def _agrees(labels, row, alternative):
    truth = dict(zip(labels, row, strict=True))
    return all(truth[s] == one for s, one in alternative.items())


@pytest.mark.parametrize("threshold", [0.35, 0.7, 0.9])
def test_labels_beside_other_conditions_hold_for_python_floats(threshold):
    y = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    cases = [
        (And(A, B, A + B + C <= 3), {0, 1}),
        (And(A, sympy.Eq(A + B + C, 3)), {0}),
        (And(Or(A, B), pairwise([A, B]), A + 2 * B - C <= 3), None),
    ]
    for statement, on in cases:
        rule = declare(statement, outputs={A: 0, B: 1, C: 2}, threshold=threshold)
        for row in rule.enforce(y, None).tolist():
            found = {i for i in range(2) if float(row[i]) >= threshold}
            assert on <= found if on is not None else len(found) == 1, (statement, row)


@pytest.mark.parametrize("minterms", [0, 255])
def test_what_never_or_always_holds_is_refused(minterms):
    statement = And(table(15), table(240)) if minterms == 0 else Or(table(15), table(240))
    assert bool(satisfiable(statement)) == (minterms == 255)
    with pytest.raises(InfeasibleError if minterms == 0 else SpecificationError):
        declare(statement, outputs={A: 0, B: 1, C: 2})
