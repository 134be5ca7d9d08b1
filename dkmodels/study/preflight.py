"""Mistakes that can be found before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from dkmodels.checks import require_name
from dkmodels.module import KnowledgeModule
from dkmodels.study.arm import Arm
from dkmodels.study.cell import build, cached_data
from dkmodels.study.errors import UsageError
from dkmodels.study.metric import Contrast, headlines
from dkmodels.study.task import Task
from dkmodels.study.verdict import smallest_decidable_n

__all__ = ["check_study", "remarks", "require_contrast"]

SHOWN = 8
LOOKED_AT = 512  # samples of a dataset that is not in memory


def check_study(
    task: Task, arms: Sequence[Arm], seeds: Sequence[int], probe: int | None = None
) -> dict[str, KnowledgeModule]:
    """Build data and every module once; returns the modules by the name of their arm.

    Args:
        task: the task.
        arms: the arms.
        seeds: the seeds; the data of the first are looked at.
        probe: the seed at which modules are built; the first by default.

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
    for name in task.rules():  # those that no arm has are measured: their names must do before anything is trained
        require_name(name)
    data = cached_data(task, min(seeds))
    for name, dataset in (("train", data.train), ("test", data.test), ("val", data.val)):
        if dataset is not None:
            _check_dataset(name, dataset)
    return build_all(task, arms, min(seeds) if probe is None else probe)


def build_all(task: Task, arms: Sequence[Arm], seed: int) -> dict[str, KnowledgeModule]:
    """A module of each arm by its name."""
    return {arm.name: build(task, arm, seed) for arm in arms}


def require_contrast(task: Task, manifest: Mapping[str, Any]) -> None:
    """Refuse a study whose arms are in no question of the task: it could train for hours and compare nothing.

    Args:
        task: the task.
        manifest: what is planned, with the arms that the folder holds already.

    Raises:
        UsageError: no contrast of the task names any of the arms.
    """
    contrasts = task.contrasts()
    arms = [arm["name"] for arm in manifest["arms"]]
    if not any({c.arm, c.baseline} & set(arms) for c in contrasts):
        pairs = "; ".join(f"{c.arm} against {c.baseline}" for c in contrasts[:SHOWN]) or "none"
        raise UsageError(
            f"a study needs arms that it can compare, got {arms}, none of them in a contrast of task `{task.title()}`, "
            f"which are {pairs}: name one in `Task.contrasts`"
        )


def remarks(task: Task, manifest: Mapping[str, Any]) -> list[str]:
    """What a user should know before hours of training: too few seeds for any verdict, arms that answer no question.

    Args:
        task: the task.
        manifest: what is planned, with the seeds and arms that the folder holds already.
    """
    found = []
    contrasts = [Contrast(**contrast) for contrast in manifest["contrasts"]]
    looks = len(headlines(task.metrics(), "correctness"))
    families = Counter(contrast.family for contrast in contrasts)
    needed = {family: smallest_decidable_n(looks * size) for family, size in families.items()}
    seeds = len(manifest["seeds"])
    short = {family: n for family, n in needed.items() if n > seeds}
    if short:
        counts = ", ".join(f"{n} for the {families[family]} of {family!r}" for family, n in short.items())
        kind = "any" if len(short) == len(needed) else "every"
        found.append(
            f"{seeds} seeds cannot decide {kind} contrast, whatever the results, on {looks} headline metric"
            f"{'s' * (looks > 1)}: at least {counts}"
        )
    lost = [arm["name"] for arm in manifest["arms"] if all(arm["name"] not in (c.arm, c.baseline) for c in contrasts)]
    if not contrasts:
        partners = sorted({name for c in task.contrasts() for name in (c.arm, c.baseline)} - set(lost))
        found.append(
            f"no contrast is between two arms of this study ({', '.join(lost)}): there will be no effect until this "
            f"folder holds their partners, {', '.join(partners)}"
        )
    elif lost:
        found.append(f"no contrast compares {', '.join(lost)}: trained, and in no effect")
    return found


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
