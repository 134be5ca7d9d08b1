"""Which cells are still to run, and running them side by side."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from dkmodels.study.arm import Arm
from dkmodels.study.cell import LoggerFactory, fit_key
from dkmodels.study.errors import UsageError
from dkmodels.study.store import FORMAT, Store
from dkmodels.study.task import Task
from dkmodels.study.worker import Source, run_group, start_worker

__all__ = ["Group", "Shard", "pending_groups", "pool", "run_groups", "stop"]


@final
@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count` of a study, for several machines.

    Example:
        >>> Shard.parse("2/4")
        Shard(index=2, count=4)
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise UsageError(f"a shard is i/N with 1 <= i <= N, got {self.index}/{self.count}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "i/N"."""
        left, _, right = text.partition("/")
        if not (left.isdecimal() and right.isdecimal()):
            raise UsageError(f"a shard is i/N, such as 1/4, got {text!r}")
        return cls(int(left), int(right))


@final
@dataclass(frozen=True, slots=True)
class Group:
    """Cells of one seed that share a fit: they run after each other, in one process."""

    seed: int
    arms: tuple[Arm, ...]


def pending_groups(
    task: Task, arms: Sequence[Arm], seeds: Sequence[int], store: Store, *, retry_failed: bool, shard: Shard | None
) -> list[Group]:
    """What is left to run; cells that failed count as run unless `retry_failed`."""
    groups: list[Group] = []
    number = 0
    for seed in seeds:
        by_fit: dict[str, list[Arm]] = {}
        for arm in arms:
            by_fit.setdefault(fit_key(task, arm), []).append(arm)
        for members in by_fit.values():
            number += 1
            if shard and number % shard.count != shard.index % shard.count:
                continue
            left = tuple(arm for arm in members if _pending(store.cell(arm.slug, seed), retry_failed))
            if left:
                groups.append(Group(seed, left))
    return groups


def _pending(cell: dict[str, Any] | None, retry_failed: bool) -> bool:
    return cell is None or (cell["status"] == "failed" and retry_failed)


def pool(workers: int, source: Source) -> ProcessPoolExecutor:
    """Worker processes that begin from nothing."""
    return ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=start_worker,
        initargs=(os.getpid(), list(sys.path), source),
    )


def run_groups(
    groups: Sequence[Group],
    source: Source,
    store: Store,
    *,
    workers: int,
    command: str,
    logger: LoggerFactory | None,
    done: Callable[[str, int, str], None],
) -> None:
    """Run groups in worker processes; `done` hears of every cell soon after its file is there.

    A worker that dies (out of memory, say) fails the cells of its group and no others.
    """
    waiting = list(groups)
    while waiting:
        executor = pool(workers, source)
        running: dict[Future[list[tuple[str, int, str]]], Group] = {}
        heard: set[Path] = set()
        broken = False
        try:
            while (waiting or running) and not broken:
                while waiting and len(running) < workers:
                    group = waiting[0]
                    try:
                        future = executor.submit(
                            run_group, source, group.arms, group.seed, store.folder, command, logger
                        )
                    except BrokenProcessPool:
                        broken = True
                        break
                    running[future] = waiting.pop(0)
                finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                _tell(running.values(), store, heard, done)
                for future in finished:
                    group = running.pop(future)
                    try:
                        future.result()
                    except BrokenProcessPool:
                        broken = True
                        running[future] = group
                        break
        except BaseException:
            stop(executor)
            raise
        if broken:
            stop(executor)
            # Which of the groups killed its worker cannot be known: alone, each shows it.
            if workers == 1:
                for group in running.values():
                    _fail(group, store, source)
                    _tell([group], store, heard, done)
            else:
                for group in running.values():
                    left = tuple(arm for arm in group.arms if store.cell(arm.slug, group.seed) is None)
                    if left:
                        run_groups(
                            [Group(group.seed, left)],
                            source,
                            store,
                            workers=1,
                            command=command,
                            logger=logger,
                            done=done,
                        )
        else:
            executor.shutdown()


def _tell(groups: Any, store: Store, heard: set[Path], done: Callable[[str, int, str], None]) -> None:
    for group in groups:
        for arm in group.arms:
            path = store.cell_path(arm.slug, group.seed)
            if path not in heard and path.exists():
                cell = store.cell(arm.slug, group.seed)
                if cell is not None:
                    heard.add(path)
                    done(arm.name, group.seed, str(cell["status"]))


def _fail(group: Group, store: Store, source: Source) -> None:
    manifest = store.manifest()
    for arm in group.arms:
        if store.cell(arm.slug, group.seed) is None:
            record = {
                "format": FORMAT,
                "task": manifest["task"],
                "profile": source.profile,
                "setup": arm.setting,
                "origin": manifest["origin"],
                "arm": arm.name,
                "seed": group.seed,
                "status": "failed",
                "metrics": {},
                "curves": {},
                "seconds": {},
                "rules": {name: rule for name, rule in manifest["rules"].items() if name in arm.rules},
                "error": "the worker process died (killed, or out of memory)",
                "traceback": "the worker process died before it could leave a traceback",
            }
            store.write_json(store.cell_path(arm.slug, group.seed), record)


def stop(executor: ProcessPoolExecutor) -> None:
    """End a pool and what its workers are doing."""
    processes = list((executor._processes or {}).values())
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(timeout=5)
