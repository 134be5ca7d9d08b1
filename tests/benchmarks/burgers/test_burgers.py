"""The Burgers task: its reference solves the equation, its arms are what they say, its pictures are drawn."""

import math

import pytest
import torch
from scipy.integrate import solve_ivp

from benchmarks.burgers.problem import NU, conditions, equation, grid, mirror, solution
from benchmarks.burgers.task import Burgers
from dkmodels.study.cell import build


def points(n=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 2, generator=generator, dtype=torch.float64) * torch.tensor([2.0, 1.0]) - torch.tensor(
        [1.0, 0.0]
    )


def test_the_reference_has_converged():
    p = torch.cat([points(200), grid(41, 21)])
    assert float((solution(p, order=256) - solution(p, order=512)).abs().max()) < 1e-11


def test_the_reference_solves_the_equation():
    p, step = points(), 1e-4
    p = p.clamp(-0.99, 0.99)
    p[:, 1] = 0.1 + 0.8 * p[:, 1].abs()

    def at(dx, dt):
        return solution(p + torch.tensor([dx, dt], dtype=torch.float64))[:, 0]

    u, right, left = at(0, 0), at(step, 0), at(-step, 0)
    u_t = (at(0, step) - at(0, -step)) / (2 * step)
    residual = u_t + u * (right - left) / (2 * step) - NU * (right - 2 * u + left) / step**2
    away = p[:, 0].abs() > 0.1
    assert int(away.sum()) > 20
    assert float(residual[away].abs().max()) < 1e-4


def test_the_reference_is_that_of_a_finite_difference_scheme():
    n = 801
    x = torch.linspace(-1, 1, n, dtype=torch.float64)
    h = 2.0 / (n - 1)

    def rhs(t, u):
        flux = 0.25 * (u[1:] ** 2 + u[:-1] ** 2)
        du = -(flux[1:] - flux[:-1]) / h + NU * (u[2:] - 2 * u[1:-1] + u[:-2]) / h**2
        return [0.0, *du, 0.0]

    found = solve_ivp(
        rhs, (0, 0.25), -torch.sin(math.pi * x).numpy(), method="LSODA", rtol=1e-7, atol=1e-9, lband=1, uband=1
    )
    truth = solution(torch.stack([x, torch.full_like(x, 0.25)], dim=1))[:, 0]
    assert float((torch.from_numpy(found.y[:, -1]) - truth).abs().max()) < 5e-4


def test_the_reference_obeys_the_conditions():
    x = torch.linspace(-1, 1, 21, dtype=torch.float64)
    start = torch.stack([x, torch.zeros_like(x)], dim=1)
    torch.testing.assert_close(solution(start)[:, 0], -torch.sin(math.pi * x), rtol=0, atol=1e-14)
    walls = torch.tensor([[1.0, 0.3], [-1.0, 0.7]], dtype=torch.float64)
    assert float(solution(walls).abs().max()) < 1e-12
    p = points()
    torch.testing.assert_close(solution(p * torch.tensor([-1.0, 1.0])), -solution(p), rtol=0, atol=1e-12)


@pytest.mark.parametrize("arm", Burgers("quick").arms(), ids=lambda arm: arm.name)
def test_arms_hold_what_they_say(arm):
    task = Burgers("quick")
    module = build(task, arm, 0)
    p = points()
    y = module(p)
    held = conditions().measure(module, p, y).detach()
    odd = mirror().measure(module, p, y).detach()
    assert (float(held.max()) < 1e-14) == ("conditions_hard" in arm.rules)
    assert (float(odd.max()) < 1e-14) == ("odd" in arm.rules)
    data = task.data(0)
    x, target = next(iter(data.loader(data.train)))
    loss = module.training_step((x, target), 0)
    loss.backward()
    assert all(q.grad is not None for q in module.network.parameters())


def test_the_loss_reads_sensors_alone():
    task = Burgers("quick")
    module = build(task, task.arms()[0], 0)
    x, target = next(iter(task.data(0).loader(task.data(0).train)))
    assert int(target[:, 1].sum()) == 100
    changed = target.clone()
    changed[target[:, 1] == 0, 0] = 7.0
    y = module(x)
    assert torch.equal(module.task_loss(y, target), module.task_loss(y, changed))
    seen = target[:, 1] == 1
    torch.testing.assert_close(module.task_loss(y, target), (y[seen, 0] - target[seen, 0]).square().mean())


def test_metrics_of_a_perfect_answer_are_small():
    task = Burgers("quick")

    class Perfect(torch.nn.Module):
        def forward(self, p):
            return solution(p.detach()) + 0.0 * p[:, :1]

    module = build(task, task.arms()[0], 0)
    module.network = Perfect()
    found = task.evaluate(module, task.data(0), 0)
    assert max(found[name] for name in ("relative_l2", "relative_l1", "largest", "at_conditions", "asymmetry")) < 1e-11
    assert equation().name == "Burgers"
