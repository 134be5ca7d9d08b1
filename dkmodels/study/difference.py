"""How two records of what cells are made with differ, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["DRAWN", "common", "differences"]

#: What is compared between cells; the rest (the commit) is kept for the reader.
COMPARED = ("task", "profile", "settings", "rules", "arms", "callbacks", "source", "library")
#: In place of a value that is another each time that it is made: it is compared with nothing.
DRAWN = "drawn anew at each call"
CLOSE = 1e-4


def differences(old: Mapping[str, Any], new: Mapping[str, Any], most: int = 4) -> list[str]:
    """How two origins differ, in words: the most telling first, at most so many and a count of the others.

    Arms that only one of them has are no difference.

    Example:
        >>> old, new = {"a": {"low": "0.0"}}, {"a": {"low": "0.4"}}
        >>> differences({"rules": old, "commit": "1"}, {"rules": new, "commit": "2"})
        ['rules, a, low: 0.0 became 0.4']
    """
    found: list[str] = []
    for key in COMPARED:
        before, after = old.get(key), new.get(key)
        if key == "arms" and isinstance(before, Mapping) and isinstance(after, Mapping):
            common = before.keys() & after.keys()
            before = {name: before[name] for name in sorted(common)}
            after = {name: after[name] for name in sorted(common)}
        found += _walk(before, after, (key,))
    shown = found[:most]
    return shown + ([f"{len(found) - most} more"] if len(found) > most else [])


def _walk(old: Any, new: Any, place: tuple[str, ...]) -> Iterator[str]:
    if old == new or DRAWN in (old, new) or _close(old, new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _walk(old.get(key), new.get(key), (*place, str(key)))
        return
    yield f"{', '.join(place)}: {_short(old)} became {_short(new)}"


def _close(old: Any, new: Any) -> bool:
    """Whether two pairs (projection, size) are those of one tensor, but for the last digits of another machine."""
    pairs = [pair for pair in (old, new) if isinstance(pair, list) and len(pair) == 2]
    if len(pairs) < 2 or not all(isinstance(number, float) for pair in pairs for number in pair):
        return False
    return bool(max(abs(old[0] - new[0]), abs(old[1] - new[1])) <= CLOSE * max(abs(old[1]), abs(new[1])))


def common(first: Any, second: Any) -> Any:
    """What two records have in common; `DRAWN` where they differ.

    Example:
        >>> common({"low": "0.0", "at": "12:01"}, {"low": "0.0", "at": "12:02"})
        {'low': '0.0', 'at': 'drawn anew at each call'}
    """
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return {key: common(first[key], second[key]) for key in first}
    return first if first == second else DRAWN


def _short(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2 and "torch" in str(value[0]):
        value = value[1]  # a small tensor: its numbers
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
