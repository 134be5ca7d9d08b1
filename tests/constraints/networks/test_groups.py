"""Groups: the axioms are tried out, actions are what they say, random elements are elements."""

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constraints import ShapeError, SpecificationError
from constraints.networks import (
    FiniteGroup,
    LinearAction,
    Permutation,
    Permutations,
    PlaneRotations,
    Rearrangement,
    Representation,
    Rotations,
    SignChange,
    Turn,
    column_shifts,
    quarter_turns,
    sign_flips,
    turns_and_flips,
)
from constraints.testing import law_serialises

GROUPS = {
    "C4": quarter_turns(),
    "D4": turns_and_flips(),
    "Z5": column_shifts(5),
    "sign": sign_flips(3, [0, 2]),
    "S4": FiniteGroup([Permutation(order) for order in permutations(range(4))]),
    "rows": column_shifts(3, dim=-2),
    "matrix": FiniteGroup.generated([LinearAction([[0.5, -(3**0.5) / 2], [3**0.5 / 2, 0.5]])]),
}
SIZES = {"C4": 4, "D4": 8, "Z5": 5, "sign": 2, "S4": 24, "rows": 3, "matrix": 6}


@pytest.mark.parametrize("name", GROUPS)
def test_axioms(name):
    group, size = GROUPS[name], SIZES[name]
    table, unit = group.table, group.identity
    assert len(group) == size and table.shape == (size, size)
    assert table[unit].tolist() == table[:, unit].tolist() == list(range(size))
    for i, back in enumerate(group.inverses):
        assert int(table[i, back]) == int(table[back, i]) == unit
    left, right = table[table], table[:, table]  # (ij)k and i(jk)
    assert torch.equal(left, right)
    x = torch.randn(3, *group.example.shape, dtype=torch.float64)
    for i in range(size):
        for j in range(size):
            torch.testing.assert_close(group.actions[i](group.actions[j](x)), group.actions[int(table[i, j])](x))
    assert group.exact == (name != "matrix")
    assert group.places_in(group) == list(range(size))
    law_serialises(group)


def test_d4_is_generated_and_holds_c4():
    made = FiniteGroup.generated([Turn(1), Turn(0, flip=True)])
    assert sorted(made.places_in(GROUPS["D4"])) == list(range(8))
    for k, place in enumerate(GROUPS["C4"].places_in(made)):
        assert torch.equal(made.actions[place](made.example), Turn(k)(made.example))
    assert GROUPS["D4"].places_in(GROUPS["C4"]) is None
    assert GROUPS["Z5"].places_in(GROUPS["sign"]) is None


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_random_elements_are_elements_but_not_the_identity(seed):
    torch.manual_seed(seed)
    for group in GROUPS.values():
        x = torch.randn(6, *group.example.shape)
        moved = group.draw(x)(x)
        orbit = group.orbit(x)
        hit = (orbit - moved).abs().flatten(2).amax(dim=-1) < 1e-6
        assert bool(hit.any(dim=0).all()) and not bool(hit[group.identity].any())


@given(st.lists(st.permutations(range(4)), min_size=1, max_size=2))
@settings(max_examples=25, deadline=None)
def test_what_permutations_generate_is_a_group_within_all_of_them(orders):
    group = FiniteGroup.generated([Permutation(order) for order in orders])
    assert 24 % len(group) == 0  # Lagrange
    places = group.places_in(GROUPS["S4"])
    assert places is not None and len(set(places)) == len(group)
    assert GROUPS["S4"].table[places][:, places].tolist() == [[places[k] for k in row] for row in group.table.tolist()]
    assert group.exact


def test_precision_is_kept_when_a_model_is_cast():
    group = sign_flips(2, [0]).half()
    assert group.example.dtype == torch.float64
    assert group.actions[1](torch.ones(1, 2)).dtype == torch.float32
    assert LinearAction(torch.eye(2)).half().matrix.dtype == torch.float64


def test_turns_are_those_of_a_picture():
    x = torch.arange(9.0).reshape(3, 3)
    assert torch.equal(Turn(1)(x), torch.rot90(x))
    assert torch.equal(Turn(2)(x), x.flip(0).flip(1))
    assert torch.equal(Turn(-1)(Turn(1)(x)), x)
    assert torch.equal(Turn(2)(torch.ones(4, 1, 2, 3)), torch.ones(4, 1, 2, 3))
    with pytest.raises(ShapeError, match="square"):
        Turn(1)(torch.ones(2, 3))


@pytest.mark.parametrize("dim, shape", [(-1, (5, 4)), (-1, (5, 2, 4)), (-2, (5, 4, 3))])
def test_permutations_have_one_representative_an_orbit(dim, shape):
    torch.manual_seed(0)
    group = Permutations(4, dim=dim)
    x = torch.randint(0, 3, shape).float()  # with ties
    first = group.canonical(x)
    for _ in range(5):
        moved = group.draw(x)(x)
        if len(shape) == 2 or dim == -2:
            assert torch.equal(group.canonical(moved), first)
        assert torch.equal(moved.sort(dim=dim).values, x.sort(dim=dim).values)
    assert group.holds(FiniteGroup([Permutation([0, 1, 2, 3], dim=dim), Permutation([1, 0, 3, 2], dim=dim)]))
    assert not group.holds(column_shifts(5, dim=dim)) and not group.holds(Permutations(3, dim=dim))
    with pytest.raises(ShapeError, match="needs 4 along dim"):
        group.canonical(torch.ones(5, 7, 7))


def test_rotations_are_rotations():
    torch.manual_seed(0)
    x = torch.randn(50, 7, 3, dtype=torch.float64)
    for group in (Rotations(3), PlaneRotations((0, 2), size=3)):
        element = group.draw(x)
        m = element.matrix
        torch.testing.assert_close(m @ m.mT, torch.eye(3, dtype=torch.float64).expand(50, 3, 3))
        torch.testing.assert_close(torch.linalg.det(m), torch.ones(50, dtype=torch.float64))
        torch.testing.assert_close(torch.cdist(element(x), element(x)), torch.cdist(x, x))
        torch.testing.assert_close(element(x)[:, 0], (m @ x[:, 0, :, None])[..., 0])
    assert float((Rotations(3).draw(x).matrix.mean(dim=0)).abs().max()) < 0.3  # uniform: their mean is 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: FiniteGroup([]), "0 actions"),
        (lambda: FiniteGroup([torch.neg]), "an example"),
        (lambda: FiniteGroup([nn.Identity(), Turn(1)]), "1 followed by 1"),
        (lambda: FiniteGroup([Turn(0), Turn(4)]), "alike"),
        (lambda: FiniteGroup([torch.zeros_like], example=torch.ones(2)), "invertible|identity"),
        (lambda: FiniteGroup([lambda x: x[..., :1]], example=torch.ones(2)), "keep the shape"),
        (lambda: FiniteGroup([lambda x: x / 0.0], example=torch.ones(2)), "finite"),
        (lambda: FiniteGroup([lambda x: x - x.mean()], example=torch.ones(2)), "each sample alone|invertible"),
        (lambda: FiniteGroup.generated([LinearAction([[2.0]])]), "1024"),
        (lambda: Permutation([0, 2]), "each of 0 to n - 1"),
        (lambda: Permutation([0, 1], dim=1), "dim < 0"),
        (lambda: SignChange([1.0, 2.0]), "1 or -1"),
        (lambda: LinearAction([[1.0, 1.0], [1.0, 1.0]]), "invertible"),
        (lambda: LinearAction([[1.0, 1.0]]), "square"),
        (lambda: Permutations(1), "size >= 2"),
        (lambda: PlaneRotations((0, 2)), "two distinct columns"),
        (lambda: Rotations(1), "size >= 2"),
        (lambda: Representation(FiniteGroup([Turn(0)])), "more than the identity"),
        (lambda: Representation(nn.Identity()), "needs a Group"),
        (lambda: Representation(quarter_turns(), [nn.Identity()]), "each of 4"),
        (lambda: Representation(sign_flips(1, [0]), [SignChange([-1.0]), SignChange([1.0])]), "composed"),
        (lambda: Representation(Rotations(3), [nn.Identity()]), "a function"),
    ],
)
def test_what_is_no_group_is_refused(make, message):
    with pytest.raises(SpecificationError, match=message):
        make()


def test_shapes_are_told():
    for action in (Permutation([0, 1]), SignChange([1.0, 1.0]), LinearAction(torch.eye(2))):
        with pytest.raises(ShapeError, match=type(action).__name__):
            action(torch.ones(4, 3))
    assert Rearrangement(torch.tensor([[1, 0]]), dim=-2)(torch.tensor([[[1.0], [2.0]]])).flatten().tolist() == [2, 1]
