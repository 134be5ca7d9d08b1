"""Several hard linear rules on one output become one exact projection."""

import pytest
import torch
from torch import nn

from constraints import (
    Affine,
    BestEffort,
    Bounds,
    BoxEquality,
    FixedSum,
    Hard,
    InfeasibleError,
    Interior,
    L2Ball,
    LinearEquality,
    LinearInequality,
    LinearSystem,
    OutputRule,
    Polytope,
    SpecificationError,
    VaryingPolytope,
    certificates,
    join,
)
from constraints.embeddings.intersection import JointRule
from constraints.testing import check_embedding


class Demand(LinearEquality):
    def __init__(self):
        super().__init__([[1.0, 1.0, 1.0]])

    def target(self, x):
        return x[..., :1].abs()


class Line(LinearInequality):
    def __init__(self, **options):
        super().__init__([[0.5, -0.5, 0.1]], **options)

    def limits(self, x):
        limit = 0.2 + x[..., 1:2].abs()
        return -limit, limit


class Slope(LinearSystem):
    def __init__(self):
        super().__init__(rows=1, size=3)

    def system(self, x):
        return x[..., None, :3], torch.full_like(x[..., :1], -torch.inf), torch.ones_like(x[..., :1])


def network(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Linear(4, 3).to(dtype)


def obeys(rules, y, x, dtype):
    for rule in rules.values():
        worst = rule.measure(nn.Identity(), x, y)
        assert bool((worst <= 64 * torch.finfo(dtype).eps * (1 + y.abs().amax())).all()), (rule.name, worst.max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("rules", "kind"),
    [
        ({"demand": Demand(), "line": Line(), "units": Bounds(low=0.0, high=2.0)}, Polytope),
        ({"two": LinearEquality([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]], [1.0, 1.0]), "box": Bounds(low=0.0)}, Polytope),
        ({"demand": Demand(), "slope": Slope(), "units": Bounds(low=-5.0)}, VaryingPolytope),
        ({"shares": FixedSum(), "cap": LinearInequality([[1.0, 1.0, 0.0]], high=0.5)}, Polytope),
    ],
)
def test_joined_rules_all_hold(rules, kind, dtype):
    x = torch.randn(32, 4, dtype=dtype, generator=torch.Generator().manual_seed(1))
    joined = join(network(dtype), {name: Hard(rule) for name, rule in rules.items()}, outputs=3)
    assert type(joined.enforced[0].constraint) is kind
    y = joined(x)
    obeys(rules, y, x, dtype)
    y.square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in joined.parameters())


def test_laws():
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    for rule in (Line(), Slope()):
        check_embedding(Hard(rule), network(), x)


def test_bounds_hold_exactly():
    rules = {"demand": Demand(), "line": Line(), "units": Bounds(low=0.0)}
    y = join(network(), {name: Hard(rule) for name, rule in rules.items()})(torch.randn(256, 4))
    assert float(y.detach().amin()) >= 0.0


def test_a_sample_without_a_point_is_told():
    rules = {"demand": Demand(), "line": Line(), "units": Bounds(low=0.0, high=0.1)}
    x = torch.tensor([[0.1, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]])
    with pytest.raises(InfeasibleError, match=r"1 empty ones: 1 of 2 samples \(first: \[1\]\)"):
        join(network(), {name: Hard(rule) for name, rule in rules.items()})(x)
    rules["line"] = Line(fallback=BestEffort())
    joined = join(network(), {name: Hard(rule) for name, rule in rules.items()})
    with certificates() as found:
        assert joined(x).isfinite().all()
    assert found[0][1].feasible.tolist() == [True, False]
    assert found[0][1].empty.tolist() == [False, True]


def test_one_fallback_for_joined_rules():
    with pytest.raises(SpecificationError, match="need one fallback"):
        join(network(), {"a": Hard(Line(fallback=BestEffort())), "b": Hard(Line(fallback=BestEffort()))})


def test_an_interior_point_of_the_joined_outputs():
    """A point of one rule's outputs would have been found wanting only at the first sample without an output."""

    class Part(LinearInequality):
        def __init__(self, point):
            super().__init__([[1.0, 1.0]], fallback=Interior(point), outputs=[0, 1])

        def limits(self, x):
            return x[..., :1], x[..., :1] + 1.0

    units = Hard(Bounds(low=0.0, high=1.0))
    with pytest.raises(SpecificationError, match=r"`Interior` point of all 3 outputs, got one of shape \(2,\)"):
        join(network(), {"part": Hard(Part([0.5, 0.5])), "units": units}, outputs=3)
    joined = join(network(), {"part": Hard(Part([0.5, 0.5, 0.0])), "units": units}, outputs=3)
    assert joined(torch.tensor([[9.0, 0.0, 0.0, 0.0]])).tolist() == [[0.5, 0.5, 0.0]]


def test_systems_of_each_sample_alone():
    """Two rules whose coefficients depend on the input, and no other."""

    class Other(Slope):
        def system(self, x):
            return x[..., None, 1:4], torch.zeros_like(x[..., :1]), torch.full_like(x[..., :1], torch.inf)

    rules = {"slope": Slope(), "other": Other()}
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
    joined = join(network(), {name: Hard(rule) for name, rule in rules.items()}, outputs=3)
    assert joined.enforced[0].constraint.rows == 2
    obeys(rules, joined(x), x, torch.float32)


class Total(OutputRule):
    """A sum that the input gives, with a fallback."""

    def __init__(self, constraint, **options):
        super().__init__(constraint, **options)

    def context(self, x):
        return x[..., :1]


@pytest.mark.parametrize(
    ("others", "kind"),
    [
        ({"difference": LinearEquality([[1.0, -1.0, 0.0]], [0.2])}, Affine),
        ({"positive": Bounds(low=0.0)}, BoxEquality),
        ({"cap": LinearInequality([[1.0, 1.0, 0.0]], high=0.5)}, Polytope),
        ({"slope": Slope()}, VaryingPolytope),
    ],
)
def test_the_fallback_of_a_rule_is_that_of_the_joined_set(others, kind):
    fallback = BestEffort()
    joint = JointRule({"total": Total(Affine([[1.0, 1.0, 1.0]], fallback=fallback)), **others}, 3)
    assert type(joint.constraint) is kind and joint.constraint.fallback is fallback


def test_rules_that_are_joined_and_disagree_are_named():
    one, two = Line(fallback=BestEffort()), Line(fallback=BestEffort())
    for others in ({}, {"thrust": Total(L2Ball())}):
        with pytest.raises(SpecificationError, match=r"rules `(one`, `two|thrust`, `one and two)` are joined"):
            join(network(), {name: Hard(rule) for name, rule in {"one": one, "two": two, **others}.items()}, outputs=3)
