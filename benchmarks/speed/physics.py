"""One physics-informed training step by us, DeepXDE, PINA, TorchPhysics, jinns, jax, and nested autograd by hand.

    pip install deepxde pina-mathlab torchphysics jinns "jax[cpu]"
    OMP_NUM_THREADS=1 taskset -c 0 python -m benchmarks.speed.physics --compiled --peers all --memory --out docs/speed

A step is the loss and its gradients, of the same network at the same 1,000 points, float32, one core; gradients of all
are compared before anything is timed. All in turn in one process, round after round; ratios within a round, medians
over rounds. The floor is the matrix products between hidden layers of our forward jets alone, forward and backward.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.utils import counters

from benchmarks.speed.interleave import interleave, ratio, shortest
from benchmarks.speed.jets import POINTS, SIZES, floor_of
from benchmarks.speed.physics_jax import Jax, Jinns
from benchmarks.speed.physics_peers import DeepXDE, Pina, TorchPhysics
from benchmarks.speed.physics_problems import PROBLEMS, Problem, network_of
from benchmarks.speed.physics_report import write_report
from benchmarks.speed.physics_steps import Compiled, Declared, DeclaredCompiled, Nested, Ours, Step

OURS: Mapping[str, type[Step]] = {"nested": Nested, "ours": Ours, "declared": Declared}
COMPILED: Mapping[str, type[Step]] = {"ours, compiled": Compiled, "declared, compiled": DeclaredCompiled}
PEERS: Mapping[str, type[Step]] = {
    "DeepXDE": DeepXDE,
    "PINA": Pina,
    "TorchPhysics": TorchPhysics,
    "jinns": Jinns,
    "jax": Jax,
}
PACKAGES = ("torch", "deepxde", "pina-mathlab", "torchphysics", "jinns", "jax")
TOLERANCE = 1e-4  # of gradients, relative to their norm: float32, fourth derivatives


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="One physics-informed training step beside the peers.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--budget", type=float, default=3.0, help="seconds for one competitor in one row")
    parser.add_argument("--compiled", action="store_true", help="ours under torch.compile, too")
    parser.add_argument("--peers", nargs="+", default=[], choices=[*PEERS, "all"], metavar="PEER")
    parser.add_argument("--memory", action="store_true", help="the peak of a step, too, in a process for each")
    parser.add_argument("--memory-of", choices=[*OURS, *COMPILED, *PEERS], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.memory_of:
        print(json.dumps(peaks(options.memory_of)))
        return 0
    steps = {
        **OURS,
        **(COMPILED if options.compiled else {}),
        **{name: step for name, step in PEERS.items() if {name, "all"} & set(options.peers)},
    }
    record: dict[str, Any] = {
        "command": f"python -m benchmarks.speed.physics {' '.join(sys.argv[1:] if arguments is None else arguments)}",
        "versions": {name: _version(name) for name in PACKAGES},
        "rows": [],
        "memory": {},
    }
    for problem in PROBLEMS:
        for depth, width in SIZES:
            record["rows"].append(measure(problem, depth, width, steps, options.rounds, options.budget))
            print(_line(record["rows"][-1]), flush=True)
            _save(record, options.out)  # row by row: a run that is cut off is not lost
    if options.memory:
        record["memory"] = {name: _peaks_apart(name) for name in steps}
        _save(record, options.out)
    return 0


def measure(
    problem: Problem, depth: int, width: int, steps: Mapping[str, type[Step]], rounds: int, budget: float
) -> dict[str, Any]:
    """One row: speeds relative to nested autograd, and why some are left out."""
    torch._dynamo.reset()
    network, points = network_of(problem, depth, width), points_of(problem)
    made: dict[str, Step] = {}
    graphs: dict[str, int] = {}
    left_out: dict[str, str] = {}
    for name, kind in steps.items():
        counters.clear()
        try:
            step = kind(problem, network, points)
            step()
        except Exception as error:  # a peer may be absent, or fail in any way: its row says how
            left_out[name] = f"{type(error).__name__}: {error}".strip().splitlines()[0][:160]
            continue
        made[name] = step
        graphs[name] = counters["stats"]["unique_graphs"]
    expected = _flat(made["nested"])
    for name, step in made.items():
        difference = float((_flat(step) - expected).norm() / expected.norm())
        if not difference < TOLERANCE:
            raise AssertionError(f"{problem}, {depth} x {width}: gradients of {name} differ by {difference:.1e}")
    streams = int(problem.derivatives.explain(network).split()[3])
    calls: dict[str, Callable[[], Any]] = {**made, "floor": floor_of(streams, depth, width, torch.float32)}
    with torch._dynamo.config.patch(error_on_recompile=True):
        times = interleave(calls, rounds=rounds, budget=budget)
    return {
        "problem": str(problem),
        "network": f"{depth} x {width}",
        "streams": streams,
        "nested_ms": 1e3 * shortest(times, "nested"),
        "speed": {name: 1.0 / ratio(times, name, "nested") for name in made},
        "to_floor": {name: ratio(times, name, "floor") for name in made},
        "graphs": {name: count for name, count in graphs.items() if count},
        "left_out": left_out,
    }


def points_of(problem: Problem) -> torch.Tensor:
    """In the unit cube, `(n, d)`."""
    return torch.rand(POINTS, len(problem.coordinates), generator=torch.Generator().manual_seed(0))


def peaks(name: str) -> dict[str, float]:
    """MiB by which a warm step raises the peak of this process, by problem, the largest network (Linux)."""
    kind = {**OURS, **COMPILED, **PEERS}[name]
    found = {}
    for problem in PROBLEMS:
        torch._dynamo.reset()
        try:
            step = kind(problem, network_of(problem, *SIZES[-1]), points_of(problem))
            step()
        except Exception:  # the table of times says why
            continue
        step()
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _peak()
        step()
        found[str(problem)] = _peak() - before
    return found


def _peaks_apart(name: str) -> dict[str, float]:
    """In a fresh process, whose large tensors go back to the system when they are freed."""
    command = [sys.executable, "-m", "benchmarks.speed.physics", "--memory-of", name]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1]) if ended.returncode == 0 else {}
    return found


def _peak() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return float(line.split()[1]) / 1024.0


def _save(record: Mapping[str, Any], out: Path | None) -> None:
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "physics.json").write_text(json.dumps(record, indent=1) + "\n")
        write_report(record, out)


def _flat(step: Step) -> torch.Tensor:
    return torch.cat([gradient.flatten() for gradient in step.gradients()])


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _line(row: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{name} {speed:.2f}" for name, speed in row["speed"].items())
    return f"{row['problem']}, {row['network']}: {parts}; left out: {', '.join(row['left_out']) or 'none'}"


if __name__ == "__main__":
    sys.exit(main())
