"""One training step on derivatives of a network: forward jets beside hand-written nested autograd.

    OMP_NUM_THREADS=1 taskset -c 0 python -m benchmarks.speed.jets --compiled --out docs/speed

A step is the residual at 1,000 points, its mean square and the backward pass; tanh networks, one thread. The floor is
the matrix products of the jets between hidden layers alone, forward and backward. All in turn in one process, round
after round; ratios within a round, medians over rounds. Nested autograd asks for no derivative that it does not need,
and runs eagerly: torch cannot differentiate twice through what it has compiled.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.interleave import interleave, ratio, shortest
from constraints.fields import Derivatives, laplacian, partials

POINTS = 1000
SIZES = ((3, 20), (4, 50), (5, 100))  # hidden layers, width
NU = 0.01
Residual = Callable[[nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class Problem:
    name: str
    inputs: int
    derivatives: Derivatives
    residual: Callable[..., Tensor]  # of the derivatives
    nested: Residual
    aim: float


def gradient(u: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad(u.sum(), x, create_graph=True)[0]


def nested_laplacian(u: Tensor, x: Tensor) -> Tensor:
    g = gradient(u, x)
    return torch.stack([gradient(g[:, i], x)[:, i] for i in range(x.shape[1])]).sum(dim=0)[:, None]


def nested_burgers(network: nn.Module, x: Tensor) -> Tensor:
    u: Tensor = network(x)
    g = gradient(u, x)
    second = gradient(g[:, 0], x)[:, :1]
    return g[:, 1:] + u * g[:, :1] - NU * second


def problems() -> list[Problem]:
    dx, dt = partials(2)
    burgers = Problem(
        "Burgers",
        2,
        Derivatives([(0, 0), dx, dt, dx**2]),
        lambda u, u_x, u_t, u_xx: u_t + u * u_x - NU * u_xx,
        nested_burgers,
        1.0,
    )
    harmonic = [
        Problem(
            f"Laplacian, {n}d",
            n,
            Derivatives([laplacian(n)]),
            lambda value: value,
            lambda network, x: nested_laplacian(network(x), x),
            aim,
        )
        for n, aim in ((2, 1.3), (10, 3.0), (50, 8.0))
    ]
    fourth = Problem(
        "biharmonic, 2d",
        2,
        Derivatives([laplacian(2) ** 2]),
        lambda value: value,
        lambda network, x: nested_laplacian(nested_laplacian(network(x), x), x),
        2.0,
    )
    return [burgers, *harmonic, fourth]


def network_of(inputs: int, depth: int, width: int, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    size = inputs
    for _ in range(depth):
        layers += [nn.Linear(size, width), nn.Tanh()]
        size = width
    return nn.Sequential(*layers, nn.Linear(width, 1)).to(dtype)


def step_of(network: nn.Module, residual: Residual, points: Tensor) -> Callable[[], Any]:
    def call() -> None:
        network.zero_grad()
        residual(network, points).square().mean().backward()

    return call


def floor_of(streams: int, depth: int, width: int, dtype: torch.dtype) -> Callable[[], Any]:
    weights = [torch.randn(width, width, dtype=dtype) for _ in range(depth - 1)]
    stack = torch.randn(width, streams * POINTS, dtype=dtype)

    def call() -> None:
        for weight in weights:
            weight @ stack
            weight.mT @ stack
            stack @ stack.mT

    return call


def agree(network: nn.Module, one: Residual, two: Residual, points: Tensor) -> float:
    """The largest relative difference of the gradients: nothing is timed that computes something else."""
    found = [
        torch.autograd.grad(residual(network, points).square().mean(), list(network.parameters())[:-1])
        for residual in (one, two)
    ]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*found, strict=True))


def measure(problem: Problem, depth: int, width: int, dtype: torch.dtype, options: argparse.Namespace) -> str:
    network = network_of(problem.inputs, depth, width, dtype)
    points = torch.rand(POINTS, problem.inputs, dtype=dtype)
    with_grad = points.clone().requires_grad_()

    def jets(net: nn.Module, x: Tensor) -> Tensor:
        return problem.residual(*problem.derivatives(net, x))

    difference = agree(network, jets, problem.nested, with_grad)
    assert difference < (1e-8 if dtype == torch.float64 else 2e-2), difference
    streams = problem.derivatives.explain(network).split()[3]
    calls = {
        "nested": step_of(network, problem.nested, with_grad),
        "jets": step_of(network, jets, points),
        "floor": floor_of(int(streams), depth, width, dtype),
    }
    if options.compiled:
        torch._dynamo.reset()
        calls["compiled"] = step_of(network, torch.compile(jets), points)
    times = interleave(calls, rounds=options.rounds, budget=options.budget)
    gain = 1.0 / ratio(times, "jets", "nested")
    compiled = f"{1.0 / ratio(times, 'compiled', 'nested'):.2f}" if options.compiled else "-"
    return (
        f"| {problem.name} | {depth} x {width} | {'f32' if dtype == torch.float32 else 'f64'} | {streams} | {gain:.2f} "
        f"| {compiled} | {problem.aim:.1f} | {ratio(times, 'jets', 'floor'):.1f} "
        f"| {1e3 * shortest(times, 'jets'):.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--budget", type=float, default=4.0, help="seconds for one competitor in one row")
    parser.add_argument("--compiled", action="store_true", help="the jets' residual under torch.compile, too")
    parser.add_argument("--double", action="store_true", help="float64, too")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "| problem | network | dtype | streams | nested / jets | nested / compiled | aim (eager) | jets / floor | ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for dtype in (torch.float32, torch.float64) if options.double else (torch.float32,):
        for problem in problems():
            for depth, width in SIZES:
                lines.append(measure(problem, depth, width, dtype, options))
                print(lines[-1], flush=True)
    if options.out is not None:
        command = f"OMP_NUM_THREADS=1 taskset -c 0 python -m benchmarks.speed.jets {' '.join(sys.argv[1:])}"
        text = (
            f"# Derivatives of networks: forward jets beside nested autograd\n\nMade by `{command}`.\n\n"
            f"One training step (residual at {POINTS:,} points, mean square, backward) of a tanh network; torch "
            f"{torch.__version__}, one thread of a shared machine. Ratios are medians over interleaved rounds, above 1 "
            f"where jets are faster; the floor is the matrix products of the streams between hidden layers alone; ms "
            f"is the shortest eager step.\n\n"
        )
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "jets.md").write_text(text + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
