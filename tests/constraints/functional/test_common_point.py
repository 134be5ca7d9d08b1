"""The equations of a common point: the least solution, whatever their rank, each sample for itself."""

import pytest
import torch

from constraints.functional.common_point import _unravel


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("power", [-40, 0, 40])
def test_systems_of_every_rank_are_solved(power):
    """Regular; of rank two, with a right side in its range and out of it; zero; and next to singular."""
    scale = 2.0**power
    systems, right = normal(5, 4, 4), normal(5, 2, 2, seed=1)
    right *= torch.tensor([1.0, 1e9, 1.0, 1e-3, 1e-9], dtype=torch.float64)[:, None, None]  # each on its own scale
    low = normal(4, 2, seed=2)
    systems[1] = systems[2] = low @ low.mT
    systems[3] = 0.0
    systems[4] = torch.diag(torch.tensor([1.0, 1.0, 1.0, 1e-13], dtype=torch.float64))
    right[1] = 1e9 * (systems[1] @ normal(4, seed=3)).view(2, 2)
    found = _unravel(systems, scale * right) / scale
    torch.testing.assert_close(systems[:2] @ found[:2].flatten(1)[..., None], right[:2].flatten(1)[..., None])
    least = (torch.linalg.pinv(systems, rtol=1e-9) @ right.flatten(1)[..., None]).view_as(right)
    for i in (0, 2, 3, 4):
        torch.testing.assert_close(found[i], least[i], rtol=1e-7, atol=1e-9 * float(right[i].abs().max()))
    for i in range(5):
        torch.testing.assert_close(_unravel(systems[i : i + 1], right[i : i + 1])[0], found[i])
    assert not bool(_unravel(systems, torch.zeros_like(right)).any())


@pytest.mark.parametrize("small", [1e-2, 1e-5])
def test_a_regular_system_is_solved_to_rounding_beside_a_singular_one(small):
    """Not with the tolerance of a pseudoinverse."""
    hilbert = 1.0 / (torch.arange(4.0).double() + torch.arange(4.0).double()[:, None] + 1.0)
    hilbert = torch.lerp(hilbert, torch.eye(4, dtype=torch.float64), small)
    systems, right = torch.stack([hilbert, torch.zeros_like(hilbert)]), normal(2, 2, 2, seed=1)
    assert torch.equal(_unravel(systems, right)[0].flatten(), torch.linalg.solve(hilbert, right[0].flatten()))
