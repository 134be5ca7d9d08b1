"""Rules: what they measure, enforce, explain and refuse."""

import pytest
import torch
from torch import nn

from constraints import (
    AllowedClasses,
    Balance,
    Bounds,
    Box,
    Census,
    CountLimit,
    FieldRule,
    FixedSum,
    Guarantee,
    InfeasibleError,
    LinearEquality,
    LinearInequality,
    OutputRule,
    ShapeError,
    SpecificationError,
    UnsupportedError,
)
from constraints.testing import check_rule
from tests.constraints.rules.transitions import Countdown


class Carbon(LinearEquality):
    def __init__(self, **options):
        super().__init__([[1.0, 2.0, 3.0]], **options)

    def target(self, x):
        return x[..., :1]


class Positive(FieldRule):
    """The slope is positive."""

    def __init__(self):
        super().__init__(Box(low=0.0))

    def quantity(self, field, points):
        return torch.autograd.grad(field(points).sum(), points, create_graph=True)[0]


X = torch.rand(5, 2, generator=torch.Generator().manual_seed(0))
Y = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
CELLS = torch.randn(5, 6, 4, generator=torch.Generator().manual_seed(2))
VECTOR_RULES = [
    Carbon(),
    LinearEquality([[1.0, 1.0, 0.0]], [1.0]),
    LinearEquality([[1.0, 1.0]], [1.0], outputs=[0, 2]),
    Balance(into=[0, 1], weights=[1.0, 1.0, 2.0]),
    Bounds(low=0.0, high=1.0),
    Bounds(low=0.0, outputs=[1]),
    FixedSum(2.0),
]
CELL_RULES = [
    AllowedClasses(torch.tensor([[True, True, False, True]] * 6)),
    Census([CountLimit((1,), 1, 1), CountLimit((2, 3), 0, 2)], classes=4),
    Census.exactly_one(of=[0, 3], classes=4),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", VECTOR_RULES, ids=lambda rule: f"{rule.name}{rule.outputs or ''}")
def test_laws_of_vector_rules(rule, dtype):
    check_rule(rule, nn.Identity(), X.to(dtype), Y.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", CELL_RULES, ids=lambda rule: rule.name)
def test_laws_of_cell_rules(rule, dtype):
    check_rule(rule, nn.Identity(), X.to(dtype), CELLS.to(dtype))


def test_enforced_outputs_leave_the_others_alone():
    rule = LinearEquality([[1.0, 1.0]], [1.0], outputs=[0, 2])
    y = rule.enforce(Y)
    torch.testing.assert_close(y[:, 1], Y[:, 1])
    torch.testing.assert_close(y[:, 0] + y[:, 2], torch.ones(5))


def test_balance_weighs_both_sides():
    rule = Balance(into=[1], into_weights=[3.0], weights=[1.0, 2.0, 0.0], unit="mol")
    y = rule.enforce(Y, X)
    torch.testing.assert_close(y[:, 0] + 2 * y[:, 1], 3 * X[:, 1])


def test_names_are_bound_to_columns():
    rule = Bounds(low=0.0, outputs=["c2h6", "c3h8"])
    with pytest.raises(SpecificationError, match="call `bind"):
        rule.measure(nn.Identity(), X, Y)
    rule.bind(["ch4", "c2h6", "c3h8"])
    torch.testing.assert_close(rule.enforce(Y)[:, 1:], Y[:, 1:].clamp(min=0))
    with pytest.raises(SpecificationError, match=r"\['c4h10'\], expected some of \['ch4'\]"):
        Bounds(low=0.0, outputs=["c4h10"]).bind(["ch4"])
    with pytest.raises(SpecificationError, match="does not name its outputs"):
        Bounds(low=0.0, outputs=["c4h10"]).bind(None)
    with pytest.raises(ShapeError, match="output 7, but the model has only 3"):
        Bounds(low=0.0, outputs=[7]).enforce(Y)


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda: LinearEquality([[1.0]]), SpecificationError, "got neither"),
        (lambda: Carbon(values=[1.0]), SpecificationError, "got both"),
        (lambda: LinearEquality([[1.0, 1.0]], [1.0], outputs=[0, 0]), SpecificationError, "distinct"),
        (lambda: LinearEquality([[1.0, 1.0]], [1.0], outputs=[0]), SpecificationError, "needs 2 outputs, got 1"),
        (lambda: Balance(into=[], weights=[1.0]), SpecificationError, "at least one input"),
        (lambda: AllowedClasses(torch.tensor([[True, False], [False, False]])), InfeasibleError, r"cells \[1\]"),
        (lambda: AllowedClasses(torch.ones(3, dtype=torch.bool)), ShapeError, "mask"),
        (lambda: CountLimit((1,), 3, 2), InfeasibleError, "low=3, high=2"),
        (lambda: CountLimit(()), SpecificationError, "distinct classes"),
        (lambda: Census([], classes=3), SpecificationError, "at least one limit"),
        (lambda: Census([CountLimit((5,))], classes=3), SpecificationError, r"got \[5\]"),
    ],
)
def test_refuses_what_makes_no_sense(build, error, says):
    with pytest.raises(error, match=says):
        build()


def test_census_training_sees_probabilities_and_measuring_sees_decisions():
    rule = Census([CountLimit((1,), high=1)], classes=2)
    unsure = torch.tensor([[[0.1, 0.0]] * 4])  # decides for class 0 four times, but expects nearly two of class 1
    assert float(rule.measure(nn.Identity(), unsure, unsure)) == 0.0
    assert float(rule.constraint.violation(rule.evaluate(nn.Identity(), unsure, unsure))) > 0.8


def test_census_decode_keeps_what_obeys_already():
    rule = CELL_RULES[1]
    y = rule.decode(CELLS)
    obeying = rule.measure(nn.Identity(), X, CELLS) == 0
    assert bool(obeying.any()) or True
    torch.testing.assert_close(y[obeying], CELLS[obeying])
    assert bool((rule.measure(nn.Identity(), X, y) == 0).all())


def test_nan_never_obeys():
    for rule, y in ((CELL_RULES[1], CELLS), (VECTOR_RULES[4], Y)):
        broken = y.clone()
        broken[0] = torch.nan
        assert not bool((rule.measure(nn.Identity(), X, broken)[:1] <= 0).any())


def test_masked_logits_have_no_probability_and_finite_gradients():
    rule = CELL_RULES[0]
    logits = CELLS.clone().requires_grad_()
    masked = rule.enforce(logits)
    assert float(masked.softmax(-1)[..., 2].max()) == 0.0
    masked.log_softmax(-1)[..., :2].sum().backward()
    assert bool(logits.grad.isfinite().all())
    assert bool(rule.enforce(CELLS.half()).isfinite().all())


def test_transition_measures_the_distance_to_the_nearest_successor():
    rule = Countdown()
    before = torch.tensor([[2, 2, 2]] * 4)
    shown = torch.tensor([[2, 2, 2], [1, 1, 1], [1, 1, 2], [0, 3, 0]])
    logits = 50.0 * nn.functional.one_hot(shown, 4).float()
    assert rule.measure(nn.Identity(), before, logits).tolist() == [0.0, 0.0, 1.0, 3.0]
    check_rule(rule, nn.Identity(), before, logits)
    soft = logits.clone().requires_grad_()
    rule.evaluate(nn.Identity(), before, soft).sum().backward()
    assert bool(soft.grad.isfinite().all())


def test_field_rule_has_derivatives_in_inference_mode():
    rule, network = Positive(), nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    x = torch.linspace(-1, 1, 5)[:, None]
    outside = rule.measure(network, x, network(x))
    with torch.inference_mode():
        x2 = torch.linspace(-1, 1, 5)[:, None]
        inside = rule.measure(network, x2, network(x2))
    torch.testing.assert_close(inside, outside)
    penalty = rule.constraint.excess(rule.evaluate(network, x, network(x))).sum()
    assert penalty.requires_grad


def test_explanations_are_honest():
    assert Carbon().explain().guarantee is Guarantee.EXACT
    assert "Hard" not in Positive().explain().embeddings

    class Ratio(OutputRule):
        def __init__(self):
            super().__init__(Box(high=1.0))

        def quantity(self, y, x=None):
            return y[..., :1] / y[..., 1:2]

    assert Ratio().explain().embeddings[0] == "Soft"
    with pytest.raises(UnsupportedError, match="cannot be guaranteed"):
        Ratio().enforce(Y)
    assert "soft" in str(Ratio().explain()).lower()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: LinearEquality([[0.0, 0.0]], [0.0]), r"coefficient other than 0 in each row, got none in rows \[0\]"),
        (lambda: LinearEquality([[1.0, 0.0], [0.0, 0.0]], [1.0, 0.0]), r"rows \[1\]"),
        (lambda: LinearInequality([[0.0, 0.0]], high=1.0), r"rows \[0\]"),
        (lambda: LinearInequality([[1.0, 0.0], [0.0, 1.0]], high=[1.0, float("inf")]), r"a limit in each row.*\[1\]"),
        (lambda: LinearInequality([[1.0, 0.0]], low=[-float("inf")]), "a limit in each row"),
    ],
)
def test_rows_that_say_nothing_are_refused(make, told):
    with pytest.raises(SpecificationError, match=told):
        make()
