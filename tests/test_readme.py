"""What the README shows runs, and what it names is there."""

import doctest
import importlib
import re
from pathlib import Path

import constraints
import dkmodels

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"## Twenty lines\n\n```python\n(.*?)```", README, flags=re.DOTALL).group(1)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    left = float(re.search(r"tensor\(([-+.e\d]+)", capsys.readouterr().out).group(1))
    assert left < 1e-5


def test_the_page_on_statements_is_what_is_printed():
    result = doctest.testfile(str(ROOT / "docs/declare.md"), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 40
    assert result.failed == 0


def test_the_example_of_an_equation_trains_and_plots(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/equations.md").read_text()
    first, *others = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert "max_epochs=20" in first and others
    names = {"__name__": "equations"}
    # half of it: enough to see it learn
    exec(compile(first.replace("max_epochs=20", "max_epochs=10"), "equations.md", "exec"), names)
    assert float(capsys.readouterr().out.split()[-1]) < 1e-4
    assert (tmp_path / "cooling.png").stat().st_size > 10_000
    for code in others:
        exec(compile(code, "equations.md", "exec"), names)
    assert int(capsys.readouterr().out.split()[-1]) > 0


def test_names_in_the_table_are_there():
    table = README.split("## What is there")[1].split("##")[0]
    names = set(re.findall(r"`([A-Z]\w+)`", table))
    places = (
        constraints,
        dkmodels,
        *map(importlib.import_module, ("dkmodels.study", "dkmodels.optim", "dkmodels.balance")),
    )
    missing = {n for n in names if not any(hasattr(m, n) for m in places)}
    assert not missing


def test_commands_name_files_that_are_there():
    for path in re.findall(r"`((?:tests|benchmarks)/[\w/]+\.py)`", README):
        assert (ROOT / path).is_file(), path


def test_public_names_are_the_ones_we_mean():
    """The list is the API: a change here is a decision."""
    assert {name for name in constraints.__all__ if not hasattr(constraints, name)} == set()
    assert len(constraints.__all__) == len(set(constraints.__all__))
    assert sorted(dkmodels.__all__) == [
        "ClassificationModule", "FieldModule", "KnowledgeModule", "RandomStream", "RegressionModule", "RuleMonitor",
        "RuleViolation", "SatisfactionRate", "__version__", "seed_streams",
    ]  # fmt: skip
