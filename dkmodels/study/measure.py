"""What arms cost: measured apart from training, serially, all arms interleaved in one process.

On a noisy machine only what runs side by side in time can be compared: every round runs every arm once, in an order
that rotates, and an arm's figure is its median over the rounds. Quote ratios.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from dkmodels.module import KnowledgeModule
from dkmodels.study.arm import Arm
from dkmodels.study.cell import fit_key, load_fit
from dkmodels.study.energy import EnergyMeter, find_meter
from dkmodels.study.errors import DifferentStudyError
from dkmodels.study.origin import origin_of, same_code
from dkmodels.study.store import FORMAT, Store
from dkmodels.study.task import Data, Task, Workload

# Operations that move numbers and compute none: that they are not counted is right.
MOVES = frozenset(
    [
        *("view", "reshape", "detach", "permute", "transpose", "t", "unsqueeze", "squeeze", "expand", "slice", "alias"),
        *("select", "index", "flatten", "stack", "cat", "clone", "copy", "to", "to_copy", "empty", "empty_like"),
        *("empty_strided", "new_empty", "new_empty_strided", "new_zeros", "zeros", "zeros_like", "ones", "ones_like"),
        *("full", "full_like", "scalar_tensor", "lift_fresh", "resolve_conj", "resolve_neg", "unsafe_view", "fill"),
        *("zero", "arange", "local_scalar_dense", "scatter", "gather", "split", "unbind", "contiguous", "item"),
        *("masked_fill", "where", "as_strided"),
    ]
)

__all__ = ["count_flops", "measure_seed", "peak_memory"]


def measure_seed(
    task: Task,
    arms: Sequence[Arm],
    seed: int,
    store: Store,
    *,
    origin: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure all arms at one seed and write the seed's cost file.

    Args:
        task: the task; its arms are trained.
        arms: the arms, all of them with a fit in the store.
        seed: the seed.
        store: the results folder.
        origin: what the study is made with, as it was planned; what the task is now by default.
        report: is told what goes on, a line at a time.

    Returns:
        What was written.

    Raises:
        DifferentStudyError: the code is not that of the plan.
    """
    if origin is None:
        origin = origin_of(task)
    elif found := same_code(task, origin):
        raise DifferentStudyError(f"the code of the task changed while the study ran; {'; '.join(found)}")
    torch.set_num_threads(1)
    meter = find_meter(task.cost_device)
    data = task.data(seed)
    rows: list[dict[str, Any]] = []
    uncounted: dict[str, list[str]] = {}
    for arm in arms:
        figure, method = peak_memory(lambda arm=arm: _inference(task, arm, seed, store, data, origin), task.cost_device)  # type: ignore[misc]
        if figure is not None:
            rows.append(_row(arm, "peak_memory", figure / 2**20, method, "inference"))
    modules = {arm: _load(task, arm, seed, store, origin) for arm in arms}
    workloads = {arm: task.workloads(module, data) for arm, module in modules.items()}
    phases = list(dict.fromkeys(phase for loads in workloads.values() for phase in loads))
    for phase in phases:
        present = [arm for arm in arms if phase in workloads[arm]]
        report(f"seed {seed}: {phase}")
        for arm in present:
            flops, missed = count_flops(workloads[arm][phase])
            if flops > 0:
                rows.append(_row(arm, "flops", flops, "torch_flop_counter", phase))
            uncounted.setdefault(phase, [])
            uncounted[phase] = sorted({*uncounted[phase], *missed})
        rows += _timed(present, {arm: workloads[arm][phase] for arm in present}, phase, task.profile.rounds, meter)
    record = {
        "format": FORMAT,
        "task": task.title(),
        "profile": task.profile_name,
        "seed": seed,
        "rows": rows,
        "uncounted": uncounted,
        "rounds": task.profile.rounds,
        "origin": origin,
    }
    store.write_json(store.cost_path(seed), record)
    return record


def _row(arm: Arm, metric: str, value: float, method: str, phase: str) -> dict[str, Any]:
    return {"arm": arm.name, "metric": metric, "value": value, "method": method, "phase": phase}


def _timed(
    arms: Sequence[Arm], workloads: dict[Arm, Workload], phase: str, rounds: int, meter: EnergyMeter
) -> list[dict[str, Any]]:
    """Time and energy an item of every arm, interleaved."""
    seconds: dict[Arm, list[float]] = {arm: [] for arm in arms}
    single: dict[Arm, list[float]] = {arm: [] for arm in arms}
    joules: dict[Arm, list[float]] = {arm: [] for arm in arms}
    for turn in range(rounds + 1):
        shift = turn % len(arms)
        for arm in [*arms[shift:], *arms[:shift]]:
            energy, start = meter.joules(), time.perf_counter()
            done = workloads[arm].run()
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            elapsed, spent = time.perf_counter() - start, meter.joules() - energy
            if turn == 0:  # a warm-up: first calls allocate
                continue
            items = done if isinstance(done, int) else len(done)
            joules[arm].append(spent / items)
            if isinstance(done, int):
                seconds[arm].append(elapsed / items)
            else:
                seconds[arm].append(median(done))
                single[arm].extend(done)
    rows = []
    for arm in arms:
        rows.append(_row(arm, "time", median(seconds[arm]), "interleaved_wall_clock", phase))
        if single[arm]:
            rows.append(_row(arm, "time_p95", float(np.quantile(single[arm], 0.95)), "interleaved_wall_clock", phase))
        if median(joules[arm]) > 0:
            rows.append(_row(arm, "energy", median(joules[arm]), meter.method, phase))
    return rows


class _Seen(TorchDispatchMode):
    """Names of the operations that ran."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: set[Any] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations.add(func)
        return func(*args, **(kwargs or {}))


def count_flops(workload: Workload) -> tuple[float, list[str]]:
    """Floating-point operations an item by torch's counter, and the operations that it does not count.

    Example:
        >>> a = torch.ones(2, 3)
        >>> count_flops(Workload(run=lambda: len(torch.relu(a @ a.T))))
        (12.0, ['aten.relu'])
    """
    with _Seen() as seen, FlopCounterMode(display=False) as counter:
        done = workload.run()
    items = done if isinstance(done, int) else len(done)
    packets = {getattr(operation, "overloadpacket", operation) for operation in seen.operations}
    names = {str(packet) for packet in packets if packet not in flop_registry}
    missed = {name for name in names if name.startswith("aten.") and name.rpartition(".")[2].strip("_") not in MOVES}
    return counter.get_total_flops() / items, sorted(missed)


def _load(task: Task, arm: Arm, seed: int, store: Store, origin: Mapping[str, Any]) -> KnowledgeModule:
    return load_fit(task, arm, seed, store.fit_path(fit_key(task, arm), seed), origin)[0].to(task.cost_device)


def _inference(
    task: Task, arm: Arm, seed: int, store: Store, data: Data, origin: Mapping[str, Any]
) -> list[Callable[[], Any]]:
    loads = task.workloads(_load(task, arm, seed, store, origin), data)
    return [load.run for phase, load in loads.items() if not phase.startswith("train")]


def peak_memory(prepare: Callable[[], list[Callable[[], Any]]], device: str = "cpu") -> tuple[float | None, str]:
    """Peak memory in bytes that runs need above what is resident when they begin, in a process of its own.

    The process is forked from one that has not computed yet, so nothing that earlier runs left behind counts.

    Args:
        prepare: makes the runs; what it allocates does not count.
        device: where they run.

    Returns:
        Bytes and the method, or None where the system cannot fork.
    """
    if device.startswith("cuda"):
        runs = prepare()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        for run in runs:
            run()
        return max(float(torch.cuda.max_memory_allocated() - before), 1.0), "cuda_max_allocated"
    if "fork" not in multiprocessing.get_all_start_methods():
        return None, "none"
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_peak_in_child, args=(prepare, theirs))
    child.start()
    theirs.close()
    try:
        result: float | str = ours.recv()
    except EOFError:
        result = f"process ended with {child.exitcode}"
    child.join()
    if isinstance(result, str):
        raise RuntimeError(f"memory could not be measured: {result}")
    return max(result, 1.0), "vm_hwm" if Path("/proc/self/status").exists() else "max_rss"


def _peak_in_child(prepare: Callable[[], list[Callable[[], Any]]], pipe: Connection) -> None:
    try:
        runs = prepare()
        before = _peak(reset=True)
        for run in runs:
            run()
        pipe.send(_peak() - before)
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def _peak(*, reset: bool = False) -> float:
    """High-water mark of this process's resident memory, bytes; `reset` brings it down to what is resident now."""
    status = Path("/proc/self/status")
    if not status.exists():
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
    if reset:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM"):
            return float(line.split()[1]) * 1024
    return 0.0
