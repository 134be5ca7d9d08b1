"""A study: arms times seeds, to effects, to advice."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

from rich.console import Console

from dkmodels.module import KnowledgeModule
from dkmodels.study.advice import Advice
from dkmodels.study.analysis import Analysis
from dkmodels.study.arm import Arm
from dkmodels.study.audit import join_studies, kept_files
from dkmodels.study.cell import LoggerFactory, cached_data, cached_digest, run_cell
from dkmodels.study.difference import common
from dkmodels.study.effect import Effect
from dkmodels.study.environment import describe_code, describe_environment
from dkmodels.study.errors import DifferentStudyError, NothingDoneError, UsageError
from dkmodels.study.files import changed_files, noting_files
from dkmodels.study.fingerprint import digest
from dkmodels.study.origin import origin_of
from dkmodels.study.preflight import build_all, check_study, remarks, require_contrast
from dkmodels.study.progress import StudyProgress
from dkmodels.study.schedule import Shard, pending_groups, pool, run_groups, stop
from dkmodels.study.store import FORMAT, Store
from dkmodels.study.task import Task
from dkmodels.study.tracking import Tracker
from dkmodels.study.worker import Source, measure_in_worker, quieten

__all__ = ["Study"]


@final
class Study:
    """Trains arms over paired seeds and says what each rule is worth.

    Everything is kept in `out`: a cell that is there is not run again, so a study that was interrupted, or killed, goes
    on where it was.

    Args:
        task: the task.
        arms: the arms; the task's own by default.
        seeds: a number of seeds, or the seeds; the profile's number by default.
        out: the results folder.
        workers: processes that train side by side, one thread each; 0 runs cells in this process.
        reference: how a process of its own finds the task (`path/to/file.py:Class`); pickled where it is empty.
        tracker: keeps the runs in MLflow; None for none.
        logger: from a folder to a Lightning logger, for training curves besides those in the cells.
        console: where progress is shown.

    Raises:
        UsageError: a study that makes no sense.

    Example:
        Study(MyTask("quick"), seeds=5, out="results/mine").run().advise()
    """

    def __init__(
        self,
        task: Task,
        arms: Sequence[Arm] | None = None,
        *,
        seeds: int | Sequence[int] | None = None,
        out: str | os.PathLike[str],
        workers: int = 0,
        reference: str = "",
        tracker: Tracker | None = None,
        logger: LoggerFactory | None = None,
        console: Console | None = None,
    ) -> None:
        wanted = task.profile.seeds if seeds is None else seeds
        self.task = task
        self.arms = list(task.arms() if arms is None else arms)
        self.seeds = list(range(wanted)) if isinstance(wanted, int) else sorted(set(wanted))
        self.store = Store(out)
        if workers < 0:
            raise UsageError(f"workers needs to be >= 0, got {workers}")
        self.workers = workers
        self.reference = reference
        self.tracker = tracker
        self.logger = logger
        self.console = console or Console()

    # --- running -----------------------------------------------------------------------------------------------

    def run(
        self,
        *,
        retry_failed: bool = False,
        shard: Shard | None = None,
        costs: bool = True,
        command: str = "",
        apart: bool = False,
    ) -> Study:
        """Run what is missing, measure costs, write tables and the report.

        Args:
            retry_failed: run cells again that failed.
            shard: run only a part; tables and report wait until all parts are there.
            costs: whether to measure costs.
            command: what a user typed, for the record.
            apart: run into a folder of its own, beside `out`, where that holds cells of other rules, settings or code.

        Raises:
            DifferentStudyError: it does, and `apart` is false; it says what differs.
        """
        quieten()
        with noting_files(self.task):
            plan = self._plan(command, apart, costs)
        require_contrast(self.task, plan)
        for line in remarks(self.task, plan):
            self.console.print(line, markup=False, soft_wrap=True)
        self.store.write_manifest(plan)
        self.store.sweep()
        groups = pending_groups(self.task, self.arms, self.seeds, self.store, retry_failed=retry_failed, shard=shard)
        if groups:
            self._run_cells(groups, command)
        if shard is not None and self.missing():
            left = len(self.missing())
            self.console.print(f"shard {shard.index}/{shard.count} is done; {left} cells of other shards are missing")
            return self
        if costs:
            self._measure()
        self.write()
        return self

    def _plan(self, command: str, apart: bool, costs: bool) -> dict[str, Any]:
        """The manifest of this study and of what the folder holds of it already."""
        seed = self._probe()
        modules = check_study(self.task, self.arms, self.seeds, seed)
        manifest = self._manifest(command, modules, seed)
        manifest["costs"] = self._cost_seeds() if costs else []
        edited = changed_files(self.task, kept_files(self.store))
        try:
            return join_studies(self.store, manifest, edited)
        except DifferentStudyError:
            pass
        # What is another number at each call (a time, an address, weights that no seed governs) is no difference.
        again = origin_of(
            self.task, build_all(self.task, self.arms, seed), seed=seed, data=cached_data(self.task, seed)
        )
        for key in ("arms", "callbacks"):
            manifest["origin"][key] = common(manifest["origin"][key], again[key])
        try:
            return join_studies(self.store, manifest, edited)
        except DifferentStudyError:
            if not apart:
                raise
        folder = self.store.folder
        mark = digest([manifest["origin"], manifest["data"], edited])[:8]
        self.store = Store(folder.with_name(f"{folder.name}-{mark}"))
        self.console.print(
            f"{folder} holds cells of other rules, settings or code: this study is in {self.store.folder}"
        )
        return join_studies(self.store, manifest, changed_files(self.task, kept_files(self.store)))

    def _probe(self) -> int:
        """The seed at which modules and data are compared with those of the cells that are there."""
        held = self.store.held_manifest() or {}
        seeds = [cell.get("origin", {}).get("seed", cell["seed"]) for cell in self.store.cells()]
        return int(held.get("origin", {}).get("seed", min(seeds, default=min(self.seeds, default=0))))

    def _run_cells(self, groups: Sequence[Any], command: str) -> None:
        total = sum(len(group.arms) for group in groups)
        with StudyProgress("training", total, self.console) as progress:

            def done(arm: str, seed: int, status: str) -> None:
                progress.step(f"seed {seed}  {arm}  {status}")

            if self.workers:
                source = Source.of(self.task, self.reference)
                for group in groups:  # a failed cell that is retried must not count as heard of
                    for arm in group.arms:
                        self.store.cell_path(arm.slug, group.seed).unlink(missing_ok=True)
                run_groups(
                    groups, source, self.store, workers=self.workers, command=command, logger=self.logger, done=done
                )
                return
            origin = self.store.manifest()["origin"]
            for group in groups:
                for arm in group.arms:
                    record = run_cell(
                        self.task, arm, group.seed, self.store, origin=origin, command=command, logger=self.logger
                    )
                    done(arm.name, group.seed, record["status"])

    def _cost_seeds(self) -> list[int]:
        """The seeds whose costs are measured."""
        return self.seeds[: self.task.profile.cost_seeds]

    def _measure(self) -> None:
        measured = {int(cost["seed"]): {row["arm"] for row in cost["rows"]} for cost in self.store.costs()}
        failed = {(cell["arm"], cell["seed"]) for cell in self.store.cells() if cell["status"] == "failed"}
        # A seed is measured whole, all arms interleaved, and again where an arm has come or was repaired since.
        wanted = {seed: {arm.name for arm in self.arms} - {a for a, s in failed if s == seed} for seed in self.seeds}
        todo = [seed for seed in self._cost_seeds() if not wanted[seed] <= measured.get(seed, set())]
        if not todo:
            return
        cached_data.cache_clear()
        source = Source.of(self.task, self.reference)
        with StudyProgress("measuring cost", len(todo), self.console) as progress:
            for seed in todo:
                arms = [arm for arm in self.arms if (arm.name, seed) not in failed]
                # A fresh process each: its memory and caches are nobody else's.
                executor = pool(1, source)
                try:
                    executor.submit(measure_in_worker, source, arms, seed, self.store.folder).result()
                finally:
                    stop(executor)
                progress.step(f"cost at seed {seed}, {len(arms)} arms interleaved")

    # --- results -----------------------------------------------------------------------------------------------

    def missing(self) -> list[tuple[str, int]]:
        """Cells that were not run, as (arm, seed)."""
        there = {(cell["arm"], cell["seed"]) for cell in self.store.cells()}
        return [(arm.name, seed) for seed in self.seeds for arm in self.arms if (arm.name, seed) not in there]

    def failed(self) -> list[dict[str, Any]]:
        """Cells that failed."""
        return [cell for cell in self.store.cells() if cell["status"] == "failed"]

    def analyse(self) -> Analysis:
        """Effects, Shapley values, interactions and advice of what is there."""
        return Analysis.of(self.store)

    def effects(self) -> list[Effect]:
        """The effect of every rule on every metric."""
        return self.analyse().effects

    def advise(self) -> Advice:
        """Which rules to keep, and whether to go on."""
        return self.analyse().advice

    def report(self) -> Path:
        """Write report.html; returns where it is."""
        return self.analyse().write_report(self.task.exhibits(self.store.cells(), self.store.costs()))

    def write(self) -> None:
        """Write results.csv, effects.json, the report and the MLflow runs; nothing where all cells failed."""
        try:
            analysis = self.analyse()
        except NothingDoneError as error:
            self.console.print(f"nothing to analyse: {error}", markup=False)
            return
        analysis.write_tables()
        analysis.write_report(self.task.exhibits(self.store.cells(), self.store.costs()))
        if self.tracker is not None:
            self.tracker.track(self.store, say=self.console.print)

    def _manifest(self, command: str, modules: Mapping[str, KnowledgeModule], seed: int) -> dict[str, Any]:
        origin = origin_of(self.task, modules, seed=seed, data=cached_data(self.task, seed))
        return {
            "format": FORMAT,
            "task": self.task.title(),
            "description": self.task.description or (type(self.task).__doc__ or "").strip().splitlines()[0:1],
            "reference": self.reference,
            "profile": self.task.profile_name,
            "settings": {key: repr(value) for key, value in vars(self.task.profile).items()},
            "seeds": self.seeds,
            "arms": [
                {"name": arm.name, "rules": list(arm.rules), "slug": arm.slug, "setup": arm.setting}
                for arm in self.arms
            ],
            "rules": origin["rules"],
            "metrics": [asdict(metric) for metric in self.task.all_metrics()],
            "contrasts": [
                asdict(contrast) for contrast in self.task.contrasts()
            ],  # of these, between arms that are there
            "command": command,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "code": describe_code(),
            "origin": origin,
            "data": {str(seed): cached_digest(self.task, seed)},
            "environment": describe_environment(),
        }
