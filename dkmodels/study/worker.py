"""Processes that run cells: one thread each, so that results do not depend on how many there are."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import torch

from dkmodels.study.arm import Arm
from dkmodels.study.cell import LoggerFactory, run_cell
from dkmodels.study.measure import measure_seed
from dkmodels.study.store import Store
from dkmodels.study.task import Task, load_task

__all__ = ["Source", "measure_in_worker", "quieten", "run_group", "start_worker"]


@final
@dataclass(frozen=True, slots=True)
class Source:
    """How a process of its own gets the task: by reference, or pickled where there is none.

    Attributes:
        reference: as `load_task` takes it, or "".
        profile: name of the profile.
        pickled: the task, where there is no reference.
    """

    reference: str
    profile: str
    pickled: bytes = b""

    @classmethod
    def of(cls, task: Task, reference: str = "") -> Source:
        """The source of a task."""
        return cls(reference, task.profile_name, b"" if reference else pickle.dumps(task))

    def task(self) -> Task:
        """The task, the same object at every call within a process."""
        return _task(self)


@lru_cache(maxsize=1)
def _task(source: Source) -> Task:
    if source.pickled:
        task: Task = pickle.loads(source.pickled)  # from our own parent process
        return task
    return load_task(source.reference, source.profile)


def quieten() -> None:
    """Silence Lightning's hints: a study trains many small models on purpose."""
    for name in ("pytorch_lightning", "lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"pytorch_lightning.*|lightning_fabric.*|torchmetrics.*")
    warnings.filterwarnings("ignore", message=r".*(does not have many workers|lightning|tensorboard|litlogger).*")


def start_worker(parent: int, path: Sequence[str], source: Source) -> None:
    """Make this process a worker: quiet, single-threaded, gone when its parent is.

    The task is loaded first: arms may have functions of its file, which are found under its name.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    sys.path[:] = list(path)
    torch.set_num_threads(1)
    quieten()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    with contextlib.suppress(Exception):  # told where the task is needed
        source.task()


def run_group(
    source: Source, arms: Sequence[Arm], seed: int, folder: Path, command: str, logger: LoggerFactory | None
) -> list[tuple[str, int, str]]:
    """Run cells of one seed that share a fit; returns (arm, seed, status) of each."""
    store, done = Store(folder), []
    origin = store.manifest()["origin"]
    for arm in arms:
        record = run_cell(source.task(), arm, seed, store, origin=origin, command=command, logger=logger)
        done.append((arm.name, seed, str(record["status"])))
    return done


def measure_in_worker(source: Source, arms: Sequence[Arm], seed: int, folder: Path) -> dict[str, Any]:
    """Measure the costs of one seed."""
    store = Store(folder)
    return measure_seed(source.task(), arms, seed, store, origin=store.manifest()["origin"])
