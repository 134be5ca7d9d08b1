"""From cells to effects, Shapley values and advice; everything is read from the results folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, final

import numpy as np

from dkmodels.study.accounts import Accounts, take_accounts
from dkmodels.study.advice import Advice, advise
from dkmodels.study.audit import require_one_study
from dkmodels.study.effect import Effect, effects, write_effects
from dkmodels.study.energy import WATTS_PER_CORE, CpuTimeEstimate
from dkmodels.study.errors import NothingDoneError, StoreError
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import Contrast, Measurement, Metric
from dkmodels.study.report import render_report
from dkmodels.study.statistics import FactorialEffect, ShapleyValue, interactions, shapley
from dkmodels.study.store import FORMAT, Store, write_atomic

__all__ = ["Analysis"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What a results folder says.

    Attributes:
        store: the folder.
        manifest: what the study is.
        metrics: declared metrics.
        cells: all cells.
        measurements: all values.
        effects: the effect of every rule on every metric.
        shapley: each rule's share of the headline metric, where the full factorial was run.
        interactions: factorial effects on the same.
        advice: which rules to keep, and whether to go on.
        accounts: what became of every planned cell and pair.
    """

    store: Store
    manifest: dict[str, Any]
    metrics: list[Metric]
    cells: list[dict[str, Any]]
    measurements: list[Measurement]
    effects: list[Effect]
    shapley: tuple[ShapleyValue, ...] = ()
    interactions: tuple[FactorialEffect, ...] = ()
    advice: Advice
    accounts: Accounts
    arms: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store) -> Analysis:
        """Analyse a results folder.

        Raises:
            UsageError: no study, cells of more than one, or none that is done.
            StoreError: files that are damaged.
        """
        manifest = store.manifest()
        try:
            metrics = [Metric(**metric) for metric in manifest["metrics"]]
            contrasts = [Contrast(**contrast) for contrast in manifest["contrasts"]]
        except (TypeError, ValueError) as error:
            raise StoreError(f"{store.manifest_path} is damaged: {error}") from None
        if not any(metric.kind == "correctness" for metric in metrics):
            raise StoreError(f"{store.manifest_path} is damaged: it declares no metric of correctness")
        require_one_study(store, manifest)
        cells = store.cells()
        done = [cell for cell in cells if cell["status"] == "done"]
        if not done:
            failed = next((f"; the first that failed: {cell.get('error')}" for cell in cells), "")
            states = take_accounts(manifest, cells, [], [], []).summary
            raise NothingDoneError(f"{store.folder} has no cell that is done: {states}{failed}")
        measurements = store.measurements(metrics)
        found = effects(manifest["task"], measurements, metrics, contrasts)
        # Arms with a setup of their own are compared where contrasts say so, not by their rules.
        arms = {arm["name"]: list(arm["rules"]) for arm in manifest["arms"] if not arm.get("setup")}
        headline = next(
            (m for m in metrics if m.primary and m.kind == "correctness"),
            next(m for m in metrics if m.kind == "correctness"),
        )
        table = _factorial(arms, measurements, headline.name)
        shares, factors = (shapley(table), interactions(table)) if table else ((), ())
        seconds = _seconds_per_seed(done)
        advice = advise(
            found,
            metrics=metrics,
            seconds_per_seed=seconds,
            joules_per_seed=seconds * WATTS_PER_CORE,
            joules_method=CpuTimeEstimate.method,
            shapley=shares,
            interactions=factors,
            arms=arms,
        )
        return cls(
            store=store,
            manifest=manifest,
            metrics=metrics,
            cells=cells,
            measurements=measurements,
            effects=found,
            shapley=tuple(shares),
            interactions=tuple(factors),
            advice=advice,
            accounts=take_accounts(manifest, cells, store.costs(), metrics, contrasts),
            arms=arms,
        )

    def write_tables(self) -> None:
        """Write results.csv, effects.json and advice.txt."""
        self.store.write_results(self.metrics)
        write_effects(self.store.folder / "effects.json", self.effects)
        write_atomic(self.store.folder / "advice.txt", "\n".join(self.advice.lines()) + "\n")

    def write_report(self, exhibits: Sequence[Exhibit] = ()) -> Path:
        """Write report.html; returns where it is."""
        manifest = self.manifest
        code = manifest.get("code", {})
        environment = {**manifest.get("environment", {}), **{f"code {key}": value for key, value in code.items()}}
        environment |= {f"profile {key}": value for key, value in manifest.get("settings", {}).items()}
        description = manifest.get("description") or ""
        page = render_report(
            task=manifest["task"],
            profile=manifest["profile"],
            description=description if isinstance(description, str) else " ".join(description),
            effects=self.effects,
            advice=self.advice,
            metrics=self.metrics,
            measurements=self.measurements,
            cells=self.cells,
            accounts=self.accounts,
            environment=environment,
            reproduce=[
                (f"{cell['arm']}, seed {cell['seed']}", reproduce(manifest, cell["arm"], cell["seed"]))
                for cell in self.cells
            ],
            shapley=self.shapley,
            interactions=self.interactions,
            notes=self._notes(),
            extra_html=[(exhibit.title, exhibit.html()) for exhibit in exhibits],
        )
        path = self.store.folder / "report.html"
        write_atomic(path, page)
        return path

    def reservations(self) -> list[str]:
        """What cannot be checked of cells that an older version made."""
        kept = self.manifest.get("format", 1)
        if kept >= FORMAT:
            return []
        return [
            f"Cells of format {kept} do not record the code and the settings that they were made with: whether these "
            "were the same for all of them cannot be checked."
        ]

    def _notes(self) -> list[str]:
        notes = self.reservations()
        lost = [f"{cell['arm']}, seed {cell['seed']}" for cell in self.cells if cell["status"] == "failed"]
        if lost:
            notes.append(
                f"Failed cells are left out of their pairs, which may flatter an arm that fails: {'; '.join(lost)}."
            )
        missed: dict[str, set[str]] = {}
        for cost in self.store.costs():
            for phase, names in cost["uncounted"].items():
                missed.setdefault(phase, set()).update(names)
        for phase, names in missed.items():
            if names:
                notes.append(f"FLOPs in {phase} do not count: {', '.join(sorted(names))}.")
        if any(m.method == CpuTimeEstimate.method for m in self.measurements):
            notes.append(
                f"Energy is an estimate, CPU seconds times an assumed {WATTS_PER_CORE:g} W a core: "
                "no counter could be read."
            )
        return notes


def reproduce(manifest: Mapping[str, Any], arm: str, seed: int) -> str:
    """The command that runs one cell again, elsewhere."""
    reference = manifest.get("reference") or "path/to/file.py:Task"
    module = "benchmarks" if reference.startswith("benchmarks.") else "dkmodels"
    name = manifest["task"] if module == "benchmarks" else reference
    return shlex.join(
        ["python", "-m", module, "cell", name, "--profile", manifest["profile"], "--arm", arm, "--seed", str(seed)]
    )


def _factorial(
    arms: Mapping[str, Sequence[str]], measurements: Sequence[Measurement], metric: str
) -> dict[frozenset[str], np.ndarray[Any, Any]]:
    """Values of the largest set of rules all of whose combinations are arms; empty where there is none of two rules."""
    by_rules = {frozenset(rules): name for name, rules in arms.items()}
    values: dict[str, dict[int, float]] = {}
    for m in measurements:
        if m.metric == metric and not m.phase:
            values.setdefault(m.arm, {})[m.seed] = m.value
    for whole in sorted(by_rules, key=lambda rules: (-len(rules), sorted(rules))):
        subsets = [frozenset(c) for size in range(len(whole) + 1) for c in combinations(sorted(whole), size)]
        if len(whole) >= 2 and all(subset in by_rules for subset in subsets):
            columns = [values.get(by_rules[subset], {}) for subset in subsets]
            seeds = sorted(set.intersection(*(set(column) for column in columns)))
            if len(seeds) < 2:
                return {}
            return {s: np.array([c[seed] for seed in seeds]) for s, c in zip(subsets, columns, strict=True)}
    return {}


def _seconds_per_seed(done: Sequence[Mapping[str, Any]]) -> float:
    """Seconds that one seed of all arms takes, a fit that arms share counted once."""
    total = 0.0
    for cell in done:
        seconds = cell["seconds"]
        total += float(seconds.get("evaluate") or 0.0)
        total += float(seconds.get("fit") or 0.0) if cell.get("trained_here") else 0.0
    return total / max(1, len({cell["seed"] for cell in done}))
