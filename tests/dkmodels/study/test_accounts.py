"""Every planned cell and pair is accounted for: lost, failed, of no value, or never measured."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console

from dkmodels.study import Analysis, Store, Study, load_task
from dkmodels.study.accounts import take_accounts
from dkmodels.study.cli import main
from dkmodels.study.metric import ADD_ONE_IN, Contrast, Metric

TINY = Path(__file__).parent / "tiny.py"
MAE = Metric(name="mae", direction="min", gain=0.1, primary=True)
BIAS = Metric(name="bias", direction="min", gain=0.1)
TIME = Metric(name="time", direction="min", kind="cost", gain=0.1)
CONTRAST = Contrast(rule="a", embedding="Hard", arm="a", baseline="none", family=ADD_ONE_IN)
MANIFEST = {"arms": [{"name": "none"}, {"name": "a"}], "seeds": [0, 1, 2], "settings": {"cost_seeds": "2"}}


def cell(arm, seed, status="done", **metrics):
    return {"arm": arm, "seed": seed, "status": status, "metrics": {"mae": 1.0, "bias": 0.0, **metrics}}


def cost(seed, **values):
    return {"seed": seed, "rows": [{"arm": a, "metric": "time", "phase": "fit", "value": v} for a, v in values.items()]}


def whole():
    return [cell(arm, seed) for seed in range(3) for arm in ("none", "a")]


def account(cells, costs=()):
    return take_accounts(MANIFEST, cells, list(costs), [MAE, BIAS, TIME], [CONTRAST])


def test_nothing_is_lost():
    found = account(whole(), [cost(0, none=1.0, a=2.0), cost(1, none=1.0, a=2.0)])
    assert (found.planned, found.done, found.lines()) == (6, 6, [])


def test_missing_and_failed_cells_are_named():
    cells = [c for c in whole() if (c["arm"], c["seed"]) != ("none", 1)]
    cells[-1]["status"] = "failed"
    found = account(cells)
    assert (found.planned, found.done, found.failed, found.missing) == (6, 4, (("a", 2),), (("none", 1),))
    assert found.lines() == [
        "4 of 6 cells done, 1 failed, 1 missing: none, seed 1",
        "every metric, a against none: 1 of 3 pairs count (seed 1: none is missing; seed 2: a failed)",
    ]


@pytest.mark.parametrize(
    ("value", "why"), [(None, "has no finite value"), (1e308, "has 1e+308, which cannot be compared")]
)
def test_a_value_that_does_not_count_is_named(value, why):
    cells = whole()
    cells[3]["metrics"]["bias"] = value
    assert account(cells).lines() == [f"bias, a against none: 2 of 3 pairs count (seed 1: a {why})"]
    del cells[2]["metrics"]["mae"]
    assert [o.paired for o in account(cells).omissions] == [2, 2]


@pytest.mark.parametrize(
    ("costs", "says"),
    [
        ([cost(0, none=1.0, a=2.0)], "1 of 2 pairs count (seed 1: a was not measured, none was not measured)"),
        ([cost(0, none=1.0, a=2.0), cost(1, none=1.0)], "1 of 2 pairs count (seed 1: a was not measured)"),
        ([cost(0, none=1.0, a=0.0), cost(1, none=1.0, a=1.0)], "(seed 0: a has 0, which cannot be compared)"),
        ([cost(0, none=1.0, a=None), cost(1, none=1.0, a=1.0)], "(seed 0: a has no finite value)"),
    ],
)
def test_costs_that_were_not_measured_are_named(costs, says):
    (line,) = account(whole(), costs).lines()
    what = "every cost" if "not measured" in says else "time in fit"
    assert line.startswith(f"{what}, a against none: 1 of 2 pairs count") and line.endswith(says)


def test_costs_that_are_all_gone_are_named():
    """As planned, whatever is left of them; not those that nobody planned."""
    planned, plain = {**MANIFEST, "costs": [0, 1]}, {**MANIFEST, "costs": []}
    metrics = [MAE, BIAS, TIME]
    (line,) = take_accounts(planned, whole(), [], metrics, [CONTRAST]).lines()
    lost = "a was not measured, none was not measured"
    assert line == f"every cost, a against none: 0 of 2 pairs count (seed 0: {lost}; seed 1: {lost})"
    (line,) = take_accounts(planned, whole(), [cost(1, none=1.0, a=2.0)], metrics, [CONTRAST]).lines()
    assert line == f"every cost, a against none: 1 of 2 pairs count (seed 0: {lost})"
    assert take_accounts(plain, whole(), [], metrics, [CONTRAST]).lines() == []
    assert take_accounts(planned, whole(), [], [MAE, BIAS], [CONTRAST]).lines() == [], "no cost is declared"


def test_many_are_counted():
    manifest = {**MANIFEST, "seeds": list(range(30))}
    found = take_accounts(manifest, [], [], [MAE], [CONTRAST])
    assert (len(found.missing), found.omissions[0].paired, len(found.omissions[0].reasons)) == (60, 0, 30)
    assert "and 52 more" in found.summary and "; and 22 more)" in found.lines()[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "results"
    torch.set_num_threads(1)
    task = load_task(f"{TINY}:Tiny", "quick")
    arms = [arm for arm in task.arms() if arm.name in ("none", "shares", "positive")]
    Study(task, arms, out=out, console=Console(quiet=True), reference=f"{TINY}:Tiny").run(costs=False)
    return out


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    return tmp_path / "r"


def rewrite(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def told(folder, capsys):
    """What `report` prints, without breaks of lines, and what the page holds."""
    assert main(arguments=["report", str(folder)]) == 0
    return " ".join(capsys.readouterr().out.split()), " ".join((folder / "report.html").read_text().split())


def test_a_deleted_cell_is_missing_everywhere(copy, capsys):
    (copy / "cells/none--seed-1.json").unlink()
    text, page = told(copy, capsys)
    assert "8 of 9 cells done, 0 failed, 1 missing: none, seed 1" in text
    assert "8 of 9 cells done" in page and "1 missing" in page and "seed 1: none is missing" in page
    assert main(arguments=["status", str(copy)]) == 0
    assert "8 of 9 cells done, 0 failed, 1 missing: none, seed 1" in " ".join(capsys.readouterr().out.split())
    assert main(arguments=["advise", str(copy)]) == 0
    assert "1 missing: none, seed 1" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"status": "finished"}, "status needs done or failed, got 'finished'"),
        ({"status": ["done"]}, "status needs done or failed"),
        ({"metrics": [1]}, "metrics needs an object"),
        ({"metrics": {"rmse": "0.3"}}, "metrics.rmse needs a number, got '0.3'"),
        ({"metrics": {"rmse": 10**400}}, "metrics.rmse needs a number"),
        ({"curves": {"loss": [[1]]}}, "curves.loss[0] needs a list of 2"),
        ({"seed": "1"}, "seed needs a whole number, got '1'"),
        ({"seed": True}, "seed needs a whole number, got True"),
        ({"arm": None}, "arm needs a text"),
        ({"seconds": None}, "seconds needs an object"),
    ],
)
def test_a_cell_of_another_shape_is_set_aside_and_missing(copy, capsys, fields, fault):
    path = copy / "cells/none--seed-1.json"
    rewrite(path, **fields)
    with pytest.warns(UserWarning, match="set aside as none--seed-1.broken") as caught:
        text, _ = told(copy, capsys)
    assert fault in str(caught[0].message)
    assert "8 of 9 cells done, 0 failed, 1 missing: none, seed 1" in text
    assert path.with_suffix(".broken").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"a":' * 100_000, "1" * 5000, "\x00"])
def test_damaged_text_is_set_aside_and_run_again(copy, text):
    path = copy / "cells/none--seed-1.json"
    before = json.loads(path.read_text())["metrics"]
    path.write_text(text)
    task = load_task(f"{TINY}:Tiny", "quick")
    arms = [arm for arm in task.arms() if arm.name in ("none", "shares", "positive")]
    with pytest.warns(UserWarning, match="damaged"):
        Study(task, arms, out=copy, console=Console(quiet=True), reference=f"{TINY}:Tiny").run(costs=False)
    assert json.loads(path.read_text())["metrics"] == before


@pytest.mark.parametrize("value", ["NaN", "null", "Infinity", "1e308", "-1e308", "1e400"])
def test_a_value_in_a_secondary_metric_that_does_not_count(copy, capsys, value):
    path = copy / "cells/shares--seed-1.json"
    text = path.read_text()
    name = '"violation/shares/mean": '
    start = text.index(name) + len(name)
    path.write_text(text[:start] + value + text[text.index(",", start) :])
    text, page = told(copy, capsys)
    assert "violation/shares/mean, shares against none: 2 of 3 pairs count (seed 1: shares has" in text
    assert "seed 1: shares has" in page
    rows = {(e.metric, e.arm): e.n_seeds for e in Analysis.of(Store(copy)).effects}
    assert (rows["violation/shares/mean", "shares"], rows["rmse", "shares"]) == (2, 3)


def test_a_copied_cell_is_refused(copy, capsys):
    shutil.copy(copy / "cells/none--seed-1.json", copy / "cells/none--seed-2.json")
    assert main(arguments=["report", str(copy)]) == 1
    assert "holds arm 'none' at seed 1, as none--seed-1.json does" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[]", "it needs an object, got list"),
        ('{"task": 1}', "it needs profile, arms"),
        ("[" * 100_000, "nested too deeply"),
        ("{", "Expecting property name"),
    ],
)
@pytest.mark.parametrize("command", ["report", "status", "advise", "track"])
def test_a_damaged_study_is_one_clear_line(copy, capsys, text, fault, command):
    (copy / "study.json").write_text(text)
    assert main(arguments=[command, str(copy)]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "study.json is damaged" in err and fault in err
    assert (copy / "study.json").exists(), "what only reads moves no study.json"


@pytest.mark.parametrize(
    "change",
    [{"gain": -1.0}, {"gain": None}, {"direction": "up"}, {"kind": "cost"}, {"unknown": 1}, {"name": ["rmse"]}],
)
def test_a_damaged_metric_is_one_clear_line(copy, capsys, change):
    manifest = json.loads((copy / "study.json").read_text())
    manifest["metrics"] = [{**metric, **change} for metric in manifest["metrics"][:1]]
    (copy / "study.json").write_text(json.dumps(manifest))
    assert main(arguments=["report", str(copy)]) == 1
    assert "study.json is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "code", "fault"),
    [
        ("[]", 2, "holds no effects"),
        ("{}", 2, "needs a list"),
        ("[1]", 2, "effects[0] needs an object"),
        ("[" * 100_000, 2, "nested too deeply"),
        ("{", 2, "Expecting property name"),
    ],
)
def test_comparing_with_nothing_is_an_error(copy, tmp_path, capsys, text, code, fault):
    (tmp_path / "effects.json").write_text(text)
    for pair in ((copy, tmp_path / "effects.json"), (tmp_path / "effects.json", copy)):
        assert main(arguments=["compare", *map(str, pair)]) == code
        err = capsys.readouterr().err
        assert fault in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("difference", "a"), ("low", []), ("verdict", "MAYBE"), ("n_seeds", None), ("direction", "up"), ("extra", 1)],
)
def test_an_effect_of_another_shape_is_an_error(copy, tmp_path, capsys, field, value):
    rows = json.loads((copy / "effects.json").read_text())
    rows[0][field] = value
    (tmp_path / "effects.json").write_text(json.dumps(rows))
    assert main(arguments=["compare", str(copy), str(tmp_path)]) == 2
    assert "must be a JSON list of objects" in capsys.readouterr().err


def test_a_comparison_accounts_for_every_effect(copy, tmp_path, capsys):
    rows = json.loads((copy / "effects.json").read_text())
    (tmp_path / "effects.json").write_text(json.dumps(rows[1:]))
    assert main(arguments=["compare", str(copy), str(tmp_path)]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert f"{len(rows) - 1} effects compared, 0 got worse" in text and "1 of" in text and "missing" in text
    assert main(arguments=["compare", str(tmp_path), str(copy)]) == 0
    assert "1 are new" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "effects.json").write_text(json.dumps([{**row, "arm": "b"} for row in rows]))
    assert main(arguments=["compare", str(copy), str(tmp_path)]) == 2
    assert "no effect in common" in capsys.readouterr().err


def test_other_epochs_seeds_and_code_are_named(copy, finished, capsys):
    manifest = json.loads((copy / "study.json").read_text())
    manifest["origin"]["settings"]["epochs"] = "9"
    manifest["origin"]["library"]["digest"] = "0" * 16
    manifest["seeds"] = [0, 1]
    (copy / "study.json").write_text(json.dumps(manifest))
    assert main(arguments=["compare", str(finished), str(copy)]) == 0
    text = capsys.readouterr().out
    assert "other: seeds [0, 1, 2] -> [0, 1]" in text
    assert "other: settings, epochs: 2 became 9" in text and "other: library, digest" in text
    (copy / "study.json").unlink()
    assert main(arguments=["compare", str(finished), str(copy)]) == 0
    assert "whether epochs, seeds and code are the same is not known" in capsys.readouterr().out


def test_published_effects_can_be_compared(capsys):
    docs = Path(__file__).parents[3] / "docs" / "pwc"
    assert main(arguments=["compare", str(docs), str(docs)]) == 0
    assert "128 effects compared, 0 got worse" in " ".join(capsys.readouterr().out.split())


def test_a_folder_without_cells_says_what_was_planned(copy, capsys):
    shutil.rmtree(copy / "cells")
    said = "0 of 9 cells done, 0 failed, 9 missing: none, seed 0; "
    for command in ("report", "advise"):
        assert main(arguments=[command, str(copy)]) == 2
        assert f"has no cell that is done: {said}" in capsys.readouterr().err
    assert main(arguments=["status", str(copy)]) == 0
    assert said in " ".join(capsys.readouterr().out.split())


def test_deleted_costs_are_missing_everywhere(copy, capsys):
    """Costs are planned by a run that measures them, and none is left."""
    rewrite(copy / "study.json", costs=[0, 1])
    text, page = told(copy, capsys)
    assert "every cost, shares against none: 0 of 2 pairs count (seed 0: shares was not measured" in text
    assert '<td>every cost</td><td>shares against none</td><td class="n">2</td><td class="n">0</td>' in page
    main(arguments=["status", str(copy)])
    assert "costs of 0 of 2 planned seeds measured" in " ".join(capsys.readouterr().out.split())


def test_violations_of_every_rule_are_in_the_report(copy, capsys):
    _, page = told(copy, capsys)
    rows = page[page.index("Violations of every rule") :]
    for rule in ("positive", "late", "shares"):
        assert f"<td>{rule}</td><td>none</td>" in rows, "no task metric of positive and late"
    values = [c["metrics"]["violation/positive/mean"] for c in Store(copy).cells() if c["arm"] == "none"]
    assert f'<td>positive</td><td>none</td><td class="n">{sum(values) / 3:.4g}</td>' in rows


def hopeless_run(folder):
    """The command that runs a task whose every cell fails."""
    words = f"run {TINY}:Hopeless --profile quick --workers 0 --track false --out".split()
    return [*words, str(folder)]


def test_all_cells_failed_is_exit_code_1_with_their_errors(capsys, tmp_path):
    assert main(arguments=hopeless_run(tmp_path)) == 1
    caught = capsys.readouterr()
    text = " ".join(caught.out.split())
    assert "0 of 6 cells done, 6 failed, 0 missing; the first that failed: ZeroDivisionError" in text
    assert "ZeroDivisionError: always" in text and caught.err == ""
    assert main(arguments=["report", str(tmp_path)]) == 2
    assert (
        "has no cell that is done: 0 of 6 cells done, 6 failed, 0 missing; the first that failed: ZeroDivisionError"
        in capsys.readouterr().err
    )


def test_too_few_seeds_are_told_before_anything_is_trained(tmp_path, capsys):
    main(arguments=hopeless_run(tmp_path))
    text = " ".join(capsys.readouterr().out.split())
    line = (
        "3 seeds cannot decide any contrast, whatever the results, on 1 headline metric: at least 6 for the 1 of 'add"
    )
    assert line in text and text.index(line) < text.index("seed 0")
