"""Embeddings: how strongly a rule is imposed."""

from constraints.embeddings.decode import Decode
from constraints.embeddings.embedding import Embedding, Monitor
from constraints.embeddings.hard import ConstrainedNetwork, Hard, join
from constraints.embeddings.lagrangian import AugmentedLagrangian
from constraints.embeddings.soft import Soft, absolute, squared

__all__ = [
    "AugmentedLagrangian",
    "ConstrainedNetwork",
    "Decode",
    "Embedding",
    "Hard",
    "Monitor",
    "Soft",
    "absolute",
    "join",
    "squared",
]
