"""What a cell is made with: rules, settings and code; and how two of these differ, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from constraints import Embedding
from dkmodels.module import KnowledgeModule
from dkmodels.study.difference import differences
from dkmodels.study.environment import describe_code
from dkmodels.study.files import files_read
from dkmodels.study.fingerprint import describe, digest, public_attributes
from dkmodels.study.sources import library_source, source_files, task_sources
from dkmodels.study.task import Data, Task

__all__ = ["code_of", "data_digest", "files_of", "origin_of", "rule_records", "same_code", "settings_of"]

DRAWN = "drawn anew at each call"


def origin_of(task: Task, modules: Mapping[str, KnowledgeModule] | None = None) -> dict[str, Any]:
    """What cells of a task are made with now: the same in every process, and for more seeds or arms.

    Args:
        task: the task.
        modules: a built module by the name of its arm, whose network and optimiser are described.
    """
    return {
        "task": task.title(),
        "profile": task.profile_name,
        "settings": settings_of(task),
        "rules": rule_records(task),
        "arms": {name: _module(module) for name, module in (modules or {}).items()},
        **code_of(task),
        **describe_code(),
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
    return {**described, "trainer": describe(task.trainer_options())}


def rule_records(task: Task) -> dict[str, dict[str, Any]]:
    """Statement, numbers and embedding of each rule; numbers that differ at each call are marked as such."""
    first, second = _drawn_rules(task), _drawn_rules(task)
    return {
        name: {
            "rule": embedding.rule.name,
            "embedding": type(embedding).__name__,
            **embedding.settings(),
            "statement": _statement(embedding),
            "numbers": _common(describe(embedding), describe(second[name])),
        }
        for name, embedding in first.items()
    }


def _drawn_rules(task: Task) -> Mapping[str, Embedding]:
    """The rules, with the same random numbers at each call."""
    state = np.random.get_state()  # noqa: NPY002 - a user's task may draw from it
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002
            return task.rules()
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _statement(embedding: Embedding) -> str:
    rule = embedding.rule
    said = getattr(rule, "statement", None)
    said = getattr(rule, "relations", None) if said is None else said  # a relation has no truth value
    if isinstance(said, (tuple, list)):
        return "; ".join(str(relation) for relation in said)
    return str(said) if said is not None else f"{type(rule).__name__} ({rule.name})"


def _common(first: Any, second: Any) -> Any:
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return {key: _common(first[key], second[key]) for key in first}
    return first if first == second else DRAWN


def _module(module: KnowledgeModule) -> dict[str, Any]:
    return {
        **_plain(module),
        "network": _network(module.network),
        "learning_rate": repr(module.learning_rate),
        "optimizer": describe(module.optimizer),
        "balance": describe(module.balance),
    }


def _network(network: nn.Module) -> str:
    """Class, size and a digest of layers and shapes; not the initial weights, which differ by seed."""
    shapes = {name: [list(p.shape), str(p.dtype)] for name, p in network.named_parameters()}
    kinds = {name: [type(part).__qualname__, _plain(part)] for name, part in network.named_modules()}
    count = sum(p.numel() for p in network.parameters())
    return f"{type(network).__name__} of {count} parameters ({digest([shapes, kinds])})"


def _plain(part: nn.Module) -> dict[str, Any]:
    """Settings of a layer: its numbers and texts."""
    kinds = (bool, int, float, str, tuple, type(None))
    return {name: value for name, value in public_attributes(part).items() if isinstance(value, kinds)}


def data_digest(data: Data) -> str:
    """A digest of the samples of a seed; of samples that are drawn as they are read, of what draws them."""
    return digest({"data": describe(data), "private": [_private(part) for part in (data.train, data.test, data.val)]})


def _private(dataset: Any) -> Any:
    """What a data set keeps under private names, where that is arrays or plain values."""
    kept = {name: item for name, item in getattr(dataset, "__dict__", {}).items() if name.startswith("_")}
    kinds = (torch.Tensor, np.ndarray, int, float, str, list, tuple)
    return describe({name: item for name, item in kept.items() if isinstance(item, kinds)})
