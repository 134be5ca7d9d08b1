"""The command line of studies; `python -m dkmodels` and `python -m benchmarks` share it."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from constraints import ConstraintError, RuleTextError
from dkmodels.rule_file import explain_rule_file
from dkmodels.study.accounts import planned_costs, take_accounts
from dkmodels.study.analysis import Analysis
from dkmodels.study.arm import Arm
from dkmodels.study.audit import conflicts
from dkmodels.study.cell import LoggerFactory, run_cell
from dkmodels.study.compare import Status, compare
from dkmodels.study.difference import differences
from dkmodels.study.effect import Effect, read_effects
from dkmodels.study.errors import StoreError, UsageError
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.schedule import Shard
from dkmodels.study.store import Store
from dkmodels.study.study import Study
from dkmodels.study.table import print_advice, print_effects
from dkmodels.study.task import Task, load_task
from dkmodels.study.tracking import Tracker
from dkmodels.study.worker import quieten

__all__ = ["main"]

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
MOST_LINES = 8


def main(
    tasks: Mapping[str, str] | None = None, arguments: Sequence[str] | None = None, *, program: str = "dkmodels"
) -> int:
    """Run the command line; returns the exit code.

    Args:
        tasks: references of shipped tasks by name.
        arguments: the words after the program; those of the process by default.
        program: how the program is called.
    """
    shipped = dict(tasks or {})
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Results are wide tables; where output is piped nobody knows how wide.
    console = Console(width=None if sys.stdout.isatty() else 140)
    options = _parser(program, shipped).parse_args(words)
    command: str = options.command
    given: Namespace = options[command]
    actions: dict[str, Callable[[], int]] = {
        "list": lambda: _list(shipped, console),
        "run": lambda: _run(given, shipped, f"python -m {program} {shlex.join(words)}", console),
        "cell": lambda: _cell(given, shipped, console),
        "status": lambda: _status(given.results, console),
        "report": lambda: _report(given.results, console),
        "advise": lambda: _advise(given.results, console),
        "track": lambda: _track(given.results, given.uri, console),
        "compare": lambda: _compare(given.old, given.new, console),
        "explain": lambda: _explain(given),
    }
    try:
        return actions[command]()
    except RuleTextError as error:  # its lines show the place
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except (UsageError, ConstraintError) as error:
        return _say(error, USAGE)
    except StoreError as error:
        return _say(error, FAILED)
    except KeyboardInterrupt:
        print("interrupted: nothing that is done is lost, the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


def _say(error: Exception, code: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _parser(program: str, shipped: Mapping[str, str]) -> ArgumentParser:
    parser = ArgumentParser(prog=f"python -m {program}", description="What is each rule worth?")
    commands = parser.add_subcommands(dest="command", required=True)
    commands.add_subcommand("list", ArgumentParser(description="The shipped tasks."))
    naming = "a shipped task, path/to/file.py:Class or package.module:Class"
    run = ArgumentParser(description="Train all arms over paired seeds; what is done already is not run again.")
    run.add_argument("task", type=str, help=naming)
    run.add_argument("--profile", type=str, default="standard", help="how large: quick, standard or full")
    run.add_argument("--seeds", type=int, default=None, help="how many (default: the profile's)")
    run.add_argument("--out", type=str, default=None, help="results folder (default: results/<task>)")
    run.add_argument("--workers", type=int, default=None, help="processes side by side (default: one a core)")
    run.add_argument("--arms", type=list[str], default=None, help='only these, as ["none", "all"]')
    run.add_argument("--shard", type=str, default=None, help="i/N: only this part, for several machines")
    run.add_argument("--retry-failed", action="store_true", help="run cells again that failed")
    run.add_argument("--apart", action="store_true", help="where --out holds cells of other code: a folder of its own")
    run.add_argument("--costs", type=bool, default=True, help="measure time, memory, FLOPs and energy")
    run.add_argument("--track", type=bool, default=True, help="keep the runs in MLflow (sqlite, in the results folder)")
    run.add_argument("--logger", type=str, default="none", help="training curves besides: none, csv or tensorboard")
    commands.add_subcommand("run", run)
    cell = ArgumentParser(description="Run one cell and print its metrics, to reproduce it.")
    cell.add_argument("task", type=str, help=naming)
    cell.add_argument("--profile", type=str, default="standard")
    cell.add_argument("--arm", type=str, required=True)
    cell.add_argument("--seed", type=int, required=True)
    cell.add_argument("--out", type=str, default="results/cell")
    commands.add_subcommand("cell", cell)
    for name, text in (
        ("status", "What is done, failed and missing."),
        ("report", "Write tables and report.html again from the cells."),
        ("advise", "Which rules to keep, and whether to go on."),
    ):
        sub = ArgumentParser(description=text)
        sub.add_argument("results", type=str, help="results folder")
        commands.add_subcommand(name, sub)
    track = ArgumentParser(description="Bring MLflow up to date with the cells, as `run` does after a study.")
    track.add_argument("results", type=str, help="results folder")
    track.add_argument("--uri", type=str | None, default=None, help="tracking URI (default: mlflow.db in the folder)")
    commands.add_subcommand("track", track)
    both = ArgumentParser(
        description="Did an effect get worse? Exit code 1 where one did, beyond its interval and by more than the "
        "smallest useful gain, or where one is missing."
    )
    both.add_argument("old", type=str, help="results folder, or effects.json")
    both.add_argument("new", type=str, help="results folder, or effects.json")
    commands.add_subcommand("compare", both)
    rules = ArgumentParser(
        description="What the rules of a file are, and whether they can hold together (exit code 1)."
    )
    rules.add_argument("file", type=str, help="one rule a line; see `constraints.read_rules`")
    rules.add_argument(
        "--outputs", type=list[str] | None, default=None, help='names, as ["a", "b"], if not in the file'
    )
    rules.add_argument("--inputs", type=list[str] | None, default=None, help="names of the inputs, likewise")
    rules.add_argument(
        "--margin", type=float | None, default=None, help="what strict conditions leave free; 0: nothing"
    )
    commands.add_subcommand("explain", rules)
    return parser


def _explain(given: Namespace) -> int:
    text, holds = explain_rule_file(given.file, outputs=given.outputs, inputs=given.inputs, margin=given.margin)
    print(text)
    return DONE if holds else FAILED


def _task(name: str, profile: str, shipped: Mapping[str, str]) -> tuple[Task, str]:
    if name not in shipped and ":" not in name:
        known = f"one of {', '.join(shipped)}, or " if shipped else ""
        raise UsageError(f"unknown task {name!r}, expected {known}path/to/file.py:Class or package.module:Class")
    reference = shipped.get(name, name)
    return load_task(reference, profile), reference


def _list(shipped: Mapping[str, str], console: Console) -> int:
    if not shipped:
        console.print("no shipped tasks here; name your own: path/to/file.py:Class")
    for name, reference in shipped.items():
        task = load_task(reference)
        sizes = ", ".join(f"{key} ({profile.seeds} seeds)" for key, profile in task.profiles.items())
        console.print(
            f"{name}: {task.description}\n  rules: {', '.join(task.rules())}\n  profiles: {sizes}", markup=False
        )
    return DONE


def _logger(name: str) -> LoggerFactory | None:
    if name == "none":
        return None
    if name == "csv":
        return _csv
    if name == "tensorboard":
        return _tensorboard
    raise UsageError(f"--logger needs none, csv or tensorboard, got {name!r}")


def _csv(folder: Path) -> Any:
    from pytorch_lightning.loggers import CSVLogger

    return CSVLogger(str(folder), name="", version="")


def _tensorboard(folder: Path) -> Any:
    from pytorch_lightning.loggers import TensorBoardLogger

    return TensorBoardLogger(str(folder), name="", version="")


def _run(options: Namespace, shipped: Mapping[str, str], command: str, console: Console) -> int:
    task, reference = _task(options.task, options.profile, shipped)
    arms = task.arms()
    if options.arms is not None:
        unknown = [name for name in options.arms if name not in {arm.name for arm in arms}]
        if unknown:
            raise UsageError(f"unknown arms {unknown}, expected some of {[arm.name for arm in arms]}")
        arms = [arm for arm in arms if arm.name in options.arms]
    study = Study(
        task,
        arms,
        seeds=options.seeds,
        out=options.out or f"results/{task.title()}",
        workers=(os.cpu_count() or 1) if options.workers is None else options.workers,
        reference=reference,
        tracker=Tracker() if options.track else None,
        logger=_logger(options.logger),
        console=console,
    )
    shard = None if options.shard is None else Shard.parse(options.shard)
    study.run(retry_failed=options.retry_failed, shard=shard, costs=options.costs, command=command, apart=options.apart)
    done = any(cell["status"] == "done" for cell in study.store.cells())
    if done and (shard is None or not study.missing()):
        _show(study.analyse(), task.exhibits(study.store.cells(), study.store.costs()), console)
    return _failures(study.store, console)


def _show(analysis: Analysis, exhibits: Sequence[Exhibit], console: Console) -> None:
    """The headline metrics, the task's own tables and the advice; all the rest stands in the report."""
    headline = {metric.name for metric in analysis.metrics if metric.primary}
    shown = [effect for effect in analysis.effects if effect.metric in headline] or analysis.effects
    print_effects(shown, metrics=analysis.metrics, console=console)
    _account(analysis, console)
    for exhibit in exhibits:
        exhibit.print(console)
    print_advice(analysis.advice, console=console)
    console.print(
        f"every metric, plots and how to reproduce each cell: {analysis.store.folder / 'report.html'}", markup=False
    )


def _account(analysis: Analysis, console: Console) -> None:
    """What of the plan does not count, and what cannot be checked."""
    lines = [*analysis.reservations(), *analysis.accounts.lines()]
    for line in lines[:MOST_LINES]:
        console.print(line, markup=False, style="yellow", soft_wrap=True)
    if len(lines) > MOST_LINES:
        console.print(f"and {len(lines) - MOST_LINES} more such lines in the report", style="yellow")


def _failures(store: Store, console: Console) -> int:
    failed = [cell for cell in store.cells() if cell["status"] == "failed"]
    for cell in failed:
        console.print(f"failed: {cell['arm']}, seed {cell['seed']}: {cell.get('error')}", markup=False, style="red")
    if failed:
        console.print("their tracebacks stand in the report; --retry-failed runs them again")
    return FAILED if failed else DONE


def _cell(options: Namespace, shipped: Mapping[str, str], console: Console) -> int:
    task, _ = _task(options.task, options.profile, shipped)
    quieten()
    arms: dict[str, Arm] = {arm.name: arm for arm in task.arms()}
    if options.arm not in arms:
        raise UsageError(f"unknown arm {options.arm!r}, expected one of {list(arms)}")
    if options.seed < 0:
        raise UsageError(f"--seed needs to be >= 0, got {options.seed}")
    torch.set_num_threads(1)  # as in a study
    folder = Path(options.out) / f"{task.title()}-{task.profile_name}"
    record = run_cell(task, arms[options.arm], options.seed, Store(folder))
    if record["status"] == "failed":
        console.print(record["traceback"], markup=False)
        return FAILED
    for name, value in record["metrics"].items():
        console.print(f"{name}: {value:.6g}", markup=False)
    return DONE


def _status(folder: str, console: Console) -> int:
    store = Store(folder)
    manifest = store.manifest()
    accounts, costs = take_accounts(manifest, store.cells(), [], [], []), store.costs()
    console.print(
        f"{manifest['task']} ({manifest['profile']}): {accounts.summary}; costs of {len(costs)} of "
        f"{len(planned_costs(manifest, costs))} planned seeds measured",
        markup=False,
        soft_wrap=True,
    )
    for line in conflicts(store, manifest):
        console.print(f"not of this study: {line}", markup=False, style="red", soft_wrap=True)
    return _failures(store, console) or (FAILED if conflicts(store, manifest) else DONE)


def _report(folder: str, console: Console) -> int:
    store = Store(folder)
    analysis = Analysis.of(store)
    exhibits: list[Exhibit] = []
    try:
        exhibits = load_task(analysis.manifest["reference"], analysis.manifest["profile"]).exhibits(
            store.cells(), store.costs()
        )
    except (UsageError, ImportError) as error:
        console.print(f"without the task's own exhibits: {error}", markup=False)
    analysis.write_tables()
    analysis.write_report(exhibits)
    _show(analysis, exhibits, console)
    return DONE


def _advise(folder: str, console: Console) -> int:
    analysis = Analysis.of(Store(folder))
    _account(analysis, console)
    print_advice(analysis.advice, console=console)
    return DONE


def _track(folder: str, uri: str | None, console: Console) -> int:
    store = Store(folder)
    accounts = take_accounts(store.manifest(), store.cells(), [], [], [])
    if accounts.missing:
        console.print(accounts.summary, markup=False, style="yellow", soft_wrap=True)
    made = Tracker(uri).track(store, say=console.print)
    if made is None:
        return FAILED
    console.print(f"{made} runs made or made anew in {uri or store.folder / 'mlflow.db'}", markup=False)
    return DONE


def _compare(old: str, new: str, console: Console) -> int:
    try:
        before, after = _effects(old), _effects(new)
        changes = compare(before, after)
    except ValueError as error:
        raise UsageError(str(error)) from None
    for line in _other_studies(Path(old), Path(new)):
        console.print(line, markup=False, style="yellow", soft_wrap=True)
    for change in changes:
        console.print(str(change), markup=False, style="red" if change.worse else None)
    counts = Counter(change.status for change in changes)
    shared = len(changes) - counts[Status.MISSING] - counts[Status.ADDED]
    if not shared:
        raise UsageError(f"{old} and {new} have no effect in common, of {len(before)} and {len(after)}")
    console.print(
        f"{shared} effects compared, {counts[Status.WORSE]} got worse beyond their intervals and smallest useful "
        f"gains, {counts[Status.BETTER]} better, {counts[Status.UNKNOWN]} of one seed; {counts[Status.MISSING]} of "
        f"{old} are missing, {counts[Status.ADDED]} are new",
        markup=False,
        soft_wrap=True,
    )
    return FAILED if counts[Status.WORSE] or counts[Status.MISSING] else DONE


def _effects(where: str) -> list[Effect]:
    path = Path(where)
    path = path / "effects.json" if path.is_dir() else path
    if not path.is_file():
        raise UsageError(f"{path} is not there: run the study, or its report, first")
    found = read_effects(path)
    if not found:
        raise UsageError(f"{path} holds no effects: nothing can be compared")
    return found


def _other_studies(old: Path, new: Path) -> list[str]:
    """In what two studies differ besides their effects: profile, seeds, settings, rules, code."""
    manifests = []
    for where in (old, new):
        store = Store(where if where.is_dir() else where.parent)
        if not store.manifest_path.exists():
            return [f"{where} has no study.json beside it: whether epochs, seeds and code are the same is not known"]
        manifests.append(store.manifest())
    before, after = manifests
    found = [f"{key} {before[key]} -> {after[key]}" for key in ("profile", "seeds") if before[key] != after[key]]
    if "origin" in before and "origin" in after:
        found += differences(before["origin"], after["origin"], most=8)
    else:
        mine, other = before.get("settings", {}), after.get("settings", {})
        found += [
            f"{key} {mine.get(key)} -> {other.get(key)}" for key in {**mine, **other} if mine.get(key) != other.get(key)
        ]
    return [f"other: {line}" for line in found]
