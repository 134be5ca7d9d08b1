"""The code that a cell is made with: the modules of the user that define a task, and this library."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from dkmodels.study.errors import DifferentStudyError
from dkmodels.study.fingerprint import describe, digest, source_text
from dkmodels.study.places import LIBRARY, is_of_user

__all__ = ["library_source", "source_files", "task_sources"]

#: Files of dkmodels/study that make a cell or measure its cost; the others only read them.
MAKING = ("arm", "cell", "energy", "measure", "metric", "task")


@lru_cache(maxsize=1)
def library_source() -> dict[str, str]:
    """Versions and digest of the sources of `constraints` and `dkmodels`, but for what only reads results."""
    files: dict[str, bytes] = {}
    for package in LIBRARY:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None  # we are part of it
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            place = path.relative_to(root)
            if place.parts[0] != "study" or place.stem in MAKING:
                files[f"{package}/{place.as_posix()}"] = path.read_bytes()
    try:
        version = metadata.version("dkmodels")
    except metadata.PackageNotFoundError:  # a source tree that is not installed
        version = "unknown"
    return {"version": version, "digest": digest(files)}


def task_sources(roots: Iterable[Any]) -> dict[str, str]:
    """Digests of the sources, by module, of the user's modules that define classes or functions.

    A module that one of these imports, at its top or inside a function, belongs to them; those of the standard library,
    of installed packages and of this library do not. Comments and docstrings count for nothing.

    Args:
        roots: classes and functions.

    Example:
        >>> from dkmodels.study.arm import Arm
        >>> task_sources([Arm])
        {}
    """
    found: dict[str, str] = {}
    for kind in _kinds(roots):
        if _file(_module(kind)) is None and not _installed(kind):
            found[f"{kind.__module__}.{kind.__qualname__}"] = _class_digest(kind)  # of a notebook or a console
    for name, path, text, module in _walk(roots):
        found[name] = _require_loaded(path, digest(source_text(text)), module)
    return dict(sorted(found.items()))


def source_files(roots: Iterable[Any]) -> dict[str, Path]:
    """The files of the modules of `task_sources`."""
    return {name: path for name, path, _, _ in _walk(roots)}


def _kinds(roots: Iterable[Any]) -> Iterator[Any]:
    for root in roots:
        inner = inspect.unwrap(root.func if isinstance(root, partial) else root)
        yield from getattr(inner, "__mro__", (inner,))


def _module(kind: Any) -> ModuleType | None:
    return sys.modules.get(getattr(kind, "__module__", "") or "")


def _walk(roots: Iterable[Any]) -> Iterator[tuple[str, Path, str, ModuleType | None]]:
    """The user's modules that define or serve some classes and functions: name, file, source, and what is loaded."""
    waiting: list[ModuleType | str] = [module for kind in _kinds(roots) if (module := _module(kind)) is not None]
    names: set[str] = set()
    seen: set[Path] = set()
    while waiting:
        entry = waiting.pop()
        module, name = (entry, entry.__name__) if isinstance(entry, ModuleType) else (sys.modules.get(entry), entry)
        path = _file(module) or _find(name)
        if path is None or path in seen or not is_of_user(path):
            continue
        seen.add(path)
        text = path.read_text(encoding="utf-8", errors="replace")
        # A script has another name where it runs, in its workers, and where it is named as a file.
        shown = path.stem if name in ("__main__", "__mp_main__") else name.removeprefix("dkmodels_task_")
        names.add(shown)
        yield shown, path, text, module
        package = getattr(module, "__package__", None) or name.rpartition(".")[0]
        waiting += [imported for imported in _imports(text, package) if imported not in names]


#: By file, the digest of its source when it was first seen, and the spec of the module that had been loaded from it.
_SEEN: dict[Path, tuple[str, Any]] = {}


def _require_loaded(path: Path, now: str, module: ModuleType | None) -> str:
    """The digest of a source; refused where the file was edited after this process loaded it."""
    spec = getattr(module, "__spec__", None)
    before, loaded = _SEEN.setdefault(path, (now, spec))
    if before != now and spec is not None and loaded is spec:
        raise DifferentStudyError(f"{path} was edited since this process loaded it: start a new one")
    _SEEN[path] = (now, spec)
    return now


def _file(module: ModuleType | None) -> Path | None:
    place = getattr(module, "__file__", None)
    return Path(place).resolve() if isinstance(place, str) and place.endswith(".py") else None


def _find(name: str) -> Path | None:
    """The source file of a module that need not be loaded."""
    package = name.partition(".")[0]
    if package in LIBRARY or package in sys.stdlib_module_names:
        return None
    try:
        top = importlib.util.find_spec(package)
        if top is None or (top.origin is not None and not is_of_user(Path(top.origin).resolve())):
            return None
        spec = importlib.util.find_spec(name)
    except Exception:  # finders of other packages raise what they like
        return None
    return Path(spec.origin).resolve() if spec and spec.origin and spec.origin.endswith(".py") else None


def _installed(kind: Any) -> bool:
    """Whether a class without a file is built in, or of a package that has one elsewhere."""
    name = (getattr(kind, "__module__", "") or "").partition(".")[0]
    return name != "__main__" and (name in sys.stdlib_module_names or name in LIBRARY or not name)


def _class_digest(kind: Any) -> str:
    try:
        return digest(source_text(inspect.getsource(kind)))
    except (OSError, TypeError):
        members = vars(kind) if inspect.isclass(kind) else {"": kind}
        skipped = ("__dict__", "__weakref__", "__doc__", "__module__", "_abc_impl", "__abstractmethods__")
        return digest({name: describe(item) for name, item in members.items() if name not in skipped})


def _imports(text: str, package: str) -> list[str]:
    """Names of the modules that a source imports anywhere, relative ones made whole."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            found += [base, *(f"{base}.{name.name}" for name in node.names)] if base else [n.name for n in node.names]
    return list(dict.fromkeys(name for name in found if name))
