"""How far a study is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["StudyProgress"]


@final
class StudyProgress:
    """Shows steps of a known number.

    Args:
        title: what is done.
        total: how many steps.
        console: where.
    """

    def __init__(self, title: str, total: int, console: Console) -> None:
        self.console, self.title, self.total, self.done = console, title, total, 0
        self._started = time.monotonic()
        self._bar = (
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
            )
            if console.is_terminal
            else None
        )
        self._task = self._bar.add_task(title, total=total) if self._bar else None

    def __enter__(self) -> StudyProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def step(self, text: str) -> None:
        """One step is done."""
        self.done += 1
        if self._bar and self._task is not None:
            self._bar.update(self._task, advance=1, description=f"{self.title}: {text}")
            return
        elapsed = time.monotonic() - self._started
        left = elapsed / self.done * (self.total - self.done)
        self.console.print(
            f"[{self.done:>{len(str(self.total))}}/{self.total}] {text}  "
            f"({_clock(elapsed)} gone, {_clock(left)} to go)",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
