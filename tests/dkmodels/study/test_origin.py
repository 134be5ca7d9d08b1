"""Cells of different rules, settings, data or code are never pooled: refused, with what differs."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest
import torch
from rich.console import Console

from dkmodels.study import Analysis, Arm, Store, Study, UsageError, load_task
from dkmodels.study.cell import run_cell
from dkmodels.study.cli import main
from dkmodels.study.errors import DifferentStudyError
from dkmodels.study.origin import data_digest, origin_of
from dkmodels.study.task import Data

SOURCE = '''
"""A task of a user."""
import torch
from torch import nn
from torch.utils.data import TensorDataset
from constraints import Bounds, Hard, Soft
from dkmodels import RegressionModule
from dkmodels.study import Arm, Data, Metric, Profile, Task


class Mine(Task):
    """Numbers that are not negative."""

    profiles = {
        "quick": Profile(seeds=2, epochs=1, rounds=1, cost_seeds=1),
        "standard": Profile(seeds=2, epochs=2, rounds=1, cost_seeds=1),
    }

    def data(self, seed):
        from mine_helper import rows

        g = torch.Generator().manual_seed(seed)
        x = torch.rand(rows(), 2, generator=g)
        return Data(train=TensorDataset(x, x), test=TensorDataset(x, x), batch_size=16)

    def network(self, seed):
        return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))

    def rules(self):
        return {"positive": Hard(Bounds(low=0.0))}

    def metrics(self):
        return [Metric(name="rmse", direction="min", gain=0.01, primary=True)]

    def module(self, network, rules):
        return RegressionModule(network, rules, learning_rate=0.01)
'''


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a task of a user and a module that it imports inside a function."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_helper.py").write_text("def rows():\n    return 32\n")
    (tmp_path / "mine.py").write_text(SOURCE)
    sys.modules.pop("mine_helper", None)
    yield tmp_path
    sys.modules.pop("mine_helper", None)


def edit(place, old, new, name="mine.py"):
    path = place / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    sys.modules.pop("mine_helper", None)


def study(place, **options):
    more = {"seeds": 2, **options}
    return Study(load_task(f"{place / 'mine.py'}:Mine", "quick"), out=place / "r", console=Console(quiet=True), **more)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Bounds(low=0.0)", "Bounds(low=0.4)", r"rules, positive, .*low: 0.0 became 0.4"),
        ("Hard(Bounds", "Soft(Bounds", "rules, positive, embedding: Hard became Soft"),
        ("learning_rate=0.01", "learning_rate=0.1", "learning_rate: 0.01 became 0.1"),
        ("nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)", "nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 2)",
         "network: Sequential of 22 .* became Sequential of 27"),
        ("nn.Tanh()", "nn.ReLU()", "network"),
        ("manual_seed(seed)", "manual_seed(seed + 9)", "data of seed 0"),
        ("epochs=1", "epochs=3", "settings, epochs: 1 became 3"),
        ("TensorDataset(x, x), test", "TensorDataset(x, 2 * x), test", "source, mine"),
        ("gain=0.01", "gain=0.5", "metrics or their smallest useful gains"),
    ],
)  # fmt: skip
def test_an_edited_task_is_refused_with_what_differs(place, old, new, says):
    study(place).run(costs=False)
    before = {path: path.read_bytes() for path in (place / "r").glob("**/*.json")}
    edit(place, old, new)
    with pytest.raises(DifferentStudyError, match=says):
        study(place, seeds=3).run(costs=False)
    assert {path: path.read_bytes() for path in (place / "r").glob("**/*.json")} == before


def test_an_edit_of_a_module_that_the_task_imports_is_refused(place):
    study(place).run(costs=False)
    edit(place, "32", "48", "mine_helper.py")
    with pytest.raises(DifferentStudyError, match=r"source, mine_helper: .* became .*; data of seed 0"):
        study(place, seeds=3).run(costs=False)


def test_comments_and_layout_change_nothing(place):
    study(place).run(costs=False)
    edit(place, "def network(self, seed):\n", 'def network(self, seed):\n        """It."""  # new\n\n')
    assert study(place, seeds=3).run(costs=False).missing() == []


def test_a_folder_of_its_own_when_asked_for(place):
    first = study(place).run(costs=False)
    edit(place, "low=0.0", "low=0.4")
    second = study(place, seeds=3).run(costs=False, apart=True)
    assert second.store.folder != first.store.folder
    assert second.store.folder.parent == place and second.store.folder.name.startswith("r-")
    assert {c["seed"] for c in second.store.cells()} == {0, 1, 2}
    assert {c["seed"] for c in first.store.cells()} == {0, 1}
    again = study(place, seeds=3)
    again.run(costs=False, apart=True)
    assert again.store.folder == second.store.folder


def test_a_cell_keeps_what_it_was_made_with(place):
    study(place).run(costs=False)
    for cell in Store(place / "r").cells():
        rule = cell["origin"]["rules"]["positive"]
        assert (rule["embedding"], rule["numbers"]["rule"]["constraint"]["low"]) == ("Hard", ["torch.float64", "0.0"])
        assert cell["origin"]["source"].keys() == {"mine", "mine_helper"}
        assert cell["origin"]["settings"]["epochs"] == "1"
        assert cell["origin"]["arms"][cell["arm"]]["learning_rate"] == "0.01"
        assert len(cell["data"]) == 16 and {"commit", "changes", "library"} <= cell["origin"].keys()


def change(path, **fields):
    record = json.loads(path.read_text())
    for name, value in fields.items():
        *outer, last = name.split("__")
        inner = record
        for key in outer:
            inner = inner[key]
        inner[last] = value
    path.write_text(json.dumps(record))


FOREIGN = {
    "task": ({"task": "other"}, "task 'other' in a study of task 'mine'"),
    "profile": ({"profile": "standard"}, "profile 'standard' in a study of profile 'quick'"),
    "old format": ({"format": 1}, "format 1 in a study of format 2"),
    "rule": ({"origin__rules__positive__numbers": {"low": "9.0"}}, "low: 9.0 became nothing"),
    "library": ({"origin__library__digest": "0" * 16}, "library, digest: 0000"),
    "source": ({"origin__source": {}}, "source, mine: nothing became"),
    "epochs": ({"origin__settings__epochs": "9"}, "epochs: 9 became 1"),
    "arm": ({"arm": "somebody"}, "an arm that the study does not have"),
    "seed": ({"seed": 7}, "a seed that the study does not have"),
    "rules": ({"rules": {}}, "other rules or another setup than arm 'positive'"),
    "data": ({"data": "0" * 16}, "data of seed 1"),
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    (folder / "mine_helper.py").write_text("def rows():\n    return 32\n")
    (folder / "mine.py").write_text(SOURCE)
    sys.path.insert(0, str(folder))
    sys.modules.pop("mine_helper", None)
    study(folder).run(costs=False)
    yield folder
    sys.path.remove(str(folder))


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_cell_is_refused_by_everything_that_reads(finished, tmp_path, kind, capsys):
    fields, says = FOREIGN[kind]
    shutil.copytree(finished / "r", tmp_path / "r")
    change(tmp_path / "r/cells/positive--seed-1.json", **fields)
    with pytest.raises(UsageError, match="needs cells of one study"):
        Analysis.of(Store(tmp_path / "r"))
    for command in ("report", "advise"):
        assert main(arguments=[command, str(tmp_path / "r")]) == 2
        assert says in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"one study|holds a study"):
        Study(load_task(f"{finished / 'mine.py'}:Mine", "quick"), out=tmp_path / "r", console=Console(quiet=True)).run()


def test_costs_of_other_code_are_refused(finished, tmp_path):
    shutil.copytree(finished / "r", tmp_path / "r")
    cell = json.loads((tmp_path / "r/cells/none--seed-0.json").read_text())
    cost = {"format": 2, "task": "mine", "profile": "quick", "seed": 0, "rows": [], "uncounted": {},
            "origin": cell["origin"]}  # fmt: skip
    (tmp_path / "r/costs").mkdir()
    (tmp_path / "r/costs/seed-0.json").write_text(json.dumps(cost))
    Analysis.of(Store(tmp_path / "r"))
    change(tmp_path / "r/costs/seed-0.json", origin__library__digest="f" * 16)
    with pytest.raises(UsageError, match="costs of seed 0: library, digest: ffff"):
        Analysis.of(Store(tmp_path / "r"))


@pytest.mark.parametrize("text", ["{", "[]", "{}", "[" * 100_000])
def test_a_damaged_study_json_and_then_another_profile(finished, tmp_path, text):
    shutil.copytree(finished / "r", tmp_path / "r")
    (tmp_path / "r/study.json").write_text(text)
    other = Study(
        load_task(f"{finished / 'mine.py'}:Mine", "standard"), out=tmp_path / "r", console=Console(quiet=True)
    )
    with (
        pytest.warns(UserWarning, match="study.json is damaged"),
        pytest.raises(UsageError, match="profile 'quick' in"),
    ):
        other.run(costs=False)
    assert not (tmp_path / "r/study.json").exists(), "what is refused writes nothing"
    same = Study(load_task(f"{finished / 'mine.py'}:Mine", "quick"), out=tmp_path / "r", console=Console(quiet=True))
    same.run(costs=False)
    assert Store(tmp_path / "r").manifest()["seeds"] == [0, 1]


def test_an_old_study_is_read_with_a_word_and_not_added_to(finished, tmp_path, capsys):
    shutil.copytree(finished / "r", tmp_path / "r")
    for path in [*(tmp_path / "r/cells").iterdir(), tmp_path / "r/study.json"]:
        record = json.loads(path.read_text())
        for name in ("origin", "data"):
            record.pop(name)
        path.write_text(json.dumps({**record, "format": 1}))
    assert main(arguments=["report", str(tmp_path / "r")]) == 0
    assert "format 1" in (tmp_path / "r/report.html").read_text()
    with pytest.raises(UsageError, match="a study of format 1, which does not record the code"):
        Study(load_task(f"{finished / 'mine.py'}:Mine", "quick"), out=tmp_path / "r", console=Console(quiet=True)).run()


def test_a_newer_format_is_refused_and_left_where_it_is(finished, tmp_path, capsys):
    shutil.copytree(finished / "r", tmp_path / "r")
    path = tmp_path / "r/cells/none--seed-0.json"
    change(path, format=3)
    assert main(arguments=["report", str(tmp_path / "r")]) == 1
    assert "is of format 3, this version of dkmodels reads at most 2" in capsys.readouterr().err
    assert path.exists()


def test_a_fit_of_other_code_or_data_is_trained_anew(place):
    """Also where no cell tells of it: an evaluation that was edited, or data, or a run that was killed."""
    task = load_task(f"{place / 'mine.py'}:Mine", "quick")
    store = Store(place / "cell")
    first = run_cell(task, Arm("none"), 0, store)
    assert (
        run_cell(load_task(f"{place / 'mine.py'}:Mine", "quick"), Arm("none"), 0, store)["seconds"]["fit"]
        == (first["seconds"]["fit"])
    ), "the same code takes the fit that is there"
    edit(place, "TensorDataset(x, x), test", "TensorDataset(x, -x), test")
    second = run_cell(load_task(f"{place / 'mine.py'}:Mine", "quick"), Arm("none"), 0, store)
    assert second["curves"]["train/loss"] != first["curves"]["train/loss"]


def test_code_that_is_edited_while_a_study_runs_is_refused(place):
    task = load_task(f"{place / 'mine.py'}:Mine", "quick")
    origin = origin_of(task)
    run_cell(task, Arm("none"), 0, Store(place / "a"), origin=origin)
    edit(place, "learning_rate=0.01", "learning_rate=0.02")
    later = load_task(f"{place / 'mine.py'}:Mine", "quick")
    with pytest.raises(DifferentStudyError, match="changed while the study ran; source, mine"):
        run_cell(later, Arm("none"), 1, Store(place / "a"), origin=origin)
    edit(place, "learning_rate=0.02", "learning_rate=0.03")
    with pytest.raises(DifferentStudyError, match=r"mine.py was edited since this process loaded it"):
        run_cell(later, Arm("none"), 1, Store(place / "a"), origin=origin)


def test_origins_are_the_same_in_every_process(place):
    code = f"""
    import json
    from dkmodels.study import load_task
    from dkmodels.study.origin import data_digest, origin_of
    task = load_task({str(place / "mine.py")!r} + ":Mine", "quick")
    print(json.dumps([origin_of(task), data_digest(task.data(3))]))
    """
    runs = [
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, env={
            **os.environ, "PYTHONHASHSEED": str(seed)}).stdout
        for seed in (1, 2)
    ]  # fmt: skip
    assert runs[0] == runs[1]


def test_data_are_told_apart():
    def of(x, **more):
        return data_digest(Data(train=x, test=x, **more))

    class Rows(torch.utils.data.Dataset):
        def __init__(self, values):
            self._values = values

        def __len__(self):
            return len(self._values)

    a, b = torch.arange(20.0), torch.arange(20.0)
    b[17] += 1e-6
    sets = [torch.utils.data.TensorDataset(x) for x in (a, b)]
    assert of(sets[0]) == of(torch.utils.data.TensorDataset(a.clone())) != of(sets[1])
    assert of(Rows(a)) != of(Rows(b))
    assert of(sets[0]) != of(sets[0], batch_size=3)
    assert of(sets[0]) != of(sets[0], extra={"stream": [1, 2]})
    subset = torch.utils.data.Subset
    assert of(subset(sets[0], [0, 1])) != of(subset(sets[0], [1, 0]))


def test_attributes_that_are_set_on_a_task_count(place):
    def make(**attributes):
        task = load_task(f"{place / 'mine.py'}:Mine", "quick")
        vars(task).update(attributes)
        return task

    def twice(module, data, seed):
        return {"rmse": 2.0}

    def once(module, data, seed):
        return {"rmse": 1.0}

    settings = [origin_of(task)["settings"] for task in (make(), make(width=3), make(width=4), make(evaluate=once))]
    assert all(a != b for i, a in enumerate(settings) for b in settings[:i])
    assert origin_of(make(evaluate=once))["settings"] != origin_of(make(evaluate=twice))["settings"]
    assert origin_of(make(_cache=3))["settings"] == settings[0]
    for name in ("columns", "column", "index", "training"):  # names that only rules and networks change by themselves
        assert origin_of(make(**{name: [0, 1]}))["settings"] != origin_of(make(**{name: [2, 3]}))["settings"], name


def test_numbers_of_a_users_own_module_count(place):
    task = load_task(f"{place / 'mine.py'}:Mine", "quick")
    arms = []
    for alpha in (0.0, 20.0):
        module = task.module(task.network(0), task.rules())
        module.alpha = alpha
        arms.append(origin_of(task, {"positive": module})["arms"])
    assert arms[0] != arms[1]


def test_installed_packages_are_no_sources_of_the_user(place):
    """Wherever they lie, and however they are imported: a path file, PYTHONPATH, Debian's folder."""
    package = place / "lib" / "site-packages" / "theirs"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from theirs.inner import x\n")
    (package / "inner.py").write_text("x = 1\n")
    sys.path.insert(0, str(package.parent))
    try:
        edit(place, "import torch\n", "import torch\nimport theirs.inner\nfrom theirs import inner\n")
        task = load_task(f"{place / 'mine.py'}:Mine", "quick")
        assert origin_of(task)["source"].keys() == {"mine", "mine_helper"}
    finally:
        sys.path.remove(str(package.parent))


def test_a_script_with_workers_and_the_same_file_by_reference_are_one_study(place):
    script = place / "mine.py"
    script.write_text(
        SOURCE
        + """

if __name__ == "__main__":
    from dkmodels.study import Study

    Study(Mine("quick"), out="r", workers=1).run(costs=False)
"""
    )
    done = subprocess.run([sys.executable, "mine.py"], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    cells = Store(place / "r").cells()
    assert len(cells) == 4 and {tuple(c["origin"]["source"]) for c in cells} == {("mine", "mine_helper")}
    assert study(place, seeds=3).run(costs=False).missing() == []
