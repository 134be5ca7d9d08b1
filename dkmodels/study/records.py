"""The shapes of the files of a results folder: what a JSON value must be to be read as one of them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

__all__ = ["CELL", "COST", "EFFECT", "FORMAT", "MANIFEST", "Rows", "Shape", "decode_json"]

#: Of the files that this version writes: 2 since cells keep what they were made with.
FORMAT = 2


class Shape(ABC):
    """What a JSON value must be."""

    @abstractmethod
    def fault(self, value: Any, where: str = "") -> str:
        """What is wrong with a value, in words; empty where nothing is."""


@final
@dataclass(frozen=True, slots=True)
class Of(Shape):
    """A value of some types; True and False are no numbers."""

    types: tuple[type, ...]
    name: str

    def fault(self, value: Any, where: str = "") -> str:
        """As of every shape."""
        if isinstance(value, self.types) and (bool in self.types or not isinstance(value, bool)):
            return ""
        return _fault(where, self.name, value)


@final
@dataclass(frozen=True, slots=True)
class Number(Shape):
    """A number that a float holds, or null where `null` is true."""

    null: bool = False

    def fault(self, value: Any, where: str = "") -> str:
        """As of every shape."""
        if value is None and self.null:
            return ""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                float(value)
                return ""
            except OverflowError:
                pass
        return _fault(where, "a number", value)


@final
@dataclass(frozen=True, slots=True)
class Among(Shape):
    """One of some values."""

    choices: tuple[str, ...]

    def fault(self, value: Any, where: str = "") -> str:
        """As of every shape."""
        return (
            "" if isinstance(value, str) and value in self.choices else _fault(where, " or ".join(self.choices), value)
        )


@final
@dataclass(frozen=True, slots=True)
class Rows(Shape):
    """A list; of `length` entries where it is given."""

    of: Shape
    length: int | None = None

    def fault(self, value: Any, where: str = "") -> str:
        """As of every shape."""
        if not isinstance(value, list) or self.length not in (None, len(value)):
            return _fault(where, "a list" + (f" of {self.length}" if self.length else ""), value)
        return _first(self.of.fault(item, f"{where}[{i}]") for i, item in enumerate(value))


@final
@dataclass(frozen=True, slots=True)
class Each(Shape):
    """An object with any names."""

    of: Shape

    def fault(self, value: Any, where: str = "") -> str:
        """As of every shape."""
        if not isinstance(value, dict):
            return _fault(where, "an object", value)
        return _first(self.of.fault(item, f"{where}.{name}") for name, item in value.items())


@final
@dataclass(frozen=True, slots=True)
class Fields(Shape):
    """An object with some names, required and optional; further ones are let be."""

    required: Mapping[str, Shape]
    optional: Mapping[str, Shape] = field(default_factory=dict)

    def fault(self, value: Any, where: str = "") -> str:
        """As of every shape."""
        if not isinstance(value, dict):
            return _fault(where, "an object", value)
        missing = [name for name in self.required if name not in value]
        if missing:
            return f"{where or 'it'} needs {', '.join(missing)}"
        shapes = {**self.required, **{name: shape for name, shape in self.optional.items() if name in value}}
        return _first(shape.fault(value[name], f"{where}.{name}".lstrip(".")) for name, shape in shapes.items())


def _first(faults: Iterable[str]) -> str:
    return next((fault for fault in faults if fault), "")


def _fault(where: str, needed: str, value: Any) -> str:
    shown = repr(value) if isinstance(value, (str, int, float, type(None))) else type(value).__name__
    return f"{where or 'it'} needs {needed}, got {shown if len(shown) < 60 else shown[:57] + '...'}"


TEXT, WHOLE, OBJECT = Of((str,), "a text"), Of((int,), "a whole number"), Of((dict,), "an object")

CELL = Fields(
    {
        "arm": TEXT,
        "seed": WHOLE,
        "status": Among(("done", "failed")),
        "metrics": Each(Number(null=True)),
        "curves": Each(Rows(Rows(Number(null=True), 2))),
        "seconds": Each(Number(null=True)),
        "rules": Each(OBJECT),
    },
    {
        "task": TEXT,
        "profile": TEXT,
        "origin": OBJECT,
        "counts": Each(Rows(WHOLE, 2)),
        "system": Each(Number(null=True)),
        "fit": TEXT,
        "files": Each(TEXT),
    },
)

COST = Fields(
    {
        "seed": WHOLE,
        "rows": Rows(Fields({"arm": TEXT, "metric": TEXT, "value": Number(null=True), "method": TEXT, "phase": TEXT})),
        "uncounted": Each(Rows(TEXT)),
    },
    {"task": TEXT, "profile": TEXT, "origin": OBJECT},
)

MANIFEST = Fields(
    {
        "task": TEXT,
        "profile": TEXT,
        "arms": Rows(Fields({"name": TEXT, "rules": Rows(TEXT), "slug": TEXT}, {"setup": TEXT})),
        "seeds": Rows(WHOLE),
        "metrics": Rows(Fields({"name": TEXT, "direction": TEXT, "gain": Number()})),
        "contrasts": Rows(Fields(dict.fromkeys(("rule", "embedding", "arm", "baseline", "family"), TEXT))),
    },
    {
        **dict.fromkeys(("settings", "rules", "code", "environment", "origin"), OBJECT),
        "costs": Rows(WHOLE),
        "reference": TEXT,
    },
)


NUMBERS = ("baseline_mean", "arm_mean", "difference", "p", "p_adjusted")
NAMES = ("task", "rule", "embedding", "arm", "baseline", "metric", "unit")
#: The last five are younger than the published studies.
EFFECT = Fields(
    {
        **dict.fromkeys(NAMES, TEXT),
        **dict.fromkeys(NUMBERS, Number()),
        **dict.fromkeys(("relative", "low", "high", "improved", "correlation"), Number(null=True)),
        **dict.fromkeys(("method", "phase", "family"), Of((str, type(None)), "a text or null")),
        "direction": Among(("max", "min")),
        "n_seeds": WHOLE,
        "verdict": Among(("KEEP", "HARMFUL", "EQUIVALENT", "UNDECIDED")),
    },
    {
        **dict.fromkeys(("relative_low", "relative_high", "margin"), Number(null=True)),
        "scale": Of((str, type(None)), "a text or null"),
        "comparisons": Of((int, type(None)), "a whole number or null"),
    },
)


def decode_json(text: str) -> Any:
    """A JSON value; NaN and infinities, which JSON has not, become null.

    Raises:
        ValueError: no JSON, one nested too deeply to be ours, or a number of too many digits.
    """
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
