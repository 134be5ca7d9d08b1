from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from constraints.fields import Derivatives, Product, laplacian, partials
from constraints.fields.rotation import alike, turned_operators

sys.path.insert(0, str(Path(__file__).parent))
from reference import apply, distance

SPACE = sum((d**2 for d in partials(6)[1:5]), partials(6)[0] ** 2)
TIME = partials(6)[5]


def network(width: int, *, bias: bool = True) -> nn.Module:
    torch.manual_seed(width)
    return nn.Sequential(
        nn.Linear(6, width, bias=bias), nn.Tanh(), nn.Linear(width, 4), nn.GELU(), nn.Linear(4, 2)
    ).double()


def gradients(values: tuple[Tensor, ...], net: nn.Module, points: Tensor) -> list[Tensor]:
    loss = torch.stack([(value.square() * (i + 1)).sum() for i, value in enumerate(values)]).sum()
    return list(torch.autograd.grad(loss, [*net.parameters(), points], create_graph=True))


def test_equal_to_nested_autograd_also_when_differentiated_again() -> None:
    wanted = [TIME - 0.3 * SPACE, TIME**2, TIME**0]
    derivatives = Derivatives(wanted)
    for width, bias in ((3, True), (2, False)):
        net = network(width, bias=bias)
        assert derivatives.explain(net) == f"forward jets of {3 + width + 1} streams"  # value, t, tt, and the heat
        points = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
        found = derivatives(net, points)
        values = net(points)
        expected = tuple(apply(dict(operator.terms), values, points) for operator in wanted)
        ours, theirs = gradients(found, net, points), gradients(expected, net, points)
        again = [
            torch.autograd.grad(sum(g.square().sum() for g in one), list(net.parameters())) for one in (ours, theirs)
        ]
        pairs = [*zip(found, expected, strict=True), *zip(ours, theirs, strict=True), *zip(*again, strict=True)]
        assert max(distance(one, other) for one, other in pairs) < 1e-10


def test_a_layer_whose_rows_depend_on_each_other() -> None:
    net = network(3)
    with torch.no_grad():
        net[0].weight[1] = 2.0 * net[0].weight[0]
        net[0].weight[2] = 0.0
    points = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    (found,) = Derivatives([SPACE])(net, points)
    expected = apply(dict(SPACE.terms), net(points), points)
    assert distance(found, expected) < 1e-10
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), list(net.parameters())[:-1]),
        torch.autograd.grad(expected.square().sum(), list(net.parameters())[:-1]),
        strict=True,
    ):
        assert distance(one, other) < 1e-10


def test_only_where_it_is_sound_and_saves() -> None:
    wide = network(5)
    assert Derivatives([SPACE]).explain(wide) == "forward jets of 7 streams"
    shared = Product(network(2), nn.Linear(6, 2).double())  # looks at the coordinates as they are
    assert Derivatives([SPACE]).explain(shared) == "forward jets of 7 streams"
    assert alike([SPACE, partials(6)[0]]) == (1, 2, 3, 4)
    assert alike([SPACE**2]) == ()
    assert alike([SPACE + TIME**2]) == (0, 1, 2, 3, 4, 5)
    assert alike([SPACE + 2.0 * TIME**2]) == (0, 1, 2, 3, 4)


def test_operators_in_new_coordinates() -> None:
    dt, da, db = partials(3)
    assert turned_operators([TIME - 0.3 * SPACE], (0, 1, 2, 3, 4), 2) == [dt - 0.3 * (da**2 + db**2)]
    assert turned_operators([laplacian(9)], range(9), 3) == [laplacian(3)]
