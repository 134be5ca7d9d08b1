"""Put what you know into what you train, and measure what it is worth."""

import constraints as _constraints

if not hasattr(_constraints, "KNOWN_TO_DKMODELS"):
    raise ImportError(
        f"dkmodels needs its own package `constraints`, but found another one that hides it: "
        f"{getattr(_constraints, '__file__', None) or list(_constraints.__path__)}. Rename that file"
    )

from dkmodels.callbacks import RuleMonitor
from dkmodels.heads import ClassificationModule, FieldModule, RegressionModule
from dkmodels.metrics import RuleViolation, SatisfactionRate
from dkmodels.module import KnowledgeModule
from dkmodels.random import RandomStream, seed_streams

__version__ = "0.1.0"

__all__ = [
    "ClassificationModule",
    "FieldModule",
    "KnowledgeModule",
    "RandomStream",
    "RegressionModule",
    "RuleMonitor",
    "RuleViolation",
    "SatisfactionRate",
    "__version__",
    "seed_streams",
]
