"""Lines of logs, for people and as data."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from dcmon.commands.operations import logs as operation
from dcmon.commands.operations.logs import LogFilter, Logs
from dcmon.data_formats import Row
from dcmon.output import Output, Span

if TYPE_CHECKING:
    from dcmon.app import App

INDENT = "    "
NO_LINE = "No line of the logs matches."


def batches(app: "App", parts: Sequence[str], chosen: LogFilter, *, is_followed: bool) -> Iterator[list[Row]]:
    """Yield rows of entries in the order of time; with `is_followed` also those that are written from now on.

    Raises NotFound or FileRefused.
    """
    data_dir = app.settings.data_dir
    if is_followed:
        for number, logs in enumerate(operation.follow(data_dir, parts, chosen)):
            yield from _batches(app.output, logs, chosen, is_first=number == 0)
        return
    with ExitStack() as stack:
        logs = operation.read(data_dir, parts, chosen, stack)
        has_rows = False
        for batch in _batches(app.output, logs, chosen, is_first=True):
            has_rows = has_rows or bool(batch)
            yield batch
        if not has_rows:
            app.output.remark(NO_LINE)


def lines(row: Row) -> list[list[Span]]:
    """Return the lines of an entry for people: time, level, part and message, then its further lines, indented."""
    text = f"{row['message']}\n{row.get('exception') or ''}"
    first, *further = text.split("\n")
    request = f" (request {row['request_id']})" if row.get("request_id") else ""
    head = [
        Span(f"{row['time']:%Y-%m-%d %H:%M:%S}.{row['time'].microsecond // 1000:03} ", "debug"),
        Span(f"{row['level']:<8} ", row["level"]),
        Span(f"{row['part']:<10} "),
        Span(first + request),
    ]
    return [head, *([Span(INDENT + line)] for line in further if line)]


def _batches(output: Output, logs: Logs, chosen: LogFilter, *, is_first: bool) -> Iterator[list[Row]]:
    if is_first and logs.is_cut:
        output.remark(f"Older lines are left out by --limit {chosen.largest}: add --limit N, or --since.")
    batch = list[Row]()
    for entry in logs.entries:
        batch.append(entry.row())
        if len(batch) == 1000:
            yield batch
            batch = []
    yield batch
