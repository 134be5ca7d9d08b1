"""The physics-informed steps: equations against exact solutions, gradients against nested autograd, the report."""

import importlib.util
import math

import pytest
import torch
from torch import nn

from benchmarks.speed.jets import SIZES
from benchmarks.speed.physics import OURS, PEERS, measure
from benchmarks.speed.physics_problems import NU, PROBLEMS, Biharmonic, Burgers, NavierStokes, Poisson, network_of
from benchmarks.speed.physics_report import plot, text
from benchmarks.speed.physics_steps import Nested, TorchStep, mean_square

NAMES = [str(problem) for problem in PROBLEMS]
MODULES = {
    "DeepXDE": "deepxde",
    "PINA": "pina",
    "TorchPhysics": "torchphysics",
    "jinns": "jinns",
    "jax": "jax",
}


class Exact(nn.Module):
    """A solution of each problem."""

    def __init__(self, problem):
        super().__init__()
        self.problem = problem

    def forward(self, p):
        match self.problem:
            case Burgers():  # a wave that travels at half its height
                t, x = p.split(1, dim=-1)
                return 0.5 - 0.5 * torch.tanh((x - 0.5 * t) / (4.0 * NU))
            case Poisson():
                return -p.square().sum(dim=-1, keepdim=True) / (2.0 * p.shape[-1])
            case Biharmonic():
                x, y = p.split(1, dim=-1)
                return x**4 / 48.0 + x**2 * y**2 / 16.0
            case NavierStokes():  # Kovasznay, 1948, doi:10.1017/S0305004100023999
                x, y = p.split(1, dim=-1)
                rate, turn = 0.5 / NU - math.sqrt(0.25 / NU**2 + 4.0 * math.pi**2), 2.0 * math.pi
                u = 1.0 - torch.exp(rate * x) * torch.cos(turn * y)
                v = rate / turn * torch.exp(rate * x) * torch.sin(turn * y)
                return torch.cat([u, v, 0.5 * (1.0 - torch.exp(2.0 * rate * x))], dim=-1)


@pytest.mark.parametrize("problem", PROBLEMS, ids=NAMES)
def test_exact_solutions_leave_no_residual(problem):
    points = torch.rand(6, len(problem.coordinates), dtype=torch.float64, requires_grad=True)
    field = Exact(problem)
    for residual in (problem.residual, problem.nested, problem.declared().quantity):
        assert residual(field, points).abs().max() < 1e-11


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("problem", PROBLEMS, ids=NAMES)
def test_ours_agrees_with_nested_autograd(problem, dtype, tolerance):
    network = network_of(problem, 2, 12).to(dtype)
    points = torch.rand(7, len(problem.coordinates), dtype=dtype, requires_grad=True)
    expected = problem.nested(network, points).sort(dim=1).values  # `declare` has an order of its own
    assert expected.abs().max() > 0.01
    for residual in (problem.residual, problem.declared().quantity):
        found = residual(network, points).sort(dim=1).values
        assert found.shape == expected.shape
        assert (found - expected).norm() <= tolerance * expected.norm()


@pytest.mark.parametrize("name", [*OURS, *PEERS])
@pytest.mark.parametrize("problem", PROBLEMS, ids=NAMES)
def test_gradients_of_steps_agree(problem, name):
    if name in MODULES and importlib.util.find_spec(MODULES[name]) is None:
        pytest.skip(f"{MODULES[name]} is not installed")
    network, points = network_of(problem, 2, 8), torch.rand(5, len(problem.coordinates))
    step = {**OURS, **PEERS}[name](problem, network, points)
    step()
    step()  # gradients do not pile up
    wide = network.double()
    loss = mean_square(problem.nested(wide, points.double().requires_grad_()))
    expected = torch.autograd.grad(loss, list(wide.parameters()), materialize_grads=True)
    gap = torch.cat([(a - b).flatten() for a, b in zip(step.gradients(), expected, strict=True)])
    assert gap.norm() <= 1e-5 * torch.cat([b.flatten() for b in expected]).norm()


class Absent(TorchStep):
    def __init__(self, problem, network, points):
        raise ImportError("No module named 'absent'")

    def loss(self):
        raise NotImplementedError


class Wrong(TorchStep):
    def loss(self):
        return mean_square(2.0 * self.problem.residual(self.network, self.points))


def test_what_is_absent_is_left_out_and_the_report_says_why():
    row = measure(PROBLEMS[0], *SIZES[0], {**OURS, "DeepXDE": Absent}, rounds=1, budget=0.1)
    assert set(row["speed"]) == {"nested", "ours", "declared"} and row["speed"]["nested"] == 1.0
    memory = {"nested": {"Burgers": 3.25}, "DeepXDE": {}}
    found = text({"command": "this", "versions": {"torch": "2"}, "rows": [row], "memory": memory})
    assert "DeepXDE is left out everywhere: ImportError: No module named 'absent'" in found
    assert "| Burgers | 3 x 20 | 3 |" in found and "| Burgers | 3.2 |" in found
    panel = plot([row]).axes[0]
    assert panel.get_title() == "Burgers" and len(panel.get_lines()) == 3  # nested, ours, declared


def test_nothing_is_timed_that_computes_something_else():
    with pytest.raises(AssertionError, match="gradients of wrong differ by 3"):
        measure(PROBLEMS[1], 2, 8, {"nested": Nested, "wrong": Wrong}, rounds=1, budget=0.1)
