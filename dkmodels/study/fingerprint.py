"""Descriptions of values that are equal where the values are, in any process: for records and for digests."""

from __future__ import annotations

import ast
import enum
import functools
import hashlib
import inspect
import json
import textwrap
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor, nn

from constraints import Rule

__all__ = ["describe", "digest", "public_attributes", "source_text"]

DEPTH = 8  # of objects inside objects
SHORT = 8  # numbers of a tensor that are written out; of longer ones a digest is kept
BOUND = frozenset({"index", "columns", "column"})  # what a module changes of a rule when it binds it


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits that change where the description of a value does.

    Example:
        >>> digest(torch.tensor([1.0])) == digest(torch.tensor([1.0])), digest([1, 2]) == digest((2, 1))
        (True, False)
    """
    text = json.dumps(describe(value), sort_keys=True)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def describe(value: Any, depth: int = DEPTH) -> Any:
    """A JSON value without addresses, order of sets or other accidents of a process.

    Tensors and arrays are described by dtype, shape and a digest of their bytes; functions by their source; other
    objects by their class and their public attributes.

    Example:
        >>> describe({"low": 0.4, "bounds": (1, None)})
        {'low': '0.4', 'bounds': ['1', 'None']}
    """
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value)
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, str):
        return value
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
    if isinstance(value, Mapping):
        return {str(describe(key, depth - 1)): describe(item, depth - 1) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted(json.dumps(describe(item, depth - 1), sort_keys=True) for item in value)
    if isinstance(value, Sequence):
        return [describe(item, depth - 1) for item in value]
    if isinstance(value, functools.partial):
        return ["partial", *(describe(part, depth - 1) for part in (value.func, value.args, value.keywords))]
    if inspect.isroutine(value) or inspect.isclass(value) or isinstance(value, functools._lru_cache_wrapper):
        return _function(value, depth)
    return {"class": type(value).__qualname__, **_attributes(value, depth)}


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


def _function(value: Any, depth: int) -> Any:
    """A function by its source, or its code where there is none; with the values it closes over."""
    name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    if inspect.isclass(value) or not (hasattr(value, "__code__") or hasattr(value, "__func__")):
        return name
    function = inspect.unwrap(getattr(value, "__func__", value))
    code = getattr(function, "__code__", None)
    if code is None:
        return name
    cells = [_content(cell) for cell in getattr(function, "__closure__", None) or ()]
    # What a function closes over may change as it is called: only values that cannot are told.
    free = [_constant(cell, depth) for cell in [*cells, *(getattr(function, "__defaults__", None) or ())]]
    return [name, _bytes(json.dumps(_code(code)).encode("utf-8", "surrogatepass")), *free]


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


def _attributes(value: Any, depth: int) -> dict[str, Any]:
    return {name: describe(item, depth - 1) for name, item in public_attributes(value).items()}


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
