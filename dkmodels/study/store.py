"""The results folder: one JSON file a cell is the truth, everything else is made from it."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import psutil

from dkmodels.study.errors import StoreError, UsageError
from dkmodels.study.metric import Measurement, Metric
from dkmodels.study.records import CELL, COST, FORMAT, MANIFEST, Shape, decode_json

__all__ = ["FORMAT", "Store", "finite", "write_atomic"]

HOST = re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "host"


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that, whatever happens, it is there whole or not at all.

    Raises:
        StoreError: a full disk, a read-only folder; one clear line.
    """
    data = content.encode() if isinstance(content, str) else content
    scratch = path.with_name(f".{path.name}.{HOST}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None


def finite(value: Any) -> Any:
    """JSON has no NaN: non-finite numbers become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return value


@final
class Store:
    """A results folder.

    Args:
        folder: it; made where it is not there.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    # --- the study ---------------------------------------------------------------------------------------------

    @property
    def manifest_path(self) -> Path:
        """What the study is: task, profile, seeds, arms, metrics, contrasts, environment."""
        return self.folder / "study.json"

    def manifest(self) -> dict[str, Any]:
        """The study that this folder holds.

        Raises:
            UsageError: none.
            StoreError: a study.json that is damaged.
        """
        manifest, fault = self._parse(self.manifest_path, MANIFEST)
        if fault:
            raise StoreError(
                f"{self.manifest_path} is damaged ({fault}): the command that ran the study writes it again"
            )
        if manifest is None:
            raise UsageError(f"{self.folder} holds no study (there is no study.json in it)")
        return manifest

    def held_manifest(self) -> dict[str, Any] | None:
        """The study that this folder holds, None where it holds none; a damaged one is set aside with a warning."""
        return self._read(self.manifest_path, MANIFEST)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Set what the study is."""
        self.write_json(self.manifest_path, manifest)

    # --- cells -------------------------------------------------------------------------------------------------

    def cell_path(self, slug: str, seed: int) -> Path:
        """Where a cell is."""
        return self.folder / "cells" / f"{slug}--seed-{seed}.json"

    def fit_path(self, key: str, seed: int) -> Path:
        """Where the weights of a fit are."""
        return self.folder / "fits" / f"{key}--seed-{seed}.ckpt"

    def cost_path(self, seed: int) -> Path:
        """Where the costs of a seed are."""
        return self.folder / "costs" / f"seed-{seed}.json"

    def cells(self) -> list[dict[str, Any]]:
        """All cells, done and failed, ordered by seed and arm; broken files are set aside with a warning.

        Raises:
            StoreError: a cell twice, as where a file was copied.
        """
        found: dict[tuple[int, str], Path] = {}
        cells = []
        for path in sorted((self.folder / "cells").glob("*.json")):
            cell = self._read(path, CELL)
            if cell is None:
                continue
            key = (cell["seed"], cell["arm"])
            if key in found:
                raise StoreError(f"{path} holds arm {key[1]!r} at seed {key[0]}, as {found[key].name} does: keep one")
            found[key] = path
            cells.append(cell)
        return sorted(cells, key=lambda cell: (cell["seed"], cell["arm"]))

    def cell(self, slug: str, seed: int) -> dict[str, Any] | None:
        """One cell, or None where it was not run."""
        return self._read(self.cell_path(slug, seed), CELL)

    def costs(self) -> list[dict[str, Any]]:
        """All measured costs, a dict a seed."""
        found = [self._read(path, COST) for path in sorted((self.folder / "costs").glob("*.json"))]
        return sorted((cost for cost in found if cost), key=lambda cost: int(cost["seed"]))

    def write_json(self, path: Path, value: Any) -> None:
        """Write JSON atomically."""
        write_atomic(path, json.dumps(finite(value), indent=1) + "\n")

    def sweep(self) -> None:
        """Remove what killed processes left half written."""
        for scratch in self.folder.glob("**/.*.tmp"):
            *_, host, owner, _ = scratch.name.rsplit(".", 3)
            # What another machine is writing, on a shared disk, is not ours to judge.
            if host == HOST and not (owner.isdigit() and psutil.pid_exists(int(owner))):
                with suppress(OSError):
                    scratch.unlink()

    def _parse(self, path: Path, shape: Shape) -> tuple[dict[str, Any] | None, str]:
        """What a file holds, and what is wrong with it; neither where it is not there."""
        try:
            value = decode_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None, ""
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror or error}") from None
        except ValueError as error:  # not UTF-8, or no JSON
            return None, str(error)
        kept = value.get("format", 1) if isinstance(value, dict) else 1
        if isinstance(kept, int) and kept > FORMAT:
            raise StoreError(f"{path} is of format {kept}, this version of dkmodels reads at most {FORMAT}: update it")
        fault = shape.fault(value)
        return (None, fault) if fault else (value, "")

    def _read(self, path: Path, shape: Shape) -> dict[str, Any] | None:
        value, fault = self._parse(path, shape)
        if fault:
            aside = path.with_suffix(".broken")
            with suppress(OSError):
                os.replace(path, aside)
            warnings.warn(f"{path} is damaged: set aside as {aside.name}, to be run again ({fault})", stacklevel=2)
        return value

    # --- tables ------------------------------------------------------------------------------------------------

    def measurements(self, metrics: Sequence[Metric]) -> list[Measurement]:
        """Every declared metric of every cell that is done, and every cost; values that can be compared, no others."""
        declared = {metric.name: metric for metric in metrics}
        rows = []
        for cell in self.cells():
            if cell["status"] != "done":
                continue
            for name, value in cell["metrics"].items():
                if name in declared and value is not None and declared[name].counts(value):
                    count = cell.get("counts", {}).get(name)
                    rows.append(
                        Measurement(
                            arm=cell["arm"],
                            seed=cell["seed"],
                            metric=name,
                            value=value,
                            count=tuple(count) if count else None,
                        )
                    )
        for cost in self.costs():
            for row in cost["rows"]:
                metric = declared.get(row["metric"])
                if metric is not None and row["value"] is not None and metric.counts(row["value"]):
                    kept = {name: row[name] for name in ("arm", "metric", "value", "method", "phase")}
                    rows.append(Measurement(seed=cost["seed"], **kept))
        return rows

    def write_results(self, metrics: Sequence[Metric]) -> Path:
        """Write results.csv: one tidy row a value."""
        kinds = {metric.name: metric for metric in metrics}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["arm", "seed", "metric", "value", "unit", "kind", "direction", "method", "phase"])
        for m in self.measurements(metrics):
            metric = kinds[m.metric]
            writer.writerow(
                [m.arm, m.seed, m.metric, repr(m.value), metric.unit, metric.kind, metric.direction, m.method, m.phase]
            )
        path = self.folder / "results.csv"
        write_atomic(path, text.getvalue())
        return path
