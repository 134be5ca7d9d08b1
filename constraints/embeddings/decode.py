"""Decode: the rule at inference only."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from constraints.embeddings.embedding import Embedding
from constraints.errors import UnsupportedError
from constraints.rules import OutputRule, Rule, Scores, Transition
from constraints.tracking import AskAll, AskPolicy, Recovery, Track, follow

__all__ = ["Decode"]


@final
class Decode(Embedding):
    """The best answer that obeys, found at inference; training does not know of the rule.

    **Calling the module, `torch.export` and ONNX do not decode**: `module(x)` is the network's own answer, which may
    break the rule. Validation, test, `predict_step` and `KnowledgeModule.decode` do. Deploy a `DecodedNetwork`, which
    includes the decoding. There, as in a module, Decode and Hard rules on the same outputs are decoded as one (see
    `Decoding`); `decode` of this class knows of its own rule alone.

    A rule on single answers (`Census`, a projection) decodes each sample: `decode(y, x)`. A `Transition` depends on the
    answer before: `follow(scores, track)` takes the state and returns it, and asks the network for what it needs.

    Args:
        rule: the rule.
        policy: for a `Transition`, which cells to ask the network for.
        recovery: for a `Transition`, when to stop believing the tracked state.

    Raises:
        UnsupportedError: a rule that has no decoder.

    Example:
        >>> import torch
        >>> from constraints.rules import FixedSum
        >>> Decode(FixedSum()).decode(torch.tensor([[0.7, 0.7]]))
        tensor([[0.5000, 0.5000]])
    """

    decodes = True

    def __init__(self, rule: Rule, *, policy: AskPolicy | None = None, recovery: Recovery | None = None) -> None:
        super().__init__(rule)
        possible = rule.explain().embeddings
        if not isinstance(rule, OutputRule) or "Decode" not in possible:
            raise UnsupportedError(f"rule `{rule.name}` cannot be decoded, only {', '.join(possible)}")
        if not isinstance(rule, Transition) and (policy is not None or recovery is not None):
            raise UnsupportedError(f"rule `{rule.name}` has no state, so `Decode` needs no policy or recovery for it")
        self.policy = policy or AskAll()
        self.recovery = recovery or Recovery()

    @property
    def sequential(self) -> bool:
        """Whether the answer depends on the answer before, so that `follow` gives it and not `decode`."""
        return isinstance(self.rule, Transition)

    @property
    def chooses(self) -> bool:
        """Whether the rule chooses the answer by itself, as a `Census` does; others give the nearest that obeys."""
        return (
            isinstance(self.rule, OutputRule)
            and type(self.rule).decode is not OutputRule.decode
            and not self.sequential
        )

    def decode(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """The obeying answer of each sample; a sequential rule leaves single samples as they are."""
        if self.sequential:
            return y
        assert isinstance(self.rule, OutputRule)
        return self.rule.decode(y, x)

    def follow(self, scores: Scores, track: Track | None) -> tuple[NDArray[np.integer], Track]:
        """Decode one observation of a sequence: labels `(cells,)`, and the state for the next one."""
        if not isinstance(self.rule, Transition):
            raise UnsupportedError(f"rule `{self.rule.name}` is not a Transition: use `decode`")
        return follow(self.rule, scores, track, policy=self.policy, recovery=self.recovery)

    def settings(self) -> dict[str, Any]:
        """The policy and the recovery, where there is a state."""
        return {"policy": repr(self.policy), "recovery": repr(self.recovery)} if self.sequential else {}
