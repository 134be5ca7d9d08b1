"""Mistakes that can be found before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from dkmodels.module import KnowledgeModule
from dkmodels.study.arm import Arm
from dkmodels.study.cell import build, cached_data
from dkmodels.study.errors import UsageError
from dkmodels.study.task import Task

__all__ = ["check_study"]

LOOKED_AT = 512  # samples of a dataset that is not in memory


def check_study(task: Task, arms: Sequence[Arm], seeds: Sequence[int]) -> dict[str, KnowledgeModule]:
    """Build data and every module once; returns the modules by the name of their arm.

    Raises:
        UsageError: fewer than two seeds, no arms, names that are there twice, an empty data set, values that are not
            finite.
        ConstraintError: rules that contradict each other, or name outputs that do not exist.
    """
    if len(set(seeds)) < 2:
        raise UsageError(f"a study needs at least 2 seeds to say anything about an effect, got {len(set(seeds))}")
    if min(seeds) < 0:
        raise UsageError(f"seeds need to be >= 0, got {min(seeds)}")
    if not arms:
        raise UsageError("a study needs at least one arm, got none")
    slugs = [arm.slug for arm in arms]
    twice = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    if twice:
        raise UsageError(f"arms need distinct names, got {twice} twice")
    if not any(metric.kind == "correctness" for metric in task.metrics()):
        raise UsageError(f"task `{task.title()}` needs at least one correctness metric, got none")
    known = {arm.name for arm in arms}
    lost = sorted({name for c in task.contrasts() for name in (c.arm, c.baseline)} - known)
    if lost and len(arms) == len(task.arms()):
        raise UsageError(f"task `{task.title()}` has contrasts between arms that it does not have: {lost}")
    data = cached_data(task, min(seeds))
    for name, dataset in (("train", data.train), ("test", data.test), ("val", data.val)):
        if dataset is not None:
            _check_dataset(name, dataset)
    return {arm.name: build(task, arm, min(seeds)) for arm in arms}


def _check_dataset(name: str, dataset: Dataset[Any]) -> None:
    if isinstance(dataset, Sized) and len(dataset) == 0:
        raise UsageError(f"the {name} data set needs at least one sample, got none")
    if isinstance(dataset, TensorDataset):
        parts: list[Any] = [dataset.tensors]
    else:
        count = len(dataset) if isinstance(dataset, Sized) else 1
        parts = [dataset[i] for i in islice(range(count), LOOKED_AT)]
    for sample in parts:
        for role, value in zip(("inputs", "targets"), sample, strict=False):
            if isinstance(value, Tensor) and value.is_floating_point():
                bad = int((~torch.isfinite(value)).sum())
                if bad:
                    raise UsageError(f"the {name} data set needs finite {role}, got {bad} NaN or infinite values")
