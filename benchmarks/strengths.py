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
    arms: Sequence[Arm], rules: Mapping[str, Embedding], against: Mapping[str, Sequence[str]]
) -> list[Contrast]:
    """Each arm against no rule, and chosen arms against others.

    Args:
        arms: arms of `strength_arms`.
        rules: the embeddings by name.
        against: names of baseline arms by the name of the arm that is held against them.
    """

    def kinds(arm: Arm) -> str:
        return "+".join(dict.fromkeys(type(rules[name]).__name__ for name in arm.rules))

    by_name = {arm.name: arm for arm in arms}
    pairs = [(arm, BASELINE, ADD_ONE_IN) for arm in arms if arm.name != BASELINE]
    pairs += [(by_name[name], baseline, AGAINST) for name, others in against.items() for baseline in others]
    return [
        Contrast(rule=arm.name, embedding=kinds(arm), arm=arm.name, baseline=baseline, family=family)
        for arm, baseline, family in pairs
    ]


def answers(module: KnowledgeModule, x: Tensor, *, batch_size: int = 512) -> Tensor:
    """What a trained module answers at inference, decoded."""
    module.eval()
    with torch.inference_mode():
        return torch.cat([module.decode(module(part), part) for part in x.split(batch_size)])
