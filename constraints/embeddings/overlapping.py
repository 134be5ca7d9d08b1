"""Groups of rules that share outputs."""

from __future__ import annotations

from collections.abc import Mapping

from constraints.rules import OutputRule

__all__ = ["overlapping"]


def overlapping(rules: Mapping[str, OutputRule]) -> list[dict[str, OutputRule]]:
    """Partition rules into groups that share outputs; a rule on all outputs overlaps every other.

    Args:
        rules: the rules by name, bound to their outputs.

    Example:
        >>> from constraints.rules import Bounds
        >>> rules = {str(outputs): Bounds(low=0.0, outputs=outputs) for outputs in ([0, 1], [2], [1])}
        >>> [list(group) for group in overlapping(rules)]
        [['[2]'], ['[0, 1]', '[1]']]
    """
    groups: list[tuple[set[int] | None, dict[str, OutputRule]]] = []
    for name, rule in rules.items():
        columns = None if rule.index is None else set(rule.index.tolist())
        merged: dict[str, OutputRule] = {}
        apart = []
        for other, members in groups:
            if columns is None or other is None or columns & other:
                merged |= members
                columns = None if columns is None or other is None else columns | other
            else:
                apart.append((other, members))
        merged[name] = rule
        groups = [*apart, (columns, merged)]
    return [{name: members[name] for name in rules if name in members} for _, members in groups]
