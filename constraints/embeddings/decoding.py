"""The decoding of all rules of a module together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import final

import torch
from torch import Tensor, nn

from constraints.embeddings.curved import intersect_rules
from constraints.embeddings.decode import Decode
from constraints.embeddings.embedding import Embedding
from constraints.embeddings.hard import Hard
from constraints.embeddings.overlapping import overlapping
from constraints.errors import UnsupportedError, keyed
from constraints.rules import CellRule, FieldRule, OutputRule, Rule, RuleSet

__all__ = ["Decoding"]


@final
class Decoding(nn.Module):
    r"""The answer at inference, which obeys every Decode rule and every Hard one.

    Decode rules that share outputs with other Decode or Hard rules become one projection onto the intersection,
    $\operatorname{argmin}_{z \in \cap_i C_i} \|z - y\|$: projecting onto one set alone may break the other rules.
    A rule that overrides `decode`, such as `Census`, is applied alone, in its order. A sequential rule does not change
    single samples.

    Args:
        embeddings: those of a module by name, `module.embeddings()`; only the Decode and Hard ones count.
        outputs: how many outputs there are, where that is known; by default as many as the module names.

    Raises:
        InfeasibleError: rules that contradict each other; names the smallest conflicting subset.
        SpecificationError: rules on all outputs that must be joined, without the number of outputs.
        UnsupportedError: rules that overlap and for which no joint projection or decoding is known; a Decode rule that
            does not keep what the architecture of a Hard rule on the function guarantees.

    Example:
        >>> from constraints.rules import Bounds, FixedSum
        >>> decoding = Decoding({"sum": Hard(FixedSum()), "cap": Decode(Bounds(high=0.6))}, outputs=3)
        >>> decoding(torch.tensor([[0.8, 0.1, 0.1]]))
        tensor([[0.6000, 0.2000, 0.2000]])
    """

    def __init__(self, embeddings: Mapping[str, Embedding], *, outputs: int | None = None) -> None:
        super().__init__()
        decoding = {name: e for name, e in embeddings.items() if e.decodes}
        hard = {name: e.rule for name, e in embeddings.items() if isinstance(e, Hard)}
        parts: dict[str, Embedding | OutputRule] = {}
        if decoding:
            _require_kept(hard, {name: e.rule for name, e in decoding.items()})
            _require_one_choice({name: e.rule for name, e in decoding.items() if isinstance(e, Decode) and e.chooses})
            groups = overlapping(_projecting(embeddings))
            for name, embedding in decoding.items():
                group = next((group for group in groups if name in group), {})
                if len(group) < 2:
                    parts[name] = embedding
                elif " and ".join(group) not in parts:
                    parts[" and ".join(group)] = _intersect(group, outputs)
        self.keys = tuple(parts)
        self.parts = nn.ModuleList(parts.values())

    def holds(self, rule: Rule) -> bool:
        """Whether the answer obeys a rule whatever the network gives."""
        return any(part is rule for part in self.modules())

    def forward(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """The obeying answer, `(*batch, n)`.

        Args:
            y: the answer of the network, Hard rules included, `(*batch, n)`.
            x: its input.
        """
        for key, part in zip(self.keys, self.parts, strict=True):
            assert isinstance(part, Embedding | OutputRule)
            name = part.rule.name if isinstance(part, Embedding) else part.name
            with nullcontext() if torch.compiler.is_compiling() else keyed(key, name):
                y = part.decode(y, x)
        return y


def _projecting(embeddings: Mapping[str, Embedding]) -> dict[str, OutputRule]:
    """The rules on vectors whose answer is the nearest that obeys."""
    return {
        name: e.rule
        for name, e in embeddings.items()
        if isinstance(e.rule, OutputRule)
        and not isinstance(e.rule, CellRule)
        and (isinstance(e, Hard) or (isinstance(e, Decode) and not e.chooses))
    }


def _intersect(rules: Mapping[str, OutputRule], outputs: int | None) -> OutputRule:
    """One rule, of rules that can hold together."""
    RuleSet(rules, outputs).require()
    return intersect_rules(rules, outputs)


def _require_one_choice(rules: Mapping[str, Rule]) -> None:
    """Refuse rules that each make a choice of their own on the same outputs: the last would undo the others'."""
    choosing = {name: rule for name, rule in rules.items() if isinstance(rule, OutputRule)}
    for group in overlapping(choosing):
        if len(group) > 1:
            named = ", ".join(f"`{name}`" for name in group)
            raise UnsupportedError(
                f"no joint decoding is known for rules {named}: each chooses its answer by itself, and the last may "
                f"break the others. State them as one rule, such as one `Census` of all limits"
            )


def _require_kept(hard: Mapping[str, Rule], decoded: Mapping[str, Rule]) -> None:
    """Refuse maps of answers that do not keep what an architecture guarantees."""
    for name, field in hard.items():
        for other, rule in decoded.items():
            if isinstance(field, FieldRule) and isinstance(rule, OutputRule) and not field.survives(rule, smooth=False):
                raise UnsupportedError(
                    f"hard rule `{name}` cannot hold beside Decode of `{other}`, which does not keep what the "
                    f"architecture of `{name}` guarantees. Embed one of them as Soft"
                )
