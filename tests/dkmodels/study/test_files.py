"""Numbers that code of the user reads from files count like its source, wherever they are read."""

import json
import sys
import textwrap

import pytest
from rich.console import Console

from dkmodels.study import Store, Study, load_task
from dkmodels.study.errors import DifferentStudyError
from dkmodels.study.files import NEWER, WRITTEN

SOURCE = """
import importlib.util
import pathlib
import tempfile

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from constraints import Bounds, Hard
from dkmodels import RegressionModule
from dkmodels.study import Data, Metric, Profile, Task

HERE = pathlib.Path(__file__).parent
{top}

def number():
    return float((HERE / "number.txt").read_text())


class Rows(Dataset):
    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        {item}
        return self.x[i], self.x[i]


class Module(RegressionModule):
    def training_step(self, batch, index):
        {step}
        return super().training_step(batch, index)

    def configure_optimizers(self):
        {optimizer}
        return super().configure_optimizers()


class Reading(Task):
    profiles = {{"quick": Profile(seeds=2, epochs=1, rounds=1, cost_seeds=1)}}

    def data(self, seed):
        g = torch.Generator().manual_seed(seed)
        return Data(train=Rows(torch.rand(16, 2, generator=g)), test=Rows(torch.rand(8, 2, generator=g)), batch_size=8)

    def network(self, seed):
        {network}
        return nn.Linear(2, 2)

    def rules(self):
        return {{"positive": Hard(Bounds(low=0.0))}}

    def metrics(self):
        return [Metric(name="rmse", direction="min", gain=0.01, primary=True)]

    def module(self, network, rules):
        return Module(network, rules, learning_rate=0.01)

    def evaluate(self, module, data, seed):
        {evaluate}
        return super().evaluate(module, data, seed)
"""
PLACES = ("top", "item", "step", "optimizer", "network", "evaluate")


@pytest.fixture
def place(tmp_path):
    (tmp_path / "number.txt").write_text("1.0")
    return tmp_path


def write(place, **code):
    (place / "reading.py").write_text(SOURCE.format(**{**dict.fromkeys(PLACES, "pass"), **code}))


def study(place, **options):
    task = load_task(f"{place / 'reading.py'}:Reading", "quick")
    return Study(task, out=place / "r", console=Console(quiet=True), **{"seeds": 2, **options})


@pytest.mark.parametrize("where", PLACES)
def test_a_number_in_a_file_counts_wherever_it_is_read(place, where):
    write(place, **{where: '(HERE / "number.txt").read_text()' if where == "top" else "number()"})
    study(place).run(costs=False)
    assert all(cell["files"].keys() == {"number.txt"} for cell in Store(place / "r").cells())
    assert study(place, seeds=3).run(costs=False).missing() == [], "the same file is no difference"
    (place / "number.txt").write_text("2.0")
    with pytest.raises(DifferentStudyError, match=r"file number\.txt: \w{16} became \w{16}"):
        study(place, seeds=4).run(costs=False)
    other = study(place, seeds=4).run(costs=False, apart=True)
    assert other.store.folder != place / "r" and other.missing() == []


@pytest.mark.parametrize(
    "code",
    [
        'np.loadtxt(HERE / "number.txt")',
        'np.fromfile(str(HERE / "number.txt"), dtype=np.uint8)',
        'torch.load(HERE / "number.pt")',
        'np.load(HERE / "number.npy")',
        "spec = importlib.util.spec_from_file_location('helper', HERE / 'helper.py'); "
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))",
    ],
)
def test_whatever_opens_the_file(place, code):
    import numpy as np
    import torch

    np.save(place / "number.npy", np.ones(2))
    torch.save(torch.ones(2), place / "number.pt")
    (place / "helper.py").write_text("x = 1\n")
    write(place, evaluate=code)
    for _ in range(2):  # the second time a helper is compiled
        study(place).run(costs=False)
    (files,) = {json.dumps(cell["files"]) for cell in Store(place / "r").cells()}
    assert len(json.loads(files)) == 1 and json.loads(files).keys() < {
        "number.txt",
        "number.npy",
        "number.pt",
        "helper.py",
    }


def test_what_a_run_writes_reads_and_removes_itself_is_no_difference(place):
    """A cache that grows, a log that is read, a file that is gone, the results, another file beside it."""
    code = """
        cache = HERE / "cache.txt"
        cache.write_text((cache.read_text() if cache.exists() else "") + str(seed))
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "x").write_text("1")
            (pathlib.Path(folder) / "x").read_text()
        torch.save(torch.tensor([seed]), HERE / "latest.pt")
        torch.load(HERE / "latest.pt")
        gone = HERE / f"gone-{seed}.txt"
        gone.exists() and (gone.read_text(), gone.unlink())
        (HERE / "r/study.json").read_text()"""
    write(place, evaluate=textwrap.dedent(code).strip().replace("\n", "\n        "))
    for seed in range(5):
        (place / f"gone-{seed}.txt").write_text("1")
    (place / "beside.txt").write_text("1")
    study(place).run(costs=False)
    (place / "beside.txt").write_text("2")
    assert study(place, seeds=3).run(costs=False).missing() == []
    cells = Store(place / "r").cells()
    assert {mark for cell in cells for mark in cell["files"].values()} <= {WRITTEN, NEWER}
    assert study(place, seeds=3).run(costs=False).missing() == []


def test_a_fit_that_read_another_file_is_trained_anew(place):
    write(place, step="number()")
    study(place).run(costs=False)
    before = {cell["seed"]: cell["seconds"]["fit"] for cell in Store(place / "r").cells() if cell["arm"] == "none"}
    for path in (place / "r/cells").iterdir():
        path.unlink()
    study(place).run(costs=False)
    assert before == {c["seed"]: c["seconds"]["fit"] for c in Store(place / "r").cells() if c["arm"] == "none"}
    for path in (place / "r/cells").iterdir():
        path.unlink()
    (place / "number.txt").write_text("2.0")
    study(place).run(costs=False)
    assert before != {c["seed"]: c["seconds"]["fit"] for c in Store(place / "r").cells() if c["arm"] == "none"}


def test_a_file_that_is_edited_while_a_study_runs_is_told(place):
    write(place, evaluate="number()\n        HERE.joinpath('number.txt').exists()")
    study(place).run(costs=False)
    path = place / "r/cells/none--seed-1.json"
    cell = json.loads(path.read_text())
    path.write_text(json.dumps({**cell, "files": {"number.txt": "0" * 16}}))
    with pytest.raises(DifferentStudyError, match=r"such as .*: file number\.txt differs between cells"):
        study(place).analyse()


def test_a_hook_never_raises_and_is_there_once():
    from dkmodels.study.files import _HOOK

    for args in ((), (3, "r", 0), (b"\xff", "r", 0), ("\0", None, 0), ("x.pyc", "r", 0), (None, None, None)):
        _HOOK("open", args)
    _HOOK("os.rename", ())
    assert not _HOOK.active and "dkmodels.study.files" in sys.modules
