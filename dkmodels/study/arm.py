"""Arms: which rules are embedded, and which arms answer which question."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import final

from constraints import Embedding
from dkmodels.study.errors import UsageError
from dkmodels.study.metric import ADD_ONE_IN, ALL, LEAVE_ONE_OUT, Contrast

__all__ = ["Arm", "standard_arms", "standard_contrasts"]

FACTORIAL_LIMIT = 4


@final
@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train: the rules that are embedded.

    Attributes:
        name: its name in tables.
        rules: names of rules of the task; the order is that of the task.

    Example:
        >>> Arm("all but census", ("mask", "moves")).slug
        'all-but-census'
    """

    name: str
    rules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.slug or len(set(self.rules)) != len(self.rules):
            raise UsageError(
                f"an arm needs a name with letters and distinct rules, got {self.name!r} with {self.rules}"
            )

    @property
    def slug(self) -> str:
        """The name as part of a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower().replace("+", " and ")).strip("-")


def standard_arms(rules: Sequence[str], *, factorial: bool = True) -> list[Arm]:
    """None; each rule alone; all; all but one; and the full factorial for up to four rules.

    Args:
        rules: names of the task's rules.
        factorial: whether to add the combinations that interactions and Shapley values need.

    Returns:
        Distinct arms, from none to all.

    Example:
        >>> [arm.name for arm in standard_arms(["a", "b", "c"])]
        ['none', 'a', 'b', 'c', 'all but c', 'all but b', 'all but a', 'all']
    """
    n = len(rules)
    sizes = range(n + 1) if factorial and n <= FACTORIAL_LIMIT else sorted({0, 1, n - 1, n} & set(range(n + 1)))
    return [Arm(_name(chosen, rules), chosen) for size in sizes for chosen in combinations(tuple(rules), size)]


def _name(chosen: tuple[str, ...], rules: Sequence[str]) -> str:
    if not chosen:
        return "none"
    if len(chosen) == 1:
        return chosen[0]
    if len(chosen) == len(rules):
        return "all"
    if len(chosen) == len(rules) - 1:
        return "all but " + next(rule for rule in rules if rule not in chosen)
    return " + ".join(chosen)


def standard_contrasts(arms: Sequence[Arm], embeddings: Mapping[str, Embedding]) -> list[Contrast]:
    """The questions that standard arms answer: each rule added to none, each taken from all, all against none.

    Args:
        arms: arms, as `standard_arms` makes them.
        embeddings: the embedding of each rule.

    Returns:
        Contrasts between arms that are there.
    """
    by_rules = {frozenset(arm.rules): arm.name for arm in arms}
    whole = max(by_rules, key=len, default=frozenset())
    kinds = {name: type(embedding).__name__ for name, embedding in embeddings.items()}
    none = by_rules.get(frozenset())
    found: list[Contrast] = []
    ordered = [name for name in embeddings if name in whole]
    for rule in ordered:
        alone = by_rules.get(frozenset({rule}))
        if none is not None and alone is not None:
            found.append(Contrast(rule=rule, embedding=kinds[rule], arm=alone, baseline=none, family=ADD_ONE_IN))
    if len(whole) > 1:
        for rule in ordered:
            without = by_rules.get(whole - {rule})
            if without is not None:
                found.append(
                    Contrast(
                        rule=rule, embedding=kinds[rule], arm=by_rules[whole], baseline=without, family=LEAVE_ONE_OUT
                    )
                )
        if none is not None:
            joined = "+".join(dict.fromkeys(kinds[rule] for rule in ordered))
            found.append(
                Contrast(rule=" + ".join(ordered), embedding=joined, arm=by_rules[whole], baseline=none, family=ALL)
            )
    return found
