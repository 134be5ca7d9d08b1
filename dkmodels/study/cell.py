"""One cell of a study: an arm at a seed, trained and evaluated."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import psutil
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger

from constraints import NonFiniteError
from dkmodels.module import KnowledgeModule
from dkmodels.random import seed_streams
from dkmodels.study.arm import Arm
from dkmodels.study.errors import DifferentStudyError, StoreError, UsageError
from dkmodels.study.files import changed_files, noting_files
from dkmodels.study.metric import LARGEST
from dkmodels.study.origin import data_digest, files_of, origin_of, same_code
from dkmodels.study.store import FORMAT, Store, write_atomic
from dkmodels.study.task import Data, Task, quiet_trainer

__all__ = ["build", "fit_key", "load_fit", "run_cell"]

LoggerFactory = Callable[[Path], Logger]


def fit_key(task: Task, arm: Arm) -> str:
    """What identifies the training of an arm: its rules that act in training, and its setup.

    Arms that differ only in what happens after training (Decode, Monitor) share one fit: with the same seed their
    weights would be the same to the last bit.
    """
    rules = task.rules()
    training = [name for name in arm.rules if rules[name].trains]
    # Names may differ in case or punctuation only, which a slug does not show.
    told = [training, arm.setting] if arm.setting else training
    mark = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:6]
    return f"{Arm(' + '.join(training) or 'none').slug}-{mark}"


def fit_digest(task: Task, arm: Arm, seed: int, origin: Mapping[str, Any] | None = None) -> str:
    """Changes where a fit would: code, settings, seed, the training rules with their numbers, the setup.

    More seeds, and how costs are measured, change no fit.

    Args:
        task: the task.
        arm: the arm.
        seed: the seed.
        origin: what the study is made with, as it was planned; what the task is now by default.
    """
    origin = origin_of(task) if origin is None else origin
    rules = task.rules()
    training = {name: origin["rules"].get(name) for name, e in rules.items() if name in arm.rules and e.trains}
    made = [origin[name] for name in ("task", "settings", "source", "library")]
    text = json.dumps([*made, seed, training, arm.setting], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _split(found: Mapping[str, float | tuple[int, int]]) -> tuple[dict[str, float], dict[str, list[int]]]:
    """Values, and the counts of those that were given as k of n."""
    counts = {name: [int(v) for v in value] for name, value in found.items() if isinstance(value, tuple)}
    plain = {name: float(value) for name, value in found.items() if not isinstance(value, tuple)}
    return {**plain, **{name: k / n for name, (k, n) in counts.items()}}, counts


def _require_declared(task: Task, metrics: Mapping[str, float]) -> None:
    """A seed whose headline is missing or not a number has failed: left out of the pairs it would flatter its arm."""
    for metric in task.metrics():
        value = metrics.get(metric.name)
        if metric.primary and (value is None or not metric.counts(value)):
            raise NonFiniteError(
                f"metric `{metric.name}` needs a finite value of at most {LARGEST:g}, got {value} of {sorted(metrics)}"
            )


def build(task: Task, arm: Arm, seed: int) -> KnowledgeModule:
    """The untrained module of a cell, its weights drawn from the seed's own stream."""
    streams = seed_streams(seed)
    torch.manual_seed(streams["weights"])
    network = task.network(seed)
    rules = task.rules_of(seed)
    unknown = [name for name in arm.rules if name not in rules]
    if unknown:
        raise UsageError(f"arm `{arm.name}` names rules {unknown}, expected some of {list(rules)}")
    module = task.module(network, {name: rules[name] for name in rules if name in arm.rules})
    module.seed_rules(streams["rules"])
    if arm.setup is not None:
        arm.setup(module)
    return module


@final
class _Curves(Callback):
    """What was logged at each epoch."""

    def __init__(self) -> None:
        self.curves: dict[str, list[list[float]]] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, value in trainer.callback_metrics.items():
            self.curves.setdefault(name, []).append([trainer.current_epoch + 1, float(value)])


def fit(
    task: Task,
    arm: Arm,
    seed: int,
    data: Data,
    path: Path,
    logger: LoggerFactory | None = None,
    *,
    used: str = "",
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Train and keep weights, curves and figures in one file; `used` is the digest of the data."""
    module = build(task, arm, seed)
    streams = seed_streams(seed)
    torch.manual_seed(streams["batches"])
    callbacks = [_Curves(), *task.callbacks(data)]
    process = psutil.Process()
    loggers: Any = logger(path.parent.parent / "logs" / path.stem) if logger else False
    options = {"max_epochs": task.profile.epochs, "logger": loggers, "callbacks": callbacks, **task.trainer_options()}
    trainer = quiet_trainer(**options)
    wall, cpu = time.perf_counter(), time.process_time()
    val = None if data.val is None else data.loader(data.val)
    trainer.fit(module, data.loader(data.train, seed=streams["batches"]), val)
    if trainer.interrupted:
        raise KeyboardInterrupt
    record = {
        "state": module.state_dict(),
        "arm": arm.name,
        "digest": fit_digest(task, arm, seed, origin),
        "data": used,
        "files": files_of(task, path.parent.parent),
        "curves": {name: curve for one in callbacks for name, curve in getattr(one, "curves", {}).items()},
        "seconds": {"fit": time.perf_counter() - wall, "fit_cpu": time.process_time() - cpu},
        "steps": trainer.global_step,
        "rss": process.memory_info().rss,
    }
    file = io.BytesIO()
    torch.save(record, file)
    write_atomic(path, file.getvalue())


def load_fit(
    task: Task, arm: Arm, seed: int, path: Path, origin: Mapping[str, Any] | None = None
) -> tuple[KnowledgeModule, dict[str, Any]]:
    """The trained module of an arm, in evaluation mode, and the record of its training.

    Raises:
        StoreError: a file that cannot be read as a fit.
    """
    try:
        record = torch.load(path, weights_only=True)
    except FileNotFoundError:
        raise StoreError(f"{path} is not there: run the study first") from None
    if record["digest"] != fit_digest(task, arm, seed, origin):
        raise StoreError(f"{path} was trained with other code or settings")
    module = build(task, arm, seed)
    module.load_state_dict(record.pop("state"))
    return module.eval(), record


@lru_cache(maxsize=1)
def cached_data(task: Task, seed: int) -> Data:
    """The data of the latest seed: arms of one seed run after each other. Made in one thread, as in workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return task.data(seed)
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def cached_digest(task: Task, seed: int) -> str:
    """A digest of the data of the latest seed, before anything is trained on them."""
    return data_digest(cached_data(task, seed))


def run_cell(
    task: Task,
    arm: Arm,
    seed: int,
    store: Store,
    *,
    origin: Mapping[str, Any] | None = None,
    command: str = "",
    logger: LoggerFactory | None = None,
) -> dict[str, Any]:
    """Train (or take the shared fit), evaluate, and write the cell's file; a failure is written with its traceback.

    Args:
        task: the task.
        arm: the arm.
        seed: the seed.
        store: the results folder.
        origin: what the study is made with, as it was planned; what the task is now by default.
        command: what a user typed, for the record.
        logger: see `Study`.

    Raises:
        DifferentStudyError: the code is not that of the plan: a file was edited while the study ran.
        StoreError: a file that cannot be read or written.
    """
    started = time.perf_counter()
    if origin is None:
        origin = origin_of(task)
    elif found := same_code(task, origin):
        raise DifferentStudyError(f"the code of the task changed while the study ran; {'; '.join(found)}")
    rules = task.rules()
    record: dict[str, Any] = {
        "format": FORMAT,
        "task": task.title(),
        "profile": task.profile_name,
        "arm": arm.name,
        "seed": seed,
        "rules": {
            name: {"rule": rules[name].rule.name, "embedding": type(rules[name]).__name__, **rules[name].settings()}
            for name in arm.rules
            if name in rules
        },
        "setup": arm.setting,
        "origin": {**origin, "arms": {name: v for name, v in origin["arms"].items() if name == arm.name}},
        "command": command,
        "pid": os.getpid(),
    }
    with noting_files(task):
        record |= _train_and_evaluate(task, arm, seed, store, origin, logger, started)
    record["files"] = {**record.get("files", {}), **files_of(task, store.folder)}
    store.write_json(store.cell_path(arm.slug, seed), record)
    return record


def _train_and_evaluate(
    task: Task,
    arm: Arm,
    seed: int,
    store: Store,
    origin: Mapping[str, Any],
    logger: LoggerFactory | None,
    started: float,
) -> dict[str, Any]:
    """What a cell's record holds of its training and evaluation, or of its failure."""
    record: dict[str, Any] = {}
    try:
        data = cached_data(task, seed)
        record["data"] = cached_digest(task, seed)
        path = store.fit_path(fit_key(task, arm), seed)
        try:
            module, training = load_fit(task, arm, seed, path, origin)
            if training.get("data") != record["data"]:
                raise StoreError(f"{path} was trained on other data")
            if found := changed_files(task, training.get("files", {})):
                raise StoreError(f"{path} was trained with other files: {'; '.join(found)}")
        except Exception:  # not there, damaged, or of another profile or other settings: train
            fit(task, arm, seed, data, path, logger, used=record["data"], origin=origin)
            module, training = load_fit(task, arm, seed, path, origin)
        evaluated = time.perf_counter()
        torch.manual_seed(seed_streams(seed)["rules"])
        metrics, counts = _split(task.evaluate(module, data, seed))
        _require_declared(task, metrics)
        seconds = {**training["seconds"], "evaluate": time.perf_counter() - evaluated}
        record |= {
            "status": "done",
            "metrics": metrics,
            "counts": counts,
            "curves": training["curves"],
            "seconds": {**seconds, "cell": time.perf_counter() - started},
            "system": {"steps": training["steps"], "rss_mib": psutil.Process().memory_info().rss / 2**20},
            "fit": path.name,
            "trained_here": training["arm"] == arm.name,
            "files": training.get("files", {}),
            "traceback": None,
        }
    except (KeyboardInterrupt, StoreError):
        raise
    except Exception as error:
        record |= {
            "status": "failed",
            "metrics": {},
            "curves": {},
            "seconds": {"cell": time.perf_counter() - started},
            "error": f"{type(error).__name__}: {error}",
            "traceback": traceback.format_exc(),
        }
    return record
