"""Architectures keep their shape whatever the weights are, near and far, before and after training."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from constraints import (
    ConvexNetwork,
    GroupSort,
    NormalisedNetwork,
    Shape,
    ShapedModule,
    ShapedNetwork,
    ShapeError,
    SpecificationError,
    UnsupportedError,
)

DTYPES = [torch.float32, torch.float64]
SCALES = (0.1, 3.0, 300.0)


def chain(activation, inputs=3, width=16, outputs=2):
    return nn.Sequential(
        nn.Linear(inputs, width), activation, nn.Linear(width, width), activation, nn.Linear(width, outputs)
    )


NETWORKS = {
    "monotone": lambda: ShapedNetwork(3, 2, [16, 16], increasing=[0], decreasing=[2]),
    "monotone in all": lambda: ShapedNetwork(3, 1, [8, 16], increasing=[0, 1], decreasing=[2]),
    "convex": lambda: ShapedNetwork(3, 2, [16, 16], convex=[0, 1]),
    "convex in all": lambda: ShapedNetwork(3, 1, [16, 8], convex=[0, 1, 2]),
    "convex and monotone": lambda: ShapedNetwork(3, 2, [16, 16], convex=[0], increasing=[0, 1]),
    "concave, falling, beside monotone": lambda: ShapedNetwork(3, 2, [8, 8, 8], concave=[0], decreasing=[0, 1]),
    "one hidden layer": lambda: ShapedNetwork(3, 1, [16], concave=[1, 2], increasing=[1]),
    "wrapped, monotone": lambda: NormalisedNetwork(chain(GroupSort()), increasing=[0], decreasing=[2]),
    "wrapped, monotone, tanh": lambda: NormalisedNetwork(chain(nn.Tanh()), increasing=[0, 1, 2]),
    "wrapped, Lipschitz 1": lambda: NormalisedNetwork(chain(GroupSort()), limited=[0, 1], bound=2.0, norm=1.0),
    "wrapped, Lipschitz 2": lambda: NormalisedNetwork(chain(nn.ReLU()), limited=[0, 2], bound=0.5, norm=2.0),
    "wrapped, Lipschitz inf": lambda: NormalisedNetwork(
        chain(GroupSort()), limited=[0, 1, 2], bound=3.0, norm=math.inf
    ),
    "wrapped, both": lambda: NormalisedNetwork(
        chain(GroupSort()), increasing=[0, 2], decreasing=[1], limited=[0, 1], bound=2.0
    ),
    "one layer": lambda: NormalisedNetwork(nn.Linear(3, 2), decreasing=[1], limited=[0, 1, 2], bound=1.0),
    "convex chain": lambda: ConvexNetwork(chain(nn.ReLU())),
    "concave chain": lambda: ConvexNetwork(chain(nn.Softplus()), concave=True),
}


def trained(network, steps=15):
    """Pulled towards noise, so that every rule is under pressure."""
    dtype = next(network.parameters()).dtype
    x, y = torch.randn(64, 3, dtype=dtype), 10.0 * torch.randn(64, network.shape.outputs, dtype=dtype)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(network(x), y).backward()
        optimizer.step()
    return network


def assert_shape(network, dtype):
    """Differences, which know nothing of how the network is built, at random points near and far."""
    shape = network.shape
    eps = torch.finfo(dtype).eps
    for scale in SCALES:
        x = scale * torch.randn(400, shape.inputs, dtype=dtype)
        step = scale * torch.rand(400, shape.inputs, dtype=dtype)
        with torch.no_grad():
            y = network(x)
            for signed, columns in ((1.0, shape.increasing), (-1.0, shape.decreasing)):
                for i in columns:
                    moved = x.clone()
                    moved[:, i] += step[:, i]
                    rise = signed * (network(moved) - y)
                    assert (rise >= -200 * eps * (1 + y.abs())).all(), (scale, i, float(rise.min()))
            for signed, columns in ((1.0, shape.convex), (-1.0, shape.concave)):
                if columns:
                    other = x.clone()
                    other[:, sorted(columns)] += 2.0 * torch.randn_like(step)[:, sorted(columns)] * scale
                    ends = network(other)
                    for t in (0.5, 0.1):
                        middle = network(t * other + (1 - t) * x)
                        gap = signed * (t * ends + (1 - t) * y - middle)
                        size = 1 + y.abs() + ends.abs() + middle.abs()
                        assert (gap >= -200 * eps * size).all(), (scale, t, float(gap.min()))
            if shape.limited:
                columns = sorted(shape.limited)
                moved = x.clone()
                moved[:, columns] += step[:, columns] * torch.randn(400, 1, dtype=dtype)
                change = (network(moved) - y).abs()
                way = torch.linalg.vector_norm(moved - x, ord=shape.norm, dim=-1, keepdim=True)
                assert (change <= shape.bound * way + 200 * eps * (1 + y.abs())).all(), float((change / way).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_shape_holds_at_random_weights_and_under_training(name, dtype):
    for seed in range(3):
        torch.manual_seed(seed)
        network = NETWORKS[name]().to(dtype)
        assert_shape(network, dtype)
        assert_shape(trained(network), dtype)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_weights_will_do(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().double()
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(3.0 * torch.randn_like(p))
    assert_shape(network, torch.float64)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns_and_copies_agree(name):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    x = torch.randn(64, 3)
    y = network(x)
    (y.square().sum() + y.sum()).backward()
    dead = [n for n, p in network.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())]
    assert not dead
    assert all(bool((p.grad != 0).any()) for p in network.parameters())
    other = NETWORKS[name]()
    other.load_state_dict(network.state_dict())
    for twin in (other, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(twin(x), y)
        assert twin.shape == network.shape
    assert torch.allclose(network(x[:, None])[:, 0], y, atol=1e-6)
    assert network(x[:0]).shape == (0, network.shape.outputs)


def test_the_users_layers_are_used_and_not_changed():
    network = chain(GroupSort())
    before = copy.deepcopy(network.state_dict())
    wrapped = NormalisedNetwork(network, increasing=[0])
    wrapped(torch.randn(5, 3))
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert {id(p) for p in network.parameters()} < {id(p) for p in wrapped.parameters()}


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ({"increasing": [0]}, lambda a, b: a**3 * (1 + torch.sin(2 * b) ** 2)),
        ({"increasing": [0], "decreasing": [1]}, lambda a, b: torch.tanh(3 * (a - b)) + 3 * torch.relu(a - 1)),
        ({"convex": [0]}, lambda a, b: a**2 * (1.2 + torch.sin(3 * b))),
        ({"convex": [0, 1]}, lambda a, b: a**2 + b**2 + torch.maximum(a.abs(), b.abs())),
        ({"concave": [0], "increasing": [0]}, lambda a, b: -torch.exp(-a) + torch.cos(2 * b)),
        ({"convex": [0], "increasing": [1]}, lambda a, b: 2 * a.abs() + torch.tanh(3 * b)),
    ],
)
def test_it_fits_what_has_its_shape(shape, target):
    torch.manual_seed(0)
    x = torch.rand(512, 2) * 4 - 2
    y = target(x[:, :1], x[:, 1:])
    network = ShapedNetwork(2, 1, [24, 24], **shape)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(500):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(x), y)
        loss.backward()
        optimizer.step()
    assert loss < 0.01 * y.var()


def test_a_wrap_with_group_sort_fits_a_monotone_function_and_relu_less_well():
    x = torch.rand(512, 2, generator=torch.Generator().manual_seed(0)) * 4 - 2
    y = torch.tanh(4 * x[:, :1]) + torch.sin(3 * x[:, 1:])
    left = {}
    for activation in (GroupSort(), nn.ReLU()):
        torch.manual_seed(0)
        network = NormalisedNetwork(chain(activation, 2, 24, 1), increasing=[0])
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(500):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(network(x), y)
            loss.backward()
            optimizer.step()
        left[type(activation)] = float(loss.detach() / y.var())
    assert left[GroupSort] < 0.02
    assert left[GroupSort] < left[nn.ReLU]


def test_a_limit_is_reached_in_every_norm():
    for norm in (1.0, 2.0, math.inf):
        network = NormalisedNetwork(nn.Linear(2, 1), limited=[0, 1], bound=3.0, norm=norm)
        nn.init.constant_(network.network.weight, 7.0)
        x = torch.zeros(1, 2, requires_grad=True)
        (slope,) = torch.autograd.grad(network(x).sum(), x)
        q = {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[norm]
        assert float(torch.linalg.vector_norm(slope, ord=q)) == pytest.approx(3.0, rel=1e-5)


@pytest.mark.parametrize("limits", [{}, {"limited": [0, 1], "bound": 3.0}, {"limited": [0, 1, 2], "bound": 3.0}])
def test_monotone_inputs_can_all_be_without_influence_at_once(limits):
    network = NormalisedNetwork(nn.Linear(3, 1), increasing=[0], decreasing=[1], **limits)
    with torch.no_grad():
        network.network.weight.copy_(torch.tensor([[-5.0, 5.0, 0.0]]))
    x = torch.zeros(1, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(network(x).sum(), x)
    torch.testing.assert_close(slope, torch.zeros(1, 3), atol=1e-5, rtol=0.0)


def test_other_inputs_are_not_limited():
    network = NormalisedNetwork(nn.Linear(2, 1), limited=[0], bound=1.0)
    nn.init.constant_(network.network.weight, 7.0)
    x = torch.zeros(1, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(network(x).sum(), x)
    torch.testing.assert_close(slope, torch.tensor([[1.0, 7.0]]))


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1)],
        [nn.Linear(3, 4), nn.SELU(), nn.Linear(4, 1)],
        [nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)],
        [nn.Linear(3, 4), nn.Dropout(), nn.Linear(4, 1)],
        [nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1)],
        [nn.Linear(3, 4), nn.LeakyReLU(-2.0), nn.Linear(4, 1)],
        [nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 1)],
        [nn.ReLU(), nn.Linear(3, 1)],
        [],
    ],
)
def test_what_cannot_be_limited_is_refused(layers):
    with pytest.raises(UnsupportedError, match="can only be wrapped"):
        NormalisedNetwork(nn.Sequential(*layers), increasing=[0])
    with pytest.raises(UnsupportedError, match="can only be wrapped"):
        ConvexNetwork(nn.Sequential(*layers))


def test_further_refusals():
    with pytest.raises(UnsupportedError, match="Tanh"):
        ConvexNetwork(chain(nn.Tanh()))
    with pytest.raises(UnsupportedError, match="end with"):
        NormalisedNetwork(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), increasing=[0])
    hooked = nn.Linear(3, 1)
    hooked.register_forward_hook(lambda module, args, output: -output)
    with pytest.raises(UnsupportedError, match="hooks"):
        NormalisedNetwork(hooked, increasing=[0])
    with pytest.raises(SpecificationError, match="needs inputs that are"):
        NormalisedNetwork(nn.Linear(3, 1))
    with pytest.raises(UnsupportedError, match="convex or concave"):
        ShapedNetwork(3, 1, [8], convex=[0], concave=[1])
    with pytest.raises(SpecificationError, match="got none"):
        ShapedNetwork(3, 1, [8])
    with pytest.raises(SpecificationError, match="even widths"):
        ShapedNetwork(3, 1, [7], increasing=[0])
    with pytest.raises(SpecificationError, match="even widths"):
        ShapedNetwork(3, 1, [], increasing=[0])
    with pytest.raises(ShapeError, match=r"\(\*batch, 3\)"):
        ShapedNetwork(3, 1, [8], increasing=[0])(torch.zeros(2, 4))
    with pytest.raises(SpecificationError, match="size >= 2"):
        GroupSort(1)
    with pytest.raises(ShapeError, match="multiple of 2"):
        GroupSort()(torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"increasing": {3}}, "columns from 0 to 2"),
        ({"increasing": {0}, "decreasing": {0}}, "increasing or decreasing"),
        ({"convex": {0}, "concave": {0}}, "convex or concave"),
        ({"limited": {0}}, "finite bound"),
        ({"bound": 1.0}, "finite bound"),
        ({"limited": {0}, "bound": -1.0}, "finite bound"),
        ({"limited": {0}, "bound": 1.0, "norm": 3.0}, "norm of 1, 2 or inf"),
        ({"outputs": 0}, "outputs >= 1"),
    ],
)
def test_shapes_that_make_no_sense(arguments, text):
    with pytest.raises(SpecificationError, match=text):
        Shape(**{"inputs": 3, "outputs": 1} | arguments)


@pytest.mark.parametrize("size", [2, 3])
def test_group_sort_only_permutes(size):
    x = torch.randn(5, 12)
    y = GroupSort(size)(x)
    assert torch.equal(y.sort(dim=-1).values, x.sort(dim=-1).values)
    assert (y.unflatten(-1, (-1, size)).diff(dim=-1) >= 0).all()


class Claim(ShapedModule):
    """An ordinary network that says of itself what is not true."""

    def __init__(self, **columns):
        super().__init__()
        self.network = chain(nn.ReLU(), outputs=1)
        self.claimed = Shape(inputs=3, outputs=1, **columns)

    @property
    def shape(self):
        return self.claimed

    def forward(self, x):
        return self.network(x)


@pytest.mark.parametrize(
    "claim",
    [{"increasing": {0}}, {"decreasing": {1}}, {"convex": {0, 1}}, {"concave": {2}}, {"limited": {0}, "bound": 0.01}],
)
def test_the_checks_of_this_file_find_a_false_claim(claim):
    torch.manual_seed(0)
    with pytest.raises(AssertionError):
        assert_shape(Claim(**claim), torch.float32)


class Named(nn.Sequential):
    """A subclass that acts as its base does."""

    def __init__(self):
        super().__init__(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))


class Changed(Named):
    def forward(self, x):
        return super().forward(-x)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: NormalisedNetwork(network, increasing=[0]),
        lambda network: NormalisedNetwork(network, limited=[0, 1], bound=1.0),
        lambda network: ConvexNetwork(network),
    ],
)
def test_subclasses_of_sequential_are_read_where_their_forward_is_its_own(wrap):
    network = Named()
    plain = nn.Sequential(*network)
    x = torch.randn(5, 2)
    assert torch.equal(wrap(network)(x), wrap(plain)(x))
    assert torch.isfinite(wrap(nn.Sequential(nn.Linear(2, 2), Named()))(x)).all()
    with pytest.raises(UnsupportedError, match="Changed"):
        wrap(Changed())
