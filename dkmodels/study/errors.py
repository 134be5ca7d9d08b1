"""What can go wrong with a study before or beside its training."""

from __future__ import annotations

__all__ = ["DifferentStudyError", "NothingDoneError", "StoreError", "UsageError"]


class UsageError(ValueError):
    """The study was asked for in a way that makes no sense; exit code 2."""


class DifferentStudyError(UsageError):
    """A folder holds cells of other rules, settings or code than those that are to be run."""


class NothingDoneError(UsageError):
    """All cells failed, or none was run: there is nothing to analyse."""


class StoreError(RuntimeError):
    """The results cannot be written or read; exit code 1."""
