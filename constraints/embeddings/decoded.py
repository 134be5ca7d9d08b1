"""A network with its decoding, to be deployed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from constraints.embeddings.decode import Decode
from constraints.embeddings.decoding import Decoding
from constraints.embeddings.embedding import Embedding
from constraints.embeddings.hard import ConstrainedNetwork, Hard
from constraints.errors import SpecificationError, UnsupportedError
from constraints.rules import FieldRule, Rule

__all__ = ["DecodedNetwork"]


@final
class DecodedNetwork(nn.Module):
    """A network followed by the `Decoding` of its rules: what is deployed or exported.

    Args:
        network: the network, Hard rules included: `module.network` of a `KnowledgeModule`.
        embeddings: those of a module by name, `module.embeddings()`; only the Decode ones act, jointly with the Hard
            ones on the same outputs.
        outputs: see `Decoding`.

    Raises:
        SpecificationError: a rule without an embedding; no Decode rule; see `Decoding`, too.
        UnsupportedError: a sequential rule, whose answer depends on the answer before; a Hard rule that neither the
            network nor the decoding holds; see `Decoding`, too.

    Example:
        >>> import torch
        >>> from constraints.rules import FixedSum
        >>> DecodedNetwork(nn.Identity(), {"shares": Decode(FixedSum())})(torch.tensor([[0.7, 0.7]]))
        tensor([[0.5000, 0.5000]])
    """

    def __init__(self, network: nn.Module, embeddings: Mapping[str, Embedding], *, outputs: int | None = None) -> None:
        super().__init__()
        for name, one in embeddings.items():
            if not isinstance(one, Embedding):
                raise SpecificationError(
                    f"`DecodedNetwork` needs embeddings, such as Decode(rule), got {type(one).__name__} for `{name}`"
                )
        if not any(isinstance(one, Decode) for one in embeddings.values()):
            given = ", ".join(f"{type(one).__name__} of `{name}`" for name, one in embeddings.items()) or "no rules"
            raise SpecificationError(
                f"`DecodedNetwork` needs a Decode rule, got {given}: the network alone is what is deployed then"
            )
        sequential = [name for name, e in embeddings.items() if isinstance(e, Decode) and e.sequential]
        if sequential:
            raise UnsupportedError(
                f"`DecodedNetwork` needs rules on single answers, got the sequential rule `{sequential[0]}`: its "
                f"answer depends on the one before, use `Decode.follow`"
            )
        self.network = network
        self.decoding = Decoding(embeddings, outputs=outputs)
        for name, one in embeddings.items():
            if isinstance(one, Hard) and not (self.decoding.holds(one.rule) or _held(one.rule, network)):
                raise UnsupportedError(
                    f"`DecodedNetwork` needs a network that holds the hard rule `{name}`, got `"
                    f"{type(network).__name__}`, which does not: pass `module.network` of the module, or "
                    f"join(network, embeddings)"
                )

    def forward(self, x: Tensor) -> Tensor:
        """The obeying answer."""
        y: Tensor = self.decoding(self.network(x), x)
        return y


def _held(rule: Rule, network: nn.Module) -> bool:
    """Whether a network holds a Hard rule by its architecture, or, a copy as well, by a map that follows it."""
    if isinstance(rule, FieldRule):
        return rule.guaranteed(_before_maps(network))
    return any(type(part) is type(rule) and part.name == rule.name for part in network.modules())


def _before_maps(network: nn.Module) -> nn.Module:
    """The network that the maps of Hard rules follow, also in an averaged or compiled one."""
    inner = {ConstrainedNetwork: "network", AveragedModel: "module"}
    while (name := "_orig_mod" if hasattr(network, "_orig_mod") else inner.get(type(network))) is not None:
        network = getattr(network, name)
    return network
