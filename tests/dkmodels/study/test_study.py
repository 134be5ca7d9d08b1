"""A whole study: run, resume, fail, retry, share out, die."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from rich.console import Console

from constraints import Bounds, Soft
from dkmodels.study import Arm, Shard, Store, StoreError, Study, Tracker, UsageError, standard_arms, standard_contrasts
from dkmodels.study.cell import fit_digest, fit_key, run_cell
from dkmodels.study.store import HOST, write_atomic

TINY = Path(__file__).parent / "tiny.py"
WANTED = """task rule embedding arm baseline metric direction unit baseline_mean arm_mean difference relative low high p
p_adjusted n_seeds verdict"""


def study(task, out, **options):
    return Study(task, out=out, console=Console(quiet=True), **options)


def correctness(out):
    """The effects that do not depend on a clock."""
    rows = json.loads((Path(out) / "effects.json").read_text())
    return [row for row in rows if row["phase"] is None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that ran undisturbed, in this process, without costs."""
    from dkmodels.study import load_task

    out = tmp_path_factory.mktemp("finished") / "results"
    torch.set_num_threads(1)
    s = study(load_task(f"{TINY}:Tiny", "quick"), out, reference=f"{TINY}:Tiny").run(costs=False)
    return s, out


def test_arms_answer_the_standard_questions(tiny):
    rules = tiny().rules()
    arms = standard_arms(tuple(rules))
    assert len(arms) == 2 ** len(rules)
    assert arms[0] == Arm("none") and arms[-1].name == "all"
    contrasts = standard_contrasts(arms, rules)
    assert {(c.rule, c.arm, c.baseline) for c in contrasts if c.family == "leave one out"} == {
        (rule, "all", f"all but {rule}") for rule in rules
    }
    assert len(standard_arms("abcde")) == 1 + 5 + 5 + 1, "no factorial beyond four rules"
    assert [a.name for a in standard_arms("a")] == ["none", "a"]
    assert [a.name for a in standard_arms("ab")] == ["none", "a", "b", "all"]


def test_effects_have_every_field(finished):
    s, out = finished
    rows = json.loads((out / "effects.json").read_text())
    assert rows
    assert all(row.keys() >= set(WANTED.split()) for row in rows)
    violated = [row for row in rows if row["metric"].startswith("violation")]
    hard = next(row for row in violated if row["rule"] == "shares" and row["baseline"] == "none")
    assert hard["arm_mean"] < 1e-6 < hard["baseline_mean"], "measured where it is imposed and where it is not"
    assert hard["embedding"] == "Hard"
    assert hard["n_seeds"] == 3
    assert s.advise().smoke
    for name in ("results.csv", "report.html", "advice.txt", "study.json"):
        assert (out / name).stat().st_size > 0
    header, first = (out / "results.csv").read_text().splitlines()[:2]
    assert header == "arm,seed,metric,value,unit,kind,direction,method,phase"
    assert len(first.split(",")) == 9


def test_arms_that_train_alike_share_their_fit(finished):
    _, out = finished
    cells = {(c["arm"], c["seed"]): c for c in Store(out).cells()}
    assert cells["none", 0]["fit"] == cells["late", 0]["fit"]
    assert cells["none", 0]["fit"] != cells["shares", 0]["fit"]
    assert sum(c["trained_here"] for c in cells.values()) == 3 * 4
    assert cells["late", 0]["metrics"]["rmse"] != cells["none", 0]["metrics"]["rmse"]


def test_workers_shards_and_order_do_not_change_results(finished, tmp_path):
    s, out = finished
    for index in (2, 1, 3):
        part = study(s.task, tmp_path, workers=2, reference=s.reference)
        part.run(shard=Shard(index, 3), costs=False)
    assert correctness(tmp_path) == correctness(out)


def test_resuming_runs_nothing_again(finished, tmp_path):
    s, out = finished
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    study(s.task, out, reference=s.reference).run(costs=False)
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == before


def test_more_seeds_extend_a_study(tiny, tmp_path):
    study(tiny(), tmp_path, seeds=2).run(costs=False)
    s = study(tiny(), tmp_path, seeds=3).run(costs=False)
    assert {e.n_seeds for e in s.effects()} == {3}
    with pytest.raises(UsageError, match="profile 'quick', expected 'standard'"):
        study(tiny(profile="standard"), tmp_path).run()


def test_failures_are_kept_and_retried(tiny, tmp_path, monkeypatch):
    flag = tmp_path / "fail"
    flag.touch()
    monkeypatch.setenv("TINY_FAIL", str(flag))
    out = tmp_path / "results"
    s = study(tiny("Failing"), out).run(costs=False)
    failed = s.failed()
    assert {(c["arm"], c["seed"]) for c in failed} == {(a.name, 1) for a in s.arms if "positive" in a.rules}
    assert "ZeroDivisionError: on purpose" in failed[0]["traceback"]
    assert "on purpose" in (out / "report.html").read_text()
    flag.unlink()
    study(tiny("Failing"), out).run(costs=False)
    assert s.failed(), "without retry a failed cell is left alone"
    study(tiny("Failing"), out).run(costs=False, retry_failed=True)
    assert not s.failed()


def test_a_dying_worker_fails_its_own_cells_only(tiny, tmp_path):
    s = study(tiny("Dying"), tmp_path, workers=2, seeds=2, reference=f"{TINY}:Dying")
    s.arms = [a for a in s.arms if a.name in ("none", "shares", "positive")]
    s.run(costs=False)
    assert [(c["arm"], c["seed"]) for c in s.failed()] == [("positive", 1)]
    assert not s.missing()


def test_a_fit_is_another_for_other_epochs_and_the_same_for_more_seeds(tiny):
    task = tiny()
    arm, before = task.arms()[0], task.profile
    digest = fit_digest(task, arm, 0)
    task.profile = replace(before, seeds=9, rounds=7, cost_seeds=5)
    assert fit_digest(task, arm, 0) == digest != fit_digest(task, arm, 1)
    task.profile = replace(before, epochs=before.epochs + 1)
    assert fit_digest(task, arm, 0) != digest


def test_a_damaged_cell_is_set_aside_and_run_again(finished, tmp_path):
    import shutil

    s, out = finished
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    cell = copy / "cells" / "none--seed-1.json"
    cell.write_text(cell.read_text()[:40])
    with pytest.warns(UserWarning, match="damaged: set aside as none--seed-1.broken"):
        study(s.task, copy, reference=s.reference).run(costs=False)
    assert cell.exists() and cell.with_suffix(".broken").exists()
    assert correctness(copy) == correctness(out)


@pytest.mark.parametrize("kills", [5])
def test_kill_and_resume_gives_the_same_effects(tmp_path, kills):
    """`kill -9` at random moments of a run with workers, then resume."""
    environment = {**os.environ, "TINY_SLEEP": "0.05"}

    def command(out):
        words = ["run", f"{TINY}:Slow", "--profile", "quick", "--out", str(out), "--workers", "2", "--track", "false"]
        return [sys.executable, "-m", "dkmodels", *words, "--costs", "false"]

    calm, hit = tmp_path / "calm", tmp_path / "hit"
    subprocess.run(command(calm), env=environment, check=True, capture_output=True)
    rng = random.Random(0)
    for _ in range(kills):
        process = subprocess.Popen(command(hit), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        done = len(list(hit.glob("cells/*.json")))
        limit = time.monotonic() + 60
        # Somewhere between two cells, or while the first of this run trains.
        while process.poll() is None and len(list(hit.glob("cells/*.json"))) <= done and time.monotonic() < limit:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(hit), env=environment, check=True, capture_output=True)
    assert correctness(hit) == correctness(calm)
    assert len(list(hit.glob("cells/*.json"))) == len(list(calm.glob("cells/*.json")))
    assert not list(hit.glob("**/*.tmp"))


def test_costs_are_measured_apart_and_named(tiny, tmp_path):
    s = study(tiny(), tmp_path, reference=f"{TINY}:Tiny", seeds=2)
    s.arms = [a for a in s.arms if a.name in ("none", "shares", "late")]
    s.run()
    costs = [e for e in s.effects() if e.phase is not None]
    assert {"train_step", "inference_batch_1", "inference_large_batch"} <= {e.phase for e in costs}
    assert {"time", "peak_memory", "flops"} <= {e.metric for e in costs}
    assert all(e.method for e in costs)
    energy = {e.method for e in costs if e.metric == "energy"}
    assert len(energy) == 1 and energy <= {"rapl", "nvml", "cpu_time_estimate"}
    if energy == {"cpu_time_estimate"}:
        assert "Energy is an estimate" in (tmp_path / "report.html").read_text()
    flops = {row["arm"]: row["value"] for row in s.store.costs()[0]["rows"]
             if row["metric"] == "flops" and row["phase"] == "inference_batch_1"}  # fmt: skip
    assert flops["none"] == 2 * (4 * 8 + 8 * 3), "two operations a weight"


def test_tracking_is_complete_and_can_be_repeated(finished):
    mlflow = pytest.importorskip("mlflow")
    s, out = finished
    lines = []
    assert Tracker().track(s.store, say=lines.append) == len(s.store.cells())
    assert Tracker().track(s.store, say=lines.append) == 0
    client = mlflow.tracking.MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name.startswith("dkmodels/")]
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == len(s.store.cells()) + 1
    run = next(r for r in runs if r.data.tags["dk.cell"] == "positive, seed 0")
    assert run.data.params["rule.positive.embedding"] == "Soft"
    assert {"code.commit", "environment.torch"} <= run.data.tags.keys()
    assert "seconds/fit" in run.data.metrics and "system/rss_mib" in run.data.metrics
    assert len(client.get_metric_history(run.info.run_id, "curve/train/loss")) == 2
    assert [a.path for a in client.list_artifacts(run.info.run_id)] == ["positive--seed-0.json"]
    cell = s.store.cell_path("positive", 0)
    record = json.loads(cell.read_text())
    record["metrics"]["rmse"] = 1.0
    cell.write_text(json.dumps(record))
    assert Tracker().track(s.store, say=lines.append) == 1, "a cell that was run again is tracked again"
    assert len(client.search_runs([experiment.experiment_id])) == len(runs)


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(StoreError, match=r"cannot write .*cells/a.json: Not a directory"):
        write_atomic(blocked / "cells" / "a.json", "{}")
    with pytest.raises(StoreError, match="No space left on device"):
        write_atomic(Path("/dev/full"), "x" * 10) if not os.path.exists("/dev/full") else _fill(tmp_path)


def _fill(folder):
    """A full disk, as the system reports it."""
    from unittest import mock

    with mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")):
        write_atomic(folder / "a.json", "{}")


def test_nothing_half_written_stays_behind(tmp_path):
    with pytest.raises(StoreError):
        _fill(tmp_path)
    assert list(tmp_path.iterdir()) == []
    ours, theirs = f".a.json.{HOST}.4194399.tmp", ".a.json.elsewhere.4194399.tmp"
    for name in (ours, theirs):
        (tmp_path / name).touch()
    Store(tmp_path).sweep()
    assert [path.name for path in tmp_path.iterdir()] == [theirs], "what another machine writes is left alone"


def test_a_fit_of_other_settings_is_not_taken(tiny, tmp_path):
    """The same folder, another profile: trained again."""
    quick, standard = tiny(), tiny(profile="standard")
    longer = type(standard.profile)(seeds=4, epochs=7, rounds=1)
    standard.profile = longer
    store = Store(tmp_path)
    first = run_cell(quick, Arm("none"), 0, store)
    second = run_cell(standard, Arm("none"), 0, store)
    assert (first["system"]["steps"], second["system"]["steps"]) == (8, 28)
    assert second["trained_here"]


def test_a_changed_task_is_not_mixed_into_an_old_study(tiny, tmp_path):
    study(tiny(), tmp_path, seeds=2).run(costs=False)
    changed = tiny()
    rules = type(changed).rules
    changed.rules = lambda: {**rules(changed), "positive": Soft(Bounds(low=0.0), weight=500.0)}
    with pytest.raises(UsageError, match=r"rules, positive, weight: 1\.0 became 500\.0"):
        study(changed, tmp_path, seeds=3).run(costs=False)


def test_names_that_look_alike_do_not_share_weights(tiny):
    task = tiny()
    rules = type(task).rules(task)
    task.rules = lambda: {"T": rules["positive"], "t": rules["shares"]}
    assert fit_key(task, Arm("one", ("T",))) != fit_key(task, Arm("two", ("t",)))


def slowly(module, learning_rate):
    module.learning_rate = learning_rate


def test_arms_may_train_otherwise(tiny, tmp_path):
    """By the same rules, with a setup that records name, and a fit of their own."""
    plain, slow = Arm("plain", ("positive",)), Arm("slow", ("positive",), partial(slowly, learning_rate=1e-9))
    task, store = tiny(), Store(tmp_path)
    assert fit_key(task, plain) != fit_key(task, slow)
    assert fit_key(task, slow) != fit_key(task, Arm("slow", ("positive",), partial(slowly, learning_rate=1e-8)))
    before, after = run_cell(task, plain, 0, store), run_cell(task, slow, 0, store)
    assert before["setup"] == "" and after["setup"].endswith("slowly(learning_rate=1e-09)")
    assert after["trained_here"] and after["metrics"]["rmse"] != before["metrics"]["rmse"]
    with pytest.raises(UsageError, match="needs a setup that has a name of its own"):
        Arm("nameless", setup=lambda module: None)


def test_a_headline_that_is_not_a_number_is_a_failure(tiny, tmp_path):
    task = tiny()
    task.evaluate = lambda module, data, seed: {"rmse": float("nan")}
    record = run_cell(task, Arm("none"), 0, Store(tmp_path))
    assert record["status"] == "failed"
    assert "metric `rmse` needs a finite value of at most 1e+150, got nan" in record["error"]


def test_counts_reach_the_report(tiny, tmp_path):
    task = tiny()
    task.evaluate = lambda module, data, seed: {"rmse": 1.0, "violation/shares/mean": (1, 4)}
    run_cell(task, Arm("none"), 0, Store(tmp_path))
    rows = Store(tmp_path).measurements(list(task.metrics()))
    assert [(r.value, r.count) for r in rows if r.metric.startswith("violation")] == [(0.25, (1, 4))]


def test_arms_that_cannot_be_compared_are_refused_before_anything_is_trained(tiny, tmp_path):
    """Those that can be later, when the folder holds their partners, are told of; a factorial may be extended."""
    task, quiet = tiny(), Console(quiet=True)
    odd = [Arm("one", ("shares",)), Arm("two", ("positive",))]
    with pytest.raises(UsageError, match=r"arms that it can compare, got \['one', 'two'\].* shares against none"):
        Study(task, odd, out=tmp_path / "odd", console=quiet).run(costs=False)
    task.contrasts = list
    with pytest.raises(UsageError, match="none of them in a contrast of task `tiny`, which are none"):
        Study(task, seeds=2, out=tmp_path / "odd", console=quiet).run(costs=False)
    assert not (tmp_path / "odd").exists()
    text = io.StringIO()
    one = Study(tiny(), odd_out(tiny(), "shares"), seeds=2, out=tmp_path / "r", console=Console(file=text))
    one.run(costs=False)
    said = " ".join(text.getvalue().split())
    line = "no contrast is between two arms of this study (shares): there will be no effect until this folder holds"
    assert f"{line} their partners, all, " in said and "none" in said.partition(line)[2]
    more = Study(tiny(), odd_out(tiny(), "none"), seeds=2, out=tmp_path / "r", console=quiet).run(costs=False)
    assert {effect.arm for effect in more.effects()} == {"shares"}


def odd_out(task, name):
    """The arm of a task with a name."""
    return [arm for arm in task.arms() if arm.name == name]


def test_an_arm_with_a_function_of_its_own_file_runs_and_its_costs_are_measured(tmp_path):
    """In a worker the file of a task has another name than in a script."""
    (tmp_path / "tiny.py").write_text(Path(TINY).read_text())
    (tmp_path / "mini.py").write_text(
        "from dkmodels.study import Arm, Contrast, Profile, Study\n"
        "from tiny import Tiny\n"
        "def slow(module):\n"
        "    module.learning_rate = 0.001\n"
        "class Mine(Tiny):\n"
        '    profiles = {"quick": Profile(seeds=2, epochs=1, rounds=1, cost_seeds=1)}\n'
        "    def arms(self):\n"
        '        return [Arm("positive", ("positive",)), Arm("slow", ("positive",), setup=slow)]\n'
        "    def contrasts(self):\n"
        '        return [Contrast(rule="rate", embedding="-", arm="slow", baseline="positive", family="extra")]\n'
        'if __name__ == "__main__":\n'
        '    Study(Mine("quick"), seeds=2, out="out").run()\n'
    )
    found = subprocess.run([sys.executable, "mini.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    more = [sys.executable, "-m", "dkmodels", "run", "mini.py:Mine", "--profile", "quick", "--seeds", "3"]
    more += ["--out", "out", "--track", "false", "--workers", "1"]
    found = subprocess.run(more, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    store = Store(tmp_path / "out")
    assert sorted((cell["arm"], cell["seed"], cell["status"]) for cell in store.cells()) == [
        (arm, seed, "done") for arm in ("positive", "slow") for seed in (0, 1, 2)
    ]
    assert {row["arm"] for row in store.costs()[0]["rows"]} == {"positive", "slow"}
