"""What is deployed decodes."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from constraints import (
    Bounds,
    Decode,
    DecodedNetwork,
    FixedSum,
    Hard,
    MonotoneIn,
    Soft,
    SpecificationError,
    Transition,
    UnsupportedError,
    join,
)
from dkmodels import RegressionModule


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_deployed_network_obeys_where_the_module_does_not(dtype):
    torch.manual_seed(0)
    rules = {"shares": Decode(FixedSum()), "cap": Soft(Bounds(high=9.0))}
    module = RegressionModule(nn.Linear(4, 3), rules).to(dtype)
    x = 3.0 * torch.randn(8, 4, dtype=dtype)
    rule = rules["shares"].rule
    assert float(rule.measure(module, x, module(x)).max()) > 0.1
    deployed = DecodedNetwork(module.network, module.embeddings())
    assert float(rule.measure(deployed, x, deployed(x)).max()) < 1e-5
    assert torch.equal(deployed(x), module.predict_step(x))
    exported = torch.export.export(deployed, (x,)).module()
    torch.testing.assert_close(exported(x), deployed(x))


class Still(Transition):
    """Nothing changes."""

    def initial(self, *args):
        raise NotImplementedError

    advance = labels = successors = initial


def test_sequential_rules_are_refused_by_name():
    step = Decode.__new__(Decode)
    nn.Module.__init__(step)
    step.__dict__["rule"] = Still.__new__(Still)
    with pytest.raises(UnsupportedError, match="sequential rule `moves`"):
        DecodedNetwork(nn.Identity(), {"moves": step})


def test_a_rule_without_an_embedding_is_refused():
    with pytest.raises(SpecificationError, match=r"needs embeddings, such as Decode\(rule\), got FixedSum for `sum`"):
        DecodedNetwork(nn.Identity(), {"sum": FixedSum(1.0)})


@pytest.mark.parametrize("embeddings", [{}, {"sum": Hard(FixedSum(1.0))}], ids=["none", "hard"])
def test_nothing_to_decode_is_refused(embeddings):
    with pytest.raises(SpecificationError, match=r"needs a Decode rule, got (no rules|Hard of `sum`)"):
        DecodedNetwork(nn.Identity(), embeddings)


SHAPE = {
    "m": lambda: Hard(MonotoneIn([0])),
    "sum": lambda: Hard(FixedSum(outputs=[0, 1])),
}


@pytest.mark.parametrize("name", list(SHAPE))
def test_a_hard_rule_that_the_network_does_not_hold_is_refused(name):
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))
    embeddings = {name: SHAPE[name](), "b": Decode(Bounds(low=0.0, high=1.0, outputs=[2]))}
    with pytest.raises(UnsupportedError, match=rf"holds the hard rule `{name}`, got `Sequential`, .*`module.network`"):
        DecodedNetwork(network, embeddings, outputs=3)
    joined = join(network, embeddings, outputs=3)
    x = torch.randn(5, 2)
    for held in (joined, copy.deepcopy(joined), AveragedModel(joined), torch.compile(joined)):
        DecodedNetwork(held, embeddings, outputs=3)
    answer = DecodedNetwork(joined, embeddings, outputs=3)(x)
    assert float(embeddings["b"].rule.measure(joined, x, answer).max()) == 0.0


def test_a_hard_rule_that_is_decoded_with_others_needs_no_map_before():
    both = {"sum": Hard(FixedSum()), "cap": Decode(Bounds(high=0.6))}
    y = DecodedNetwork(nn.Identity(), both, outputs=3)(torch.tensor([[0.8, 0.1, 0.1]]))
    torch.testing.assert_close(y, torch.tensor([[0.6, 0.2, 0.2]]))


def test_shapes_are_held_below_the_maps_of_outputs():
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    embeddings = {
        "m": Hard(MonotoneIn([0])),
        "low": Hard(Bounds(low=0.0)),
        "cap": Decode(Bounds(high=1.0)),
    }
    DecodedNetwork(join(network, embeddings, outputs=1), embeddings, outputs=1)
