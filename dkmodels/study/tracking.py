"""MLflow runs, made from the cells: on an embedded sqlite store, by the parent process, as often as one likes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, final

from filelock import FileLock

from dkmodels.study.store import HOST, Store

__all__ = ["Tracker", "prepare_database"]

WAIT = 60.0  # seconds for another process of ours that tracks the same study
LOCKED = 5.0  # seconds for any other process that holds the database
LONGEST_NAME = 200  # of a metric or a parameter


def prepare_database(path: Path) -> None:
    """Make MLflow's database where there is none, whole or not at all; one that was left half made is made anew.

    MLflow makes its tables in many steps, and a full disk or a killed process leaves a file on which it then fails for
    good. The cells are the truth, so that such a file can be set aside.

    Args:
        path: the sqlite file.

    Raises:
        OSError: the disk is full, or another process holds the database.
    """
    if path.exists():
        try:
            with closing(sqlite3.connect(path, timeout=LOCKED)) as connection:
                connection.execute("BEGIN IMMEDIATE")  # a lock shows itself here, in seconds, and not deep in MLflow
                connection.rollback()
                sound = connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
                tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                whole = {"runs", "experiments", "alembic_version"} <= tables
                if sound and whole and connection.execute("SELECT 1 FROM alembic_version").fetchone():
                    return
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise OSError(f"{path} is locked by another process") from None
        except sqlite3.DatabaseError:
            pass
        os.replace(path, path.with_suffix(".broken"))
    scratch = path.with_name(f".{path.name}.{HOST}.{os.getpid()}.tmp")
    try:
        _make_database(scratch)
        os.replace(scratch, path)
    finally:
        for left in path.parent.glob(f"{scratch.name}*"):
            with suppress(OSError):
                left.unlink()


def _make_database(path: Path) -> None:
    """All tables of MLflow, and its default experiment."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    made: Any = SqlAlchemyStore(f"sqlite:///{path}", (path.parent / "mlartifacts").as_uri())  # type: ignore[no-untyped-call]
    made.engine.dispose()


@final
class Tracker:
    """Keeps a study in MLflow.

    The cells are the truth; a run is made for each cell that has none yet (and again where a cell was run again), so
    tracking can be repeated, and a killed process loses nothing and doubles nothing.

    Args:
        uri: an MLflow tracking URI; by default `mlflow.db` in the results folder.

    Example:
        >>> Tracker().uri is None
        True
    """

    def __init__(self, uri: str | None = None) -> None:
        self.uri = uri

    def track(self, store: Store, *, say: Callable[[str], Any] = print) -> int | None:
        """Bring MLflow up to date; returns how many runs were made, None where it could not.

        The results folder is complete without MLflow: whatever goes wrong in it is one line, and tracking can be
        repeated.

        Args:
            store: the results folder.
            say: is told, in one line, why MLflow is not up to date.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        try:
            import mlflow  # noqa: F401
        except ImportError:
            say("MLflow is not installed, so the study is not tracked: pip install 'dkmodels[tracking]'")
            return None
        try:
            with self._place(store) as uri:
                return self._track(store, uri)
        except Exception as error:  # whatever MLflow, its database or the disk says, the study is safe
            reason = " ".join(str(error).split()) or type(error).__name__
            say(
                f"MLflow is not up to date ({type(error).__name__}: {reason[:200]}); the study in {store.folder} is "
                f"complete: `python -m dkmodels track {shlex.quote(str(store.folder))}` tracks it later"
            )
            return None

    @contextmanager
    def _place(self, store: Store) -> Iterator[str]:
        """The tracking URI; of an sqlite file, with the file whole and nobody else of us writing to it."""
        uri = self.uri or f"sqlite:///{store.folder.resolve() / 'mlflow.db'}"
        if not uri.startswith("sqlite:///"):
            yield uri
            return
        path = Path(uri.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=WAIT):
            prepare_database(path)
            yield uri

    def _track(self, store: Store, uri: str) -> int:
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        folder = store.folder.resolve()
        client = MlflowClient(tracking_uri=uri)
        manifest = store.manifest()
        name = f"dkmodels/{manifest['task']}/{folder.name}"
        experiment = client.get_experiment_by_name(name)
        experiment_id = (
            experiment.experiment_id
            if experiment is not None
            else client.create_experiment(name, artifact_location=(folder / "mlartifacts").as_uri())
        )
        known = {
            run.data.tags.get("dk.cell", ""): (run.info.run_id, run.data.tags.get("dk.digest"))
            for run in _all_runs(client, experiment_id)
            if run.info.status != "RUNNING"  # left by a process that was killed while it wrote
        }
        for run in _all_runs(client, experiment_id):
            if run.info.status == "RUNNING":
                client.delete_run(run.info.run_id)
        made = 0
        for cell in store.cells():
            key = f"{cell['arm']}, seed {cell['seed']}"
            digest = hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()
            run_id, old = known.get(key, (None, None))
            if old == digest:
                continue
            if run_id is not None:
                client.delete_run(run_id)
            run = client.create_run(experiment_id, run_name=key)
            run_id = run.info.run_id
            params = {**_flatten(cell["rules"], "rule"), "arm": cell["arm"], "seed": str(cell["seed"])}
            params |= {f"profile.{key}": value for key, value in manifest.get("settings", {}).items()}
            tags = {"dk.cell": key, "dk.digest": digest, "dk.status": cell["status"]}
            tags |= {f"code.{key}": str(value) for key, value in manifest.get("code", {}).items()}
            tags |= {f"environment.{key}": str(value) for key, value in manifest.get("environment", {}).items()}
            figures = {**cell["metrics"], **{f"seconds/{key}": v for key, v in cell["seconds"].items()}}
            figures |= {f"system/{key}": v for key, v in cell.get("system", {}).items()}
            metrics = [Metric(_safe(key), float(v), 0, 0) for key, v in figures.items() if v is not None]
            for curve, points in cell["curves"].items():
                metrics += [
                    Metric(_safe(f"curve/{curve}"), float(v), 0, int(epoch)) for epoch, v in points if v is not None
                ]
            for start in range(0, max(len(metrics), 1), 500):  # the store takes at most 1000 at a time
                client.log_batch(
                    run_id,
                    metrics=metrics[start : start + 500],
                    params=[Param(_safe(k), str(v)[:500]) for k, v in params.items()] if start == 0 else [],
                    tags=[RunTag(k, v) for k, v in tags.items()] if start == 0 else [],
                )
            path = store.cell_path(_slug(manifest, cell["arm"]), cell["seed"])
            client.log_artifact(run_id, str(path))
            client.set_terminated(run_id, "FINISHED" if cell["status"] == "done" else "FAILED")
            made += 1
        self._summary(client, experiment_id, store, known.get("study"))
        return made

    def _summary(self, client: Any, experiment_id: str, store: Store, old: tuple[str, str | None] | None) -> None:
        """One run for the study as a whole, with its tables and its report."""
        files = [
            path
            for name in ("effects.json", "results.csv", "report.html", "advice.txt", "study.json")
            if (path := store.folder / name).exists()
        ]
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
        if old is not None:
            if old[1] == digest:
                return
            client.delete_run(old[0])
        run_id = client.create_run(
            experiment_id, run_name="study", tags={"dk.cell": "study", "dk.digest": digest}
        ).info.run_id
        for path in files:
            client.log_artifact(run_id, str(path))
        client.set_terminated(run_id)


def _all_runs(client: Any, experiment_id: str) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _slug(manifest: Mapping[str, Any], arm: str) -> str:
    return next(str(a["slug"]) for a in manifest["arms"] if a["name"] == arm)


def _flatten(value: Mapping[str, Any], prefix: str) -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, item in value.items():
        name = f"{prefix}.{key}"
        flat |= _flatten(item, name) if isinstance(item, Mapping) else {name: str(item)}
    return flat


def _safe(name: str) -> str:
    """MLflow allows ASCII letters, digits, `_`, `-`, `.`, space and `/` in names."""
    plain = "".join(c if (c.isascii() and c.isalnum()) or c in "_-./ " else "_" for c in name)
    if plain == name and len(name) <= LONGEST_NAME:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]  # two names stay two
    return f"{plain[: LONGEST_NAME - 9]}_{mark}"
