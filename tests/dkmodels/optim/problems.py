"""Functions to minimise, and a closure for them."""

import torch
from torch import nn


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1].square()).square() + (1.0 - x[:-1]).square()).sum()


def beale(x):
    a, b = x
    return (1.5 - a + a * b).square() + (2.25 - a + a * b.square()).square() + (2.625 - a + a * b**3).square()


def quadratic(n, seed=0, condition=100.0):
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    matrix = basis @ torch.diag(torch.logspace(0.0, torch.tensor(condition).log10().item(), n).double()) @ basis.mT
    return matrix, lambda x: 0.5 * x @ matrix.to(x.dtype) @ x


def parameter(values, dtype=torch.float64):
    return nn.Parameter(torch.as_tensor(values, dtype=dtype).clone())


def closure_of(optimizer, f, *parameters):
    def closure():
        optimizer.zero_grad()
        loss = f(*parameters)
        loss.backward(create_graph=getattr(optimizer, "needs_graph", False))
        return loss

    return closure


def fitting(dtype=torch.float64, seed=0):
    """A small network and a full-batch loss of it."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)
    x = torch.linspace(-1.0, 1.0, 40, dtype=dtype)[:, None]
    return network, lambda: (network(x) - torch.sin(3.0 * x)).square().mean()


def resumed_and_whole(make, folder, first, then, dtype=torch.float64):
    """Optimisers that stopped after some steps and went on from what was saved, and that took all steps at once.

    Their networks are found equal bit for bit.
    """

    def run(steps, state=None):
        network, loss = fitting(dtype)
        optimizer = make(network.parameters())
        if state is not None:
            saved = torch.load(state, weights_only=True)
            network.load_state_dict(saved["network"])
            optimizer.load_state_dict(saved["optimizer"])
        for _ in range(steps):
            optimizer.step(closure_of(optimizer, loss))
        return network, optimizer

    network, optimizer = run(first)
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, folder / "state.pt")
    resumed, again = run(then, folder / "state.pt")
    through, whole = run(first + then)
    for a, b in zip(resumed.parameters(), through.parameters(), strict=True):
        assert torch.equal(a, b)
    return again, whole
