"""Fields made of a network's derivatives, and transformed networks: what they promise holds on random networks."""

import pytest
import torch
from torch import nn

from constraints import SpecificationError
from constraints.errors import ShapeError
from constraints.fields import (
    Derivatives,
    DerivedField,
    TransformedNetwork,
    hamiltonian,
    laplacian,
    partials,
    stream_function,
)
from constraints.fields.nested import nested_derivatives
from constraints.testing import law_serialises

DX, DY = partials(2)


def network(outputs=2, seed=0, inputs=2):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 9), nn.Tanh(), nn.Linear(9, 9), nn.SiLU(), nn.Linear(9, outputs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_stream_function_has_no_divergence(dtype):
    for seed in range(3):
        flow = stream_function(network(seed=seed), others=1).to(dtype)
        u_x, v_y = Derivatives([DX, DY])(flow, torch.rand(4, 5, 2, dtype=dtype))
        assert u_x.shape == (4, 5, 3)
        size = u_x[..., 0].abs().max()
        assert float((u_x[..., 0] + v_y[..., 1]).abs().max()) <= 50 * torch.finfo(dtype).eps * float(size)


def test_derivatives_are_those_of_nested_autograd():
    flow = stream_function(network(), others=1).double()
    derivatives = Derivatives([(0, 0), DX, DY * DX, laplacian(2), DX**3])
    assert derivatives.explain(flow) == "as `DerivedField` finds them"
    p = torch.rand(6, 2, dtype=torch.float64)
    for one, two in zip(derivatives(flow, p), nested_derivatives(flow, p, derivatives.wanted), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


def test_inside_another_module_they_are_found_by_nested_autograd():
    wrapped = TransformedNetwork(stream_function(network(1))).double()
    derivatives = Derivatives([DX, DX * DY])
    assert "nested autograd" in derivatives.explain(wrapped)
    p = torch.rand(6, 2, dtype=torch.float64)
    for one, two in zip(derivatives(wrapped, p), derivatives(wrapped.network, p), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("degrees", [1, 2])
def test_a_hamiltonian_motion_conserves_its_energy(degrees):
    energy = network(1, inputs=2 * degrees).double()
    motion = hamiltonian(energy, degrees)
    z = torch.rand(8, 2 * degrees, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(energy(z).sum(), z)
    velocity = motion(z)
    assert float((slope * velocity).sum(-1).abs().max()) < 1e-14
    assert float(velocity.abs().max()) > 1e-3
    torch.testing.assert_close(velocity[:, :degrees], slope[:, degrees:])


def test_gradients_reach_the_network():
    flow = stream_function(network(), others=1)
    Derivatives([DX**2])(flow, torch.rand(5, 2))[0].square().mean().backward()
    assert all(p.grad is not None for p in list(flow.parameters())[:-1])


def test_they_serialise():
    law_serialises(stream_function(network(), others=1))
    law_serialises(TransformedNetwork(network(), factor=nn.Linear(2, 1)))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(SpecificationError, match="operators of the same coordinates"):
        DerivedField(network(), [])
    with pytest.raises(SpecificationError, match="operators of the same coordinates"):
        DerivedField(network(), [{0: DX}, {0: partials(3)[0]}])
    with pytest.raises(SpecificationError, match="coordinates >= 2"):
        stream_function(network(), coordinates=1)
    with pytest.raises(SpecificationError, match="degrees >= 1"):
        hamiltonian(network(), 0)
    with pytest.raises(ShapeError, match="network of 3 outputs, got 2"):
        TransformedNetwork(network(), factor=nn.Linear(2, 3))(torch.rand(1, 2))
