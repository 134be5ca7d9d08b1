"""The rule of a statement on outputs, and which of the arguments beside it have a use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import sympy
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.inference import satisfiable

from constraints.errors import ConstraintError, InfeasibleError, SpecificationError, naming
from constraints.functional.partial_order import find_cycle
from constraints.rules import Hierarchy, OutputRule
from constraints.sets import Constraint, Fallback
from constraints.symbolic.classify import Classifier
from constraints.symbolic.declared import DeclaredRule
from constraints.symbolic.found import Found
from constraints.symbolic.learnable import Learnable
from constraints.symbolic.rewrite import Rewriter
from constraints.symbolic.statement import Condition, Reading, every, push_guards
from constraints.symbolic.units import in_si, unit_of_relation
from constraints.sympy_input import as_number, require_symbols, require_used

__all__ = ["declare_outputs"]

THRESHOLD = 0.5


def declare_outputs(
    whole: sympy.Basic,
    *,
    columns: Mapping[sympy.Symbol, int | str],
    sources: Mapping[sympy.Symbol, int | str],
    parameters: Mapping[sympy.Symbol, Learnable],
    units: Mapping[sympy.Symbol, sympy.Expr] | None = None,
    margin: float | None = None,
    threshold: float | None = None,
    fallback: Fallback | None = None,
    name: str,
    unit: str = "",
    source: str = "",
    idle: set[str] | None = None,
) -> OutputRule:
    """The rule of structure that a statement on outputs is.

    Args:
        whole: what holds.
        columns: the column or name of each output.
        sources: the column or name of each input.
        parameters: see `declare`.
        units: see `declare`.
        margin: see `declare`.
        threshold: see `declare`.
        fallback: see `declare`.
        name: see `Rule`.
        unit: see `Rule`.
        source: see `Rule`.
        idle: where parameters, margin, threshold and fallback serve several statements, so that this one need not have
            a use for them: which of these arguments none has had a use for; those that this one uses are taken out.

    Raises:
        SpecificationError: see `declare`.
        InfeasibleError: a statement that no output satisfies.

    Example:
        >>> a = sympy.Symbol("a")
        >>> declare_outputs(a <= 1, columns={a: 0}, sources={}, parameters={}, name="cap").explain().kind
        'box (Box)'
        >>> declare_outputs(a <= 1, columns={a: 0}, sources={}, parameters={}, name="cap", margin=0.1)
        Traceback (most recent call last):
        constraints.errors.SpecificationError: rule `cap` needs arguments that have a use, got margin=0.1: no strict ...
    """
    if whole.atoms(sympy.Symbol) and not whole.atoms(Relational) and not satisfiable(sympy.Not(whole)):
        whole = sympy.true
    if whole in (sympy.true, sympy.false):
        kind = SpecificationError if whole == sympy.true else InfeasibleError
        raise kind(f"rule `{name}`: {'it says nothing: every' if whole == sympy.true else 'no'} output satisfies it")
    learnt = dict(parameters)
    with naming(f"rule `{name}`"):
        require_symbols(learnt, "`parameters`")
        limit = THRESHOLD if threshold is None else as_number(threshold, "`threshold`")
        margin = None if margin is None else as_number(margin, "`margin`")
    _require_distinct([*columns, *sources, *learnt])
    wrong = [s for s, one in learnt.items() if not isinstance(one, Learnable) or not s.name.isidentifier()]
    if wrong:
        raise SpecificationError(f"rule `{name}` needs a plain name and a Learnable for each parameter, got {wrong[0]}")
    if margin is not None and not 0 <= margin < float("inf"):
        raise SpecificationError(f"rule `{name}` needs a finite margin >= 0, got {margin}")
    if not -float("inf") < limit < float("inf"):
        raise SpecificationError(f"rule `{name}` needs a finite threshold, got {limit}")
    real = {symbol: sympy.Symbol(symbol.name, real=True) for symbol in [*columns, *sources, *learnt]}
    _require_declared(name, whole, set(real))
    require_used(name, "units", units or {}, set(real), "which is no output, input or parameter")
    if idle is None:
        require_used(name, "parameters", learnt, whole.free_symbols, "of which the statement does not speak")
    asked: dict[str, object] = {"margin": margin, "threshold": threshold, "fallback": fallback}
    asked = {key: value for key, value in asked.items() if value is not None and (idle is None or key in idle)}
    edges = _edges(whole, columns)
    if edges and threshold is None and (idle is not None or margin is None):
        asked |= {"units": units or None}
        _count_idle(
            idle, name, asked, lambda: dict.fromkeys(asked, "it is a hierarchy, which holds at every threshold")
        )
        return Hierarchy(edges, name=name, unit=unit, source=source)
    used = [symbol for symbol in columns if symbol in whole.free_symbols]
    if not used:
        raise SpecificationError(
            f"rule `{name}` needs to speak of an output, got a statement on "
            f"{', '.join(sorted(map(str, whole.free_symbols))) or 'numbers'} alone"
        )
    reading = Reading(real=real, outputs=frozenset(real[s] for s in columns), margin=margin, threshold=limit)
    given = tuple(real[s] for s in [*sources, *learnt])
    classifier = Classifier(tuple(real[s] for s in used), given, fallback)
    try:
        signs = [Condition(sign * real[s]) for s in used for sign in _signs(s)]
        scaled = whole if units is None else in_si(whole, units)
        unit = unit or ("" if units is None else unit_of_relation(whole, units))
        read = every([push_guards(reading.read(scaled)), *signs])
        simple = push_guards(Rewriter(reading).rewrite(read))
        found = classifier.classify(read, simple)
    except ConstraintError as error:
        raise type(error)(f"rule `{name}`: {error}") from error
    if edges and found.kind == "unknown":
        raise SpecificationError(
            f"rule `{name}` needs no threshold and no margin: as a hierarchy, which holds at every threshold, it can "
            f"be Hard; read at one threshold it cannot, got {found.why}"
        )
    _count_idle(idle, name, asked, lambda: _idle(scaled, reading, found, fallback))
    user = {real[s]: s for s in real}
    needed = {s for entry in found.entries for part in (entry.expression, entry.when) for s in part.free_symbols}
    moved = {s for entry in found.entries for s in entry.expression.free_symbols}
    vanished = [str(s) for s in learnt if s in whole.free_symbols and real[s] not in needed]
    if vanished:
        raise SpecificationError(
            f"rule `{name}` cannot learn {', '.join(vanished)}: the statement does not depend on it"
        )
    deciding = [str(s) for s in learnt if real[s] in needed - moved and found.kind != "unknown"]
    if deciding:
        raise SpecificationError(
            f"rule `{name}` cannot learn {', '.join(deciding)}: it only decides for which samples the rest holds, and "
            f"that has no derivative"
        )
    bound: dict[sympy.Symbol, int | str] = {real[s]: where for s, where in sources.items() if real[s] in needed}
    places = [columns[user[symbol]] for symbol in found.outputs]
    strict = ["strict conditions count their boundary as inside"] if margin == 0 else []
    return DeclaredRule(
        whole,
        found,
        read,
        simple,
        outputs=places,
        inputs=bound,
        learnables={real[s]: one for s, one in learnt.items() if real[s] in needed},
        name=name,
        unit=unit,
        source=source,
        notes=strict,
    )


def _count_idle(
    left: set[str] | None, rule: str, asked: Mapping[str, object], idle: Callable[[], Mapping[str, str]]
) -> None:
    """Refuse arguments that change nothing; each with the reason, which is looked for where one was given.

    Of those that serve several statements, take out of `left` the ones that change something.
    """
    given = {argument: value for argument, value in asked.items() if value is not None}
    if left is not None:
        left -= set(given) - set(idle()) if given else set()
        return
    for argument, why in (idle() if given else {}).items():
        if argument in given:
            value = given[argument]
            got = type(value).__name__ if isinstance(value, Fallback) else repr(value)
            raise SpecificationError(f"rule `{rule}` needs arguments that have a use, got {argument}={got}: {why}")


def _idle(statement: sympy.Basic, reading: Reading, found: Found, fallback: Fallback | None) -> dict[str, str]:
    """The arguments that change nothing, each with the reason: with another value the same conditions are read."""
    idle = {}
    other_margin = 2.0 * (reading.margin or 0.0) + 2.0 * reading.label_margin
    if reading.margin is not None and _same(statement, reading, replace(reading, margin=other_margin)):
        idle["margin"] = "no strict condition on outputs, and no label that must not hold, is in the statement"
    if _same(statement, reading, replace(reading, threshold=reading.threshold + 1.0)):
        idle["threshold"] = "no label is in the statement"
    if found.kind == "unknown":
        idle["fallback"] = "no map onto the rule is known that could fail"
    elif fallback is not None and not _serves(found, fallback):
        idle["fallback"] = f"every sample has a point that obeys, found in closed form ({found.kind})"
    return idle


def _same(statement: sympy.Basic, one: Reading, other: Reading) -> bool:
    """Whether a statement is read as the same conditions, also where it is taken apart."""
    first, second = one.read(statement), other.read(statement)
    return first == second and Rewriter(one).rewrite(push_guards(first)) == Rewriter(other).rewrite(push_guards(second))


def _serves(found: Found, fallback: Fallback) -> bool:
    """Whether a set has a fallback that some sample can need: of a closed form, only by what it reads."""
    return _takes(found.constraint, fallback) and (bool(found.entries) or not found.constraint.closed_form)


def _takes(constraint: Constraint, fallback: Fallback) -> bool:
    """Whether a set, or one inside it, was given the fallback."""
    return any(getattr(one, "fallback", None) is fallback for one in constraint.modules())


def _edges(whole: sympy.Basic, columns: Mapping[sympy.Symbol, int | str]) -> list[tuple[int | str, int | str]]:
    """Child and parent, by column, of each part of a statement; empty where some part is something else."""
    edges = []
    for part in whole.args if isinstance(whole, sympy.And) else [whole]:
        child: sympy.Basic = part
        if isinstance(part, sympy.Implies):
            child, parent = part.args
        elif isinstance(part, sympy.Or) and len(part.args) == 2:
            negated = [a.args[0] for a in part.args if isinstance(a, sympy.Not)]
            plain = [a for a in part.args if isinstance(a, sympy.Symbol)]
            if len(negated) != 1 or len(plain) != 1:
                return []
            child, parent = negated[0], plain[0]
        else:
            return []
        if child not in columns or parent not in columns:
            return []
        edges.append((columns[child], columns[parent]))
    return [] if find_cycle(edges) else edges


def _require_distinct(symbols: Sequence[sympy.Symbol]) -> None:
    names = [symbol.name for symbol in symbols]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecificationError(f"`declare` needs one meaning for each name, got {', '.join(twice)} more than once")


def _require_declared(title: str, whole: sympy.Basic, known: set[sympy.Symbol]) -> None:
    unknown = sorted(str(s) for s in whole.free_symbols - known)
    if unknown:
        names = {s.name for s in known}
        twins = [name for name in unknown if name in names]
        hint = f" ({', '.join(twins)} was declared with other assumptions: use the same symbol)" if twins else ""
        raise SpecificationError(
            f"rule `{title}` needs every symbol declared as an output, an input or a parameter, got "
            f"{', '.join(unknown)}{hint}"
        )
    functions = [str(f) for f in whole.atoms(AppliedUndef, sympy.Derivative)]
    if functions:
        raise SpecificationError(
            f"rule `{title}` speaks of functions, {', '.join(sorted(functions))}: say which they are with fields=[...]"
        )


def _signs(symbol: sympy.Symbol) -> list[int]:
    """The declared sign as conditions `sign * y <= 0`."""
    return ([-1] if symbol.is_extended_nonnegative else []) + ([1] if symbol.is_extended_nonpositive else [])
