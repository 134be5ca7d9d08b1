"""What is deployed decodes."""

import pytest
import torch
from torch import nn

from constraints import (
    Bounds,
    Decode,
    DecodedNetwork,
    FixedSum,
    Hard,
    Soft,
    SpecificationError,
    Transition,
    UnsupportedError,
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
