"""The command line: exit codes, and one clear line for every mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dkmodels.study import Store
from dkmodels.study.cli import main

TINY = Path(__file__).parent / "tiny.py"


def run(capsys, *words, tasks=None):
    try:
        code = main(tasks, [str(w) for w in words])
    except SystemExit as leaving:  # the parser's own
        code = leaving.code
    caught = capsys.readouterr()
    return code, caught.out, caught.err


@pytest.mark.parametrize(
    ("name", "extra", "says"),
    [
        ("Contradicting", (), "rules contradict each other: no output satisfies `up`, `down` together"),
        ("Nameless", (), "names outputs ['methane']"),
        ("Dotted", (), "a rule needs a name without dots and slashes"),
        ("Broken", (), "needs finite targets, got 1 NaN"),
        ("Empty", (), "the train data set needs at least one sample, got none"),
        ("Tiny", ("--seeds", 1), "at least 2 seeds"),
        ("Tiny", ("--profile", "huge"), "has profiles quick, standard, got 'huge'"),
        ("Tiny", ("--shard", "5/4"), "1 <= i <= N, got 5/4"),
        ("Tiny", ("--shard", "half"), "got 'half'"),
        ("Tiny", ("--logger", "paper"), "got 'paper'"),
        ("Tiny", ("--arms", '["nobody"]'), "unknown arms ['nobody']"),
        ("Tiny", ("--workers", -1), "workers needs to be >= 0"),
        ("Nobody", (), "no concrete Task called Nobody, it has ['Tiny'"),
    ],
)
def test_wrong_usage_is_one_clear_line(capsys, tmp_path, name, extra, says):
    profile = () if "--profile" in extra else ("--profile", "quick")
    code, _, err = run(capsys, "run", f"{TINY}:{name}", "--out", tmp_path / "r", *profile, *extra)
    assert code == 2
    assert says in err
    assert "Traceback" not in err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert not (tmp_path / "r").exists(), "nothing is written for a study that cannot be"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "checkers"), "unknown task 'checkers', expected one of chess"),
        (("run", "nowhere.py:Task"), "there is no file nowhere.py"),
        (("run", "no.such.module:Task"), "No module named"),
        (("status", "nowhere"), "holds no study"),
        (("compare", "nowhere", "nowhere"), "is not there"),
        (("fly",), "fly"),
        (("run",), "task"),
    ],
)
def test_other_mistakes(capsys, words, says):
    code, _, err = run(capsys, *words, tasks={"chess": "benchmarks.chess.task:Chess"})
    assert code == 2
    assert says in err
    assert "Traceback" not in err


def test_the_whole_way(capsys, tmp_path):
    out = tmp_path / "results"
    code, text, _ = run(capsys, "run", f"{TINY}:Tiny", "--profile", "quick", "--out", out, "--workers", 0,
                        "--costs", "false", "--logger", "csv")  # fmt: skip
    assert code == 0
    assert "rmse" in text and "report.html" in text
    assert list((out / "logs").glob("**/metrics.csv"))
    assert (out / "mlflow.db").exists()
    assert run(capsys, "status", out)[1].startswith("tiny (quick): 24 of 24 cells done, 0 failed")
    assert "GO ON" in run(capsys, "advise", out)[1]
    assert run(capsys, "report", out)[0] == 0
    code, text, _ = run(capsys, "compare", out, out)
    assert (code, "0 got worse" in text) == (0, True)
    worse = json.loads((out / "effects.json").read_text())
    for row in worse:
        row["difference"] += 100.0
        row["low"] += 100.0
        row["high"] += 100.0
    (tmp_path / "effects.json").write_text(json.dumps(worse))
    assert run(capsys, "compare", out, tmp_path)[0] == 1
    code, text, _ = run(capsys, "cell", f"{TINY}:Tiny", "--profile", "quick", "--arm", "late", "--seed", 1,
                        "--out", tmp_path / "cell")  # fmt: skip
    again = json.loads((tmp_path / "cell/tiny-quick/cells/late--seed-1.json").read_text())["metrics"]
    first = json.loads((out / "cells/late--seed-1.json").read_text())["metrics"]
    assert code == 0 and again == first, "a cell is reproduced to the last bit"


def test_a_failed_cell_is_exit_code_1(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_FAIL", str(TINY))
    code, text, _ = run(capsys, "run", f"{TINY}:Failing", "--profile", "quick", "--out", tmp_path, "--workers", 0,
                        "--costs", "false", "--track", "false")  # fmt: skip
    assert code == 1
    assert "failed: positive, seed 1: ZeroDivisionError: on purpose" in text


def test_a_read_only_place_is_one_line_and_exit_code_1(capsys, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = run(capsys, "run", f"{TINY}:Tiny", "--profile", "quick", "--out", tmp_path / "file" / "r")
    assert code == 1
    assert err.startswith("error: cannot ") and err.count("\n") == 1


def test_interrupting_is_exit_code_130(tmp_path):
    words = ["run", f"{TINY}:Slow", "--profile", "quick", "--out", str(tmp_path / "r"), "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dkmodels", *words],
        env={**os.environ, "TINY_SLEEP": "5"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has them, and all they start, ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    limit = time.monotonic() + 60
    while not list(tmp_path.glob("r/fits/*.ckpt")) and time.monotonic() < limit:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1].startswith("interrupted: nothing that is done is lost")
    assert "Traceback" not in err


def test_list_names_shipped_tasks(capsys):
    code, text, _ = run(capsys, "list", tasks={"tiny": f"{TINY}:Tiny"})
    assert code == 0
    assert "tiny: Learn shares" in text and "shares, positive, late" in text


def test_explain_a_rule_file(tmp_path, capsys):
    good, conflict, bad = (tmp_path / name for name in ("good", "conflict", "bad"))
    good.write_text("outputs: a, b\ninputs: t\nsum: a + b = t\nif t > 1 then a <= 0.5\n")
    conflict.write_text("outputs: a, b\none: a >= 1\ntwo: a + b <= 0\nthree: b >= 0\n")
    bad.write_text("outputs: a\na + <= 3\n")
    assert main(arguments=["explain", str(good)]) == 0
    told = capsys.readouterr().out
    assert "sum: sum (Affine)" in told and told.splitlines()[-1].startswith("together: can hold together")
    assert main(arguments=["explain", str(conflict)]) == 1
    assert "contradict each other: one, two, three" in capsys.readouterr().out
    assert main(arguments=["explain", str(bad)]) == 2
    assert capsys.readouterr().err == (
        "error: line 2: column 5: a number, a name or a bracket is needed, got `<=`\n    a + <= 3\n        ^\n"
    )
    assert main(arguments=["explain", str(tmp_path / "none")]) == 2


def test_names_in_any_alphabet_and_of_any_length_go_the_whole_way(capsys, tmp_path):
    out = tmp_path / "r"
    words = ("run", f"{TINY}:Named", "--profile", "quick", "--out", out, "--workers", 0, "--seeds", 2)
    code, text, err = run(capsys, *words)
    assert code == 0 and "Traceback" not in text + err
    assert {cell["arm"] for cell in Store(out).cells()} == {"α 1", "β 1", "x" * 300}
    assert len(Store(out).cells()) == 6 and len(list((out / "cells").glob("*.json"))) == 6
    page = (out / "report.html").read_text()
    assert "α 1" in page and "β 1" in page
    assert "6 of 6 cells done" in run(capsys, "status", out)[1]
    assert run(capsys, "track", out)[1].startswith("0 runs made"), "all were tracked by the run"
    assert run(capsys, *words)[0] == 0
