"""SOAP: Adam where there is no basis, its statistics by differences, and what a basis is worth."""

import pytest
import torch
from torch import nn

from constraints import NonFiniteError, SpecificationError
from dkmodels.optim import SOAP
from dkmodels.optim.soap import eigenbasis, turn
from tests.dkmodels.optim.problems import closure_of, fitting, resumed_and_whole

both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@both
def test_without_a_basis_it_is_adam(dtype):
    ours, theirs = fitting(dtype), fitting(dtype)
    optimizer = SOAP(ours[0].parameters(), lr=0.01, betas=(0.9, 0.99), max_size=0)
    adam = torch.optim.Adam(theirs[0].parameters(), lr=0.01, betas=(0.9, 0.99))
    for _ in range(20):
        optimizer.step(closure_of(optimizer, ours[1]))
        adam.step(closure_of(adam, theirs[1]))
    for a, b in zip(ours[0].parameters(), theirs[0].parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_statistics_are_those_of_gradients_by_differences():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(3, 2, dtype=torch.float64))
    target = torch.randn(3, 2, dtype=torch.float64)

    def f(w):
        return (w @ w.mT - target @ target.mT).square().sum()

    def by_differences(w, eps=1e-6):
        found = torch.zeros_like(w)
        for i in range(3):
            for j in range(2):
                shift = torch.zeros_like(w)
                shift[i, j] = eps
                found[i, j] = (f(w + shift) - f(w - shift)) / (2.0 * eps)
        return found

    optimizer = SOAP([weight], lr=0.01, betas=(0.9, 0.8))
    left, right = None, None
    for _ in range(3):
        g = by_differences(weight.detach())
        left = g @ g.mT if left is None else 0.8 * left + 0.2 * g @ g.mT
        right = g.mT @ g if right is None else 0.8 * right + 0.2 * g.mT @ g
        optimizer.step(closure_of(optimizer, f, weight))
    state = optimizer.state[weight]
    torch.testing.assert_close(state["left"], left, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(state["right"], right, rtol=1e-6, atol=1e-6)


@both
def test_bases_stay_orthogonal_and_reach_the_eigenvectors(dtype):
    root = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=dtype)
    matrix = root @ root.mT
    basis = torch.eye(6, dtype=dtype)
    for _ in range(400):
        basis = eigenbasis(matrix, basis)
    unit = torch.finfo(dtype).eps
    torch.testing.assert_close(basis.mT @ basis, torch.eye(6, dtype=dtype), rtol=0.0, atol=50 * unit)
    inside = turn(matrix, basis, basis)
    assert float((inside - inside.diagonal().diag()).norm()) < 1e3 * unit * float(matrix.norm())
    full = eigenbasis(matrix)
    torch.testing.assert_close(turn(matrix, full, full).diagonal(), inside.diagonal(), rtol=1e3 * unit, atol=unit)


def test_a_matrix_regression_takes_fewer_steps_than_adam():
    generator = torch.Generator().manual_seed(1)

    def mixed(n):
        """Of condition 100, in no coordinates."""
        basis = torch.linalg.qr(torch.randn(n, n, generator=generator))[0]
        return basis @ torch.diag(torch.logspace(0.0, -2.0, n)) @ basis.mT

    left, right, wanted = mixed(10), mixed(8), torch.randn(10, 8, generator=generator)

    def steps(kind, lr):
        weight = nn.Parameter(torch.zeros(10, 8))
        optimizer = kind([weight], lr=lr, betas=(0.95, 0.95))
        closure = closure_of(optimizer, lambda w: (left @ (w - wanted) @ right).square().sum(), weight)
        first = float(closure().detach())
        return next((k for k in range(600) if float(optimizer.step(closure).detach()) < 1e-5 * first), 600)

    assert steps(SOAP, 0.1) < 0.5 * min(steps(torch.optim.Adam, lr) for lr in (0.03, 0.1, 0.3))


def test_goes_on_from_a_state_bit_for_bit(tmp_path):
    def make(parameters):
        return SOAP(parameters, refresh=2)

    resumed_and_whole(make, tmp_path, 3, 4)


def test_kernels_are_matrices_and_scalars_are_taken():
    torch.manual_seed(0)
    kernel, scalar = nn.Conv2d(2, 3, 3), nn.Parameter(torch.tensor(1.0))
    optimizer = SOAP([*kernel.parameters(), scalar])
    (kernel(torch.ones(1, 2, 4, 4)).square().mean() + scalar.square()).backward()
    optimizer.step()
    assert optimizer.state[kernel.weight]["right"].shape == (18, 18)
    assert "left" not in optimizer.state[kernel.bias]
    assert float(scalar) < 1.0


def test_refuses():
    weight = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(SpecificationError, match="lr and eps > 0"):
        SOAP([weight], lr=0.0)
    with pytest.raises(SpecificationError, match="refresh >= 1"):
        SOAP([weight], refresh=0)
    weight.grad = torch.full((2, 2), torch.nan)
    with pytest.raises(NonFiniteError, match="finite gradients"):
        SOAP([weight]).step()
    assert weight.tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("entry", [torch.nan, torch.inf, 1e20])
@pytest.mark.parametrize("which", [0, 1])
def test_gradients_without_finite_squares_move_nothing(entry, which):
    numbers = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2, 2))
    for parameter in numbers:
        parameter.grad = torch.ones_like(parameter)
    numbers[which].grad.view(-1)[0] = entry
    optimizer = SOAP(numbers)
    with pytest.raises(NonFiniteError, match="finite squares"):
        optimizer.step()
    assert all(bool((parameter == 1.0).all()) for parameter in numbers) and not optimizer.state


def test_parameters_without_entries_are_left_alone():
    empty, full = nn.Parameter(torch.zeros(0, 3)), nn.Parameter(torch.ones(1))
    empty.grad, full.grad = torch.zeros(0, 3), torch.ones(1)
    SOAP([empty, full]).step()
    assert float(full) < 1.0
