"""A task: data, a network, rules and metrics; what a study needs to measure what the rules are worth."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, final

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from constraints import Embedding
from dkmodels.module import KnowledgeModule
from dkmodels.study.arm import Arm, standard_arms, standard_contrasts
from dkmodels.study.errors import UsageError
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import Contrast, Metric

__all__ = ["Data", "Profile", "Task", "Workload", "load_task"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How large a run is. Subclass it to add sizes of your own.

    Attributes:
        seeds: default number of seeds.
        epochs: epochs a fit.
        rounds: interleaved rounds of the cost measurement, a seed.
        cost_seeds: how many of the seeds the cost is measured for.
    """

    seeds: int = 8
    epochs: int = 10
    rounds: int = 5
    cost_seeds: int = 8


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The data of one seed.

    Attributes:
        train: samples `(x, target)`.
        test: samples `(x, target)`, never seen in training.
        val: for the curves; none by default.
        batch_size: of training.
        large_batch: samples at once when the cost of inference is measured; four batches by default.
        extra: whatever else `evaluate` needs (streams, whole games).
    """

    train: Dataset[Any]
    test: Dataset[Any]
    val: Dataset[Any] | None = None
    batch_size: int = 64
    large_batch: int | None = None
    extra: Any = None

    def loader(self, dataset: Dataset[Any], *, seed: int | None = None) -> DataLoader[Any]:
        """A loader; shuffled in a random stream of its own where a seed is given."""
        if seed is None:
            return DataLoader(dataset, batch_size=self.batch_size)
        generator = torch.Generator().manual_seed(seed)
        return DataLoader(dataset, batch_size=self.batch_size, shuffle=True, generator=generator)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Something whose cost is measured.

    Attributes:
        run: does it once; returns how many items it processed, or the seconds of each item where it timed them itself.
        unit: what an item is, for tables.
    """

    run: Callable[[], int | Sequence[float]]
    unit: str = "sample"


class Task(ABC):
    """What a study needs to know. A user writes `data`, `network`, `rules`, `metrics` and `module`.

    Args:
        profile: name of one of `profiles`.

    Raises:
        UsageError: an unknown profile.
    """

    name: ClassVar[str] = ""
    #: Where costs are measured. Training takes the accelerator that Lightning finds.
    cost_device: ClassVar[str] = "cpu"
    description: ClassVar[str] = ""
    profiles: ClassVar[Mapping[str, Profile]] = {
        "quick": Profile(seeds=3, epochs=3, rounds=3, cost_seeds=2),
        "standard": Profile(seeds=8, epochs=10),
        "full": Profile(seeds=16, epochs=20),
    }

    _made_with: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments, for `anew`."""
        task = super().__new__(cls)
        task._made_with = (args, kwargs)
        return task

    def __getstate__(self) -> Any:
        """Leave the arguments out, which need not be fit for another process."""
        state = super().__getstate__()
        return {k: v for k, v in state.items() if k != "_made_with"} if isinstance(state, dict) else state

    def __setstate__(self, state: Any) -> None:
        """Restore a copy, whose arguments are not known."""
        self.__dict__.update(state)
        self.__dict__.pop("_made_with", None)

    def anew(self) -> Self:
        """A task made with the same arguments, as this one was before anybody used it; not for a copy."""
        args, kwargs = self._made_with
        return type(self)(*args, **kwargs)

    def __init__(self, profile: str = "standard") -> None:
        if profile not in self.profiles:
            raise UsageError(f"task `{self.title()}` has profiles {', '.join(self.profiles)}, got {profile!r}")
        self.profile_name = profile
        self.profile = self.profiles[profile]

    @classmethod
    def title(cls) -> str:
        """Its name: `name`, or the class name in lower case."""
        return cls.name or cls.__name__.lower()

    # --- what a user writes ------------------------------------------------------------------------------------

    @abstractmethod
    def data(self, seed: int) -> Data:
        """The data of a seed; draw from numpy or torch generators seeded with it."""

    @abstractmethod
    def network(self, seed: int) -> nn.Module:
        """A new network; torch's global generator is seeded before."""

    @abstractmethod
    def rules(self) -> Mapping[str, Embedding]:
        """New embeddings of all rules; arms choose among them by name."""

    @abstractmethod
    def metrics(self) -> Sequence[Metric]:
        """The correctness metrics with their smallest useful gains, declared before the run."""

    @abstractmethod
    def module(self, network: nn.Module, rules: Mapping[str, Embedding]) -> KnowledgeModule:
        """The module to train, with the rules of one arm."""

    # --- what has a default ------------------------------------------------------------------------------------

    def arms(self) -> list[Arm]:
        """The arms; by default `standard_arms` of all rules."""
        return standard_arms(tuple(self.rules()))

    def contrasts(self) -> list[Contrast]:
        """The questions; by default `standard_contrasts`."""
        return standard_contrasts(self.arms(), self.rules())

    def cost_metrics(self) -> list[Metric]:
        """The costs with their smallest useful gains: 10 % for time and energy, 5 % for memory and FLOPs."""
        return [
            Metric(name="time", direction="min", unit="s", kind="cost", gain=0.10, primary=True),
            Metric(name="time_p95", direction="min", unit="s", kind="cost", gain=0.10),
            Metric(name="energy", direction="min", unit="J", kind="cost", gain=0.10),
            Metric(name="peak_memory", direction="min", unit="MiB", kind="cost", gain=0.05),
            Metric(name="flops", direction="min", unit="FLOP", kind="cost", gain=0.05),
        ]

    def all_metrics(self) -> list[Metric]:
        """Correctness and cost."""
        return [*self.metrics(), *self.cost_metrics()]

    def rules_of(self, seed: int) -> Mapping[str, Embedding]:
        """The same of one seed, where rules hold data (measurements) that differ by seed; by default `rules`."""
        return self.rules()

    def trainer_options(self) -> dict[str, Any]:
        """More options of the Trainer, such as `gradient_clip_val`."""
        return {}

    def callbacks(self, data: Data) -> list[Callback]:
        """New callbacks of one training; one with `curves`, values by epoch by name, has them kept with the cell."""
        return []

    def evaluate(self, module: KnowledgeModule, data: Data, seed: int) -> Mapping[str, float | tuple[int, int]]:
        """Metrics of a trained module; by default what `Trainer.test` logs, without the prefix `test/`.

        A rate of violated examples may be given as `(k, n)`, k of n: it then gets a Clopper-Pearson interval. Rules
        that the arm does not have are measured too: what a rule buys is seen where it is not.
        """
        absent = {name: e.rule for name, e in self.rules().items() if name not in module.rules}
        module.watch(absent)
        trainer = quiet_trainer()
        (logged,) = trainer.test(module, data.loader(data.test), verbose=False)
        return {name.removeprefix("test/"): float(value) for name, value in logged.items()}

    def workloads(self, module: KnowledgeModule, data: Data) -> dict[str, Workload]:
        """What is timed, by phase; by default a train step, and inference at batch 1 and at a large batch."""
        batch = module.transfer_batch_to_device(next(iter(data.loader(data.train))), module.device, 0)
        size = data.large_batch or 4 * data.batch_size
        large, _ = module.unpack(next(iter(DataLoader(data.test, batch_size=size))))
        large = large.to(module.device)

        def infer(batch: Tensor, repeats: int) -> Callable[[], int]:
            def run() -> int:
                module.eval()
                with torch.inference_mode():
                    for _ in range(repeats):
                        module.decode(module(batch), batch)
                return repeats * len(batch)

            return run

        return {
            "train_step": training_workload(module, batch),
            "inference_batch_1": Workload(run=infer(large[:1], 20)),
            "inference_large_batch": Workload(run=infer(large, 1)),
        }

    def exhibits(self, cells: Sequence[Mapping[str, Any]], costs: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
        """More tables for terminal and report, made from the cells and the measured costs alone."""
        return []


def training_workload(module: KnowledgeModule, batch: Any, *, unit: str = "step") -> Workload:
    """Training steps on one batch: all of their work, but the weights stay as they are.

    As many steps as lie between two moves of the weights of a balance, so that these have their share.

    Args:
        module: what trains.
        batch: as its `training_step` gets it.
        unit: what a step is called.
    """
    optimizer = torch.optim.Adam(module.parameters(), lr=0.0)
    steps = 1 if module.balance is None else module.balance.every

    def run() -> int:
        module.train()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is logged without a trainer is lost, as it should be
            for _ in range(steps):
                optimizer.zero_grad()
                module.training_step(batch, 0).backward()
                optimizer.step()
        module.eval()
        return steps

    return Workload(run=run, unit=unit)


def quiet_trainer(**options: Any) -> Trainer:
    """A Trainer without bars, loggers, checkpoints or advice."""
    defaults: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "barebones": False,
    }
    return Trainer(**{**defaults, **options})


def load_task(reference: str, profile: str = "standard") -> Task:
    """Make the task that `path/to/file.py:Class` or `package.module:Class` names.

    Raises:
        UsageError: no such file, module or class, or not a Task.
    """
    where, _, attribute = reference.rpartition(":")
    if not where or not attribute:
        raise UsageError(f"a task is named path/to/file.py:Class or package.module:Class, got {reference!r}")
    if where.endswith(".py"):
        path = Path(where).resolve()
        if not path.is_file():
            raise UsageError(f"task {reference!r}: there is no file {where}")
        name = f"dkmodels_task_{path.stem}"
        module, source = sys.modules.get(name), path.read_bytes()
        if module is None or vars(module).get("__file__") != str(path) or vars(module).get("__source__") != source:
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            vars(module)["__source__"] = source  # a file that was edited is loaded anew
            if str(path.parent) not in sys.path:
                sys.path.insert(0, str(path.parent))
            try:
                spec.loader.exec_module(module)
            except (SyntaxError, ImportError) as error:
                del sys.modules[name]
                raise UsageError(f"task {reference!r}: {where} cannot be loaded: {error}") from None
    else:
        try:
            module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            raise UsageError(f"task {reference!r}: {error}") from None
    found = getattr(module, attribute, None)
    if not (inspect.isclass(found) and issubclass(found, Task)) or inspect.isabstract(found):
        tasks = [
            n
            for n, c in vars(module).items()
            if inspect.isclass(c) and issubclass(c, Task) and not inspect.isabstract(c)
        ]
        raise UsageError(
            f"task {reference!r}: {where} has no concrete Task called {attribute}, it has {tasks or 'none'}"
        )
    task: Task = found(profile)
    return task
