"""The benchmark as a task: its arms, its questions, and one cell from end to end."""

import torch

from benchmarks import TASKS
from benchmarks.chess.exhibits import faults, headline
from benchmarks.chess.task import Chess, ChessProfile
from dkmodels.study import Store, load_task
from dkmodels.study.cell import fit_key, load_fit, run_cell


def test_it_is_found_by_name_with_its_profiles():
    task = load_task(TASKS["chess"], "quick")
    assert type(task).__name__ == "Chess"
    assert set(task.profiles) == {"quick", "standard", "full"}
    assert task.profiles["standard"].seeds >= 5
    names = [arm.name for arm in task.arms()]
    assert len(names) == len(set(names)) == 12
    assert {"none", "moves", "changed", "shortlist", "all"} <= set(names)
    families = {c.family for c in task.contrasts()}
    assert {"add one in", "leave one out", "all", "extra", "lazy against eager"} == families


def test_readers_share_the_training_of_the_plain_one():
    task = load_task(TASKS["chess"], "quick")
    keys = {arm.name: fit_key(task, arm) for arm in task.arms()}
    assert keys["none"] == keys["moves"] == keys["changed"] == keys["shortlist"] == keys["census_decode"]
    assert len(set(keys.values())) == 4


def test_one_cell_from_end_to_end(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    small = ChessProfile(seeds=2, epochs=1, boards=10, games=1, frames=8, faulty=1, live=3, rounds=1)
    monkeypatch.setattr(Chess, "profiles", {"quick": small})
    task = Chess("quick")
    arms = {arm.name: arm for arm in task.arms()}
    store = Store(tmp_path)
    for name in ("none", "changed", "all"):
        record = run_cell(task, arms[name], 0, store)
        assert record["status"] == "done", record.get("traceback")
    cells = store.cells()
    declared = {metric.name for metric in task.metrics()}
    assert all(declared <= cell["metrics"].keys() for cell in cells)
    assert next(c for c in cells if c["arm"] == "changed")["metrics"]["squares_classified"] <= 64
    table = headline(cells, [])
    assert len(table.rows) == 4
    assert "96.85 %" in table.caption
    assert len(faults(cells).rows[0]) == 6
    data = task.data(0)
    module, _ = load_fit(task, arms["changed"], 0, store.fit_path(fit_key(task, arms["changed"]), 0))
    loads = task.workloads(module, data)
    assert len(loads["frame"].run()) == 3
    assert loads["train_step"].run() == 1


def test_exhibits_of_nothing_are_empty_tables():
    assert len(headline([], []).rows) == 1
    assert faults([]).rows == [["reader"]]
