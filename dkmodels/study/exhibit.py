"""A table that a task adds to its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import final

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Exhibit"]


@final
@dataclass(frozen=True, slots=True)
class Exhibit:
    """A table with a title and a caption, for terminal, report and README alike.

    Attributes:
        title: what it shows.
        rows: the head first, all of one length.
        caption: how to read it.

    Example:
        >>> print(Exhibit("Readers", [["reader", "right"], ["(a)", "98 %"]]).markdown())
        | reader | right |
        | --- | --- |
        | (a) | 98 % |
    """

    title: str
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.rows}
        if len(widths) != 1:
            raise ValueError(f"`Exhibit` needs rows of one length, got lengths {sorted(widths)}")

    def html(self) -> str:
        """The table as HTML."""
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.rows[0])
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows[1:])
        caption = f'<p class="soft">{escape(self.caption)}</p>' if self.caption else ""
        return f"<table class='exhibit'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{caption}"

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [self.rows[0], ["---"] * len(self.rows[0]), *self.rows[1:]]
        return "\n".join("| " + " | ".join(row) + " |" for row in lines)

    def print(self, console: Console) -> None:
        """Show it on a terminal."""
        table = Table(title=self.title, title_justify="left", caption=self.caption or None, caption_justify="left")
        for name in self.rows[0]:
            table.add_column(Text(name), overflow="fold")
        for row in self.rows[1:]:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
