"""MLflow runs, made from the cells: on an embedded sqlite store, by the parent process, as often as one likes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, final

from dkmodels.study.store import Store

__all__ = ["Tracker"]


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

    def track(self, store: Store, *, say: Callable[[str], Any] = print) -> int:
        """Bring MLflow up to date; returns how many runs were made. Says so where MLflow is not installed."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        try:
            from mlflow.entities import Metric, Param, RunTag
            from mlflow.tracking import MlflowClient
        except ImportError:
            say("MLflow is not installed, so the study is not tracked: pip install 'dkmodels[tracking]'")
            return 0
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        folder = store.folder.resolve()
        client = MlflowClient(tracking_uri=self.uri or f"sqlite:///{folder / 'mlflow.db'}")
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
            tags |= {f"code.{key}": str(value) for key, value in manifest["code"].items()}
            tags |= {f"environment.{key}": str(value) for key, value in manifest["environment"].items()}
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
    """MLflow allows letters, digits, `_`, `-`, `.`, space and `/` in names."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name)
