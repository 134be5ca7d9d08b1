"""A rule file looked at: what each rule is found to be, and whether they can hold together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from constraints import DeclaredRule, RuleSet, RuleTextError, load_rules

__all__ = ["explain_rule_file"]


def explain_rule_file(
    path: str | Path,
    *,
    outputs: Sequence[str] | None = None,
    inputs: Sequence[str] | None = None,
    margin: float | None = None,
) -> tuple[str, bool]:
    """The explanations of all rules of a file, and a last line about them together.

    Args:
        path: the file; see `constraints.load_rules`.
        outputs: names of the outputs, where the file does not say.
        inputs: names of the inputs, likewise.
        margin: what strict conditions leave free.

    Returns:
        The text, and whether the rules can hold together.

    Raises:
        RuleTextError: a file that cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "mixer.rules"
        ...     _ = file.write_text("outputs: hot, cold\\nfull: hot + cold = 1\\nmuch: hot >= 2\\nsome: cold >= 0")
        ...     text, holds = explain_rule_file(file)
        >>> print(text.splitlines()[-1])
        together: contradict each other: full, much, some; 1 equalities of rank 1
        >>> holds
        False
    """
    try:
        rules = load_rules(path, outputs=outputs, inputs=inputs, margin=margin)
    except OSError as error:
        raise RuleTextError(f"{path}: a rule file is needed, got {error.strerror}") from None
    if not rules:
        raise RuleTextError(f"{path}: at least one rule is needed, got none")
    spoken = list(dict.fromkeys(str(o) for rule in rules.values() for o in rule.outputs or ()))
    read = list(
        dict.fromkeys(str(i) for rule in rules.values() if isinstance(rule, DeclaredRule) for i in rule.inputs.values())
    )
    named = all(isinstance(o, str) for rule in rules.values() for o in rule.outputs or ())
    for rule in rules.values():
        if named:
            rule.bind(spoken)
        rule.bind_inputs(read)
    report = RuleSet(rules, outputs=len(spoken) if named else None).check()
    told = [str(rule.explain()) for rule in rules.values()]
    return "\n".join([*told, f"together: {report}"]), report.satisfiable
