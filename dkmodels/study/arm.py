"""Arms: which rules are embedded, and which arms answer which question."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import final

from constraints import Embedding
from dkmodels.module import KnowledgeModule
from dkmodels.study.errors import UsageError
from dkmodels.study.metric import ADD_ONE_IN, ALL, LEAVE_ONE_OUT, Contrast

__all__ = ["Arm", "standard_arms", "standard_contrasts"]

FACTORIAL_LIMIT = 4


@final
@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train: the rules that are embedded, and what else is done otherwise.

    Attributes:
        name: its name in tables.
        rules: names of rules of the task; the order is that of the task.
        setup: called with the module before it trains, to give it another optimiser or balance; a function of a module
            (a file), or `functools.partial` of one, so that records can name it.

    Raises:
        UsageError: a name without letters, a rule twice, a setup that has no name.

    Example:
        >>> Arm("all but census", ("mask", "moves")).slug
        'all-but-census'
    """

    name: str
    rules: tuple[str, ...] = ()
    setup: Callable[[KnowledgeModule], None] | None = None

    def __post_init__(self) -> None:
        if not self.slug or len(set(self.rules)) != len(self.rules):
            raise UsageError(
                f"an arm needs a name with letters and distinct rules, got {self.name!r} with {self.rules}"
            )
        if "<" in self.setting.partition("(")[0]:
            raise UsageError(f"arm `{self.name}` needs a setup that has a name of its own, got {self.setting}")

    @property
    def setting(self) -> str:
        """What its setup is, with its arguments; empty where it has none.

        Example:
            >>> from functools import partial
            >>> def slowly(module, learning_rate):
            ...     module.learning_rate = learning_rate
            >>> Arm("slow", setup=partial(slowly, learning_rate=1e-5)).setting.rpartition(".")[2]
            'slowly(learning_rate=1e-05)'
        """
        if self.setup is None:
            return ""
        inner, told = self.setup, ""
        if isinstance(inner, partial):
            told = ", ".join([*map(repr, inner.args), *(f"{key}={value!r}" for key, value in inner.keywords.items())])
            inner = inner.func
        return f"{inner.__module__}.{inner.__qualname__}" + (f"({told})" if told else "")

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
