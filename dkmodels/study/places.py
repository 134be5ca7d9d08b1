"""Whose a source file is: the user's, or of the standard library, an installed package or this library."""

from __future__ import annotations

import importlib.util
import site
import sysconfig
from functools import lru_cache
from pathlib import Path

__all__ = ["LIBRARY", "foreign_folders", "is_of_user"]

#: Packages whose sources are recorded as one digest.
LIBRARY = ("constraints", "dkmodels")


@lru_cache(maxsize=1)
def foreign_folders() -> tuple[Path, ...]:
    """Folders of the standard library, of installed packages and of this library."""
    places = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places += [*site.getsitepackages(), site.getusersitepackages()]
    library = [importlib.util.find_spec(package) for package in LIBRARY]
    places += [str(Path(spec.origin).parent) for spec in library if spec and spec.origin]
    return tuple(Path(place).resolve() for place in places if place)


def is_of_user(path: Path) -> bool:
    """Whether a source file is none of an installed package.

    Example:
        >>> is_of_user(Path("/home/me/task.py")), is_of_user(Path(__file__).resolve())
        (True, False)
    """
    # Packages may lie in folders that are no longer this interpreter's own: a path file, PYTHONPATH, Debian.
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not installed and not any(path.is_relative_to(place) for place in foreign_folders())
