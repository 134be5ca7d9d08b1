"""Descriptions of values that are equal where the values are, in any process: for records and for digests."""

from __future__ import annotations

import ast
import dis
import enum
import functools
import hashlib
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import sympy
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from constraints import Rule
from dkmodels.study.places import LIBRARY, is_of_user

__all__ = [
    "closed_over",
    "describe",
    "digest",
    "is_users",
    "private_attributes",
    "public_attributes",
    "source_text",
    "surroundings",
]

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of an object, as Python prints it: an accident of the process
DEPTH = 8  # of objects inside objects
SHORT = 8  # numbers of a tensor that are written out; of longer ones a digest is kept
#: Methods of collections that change them.
CHANGING = frozenset(
    {
        *("append", "appendleft", "extend", "insert", "add", "update", "setdefault"),
        *("pop", "popitem", "remove", "discard", "clear"),
    }
)
BOUND = frozenset({"index", "columns", "column"})  # what a module changes of a rule when it binds it


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits that change where the description of a value does.

    Example:
        >>> digest(torch.tensor([1.0])) == digest(torch.tensor([1.0])), digest([1, 2]) == digest((2, 1))
        (True, False)
    """
    text = json.dumps(describe(value), sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def describe(value: Any, depth: int = DEPTH, *, whole: bool = False) -> Any:
    """A JSON value without addresses, order of sets or other accidents of a process.

    Tensors and arrays are described by dtype, shape and a digest of their bytes; functions by their source; other
    objects by their class and their public attributes.

    Args:
        value: what is described.
        depth: how many objects inside objects are followed.
        whole: whether private attributes of the user's objects count too, and what functions read of their
            surroundings: of objects that were just built, whose caches are empty.

    Example:
        >>> describe({"low": 0.4, "bounds": (1, None)})
        {'low': '0.4', 'bounds': ['1', 'None']}
    """
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value)
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, str):
        return ADDRESS.sub("", value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bytes):
        return _bytes(value)
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return _array(np.asarray(value), depth)
    if isinstance(value, (torch.dtype, torch.device, ModuleType)):
        return getattr(value, "__name__", None) or str(value)
    if isinstance(value, sympy.Basic):
        return str(value)
    if depth <= 0:
        return type(value).__qualname__

    def inner(item: Any) -> Any:
        return describe(item, depth - 1, whole=whole)

    if isinstance(value, Mapping):
        return {str(inner(key)): inner(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted(json.dumps(inner(item), sort_keys=True) for item in value)
    if isinstance(value, Sequence):
        return [inner(item) for item in value]
    if isinstance(value, functools.partial):
        return ["partial", *(inner(part) for part in (value.func, value.args, value.keywords))]
    if inspect.isroutine(value) or inspect.isclass(value) or isinstance(value, functools._lru_cache_wrapper):
        return _function(value, depth, whole)
    attributes = {**public_attributes(value), **(private_attributes(value) if whole else {})}
    return {"class": type(value).__qualname__, **{name: inner(item) for name, item in attributes.items()}}


def _bytes(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _tensor(value: Tensor) -> Any:
    if value.is_sparse or value.is_meta or value.is_quantized:
        return f"{value.dtype} {tuple(value.shape)} {value.layout}"
    plain = value.detach().cpu().contiguous()
    if plain.numel() <= SHORT:
        return [str(plain.dtype), repr(plain.tolist())]
    raw = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    return f"{plain.dtype} {tuple(plain.shape)} {_bytes(raw)}"


def _array(value: np.ndarray[Any, Any], depth: int) -> Any:
    if value.dtype.hasobject:
        return [describe(item, depth - 1) for item in value.reshape(-1).tolist()] if depth > 0 else str(value.shape)
    if value.size <= SHORT:
        return [str(value.dtype), repr(value.tolist())]
    return f"{value.dtype} {value.shape} {_bytes(np.ascontiguousarray(value).tobytes())}"


def _function(value: Any, depth: int, whole: bool) -> Any:
    """A function by its source, or its code where there is none; with the values it closes over."""
    name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    if inspect.isclass(value) or not (hasattr(value, "__code__") or hasattr(value, "__func__")):
        return name
    function = inspect.unwrap(getattr(value, "__func__", value))
    code = getattr(function, "__code__", None)
    if code is None:
        return name
    cells = [_content(cell) for cell in getattr(function, "__closure__", None) or ()]
    defaults = [*(getattr(function, "__defaults__", None) or ()), *(function.__kwdefaults__ or {}).values()]
    told = [name, _bytes(json.dumps(_code(code)).encode("utf-8", "surrogatepass"))]
    if not whole:
        # What a function closes over may change as it is called: only values that cannot are told.
        return [*told, *(_constant(cell, depth) for cell in [*cells, *defaults])]
    around = surroundings(function, depth - 1)
    owner = getattr(value, "__self__", None)
    own = [] if owner is None or inspect.isclass(owner) else [describe(owner, depth - 1, whole=whole)]
    told += [describe(default, depth - 1, whole=whole) for default in defaults]
    return [*told, *([around] if around else []), *own]


def surroundings(function: Any, depth: int = DEPTH) -> dict[str, Any]:
    """What a function reads of the scopes around it, by name: plain values, and functions; none that it changes.

    What it sets, appends to or stores in is no setting, and no more are names that begin with an underscore or have
    "cache" or "memo" in them.

    Example:
        >>> def make(settings):
        ...     return lambda x: settings["rate"] * x
        >>> surroundings(make({"rate": 0.1}))
        {'settings': {'rate': '0.1'}}
    """
    code = function.__code__
    found = dict(zip(code.co_freevars, map(_content, function.__closure__ or ()), strict=True))
    reads, changes = _names(code)
    found |= {name: function.__globals__[name] for name in reads if name in function.__globals__}
    return {
        name: describe(item, depth - 1, whole=True)
        for name, item in sorted(found.items())
        if name not in changes and not _is_cache(name) and _is_plain(item, depth)
    }


def closed_over(function: Any) -> dict[str, Any]:
    """What of its `surroundings` a function closes over."""
    free = function.__code__.co_freevars
    return {name: item for name, item in surroundings(function).items() if name in free} if free else {}


def _is_cache(name: str) -> bool:
    return name.startswith("_") or "cache" in name.lower() or "memo" in name.lower()


def _is_plain(value: Any, depth: int) -> bool:
    """Whether a value is numbers, texts, arrays, functions of the user, or collections of these."""
    if depth <= 0:
        return False
    if isinstance(value, functools.partial):
        return all(_is_plain(part, depth - 1) for part in (value.func, value.args, value.keywords))
    if isinstance(value, Mapping):
        return all(_is_plain(item, depth - 1) for item in value.values())
    if isinstance(value, (list, tuple, Set)):
        return all(_is_plain(item, depth - 1) for item in value)
    if inspect.isfunction(value):
        return is_users(value)
    kinds = (bool, int, float, complex, str, bytes, type(None), Path, enum.Enum, Tensor, np.ndarray, np.generic)
    return isinstance(value, (*kinds, sympy.Basic))


def _names(code: CodeType) -> tuple[set[str], set[str]]:
    """Global names that code reads, and names of the scopes around it that it sets or whose values it changes."""
    steps = list(dis.get_instructions(code))
    reads = {str(step.argval) for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    changes: set[str] = set()
    for i, step in enumerate(steps):
        name = str(step.argval)
        if step.opname == "STORE_GLOBAL" or (step.opname == "STORE_DEREF" and name in code.co_freevars):
            changes.add(name)
        elif step.opname in ("LOAD_GLOBAL", "LOAD_DEREF"):
            after = [(other.opname, other.argval) for other in steps[i + 1 : i + 3]]
            stored = any(operation in ("STORE_SUBSCR", "DELETE_SUBSCR") for operation, _ in after[1:])
            called = any(
                operation in ("LOAD_METHOD", "LOAD_ATTR") and item in CHANGING for operation, item in after[:1]
            )
            changes |= {name} if stored or called else set()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            more, others = _names(constant)
            reads, changes = reads | more, changes | others
    return reads, changes


def is_users(kind: Any) -> bool:
    """Whether a class or function is defined by the user: in a file that is none of an installed package, or a console.

    Example:
        >>> is_users(nn.Linear), is_users(is_users)
        (False, False)
    """
    name = getattr(kind, "__module__", None) or ""
    place = getattr(sys.modules.get(name), "__file__", None)
    return is_of_user(Path(place).resolve()) if isinstance(place, str) else name == "__main__"


@functools.lru_cache(maxsize=1)
def _bookkeeping() -> frozenset[str]:
    """Private attributes that torch, Lightning and torchmetrics keep of their own accord."""
    return frozenset(name for kind in (nn.Module, LightningModule) for name in vars(kind()))


def private_attributes(value: Any) -> dict[str, Any]:
    """Private attributes of an object of a user's class, and what the methods of that class read around them.

    Of an object of this library, only plain values: the rest is kept by the library itself.
    """
    users = is_users(type(value))
    if not users and (type(value).__module__ or "").partition(".")[0] not in LIBRARY:
        return {}
    found = {
        name: item
        for name, item in getattr(value, "__dict__", {}).items()
        if name.startswith("_") and name not in _bookkeeping() and (users or _is_plain(item, 4))
    }
    for kind in type(value).__mro__ if users else ():
        if is_users(kind):
            for name, item in vars(kind).items():
                function = inspect.unwrap(item) if inspect.isfunction(item) else None
                if function is not None and (around := closed_over(function)):
                    found[f"{kind.__qualname__}.{name}"] = around
    return found


def _constant(value: Any, depth: int) -> Any:
    kinds = (bool, int, float, complex, str, bytes, type(None), Tensor, np.ndarray, sympy.Basic)
    if isinstance(value, tuple):
        return [_constant(item, depth - 1) for item in value]
    if isinstance(value, kinds) or inspect.isroutine(value):
        return describe(value, depth - 1)
    return type(value).__qualname__


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _code(code: CodeType) -> list[Any]:
    """What a function computes: its instructions, names and constants, without places in files."""
    constants = [_code(c) if isinstance(c, CodeType) else describe(c, 3) for c in code.co_consts]
    return [_bytes(code.co_code), list(code.co_names), list(code.co_varnames), constants]


def public_attributes(value: Any) -> dict[str, Any]:
    """Attributes of an object by name, but for private ones, what `cached_property` keeps, and what binding changes."""
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    found = {name: getattr(value, name) for name in slots if isinstance(name, str) and hasattr(value, name)}
    found |= getattr(value, "__dict__", {})
    if isinstance(value, nn.Module):
        found |= {**value._buffers, **value._parameters, **value._modules}
    ours = isinstance(value, Rule) or type(value).__module__.startswith("constraints.")
    changing = (BOUND if ours else frozenset()) | ({"training"} if isinstance(value, nn.Module) else set())
    return {
        name: item
        for name, item in found.items()
        if not name.startswith("_")
        and name not in changing
        and not isinstance(inspect.getattr_static(type(value), name, None), functools.cached_property)
    }


def source_text(text: str) -> str:
    """The source of a module without comments, docstrings and layout, which change no number.

    Example:
        >>> source_text('def f():  # note\\n    "Say."\\n    return  1') == source_text("def f():\\n    return 1")
        True
    """
    try:
        tree = ast.parse(textwrap.dedent(text))
    except (SyntaxError, ValueError, RecursionError):
        return text
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
