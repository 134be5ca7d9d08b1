"""MonotoneIn, ConvexIn, LipschitzIn: what they measure, how they are held, with what they go together."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constraints import (
    AugmentedLagrangian,
    Bounds,
    Box,
    ConvexIn,
    ConvexNetwork,
    FixedSum,
    GroupSort,
    Hard,
    LinearInequality,
    LipschitzIn,
    Monitor,
    MonotoneIn,
    NonFiniteError,
    NormalisedNetwork,
    Ordering,
    ShapedNetwork,
    ShapeError,
    Soft,
    SpecificationError,
    UnsupportedError,
    join,
)
from constraints.networks.shape import Shape
from constraints.testing import check_embedding, check_rule

REGION = Box(low=[-2.0, -2.0, -2.0], high=[2.0, 2.0, 2.0])
RULES = {
    "rising": lambda: MonotoneIn([0, 2]),
    "falling, one output, region": lambda: MonotoneIn([1], decreasing=True, outputs=[1], region=REGION, draws=3),
    "convex": lambda: ConvexIn([0, 1, 2]),
    "concave, some, region": lambda: ConvexIn([0, 2], concave=True, reach=[0.5, 2.0], region=REGION),
    "limited 1": lambda: LipschitzIn(0.5, [0], norm=1),
    "limited 2": lambda: LipschitzIn(0.5, [0, 1], region=REGION),
    "limited inf": lambda: LipschitzIn(0.5, [0, 1, 2], norm=math.inf, outputs=[0]),
}


def network(seed=0, activation=nn.ReLU, outputs=2):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 12), activation(), nn.Linear(12, 12), activation(), nn.Linear(12, outputs))


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", RULES)
def test_laws(name, dtype):
    rule, net = RULES[name](), network().to(dtype)
    x = torch.randn(16, 3, dtype=dtype)
    check_rule(rule, net, x, net(x))
    for embedding in (Soft(rule), AugmentedLagrangian(rule), Monitor(rule)):
        check_embedding(embedding, net, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "rule",
    [
        lambda: MonotoneIn([0, 2], region=REGION),
        lambda: MonotoneIn([1], decreasing=True),
        lambda: ConvexIn([0, 1, 2], region=REGION),
        lambda: ConvexIn([0, 1, 2], concave=True),
        lambda: LipschitzIn(0.5, [0, 1], norm=1),
        lambda: LipschitzIn(2.0, [0, 1, 2], norm=2),
        lambda: LipschitzIn(0.1, [1], norm=math.inf),
    ],
)
def test_a_wrap_holds_it_whatever_the_weights(rule, seed, dtype):
    rule, net = rule(), network(seed).to(dtype)
    x = 5.0 * torch.randn(32, 3, dtype=dtype)
    assert not rule.guaranteed(net)
    check_embedding(Hard(rule), net, x)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(5.0)
    check_embedding(Hard(rule), net, x)
    assert rule.guaranteed(join(net, {"rule": Hard(rule)}))


def test_slopes_are_those_of_calculus():
    field = Function(lambda x: torch.stack([x[..., 0] ** 3 - x[..., 1], x[..., 0] * x[..., 2]], dim=-1))
    x = torch.tensor([[2.0, 1.0, -3.0], [-1.0, 0.0, 4.0]], dtype=torch.float64)
    rule = MonotoneIn([0, 1])
    torch.testing.assert_close(
        rule.evaluate(field, x, x), torch.tensor([[12.0, -1.0, -3.0, 0.0], [3.0, -1.0, 4.0, 0.0]]).double()
    )
    assert rule.measure(field, x, x).tolist() == [3.0, 1.0]
    assert MonotoneIn([0], outputs=[1]).measure(field, x, x).tolist() == [3.0, 0.0]
    assert MonotoneIn([0, 1], decreasing=True).measure(field, x, x).tolist() == [12.0, 4.0]
    steep = LipschitzIn(1.0, [0, 2])
    torch.testing.assert_close(steep.evaluate(field, x, x)[0], torch.tensor([12.0, math.sqrt(13.0)]).double())
    assert LipschitzIn(1.0, [0, 2], norm=1).evaluate(field, x, x)[0].tolist() == [12.0, 3.0]
    assert LipschitzIn(1.0, [0, 2], norm=math.inf).evaluate(field, x, x)[0].tolist() == [12.0, 5.0]


def test_a_constant_function_has_every_shape():
    field = Function(lambda x: torch.ones(len(x), 2))
    x = torch.randn(8, 3)
    for rule in (MonotoneIn([0]), ConvexIn([0]), LipschitzIn(1.0, [0])):
        assert (rule.measure(field, x, x) == 0).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_piecewise_linear_function_does_not_pass_as_convex_for_want_of_curvature(sign):
    field = Function(lambda x: sign * x[..., :1].abs())
    x = 0.3 * torch.randn(200, 3)
    bowl, dome = ConvexIn([0]).measure(field, x, x), ConvexIn([0], concave=True).measure(field, x, x)
    wrong, right = (dome, bowl) if sign > 0 else (bowl, dome)
    assert (right == 0).all()
    assert (wrong > 0).float().mean() > 0.3


def test_joint_convexity_is_more_than_convexity_along_each_axis():
    saddle = Function(lambda x: x[..., :1] * x[..., 1:2])
    x = torch.randn(200, 3)
    assert (ConvexIn([0]).measure(saddle, x, x) == 0).all()
    assert (ConvexIn([1]).measure(saddle, x, x) == 0).all()
    assert (ConvexIn([0, 1]).measure(saddle, x, x) > 0).float().mean() > 0.3


def test_a_region_finds_what_the_data_do_not_show():
    field = Function(lambda x: torch.where(x[..., :1] > 1, -x[..., :1], x[..., :1]))
    x = torch.zeros(50, 3)
    assert (MonotoneIn([0]).measure(field, x, x) == 0).all()
    rule = MonotoneIn([0], region=REGION, draws=8)
    found = rule.measure(field, x, x)
    assert found.shape == (50,)
    assert (found > 0).float().mean() > 0.5
    torch.manual_seed(0)
    first = rule.points(x)
    torch.manual_seed(0)
    assert torch.equal(first, rule.points(x))
    assert ((first >= -2) & (first <= 2)).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 5), st.integers(1, 3))
def test_any_number_of_inputs_outputs_samples_and_draws(inputs, outputs, batch, draws):
    region = Box(low=[-1.0] * inputs, high=[1.0] * inputs)
    for make in (MonotoneIn, ConvexIn, lambda i, **k: LipschitzIn(1.0, i, **k)):
        for extra in ({}, {"region": region, "draws": draws}):
            rule = make(list(range(inputs)), **extra)
            x = torch.randn(batch, inputs, dtype=torch.float64)
            found = rule.measure(nn.Linear(inputs, outputs).double(), x, x)
            assert found.shape == (batch,) and found.dtype == torch.float64


def test_soft_works_in_inference_mode():
    rule, net = MonotoneIn([0], region=REGION), network()
    with torch.inference_mode():
        x = torch.randn(4, 3)
        assert rule.measure(net, x, net(x)).shape == (4,)


def test_soft_bends_a_network():
    torch.manual_seed(0)
    net = network(activation=nn.Tanh, outputs=1)
    soft = Soft(MonotoneIn([0], region=REGION), weight=10.0)
    x = torch.randn(128, 3)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    before = float(soft.measure(net, x, net(x)).mean().detach())
    for _ in range(150):
        optimizer.zero_grad()
        y = net(x)
        (nn.functional.mse_loss(y, -x[:, :1]) + soft.penalty(net, x, y)).backward()
        optimizer.step()
    assert float(soft.measure(net, x, net(x)).mean().detach()) < max(0.1, 0.5 * before)


def test_several_rules_share_one_wrap():
    rules = {
        "falls": Hard(MonotoneIn([0], decreasing=True)),
        "rises": Hard(MonotoneIn([2])),
        "gentle": Hard(LipschitzIn(2.0, [0, 1])),
    }
    wrapped = join(network(activation=GroupSort), rules)
    assert isinstance(wrapped, NormalisedNetwork)
    assert (wrapped.shape.decreasing, wrapped.shape.increasing, wrapped.shape.limited) == ({0}, {2}, {0, 1})
    x = 5.0 * torch.randn(64, 3)
    for hard in rules.values():
        assert hard.rule.constraint.check(hard.rule.evaluate(wrapped, x, x)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_have_directions_of_their_own(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 16), GroupSort(), nn.Linear(16, 3)).to(dtype)
    rules = {
        "up": Hard(MonotoneIn([0], outputs=[0])),
        "down": Hard(MonotoneIn([0, 1], outputs=[1], decreasing=True)),
        "gentle": Hard(LipschitzIn(3.0, [0, 1, 2])),
    }
    wrapped = join(net, rules)
    assert wrapped.shape.directions == ((1, 0, 0), (-1, -1, 0), (0, 0, 0)) and wrapped.shape.free == []
    x = (5.0 * torch.randn(64, 3)).to(dtype)
    for hard in rules.values():
        assert hard.rule.constraint.check(hard.rule.evaluate(wrapped, x, x)).all()
    slopes = torch.func.vmap(torch.func.jacrev(wrapped))(x)
    assert (slopes[:, 0, 0] >= 0).all() and (slopes[:, 1, :2] <= 0).all()
    assert slopes[:, 2, 0].min() < 0 < slopes[:, 2, 0].max()  # nothing is said of it, and nothing holds
    assert not MonotoneIn([0], outputs=[2]).guaranteed(wrapped)
    with pytest.raises(SpecificationError, match="increasing or decreasing, got both for output 0 in input 0"):
        join(wrapped, {"again": Hard(MonotoneIn([0], decreasing=True))})


def test_directions_of_outputs_become_those_of_all():
    shape = Shape(inputs=2, outputs=2, increasing={0}, directions=((0, -1), (1, -1)))
    assert (shape.increasing, shape.decreasing, shape.directions) == ({0}, {1}, ((1, -1), (1, -1)))
    for wrong in (((1, 0),), ((1,), (0,)), ((2, 0), (0, 0))):
        with pytest.raises(SpecificationError, match="a direction of 1, -1 or 0"):
            Shape(inputs=2, outputs=2, directions=wrong)
    with pytest.raises(SpecificationError, match="got both for output 1 in input 0"):
        Shape(inputs=2, outputs=2, increasing={0}, directions=((1, 0), (-1, 0)))


@pytest.mark.parametrize(
    "make", [lambda **k: MonotoneIn([0], **k), lambda **k: ConvexIn([0], **k), lambda **k: LipschitzIn(1.0, [0], **k)]
)
def test_draws_need_a_region(make):
    with pytest.raises(SpecificationError, match="needs a region for its draws, got draws=4"):
        make(draws=4)


def test_a_network_that_obeys_is_returned_as_it_is():
    shaped = ShapedNetwork(3, 1, [8], increasing=[0, 1], convex=[0])
    rules = {"a": Hard(MonotoneIn([1])), "b": Hard(ConvexIn([0])), "c": Hard(MonotoneIn([0]))}
    assert join(shaped, rules) is shaped
    limited = NormalisedNetwork(network(), limited=[0, 1, 2], bound=1.0, norm=2.0)
    assert LipschitzIn(1.0, [0, 1]).guaranteed(limited)
    assert not LipschitzIn(0.9, [0, 1]).guaranteed(limited)
    assert LipschitzIn(1.0, [0], norm=math.inf).guaranteed(limited)  # of one number all norms are the same
    assert not LipschitzIn(1.4, [0, 1], norm=math.inf).guaranteed(limited)
    assert LipschitzIn(1.42, [0, 1], norm=math.inf).guaranteed(limited)  # sqrt(2)
    assert LipschitzIn(1.0, [0, 1], norm=1).guaranteed(limited)


@pytest.mark.parametrize(
    ("rules", "net", "text"),
    [
        ([MonotoneIn([0])], nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)), "BatchNorm"),
        ([MonotoneIn([0])], nn.LSTM(3, 2), "nn.Sequential of nn.Linear"),
        ([MonotoneIn([3])], network(), "columns from 0 to 2"),
        ([MonotoneIn([0], outputs=[2])], network(), "speaks of output 2, but the model has only 2"),
        ([LipschitzIn(1.0, [0], outputs=[1])], network(), "shapes all of them"),
        ([ConvexIn([0, 1, 2], outputs=[1])], network(), "shapes all of them"),
        ([MonotoneIn([0]), MonotoneIn([0], decreasing=True, name="down")], network(), "increasing or decreasing"),
        ([ConvexIn([0])], network(), r"`ShapedNetwork` with convex=\[0\]"),
        ([ConvexIn([0, 1, 2])], network(activation=nn.Tanh), "Tanh"),
        ([ConvexIn([0, 1, 2]), MonotoneIn([0])], network(), r"`ShapedNetwork` with increasing=\[0\]"),
        ([MonotoneIn([0]), ConvexIn([0, 1, 2])], network(), r"`ShapedNetwork` with convex=\[0, 1, 2\]"),
        ([LipschitzIn(1.0, [0]), LipschitzIn(0.5, [1], name="b")], network(), "one for all its Lipschitz rules"),
        ([LipschitzIn(1.0, [0])], ShapedNetwork(3, 1, [8], increasing=[0]), "`NormalisedNetwork` with limited"),
    ],
)
def test_what_no_architecture_holds_is_refused(rules, net, text):
    with pytest.raises((UnsupportedError, SpecificationError, ShapeError), match=text):
        join(net, {rule.name: Hard(rule) for rule in rules})


KEPT = [
    (MonotoneIn([0]), Bounds(low=0.0, high=1.0), {False: True, True: True}),
    (MonotoneIn([0]), Bounds(low=0.0, outputs=[1]), {False: True, True: True}),
    (MonotoneIn([0]), Ordering(gap=0.5, low=-1.0), {False: True, True: False}),
    (MonotoneIn([0], outputs=[0]), Ordering(outputs=[0, 1]), {False: False}),
    (MonotoneIn([0], outputs=[0]), Ordering(outputs=[1, 2]), {False: True, True: True}),
    (MonotoneIn([0]), FixedSum(), {False: False, True: False}),
    (MonotoneIn([0]), LinearInequality([[1.0, 1.0]], high=[1.0]), {False: False}),
    (LipschitzIn(1.0, [0]), Bounds(low=0.0, high=1.0), {False: True, True: False}),
    (LipschitzIn(1.0, [0]), Ordering(descending=True, high=1.0), {False: True, True: False}),
    (LipschitzIn(1.0, [0]), FixedSum(), {False: False}),
    (ConvexIn([0]), Bounds(low=0.0), {False: True, True: True}),
    (ConvexIn([0]), Bounds(high=0.0), {False: False, True: False}),
    (ConvexIn([0]), Bounds(low=0.0, high=1.0), {False: False, True: False}),
    (ConvexIn([0], concave=True), Bounds(high=0.0), {False: True, True: True}),
    (ConvexIn([0], concave=True), Bounds(low=0.0), {False: False}),
    (ConvexIn([0]), Ordering(), {False: False}),
]


@pytest.mark.parametrize(("rule", "after", "expected"), KEPT)
def test_what_survives_an_output_rule(rule, after, expected):
    for smooth, kept in expected.items():
        assert rule.survives(after, smooth=smooth) == kept


@pytest.mark.parametrize(("rule", "after", "expected"), [case for case in KEPT if case[0].scope.outputs is None])
@pytest.mark.parametrize("seed", range(2))
def test_what_is_said_to_survive_does(rule, after, expected, seed):
    torch.manual_seed(seed)
    outputs = 2
    if isinstance(rule, ConvexIn):
        net = ShapedNetwork(3, outputs, [8], **{"concave" if rule.concave else "convex": [0]})
    else:
        net = join(network(seed, GroupSort), {"rule": Hard(rule)})
    net = net.double()
    x = 3.0 * torch.randn(200, 3).double()
    for smooth, kept in expected.items():
        if kept:
            joined = join(net, {"rule": Hard(rule), "after": Hard(after, smooth=smooth)})
            assert joined is not net
            assert rule.constraint.check(rule.evaluate(joined, x, x)).all()
        else:
            with pytest.raises(UnsupportedError, match="cannot hold together"):
                join(net, {"rule": Hard(rule), "after": Hard(after)} if not smooth else
                     {"rule": Hard(rule), "after": Hard(after, smooth=True)})  # fmt: skip


@pytest.mark.parametrize("make", [MonotoneIn, ConvexIn, lambda i: LipschitzIn(1.0, i)])
def test_inputs_by_name(make):
    rule = make(["weight", 0])
    with pytest.raises(SpecificationError, match="call `bind_inputs"):
        rule.measure(network(), torch.zeros(1, 3), torch.zeros(1, 2))
    with pytest.raises(SpecificationError, match=r"names inputs \['weight'\], expected some of"):
        rule.bind_inputs(["a", "b"])
    with pytest.raises(SpecificationError, match="twice"):
        rule.bind_inputs(["weight", "year"])
    rule.bind_inputs(["year", "power", "weight"])
    assert rule.scope.columns == {0, 2}
    for twin in (copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):
        assert twin.scope.columns == {0, 2}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: MonotoneIn([]), "distinct inputs"),
        (lambda: MonotoneIn([0, 0]), "distinct inputs"),
        (lambda: MonotoneIn([-1]), "distinct inputs"),
        (lambda: MonotoneIn([True]), "distinct inputs"),
        (lambda: MonotoneIn([0], outputs=[]), "distinct outputs"),
        (lambda: MonotoneIn([0], region=Box(low=0.0)), "finite bounds"),
        (lambda: MonotoneIn([0], region=REGION, draws=0), "draws >= 1"),
        (lambda: ConvexIn([0], reach=0.0), "reach > 0"),
        (lambda: ConvexIn([0], reach=[1.0, 2.0]), "reach > 0"),
        (lambda: LipschitzIn(0.0, [0]), "bound > 0"),
        (lambda: LipschitzIn(math.inf, [0]), "bound > 0"),
        (lambda: LipschitzIn(1.0, [0], norm=3), "norm of 1, 2 or inf"),
    ],
)
def test_rules_that_make_no_sense(make, text):
    with pytest.raises(SpecificationError, match=text):
        make()


def test_misshapen_points_are_refused():
    x = torch.zeros(2, 3)
    with pytest.raises(NonFiniteError):
        ConvexIn([0], reach=math.nan)
    with pytest.raises(ShapeError, match="input 5"):
        MonotoneIn([5]).measure(network(), x, x)
    with pytest.raises(ShapeError, match="input 5"):
        ConvexIn([5]).measure(network(), x, x)
    with pytest.raises(ShapeError, match="output 2"):
        MonotoneIn([0], outputs=[2]).measure(network(), x, x)
    with pytest.raises(ShapeError, match="region of 2 inputs"):
        MonotoneIn([0], region=Box(low=[0.0, 0.0], high=[1.0, 1.0])).measure(network(), x, x)


def test_what_is_explained():
    said = str(MonotoneIn(["weight"], decreasing=True).explain())
    assert "outputs fall with inputs ['weight']" in said and "Hard" in said
    assert isinstance(ConvexIn([0, 1, 2]).wrap(network()), ConvexNetwork)
    with pytest.raises(UnsupportedError, match="smooth=True"):
        Hard(MonotoneIn([0]), smooth=True)


def test_slopes_are_penalised_in_a_compiled_loss():
    torch._dynamo.reset()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    soft, x = Soft(MonotoneIn([0])), torch.rand(5, 2, dtype=torch.float64)
    plain = soft.penalty(network, x, network(x))
    compiled = torch.compile(lambda p: soft.penalty(network, p, network(p)), backend="aot_eager")(x)
    parts = [torch.autograd.grad(one, list(network.parameters())[:3]) for one in (plain, compiled)]
    torch.testing.assert_close(compiled, plain)
    for one, two in zip(*parts, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("outputs", [None, [3], [4, 0]])
@pytest.mark.parametrize("draws", [None, 1, 3])
def test_slopes_are_those_of_the_jacobian_at_each_point(draws, outputs):
    """Several points a sample, and another number of outputs: rows are points, then outputs, then inputs."""
    net = network(activation=nn.Tanh, outputs=5).double()
    options = {} if draws is None else {"region": REGION, "draws": draws}
    rule = MonotoneIn([2, 0], decreasing=True, outputs=outputs, **options)
    points = rule.points(torch.randn(4, 3, dtype=torch.float64)).requires_grad_()
    chosen = list(range(5)) if outputs is None else outputs
    slopes = torch.func.vmap(torch.func.jacrev(net))(points.reshape(-1, 3))[:, chosen][..., [2, 0]]
    torch.testing.assert_close(rule.quantity(net, points), -slopes.reshape(4, -1))
    limited = LipschitzIn(0.5, [2, 0], norm=1.0, outputs=outputs, **options)
    torch.testing.assert_close(limited.quantity(net, points), slopes.abs().amax(dim=-1).reshape(4, -1))


@pytest.mark.parametrize("draws", [1, 5])
@pytest.mark.parametrize("make", [MonotoneIn, ConvexIn, lambda *a, **o: LipschitzIn(1.0, *a, **o)])
def test_outputs_that_a_model_lacks_are_named(make, draws):
    net, x = network(outputs=4), torch.zeros(2, 3)
    make([0], outputs=[3], region=REGION, draws=draws).measure(net, x, net(x))
    with pytest.raises(ShapeError, match="speaks of output 4, but the model has only 4"):
        make([0], outputs=[4], region=REGION, draws=draws).measure(net, x, net(x))
    with pytest.raises(ShapeError, match="speaks of input 3, but the model has only 3"):
        make([3], region=REGION, draws=draws).measure(net, x, net(x))
