"""Hierarchies: coherent by each map, cheap, against naive references, and refused where they make no sense."""

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constraints import (
    AugmentedLagrangian,
    Bounds,
    Decode,
    Hard,
    Hierarchy,
    InfeasibleError,
    LinearEquality,
    LowerChildren,
    NearestCoherent,
    PartialOrder,
    RaiseParents,
    RuleSet,
    ShapeError,
    Soft,
    SpecificationError,
    join,
)
from constraints.functional import find_cycle, max_constraint_loss, order_steps, raise_parents, reduce_edges
from constraints.testing import check_embedding, check_rule, check_set

FORMS = [RaiseParents(), LowerChildren(), NearestCoherent()]
DIAMOND = {1: 0, 2: 0, 3: [1, 2], 4: 3, 5: 0}


@st.composite
def graphs(draw):
    """Edges (child, parent) of a random DAG on shuffled columns."""
    size = draw(st.integers(2, 9))
    order = draw(st.permutations(range(size)))
    pairs = [(order[i], order[j]) for i in range(size) for j in range(i)]
    return size, draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))


def reachable(edges, size):
    """`out[a, b]`: b is a or above it, by powers of the adjacency matrix."""
    near = np.eye(size, dtype=int)
    for a, b in edges:
        near[a, b] = 1
    return np.linalg.matrix_power(near, size) > 0


def naive_loss(probabilities, target, above):
    """MCLoss as the paper writes it, a label and a sample at a time."""
    size = len(target)
    total = []
    for a in range(size):
        below = [b for b in range(size) if above[b, a]]
        right = max(target[b] * probabilities[b] for b in below)
        raised = max(probabilities[b] for b in below)
        total.append(-target[a] * math.log(max(right, 1e-300)) - (1 - target[a]) * math.log(1 - raised))
    return total


@given(graphs(), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_every_map_is_coherent_and_moves_as_it_says(graph, seed):
    size, edges = graph
    above = reachable(edges, size)
    y = torch.randn(4, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    raised, lowered, nearest = (Hierarchy(edges, form=form, outputs=range(size)).enforce(y).numpy() for form in FORMS)
    v = y.numpy()
    for column in range(size):
        np.testing.assert_array_equal(raised[:, column], v[:, above[:, column]].max(axis=1))
        np.testing.assert_array_equal(lowered[:, column], v[:, above[column]].min(axis=1))
    assert (lowered <= nearest + 1e-9).all() and (nearest <= raised + 1e-9).all()
    for a, b in edges:
        assert (nearest[:, a] <= nearest[:, b] + 1e-9).all()
    assert np.square(nearest - v).sum() <= min(np.square(raised - v).sum(), np.square(lowered - v).sum()) + 1e-9


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_the_reduction_implies_what_it_leaves_out(graph):
    size, edges = graph
    kept = reduce_edges(edges)
    assert set(kept) <= set(edges)
    np.testing.assert_array_equal(reachable(kept, size), reachable(edges, size))
    for edge in kept:  # and none of it can go
        assert not reachable([e for e in kept if e != edge], size)[edge]
    dealt = [(int(a), int(b)) for low, high in order_steps(kept) for a, b in zip(low, high, strict=True)]
    assert sorted(dealt) == sorted(kept)


@given(graphs(), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_the_loss_is_that_of_the_paper(graph, seed):
    size, edges = graph
    above = reachable(edges, size)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, size, generator=generator, dtype=torch.float64)
    seeds = torch.rand(3, size, generator=generator) < 0.3
    target = (seeds.double() @ torch.from_numpy(above).double() > 0).double()  # what holds makes all above hold
    found = max_constraint_loss(logits, target, PartialOrder(edges, size).rising_steps())
    expected = [naive_loss(h, t, above) for h, t in zip(logits.sigmoid().tolist(), target.tolist(), strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(found, Hierarchy(edges, outputs=range(size)).loss(logits, target))


def test_the_loss_is_finite_far_out_and_teaches_the_right_child():
    steps = order_steps([(1, 0), (2, 0)])
    logits = torch.tensor([[-200.0, 300.0, -250.0]], requires_grad=True)
    target = torch.tensor([[1.0, 0.0, 1.0]])
    loss = max_constraint_loss(logits, target, steps).sum()
    (grad,) = torch.autograd.grad(loss, logits)
    assert bool(loss.isfinite()) and bool(grad.isfinite().all())
    # Cross entropy of the raised scores would let the wrong child stand for its parent: here it only falls.
    assert grad[0, 1] > 0 and grad[0, 0] < 0 and grad[0, 2] < 0
    with pytest.raises(ShapeError, match="max_constraint_loss"):
        max_constraint_loss(logits, target[:, :2], steps)
    inputs = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: max_constraint_loss(v, target.expand(2, 3).double(), steps), inputs)


def test_outputs_outside_the_hierarchy_keep_their_own_loss():
    logits, target = torch.randn(5, 4), (torch.rand(5, 4) < 0.5).float()
    target[:, 2] = target[:, [1, 2]].amax(dim=1)
    loss = Hierarchy({1: 2}).loss(logits, target)
    plain = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    torch.testing.assert_close(loss[:, [0, 3]], plain[:, [0, 3]])
    torch.testing.assert_close(
        loss[:, [2, 1]], max_constraint_loss(logits[:, [2, 1]], target[:, [2, 1]], order_steps([(1, 0)]))
    )
    with pytest.raises(ShapeError, match="needs a target"):
        Hierarchy({1: 2}).loss(logits, target[:, :3])


def test_the_greatest_commutes_with_increasing_links():
    y = torch.randn(20, 6)
    rule = Hierarchy(DIAMOND)
    torch.testing.assert_close(rule.enforce(y).sigmoid(), rule.enforce(y.sigmoid()))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_laws_of_the_rule(form, dtype):
    torch.manual_seed(0)
    network = nn.Linear(3, 7, dtype=dtype)
    x = torch.randn(16, 3, dtype=dtype)
    rule = Hierarchy(DIAMOND, form=form)
    check_rule(rule, network, x, network(x))
    for embedding in (Hard(rule), Decode(rule), Soft(rule), AugmentedLagrangian(rule)):
        check_embedding(embedding, network, x)
    y = rule.enforce(network(x))
    torch.testing.assert_close(y[:, 6], network(x)[:, 6])
    if not isinstance(form, NearestCoherent):
        assert float(rule.measure(network, x, y).max()) == 0.0  # exactly
    assert rule.enforce(network(x)[None]).shape == (1, 16, 7)


def test_laws_of_the_set():
    torch.manual_seed(0)
    order = PartialOrder([(1, 0), (2, 0), (3, 1), (3, 2), (3, 0)], size=4)
    assert len(order.edges) == 4
    check_set(order, torch.randn(6, 4), second_order=False)


def test_with_other_linear_rules_it_is_one_projection():
    rules = {"tree": Hard(Hierarchy({1: 0, 2: 0})), "box": Hard(Bounds(low=0.0, high=1.0))}
    y = join(nn.Identity(), rules, outputs=3)(torch.tensor([[0.2, 1.8, -1.0]]))
    torch.testing.assert_close(y, torch.tensor([[1.0, 1.0, 0.0]]))
    steep = LinearEquality([[1.0, -1.0]], [-1.0], outputs=[0, 1])
    with pytest.raises(InfeasibleError, match="`tree`, `steep`"):
        join(nn.Identity(), rules | {"steep": Hard(steep)}, outputs=3)
    implied = RuleSet({"chain": Hierarchy({1: 0, 2: 1}), "ends": Hierarchy({2: 0})}, outputs=3).check()
    assert implied.redundant == ("ends",)


def test_names_are_bound_and_told():
    rule = Hierarchy([("dog", "animal"), ("cat", "animal")], unit="logit")
    assert rule.outputs == ("dog", "animal", "cat")
    rule.bind(["colour", "cat", "dog", "animal"])
    y = rule.enforce(torch.tensor([[9.0, 1.0, 2.0, 0.0]]))
    assert y.tolist() == [[9.0, 1.0, 2.0, 2.0]]
    told = str(rule.explain())
    assert "partial order of 2 edges" in told and "exact" in told and "not the nearest" in told
    assert "certificate" in str(Hierarchy({1: 0}, form=NearestCoherent()).explain())


@pytest.mark.parametrize(
    "parents, options, message",
    [
        ({}, {}, "at least one child"),
        ({"a": "a"}, {}, "a -> a"),
        ({"a": "b", "b": "c", "c": "a"}, {}, "a -> b -> c -> a"),
        ([("a", "b"), ("a", "b")], {}, "'a' under 'b' twice"),
        ({"a": ["b", "b"]}, {}, "twice"),
        ({"a": "b"}, {"outputs": ["a", "c"]}, r"\['b'\]"),
        ([("a", "b", "c")], {}, "edges \\(child, parent\\)"),
        (["ab"], {}, "edges \\(child, parent\\)"),
        ({1: -1}, {}, "columns >= 0"),
        ({1: 0}, {"outputs": [0, 1, 1]}, "distinct"),
        ({1: 0}, {"form": "max"}, "HierarchyMap"),
    ],
)
def test_what_makes_no_sense_is_refused(parents, options, message):
    with pytest.raises(SpecificationError, match=message):
        Hierarchy(parents, **options)


def test_sets_refuse_too():
    with pytest.raises(SpecificationError, match="columns 0 to 1"):
        PartialOrder([(0, 2)], size=2)
    with pytest.raises(SpecificationError, match="0 <= 1 <= 0"):
        PartialOrder([(0, 1), (1, 0)], size=2)
    with pytest.raises(ShapeError, match="only 1"):
        Hierarchy({1: 0}).enforce(torch.zeros(2, 1))
    assert find_cycle([(a, a + 1) for a in range(5000)]) == []  # no recursion


def test_five_thousand_labels_are_cheap():
    """The Gene Ontology's size; the maps' masks of labels by labels would be 25 million numbers a sample."""
    generator = np.random.default_rng(0)
    edges = [(i, int(p)) for i in range(1, 5000) for p in set(generator.integers(max(0, i // 4 - 20), i // 4 + 1, 2))]
    began = time.perf_counter()
    rule = Hierarchy(edges, outputs=range(5000))
    y = rule.enforce(torch.randn(64, 5000))
    assert float(rule.measure(nn.Identity(), y, y).max()) == 0.0
    assert time.perf_counter() - began < 5.0  # 0.3 s here


def test_nothing_that_is_not_a_number_is_hidden():
    rule = Hierarchy({1: 0})
    y = raise_parents(torch.tensor([[0.0, float("nan")]]), rule.order.rising_steps())
    assert bool(y.isnan().all())
    assert not bool(rule.constraint.check(y).any())


def test_compiled_and_exported_whole():
    torch.manual_seed(0)
    network, x = join(nn.Linear(3, 6), {"tree": Hard(Hierarchy(DIAMOND))}), torch.randn(5, 3)
    torch.testing.assert_close(torch.compile(network, fullgraph=True, backend="aot_eager")(x), network(x))
    torch.testing.assert_close(torch.export.export(network, (x,)).module()(x), network(x))
