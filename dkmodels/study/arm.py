"""Arms: which rules are embedded, and which arms answer which question."""

from __future__ import annotations

import hashlib
import inspect
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import final

from constraints import Embedding
from dkmodels.module import KnowledgeModule
from dkmodels.study.errors import UsageError
from dkmodels.study.fingerprint import closed_over, describe, digest
from dkmodels.study.metric import ADD_ONE_IN, ALL, LEAVE_ONE_OUT, Contrast

__all__ = ["Arm", "standard_arms", "standard_contrasts"]

FACTORIAL_LIMIT = 4
LONGEST_SLUG = 80  # a file name holds 255 bytes, with the seed, the host and more


def _module(function: Callable[..., object]) -> str:
    """The module of a function: of a script the same where it runs, in its workers, and where it is named as a file."""
    name = str(function.__module__)
    if name in ("__main__", "__mp_main__"):
        return Path(inspect.getsourcefile(function) or name).stem
    return name.removeprefix("dkmodels_task_")


def _said(value: object) -> str:
    """A value of a setup: as it is written where that is all of it, else its class and a digest of what it holds.

    Example:
        >>> import torch
        >>> _said([1, "a"]), _said(torch.zeros(5000))
        ("[1, 'a']", 'Tensor #b4689f06ecbeaff8')
    """
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        return repr(value)
    if (
        type(value) in (list, tuple, dict, set, frozenset)
        and len(repr(value)) <= LONGEST_SLUG
        and "<" not in repr(value)
    ):
        return repr(value)
    return f"{getattr(value, '__qualname__', type(value).__qualname__)} #{digest(describe(value, whole=True))}"


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
        UsageError: a name without letters or digits or that cannot be printed, a rule twice, a setup that has no name.

    Example:
        >>> Arm("all but census", ("mask", "moves")).slug
        'all-but-census'
    """

    name: str
    rules: tuple[str, ...] = ()
    setup: Callable[[KnowledgeModule], None] | None = None

    def __post_init__(self) -> None:
        if not (any(letter.isalnum() for letter in self.name) and self.name.isprintable()):
            raise UsageError(f"an arm needs a printable name with a letter or a digit, got {self.name!r}")
        if len(set(self.rules)) != len(self.rules):
            raise UsageError(f"an arm needs distinct rules, got {self.rules} for {self.name!r}")
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
            keywords = [f"{key}={_said(value)}" for key, value in inner.keywords.items()]
            told = ", ".join([*map(_said, inner.args), *keywords])
            inner = inner.func
        around = closed_over(inspect.unwrap(inner)) if inspect.isfunction(inner) else {}
        owner = getattr(inner, "__self__", None)
        held = [around] if around else []
        held += [] if owner is None or inspect.isclass(owner) else [describe(owner, whole=True)]
        name = f"{_module(inner)}.{inner.__qualname__}" + (f" #{digest(held)}" if held else "")
        return name + (f"({told})" if told else "")

    @property
    def slug(self) -> str:
        """The name as part of a file name: with a digest where the name is long, or of another alphabet.

        Example:
            >>> Arm("\u03b1 1").slug, Arm("\u03b2 1").slug
            ('1-e351de13', '1-72c02895')
        """
        name = unicodedata.normalize("NFC", self.name)
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower().replace("+", " and ")).strip("-")
        if name.isascii() and len(plain) <= LONGEST_SLUG:
            return plain
        mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        return f"{plain[:LONGEST_SLUG].strip('-')}-{mark}".strip("-")


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

    Each arm with one rule is held against an arm without any, of the same setup where there is one. Each arm with
    several rules that no other arm exceeds is "all": it is held against the arms that lack one of its rules, and
    against none.

    Args:
        arms: arms, as `standard_arms` makes them.
        embeddings: the embedding of each rule.

    Returns:
        Contrasts between arms that are there.

    Example:
        >>> from constraints import Bounds, Hard, Soft
        >>> rules = {"soft": Soft(Bounds(low=0.0)), "hard": Hard(Bounds(low=0.0))}
        >>> [(c.arm, c.baseline) for c in standard_contrasts([Arm("none"), *(Arm(r, (r,)) for r in rules)], rules)]
        [('soft', 'none'), ('hard', 'none')]
    """
    found: list[Contrast] = []

    def compare(rules: Sequence[str], arm: Arm, baseline: Arm, family: str) -> None:
        label = "+".join(dict.fromkeys(type(embeddings[rule]).__name__ for rule in rules))
        contrast = Contrast(
            rule=" + ".join(rules), embedding=label, arm=arm.name, baseline=baseline.name, family=family
        )
        found.append(contrast)

    for rule in embeddings:
        for arm in [arm for arm in arms if arm.rules == (rule,)]:
            for baseline in _like(arm, frozenset(), arms):
                compare([rule], arm, baseline, ADD_ONE_IN)
    sets = [frozenset(arm.rules) for arm in arms]
    for arm in [arm for arm, own in zip(arms, sets, strict=True) if len(own) > 1 and not any(own < s for s in sets)]:
        ordered = [rule for rule in embeddings if rule in arm.rules]
        for rule in ordered:
            for baseline in _like(arm, frozenset(arm.rules) - {rule}, arms):
                compare([rule], arm, baseline, LEAVE_ONE_OUT)
        for baseline in _like(arm, frozenset(), arms):
            compare(ordered, arm, baseline, ALL)
    return _told_apart(found)


def _like(arm: Arm, rules: frozenset[str], arms: Sequence[Arm]) -> list[Arm]:
    """The arm with exactly these rules against which another is held: of its setup, or else without one."""
    same = [other for other in arms if frozenset(other.rules) == rules and other is not arm]
    of_setup = [other for other in same if other.setting == arm.setting]
    return (of_setup or [other for other in same if not other.setting])[:1]


def _told_apart(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """Embeddings named with their arm, where several arms answer one question on one rule: advice weighs them apart."""
    keys = [(c.rule, c.embedding, c.family) for c in contrasts]
    several = {key[:2] for key in keys if keys.count(key) > 1}
    return [
        replace(c, embedding=f"{c.embedding}: {c.arm}") if (c.rule, c.embedding) in several else c for c in contrasts
    ]
