"""Projection onto polytopes beside the peers, at equal accuracy, in one process on one core.

    pip install -e ".[peers]"        # and qpth, where it installs
    taskset -c 0 python -m benchmarks.speed.projection --out docs/speed

Every case is `{A y <= b}` with its own random rows; all methods project the same values in turn, round after round.
Beside the time of each stand how far its points are outside and how far from the nearest points. A case that is done
is kept in `projection.jsonl` and not measured again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from benchmarks.speed.interleave import interleave, ratio, shortest
from benchmarks.speed.projection_peers import METHODS, Case, LeftOut, Numbers, Runner
from benchmarks.speed.projection_report import write_report

CASES = (
    Case(10, 5, 64),
    *(Case(20, 10, batch) for batch in (1, 16, 64, 256, 1024, 4096)),
    *(Case(100, 50, batch) for batch in (1, 16, 64, 256, 1024, 4096)),
    *(Case(10, m, 64) for m in (10, 50, 200, 500)),
    *(Case(100, m, 64) for m in (10, 200, 500)),
    *(Case(1000, m, 64) for m in (10, 100, 500)),
    Case(1000, 500, 512),
)
CHECKED = 8  # samples whose distance to the nearest point is taken


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Projection onto polytopes beside the peers.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the records, the table and the plot")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--budget", type=float, default=3.0, help="seconds a method and case, forward or backward")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, metavar="METHOD")
    parser.add_argument("--cases", nargs="+", type=_case, default=CASES, metavar="n,m,batch")
    parser.add_argument("--memory", action="store_true", help="only print the peak memory of the one case, in MiB")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.memory:
        print(peak_memory(options.methods[0], options.cases[0]))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "projection.jsonl"
    done = {record["case"] for record in _records(path)}
    for case in options.cases:
        if str(case) in done:
            continue
        record = measure(case, options.methods, options.rounds, options.budget)
        with path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(_line(record), flush=True)
    write_report(_records(path), options.out)
    return 0


def measure(case: Case, methods: Sequence[str], rounds: int, budget: float) -> dict[str, Any]:
    """One case: times, accuracy and memory of every method, and why some are left out."""
    runners: dict[str, Runner] = {}
    left_out: dict[str, str] = {}
    points: dict[str, Numbers] = {}
    for name in methods:
        try:
            runner = METHODS[name](case)
            points[name] = runner.forward()
            runner.backward()
        except LeftOut as why:
            left_out[name] = str(why)
            continue
        except Exception as error:  # a peer may fail in any way: its row says how
            left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            continue
        runners[name] = runner
    forward = interleave({name: runner.forward for name, runner in runners.items()}, rounds=rounds, budget=budget)
    backward = interleave({name: runner.backward for name, runner in runners.items()}, rounds=rounds, budget=budget)
    system = case.system()
    nearest = nearest_points(case)
    return {
        "case": str(case),
        "n": case.n,
        "m": case.m,
        "batch": case.batch,
        "torch": torch.__version__,
        "left_out": left_out,
        "methods": {
            name: {
                "note": runner.note,
                "forward_s": shortest(forward, name),
                "forward_to_ours": ratio(forward, name, "ours"),
                "backward_s": shortest(backward, name),
                "backward_to_ours": ratio(backward, name, "ours"),
                "violation": None if name == "floor" else violation(points[name], system),
                "error": None if name == "floor" else distance(points[name], nearest),
                "memory_mib": _memory_apart(name, case) if case.batch >= 1024 else None,  # else it is lost in noise
            }
            for name, runner in runners.items()
        },
    }


def violation(points: Numbers, system: tuple[Numbers, Numbers, Numbers]) -> float:
    """The worst of `(A y - b)_i / (|A_i| max(1, |y|_inf) + |b_i|)`."""
    a, b, _ = system
    size = np.linalg.norm(a, axis=1) * np.maximum(np.abs(points).max(axis=1, keepdims=True), 1.0) + np.abs(b)
    return float(np.maximum((points @ a.T - b) / size, 0.0).max())


def nearest_points(case: Case) -> Numbers:
    """The nearest points of the first samples, by Lawson and Hanson's active-set method for least distances.

    Source: Lawson and Hanson, "Solving Least Squares Problems", chapter 23, doi:10.1137/1.9781611971217.
    """
    a, b, v = case.system()
    found = []
    for sample in v[:CHECKED]:
        system = np.concatenate([-a.T, (a @ sample - b)[None]])
        multiplier, _ = nnls(system, np.eye(case.n + 1)[-1], maxiter=100 * case.m)
        rest = system @ multiplier - np.eye(case.n + 1)[-1]
        found.append(sample - rest[:-1] / rest[-1])
    return np.array(found)


def distance(points: Numbers, nearest: Numbers) -> float:
    """The largest difference to the nearest points, relative to their largest coordinate."""
    return float(np.abs(points[: len(nearest)] - nearest).max() / max(np.abs(nearest).max(), 1.0))


def peak_memory(name: str, case: Case) -> float:
    """MiB by which the peak of this process grows over building, forward and backward (Linux)."""
    METHODS[name](Case(2, 2, 2)).backward()  # imports, and what every method allocates once
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _peak()
    runner = METHODS[name](case)
    runner.forward()
    runner.backward()
    return _peak() - before


def _peak() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return float(line.split()[1]) / 1024.0


def _memory_apart(name: str, case: Case) -> float | None:
    command = [sys.executable, "-m", "benchmarks.speed.projection", "--out", ".", "--memory"]
    command += ["--methods", name, "--cases", f"{case.n},{case.m},{case.batch}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(ended.stdout.split()[-1]) if ended.returncode == 0 else None


def _records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _line(record: dict[str, Any]) -> str:
    parts = [
        f"{name} {m['forward_to_ours']:.3g}x/{m['backward_to_ours']:.3g}x" for name, m in record["methods"].items()
    ]
    return f"{record['case']}: {', '.join(parts)}; left out: {', '.join(record['left_out']) or 'none'}"


def _case(text: str) -> Case:
    n, m, batch = (int(part) for part in text.split(","))
    return Case(n, m, batch)


if __name__ == "__main__":
    sys.exit(main())
