"""Names stand for columns: a tensor with others is refused at the first pass, with names and shapes."""

import pytest
import torch
from sympy import Eq, Function, symbols
from torch import nn

from constraints import Hard, MonotoneIn, ShapeError, Soft, declare, join
from constraints.rules import Bounds
from dkmodels import RegressionModule

A, B, C, X = symbols("a b c x")
NAMES = ["a", "b", "c"]


def shares():
    rule = declare(Eq(A + B + C, 1), outputs=[A, B, C])
    rule.bind(NAMES)
    return rule


@pytest.mark.parametrize("outputs", [2, 4, 5])
def test_outputs_of_another_width(outputs):
    network = nn.Linear(2, outputs)
    told = rf"3 outputs \['a', 'b', 'c'\].*got shape \(7, {outputs}\)"
    for model in (
        lambda x: join(network, {"s": Hard(shares())}, outputs=3)(x),
        lambda x: join(network, {"s": Hard(shares())})(x),
        lambda x: Soft(shares()).penalty(network, x, network(x)),
        lambda x: shares().measure(network, x, network(x)),
        lambda x: RegressionModule(network, {"s": Soft(fresh())}, outputs=NAMES)(x),
        lambda x: RegressionModule(network, {"s": Hard(fresh())}, outputs=NAMES)(x),
        lambda x: RegressionModule(network, {"low": Hard(Bounds(low=0.0))}, outputs=NAMES)(x),
        lambda x: RegressionModule(network, outputs=NAMES)(x),
    ):
        with pytest.raises(ShapeError, match=told):
            model(torch.rand(7, 2))


def fresh():
    return declare(Eq(A + B + C, 1), outputs=[A, B, C])


def test_channels_are_no_columns():
    images = nn.Conv2d(1, 3, 1)
    with pytest.raises(ShapeError, match=r"\['a', 'b', 'c'\] along the last dimension, got shape \(2, 3, 8, 8\)"):
        join(images, {"s": Hard(shares())}, outputs=3)(torch.rand(2, 1, 8, 8))


def test_inputs_of_another_width():
    rule = declare(Eq(A + B, X), outputs={A: 0, B: 1}, inputs=[X])
    rule.bind_inputs(["x", "y"])
    with pytest.raises(ShapeError, match=r"2 inputs \['x', 'y'\].*got shape \(7, 3\)"):
        rule.enforce(torch.rand(7, 2), torch.rand(7, 3))
    growing = MonotoneIn(["x"])
    growing.bind_inputs(["x", "y"])
    with pytest.raises(ShapeError, match=r"2 inputs \['x', 'y'\].*got shape \(7, 3\)"):
        growing.measure(nn.Linear(3, 1), torch.rand(7, 3), torch.rand(7, 1))
    module = RegressionModule(nn.Linear(3, 1), inputs=["x", "y"])
    with pytest.raises(ShapeError, match=r"2 inputs \['x', 'y'\].*got shape \(7, 3\)"):
        module(torch.rand(7, 3))


def test_the_right_width_passes_along_any_batch():
    model = join(nn.Linear(2, 3), {"s": Hard(shares())}, outputs=3)
    for shape in ((7, 2), (4, 5, 2)):
        torch.testing.assert_close(model(torch.rand(shape)).sum(-1), torch.ones(shape[:-1]))


def test_fields_are_the_outputs():
    x = symbols("x")
    u, v = (Function(n)(x) for n in ("u", "v"))
    rule = declare(Eq(u.diff(x), v), fields=[u, v])
    with pytest.raises(ShapeError, match="2 fields"):
        rule.measure(nn.Linear(1, 3), torch.rand(5, 1), torch.rand(5, 3))
    with pytest.raises(ShapeError, match="2 fields"):
        rule.measure(nn.Linear(1, 1), torch.rand(5, 1), torch.rand(5, 1))
