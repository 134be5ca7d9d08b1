"""Symmetry rules: measured in the outputs' unit, Hard where it is exact, refused where a later map breaks it."""

import pytest
import torch
from torch import nn

from constraints import (
    AllowedClasses,
    AugmentedLagrangian,
    Averaged,
    Averaging,
    Bounds,
    Canonicalisation,
    Canonicalised,
    Equivariance,
    FiniteGroup,
    FixedSum,
    Hard,
    Hierarchy,
    Invariance,
    LinearEquality,
    Monitor,
    Ordering,
    OutputRule,
    Permutation,
    Permutations,
    PlaneRotations,
    Representation,
    Rotations,
    ShapeError,
    SignChange,
    Simplex,
    Soft,
    SpecificationError,
    Turn,
    UnsupportedError,
    column_shifts,
    join,
    quarter_turns,
    sign_flips,
    turns_and_flips,
)
from constraints.rules.map_symmetry import ignores_input, keeps_actions
from constraints.sets import Agreement
from constraints.testing import check_embedding, check_rule, check_set, law_symmetric


class Total(LinearEquality):
    def __init__(self):
        super().__init__([[1.0, 1.0, 1.0]])

    def target(self, x):
        return x[..., :1]


class Mine(OutputRule):
    def __init__(self):
        super().__init__(Simplex())

    def enforce(self, y, x=None):
        return y + x


def network(n=3, m=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(n, 8), nn.Tanh(), nn.Linear(8, m))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("by", [Averaging(), Canonicalisation()])
@pytest.mark.parametrize("kind", [Invariance, Equivariance])
def test_laws(kind, by, dtype):
    rule = kind(column_shifts(3), by=by)
    net, x = network().to(dtype), torch.randn(9, 3, dtype=dtype)
    check_rule(rule, net, x, net(x))
    for embedding in (Hard(rule), Soft(rule), Soft(kind(column_shifts(3), every=True)), Monitor(rule)):
        check_embedding(embedding, net, x)
    check_embedding(AugmentedLagrangian(rule), net, x)
    law_symmetric(join(net, {"symmetry": Hard(rule)}), rule, x)


def test_laws_of_the_set():
    check_set(Agreement(), torch.randn(5, 8))
    near = torch.tensor([[1000.0, 1000.0001]])
    assert bool(Agreement().check(near)) and not bool(Agreement().check(near - 1000.0))
    with pytest.raises(ShapeError, match="two halves"):
        Agreement().residual(torch.zeros(3))


def test_the_violation_is_the_largest_change_of_an_output():
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), torch.randn(6, 4, 4)
    rule = Invariance(quarter_turns(), unit="logit")
    turned = torch.stack([net(torch.rot90(x, k, (-2, -1))) for k in range(4)])
    expected = (turned - turned[0]).abs().amax(dim=(0, 2))
    torch.testing.assert_close(rule.measure(net, x, net(x)), expected)
    drawn = rule.constraint.violation(rule.evaluate(net, x, net(x)))
    assert bool((drawn <= expected + 1e-6).all()) and bool((drawn > 0).all())
    assert rule.evaluate(net, x, net(x)).shape == (6, 4)  # one move of 2 outputs, and what was wanted


def test_continuous_groups_are_measured_and_never_hard():
    torch.manual_seed(0)
    x = torch.randn(40, 2, dtype=torch.float64)

    class Length(nn.Module):
        def forward(self, x):
            return x.norm(dim=-1, keepdim=True)

    spin = PlaneRotations((0, 1))
    assert float(Invariance(spin).measure(Length(), x, Length()(x)).max()) < 1e-12
    assert float(Equivariance(spin).measure(nn.Identity(), x, x).max()) < 1e-12
    assert float(Invariance(spin).measure(nn.Identity(), x, x).min()) > 1e-6
    law_symmetric(Length(), Invariance(spin), x)
    check_embedding(Soft(Invariance(Rotations(3))), network(), torch.randn(9, 3))
    with pytest.raises(UnsupportedError, match="mean over draws, which is not exact"):
        Hard(Invariance(spin))
    with pytest.raises(UnsupportedError, match="mean over draws"):
        Invariance(spin).wrap(nn.Identity())
    told = Invariance(spin).explain()
    assert "Hard" not in told.embeddings and "not exact" in told.kind


def test_permutations_of_an_axis_are_sorted():
    rule = Invariance(Permutations(3))
    wrapped = join(network(), {"order": Hard(rule)})
    assert isinstance(wrapped, Canonicalised)
    law_symmetric(wrapped, rule, torch.randn(9, 3))
    assert rule.guaranteed(wrapped) and Invariance(column_shifts(3)).guaranteed(wrapped)
    assert not Invariance(sign_flips(3, [0])).guaranteed(wrapped)
    with pytest.raises(UnsupportedError, match="mean over draws"):
        Hard(Invariance(Permutations(3), by=Averaging()))
    with pytest.raises(UnsupportedError, match="sorted back"):
        Hard(Equivariance(Permutations(3)))


def test_a_larger_group_guarantees_a_smaller_one():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    whole = Averaged(net, Representation(turns_and_flips()))
    assert Invariance(quarter_turns()).guaranteed(whole)
    assert Invariance(quarter_turns()).wrap(whole) is whole
    part = Averaged(net, Representation(quarter_turns()))
    assert not Invariance(turns_and_flips()).guaranteed(part)
    assert not Invariance(quarter_turns()).guaranteed(net)
    shifts = Equivariance(column_shifts(4))
    assert shifts.guaranteed(shifts.wrap(network(4, 4)))
    assert not Invariance(column_shifts(4)).guaranteed(shifts.wrap(network(4, 4)))
    assert not Equivariance(quarter_turns(), column_shifts(4).actions).guaranteed(
        Averaged(
            net,
            Equivariance(
                quarter_turns(), list(column_shifts(4).actions)[::-1][-1:] + list(column_shifts(4).actions)[:0:-1]
            ).representation,
        )
    )


def test_two_symmetries_are_held_only_where_both_are_guaranteed():
    rules = {"turns": Hard(Invariance(quarter_turns())), "all": Hard(Invariance(turns_and_flips()))}
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    both = join(net, dict(reversed(rules.items())))  # the larger first
    assert isinstance(both, Averaged) and both.network is net
    shifts, signs = Invariance(column_shifts(3)), Invariance(sign_flips(3, [0]))
    with pytest.raises(UnsupportedError, match="no longer guarantees"):
        join(network(), {"shifts": Hard(shifts), "signs": Hard(signs)})


def test_invariance_survives_what_does_not_look_at_the_input():
    rule = Invariance(column_shifts(3))
    survives = [Bounds(low=0.0), FixedSum(), Ordering(), Hierarchy({1: 0}), LinearEquality([[1.0, 1.0, 1.0]], [1.0])]
    for other in [*survives, AllowedClasses([[True, False]])]:
        assert rule.survives(other), other
        assert rule.survives(other, smooth=True)
    for other in (Total(), Mine()):
        assert not rule.survives(other), other
    wrapped = join(network(), {"s": Hard(rule), "a": Hard(Bounds(low=0.0)), "b": Hard(FixedSum())}, outputs=3)
    law_symmetric(wrapped, rule, torch.randn(9, 3))
    with pytest.raises(UnsupportedError, match="`s` and `total` cannot hold together"):
        join(network(), {"s": Hard(rule), "total": Hard(Total())})
    joint = {"s": Hard(rule), "total": Hard(Total()), "low": Hard(Bounds(low=-9.0))}
    with pytest.raises(UnsupportedError, match="cannot hold together"):
        join(network(), joint, outputs=3)
    assert not ignores_input(Total())


@pytest.mark.parametrize(
    "rule, kept",
    [
        (Bounds(low=0.0, high=1.0), True),
        (Bounds(low=[0.0, 0.0, 0.0]), True),
        (Bounds(low=[0.0, 1.0, 0.0]), False),
        (Bounds(low=0.0, outputs=[0]), False),
        (Bounds(low=0.0, outputs=[2, 0, 1]), True),
        (FixedSum(), True),
        (FixedSum(outputs=[0, 1]), False),
        (Ordering(), False),
        (Hierarchy({1: 0}), False),
        (Total(), False),
    ],
)
def test_equivariance_survives_sets_that_the_actions_keep(rule, kept):
    shifts = Equivariance(column_shifts(3))
    assert shifts.survives(rule) == kept
    if kept:
        for smooth in (False, True):
            wrapped = join(network(), {"shifts": Hard(shifts), "rule": Hard(rule, smooth=smooth)})
            law_symmetric(wrapped, shifts, torch.randn(9, 3))


SWAP, FLIP, TURN = Permutation([1, 0, 2]), SignChange([-1.0, 1.0, 1.0]), Turn(1)
KEPT = [  # rule, actions, whether the projection commutes with them, and whether the smooth map does
    (Bounds(low=-1.0, high=1.0), [SWAP, FLIP], True, False),
    (Bounds(low=-1.0, high=1.0), [SWAP, nn.Identity()], True, True),
    (Bounds(low=-1.0, high=1.0), [TURN], True, True),
    (Bounds(low=-1.0, high=2.0), [FLIP], False, False),
    (Bounds(low=-1.0, high=2.0), [SWAP, TURN], True, True),
    (Bounds(low=0.0, high=1.0), [nn.Sequential(SWAP, nn.Sequential(FLIP))], False, False),
    (Bounds(low=[0.0, 0.0, 1.0], high=9.0), [SWAP], True, True),
    (Bounds(low=[0.0, 0.5, 1.0], high=9.0), [SWAP], False, False),
    (Bounds(low=0.0, high=[1.0, 1.0, 2.0]), [SWAP, nn.Identity()], True, True),
    (Bounds(low=0.0, high=[1.0, 3.0, 2.0]), [nn.Identity()], True, True),
    (Bounds(low=0.0, high=[1.0, 3.0, 2.0]), [nn.Identity(), SWAP], False, False),
    (Bounds(low=[-1.0, 0.0, 0.0], high=[1.0, 2.0, 2.0]), [FLIP], True, False),
    (Bounds(low=[0.0, 0.0, 0.0], high=[1.0, 2.0, 2.0]), [FLIP], False, False),
    (Bounds(low=[0.0, 0.0, 0.0]), [TURN], False, False),
    (Bounds(low=0.0, outputs=[0, 1]), [SWAP], True, True),
    (Bounds(low=0.0, outputs=[2]), [SWAP, FLIP], True, False),
    (Bounds(low=0.0, outputs=[0]), [SWAP], False, False),
    (Bounds(low=0.0, outputs=[3]), [SWAP], False, False),
    (Bounds(low=[0.0, 0.0]), [SWAP], False, False),
    (Bounds(low=0.0, outputs=[0, 1]), [Permutation([1, 0, 2], dim=-2)], False, False),
    (FixedSum(), [SWAP, nn.Identity()], True, True),
    (FixedSum(), [FLIP], False, False),
    (FixedSum(), [TURN], False, False),
    (FixedSum(), [Permutation([1, 0, 2], dim=-2)], False, False),
    (FixedSum(outputs=[0, 1]), [SWAP], False, False),
    (Ordering(), [nn.Identity()], False, False),
    (Mine(), [SWAP], False, False),
]


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("case", range(len(KEPT)))
def test_maps_commute_with_the_actions_that_they_are_said_to_keep(case, smooth):
    rule, actions, projected, smoothly = KEPT[case]
    kept = smoothly if smooth else projected
    assert keeps_actions(rule, actions, smooth=smooth) == kept
    if kept:
        y = 3.0 * torch.randn(5, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        for action in actions:
            enforce = Hard(rule, smooth=smooth).enforce
            torch.testing.assert_close(enforce(action(y)), action(enforce(y)))


def test_composed_actions_are_looked_into():
    made = Equivariance(FiniteGroup.generated([Permutation([1, 2, 0]), Permutation([1, 0, 2])]))
    assert made.survives(Bounds(low=0.0)) and made.survives(FixedSum()) and not made.survives(Ordering())
    assert not made.survives(Bounds(low=0.0, outputs=[0]))
    both = {"all": Hard(made), "sum": Hard(FixedSum())}
    law_symmetric(join(network(), both), made, torch.randn(9, 3))


def test_signs_need_bounds_that_are_alike_on_both_sides():
    odd = Equivariance(sign_flips(3, [0, 1, 2]))
    assert odd.survives(Bounds(low=-1.0, high=1.0)) and not odd.survives(Bounds(low=0.0, high=1.0))
    assert odd.survives(Bounds(low=[-1.0, -2.0], high=[1.0, 2.0], outputs=[0, 1]))
    assert not odd.survives(Bounds(low=-1.0, high=1.0), smooth=True)
    one = Equivariance(sign_flips(3, [0]))
    assert one.survives(Bounds(low=0.0, outputs=[1])) and not one.survives(Bounds(low=0.0, outputs=[0]))
    law_symmetric(join(network(), {"odd": Hard(odd), "box": Hard(Bounds(low=-0.1, high=0.1))}), odd, torch.randn(9, 3))
    pictures = Equivariance(quarter_turns())
    assert pictures.survives(Bounds(low=0.0)) and not pictures.survives(FixedSum())
    assert not Equivariance(Rotations(3)).survives(Bounds(low=0.0))


def test_other_things_are_refused():
    with pytest.raises(SpecificationError, match="Symmetriser"):
        Invariance(quarter_turns(), by="average")
    with pytest.raises(SpecificationError, match="needs a Group"):
        Invariance([Turn(1)])
    with pytest.raises(SpecificationError, match="FiniteGroup for every=True"):
        Equivariance(Rotations(3), every=True)
    with pytest.raises(UnsupportedError, match="smooth=True"):
        Hard(Invariance(quarter_turns()), smooth=True)
    with pytest.raises(ShapeError, match="a batch of inputs"):
        Invariance(column_shifts(3)).quantity(nn.Identity(), torch.ones(3))
    with pytest.raises(SpecificationError, match="floating-point"):
        Representation(column_shifts(3)).compare(lambda x: x.argmax(dim=-1), torch.ones(2, 3), every=True)
    assert "8 evaluations" in Invariance(turns_and_flips()).explain().cost
    assert "one evaluation" in Invariance(turns_and_flips(), by=Canonicalisation()).explain().cost
