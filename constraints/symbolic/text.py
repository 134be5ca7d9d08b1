"""Rule files: one rule a line, with comments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import sympy

from constraints.errors import ConstraintError, RuleTextError
from constraints.rules import OutputRule
from constraints.sets import Fallback
from constraints.symbolic.declare_outputs import declare_outputs
from constraints.symbolic.grammar import read_statement
from constraints.symbolic.learnable import Learnable
from constraints.symbolic.tokens import KEYWORDS, cut, fail

__all__ = ["load_rules", "read_rules"]

LARGEST = 64_000_000  # bytes of a rule file
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
COLUMN = re.compile(r"y_(\d{1,6})", re.ASCII)
HEADER = re.compile(r"(outputs|inputs)\s*:(.*)", re.ASCII)
ORDERING = re.compile(r"ordering((?:\s+[A-Za-z_]\w*)*)\s*", re.ASCII)
LABEL = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*:(.*)", re.ASCII)


def load_rules(
    path: str | Path,
    *,
    outputs: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    parameters: Mapping[str, Learnable] | None = None,
    margin: float | None = None,
    threshold: float | None = None,
    fallback: Fallback | None = None,
) -> dict[str, OutputRule]:
    """The rules of a file: see `read_rules`.

    Raises:
        RuleTextError: a file that is no UTF-8 text or is too large, or a line that cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "mixer.rules").write_text("outputs: hot, cold\\nfull: hot + cold = 1\\n")
        ...     list(load_rules(Path(folder) / "mixer.rules"))
        ['full']
    """
    file = Path(path)
    size = file.stat().st_size
    if size > LARGEST:
        raise RuleTextError(f"{file.name}: a rule file of at most {LARGEST} bytes is needed, got {size}")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RuleTextError(f"{file.name}: UTF-8 text is needed, got byte {error.object[error.start]:#x}") from None
    return read_rules(
        text,
        outputs=outputs,
        inputs=inputs,
        parameters=parameters,
        margin=margin,
        threshold=threshold,
        fallback=fallback,
    )


def read_rules(
    text: str,
    *,
    outputs: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    parameters: Mapping[str, Learnable] | None = None,
    margin: float | None = None,
    threshold: float | None = None,
    fallback: Fallback | None = None,
) -> dict[str, OutputRule]:
    """Rules from text, one a line: `name: statement`, the name optional, `#` begins a comment.

    Statements are read by `read_statement`; nothing is evaluated as code. Lines `outputs: a, b` and `inputs: c`, before
    the first rule, name the columns of the model, unless the arguments do.

    Requirement files of PiShield can be read too: a line `ordering y_0 y_1 ...` is skipped (it says in which order to
    mend, not what must hold), and where nobody names the outputs, `y_3` is column 3. Their `>` counts the boundary as
    inside with `margin=0.0`; their labels are true from `threshold` on.

    Args:
        text: the lines.
        outputs: names of the outputs.
        inputs: names of the inputs.
        parameters: numbers that are learnt, by name; each is in some line.
        margin: see `declare`; of all lines that have a use for it, one at least, as are the next two.
        threshold: see `declare`; lines of labels that imply one another are a `Hierarchy` where it is not given.
        fallback: see `declare`.

    Returns:
        The rules by name; `rule_3` is the rule in line 3 where it has no name.

    Raises:
        RuleTextError: a line that cannot be read, or whose rule `declare` refuses; says which. An argument that no line
            has a use for.

    Example:
        >>> rules = read_rules('''
        ... outputs: ch4, c2h6, c3h8
        ... inputs: carbon, temperature
        ... balance: ch4 + 2 c2h6 + 3 c3h8 = carbon     # [mol]
        ... if temperature > 900 then c3h8 <= 0.1
        ... ''')
        >>> {name: rule.explain().kind for name, rule in rules.items()}
        {'balance': 'affine (Affine)', 'rule_5': 'polytope (Polytope)'}
    """
    columns, sources = _names("outputs", outputs, 0), _names("inputs", inputs, 0)
    _names("parameters", list(parameters or {}), 0)
    found: dict[str, OutputRule] = {}
    used: list[str] = []
    asked = {"margin": margin, "threshold": threshold, "fallback": fallback}
    idle = {key for key, value in asked.items() if value is not None}
    for number, whole in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        line = whole.split("#", maxsplit=1)[0].rstrip()
        if not line.strip() or ORDERING.fullmatch(line.strip()):
            continue
        header = HEADER.fullmatch(line.strip())
        if header is not None:
            _require_first(header[1], number, found)
            given = _names(header[1], [part.strip() for part in header[2].split(",")], number)
            if header[1] == "outputs":
                columns = given if columns is None else columns
            else:
                sources = given if sources is None else sources
            continue
        label = LABEL.fullmatch(line)
        name = f"rule_{number}" if label is None else label[1]
        if name in found or name in KEYWORDS:
            raise RuleTextError(f"line {number}: a name of its own is needed for each rule, got {name!r}")
        body = line if label is None else " " * (len(line) - len(label[2])) + label[2]
        try:
            _require_known(body, columns, sources, parameters or {})
            statement = read_statement(body)
            used.append(body)
            found[name] = _declare(
                statement,
                columns,
                sources,
                parameters=parameters or {},
                margin=margin,
                threshold=threshold,
                fallback=fallback,
                name=name,
                idle=idle,
            )
        except RecursionError:
            raise RuleTextError(f"line {number}: a simpler statement is needed, got one nested too deeply") from None
        except ConstraintError as error:
            raise RuleTextError(f"line {number}: {error}") from error
    spoken = {token.text for line in used for token in cut(line)} if parameters else set()
    unspoken = [key for key in parameters or () if key not in spoken]
    if unspoken:
        raise RuleTextError(f"parameters that some line speaks of are needed, got `{unspoken[0]}`, which is in none")
    if idle and found:
        key = sorted(idle)[0]
        got = type(fallback).__name__ if key == "fallback" else repr(asked[key])
        raise RuleTextError(f"arguments that some line has a use for are needed, got {key}={got}, which none has")
    return found


def _declare(
    statement: sympy.Basic,
    columns: Sequence[str] | None,
    sources: Sequence[str] | None,
    *,
    parameters: Mapping[str, Learnable],
    margin: float | None,
    threshold: float | None,
    fallback: Fallback | None,
    name: str,
    idle: set[str],
) -> OutputRule:
    symbols = {str(s): s for s in statement.free_symbols}
    outputs: dict[sympy.Symbol, int | str]
    if columns is None:
        outputs = {s: int(at[1]) for text, s in sorted(symbols.items()) if (at := COLUMN.fullmatch(text))}
    else:
        outputs = {sympy.Symbol(column): column for column in columns}
    return declare_outputs(
        statement,
        columns=outputs,
        sources={sympy.Symbol(source): source for source in sources or ()},
        parameters={sympy.Symbol(key): value for key, value in parameters.items()},
        margin=margin,
        threshold=threshold,
        fallback=fallback,
        name=name,
        idle=idle,
    )


def _names(what: str, names: Sequence[str] | None, line: int) -> list[str] | None:
    """Checked names of columns."""
    if names is None:
        return None
    where = f"line {line}: " if line else ""
    wrong = [name for name in names if not NAME.fullmatch(name) or name in KEYWORDS | {"pi"}]
    if wrong or len(set(names)) < len(names):
        got = f"{wrong[0][:40]!r}" if wrong else f"{sorted({n for n in names if list(names).count(n) > 1})} twice"
        raise RuleTextError(f"{where}{what} need distinct names of letters, digits and _, other than pi, got {got}")
    return list(names)


def _require_known(
    line: str, columns: Sequence[str] | None, sources: Sequence[str] | None, parameters: Mapping[str, Learnable]
) -> None:
    """Refuse names that nobody declared, also where they would cancel."""
    tokens = cut(line)
    for token, after in pairwise(tokens):
        if token.kind != "name" or after.text == "(" or token.text == "pi":
            continue
        known = token.text in {*(columns or ()), *(sources or ()), *parameters}
        if not known and not (columns is None and COLUMN.fullmatch(token.text)):
            raise fail(line, token.column, f"the name of a column or a parameter is needed, got `{token.text}`")


def _require_first(what: str, line: int, found: Mapping[str, OutputRule]) -> None:
    if found:
        raise RuleTextError(f"line {line}: `{what}:` needs to come before the first rule, got it after {len(found)}")
