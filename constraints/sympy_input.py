"""What users give as mathematics: objects of sympy and numbers, never text, which sympy would evaluate as code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from numbers import Real
from typing import Any

import sympy
from sympy.core.function import AppliedUndef

from constraints.errors import SpecificationError

__all__ = ["as_expression", "as_number", "as_statement", "require_fields", "require_symbols", "require_used"]


def as_expression(value: Any, what: str) -> sympy.Expr:
    """An expression of sympy, from itself or from a number.

    Raises:
        SpecificationError: anything else, text above all.

    Example:
        >>> as_expression(0.5, "a scale")
        0.500000000000000
        >>> as_expression("x", "a scale")
        Traceback (most recent call last):
        constraints.errors.SpecificationError: a scale needs to be a number or an expression of sympy, got 'x' (str)
    """
    if isinstance(value, sympy.Expr):
        return value
    if isinstance(value, Real) and not isinstance(value, bool):
        return sympy.sympify(value, strict=True)
    raise SpecificationError(f"{what} needs to be a number or an expression of sympy, got {_shown(value)}")


def as_number(value: Any, what: str) -> float:
    """A number, from one of Python, numpy or sympy.

    Raises:
        SpecificationError: anything else.

    Example:
        >>> as_number(sympy.Rational(1, 4), "a margin")
        0.25
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number and not (isinstance(value, sympy.Expr) and value.is_number and value.is_extended_real):
        raise SpecificationError(f"{what} needs to be a number, got {_shown(value)}")
    return float(value)


def as_statement(value: Any, what: str) -> sympy.Basic:
    """A statement of sympy.

    Raises:
        SpecificationError: anything else; what Python makes of `a + b == c` is one of its own truth values.

    Example:
        >>> as_statement(sympy.Symbol("a") <= 1, "`declare`")
        a <= 1
        >>> as_statement(sympy.Symbol("a") + 1 == 2, "`declare`")
        Traceback (most recent call last):
        constraints.errors.SpecificationError: `declare` needs statements of sympy, such as Eq(a, b) or a <= b, got ...
    """
    if isinstance(value, sympy.Basic) and (not isinstance(value, sympy.Expr) or value.is_Symbol):
        return value
    hint = ""
    if isinstance(value, bool):
        hint = ": `==` of Python compares how two expressions are written; write Eq(a + b, c) for a + b == c"
    raise SpecificationError(f"{what} needs statements of sympy, such as Eq(a, b) or a <= b, got {_shown(value)}{hint}")


def require_symbols(values: Iterable[Any], what: str) -> None:
    """Refuse what is no symbol.

    Raises:
        SpecificationError: one of the values is something else.
    """
    for value in values:
        if not isinstance(value, sympy.Symbol):
            raise SpecificationError(f"{what} needs symbols of sympy, got {_shown(value)}")


def require_fields(values: Iterable[Any], what: str) -> None:
    """Refuse what is no function of at least one coordinate.

    Raises:
        SpecificationError: there is none, or one is something else.
    """
    fields = list(values)
    wrong = [value for value in fields if not isinstance(value, AppliedUndef) or not value.args]
    if wrong or not fields:
        got = _shown(wrong[0]) if wrong else "none"
        raise SpecificationError(f"{what} needs fields, such as Function('u')(x, t), got {got}")


def require_used(rule: str, argument: str, given: Mapping[Any, object], known: AbstractSet[Any], why: str) -> None:
    """Refuse what a mapping says of symbols that have no place in a rule.

    Args:
        rule: its name.
        argument: what the mapping is called.
        given: by symbol.
        known: the symbols that may be among them.
        why: what is wrong with one that is not.

    Raises:
        SpecificationError: one is not; names it.

    Example:
        >>> a, b = sympy.symbols("a b")
        >>> require_used("cap", "units", {b: 1}, {a}, "which is no output")
        Traceback (most recent call last):
        constraints.errors.SpecificationError: rule `cap` needs `units` that have a use, got b, which is no output
    """
    beyond = [str(symbol) for symbol in given if symbol not in known]
    if beyond:
        raise SpecificationError(f"rule `{rule}` needs `{argument}` that have a use, got {beyond[0]}, {why}")


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 80 else f'{text[:77]}...'} ({type(value).__name__})"
