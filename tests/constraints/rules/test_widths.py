"""Names stand for columns: a tensor with others is refused at the first pass, with names and shapes."""

import pytest
import torch
from sympy import Eq, Function, symbols
from torch import nn

from constraints import (
    Decode,
    DecodedNetwork,
    Hard,
    Invariance,
    MonotoneIn,
    ShapeError,
    Soft,
    SpecificationError,
    declare,
    join,
)
from constraints.networks import Permutations, column_shifts
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


@pytest.mark.parametrize("names", [["a", "b", "b"], ["a", "b", "c", "a"], "abc"])
def test_names_are_distinct(names):
    told = "distinct names" if isinstance(names, list) else "a list of names"
    one = declare(Eq(A + B, X), outputs=[A, B], inputs=[X])
    for bind in (
        lambda: RegressionModule(nn.Linear(2, len(names)), outputs=names),
        lambda: RegressionModule(nn.Linear(len(names), 3), inputs=names),
        lambda: one.bind(names),
        lambda: one.bind_inputs(names),
        lambda: Bounds(low=0.0).bind(names),
        lambda: MonotoneIn(["a"]).bind_inputs(names),
    ):
        with pytest.raises(SpecificationError, match=told):
            bind()
    if isinstance(names, list):
        with pytest.raises(SpecificationError, match="distinct"):
            declare(A <= 1, outputs=symbols(names))


class Squeezed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return self.layer(x).squeeze(-1)


def test_squeezed_outputs_of_as_many_samples_are_refused():
    network, x = Squeezed(), torch.rand(3, 2)
    told = r"3 outputs \['a', 'b', 'c'\] along the last dimension.*got shape \(3,\) for inputs of shape \(3, 2\)"
    for model in (
        lambda: join(network, {"s": Hard(shares())}, outputs=3)(x),
        lambda: Soft(shares()).penalty(network, x, network(x)),
        lambda: shares().measure(network, x, network(x)),
        lambda: DecodedNetwork(network, {"s": Decode(shares())})(x),
        lambda: RegressionModule(network, {"s": Soft(fresh())}, outputs=NAMES)(x),
        lambda: RegressionModule(network, {"s": Hard(fresh())}, outputs=NAMES)(x),
        lambda: RegressionModule(network, outputs=NAMES)(x),
    ):
        with pytest.raises(ShapeError, match=told):
            model()
    with pytest.raises(ShapeError, match=r"must not squeeze"):
        Bounds(low=0.0).measure(network, x, network(x))
    torch.testing.assert_close(shares().enforce(torch.zeros(3), torch.zeros(2)), torch.full((3,), 1 / 3))  # no batch


class Several(nn.Module):
    def __init__(self, as_mapping):
        super().__init__()
        self.layer, self.as_mapping = nn.Linear(2, 3), as_mapping

    def forward(self, x):
        y = self.layer(x)
        return {"mean": y, "state": None} if self.as_mapping else (y, y)


@pytest.mark.parametrize("as_mapping", [False, True])
def test_networks_give_one_tensor(as_mapping):
    network, x = Several(as_mapping), torch.rand(7, 2)
    got = (
        r"dict of 'mean': Tensor \(\d+, 3\), 'state': NoneType" if as_mapping else r"tuple of Tensor \(\d+, 3\), Tensor"
    )
    for model in (
        lambda: join(network, {"s": Hard(shares())}, outputs=3)(x),
        lambda: join(network, {"s": Hard(Invariance(column_shifts(2)))})(x),
        lambda: join(network, {"s": Hard(Invariance(Permutations(2)))})(x),
        lambda: Soft(shares()).penalty(network, x, network(x)),
        lambda: Soft(MonotoneIn([0])).penalty(network, x, x),
        lambda: shares().measure(network, x, network(x)),
        lambda: shares().evaluate(network, x, network(x)),
        lambda: shares().enforce(network(x), x),
        lambda: DecodedNetwork(network, {"s": Decode(shares())})(x),
        lambda: RegressionModule(network, {"s": Soft(fresh())}, outputs=NAMES)(x),
        lambda: RegressionModule(network)(x),
    ):
        with pytest.raises(SpecificationError, match=rf"gives one tensor, \(\*batch, n\), got {got}"):
            model()


def test_fields_are_the_outputs():
    x = symbols("x")
    u, v = (Function(n)(x) for n in ("u", "v"))
    rule = declare(Eq(u.diff(x), v), fields=[u, v])
    with pytest.raises(ShapeError, match="2 fields"):
        rule.measure(nn.Linear(1, 3), torch.rand(5, 1), torch.rand(5, 3))
    with pytest.raises(ShapeError, match="2 fields"):
        rule.measure(nn.Linear(1, 1), torch.rand(5, 1), torch.rand(5, 1))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return self.layer(x), self.layer(x)


CX, CT = symbols("x t")
HELD = Function("u")(CX, CT)


@pytest.mark.parametrize(
    "condition",
    [
        Eq(HELD.subs(CX, 0), 1),
        Eq(HELD.diff(CX).subs(CX, 0), 0),
        Eq(HELD.subs(CX, -CX), HELD),
        Eq(HELD.subs(CX, 0), HELD.subs(CX, 1)),
    ],
    ids=str,
)
def test_networks_under_hard_conditions_give_one_tensor_of_rows(condition):
    held = Hard(declare(condition, fields=[HELD], domain={CX: (0, 1), CT: (0, 1)}))
    with pytest.raises(SpecificationError, match=r"one tensor, .* got tuple of Tensor \(3, 1\), Tensor \(3, 1\)"):
        join(Pair(), {"held": held})(torch.rand(3, 2))
    with pytest.raises(ShapeError, match=r"needs outputs \(3, n\) of points \(3, 2\), got shape \(3,\)"):
        join(nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)), {"held": held})(torch.rand(3, 2))
