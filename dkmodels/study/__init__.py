"""What is a rule worth? Arms over paired seeds, their effects with intervals, and advice."""

from dkmodels.study.advice import Advice, Decision, advise
from dkmodels.study.analysis import Analysis
from dkmodels.study.arm import Arm, standard_arms, standard_contrasts
from dkmodels.study.compare import Change, compare
from dkmodels.study.effect import Effect, Verdict, effects, read_effects, write_effects
from dkmodels.study.errors import StoreError, UsageError
from dkmodels.study.exhibit import Exhibit
from dkmodels.study.metric import Contrast, Measurement, Metric
from dkmodels.study.schedule import Shard
from dkmodels.study.store import Store
from dkmodels.study.study import Study
from dkmodels.study.task import Data, Profile, Task, Workload, load_task
from dkmodels.study.tracking import Tracker

__all__ = [
    "Advice",
    "Analysis",
    "Arm",
    "Change",
    "Contrast",
    "Data",
    "Decision",
    "Effect",
    "Exhibit",
    "Measurement",
    "Metric",
    "Profile",
    "Shard",
    "Store",
    "StoreError",
    "Study",
    "Task",
    "Tracker",
    "UsageError",
    "Verdict",
    "Workload",
    "advise",
    "compare",
    "effects",
    "load_task",
    "read_effects",
    "standard_arms",
    "standard_contrasts",
    "write_effects",
]
