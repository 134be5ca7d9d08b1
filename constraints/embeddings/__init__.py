"""Embeddings: how strongly a rule is imposed."""

from constraints.embeddings.causal import Causal, causal_weights
from constraints.embeddings.decode import Decode
from constraints.embeddings.decoded import DecodedNetwork
from constraints.embeddings.decoding import Decoding
from constraints.embeddings.embedding import Embedding, Monitor
from constraints.embeddings.emphasis import Emphasis
from constraints.embeddings.hard import ConstrainedNetwork, Hard, join
from constraints.embeddings.lagrangian import AugmentedLagrangian
from constraints.embeddings.residual_attention import ResidualAttention
from constraints.embeddings.self_adaptive import SelfAdaptive
from constraints.embeddings.soft import Soft, absolute, squared

__all__ = [
    "AugmentedLagrangian",
    "Causal",
    "ConstrainedNetwork",
    "Decode",
    "DecodedNetwork",
    "Decoding",
    "Embedding",
    "Emphasis",
    "Hard",
    "Monitor",
    "ResidualAttention",
    "SelfAdaptive",
    "Soft",
    "absolute",
    "causal_weights",
    "join",
    "squared",
]
