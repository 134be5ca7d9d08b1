"""What the package is from outside: the wheel, the lock file, a name that could be hidden."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_exactly_two_packages(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"constraints", "dkmodels"}
    sources = {str(p.relative_to(ROOT)) for top in tops for p in (ROOT / top).rglob("*.py")}
    assert sources <= set(names)
    assert "dkmodels/study/templates/report.html.j2" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {"constraints/py.typed", "dkmodels/py.typed"} <= set(names)


def test_a_users_own_constraints_file_is_named(tmp_path):
    (tmp_path / "constraints.py").write_text("MINE = 1\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", "import dkmodels"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"{tmp_path}/constraints.py" in done.stderr
    assert "Rename that file" in done.stderr


def test_the_lock_names_no_host_and_no_cuda():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "nvidia" not in lock
    assert "torch==" in lock


def test_python_chess_stays_out_of_the_wheels_dependencies():
    text = (ROOT / "pyproject.toml").read_text()
    required = text.split("dependencies = [")[1].split("]")[0]
    assert '"chess' not in required
