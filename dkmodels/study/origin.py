"""What a cell is made with: rules, settings and code; and how two of these differ, in words."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, TensorDataset

from constraints import Embedding
from dkmodels.module import KnowledgeModule
from dkmodels.study.difference import DRAWN, common, differences
from dkmodels.study.environment import describe_code
from dkmodels.study.files import files_read
from dkmodels.study.fingerprint import describe, digest, private_attributes, public_attributes
from dkmodels.study.sources import library_source, source_files, task_sources
from dkmodels.study.structure import describe_module
from dkmodels.study.task import Data, Task

__all__ = ["code_of", "data_digest", "files_of", "origin_of", "rule_records", "same_code", "settings_of"]


def origin_of(
    task: Task, modules: Mapping[str, KnowledgeModule] | None = None, *, seed: int = 0, data: Data | None = None
) -> dict[str, Any]:
    """What cells of a task are made with now: the same in every process, and for more seeds or arms.

    Args:
        task: the task.
        modules: a module that was just built by the name of its arm, which is described.
        seed: the seed at which they were built.
        data: the data for which the callbacks are made that are described.
    """
    return {
        "task": task.title(),
        "profile": task.profile_name,
        "settings": settings_of(task),
        "rules": rule_records(task),
        "seed": seed,
        "arms": {name: describe_module(module) for name, module in (modules or {}).items()},
        "callbacks": {} if data is None else _callbacks(task, data),
        **code_of(task),
        **describe_code(),
    }


def _callbacks(task: Task, data: Data) -> dict[str, Any]:
    return {
        f"{i} {type(callback).__qualname__}": describe(callback, whole=True)
        for i, callback in enumerate(task.callbacks(data))
    }


def code_of(task: Task) -> dict[str, Any]:
    """Digests of the sources of the task and of this library."""
    return {"source": task_sources(_roots(task)), "library": library_source()}


def _roots(task: Task) -> list[Any]:
    """Where the code of a task begins."""
    return [type(task), *(arm.setup for arm in task.arms() if arm.setup is not None)]


def files_of(task: Task, results: Path) -> dict[str, str]:
    """Digests of the files that code of the user has read for a task in this process, but for those of its results."""
    return files_read(task, source_files(_roots(task)), results)


def same_code(task: Task, origin: Mapping[str, Any]) -> list[str]:
    """How the code of this process differs from that of an origin; empty where it does not."""
    now = code_of(task)
    return differences({key: origin.get(key) for key in now}, now)


def settings_of(task: Task) -> dict[str, Any]:
    """The profile, the task's own attributes and the options of its trainer; seeds and rounds change no cell."""
    profile = replace(task.profile, seeds=0, rounds=0, cost_seeds=0)
    own = {name: value for name, value in public_attributes(task).items() if name not in ("profile", "profile_name")}
    described: dict[str, Any] = describe({**public_attributes(profile), **own})
    for name in ("seeds", "rounds", "cost_seeds"):
        described.pop(name)
    made = _made(task)
    drawn = made if isinstance(made, dict) else {}
    told = {name: DRAWN if drawn.get(name) == DRAWN else value for name, value in described.items()}
    trainer = common(*(describe(task.trainer_options(), whole=True) for _ in range(2)))
    return {**told, "trainer": trainer, "made": made}


def _made(task: Task) -> dict[str, Any] | str:
    """What of a task is private, or lies in private attributes of its attributes, as its constructor leaves it."""
    try:
        first, second = (_attributes(task.anew()) for _ in range(2))
    except Exception:  # a task that cannot be made twice, or was copied: what is private is not known
        return DRAWN
    made = {name: common(value, second.get(name)) for name, value in first.items()}
    plain = describe(public_attributes(task))
    return {name: value for name, value in made.items() if plain.get(name) != value}


def _attributes(task: Task) -> dict[str, Any]:
    hidden = ("profile", "profile_name", "_made_with")
    found = {**public_attributes(task), **private_attributes(task)}
    return {name: describe(value, whole=True) for name, value in found.items() if name not in hidden}


def rule_records(task: Task) -> dict[str, dict[str, Any]]:
    """Statement, numbers and embedding of each rule; numbers that differ at each call are marked as such."""
    first, second = _drawn_rules(task), _drawn_rules(task)
    return {
        name: {
            "rule": embedding.rule.name,
            "embedding": type(embedding).__name__,
            **embedding.settings(),
            "statement": _statement(embedding),
            "numbers": common(describe(embedding, whole=True), describe(second[name], whole=True)),
        }
        for name, embedding in first.items()
    }


def _drawn_rules(task: Task) -> Mapping[str, Embedding]:
    """The rules, with the same random numbers at each call."""
    with _seeded(0):
        return task.rules()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The global generators of torch, numpy and Python set to a seed, and afterwards as they were."""
    array, plain = np.random.get_state(), random.getstate()  # noqa: NPY002 - a user's task may draw from it
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        np.random.set_state(array)  # noqa: NPY002
        random.setstate(plain)


def _statement(embedding: Embedding) -> str:
    rule = embedding.rule
    said = getattr(rule, "statement", None)
    said = getattr(rule, "relations", None) if said is None else said  # a relation has no truth value
    if isinstance(said, (tuple, list)):
        return "; ".join(str(relation) for relation in said)
    return str(said) if said is not None else f"{type(rule).__name__} ({rule.name})"


def data_digest(data: Data) -> str:
    """A digest of the samples of a seed; of samples that are drawn as they are read, of what draws them and of some."""
    sets = [data.train, data.test, data.val]
    told = {
        "data": describe(data),
        "private": [_private(part) for part in sets],
        "samples": [_samples(s) for s in sets],
    }
    return digest(told)


def _private(dataset: Any) -> Any:
    """What a data set keeps under private names, where that is arrays or plain values."""
    kept = {name: item for name, item in getattr(dataset, "__dict__", {}).items() if name.startswith("_")}
    kinds = (torch.Tensor, np.ndarray, int, float, str, list, tuple)
    return describe({name: item for name, item in kept.items() if isinstance(item, kinds)})


def _samples(dataset: Any) -> Any:
    """The first, middle and last sample of a data set that makes them as they are read; what is random is left out."""
    if isinstance(dataset, (TensorDataset, IterableDataset, type(None))) or not isinstance(dataset, Sized):
        return None
    count = len(dataset)

    def read() -> Any:
        copied: Any = copy.copy(dataset)  # one that counts how often it is read goes on as it was
        return describe([copied[i] for i in sorted({0, count // 2, count - 1} if count else ())])

    try:
        with _seeded(0):
            first = read()
        with _seeded(1):
            return common(first, read())
    except Exception:  # whatever a data set of the user raises is met again in training
        return None
