"""The files that code of the user reads while a cell runs: numbers in them make the cell as its code does.

Python reports each file that it opens to audit hooks, of which one is installed here for the life of the process, since
Python has no way to remove one. It takes note of a regular file when code of the user opens it for reading, itself or
through a package, while a cell is planned or runs, or when a module of the user is imported. Not seen are files that
compiled code opens by itself (HDF5, safetensors), and those that other processes read (workers of a `DataLoader`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, final
from weakref import WeakKeyDictionary

from dkmodels.study.fingerprint import digest, source_text
from dkmodels.study.places import foreign_folders, is_of_user

__all__ = ["NEWER", "WRITTEN", "changed_files", "file_digest", "files_read", "noting_files"]

WRITTEN = "written by the run"  # so that the file counts in no cell of the study
NEWER = "changed while the cell ran"  # by compiled code of the run, or from outside: it does not count in this cell
MOST = 1000  # files of a task that are recorded
WHOLE = 2**28  # bytes of a file up to which all of them count
END = 2**20  # bytes at both ends that count of a larger one
SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/")
STUDY = str(Path(__file__).resolve().parent) + os.sep


def file_digest(path: str | Path) -> str:
    """Sixteen hexadecimal digits of a file's content; of a Python source without comments and layout."""
    if os.fspath(path).endswith(".py"):
        return digest(source_text(Path(path).read_text(encoding="utf-8", errors="replace")))
    size = os.path.getsize(path)
    mark = hashlib.blake2b(digest_size=8)
    with open(path, "rb") as file:
        if size <= WHOLE:
            while block := file.read(2**20):
                mark.update(block)
        else:
            mark.update(f"{size}".encode() + file.read(END))
            file.seek(-END, os.SEEK_END)
            mark.update(file.read(END))
    return mark.hexdigest()


@final
class _Notes:
    """What was opened during one recording, and the digests of all recordings of its task."""

    def __init__(self) -> None:
        self.since = 0.0
        self.opened: dict[str, None] = {}
        self.written: set[str] = set()
        self.digests: dict[str, str] = {}

    def take(self) -> None:
        """Make digests of what was opened."""
        for path in self.opened:
            if self.digests.get(path) == WRITTEN or (path not in self.digests and len(self.digests) >= MOST):
                continue
            try:
                newer = os.path.getmtime(path) > self.since
                self.digests[path] = WRITTEN if path in self.written else NEWER if newer else file_digest(path)
            except OSError:  # a temporary file that is gone
                self.digests.pop(path, None)
        self.opened.clear()


@final
class _Hook:
    """Hears of the files that this process opens."""

    def __init__(self) -> None:
        self.active: list[_Notes] = []
        self.tasks: WeakKeyDictionary[Any, _Notes] = WeakKeyDictionary()
        self.imports: dict[str, dict[str, None]] = {}  # by source file, what its import read

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename"):
            return
        try:
            if event == "os.rename":
                self._write(args[1])
            elif isinstance(args[0], (str, bytes)):
                if args[2] & (os.O_WRONLY | os.O_RDWR):
                    self._write(args[0])
                else:
                    self._read(os.path.abspath(os.fsdecode(args[0])))
        except Exception:  # whatever a hook raises would come out of the user's `open`
            return

    def _write(self, path: str | bytes) -> None:
        for notes in self.active:
            notes.written.add(os.path.abspath(os.fsdecode(path)))

    def _read(self, path: str) -> None:
        if path.endswith(".pyc"):
            path = importlib.util.source_from_cache(path)
        if path.startswith(_prefixes()):
            return
        used, importing = _reader(sys._getframe(2))
        if importing:
            self.imports.setdefault(importing, {})[path] = None
        if used and self.active and os.path.isfile(path):
            for notes in self.active:
                notes.opened[path] = None


@lru_cache(maxsize=1)
def _prefixes() -> tuple[str, ...]:
    return (*SYSTEM, *(f"{place}{os.sep}" for place in foreign_folders()))


@lru_cache(maxsize=4096)
def _is_user_source(name: str) -> bool:
    return not name.startswith("<") and is_of_user(Path(name).resolve())


def _reader(frame: FrameType | None) -> tuple[bool, str]:
    """Whether code of the user opens a file, called by a study or by itself; and the source whose import does."""
    used = False
    while frame is not None and not frame.f_code.co_filename.startswith(STUDY):
        name, module = frame.f_code.co_filename, frame.f_globals.get("__name__")
        console = name.startswith("<") and module == "__main__"
        if console or _is_user_source(name):
            used = True
            if frame.f_code.co_name == "<module>" and module not in ("__main__", "__mp_main__"):
                return True, os.path.realpath(name)
        frame = frame.f_back
    return used, ""


_HOOK = _Hook()
sys.addaudithook(_HOOK)


@contextmanager
def noting_files(task: Any) -> Iterator[None]:
    """Take note of the files that code of the user reads for a task."""
    notes = _HOOK.tasks.setdefault(task, _Notes())
    notes.since = time.time()
    notes.written.clear()
    _HOOK.active.append(notes)
    try:
        yield
    finally:
        _HOOK.active.remove(notes)
        notes.take()


def files_read(task: Any, sources: Mapping[str, Path], apart_from: Path) -> dict[str, str]:
    """Digests of the files that were read for a task in this process so far, by path.

    Args:
        task: the task.
        sources: its source files, whose imports count.
        apart_from: a folder whose files do not count: the results.

    Returns:
        Paths, relative to the folder of the task where they lie in it; `WRITTEN` or `NEWER` instead of a digest.
    """
    notes = _HOOK.tasks.get(task) or _Notes()
    notes.take()
    found = dict(notes.digests)
    modules = {str(path) for path in sources.values()}  # which are recorded as such
    for path in {path for source in modules for path in _HOOK.imports.get(source, {})}:
        if path not in found and os.path.isfile(path):
            found[path] = file_digest(path)
    root, own = _root(task), apart_from.resolve()
    places = {path: Path(path).resolve() for path in sorted(found)}
    return {
        _shown(place, root): found[path]
        for path, place in places.items()
        if str(place) not in modules and not place.is_relative_to(own)
    }


def changed_files(task: Any, files: Mapping[str, str]) -> list[str]:
    """Which of the files that were read are there with another content, in words."""
    found = []
    for name, mark in files.items():
        path = _root(task) / name
        if mark not in (WRITTEN, NEWER) and path.is_file():
            try:
                now = file_digest(path)
            except OSError:
                continue
            found += [f"file {name}: {mark} became {now}"] if now != mark else []
    return found


def _root(task: Any) -> Path:
    """The folder of the source of a task."""
    place = getattr(sys.modules.get(type(task).__module__), "__file__", None)
    return Path(place).resolve().parent if isinstance(place, str) else Path.cwd()


def _shown(place: Path, root: Path) -> str:
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)
