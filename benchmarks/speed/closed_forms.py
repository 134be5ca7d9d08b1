"""Closed-form projections beside the matrix product of a linear layer with as many outputs.

    taskset -c 0 python -m benchmarks.speed.closed_forms --out docs/speed

The floor is `v @ W.mT + b` with `W` square: what the last layer of the network costs anyway. One core, float32, all
sets in turn, round after round; ratios within a round, medians over rounds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.interleave import interleave, ratio
from constraints import (
    Affine,
    Box,
    BoxEquality,
    HalfSpace,
    L1Ball,
    L2Ball,
    LinfBall,
    OrderedCone,
    SecondOrderCone,
    SemidefiniteCone,
    Simplex,
)

FLOOR = "floor"
SIZES = ((16, 64), (16, 1024), (100, 64), (100, 1024), (400, 1024))  # outputs (a square number), batch


def sets(n: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """The projections of vectors with `n` outputs; symmetric matrices have as many entries."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(max(n // 4, 1), n, generator=generator)
    side = round(n**0.5)
    cone = SemidefiniteCone(side)
    return {
        "Box": Box(low=-0.5, high=0.5).project,
        "HalfSpace": HalfSpace(rows[0], 0.0).project,
        "Affine, n/4 rows": Affine(rows, torch.zeros(len(rows))).project,
        "Simplex": Simplex().project,
        "Simplex, squash": Simplex().squash,
        "BoxEquality": BoxEquality(torch.ones(n), target=0.0, low=-1.0, high=1.0).project,
        "L1Ball": L1Ball(1.0).project,
        "L2Ball": L2Ball(1.0).project,
        "LinfBall": LinfBall(1.0).project,
        "OrderedCone": OrderedCone().project,
        "SecondOrderCone": SecondOrderCone().project,
        "SemidefiniteCone": lambda v: cone.project(v.view(-1, side, side)).flatten(1),
    }


def measure(n: int, batch: int, rounds: int) -> list[tuple[str, float, float]]:
    """Name, forward and forward with backward, both as ratios to the floor."""
    generator = torch.Generator().manual_seed(1)
    value = torch.randn(batch, n, generator=generator)
    layer = torch.nn.Linear(n, n)
    maps: dict[str, Callable[[Tensor], Tensor]] = {FLOOR: layer, **sets(n)}
    given = {name: value.clone().requires_grad_() for name in maps}

    def forward(name: str) -> Callable[[], Any]:
        def call() -> None:
            with torch.no_grad():
                maps[name](value)

        return call

    def backward(name: str) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(maps[name](given[name]).square().sum(), given[name])

    ahead = interleave({name: forward(name) for name in maps}, rounds=rounds, budget=10.0)
    back = interleave({name: backward(name) for name in maps}, rounds=rounds, budget=10.0)
    return [(name, ratio(ahead, name, FLOOR), ratio(back, name, FLOOR)) for name in maps if name != FLOOR]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Closed-form projections beside a linear layer.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the table")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    columns: dict[str, list[str]] = {}
    for n, batch in SIZES:
        for name, ahead, back in measure(n, batch, options.rounds):
            columns.setdefault(name, []).append(f"{ahead:.2g}, {back:.2g}")
        print(f"n = {n}, batch {batch} done", flush=True)
    lines = [
        "# Closed forms beside a linear layer",
        "",
        "Made by `taskset -c 0 python -m benchmarks.speed.closed_forms --out docs/speed`: time as a ratio to a linear "
        "layer `n -> n` (float32, one core, medians over rounds), forward, then forward and backward.",
        "",
        "| set | " + " | ".join(f"n = {n}, batch {batch}" for n, batch in SIZES) + " |",
        "| --- |" + " --- |" * len(SIZES),
        *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in columns.items()),
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "closed_forms.md").write_text("\n".join(lines) + "\n")
    print(options.out / "closed_forms.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
