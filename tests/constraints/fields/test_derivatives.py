from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError, UnsupportedError
from constraints.fields import (
    Derivatives,
    DifferentialOperator,
    FourierFeatures,
    GatedNetwork,
    Jet,
    Product,
    Residual,
    Sine,
    laplacian,
    partials,
    push,
)

sys.path.insert(0, str(Path(__file__).parent))
from reference import apply, distance

ACTIVATIONS: list[Callable[[], nn.Module]] = [
    nn.Tanh,
    nn.Sigmoid,
    nn.SiLU,
    nn.GELU,
    nn.Softplus,
    lambda: nn.Softplus(beta=2.0),
    lambda: Sine(1.5),
]


@st.composite
def networks(draw: st.DrawFn, inputs: int) -> nn.Module:
    torch.manual_seed(draw(st.integers(0, 10_000)))
    width = draw(st.integers(1, 6))
    activation = st.sampled_from(ACTIVATIONS)
    layers: list[nn.Module] = []
    size = inputs
    if draw(st.booleans()):
        layers.append(FourierFeatures(inputs, width))
        size = 2 * width
    for _ in range(draw(st.integers(0, 3))):
        hidden = draw(st.integers(1, 6))
        kind = draw(st.sampled_from(["plain", "plain", "residual", "product", "gated", "bare"]))
        if kind == "plain":
            layers += [nn.Linear(size, hidden, bias=draw(st.booleans())), draw(activation)()]
        elif kind == "bare":
            layers.append(draw(activation)())
            hidden = size
        elif kind == "residual":
            layers.append(Residual(nn.Sequential(nn.Linear(size, size), draw(activation)())))
            hidden = size
        elif kind == "product":
            layers.append(
                Product(nn.Linear(size, hidden), nn.Sequential(nn.Sequential(nn.Linear(size, hidden)), nn.Tanh()))
            )
        else:
            layers.append(GatedNetwork(size, hidden, width=3, depth=2))
        size = hidden
    if draw(st.booleans()):
        layers.append(nn.Linear(size, draw(st.integers(1, 3))))
    return nn.Sequential(*layers)


@st.composite
def operators(draw: st.DrawFn, coordinates: int) -> list[DifferentialOperator]:
    letters = st.lists(st.integers(0, coordinates - 1), max_size=4)
    index = letters.map(lambda word: tuple(word.count(i) for i in range(coordinates)))
    terms = st.dictionaries(index, st.sampled_from([1.0, 2.0, -0.5, 0.3]), min_size=1, max_size=3)
    found = [DifferentialOperator(t) for t in draw(st.lists(terms, min_size=1, max_size=4))]
    return [*found, found[0] + 2.0 * found[-1]] if draw(st.booleans()) else found


def loss(values: tuple[Tensor, ...]) -> Tensor:
    """Every value with another gradient."""
    return torch.stack([(v.square() + v * math.cos(i)).sum() for i, v in enumerate(values)]).sum()


def gradients(values: tuple[Tensor, ...], network: nn.Module, points: Tensor) -> tuple[Tensor, ...]:
    given_to = [*network.parameters(), points]
    total = loss(values)
    if not total.requires_grad:
        return tuple(torch.zeros_like(p) for p in given_to)
    return torch.autograd.grad(total, given_to, allow_unused=True, materialize_grads=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_jets_equal_nested_autograd(data: st.DataObject) -> None:
    coordinates = data.draw(st.integers(1, 3))
    network = data.draw(networks(coordinates)).double()
    wanted = data.draw(operators(coordinates))
    derivatives = Derivatives(wanted)
    assert derivatives.explain(network).startswith("forward jets")
    points = torch.randn(3, coordinates, dtype=torch.float64, requires_grad=True)
    found = derivatives(network, points)
    values = network(points)
    expected = tuple(apply(dict(operator.terms), values, points) for operator in wanted)
    for one, other in zip(found, expected, strict=True):
        assert distance(one, other) < 1e-10
    pairs = zip(gradients(found, network, points), gradients(expected, network, points), strict=True)
    for one, other in pairs:
        assert distance(one, other) < 1e-10


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.atan(x)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_unknown_modules_fall_back(data: st.DataObject) -> None:
    network = nn.Sequential(nn.Linear(2, 4), Unknown(), nn.Linear(4, 2)).double()
    wanted = data.draw(operators(2))
    derivatives = Derivatives(wanted)
    assert derivatives.explain(network) == "nested autograd: `Unknown` has no jet rule"
    points = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    found = derivatives(network, points)
    values = network(points)
    expected = tuple(apply(dict(operator.terms), values, points) for operator in wanted)
    for one, other in zip(found, expected, strict=True):
        assert distance(one, other) < 1e-10
    for one, other in zip(gradients(found, network, points), gradients(expected, network, points), strict=True):
        assert distance(one, other) < 1e-10


class Plane(nn.Module):
    """A function that is known: `sin(2 x) e^t`."""

    def forward(self, points: Tensor) -> Tensor:
        return torch.sin(2.0 * points[..., :1]) * torch.exp(points[..., 1:])


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_a_known_function(dtype: torch.dtype, tolerance: float) -> None:
    """`sin(2 x) sin(3 y)` as a product of one-layer networks, against its derivatives on paper."""
    first, second = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[2.0, 0.0]]))
        second.weight.copy_(torch.tensor([[0.0, 3.0]]))
    field = Product(nn.Sequential(first, Sine()), nn.Sequential(second, Sine())).to(dtype)
    points = torch.rand(7, 2, dtype=dtype)
    x, y = points[:, :1], points[:, 1:]
    dx, dy = partials(2)
    u, mixed, harmonic, fourth = Derivatives([1.0 * dx**0, dx * dy, laplacian(2), laplacian(2) ** 2])(field, points)
    exact = torch.sin(2 * x) * torch.sin(3 * y)
    assert torch.allclose(u, exact, atol=tolerance)
    assert torch.allclose(mixed, 6 * torch.cos(2 * x) * torch.cos(3 * y), atol=tolerance)
    assert torch.allclose(harmonic, -13 * exact, atol=13 * tolerance)
    assert torch.allclose(fourth, 169 * exact, atol=169 * tolerance)


def test_a_function_that_is_no_module() -> None:
    points = torch.rand(5, 2, dtype=torch.float64)
    dx, dt = partials(2)
    u, residual = Derivatives([(0, 0), dt + 0.25 * dx**2])(Plane().forward, points)
    assert torch.allclose(u, Plane()(points))
    assert float(residual.detach().abs().max()) < 1e-12  # u_t = -u_xx / 4


class Vanishing(nn.Module):
    """Zero where the first coordinate is 0 or 1; its own rule calls the network's."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        first = x[..., :1]
        return first * (1.0 - first) * self.network(x) / (1.0 + x[..., 1:2] ** 2)

    def forward_jet(self, jet):  # type: ignore[no-untyped-def]
        first, second = jet[..., :1], jet[..., 1:2]
        return first * (1.0 - first) * push(self.network, jet) / (1.0 + second * second)


def test_a_module_that_says_its_rule() -> None:
    field = Vanishing(nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))).double()
    dx, dy = partials(2)
    wanted = [laplacian(2), dx * dy, dx**3 + dy, dx**2 * dy**2]
    points = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    derivatives = Derivatives(wanted)
    assert derivatives.explain(field) == f"forward jets of {len(derivatives.streams)} streams"
    values = field(points)
    for one, operator in zip(derivatives(field, points), wanted, strict=True):
        assert distance(one, apply(dict(operator.terms), values, points)) < 1e-10


def test_a_rule_whose_inside_has_none_falls_back() -> None:
    field = Vanishing(nn.Sequential(nn.Linear(2, 5), nn.LayerNorm(5), nn.Linear(5, 1))).double()
    derivatives = Derivatives([laplacian(2)])
    assert derivatives.explain(field).startswith("nested autograd: `LayerNorm` has no jet rule")
    points = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    (found,) = derivatives(field, points)
    assert distance(found, apply(dict(laplacian(2).terms), field(points), points)) < 1e-10


def test_hooks_and_overridden_layers_have_no_rule() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2.0 * super().forward(x)

    hooked = nn.Sequential(nn.Linear(1, 3), nn.Tanh())
    hooked[1].register_forward_hook(lambda module, given_to, output: 3.0 * output)
    (dx,) = partials(1)
    for network in (hooked, nn.Sequential(Doubled(1, 3), nn.Tanh())):
        points = torch.rand(4, 1, requires_grad=True)
        derivatives = Derivatives([dx])
        assert derivatives.explain(network).startswith("nested autograd")
        (found,) = derivatives(network, points)
        assert distance(found, apply({(1,): 1.0}, network(points), points)) < 1e-5


def test_dropout_is_passed_where_it_does_nothing() -> None:
    network = nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Dropout(0.5), nn.Linear(3, 1))
    derivatives = Derivatives([(2,)])
    assert derivatives.explain(network).startswith("nested")
    assert derivatives.explain(network.eval()).startswith("forward jets")


def test_parametrised_weights_are_read() -> None:
    network = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)), nn.Tanh(), nn.Linear(3, 1)).double()
    derivatives = Derivatives([laplacian(2)])
    assert derivatives.explain(network).startswith("forward jets")
    points = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    found, expected = derivatives(network, points), (apply(dict(laplacian(2).terms), network(points), points),)
    for one, other in zip(gradients(found, network, points), gradients(expected, network, points), strict=True):
        assert distance(one, other) < 1e-10


@pytest.mark.parametrize("shape", [(2,), (0, 2), (3, 4, 2)])
def test_batches_keep_their_shape(shape: tuple[int, ...]) -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3))
    for net in (network, nn.Sequential(network, Unknown())):
        u, lap = Derivatives([(0, 0), laplacian(2)])(net, torch.rand(shape))
        assert u.shape == lap.shape == (*shape[:-1], 3)


@pytest.mark.parametrize("dimension", [10, 50])
def test_laplacian_in_many_dimensions(dimension: int) -> None:
    network = nn.Sequential(nn.Linear(dimension, 6), nn.Tanh(), nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 1)).double()
    derivatives = Derivatives([laplacian(dimension)])
    assert len(derivatives.streams) == dimension + 2
    for batch in (3, 1000):  # sums of squares are taken in two ways
        points = torch.rand(batch, dimension, dtype=torch.float64, requires_grad=True)
        found = derivatives(network, points)
        expected = (apply(dict(laplacian(dimension).terms), network(points), points),)
        assert distance(found[0], expected[0]) < 1e-10
        for one, other in zip(gradients(found, network, points), gradients(expected, network, points), strict=True):
            assert distance(one, other) < 1e-10


def test_without_gradients_and_in_inference_mode() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    points = torch.rand(3, 2)
    derivatives = Derivatives([laplacian(2)])
    (with_graph,) = derivatives(network, points)
    with torch.no_grad():
        (without,) = derivatives(network, points)
        (fallen,) = derivatives(nn.Sequential(network, Unknown()), points)
    assert not without.requires_grad and not fallen.requires_grad
    assert torch.allclose(with_graph, without, atol=1e-5)
    with torch.inference_mode():
        assert torch.allclose(derivatives(network, points)[0], without)
        (inside,) = derivatives(nn.Sequential(network, Unknown()), points.clone())  # an inference tensor
    assert torch.equal(inside, fallen) and inside.abs().max() > 1e-4


def test_autocast_is_off_inside() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    points = torch.rand(3, 2)
    derivatives = Derivatives([laplacian(2)])
    (expected,) = derivatives(network, points)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = derivatives(network, points)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_can_be_differentiated_again() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3), nn.SiLU(), nn.Linear(3, 1)).double()
    points = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    weight = network[2].weight

    def penalty(value: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(value.square().sum(), weight, create_graph=True)
        return slope.square().sum()

    found = gradients((penalty(Derivatives([laplacian(2)])(network, points)[0])[None],), network, points)
    value = apply(dict(laplacian(2).terms), network(points), points)
    for one, other in zip(found, gradients((penalty(value)[None],), network, points), strict=True):
        assert distance(one, other) < 1e-10


def test_frozen_layers_and_points() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    network[0].requires_grad_(False)
    network[2].weight.requires_grad_(False)
    points = torch.rand(3, 2, dtype=torch.float64)
    (found,) = Derivatives([laplacian(2)])(network, points)
    again = points.clone().requires_grad_()
    value = apply(dict(laplacian(2).terms), network(again), again)
    trained = [p for p in network.parameters() if p.requires_grad]
    pairs = zip(
        torch.autograd.grad(found.square().sum(), trained, materialize_grads=True, allow_unused=True),
        torch.autograd.grad(value.square().sum(), trained, materialize_grads=True, allow_unused=True),
        strict=True,
    )
    for one, other in pairs:
        assert distance(one, other) < 1e-10


def test_refusals() -> None:
    dx, dy = partials(2)
    network = nn.Linear(2, 1)
    with pytest.raises(SpecificationError, match="order <= 4, got order 5"):
        Derivatives([dx**3 * dy**2])
    with pytest.raises(SpecificationError, match="at least one operator"):
        Derivatives([])
    with pytest.raises(SpecificationError, match="as many coordinates"):
        Derivatives([(1, 0), (1,)])
    with pytest.raises(SpecificationError, match="multi-indices"):
        Derivatives([2])  # type: ignore[list-item]
    with pytest.raises(SpecificationError, match=r"floating-point, got torch\.int64"):
        Derivatives([dx])(network, torch.ones(3, 2, dtype=torch.long))
    with pytest.raises(ShapeError, match=r"points \(\*batch, 2\), got shape \(3, 1\)"):
        Derivatives([dx])(network, torch.ones(3, 1))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.Hardtanh, nn.SELU, lambda: nn.ELU(alpha=0.5)])
def test_kinks_are_refused_above_first_order(activation: Callable[[], nn.Module]) -> None:
    network = nn.Sequential(nn.Linear(2, 4), activation(), nn.Linear(4, 1))
    points = torch.rand(3, 2, requires_grad=True)
    (first,) = Derivatives([(1, 0)])(network, points)
    assert distance(first, apply({(1, 0): 1.0}, network(points), points)) < 1e-5
    with pytest.raises(UnsupportedError, match="mean nothing above order 1"):
        Derivatives([laplacian(2)])(network, points)


def test_under_compile() -> None:
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    derivatives = Derivatives([(0, 0), laplacian(2)])
    points = torch.rand(16, 2, dtype=torch.float64)

    def step(where: Tensor) -> Tensor:
        return loss(derivatives(network, where))

    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
    parameters = list(network.parameters())
    found = torch.autograd.grad(compiled(points), parameters, allow_unused=True, materialize_grads=True)
    expected = torch.autograd.grad(step(points), parameters, allow_unused=True, materialize_grads=True)
    for one, other in zip(found, expected, strict=True):
        assert distance(one, other) < 1e-10


def test_compiled_one_after_another_they_keep_the_value():
    """Without a reset: torch.compile takes places that differ between calls for symbols."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    p = torch.rand(4, 2, dtype=torch.float64)
    for wanted in ([laplacian(2)], [(0, 0), laplacian(2)], [(0, 0), (1, 0), (0, 1)]):
        derivatives = Derivatives(wanted)
        plain = derivatives(network, p)
        for one, two in zip(torch.compile(derivatives, backend="eager")(network, p), plain, strict=True):
            torch.testing.assert_close(one, two)


class Wave(nn.Module):
    """A field that jets cannot pass."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1).double()

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.linear(x))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_nested_derivatives_are_kept_out_of_compiled_graphs(backend):
    """torch.compile may lose derivatives of derivatives: they run outside the graph, and whole graphs are refused."""
    torch._dynamo.reset()
    network, derivatives = Wave(), Derivatives([(0,), (2,)])
    p = torch.rand(4, 1, dtype=torch.float64)
    value, second = torch.compile(lambda x: derivatives(network, x), backend=backend)(p)
    torch.testing.assert_close(second, -(network.linear.weight**2) * value)
    with pytest.raises(Exception, match="nested_derivatives"):
        torch.compile(lambda x: derivatives(network, x), backend=backend, fullgraph=True)(p)


def test_jets_of_points_know_their_slopes():
    streams = Derivatives([laplacian(2)]).streams
    jet = Jet.of_points(streams, torch.rand(3, 2))
    assert jet.unit
    changed = [jet + 1.0, jet * 2.0, -jet, jet[..., [1, 0]], jet + jet, Jet.concatenate([jet, jet]), jet.dense()]
    changed += [jet.linear(2.0 * torch.eye(2)), jet * jet]
    assert not any(one.unit for one in changed)
