"""What the tests of all shipped tasks share."""

import pytest
import torch

from dkmodels.study import Store, load_task
from dkmodels.study.cell import run_cell
from dkmodels.study.preflight import check_study


@pytest.fixture
def run_arms(tmp_path, monkeypatch):
    """Runs every arm of a task at one seed, in a profile of the test's own; returns the task and its store."""

    def run(cls, profile):
        torch.set_num_threads(1)
        monkeypatch.setattr(cls, "profiles", {"quick": profile})
        task = cls("quick")
        check_study(task, task.arms(), [0, 1])
        store = Store(tmp_path)
        for arm in task.arms():
            record = run_cell(task, arm, 0, store)
            assert record["status"] == "done", record.get("traceback")
        declared = {metric.name for metric in task.metrics()}
        assert all(declared <= cell["metrics"].keys() for cell in store.cells())
        return task, store

    return run


@pytest.fixture
def shipped():
    """A shipped task by name, in its quick profile."""
    from benchmarks import TASKS

    return lambda name: load_task(TASKS[name], "quick")
