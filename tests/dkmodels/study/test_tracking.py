"""MLflow beside a study: whatever becomes of it, the study is whole, one line tells, and it can be tracked later."""

import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest
import torch
from rich.console import Console

from dkmodels.study import Store, Study, Tracker, load_task, tracking
from dkmodels.study.cli import main
from dkmodels.study.tracking import prepare_database

pytest.importorskip("mlflow")
TINY = Path(__file__).parent / "tiny.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "results"
    torch.set_num_threads(1)
    task = load_task(f"{TINY}:Tiny", "quick")
    arms = [arm for arm in task.arms() if arm.name in ("none", "positive")]
    Study(task, arms, seeds=2, out=out, console=Console(quiet=True), reference=f"{TINY}:Tiny").run(costs=False)
    return out


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """One that is whole: making it takes seconds."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    prepare_database(path)
    return path


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    return tmp_path / "r"


def runs(folder):
    with sqlite3.connect(folder / "mlflow.db") as connection:
        query = "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active' AND status != 'RUNNING'"
        return connection.execute(query).fetchone()[0]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), sqlite3.OperationalError("disk is full")])
def test_a_full_disk_is_one_line_and_the_next_run_goes_well(copy, database, error):
    lines = []
    with mock.patch.object(tracking, "_make_database", side_effect=error):
        assert Tracker().track(Store(copy), say=lines.append) is None
    (line,) = lines
    assert "MLflow is not up to date" in line and str(error) in line and "is complete" in line
    assert f"python -m dkmodels track {copy}" in line
    assert not list(copy.glob("*mlflow.db*tmp*")) and not (copy / "mlflow.db").exists()
    shutil.copy(database, copy / "mlflow.db")
    with mock.patch("mlflow.tracking.MlflowClient.log_batch", side_effect=error):
        assert Tracker().track(Store(copy), say=lines.append) is None
    assert Tracker().track(Store(copy), say=lines.append) == 4
    assert len(lines) == 2 and runs(copy) == 5
    assert Tracker().track(Store(copy)) == 0


@pytest.mark.parametrize("kind", ["empty", "half", "text", "cut", "no version"])
def test_a_database_that_was_left_half_made_is_made_anew(copy, database, kind):
    path = copy / "mlflow.db"
    if kind == "half":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE experiments (id INTEGER)")
    elif kind == "no version":
        shutil.copy(database, path)
        with sqlite3.connect(path) as connection:
            connection.execute("DELETE FROM alembic_version")
    else:
        path.write_bytes({"empty": b"", "text": b"no database " * 500, "cut": database.read_bytes()[:40_000]}[kind])
    with mock.patch.object(tracking, "_make_database", side_effect=lambda new: shutil.copy(database, new)):
        assert Tracker().track(Store(copy)) == 4
    assert runs(copy) == 5
    assert path.with_suffix(".broken").exists()


def test_a_lock_is_one_line(copy, database, capsys):
    shutil.copy(database, copy / "mlflow.db")
    holder = sqlite3.connect(copy / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with mock.patch.object(tracking, "LOCKED", 0.2):
        assert main(arguments=["track", str(copy)]) == 1
        text = " ".join(capsys.readouterr().out.split())
        assert "is locked by another process" in text and "Traceback" not in text
    holder.rollback()
    holder.close()
    assert main(arguments=["track", str(copy)]) == 0
    assert "4 runs made" in " ".join(capsys.readouterr().out.split())
    assert (copy / "mlflow.db").exists() and not (copy / "mlflow.broken").exists()


def test_two_first_runs_at_once(copy):
    """Processes of their own, as users start them; the database is made once and each run is there once."""
    words = [sys.executable, "-m", "dkmodels", "track", str(copy)]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    texts = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    assert sorted(text.split()[0] for text in texts) == ["0", "4"]
    assert runs(copy) == 5


def test_who_waits_too_long_is_told(copy, database):
    shutil.copy(database, copy / "mlflow.db")
    lines, held, leave = [], threading.Event(), threading.Event()

    def hold():
        with tracking.FileLock(copy / ".mlflow.db.lock"):
            held.set()
            leave.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(30)
    with mock.patch.object(tracking, "WAIT", 0.1):
        assert Tracker().track(Store(copy), say=lines.append) is None
    leave.set()
    other.join()
    assert "MLflow is not up to date (Timeout" in lines[0]


def test_a_study_ends_well_without_mlflow(tmp_path, capsys):
    task = load_task(f"{TINY}:Tiny", "quick")
    arms = [arm for arm in task.arms() if arm.name in ("none", "positive")]
    with mock.patch.object(tracking, "_make_database", side_effect=OSError(28, "No space left on device")):
        Study(task, arms, seeds=2, out=tmp_path, tracker=Tracker()).run(costs=False)
    assert "MLflow is not up to date" in capsys.readouterr().out
    assert (tmp_path / "report.html").exists() and (tmp_path / "effects.json").exists()


def test_names_that_mlflow_does_not_take_stay_apart():
    names = ["α", "β", "a b", "a:b", "a;b", "x" * 300, "x" * 301, "violation/a.b/mean"]
    safe = [tracking._safe(name) for name in names]
    assert len(set(safe)) == len(names)
    assert all(len(name) <= 250 and name.isascii() for name in safe)
    assert safe[2] == "a b" and safe[-1] == "violation/a.b/mean"
