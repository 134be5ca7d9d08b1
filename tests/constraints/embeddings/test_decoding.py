"""Rules are decoded together: the answer obeys every Decode and every Hard rule, and is the nearest that does."""

import pytest
import torch
from scipy.optimize import minimize
from sympy import Eq, symbols
from torch import nn

from constraints import (
    AllowedClasses,
    Bounds,
    Census,
    Decode,
    DecodedNetwork,
    Decoding,
    Embedding,
    FixedSum,
    Hard,
    InfeasibleError,
    LinearEquality,
    MonotoneIn,
    OutputRule,
    Soft,
    SpecificationError,
    UnsupportedError,
    declare,
)
from constraints.sets import Box
from dkmodels import RegressionModule

A, B, C = symbols("a b c")
NAMES = ["a", "b", "c"]
DISC = {"outputs": {A: 0, B: 1}}


def nearest(y, *inequalities, equal=()):
    """The nearest point with scipy: each inequality and equality a function of the point."""
    conditions = [{"type": "ineq", "fun": one} for one in inequalities] + [{"type": "eq", "fun": one} for one in equal]
    result = minimize(lambda z: ((z - y) ** 2).sum(), y, method="SLSQP", constraints=conditions, tol=1e-12)
    return torch.from_numpy(result.x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("first", [Hard, Decode])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_answer_is_the_nearest_that_obeys_all(first, swapped, dtype):
    """Projecting on one after the other breaks the first by up to 1."""
    rules = {"sum": first(FixedSum(1.0)), "low": Decode(Bounds(low=0.2)), "pair": Soft(Bounds(high=9.0))}
    rules = dict(reversed(rules.items())) if swapped else rules
    y = torch.randn(20, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    decided = Decoding(rules, outputs=3)(y)
    assert decided.dtype == dtype
    for row, given in zip(decided.double(), y.double(), strict=True):
        expected = nearest(given.numpy(), lambda z: z - 0.2, equal=[lambda z: z.sum() - 1.0])
        torch.testing.assert_close(row, expected, rtol=0.0, atol=1e-5)


def test_a_curved_rule_is_decoded_with_a_linear_one():
    rules = {"disc": Hard(declare(A**2 + B**2 <= 1, **DISC)), "line": Decode(LinearEquality([[1.0, 1.0]], [1.2]))}
    y = torch.tensor([[2.0, -1.0], [0.5, 0.7], [-3.0, 1.0]], dtype=torch.float64)
    decided = Decoding(rules, outputs=2)(y)
    for row, given in zip(decided, y, strict=True):
        expected = nearest(given.numpy(), lambda z: 1 - (z**2).sum(), equal=[lambda z: z.sum() - 1.2])
        torch.testing.assert_close(row, expected, rtol=0.0, atol=1e-5)


def test_the_module_and_what_is_deployed_obey_all_rules():
    torch.manual_seed(0)
    rules = {
        "sum": Hard(FixedSum(outputs=NAMES)),
        "cap": Decode(Bounds(high=0.4, outputs=NAMES)),
        "apart": Decode(Bounds(low=5.0, outputs=["d"])),
    }
    module = RegressionModule(nn.Linear(2, 4), rules, outputs=[*NAMES, "d"])
    x = 3.0 * torch.randn(16, 2)
    decided = module.predict_step(x)
    for violation in module.measure(x, decided).values():
        assert float(violation.max()) < 1e-5
    assert float(module.measure(x, module(x))["cap"].max()) > 0.1
    deployed = DecodedNetwork(module.network, module.embeddings(), outputs=4)
    torch.testing.assert_close(deployed(x), decided, rtol=0.0, atol=0.0)
    exported = torch.export.export(deployed, (x,)).module()
    torch.testing.assert_close(exported(x), decided)


def test_one_rule_twice_is_that_rule():
    y = torch.randn(5, 3)
    twice = Decoding({"hard": Hard(FixedSum()), "decode": Decode(FixedSum())}, outputs=3)(y)
    torch.testing.assert_close(twice, FixedSum().enforce(y))


def test_bounds_by_the_input_are_joined():
    """A rule whose numbers come from the input, and one whose do not."""
    r = symbols("r")
    share = declare(r >= A + B + C, outputs={A: 0, B: 1, C: 2}, inputs={r: 0})
    decoding = Decoding({"share": Hard(share), "low": Decode(Bounds(low=0.1))}, outputs=3)
    x, y = torch.tensor([[0.6], [2.0]]), torch.tensor([[1.0, 0.0, -1.0], [1.0, 0.0, -1.0]])
    for row, total in zip(decoding(y, x), (0.6, 2.0), strict=True):
        expected = nearest(y[0].double().numpy(), lambda z: z - 0.1, lambda z, total=total: total - z.sum())
        torch.testing.assert_close(row, expected.float(), rtol=0.0, atol=1e-5)


def test_rules_that_contradict_each_other_are_named():
    with pytest.raises(InfeasibleError, match="no output satisfies `sum`, `low` together"):
        Decoding({"sum": Hard(FixedSum(1.0)), "low": Decode(Bounds(low=0.6))}, outputs=3)


def test_rules_without_a_joint_projection_are_refused():
    circle, line = declare(Eq(A**2 + B**2, 1), **DISC), LinearEquality([[1.0, 1.0]], [1.2])
    with pytest.raises(UnsupportedError, match="no joint projection is known for rules"):
        Decoding({"circle": Hard(circle), "line": Decode(line)}, outputs=2)


def test_the_number_of_outputs_is_asked_for_where_it_is_needed():
    rules = {"sum": Hard(FixedSum()), "low": Decode(Bounds(low=0.1))}
    with pytest.raises(SpecificationError, match="`sum`, `low` apply to all outputs, and it is not known how many"):
        Decoding(rules)
    Decoding({"low": Decode(Bounds(low=0.1))})
    module = RegressionModule(nn.Linear(2, 3), rules, outputs=NAMES)  # a module that names its outputs has said it
    x = torch.randn(4, 2)
    torch.testing.assert_close(DecodedNetwork(module.network, module.embeddings())(x), module.predict_step(x))


def test_what_an_architecture_guarantees_is_not_decoded_away():
    growing, total = Hard(MonotoneIn([0])), Decode(LinearEquality([[1.0, -1.0]], [0.0]))
    with pytest.raises(UnsupportedError, match="hard rule `growing` cannot hold beside Decode of `total`"):
        Decoding({"growing": growing, "total": total}, outputs=2)
    Decoding({"growing": growing, "low": Decode(Bounds(low=0.0))}, outputs=2)


def test_counts_are_decoded_after_masks_and_one_at_a_time():
    masked = AllowedClasses(torch.tensor([[True, True, False], [True, True, True], [True, True, True]]))
    one, two = Census.exactly_one(of=[2], classes=3), Census.exactly_one(of=[1], classes=3)
    logits = torch.tensor([[[0.0, 1.0, 9.0], [3.0, 2.0, 1.0], [3.0, 2.0, 2.5]]])
    decoding = Decoding({"mask": Hard(masked), "one": Decode(one)})
    assert decoding(masked.enforce(logits)).argmax(dim=-1).tolist() == [[1, 0, 2]]
    with pytest.raises(UnsupportedError, match="no joint decoding is known for rules `one`, `two`"):
        Decoding({"one": Decode(one), "two": Decode(two)})


class Doubled(Embedding):
    """An embedding of a user's own that decodes."""

    decodes = True

    def decode(self, y, x=None):
        return 2.0 * y


def test_an_embedding_of_ones_own_decodes_in_its_place():
    class Whole(OutputRule):
        def __init__(self):
            super().__init__(Box(high=3.0))

    decoding = Decoding({"double": Doubled(Whole()), "cap": Decode(Whole())})
    assert decoding(torch.tensor([[1.0, 2.0]])).tolist() == [[2.0, 3.0]]
