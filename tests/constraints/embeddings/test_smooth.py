"""Hard by a smooth map: it obeys, it is alive where the projection is dead, and it is refused where it is unsound."""

import copy

import pytest
import torch
from torch import nn

from constraints import (
    AllowedClasses,
    Bounds,
    Box,
    Budget,
    FixedSum,
    GroupBalance,
    HalfSpace,
    Hard,
    L2Ball,
    LinearEquality,
    Multiplicative,
    Ordering,
    OutputRule,
    RayMap,
    SemidefiniteCone,
    UnsupportedError,
    join,
)
from constraints.testing import check_embedding, law_smooth

X = torch.rand(8, 2, generator=torch.Generator().manual_seed(0)) + 0.1


class Within(OutputRule):
    """No longer than the input says."""

    def __init__(self, **options):
        super().__init__(L2Ball(), **options)

    def context(self, x):
        return x[..., :1]


class Inside(OutputRule):
    def __init__(self, constraint, **options):
        super().__init__(constraint, **options)


class Doubled(OutputRule):
    """A map of its own."""

    def __init__(self):
        super().__init__(Box(low=0.0, high=1.0))

    def enforce(self, y, x=None):
        return y.clamp(0.0, 1.0) * 0.5


class Difference(OutputRule):
    """A quantity of its own, with a map onto it that the rule knows."""

    def __init__(self):
        super().__init__(Box(low=0.0))

    def quantity(self, y, x=None):
        return y[..., :1] - y[..., 1:2]


def network(outputs=3, dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, outputs)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "make",
    [
        lambda: Bounds(low=0.5, high=0.6),
        lambda: Bounds(low=[0.0, -1.0], high=1.0, outputs=[2, 0]),
        FixedSum,
        lambda: FixedSum(2.0, outputs=[1, 2]),
        Within,
        lambda: Within(outputs=[2, 1]),
        lambda: Ordering(gap=0.5, low=-1.0),
        lambda: Ordering(descending=True, outputs=[2, 0], low=0.0, high=1.0),
        lambda: Inside(HalfSpace([1.0, -1.0, 2.0], -3.0)),
        lambda: Inside(RayMap([L2Ball(2.0), HalfSpace([1.0, 1.0, 0.0], 0.5)])),
    ],
)
def test_laws(make, dtype):
    check_embedding(Hard(make(), smooth=True), network(dtype=dtype), X.to(dtype))


def test_laws_of_matrices():
    rule = Inside(SemidefiniteCone(2))
    check_embedding(Hard(rule, smooth=True), nn.Sequential(network(4), nn.Unflatten(-1, (2, 2))), X)


def test_it_learns_where_the_projection_cannot():
    """All outputs start far outside: clipped, they would stay there for ever."""
    for smooth in (False, True):
        torch.manual_seed(0)
        layer = nn.Linear(2, 3)
        nn.init.constant_(layer.bias, -8.0)
        model = join(layer, {"unit": Hard(Bounds(low=0.0, high=1.0), smooth=smooth)}, outputs=3)
        optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
        for _ in range(60):
            optimizer.zero_grad()
            loss = (model(X) - 0.5).square().mean()
            loss.backward()
            optimizer.step()
        assert (float(loss.detach()) < 0.01) == smooth


def test_it_is_not_idempotent_and_says_so():
    hard = Hard(FixedSum(), smooth=True)
    once = hard.enforce(torch.tensor([[3.0, 0.0]]))
    assert not torch.allclose(hard.enforce(once), once)
    assert hard.settings() == {"smooth": True} and Hard(FixedSum()).settings() == {}
    assert "Hard(smooth=True)" in FixedSum().explain().embeddings
    assert "Hard(smooth=True)" not in LinearEquality([[1.0]], [1.0]).explain().embeddings


def test_smooth_and_nearest_side_by_side():
    rules = {
        "shares": Hard(FixedSum(outputs=[0, 1]), smooth=True),
        "positive": Hard(Bounds(low=0.0, outputs=[2])),
        "free": Hard(Bounds(high=1.0, outputs=[3])),
    }
    joined = join(network(4), rules, outputs=4)
    given = joined.network(X)
    for model in (joined, copy.deepcopy(joined), torch.compile(joined, backend="eager", fullgraph=True)):
        y = model(X)
        torch.testing.assert_close(y[:, :2], given[:, :2].softmax(-1))
        torch.testing.assert_close(y[:, 2:], torch.stack([given[:, 2].clamp(min=0.0), given[:, 3].clamp(max=1.0)], -1))


def test_refused_where_no_smooth_map_is_known():
    with pytest.raises(UnsupportedError, match=r"`Polytope` has no smooth map. These have one: Box, .*Simplex"):
        Hard(Budget([1.0, 1.0], total=1.0), smooth=True)
    with pytest.raises(UnsupportedError, match="GroupMean"):
        Hard(GroupBalance("(h a) -> h", Multiplicative(), a=2), smooth=True)
    with pytest.raises(UnsupportedError, match="a way of its own"):
        Hard(AllowedClasses([[True, False]]), smooth=True)


def test_refused_where_the_rule_has_a_map_of_its_own():
    with pytest.raises(UnsupportedError, match="`Doubled` maps its outputs in a way of its own"):
        Hard(Doubled(), smooth=True)
    with pytest.raises(UnsupportedError, match="cannot be Hard"):
        Hard(Difference(), smooth=True)
    with pytest.raises(UnsupportedError, match="has no smooth map"):
        Difference().squash(torch.zeros(1, 2))


def test_refused_where_it_would_have_to_be_joined():
    for first, second in ((True, False), (False, True), (True, True)):
        rules = {"shares": Hard(FixedSum(), smooth=first), "cap": Hard(Bounds(high=0.6), smooth=second)}
        with pytest.raises(UnsupportedError, match=r"`shares`, `cap` share outputs.*`RayMap`"):
            join(network(), rules, outputs=3)


def test_the_law_finds_a_dead_map():
    single = Hard(FixedSum(outputs=[0]), smooth=True)  # a simplex of one point: nothing is left to learn
    with pytest.raises(AssertionError, match="no gradient for 8 samples"):
        law_smooth(single, network()(X).detach(), X)
