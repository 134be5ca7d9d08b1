"""A network with its decoding, to be deployed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import final

import torch
from torch import Tensor, nn

from constraints.embeddings.decode import Decode
from constraints.embeddings.embedding import Embedding
from constraints.errors import UnsupportedError, keyed
from constraints.rules import OutputRule

__all__ = ["DecodedNetwork"]


@final
class DecodedNetwork(nn.Module):
    """A network followed by the decoding of every Decode rule, in their order: what is deployed or exported.

    Args:
        network: the network, Hard rules included: `module.network` of a `KnowledgeModule`.
        embeddings: those of a module by name, `module.embeddings()`; only the Decode ones act.

    Raises:
        UnsupportedError: a sequential rule, whose answer depends on the answer before; names it.

    Example:
        >>> import torch
        >>> from constraints.rules import FixedSum
        >>> DecodedNetwork(nn.Identity(), {"shares": Decode(FixedSum())})(torch.tensor([[0.7, 0.7]]))
        tensor([[0.5000, 0.5000]])
    """

    def __init__(self, network: nn.Module, embeddings: Mapping[str, Embedding]) -> None:
        super().__init__()
        decoding = {name: e for name, e in embeddings.items() if isinstance(e, Decode)}
        sequential = [name for name, e in decoding.items() if e.sequential]
        if sequential:
            raise UnsupportedError(
                f"`DecodedNetwork` needs rules on single answers, got the sequential rule `{sequential[0]}`: its "
                f"answer depends on the one before, use `Decode.follow`"
            )
        self.network = network
        self.keys = tuple(decoding)
        self.decoded = nn.ModuleList(e.rule for e in decoding.values())

    def forward(self, x: Tensor) -> Tensor:
        """The obeying answer."""
        y: Tensor = self.network(x)
        for key, rule in zip(self.keys, self.decoded, strict=True):
            assert isinstance(rule, OutputRule)
            with nullcontext() if torch.compiler.is_compiling() else keyed(key, rule.name):
                y = rule.decode(y, x)
        return y
