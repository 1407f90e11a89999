"""Write results to stdout, as tables or data, and remarks to stderr. No other module writes to stdout."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from dcmon import cells, colors, data_formats, table_widths
from dcmon.colors import Color
from dcmon.data_formats import Data, Format, Row
from dcmon.errors import InvalidInput
from dcmon.formatting import printable
from dcmon.output_parts import Copied as Copied
from dcmon.output_parts import Document as Document
from dcmon.output_parts import Fields as Fields
from dcmon.output_parts import Lines as Lines
from dcmon.output_parts import Markdown as Markdown
from dcmon.output_parts import Page as Page
from dcmon.output_parts import Part as Part
from dcmon.output_parts import Remark as Remark
from dcmon.output_parts import Span as Span
from dcmon.output_parts import Table as Table
from dcmon.wrapping import wrapped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

T = TypeVar("T")
NUMBER = int | float | None
NARROW = 120  # characters
PIPE_WIDTH = 200  # of tables in a pipe, without COLUMNS
WIDE = 10_000


class Output:
    """Write results to stdout in one format, and remarks to stderr unless `quiet`.

    `fields`: the only fields of objects to show; empty for all, or those of the command's table. `color`: when results
    are coloured. `is_change`: whether the running command has changed something by the time that it shows a result.
    """

    def __init__(
        self,
        format: Format = Format.table,
        *,
        quiet: bool = False,
        fields: Sequence[str] = (),
        color: Color = Color.AUTO,
    ) -> None:
        self.format, self.quiet, self.fields, self.color = format, quiet, fields, color
        self.is_change = False
        self._sort = ""
        self._limit: int | None = None
        self._newest_is_last = False
        self._expected: Sequence[str] = ()

    def arrange(self, sort: str, limit: int | None, *, newest_is_last: bool = False) -> None:
        """Show all lists from now on in the order of a field, and at most so many rows (data_formats.arrange)."""
        self._sort, self._limit, self._newest_is_last = sort, limit, newest_is_last

    def expect(self, fields: Sequence[str]) -> None:
        """Show lists from now on that have these fields: the head of one without rows."""
        self._expected = fields

    def newest(self, rows: Sequence[T]) -> Sequence[T]:
        """Return the rows that --limit leaves of a history, in the order of time; a remark says how many it left out.

        For what shows rows in another way than as a list.
        """
        shown = rows if self._limit is None else rows[-self._limit :]
        self._say_left_out(len(rows) - len(shown))
        return shown

    def clear(self) -> None:
        """Clear the terminal, if results go to one; in a pipe they follow one another."""
        if sys.stdout.isatty():
            self._console().clear()

    def flush(self) -> None:
        """Write what was printed to a pipe, before a pause."""
        sys.stdout.flush()

    @property
    def is_data(self) -> bool:
        """Return True if results are for programs: the data itself, without words for people."""
        return not self.format.is_for_people

    @property
    def is_narrow(self) -> bool:
        """Return True if the terminal is too narrow for a column of sentences."""
        return self.format is Format.table and self._console().width < NARROW

    @property
    def width(self) -> int:
        """Return how many characters a line for people has at most."""
        return self._console().width

    def table(
        self,
        rows: Sequence[Row],
        columns: Sequence[str] | Mapping[str, str],
        *,
        title: str | None = None,
        empty: str = "",
        unfolded: Sequence[str] = (),
        narrow: Sequence[str] = (),
    ) -> None:
        """Write rows: as data with every key of a row, or as a table with `columns`.

        `columns`: the keys to show, or a mapping of these keys to their headings. An empty heading is the key.
        `unfolded` names the columns whose values stay on one line, `narrow` those that a narrow terminal shows, if not
        all: a remark names the others. `empty` is the remark when there are no rows.
        """
        self._table(Table(self._arranged(rows), columns, title, empty, unfolded, narrow))

    def _table(self, shown: Table) -> None:
        """Write a table whose rows are in their order."""
        rows, columns, hidden = shown.rows, shown.columns, list[str]()
        if self.is_data:
            return self._data([dict(row) for row in rows])
        if not rows:
            return self.remark(shown.empty or "Nothing to show.")
        if self.fields:
            rows = self._chosen(rows)
            columns = self.fields or columns
        elif shown.narrow and self.is_narrow:
            columns = [column for column in shown.columns if column in shown.narrow]
            hidden = [column for column in shown.columns if column not in shown.narrow]
        headings = shown.columns if isinstance(shown.columns, Mapping) else {}
        titles = {column: headings.get(column) or column.replace("_", " ") for column in [*columns, *hidden]}
        unfolded = shown.unfolded
        drawn = {column: [cells.styled_cell(column, row.get(column)) for row in rows] for column in columns}
        texts = {column: [titles[column], *(cell.plain for cell in drawn[column])] for column in columns}
        fit = table_widths.fit(texts, self._console().width, unfolded, keeps_all=bool(self.fields))
        numeric = {column: all(isinstance(row.get(column), NUMBER) for row in rows) for column in columns}
        parts = [
            cells.Column(
                titles[column], drawn[column], fit.widths.get(column), numeric[column], column in shown.unfolded
            )
            for column in columns
            if column not in fit.hidden
        ]
        self._print(cells.table(shown.title, parts))
        if hidden := [*hidden, *fit.hidden]:
            names = ", ".join(titles[column] for column in hidden)
            self.remark(f"Not shown in this width: {names}. -o wide shows all.")
        return None

    def tables(self, tables: Mapping[str, Sequence[Row]], columns: Mapping[str, Sequence[str]]) -> None:
        """Write several tables with their names as titles.

        As data they are one object with a key for each table.
        """
        if self.is_data:
            return self._data({name: [dict(row) for row in rows] for name, rows in tables.items()})
        for name, rows in tables.items():
            self.table(rows, columns[name], title=name.replace("_", " "), empty=f"No {name.replace('_', ' ')}.")
        return None

    def value(self, row: Row, *, none: Mapping[str, str] | None = None, remark: str | None = None) -> None:
        """Write one object, a line for each key, or as data; then the remark.

        `none` has the texts that people read for None.
        """
        self.page(Page(row, [Fields(row, none)], [remark] if remark else []))

    def _fields(self, fields: Fields) -> None:
        import rich.table

        table = rich.table.Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for key, value in fields.row.items():
            none_text = (fields.none or {}).get(key) if value is None else None
            style = colors.style_of_field(key, value)
            shown = _lines(value) if isinstance(value, Lines) else cells.text_of(none_text or cells.cell(value), style)
            table.add_row(cells.text_of(key.replace("_", " ")), shown)
        self._print(table)

    def page(self, page: Page) -> None:
        """Write a page: its data, or its parts; then its remarks."""
        if self.is_data:
            is_named = self.format is Format.name and page.names is not None
            data = [{"name": name} for name in page.names or ()] if is_named else page.data
            self._data(data if isinstance(data, Mapping) else self._arranged(data))
        elif not self.fields or not self._chosen_of_page(page.data):
            for part in page.parts:
                self._part(page.with_data(part) if self._sort else part)
        for remark in page.remarks:
            self.remark(remark)

    def _part(self, part: Part) -> None:
        if isinstance(part, Table):
            self._table(replace(part, rows=self._arranged(part.rows)))
        elif isinstance(part, Fields):
            self._fields(part)
        elif isinstance(part, Lines):
            self._lines(part)
        elif isinstance(part, Markdown) and sys.stdout.isatty():
            self._print(cells.markdown(part.text))
        elif isinstance(part, Document | Markdown):
            print(printable(part.text).removesuffix("\n"), flush=True)
        else:
            self.remark(part.text)

    def _lines(self, part: Lines) -> None:
        if part.title is not None:
            self._print(cells.text_of(part.title, "italic"))
        console = self._console()
        for line in part.lines:
            if isinstance(line, Copied) or not _is_folding():
                console.print(cells.text_of(line), soft_wrap=True)
            else:
                console.print(cells.folded(line, console, part.hanging))

    def _print(self, renderable: Any) -> None:
        """Write a rich renderable or a text to stdout, in the width of the terminal."""
        self._console().print(renderable)

    def _console(self) -> "Console":
        width = WIDE if self.format is Format.wide else None if sys.stdout.isatty() else _width()
        return cells.console(width, self.color)

    def stream(
        self, batches: Iterable[Iterable[Row]], lines_of: Callable[[Row], Sequence[Sequence[Span]]], *, endless: bool
    ) -> None:
        """Write rows while they come: as data, or for people the lines of each. Nothing is folded.

        What a batch has is written before the next one is awaited. `endless`: the rows have no end. Raises InvalidInput
        for a format that needs an end then.
        """
        if self.format in (Format.json, Format.yaml, Format.csv):
            if endless:
                raise InvalidInput(f"-o {self.format} needs an end, and -f has none. Use -o jsonl.")
            return self._data([row for batch in batches for row in batch])
        write = self._write_data if self.is_data or self.fields else self._line_writer(lines_of)
        for batch in batches:
            for row in batch:
                write(row)
            sys.stdout.flush()
        return None

    def _write_data(self, row: Row) -> None:
        chosen = data_formats.choose_known_fields(row, self.fields)
        if self.is_data:
            print(data_formats.serialize(chosen, self.format))
        else:
            print("  ".join(printable(cells.exact_cell(value), keeps_lines=False) for value in chosen.values()))

    def _line_writer(self, lines_of: Callable[[Row], Sequence[Sequence[Span]]]) -> Callable[[Row], None]:
        """Return what writes the lines of a row; rich, which is slow, only where there are colours."""
        console = self._console()
        if console.color_system is None or console.no_color:
            return lambda row: print(*map(_plain_line, lines_of(row)), sep="\n")
        from rich.text import Text

        def write(row: Row) -> None:
            for line in lines_of(row):
                parts = [cells.text_of(span.text, colors.style_of(span.word)) for span in line]
                console.print(Text.assemble(*parts), soft_wrap=True)

        return write

    @contextmanager
    def progress(self, label: str, *, counts: bool = False) -> Iterator[Callable[[int, int], None]]:
        """Show a progress bar on a terminal, of bytes or of counts.

        Yields a function that takes what is done and the size.
        """
        if self.quiet or not sys.stderr.isatty():
            yield lambda done, size: None
            return
        from rich import progress as bars
        from rich.console import Console

        amount = bars.MofNCompleteColumn() if counts else bars.DownloadColumn()
        label_column, remaining = bars.TextColumn("{task.description}", markup=False), bars.TimeRemainingColumn()
        columns = (label_column, bars.BarColumn(), amount, remaining)
        with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(printable(label, keeps_lines=False), total=None)
            yield lambda done, size: bar.update(task, completed=done, total=size)

    def document(self, text: str) -> None:
        """Write a document, such as a page of HTML, to stdout as it is, in all formats."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def remark(self, text: str) -> None:
        """Write a remark for people to stderr."""
        if not self.quiet:
            print(wrapped(printable(text)), file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Write to stderr why an exit code is not 0, also if `quiet`."""
        print(wrapped(printable(text)), file=sys.stderr, flush=True)

    def _data(self, data: Data) -> None:
        if self.format is Format.csv and not data and self._expected:
            written = data_formats.csv_header(self.fields or self._expected)
        else:
            written = data_formats.serialize(self._choose(data), self.format)
        if written or data:
            print(written, flush=True)

    def _arranged(self, rows: Sequence[Row]) -> Sequence[Row]:
        arranged = data_formats.arrange(rows, self._sort, self._limit, newest_is_last=self._newest_is_last)
        self._say_left_out(len(rows) - len(arranged))
        return arranged

    def _say_left_out(self, count: int) -> None:
        if count:
            self.remark(f"{count:,} more {'is' if count == 1 else 'are'} left out by --limit {self._limit}.")

    def _chosen(self, rows: Sequence[Row]) -> Sequence[Row]:
        chosen = self._choose(rows)
        assert not isinstance(chosen, Mapping)
        return chosen

    def _chosen_of_page(self, data: Data) -> bool:
        """Show the chosen fields of data; return False if they can't be chosen."""
        chosen = self._choose(data if isinstance(data, Mapping) else self._arranged(data))
        if not self.fields:
            return False
        if isinstance(chosen, Mapping):
            self._fields(Fields(chosen))
        elif chosen:
            self._table(Table(chosen, self.fields))
        return True

    def _choose(self, data: Data) -> Data:
        """Return the chosen fields of data.

        After a change an unknown field is no error: what was done, such as a new token, is shown whole.
        Raises InvalidInput for an unknown field otherwise.
        """
        try:
            return data_formats.choose_fields(data, self.fields)
        except InvalidInput as error:
            if not self.is_change:
                raise
            self.warn(f"{error} The result is shown whole, so that nothing of it is lost.")
            self.fields = ()
            return data


def shortened(text: str, max_length: int = 32) -> str:
    """Return the beginning of a text, for a cell of a table."""
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def _is_folding() -> bool:
    """Return True if results go to a terminal, or COLUMNS says how long a line may be."""
    return sys.stdout.isatty() or _width() != PIPE_WIDTH


def _width() -> int:
    """Return COLUMNS, or without it a width that folds no lines in a pipe."""
    import shutil

    return shutil.get_terminal_size((PIPE_WIDTH, 24)).columns


def _lines(lines: Lines) -> "Text":
    from rich.text import Text

    return Text("\n").join(map(cells.text_of, lines.lines or ["-"]))


def _plain_line(line: Sequence[Span]) -> str:
    return printable("".join(span.text for span in line), keeps_lines=False)
