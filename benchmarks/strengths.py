"""One rule under several embeddings: the arms, the questions, and the answers of a trained module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from constraints import Embedding
from dkmodels.module import KnowledgeModule
from dkmodels.study.arm import Arm
from dkmodels.study.metric import ADD_ONE_IN, Contrast

__all__ = ["answers", "strength_arms", "strength_contrasts"]

BASELINE = "none"
AGAINST = "against another embedding"


def strength_arms(rules: Mapping[str, Embedding], together: Sequence[tuple[str, ...]] = ()) -> list[Arm]:
    """No rule, each embedding alone, and those that go together.

    Args:
        rules: the embeddings by name.
        together: names of embeddings that one arm has together, such as a loss in training and a projection after it.

    Example:
        >>> from constraints import Bounds, Hard, Soft
        >>> [arm.name for arm in strength_arms({"soft": Soft(Bounds(low=0.0)), "hard": Hard(Bounds(low=0.0))})]
        ['none', 'soft', 'hard']
    """
    alone = [Arm(name, (name,)) for name in rules]
    return [Arm(BASELINE), *alone, *(Arm(" + ".join(names), names) for names in together)]


def strength_contrasts(
    rule: str, arms: Sequence[Arm], rules: Mapping[str, Embedding], against: Mapping[str, Sequence[str]]
) -> list[Contrast]:
    """Each arm against no rule, and chosen arms against others: one rule, so that advice weighs its embeddings.

    Args:
        rule: what the one rule is called.
        arms: arms of `strength_arms`.
        rules: the embeddings by name.
        against: names of baseline arms by the name of the arm that is held against them.

    Example:
        >>> from constraints import Bounds, Hard, Soft
        >>> rules = {"soft": Soft(Bounds(low=0.0)), "hard": Hard(Bounds(low=0.0))}
        >>> found = strength_contrasts("bounds", strength_arms(rules), rules, {"hard": ["soft"]})
        >>> [(c.rule, c.embedding, c.arm, c.baseline) for c in found]
        [('bounds', 'Soft', 'soft', 'none'), ('bounds', 'Hard', 'hard', 'none'), ('bounds', 'Hard', 'hard', 'soft')]
    """
    kinds = {arm.name: "+".join(dict.fromkeys(type(rules[name]).__name__ for name in arm.rules)) for arm in arms}
    labels = {
        name: kind if list(kinds.values()).count(kind) == 1 else f"{kind}: {name}" for name, kind in kinds.items()
    }
    pairs = [(arm.name, BASELINE, ADD_ONE_IN) for arm in arms if arm.name != BASELINE]
    pairs += [(name, baseline, AGAINST) for name, others in against.items() for baseline in others]
    return [
        Contrast(rule=rule, embedding=labels[arm], arm=arm, baseline=baseline, family=family)
        for arm, baseline, family in pairs
    ]


def answers(module: KnowledgeModule, x: Tensor, *, batch_size: int = 512) -> Tensor:
    """What a trained module answers at inference, decoded."""
    module.eval()
    with torch.inference_mode():
        return torch.cat([module.decode(module(part), part) for part in x.split(batch_size)])
