"""Rule text cut into words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

from constraints.errors import RuleTextError

__all__ = ["KEYWORDS", "Token", "cut", "fail"]

LONGEST = 100_000  # characters of a line
KEYWORDS = frozenset({"and", "or", "xor", "not", "neg", "if", "then", "else"})
PATTERN = re.compile(
    r"""(?P<space>[ \t]+)
      | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign><->|<=>|->|=>|<=|>=|==|!=|\*\*|[-+*/^()<>=,\[\]≤≥≠])""",
    re.VERBOSE | re.ASCII,
)
SAME = {"≤": "<=", "≥": ">=", "≠": "!=", "=": "==", "=>": "->", "<=>": "<->", "**": "^", "neg": "not"}


@final
@dataclass(frozen=True, slots=True)
class Token:
    """A word of rule text.

    Attributes:
        kind: "number", "name", "sign", "word" (a keyword), or "end".
        text: as it is to be read; signs that mean the same are the same.
        column: where it begins, from 1.
    """

    kind: str
    text: str
    column: int


def fail(line: str, column: int, problem: str) -> RuleTextError:
    """An error that shows the place.

    Example:
        >>> print(fail("a + <= 3", 5, "a number or a name is needed, got `<=`"))
        column 5: a number or a name is needed, got `<=`
            a + <= 3
                ^
    """
    first = max(0, column - 41)
    shown = "".join(c if c.isprintable() else "?" for c in line[first : first + 80])
    return RuleTextError(f"column {column}: {problem}\n    {shown}\n    {' ' * (column - 1 - first)}^")


def cut(line: str) -> list[Token]:
    """The words of a line.

    Raises:
        RuleTextError: a character that belongs to no word, or a line that is too long.

    Example:
        >>> [token.text for token in cut("2y_0 >= 3")]
        ['2', 'y_0', '>=', '3', '']
    """
    if len(line) > LONGEST:
        raise fail(line, 1, f"a line of at most {LONGEST} characters is needed, got {len(line)}")
    tokens, at = [], 0
    while at < len(line):
        found = PATTERN.match(line, at)
        if found is None:
            shown = line[at] if line[at].isprintable() else repr(line[at])
            raise fail(line, at + 1, f"a number, a name or a sign is needed, got `{shown}`")
        kind, text = str(found.lastgroup), found.group()
        if kind == "name" and text in KEYWORDS:
            kind = "word"
        if kind != "space":
            tokens.append(Token(kind, SAME.get(text, text) if kind != "name" else text, at + 1))
        at = found.end()
    return [*tokens, Token("end", "", len(line) + 1)]
