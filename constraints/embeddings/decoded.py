"""A network with its decoding, to be deployed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import final

import torch
from torch import Tensor, nn

from constraints.embeddings.decode import Decode
from constraints.embeddings.embedding import Embedding
from constraints.embeddings.hard import Hard
from constraints.errors import SpecificationError, UnsupportedError, keyed
from constraints.rules import OutputRule

__all__ = ["DecodedNetwork", "require_apart"]


def require_apart(embeddings: Mapping[str, Embedding]) -> None:
    """Refuse to decode outputs that another rule holds, too: the nearest answer to one may break the other.

    Raises:
        UnsupportedError: names the two rules.

    Example:
        >>> from constraints.embeddings import Hard
        >>> from constraints.rules import Bounds, FixedSum
        >>> require_apart({"sum": Hard(FixedSum(outputs=[0, 1])), "low": Decode(Bounds(low=0.0, outputs=[2]))})
        >>> require_apart({"sum": Hard(FixedSum()), "low": Decode(Bounds(low=0.5))})
        Traceback (most recent call last):
        constraints.errors.UnsupportedError: rules `sum` and `low` are on the same outputs, and decoding `low` ...
    """
    held: dict[str, OutputRule] = {}
    for name, embedding in embeddings.items():
        rule, decoded = embedding.rule, isinstance(embedding, Decode) and embedding.projects
        if not isinstance(rule, OutputRule) or not (decoded or isinstance(embedding, Hard)):
            continue
        for other, earlier in held.items():
            if (decoded or isinstance(embeddings[other], Decode)) and _meet(rule, earlier):
                last = name if decoded else other
                raise UnsupportedError(
                    f"rules `{other}` and `{name}` are on the same outputs, and decoding `{last}` alone may break the "
                    f"other: embed both as Hard, or state them as one rule for Decode"
                )
        held[name] = rule


def _meet(one: OutputRule, two: OutputRule) -> bool:
    """Whether two rules act on a common output."""
    if one.index is None or two.index is None:
        return True
    return bool(set(one.index.tolist()) & set(two.index.tolist()))


@final
class DecodedNetwork(nn.Module):
    """A network followed by the decoding of every Decode rule, in their order: what is deployed or exported.

    Args:
        network: the network, Hard rules included: `module.network` of a `KnowledgeModule`.
        embeddings: those of a module by name, `module.embeddings()`; only the Decode ones act.

    Raises:
        SpecificationError: a rule without an embedding.
        UnsupportedError: a sequential rule, whose answer depends on the answer before; a rule on outputs that another
            holds, too (see `require_apart`).

    Example:
        >>> import torch
        >>> from constraints.rules import FixedSum
        >>> DecodedNetwork(nn.Identity(), {"shares": Decode(FixedSum())})(torch.tensor([[0.7, 0.7]]))
        tensor([[0.5000, 0.5000]])
    """

    def __init__(self, network: nn.Module, embeddings: Mapping[str, Embedding]) -> None:
        super().__init__()
        for name, one in embeddings.items():
            if not isinstance(one, Embedding):
                raise SpecificationError(
                    f"`DecodedNetwork` needs embeddings, such as Decode(rule), got {type(one).__name__} for `{name}`"
                )
        require_apart(embeddings)
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
