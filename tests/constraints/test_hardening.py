"""What a fresh pair of eyes found: numbers that cancel, tensors that change behind one's back, bad input."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from constraints import (
    Affine,
    AllowedClasses,
    AskAll,
    Balance,
    Bounds,
    Box,
    BoxEquality,
    Census,
    CountLimit,
    Disjunction,
    EagerScores,
    FixedSum,
    GroupMean,
    Hard,
    InfeasibleError,
    L2Ball,
    LinearEquality,
    NonFiniteError,
    NonlinearEquality,
    OrderedCone,
    OutputRule,
    Recovery,
    SecondOrderCone,
    ShapeError,
    Simplex,
    SpecificationError,
    follow,
    join,
)


@pytest.mark.parametrize("shift", [1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize(
    "constraint", [BoxEquality([1.0] * 4, target=1.0, low=0.0, high=1.0), Simplex(1.0)], ids=["box", "simplex"]
)
def test_float32_does_not_cancel_far_from_the_set(constraint, shift):
    value = torch.rand(500, 4, generator=torch.Generator().manual_seed(0)) + shift
    assert bool(constraint.check(constraint.project(value)).all())


def test_a_target_at_the_edge_is_attainable():
    edge = BoxEquality([1.0, 1.0], target=0.3, low=[0.1, 0.2], high=1.0)
    torch.testing.assert_close(edge.project(torch.zeros(2)), torch.tensor([0.1, 0.2]))


def test_tolerance_knows_the_coefficients():
    rule = LinearEquality([[3e3, 2e3, 1e3]], [1e3])
    y = rule.enforce(torch.randn(200, 3, generator=torch.Generator().manual_seed(0)))
    assert bool(rule.constraint.check(y).all())
    assert not bool(rule.constraint.check(y + 1e-3).any())


def test_sets_do_not_change_with_the_users_tensor():
    matrix = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    affine = Affine(matrix, [2.0])
    matrix.mul_(3.0)
    torch.testing.assert_close(affine.project(torch.zeros(2)), torch.ones(2))


def test_learnable_numbers_are_refused_where_they_would_be_frozen():
    with pytest.raises(SpecificationError, match="requires gradients"):
        Box(low=nn.Parameter(torch.zeros(2)))
    with pytest.raises(SpecificationError, match="requires gradients"):
        Affine(nn.Parameter(torch.ones(1, 2)), [1.0])


def test_a_cast_there_and_back_keeps_the_rule():
    rule = LinearEquality([[0.1, 0.2, 0.7]], [1.0 / 3.0])
    module = copy.deepcopy(rule).to(torch.bfloat16).to(torch.float32)
    assert torch.equal(module.constraint.matrix, rule.constraint.matrix)
    assert module.constraint.matrix.dtype == torch.float64
    answer = rule.enforce(torch.zeros(1, 3, dtype=torch.bfloat16))
    assert answer.dtype == torch.float32 and bool(rule.constraint.check(answer).all())  # bfloat16 cannot hold it


class ShareOf(OutputRule):
    """Parts of a total that the input gives."""

    def __init__(self):
        super().__init__(Simplex())

    def context(self, x):
        return x[..., :1]


def test_a_total_from_the_input_is_kept_in_a_joint_projection():
    x = torch.full((1, 3), 5.0)
    wrapped = join(nn.Identity(), {"sum": Hard(ShareOf()), "cap": Hard(Bounds(high=4.0))}, outputs=3)
    y = wrapped(x)
    assert float(y.sum()) == pytest.approx(5.0)
    assert float(y.max()) <= 4.0
    join(nn.Identity(), {"sum": Hard(ShareOf()), "floor": Hard(Bounds(low=0.5))}, outputs=3)


def test_masks_that_leave_nothing_contradict():
    one, two = AllowedClasses([[True, False]]), AllowedClasses([[False, True]])
    with pytest.raises(InfeasibleError, match=r"`a` and `b` together leave no class for cells \[0\]"):
        join(nn.Identity(), {"a": Hard(one), "b": Hard(two)})
    with pytest.raises(ShapeError, match="1 cells, got shape"):
        one.enforce(torch.zeros(5, 2))


def test_integer_inputs_do_not_truncate_weights():
    rule = Balance(into=[0], weights=[1.0, 1.0], into_weights=[0.5])
    assert float(rule.target(torch.tensor([[3]]))) == 1.5


def test_contexts_have_one_column():
    for constraint in (Simplex(), BoxEquality([1.0, 1.0], low=0.0)):
        with pytest.raises(ShapeError, match=r"context \(\*batch, 1\), got \(2,\)"):
            constraint.project(torch.ones(2, 2), torch.tensor([1.0, 3.0]))


def test_outputs_are_distinct_after_names_are_resolved():
    with pytest.raises(SpecificationError, match="names one of its outputs twice"):
        FixedSum(outputs=["a", 0]).bind(["a", "b"])
    with pytest.raises(SpecificationError, match="different numbers of outputs"):
        join(nn.Identity(), {"a": Hard(Bounds(low=[0.0, 0.0])), "b": Hard(Bounds(low=0.0, outputs=[5]))})


def test_census_decodes_in_half_precision_and_refuses_nan():
    rule = Census([CountLimit((1,), low=1, high=1)], classes=2)
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        y = rule.decode(torch.tensor([[[1.0, 0.0], [2.0, 0.0]]], dtype=dtype))
        assert float(rule.measure(nn.Identity(), y, y)) == 0.0
    with pytest.raises(NonFiniteError, match="finite logits"):
        rule.decode(torch.full((1, 2, 2), torch.nan))


def test_one_unreadable_frame_loses_nothing():
    from tests.constraints.test_tracking import CELLS, Walk, shown

    rule, track, read = Walk(), None, []
    path = [0, 1, None, *([9] * 12)]
    for position in path:
        frame = np.full((CELLS, 2), np.nan) if position is None else shown(position)
        labels, track = follow(rule, EagerScores(torch.from_numpy(frame)), track, policy=AskAll())
        read.append(int(labels.argmax()))
    assert read[2] == 1
    assert read[-1] == 9
    with pytest.raises(SpecificationError, match="`Recovery` needs"):
        Recovery(alarm=float("nan"))


@pytest.mark.parametrize(
    "constraint",
    [
        Box(low=0.5),  # whole numbers would have truncated the bound to 0
        Simplex(),
        Affine([[1.0, 1.0]], [1.0]),
        L2Ball(1.0),
        OrderedCone(),
        SecondOrderCone(),
        GroupMean("(g m) -> g", m=2),
        Disjunction([Box(low=1.0), Box(high=-1.0)]),
    ],
    ids=lambda constraint: type(constraint).__name__,
)
def test_values_are_floating_point_and_not_empty(constraint):
    context = torch.ones(3, 1) if isinstance(constraint, GroupMean) else None
    for ask in (constraint.project, constraint.violation):
        with pytest.raises(SpecificationError, match=r"floating-point values, got torch.int64"):
            ask(torch.ones(3, 2, dtype=torch.long), context)
        with pytest.raises(ShapeError):
            ask(torch.zeros(3, 0), context)


def test_contexts_belong_to_the_samples():
    circle = NonlinearEquality(lambda y, r: (y * y).sum(-1, keepdim=True) - r, size=2, conditions=1)
    for constraint in (GroupMean("(g m) -> g", m=2), circle):
        with pytest.raises(ShapeError, match=r"got \(3, 1\) for values \(4, 2\)"):
            constraint.project(torch.ones(4, 2), torch.ones(3, 1))


def test_joint_rules_compile_whole():
    """Rules on selected columns once broke the graph."""
    rules = {"sum": Hard(LinearEquality([[1.0, 1.0, 1.0]], [1.0])), "floor": Hard(Bounds(low=0.0, outputs=[2, 0]))}
    joined = join(nn.Linear(2, 3), rules, outputs=3)
    torch._dynamo.reset()
    x = torch.randn(4, 2)
    torch.testing.assert_close(torch.compile(joined, backend="eager", fullgraph=True)(x), joined(x))
