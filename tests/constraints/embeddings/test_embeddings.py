"""Embeddings: the same rule, five strengths."""

import pytest
import sympy
import torch
from torch import nn

from constraints import (
    AllowedClasses,
    AskAll,
    AugmentedLagrangian,
    Bounds,
    Box,
    Census,
    ConstrainedNetwork,
    CountLimit,
    Decode,
    FieldRule,
    FixedSum,
    Hard,
    InfeasibleError,
    L2Ball,
    LinearEquality,
    LinearInequality,
    Monitor,
    MonotoneIn,
    OutputRule,
    Recovery,
    Soft,
    SpecificationError,
    UnsupportedError,
    absolute,
    declare,
    join,
)
from constraints.embeddings.intersection import JointRule
from constraints.testing import check_embedding, check_rule
from tests.constraints.rules.transitions import Stays


class Target(LinearEquality):
    def __init__(self):
        super().__init__([[1.0, 1.0, 1.0]])

    def target(self, x):
        return x[..., :1]


class Rising(FieldRule):
    def __init__(self):
        super().__init__(Box(low=0.0))

    def quantity(self, field, points):
        return torch.autograd.grad(field(points).sum(), points, create_graph=True)[0]


def network(outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, outputs))


X = torch.rand(8, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("embed", [Hard, Soft, AugmentedLagrangian, Decode, Monitor])
@pytest.mark.parametrize(
    "rule", [lambda: Bounds(low=0.5), FixedSum, Target, lambda: LinearEquality([[1.0, -1.0, 0.0]], [2.0])]
)
def test_laws(embed, rule):
    check_embedding(embed(rule()), network(), X)


class ClampsAll(OutputRule):
    """About column 0, and `enforce` clamps all columns."""

    def __init__(self):
        super().__init__(Box(low=0.0), outputs=[0])

    def enforce(self, y, x=None):
        return y.clamp(min=0.0)


class DecodesAll(OutputRule):
    """About column 0, and `decode` sets all columns to 0."""

    def __init__(self):
        super().__init__(Box(low=0.0), outputs=[0])

    def decode(self, y, x=None):
        return torch.zeros_like(y)


@pytest.mark.parametrize(("rule", "what"), [(ClampsAll, "enforce"), (DecodesAll, "decode")])
def test_a_map_that_moves_outputs_of_others_is_found(rule, what):
    y = network()(X) - 1.0
    with pytest.raises(AssertionError, match=rf"{what} moved outputs of others, \[1, 2\]: it speaks of \[0\]"):
        check_rule(rule(), network(), X, y)


@pytest.mark.parametrize(("rule", "embed", "what"), [(ClampsAll, Hard, "Hard, joined"), (DecodesAll, Decode, "decode")])
def test_an_embedding_that_moves_outputs_of_others_is_found(rule, embed, what):
    low = network()
    nn.init.constant_(low[-1].bias, -2.0)
    with pytest.raises(AssertionError, match=rf"{what}.* moved outputs of others, \[1, 2\]: it speaks of \[0\]"):
        check_embedding(embed(rule()), low, X)
    check_embedding(embed(Bounds(low=0.0, outputs=[0])), low, X)


@pytest.mark.parametrize("embed", [Soft, AugmentedLagrangian, Monitor])
def test_laws_of_fields(embed):
    check_embedding(embed(Rising()), network(), X)


@pytest.mark.parametrize("embed", [Soft, AugmentedLagrangian, Decode, Monitor])
def test_laws_of_cells(embed):
    net = nn.Sequential(network(20), nn.Unflatten(-1, (5, 4)))
    check_embedding(embed(Census([CountLimit((1,), 1, 1), CountLimit((0,), 3, 4)], classes=4)), net, X)
    if embed is not Decode:
        check_embedding(embed(AllowedClasses([[True, True, False, True]] * 5)), net, X)


def test_soft_is_the_mean_of_the_penalised_excess():
    rule = Bounds(low=0.0)
    y = torch.tensor([[-2.0, 1.0], [-1.0, -3.0]])
    assert float(Soft(rule, weight=0.5).penalty(nn.Identity(), y, y)) == pytest.approx(0.5 * (4 + 1 + 9) / 2)
    assert float(Soft(rule, measure=absolute).penalty(nn.Identity(), y, y)) == pytest.approx((2 + 1 + 3) / 2)


def test_the_multiplier_finds_the_lagrange_multiplier():
    """min (y1-2)^2 + (y2-1)^2 with y1+y2 = 1: lambda* = 2 by hand, and y* = (1, 0)."""
    y = nn.Parameter(torch.zeros(1, 2))
    al = AugmentedLagrangian(LinearEquality([[1.0, 1.0]], [1.0]), rho=1.0)
    seen = []
    for _ in range(12):
        optimizer = torch.optim.LBFGS([y], max_iter=50, tolerance_grad=1e-10)

        def closure(optimizer=optimizer):
            optimizer.zero_grad()
            loss = ((y - torch.tensor([2.0, 1.0])) ** 2).sum() + al.eval().penalty(nn.Identity(), y, y)
            loss.backward()
            return loss

        optimizer.step(closure)
        al.train().penalty(nn.Identity(), y, y)
        al.update()
        seen.append(float(al.multiplier))
    assert seen[0] != seen[1], "the multiplier moves"
    assert seen[-1] == pytest.approx(2.0, abs=1e-3)
    torch.testing.assert_close(y.detach(), torch.tensor([[1.0, 0.0]]), atol=1e-3, rtol=0)


def test_the_multiplier_of_an_inequality_stays_zero_where_it_is_inactive():
    al = AugmentedLagrangian(Bounds(low=0.0, high=10.0))
    y = torch.tensor([[5.0]])
    for _ in range(3):
        assert float(al.penalty(nn.Identity(), y, y)) <= 0.0
        al.update()
    assert float(al.multiplier) == 0.0
    y = torch.tensor([[12.0]])
    al.penalty(nn.Identity(), y, y)
    al.update()
    assert float(al.multiplier) > 0.0


def test_multipliers_survive_a_checkpoint():
    al = AugmentedLagrangian(Bounds(low=0.0))
    y = torch.tensor([[-1.0, -2.0, 3.0]])
    al.penalty(nn.Identity(), y, y)
    al.update()
    fresh = AugmentedLagrangian(Bounds(low=0.0))
    fresh.load_state_dict(al.state_dict())
    torch.testing.assert_close(fresh.multiplier, al.multiplier)
    assert fresh.multiplier.shape == (3,)
    al.update()  # an epoch that saw nothing changes nothing
    torch.testing.assert_close(fresh.multiplier, al.multiplier)


def test_trials_and_what_is_not_finite_do_not_move_multipliers():
    al, y = AugmentedLagrangian(Bounds(low=0.0), rho=2.0), torch.tensor([[-1.0]])
    al.penalty(nn.Identity(), y, y)
    al.repeat()
    al.penalty(nn.Identity(), 100.0 * y, 100.0 * y)
    al.penalty(nn.Identity(), torch.nan * y, torch.nan * y)
    al.penalty(nn.Identity(), 3.0 * y, 3.0 * y)
    al.update()
    assert al.multiplier.tolist() == [2.0 * (1.0 + 3.0) / 2.0]
    al.penalty(nn.Identity(), torch.nan * y, torch.nan * y)
    al.update()
    assert al.multiplier.tolist() == [4.0], "an epoch that saw nothing finite changes nothing"


def test_multipliers_go_on_within_an_epoch():
    y = torch.tensor([[-1.0, 2.0]], dtype=torch.float64)
    whole = AugmentedLagrangian(Bounds(low=0.0))
    whole.penalty(nn.Identity(), y, y)
    resumed = AugmentedLagrangian(Bounds(low=0.0))
    resumed.load_state_dict(whole.state_dict())
    for al in (whole, resumed):
        al.penalty(nn.Identity(), 3.0 * y, 3.0 * y)
        al.update()
    assert torch.equal(whole.multiplier, resumed.multiplier) and whole.multiplier.tolist() == [2.0, 0.0]
    old = {key: value for key, value in whole.state_dict().items() if key != "_extra_state"}
    assert AugmentedLagrangian(Bounds(low=0.0)).load_state_dict(old).missing_keys == []


def test_multipliers_are_no_coarser_than_residuals():
    al, y = AugmentedLagrangian(Bounds(low=0.0), growth=1.0), torch.tensor([[-1.0 - 1e-12]], dtype=torch.float64)
    al.penalty(nn.Identity(), y, y)
    al.update()
    assert al.multiplier.item() == 1.0 + 1e-12


def test_multipliers_need_one_number_of_conditions():
    al = AugmentedLagrangian(Bounds(low=0.0))
    al.penalty(nn.Identity(), X, torch.zeros(1, 3))
    with pytest.raises(SpecificationError, match="3 conditions and now has 2"):
        al.penalty(nn.Identity(), X, torch.zeros(1, 2))


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "settings",
    [
        *({"rho": value} for value in (0.0, -1.0, INF, NAN)),
        *({"rho": 2.0, "largest": value} for value in (1.0, INF, NAN)),
        *({"growth": value} for value in (0.99, INF, NAN)),
        *({"decrease": value} for value in (0.0, 1.0, -0.5, NAN)),
    ],
    ids=str,
)
def test_numbers_of_the_lagrangian_have_bounds(settings):
    with pytest.raises(SpecificationError, match="needs 0 < rho <= largest, growth >= 1 and 0 < decrease < 1, got rho"):
        AugmentedLagrangian(FixedSum(), **settings)


def test_the_weight_of_the_lagrangian_grows_while_violations_do_not_fall():
    al = AugmentedLagrangian(Bounds(low=0.0), rho=2.0, growth=2.0, decrease=0.5, largest=7.0)
    seen = []
    for size in (4.0, 2.0, 1.5, 0.7, 0.6, 0.5):  # only what is above half of the violation before makes it grow
        al.penalty(nn.Identity(), X, torch.tensor([[-size]]))
        al.update()
        seen.append(float(al.rho))
    assert seen == [2.0, 2.0, 4.0, 4.0, 7.0, 7.0]
    same = AugmentedLagrangian(FixedSum(), rho=3.0, largest=3.0, growth=1.0)
    assert same.settings() == {"growth": 1.0, "decrease": 0.9, "largest": 3.0}


@pytest.mark.parametrize("embed", [Soft, AugmentedLagrangian])
def test_no_samples_have_no_penalty(embed):
    none = torch.zeros(0, 3, requires_grad=True)
    penalty = embed(Bounds(low=0.0)).penalty(nn.Identity(), none, none)
    penalty.backward()
    assert float(penalty.detach()) == 0.0 and none.grad.shape == (0, 3)


def test_hard_hands_the_input_on():
    x, y = torch.tensor([[5.0, 0.0]]), torch.zeros(1, 3)
    torch.testing.assert_close(Hard(Target()).enforce(y, x), torch.full((1, 3), 5.0 / 3.0))
    with pytest.raises(UnsupportedError, match="rule `rises` is held by an architecture: use `join`"):
        Hard(MonotoneIn([0], name="rises")).enforce(y, x)


def test_rules_learn_from_the_model_after_a_step():
    class Learns(Bounds):
        def after_step(self, model):
            seen.append(model)

    seen, model = [], network()
    for embed in (Soft, AugmentedLagrangian, Monitor):
        embed(Learns(low=0.0)).after_step(model)
    assert seen == [model] * 3


class Cells(nn.Module):
    """Scores of cells that may be asked for some."""

    def forward_cells(self, x, cells):
        return x[..., None] + torch.zeros(len(cells), 4)


def test_masks_hold_for_some_cells_and_other_rules_refuse():
    mask = AllowedClasses([[True, True, False, True], [False, True, True, True]], name="mask")
    cells = torch.tensor([1, 0])
    y = ConstrainedNetwork(Cells(), [mask]).forward_cells(torch.tensor([1.0, 2.0]), cells)
    assert (y.softmax(-1) == 0).tolist() == [[True, False, False, False], [False, False, True, False]]
    with pytest.raises(UnsupportedError, match="rule `sum` needs all outputs, so the network cannot be asked for some"):
        ConstrainedNetwork(Cells(), [FixedSum(name="sum")]).forward_cells(torch.tensor([1.0, 2.0]), cells)


def test_settings_of_a_decoded_transition():
    decode = Decode(Stays(cells=1, classes=3))
    assert decode.settings() == {"policy": repr(AskAll()), "recovery": repr(Recovery())}
    assert Decode(FixedSum()).settings() == {}
    y = torch.rand(2, 1, 3)
    assert decode.sequential and decode.decode(y) is y


@pytest.mark.parametrize(
    "build",
    [
        lambda: Soft(FixedSum(), weight=0.0),
        lambda: Soft(FixedSum(), weight=INF),
        lambda: Soft(FixedSum(), weight=float("nan")),
        lambda: AugmentedLagrangian(FixedSum(), rho=-1.0),
        lambda: AugmentedLagrangian(FixedSum(), growth=0.5),
        lambda: Monitor("mass"),
    ],
)
def test_refuses_bad_settings(build):
    with pytest.raises(SpecificationError):
        build()


def test_never_silently_hard():
    with pytest.raises(UnsupportedError, match="cannot be Hard"):
        Hard(Rising())
    with pytest.raises(UnsupportedError, match="cannot be Hard"):
        Hard(Census.exactly_one(of=[1], classes=3))
    with pytest.raises(UnsupportedError, match="cannot be decoded"):
        Decode(Rising())


# --- several hard rules ----------------------------------------------------------------------------------------


def both_hold(rules, outputs=3):
    wrapped = join(network(outputs), {name: Hard(rule) for name, rule in rules.items()}, outputs=outputs)
    y = wrapped(X).detach()
    for name, rule in rules.items():
        assert float(rule.measure(wrapped, X, y).max()) < 1e-5, name
    return wrapped


def test_two_hard_rules_are_projected_together():
    both_hold({"sum": LinearEquality([[1.0, 1.0, 1.0]], [1.0]), "bounds": Bounds(low=0.0, high=0.5)})
    both_hold({"a": LinearEquality([[1.0, 1.0, 1.0]], [1.0]), "b": LinearEquality([[1.0, -1.0, 0.0]], [0.2])})
    both_hold({"a": Target(), "b": LinearEquality([[1.0, -1.0, 0.0]], [0.2])})
    both_hold({"a": Bounds(low=0.0), "b": Bounds(high=0.3, outputs=[1])})
    both_hold({"share": FixedSum(1.0), "cap": Bounds(high=0.4)})
    both_hold({"part": FixedSum(1.0, outputs=[0, 1]), "other": Bounds(low=2.0, outputs=[2])})
    both_hold({"sum": Target(), "positive": Bounds(low=0.0)})


def test_contradictions_name_the_smallest_conflict():
    rules = {
        "sum": Hard(LinearEquality([[1.0, 1.0, 1.0]], [5.0])),
        "innocent": Hard(Bounds(low=-9.0)),
        "cap": Hard(Bounds(high=1.0)),
    }
    with pytest.raises(InfeasibleError, match="no output satisfies `sum`, `cap` together"):
        join(network(), rules)
    with pytest.raises(InfeasibleError, match="`up`, `down`"):
        join(network(), {"up": Hard(Bounds(low=1.0)), "down": Hard(Bounds(high=0.0, outputs=[2]))})
    with pytest.raises(InfeasibleError, match="`a`, `b`"):
        join(
            network(),
            {
                "a": Hard(LinearEquality([[1.0, 1.0, 0.0]], [1.0])),
                "b": Hard(LinearEquality([[2.0, 2.0, 0.0]], [1.0])),
            },
        )


def test_what_cannot_be_joined_is_refused():
    with pytest.raises(SpecificationError, match="not known how many"):
        join(network(), {"share": Hard(FixedSum(1.0)), "cap": Hard(Bounds(high=0.4))})
    with pytest.raises(SpecificationError, match="independent rows"):
        join(network(), {"a": Hard(Target()), "b": Hard(LinearEquality([[2.0, 2.0, 2.0]], [1.0]))})


def test_a_joined_rule_says_what_it_cannot_hold():
    class Length(OutputRule):
        def __init__(self):
            super().__init__(L2Ball(1.0))

    with pytest.raises(UnsupportedError, match="for rules `sum`, `length`: `length` is not linear"):
        JointRule({"sum": FixedSum(), "length": Length()}, 3)


def test_numbers_of_rules_are_no_state_of_a_model():
    rules = {"sum": Target(), "positive": Bounds(low=0.0), "cap": LinearInequality([[1.0, 1.0, 0.0]], high=0.5)}
    joined = join(network(), {name: Hard(rule) for name, rule in rules.items()}, outputs=3)
    assert {key.split(".")[0] for key in joined.state_dict()} == {"network"}


def test_masks_join_with_masks():
    net = nn.Sequential(network(8), nn.Unflatten(-1, (2, 4)))
    one = AllowedClasses([[True, True, False, True]] * 2, name="one")
    two = AllowedClasses([[True, False, True, True]] * 2, name="two")
    probabilities = join(net, {"one": Hard(one), "two": Hard(two)})(X).softmax(-1)
    assert float(probabilities[..., 1:3].max()) == 0.0


def test_an_output_rule_without_a_map_cannot_be_decoded():
    a, b = sympy.symbols("a b")
    rule = declare(sympy.sin(a) <= b, outputs=[a, b])
    assert isinstance(rule, OutputRule) and "Decode" not in rule.explain().embeddings
    with pytest.raises(UnsupportedError, match="cannot be decoded"):
        Decode(rule)


def test_a_joined_network_uses_the_map_that_was_chosen():
    y, rule = torch.tensor([[-1.0, 2.0, 0.5]]), Bounds(low=0.0)
    for smooth, expected in ((True, rule.squash(y)), (False, rule.enforce(y))):
        torch.testing.assert_close(join(nn.Identity(), {"low": Hard(Bounds(low=0.0), smooth=smooth)})(y), expected)
