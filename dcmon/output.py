"""The only writer to stdout: a table for people, JSON for programs. What is said beside it goes to stderr."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

NARROW = 120  # characters
Row = Mapping[str, Any]


class Format(StrEnum):
    """How results are written."""

    table = "table"
    json = "json"


class Output:
    """Writes results to stdout in the format asked for, and remarks to stderr unless quiet."""

    def __init__(self, format: Format = Format.table, *, quiet: bool = False) -> None:
        self.format, self.quiet = format, quiet

    @property
    def is_json(self) -> bool:
        return self.format is Format.json

    @property
    def is_narrow(self) -> bool:
        """Whether lines are too short for a table with a column of sentences."""
        return not self.is_json and _console().width < NARROW

    def table(
        self,
        rows: Sequence[Row],
        columns: Sequence[str],
        *,
        title: str | None = None,
        empty: str = "",
        whole: Sequence[str] = (),
    ) -> None:
        """Write rows. JSON has every key of a row; a table has `columns`, headed by their names.

        `whole`: columns that are not folded.
        """
        if self.is_json:
            return self._json([dict(row) for row in rows])
        if not rows:
            return self.say(empty or "Nothing to show.")
        from rich.table import Table

        table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for column in columns:
            numeric = all(isinstance(row.get(column), int | float | None) for row in rows)
            table.add_column(
                column.replace("_", " "),
                justify="right" if numeric else "left",
                overflow="fold",
                no_wrap=column in whole,
            )
        for row in rows:
            table.add_row(*(_cell(row.get(column)) for column in columns))
        self.print(table)
        return None

    def tables(self, tables: Mapping[str, Sequence[Row]], columns: Mapping[str, Sequence[str]]) -> None:
        """Write several tables, each under its name; JSON is one object of them."""
        if self.is_json:
            return self._json({name: [dict(row) for row in rows] for name, rows in tables.items()})
        for name, rows in tables.items():
            self.table(rows, columns[name], title=name.replace("_", " "), empty=f"No {name.replace('_', ' ')}.")
        return None

    def value(self, row: Row, *, none: Mapping[str, str] | None = None) -> None:
        """Write one object: a key and its value a line, or a JSON object. `none`: what a person reads for None."""
        if self.is_json:
            return self._json(dict(row))
        from rich.table import Table

        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for key, value in row.items():
            said = (none or {}).get(key) if value is None else None
            table.add_row(key.replace("_", " "), said or _cell(value))
        self.print(table)
        return None

    def print(self, what: Any) -> None:
        """Write a rich renderable or text to stdout, at the terminal's width."""
        _console().print(what)

    @contextmanager
    def progress(self, label: str, *, counts: bool = False) -> Iterator[Callable[[int, int], None]]:
        """A bar on a terminal, of bytes or of things that are counted; call what is given with (done, size)."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda done, size: None
            return
        from rich import progress as bars
        from rich.console import Console

        amount = bars.MofNCompleteColumn() if counts else bars.DownloadColumn()
        label_column, left = bars.TextColumn("{task.description}"), bars.TimeRemainingColumn()
        columns = (label_column, bars.BarColumn(), amount, left)
        with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            shown = bar.add_task(label, total=None)
            yield lambda done, size: bar.update(shown, completed=done, total=size)

    def say(self, text: str) -> None:
        """A remark for the person at the terminal, on stderr."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def _json(self, value: Any) -> None:
        print(json.dumps(value, default=_plain, ensure_ascii=False, indent=2), flush=True)


def shortened(text: str, most: int = 32) -> str:
    """The beginning of a text, for a cell of a table."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _console() -> "Console":
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _width())


def _width() -> int:
    """COLUMNS when it is set; wide otherwise, so that a pipe gets whole lines."""
    import shutil

    return shutil.get_terminal_size((200, 24)).columns


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None or value in ({}, [], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        is_midnight = (value.hour, value.minute) == (0, 0)
        return value.strftime("%Y-%m-%d" if is_midnight else "%Y-%m-%d %H:%M")
    if isinstance(value, Mapping):
        return escape(", ".join(f"{key} {_cell(item)}" for key, item in value.items()))
    if isinstance(value, list | tuple):
        return escape(", ".join(str(item) for item in value))
    return escape(str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, set | tuple):
        return list(value)
    return str(value)
