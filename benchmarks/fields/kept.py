"""Rules that are declared once: a study asks for them many times, and sympy takes seconds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

__all__ = ["kept"]

Found = TypeVar("Found", bound=Mapping[str, Any])


def kept(make: Callable[..., Found]) -> Callable[..., Found]:
    """A method that is called once for an object and arguments, and then gives copies.

    Example:
        >>> class Task:
        ...     @kept
        ...     def rules(self):
        ...         print("declared")
        ...         return {"a": [1]}
        >>> task = Task()
        >>> task.rules()["a"] is task.rules()["a"]
        declared
        False
    """

    @wraps(make)
    def ask(self: Any, *args: Any) -> Found:
        memory = self.__dict__.setdefault("_kept", {})
        key = (make.__name__, *args)
        if key not in memory:
            memory[key] = make(self, *args)
        found: Found = copy.deepcopy(memory[key])
        return found

    return ask
