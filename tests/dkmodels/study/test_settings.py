"""Numbers of objects count wherever they are kept, where the source is the same; accidents of a process do not."""

import json
import os
import pickle
import subprocess
import sys
import textwrap

import pytest
from rich.console import Console

from dkmodels.study import Store, Study, load_task
from dkmodels.study.difference import DRAWN, differences
from dkmodels.study.errors import DifferentStudyError
from dkmodels.study.fingerprint import describe, surroundings
from dkmodels.study.origin import origin_of

SOURCE = """
import functools
import os
import time
import uuid

import numpy as np
import torch
from pytorch_lightning import Callback
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from constraints import Bounds, Hard, Soft
from dkmodels import RegressionModule
from dkmodels.study import Arm, Contrast, Data, Metric, Profile, Task

SETTINGS = {"rate": float(os.environ["NUMBER"])}


def number():
    return float(os.environ["NUMBER"])


def put(module, weights):
    module.weights_given = len(weights)


def maker(settings):
    def setup(module):
        module.rate_given = settings["rate"]

    setup.__qualname__ = "setup"
    return setup


class Below(Bounds):
    def __init__(self):
        super().__init__(low=0.0)
        self._k = number() if "rule" in PLACE else 1.0


class Counts(Callback):
    def __init__(self):
        self._s = number() if "callback" in PLACE else 1.0
        self._at = time.time()


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self._gain = number() if "gain" in PLACE else 1.0
        self.steps = [number() if "steps" in PLACE else 1.0]
        self.inner = [{"a": (number() if "inner" in PLACE else 1.0)}]
        self.act = torch.relu if "act" in PLACE and number() > 1 else torch.tanh
        self.last = [nn.ReLU() if "last" in PLACE and number() > 1 else nn.Tanh()]
        self.register_buffer("shift", torch.full((20,), number() if "buffer" in PLACE else 1.0), persistent=False)
        if "weights" in PLACE:
            nn.init.constant_(self.layer.weight, number())
        self._made_at = time.time()
        self._name = uuid.uuid4().hex
        self._key = object()
        self._hook = lambda x: x
        self.label = repr(lambda: None)

    def extra_repr(self):
        return repr(self._hook)

    def forward(self, x):
        return self.act(self.layer(x)) * self._gain


class Rows(Dataset):
    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.x[i] * (number() if "item" in PLACE else 1.0)


class Kept(Task):
    name = "kept"
    profiles = {"quick": Profile(seeds=2, epochs=1, rounds=1, cost_seeds=1)}

    def __init__(self, profile="quick"):
        super().__init__(profile)
        self._beta = number() if "task" in PLACE else 1.0
        self._table = {"x": [number() if "table" in PLACE else 1.0]}
        self._cache = {}
        self._calls = 0
        self._made_at = time.time()
        self.made_at = time.time()

    def data(self, seed):
        self._calls += 1
        self._cache[seed] = time.time()
        x = torch.rand(16, 2, generator=torch.Generator().manual_seed(seed))
        return Data(train=Rows(x), test=Rows(x), batch_size=8)

    def network(self, seed):
        return Scaled()

    def rules(self):
        return {"positive": Soft(Below())}

    def arms(self):
        if "partial" in PLACE:
            weights = torch.zeros(5000)
            weights[2500] = number()
            return [Arm("none"), Arm("positive", ("positive",), functools.partial(put, weights=weights))]
        if "setup" in PLACE:
            return [Arm("none"), Arm("positive", ("positive",), maker({"rate": number()}))]
        return super().arms()

    def metrics(self):
        return [Metric(name="rmse", direction="min", gain=0.01, primary=True)]

    def callbacks(self, data):
        return [Counts()]

    def module(self, network, rules):
        rates = {"rate": number()}
        optimizer = None
        if "closure" in PLACE:
            optimizer = lambda p: torch.optim.SGD(p, lr=0.01 * rates["rate"])
        if "global" in PLACE:
            optimizer = lambda p: torch.optim.SGD(p, lr=0.01 * SETTINGS["rate"])
        return RegressionModule(network, rules, optimizer=optimizer, learning_rate=0.01)
"""
PLACES = ["task", "table", "rule", "gain", "steps", "inner", "act", "last", "buffer", "weights", "callback"]
PLACES += ["item", "partial", "setup", "closure", "global"]


def study(place, **options):
    reference = f"{place / 'kept.py'}:Kept"
    options = {"seeds": 2, "reference": reference, "console": Console(quiet=True), **options}
    return Study(load_task(reference, "quick"), out=place / "r", **options)


def write(tmp_path, places):
    (tmp_path / "kept.py").write_text(f"PLACE = {places!r}\n{SOURCE}")
    sys.modules.pop("dkmodels_task_kept", None)


@pytest.mark.parametrize("where", PLACES)
def test_a_number_counts_wherever_it_is_kept(tmp_path, monkeypatch, where):
    monkeypatch.setenv("NUMBER", "1.0")
    write(tmp_path, [where])
    study(tmp_path).run(costs=False)
    assert study(tmp_path, seeds=3).run(costs=False).missing() == [], "the same again"
    monkeypatch.setenv("NUMBER", "2.0")
    sys.modules.pop("dkmodels_task_kept", None)
    with pytest.raises(Exception, match=r"became|has other rules|data of seed 0") as caught:
        study(tmp_path, seeds=4).run(costs=False)
    assert isinstance(caught.value, DifferentStudyError) or where in ("partial", "setup")


def test_accidents_of_a_process_are_no_difference(tmp_path, monkeypatch):
    """Other processes, hash seeds, orders of arms, seeds and workers; one task that ran before; times and addresses."""
    monkeypatch.setenv("NUMBER", "1.0")
    write(tmp_path, [])
    first = study(tmp_path)
    first.run()
    assert first.run().missing() == [], "the same object"
    code = f"""
    import sys
    from dkmodels.study import Study, load_task
    if __name__ == "__main__":
        reference = {str(tmp_path / "kept.py")!r} + ":Kept"
        task = load_task(reference, "quick")
        seeds = [int(seed) for seed in sys.argv[1].split(",")]
        arms = task.arms()[:: int(sys.argv[2])]
        workers = int(sys.argv[3])
        Study(task, arms, seeds=seeds, out="r", workers=workers, reference=reference).run(costs=False)
    """
    (tmp_path / "run.py").write_text(textwrap.dedent(code))
    for seeds, order, workers in (("4,5", "-1", "0"), ("0,6", "1", "1")):
        environment = {**os.environ, "PYTHONHASHSEED": seeds[0]}
        command = [sys.executable, "run.py", seeds, order, workers]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
    cells = Store(tmp_path / "r").cells()
    assert {cell["seed"] for cell in cells} == {0, 1, 4, 5, 6} and len(cells) == 10
    assert study(tmp_path, seeds=1 + 1).run(costs=False).effects()
    (tmp_path / "r/study.json").unlink()
    assert study(tmp_path).run(costs=False).effects(), "what was planned is seen from the cells"


def test_a_copied_task_is_no_other_task(tmp_path, monkeypatch):
    """Its constructor's arguments are lost, so that what is private is compared with nothing."""
    monkeypatch.setenv("NUMBER", "1.0")
    write(tmp_path, [])
    task = load_task(f"{tmp_path / 'kept.py'}:Kept", "quick")
    task.data(0)
    assert task.anew()._calls == 0 and task._calls == 1
    copied = pickle.loads(pickle.dumps(task))
    first, second = origin_of(task), origin_of(copied)
    assert second["settings"]["made"] == DRAWN and first["settings"]["made"]["_beta"] == "1.0"
    assert differences(first, second) == []
    vars(copied)["width"] = 3
    assert differences(first, origin_of(copied)) == ["settings, width: nothing became 3"]


def test_what_a_function_changes_is_no_setting():
    def make():
        calls, kept, count, known, cache = [], {}, 0, {"x": 1}, {"y": 2}

        def f(key):
            nonlocal count
            count += 1
            calls.append(key)
            kept[key] = 1
            return known["x"] + cache["y"]

        return f

    assert surroundings(make()) == {"known": {"x": "1"}}
    f = make()
    before = json.dumps(describe(f, whole=True))
    f(3)
    assert json.dumps(describe(f, whole=True)) == before
