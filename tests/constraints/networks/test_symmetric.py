"""Symmetric networks: exact to rounding for every group, dtype and kind of network, whatever its weights."""

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constraints import Equivariance, Invariance, ShapeError, SpecificationError, UnsupportedError
from constraints.functional import last_of_orbit, lexicographically_greater
from constraints.networks import (
    Averaged,
    Canonicalised,
    FiniteGroup,
    LinearAction,
    Permutation,
    Permutations,
    Representation,
    Rotations,
    Turn,
    column_shifts,
    quarter_turns,
    sign_flips,
    turns_and_flips,
)
from constraints.testing import law_serialises, law_symmetric


def mlp(*sizes):
    return nn.Sequential(nn.Flatten(), nn.Linear(sizes[0], 16), nn.Tanh(), nn.Linear(16, sizes[1]))


def conv():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(3)
    )


def image_to_image():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))


S3 = FiniteGroup([Permutation(order) for order in permutations(range(3))])
HEXAGON = FiniteGroup.generated([LinearAction([[0.5, -(3**0.5) / 2], [3**0.5 / 2, 0.5]])])
INVARIANT = [
    (quarter_turns(), lambda: mlp(36, 2), (6, 6)),
    (turns_and_flips(), conv, (1, 6, 6)),
    (column_shifts(5), lambda: mlp(5, 2), (5,)),
    (column_shifts(3, dim=-2), lambda: mlp(12, 2), (3, 4)),
    (sign_flips(3, [0, 2]), lambda: mlp(3, 1), (3,)),
    (S3, lambda: mlp(3, 1), (3,)),
]
EQUIVARIANT = [
    (turns_and_flips(), None, image_to_image, (1, 6, 6)),
    (column_shifts(4), None, lambda: mlp(4, 4), (4,)),
    (sign_flips(3, [0]), sign_flips(2, [1]).actions, lambda: mlp(3, 2), (3,)),
    (quarter_turns(), column_shifts(4).actions, lambda: mlp(25, 4), (5, 5)),
]


@pytest.mark.parametrize("kind", [Averaged, Canonicalised])
@pytest.mark.parametrize("group, make, shape", INVARIANT)
@pytest.mark.parametrize("symmetric_input", [False, True])
def test_invariant_whatever_the_weights(kind, group, make, shape, symmetric_input):
    torch.manual_seed(0)
    x = torch.randn(7, *shape)
    x = torch.ones_like(x) if symmetric_input else x.round()  # with ties
    network = kind(make(), Representation(group))
    network(x)  # lazy layers, running means
    law_symmetric(network, Invariance(group), x)
    law_serialises(network)


@pytest.mark.parametrize("kind", [Averaged, Canonicalised])
@pytest.mark.parametrize("group, outputs, make, shape", EQUIVARIANT)
@pytest.mark.parametrize("symmetric_input", [False, True])
def test_equivariant_whatever_the_weights(kind, group, outputs, make, shape, symmetric_input):
    torch.manual_seed(0)
    x = torch.zeros(7, *shape) if symmetric_input else torch.randn(7, *shape)
    rule = Equivariance(group, outputs)
    network = kind(make(), rule.representation)
    law_symmetric(network, rule, x)
    with pytest.raises(AssertionError, match="beyond rounding"):
        law_symmetric(make(), rule, torch.randn(7, *shape))


def test_a_mean_over_matrices_is_exact_and_a_representative_is_not_known():
    torch.manual_seed(0)
    law_symmetric(Averaged(mlp(2, 3), Representation(HEXAGON)), Invariance(HEXAGON), torch.randn(9, 2))
    vector = Equivariance(HEXAGON)
    law_symmetric(Averaged(mlp(2, 2), vector.representation), vector, torch.randn(9, 2))
    with pytest.raises(UnsupportedError, match="round"):
        Canonicalised(mlp(2, 3), Representation(HEXAGON))


@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_sorted_inputs_are_invariant_under_every_permutation(batch, size, seed):
    torch.manual_seed(seed)
    x = torch.randint(-2, 3, (batch, size, 2)).float()
    network = Canonicalised(mlp(2 * size, 3), Representation(Permutations(size, dim=-2)))
    moved = Permutations(size, dim=-2).draw(x)(x)
    assert torch.equal(network(moved), network(x))


def test_a_mean_is_the_mean():
    torch.manual_seed(0)
    network, x = mlp(9, 2), torch.randn(4, 3, 3)
    expected = sum(network(torch.rot90(x, k, (-2, -1))) for k in range(4)) / 4
    torch.testing.assert_close(Averaged(network, Representation(quarter_turns()))(x), expected)


def test_a_key_chooses_the_pose():
    torch.manual_seed(0)
    seen = []
    network = nn.Module()
    network.forward = lambda x: (seen.append(x), x.flatten(1))[1]
    heavy_top = Canonicalised(network, Representation(quarter_turns()), lambda x: x[:, :1].sum(dim=(1, 2)))
    heavy_top(torch.rand(5, 3, 3))
    tops = seen[0][:, 0].sum(dim=-1)
    for k in range(1, 4):
        assert bool((tops >= torch.rot90(seen[0], k, (-2, -1))[:, 0].sum(dim=-1)).all())
    with pytest.raises(ShapeError, match="one key a sample"):
        Canonicalised(network, Representation(quarter_turns()), lambda x: x)(torch.rand(5, 3, 3))
    with pytest.raises(SpecificationError, match="no key"):
        Canonicalised(network, Representation(Permutations(3)), lambda x: x)


def test_in_training_batch_norm_keeps_the_mean_invariant_and_dropout_does_not():
    torch.manual_seed(0)
    x = torch.randn(16, 6, 6)
    turns = Representation(quarter_turns())
    normed = Averaged(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(36), nn.Linear(36, 2)), turns)
    torch.testing.assert_close(normed(x), normed(Turn(1)(x)))
    dropped = Averaged(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(36, 2)), turns)
    assert not torch.allclose(dropped(x), dropped(Turn(1)(x)))
    dropped.eval()
    torch.testing.assert_close(dropped(x), dropped(Turn(1)(x)))


def test_gradients_reach_the_network_and_the_input():
    torch.manual_seed(0)
    for kind in (Averaged, Canonicalised):
        network = kind(mlp(4, 4).double(), Equivariance(column_shifts(4)).representation)
        x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(network, x)
        grads = torch.autograd.grad(network(x).square().sum(), list(network.parameters()))
        assert all(bool((g != 0).any()) for g in grads)


def test_what_is_not_exact_is_refused():
    for kind in (Averaged, Canonicalised):
        with pytest.raises(UnsupportedError, match="Rotations"):
            kind(mlp(3, 1), Representation(Rotations(3)))
        with pytest.raises(ShapeError, match="a batch of inputs"):
            kind(mlp(3, 1), Representation(column_shifts(3)))(torch.ones(3))
    cubes = [nn.Identity(), lambda y: -y.sign() * (y.abs() + y**2)]
    bent = FiniteGroup([nn.Identity(), torch.neg], example=torch.ones(1))
    with pytest.raises(SpecificationError, match="composed"):
        Representation(bent, cubes, example=torch.ones(1))
    folded = [nn.Identity(), lambda y: 1.0 / y]  # an involution that keeps no means
    with pytest.raises(UnsupportedError, match="do not keep means"):
        Averaged(mlp(1, 1), Representation(bent, folded, example=torch.ones(1)))
    assert bool(Averaged(mlp(1, 1), Representation(bent))(torch.full((2, 1), float("nan"))).isnan().all())
    assert bool(Canonicalised(mlp(1, 1), Representation(bent))(torch.full((2, 1), float("nan"))).isnan().all())


def test_the_order_of_an_orbit():
    a = torch.randint(-1, 2, (200, 3), generator=torch.Generator().manual_seed(0)).double()
    b = torch.randint(-1, 2, (200, 3), generator=torch.Generator().manual_seed(1)).double()
    assert lexicographically_greater(a, b).tolist() == [x > y for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    orbit = torch.stack([a, b, b])
    best, leads = last_of_orbit(orbit)
    assert best.tolist() == [max(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert torch.equal(leads[1], leads[2]) and bool(leads.any(dim=0).all())


@pytest.mark.parametrize("kind", [Averaged, Canonicalised])
def test_compiled_and_exported_whole(kind):
    torch.manual_seed(0)
    for network, shape in ((kind(mlp(9, 2), Representation(quarter_turns())), (4, 3, 3)),
                           (kind(mlp(3, 3), Equivariance(column_shifts(3)).representation), (4, 3))):  # fmt: skip
        x = torch.randn(*shape)
        torch.testing.assert_close(torch.compile(network, fullgraph=True, backend="aot_eager")(x), network(x))
        torch.testing.assert_close(torch.export.export(network, (x,)).module()(x), network(x))
