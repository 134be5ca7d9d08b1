"""The error family: every message names what was asked, what was expected and what was got."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "ConstraintError",
    "InfeasibleError",
    "MissingExtraError",
    "NonFiniteError",
    "RuleTextError",
    "ShapeError",
    "SpecificationError",
    "UncertifiedError",
    "UnsupportedError",
    "keyed",
    "naming",
]


class ConstraintError(ValueError):
    """Base of every error that `constraints` raises on purpose."""


class SpecificationError(ConstraintError):
    """A set, rule or embedding was described in a way that makes no sense."""


class InfeasibleError(SpecificationError):
    """No point satisfies what was asked, or rules contradict each other."""


class MissingExtraError(ConstraintError):
    """A package that only an optional extra installs is needed, and is not there."""


class ShapeError(ConstraintError):
    """A tensor does not have the shape that the set or rule was built for."""


class NonFiniteError(ConstraintError):
    """A NaN or an infinity where a number was needed."""


class UnsupportedError(ConstraintError):
    """A rule was put into an embedding that cannot hold it."""


class UncertifiedError(ConstraintError):
    """A projection ended outside its set, and the user asked to be told so."""


class RuleTextError(SpecificationError):
    """A rule file has a line that cannot be read; says which, and where in it."""


@contextmanager
def keyed(key: str, name: str) -> Iterator[None]:
    """Calls a rule by its key among others, `key`, in the message of an error, its own name in brackets behind it.

    Example:
        >>> with keyed("total", "fixed_sum"):
        ...     raise SpecificationError("rule `fixed_sum` needs 3 outputs, got 2")
        Traceback (most recent call last):
        constraints.errors.SpecificationError: rule `total` (fixed_sum) needs 3 outputs, got 2
        >>> with keyed("total", "fixed_sum"):
        ...     raise SpecificationError("`Affine` needs numbers")
        Traceback (most recent call last):
        constraints.errors.SpecificationError: rule `total` (fixed_sum): `Affine` needs numbers
    """
    try:
        yield
    except ConstraintError as error:
        message, own = str(error), f"rule `{name}`"
        title = f"rule `{key}`" if key == name else f"rule `{key}` ({name})"
        if key != name and own in message:
            message = message.replace(own, title, 1)
        elif f"`{key}`" not in message:
            message = f"{title}: {message}"
        raise type(error)(message) from error


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Puts what is spoken of before the message of an error.

    Example:
        >>> with naming("rule `mass`"):
        ...     raise SpecificationError("needs a sum")
        Traceback (most recent call last):
        constraints.errors.SpecificationError: rule `mass`: needs a sum
    """
    try:
        yield
    except ConstraintError as error:
        raise type(error)(f"{what}: {error}") from error
