"""Turn values and lines into texts of a terminal, in which nothing is markup, and open the terminal."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dcmon import colors, durations
from dcmon.colors import Color
from dcmon.formatting import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.table import Table
    from rich.text import Text

LEAST_WIDTH = 20  # characters of a folded line beside its indentation


def text_of(text: str, style: str = "") -> "Text":
    """Return a line for rich, in which nothing is markup and a terminal obeys nothing."""
    from rich.text import Text

    return Text(printable(text, keeps_lines=False), style=style)


def styled_cell(column: str, value: Any) -> "Text":
    """Return a value as a cell of a table, in the colour that its column gives it."""
    return text_of(cell(value), colors.style_of_field(column, value))


def exact_cell(value: Any) -> str:
    """Return a value as text, a time with its milliseconds."""
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else cell(value)


def cell(value: Any) -> str:
    """Return a value as people read it: "-" for nothing, 4 digits of a fraction, a time to the minute."""
    if value is None or value in ({}, [], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        is_midnight = (value.hour, value.minute) == (0, 0)
        return value.strftime("%Y-%m-%d" if is_midnight else "%Y-%m-%d %H:%M")
    if isinstance(value, timedelta):
        return durations.to_text(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


class Column(NamedTuple):
    """A column of a table. `width`: None: as rich shares the width."""

    heading: str
    cells: "Sequence[Text]"
    width: int | None
    is_numeric: bool
    is_unfolded: bool


def table(title: str | None, columns: Sequence[Column]) -> "Table":
    """Return a table for rich. As a Text, what a tenant wrote is no markup of rich."""
    from rich.table import Table

    shown_title = None if title is None else text_of(title, "table.title")
    drawn = Table(title=shown_title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.is_numeric else "left"
        drawn.add_column(
            text_of(column.heading), justify=justify, overflow="fold", no_wrap=column.is_unfolded, width=column.width
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        drawn.add_row(*row)
    return drawn


def markdown(text: str) -> "Markdown":
    """Return a text in Markdown for rich; links show where they lead to."""
    from rich.markdown import Markdown

    return Markdown(printable(text), hyperlinks=False)


def folded(line: str, console: "Console", hanging: int) -> "Text":
    """Return a line, folded at the width of the terminal.

    What follows its first part begins below the first character, or `hanging` characters from the left.
    """
    from rich.text import Text

    beginning = " " * (len(line) - len(line.lstrip(" ")))
    indent = max(hanging, len(beginning))
    rows = text_of(line.lstrip(" ")).wrap(console, max(LEAST_WIDTH, console.width - indent))
    for row in rows:
        row.rstrip()
    return Text(beginning) + Text("\n" + " " * indent).join(rows)


def console(width: int | None, color: Color) -> "Console":
    """Return what writes to stdout; `width`: characters of a line, None: that of the terminal.

    A reader that ends early is a BrokenPipeError, as without rich, which would exit with 1.
    """
    from rich.console import Console

    class PipeConsole(Console):
        def on_broken_pipe(self) -> None:
            raise  # rich calls this while it handles the error

    if color is Color.AUTO:  # rich obeys FORCE_COLOR, TERM and NO_COLOR, but keeps bold with the last
        opened = PipeConsole(file=sys.stdout, highlight=False, width=width)
        plain = PipeConsole(file=sys.stdout, highlight=False, width=width, color_system=None)
        return plain if opened.no_color else opened
    is_coloured = color is Color.ALWAYS
    return PipeConsole(
        file=sys.stdout, highlight=False, width=width, force_terminal=is_coloured,
        color_system="standard" if is_coloured else None, no_color=not is_coloured,
    )  # fmt: skip
