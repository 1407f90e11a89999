"""Logging to stderr: short lines on a terminal, JSON lines otherwise."""

import json
import logging
import sys
import textwrap
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime

from dcmon import colors
from dcmon.colors import Color, LogFormat
from dcmon.formatting import printable, printable_json

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_encode = json.JSONEncoder(default=str, ensure_ascii=False).encode  # one for all lines: json.dumps makes one for each

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the HTTP request that is being processed; all its lines of the log have it."""


class JsonLines(logging.Formatter):
    """A formatter that writes one JSON object per line, with the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD_ATTRIBUTES},
        }
        if (identifier := request_id.get()) is not None:
            fields.setdefault("request_id", identifier)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return printable_json(_encode(fields))


class TerminalLines(logging.Formatter):
    """A formatter for people: a line for each record, with the id of the request, then its traceback, indented.

    What others wrote (a path, a response of a receiver) neither begins a line of its own nor commands the terminal.
    `is_coloured`: warnings and errors have a colour.
    """

    def __init__(self, *, is_coloured: bool = False) -> None:
        super().__init__()
        self.is_coloured = is_coloured

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, and its traceback if it has one."""
        time, message = self.formatTime(record, "%H:%M:%S"), printable(record.getMessage(), keeps_lines=False)
        identifier = request_id.get()
        level = record.levelname
        shown_level = colors.with_ansi(level, level.lower()) if self.is_coloured else level
        line = f"{time} {shown_level} {message}" + (f" (request {identifier})" if identifier else "")
        if not record.exc_info:
            return line
        return f"{line}\n{textwrap.indent(printable(self.formatException(record.exc_info)), '    ')}"


def describe_error(error: BaseException) -> str:
    """Return the traceback of an error and its causes, without the values of statements.

    The messages of database errors show values of rows, so only their SQLSTATE is shown.
    """
    parts, visited, current = list[str](), set[int](), error
    while current is not None and id(current) not in visited:
        visited.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__))
        parts.append(f"{frames}{type(current).__module__}.{type(current).__qualname__}: {_message(current)}")
        following = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if following is None:
            break
        current = following
    return "\ncaused by\n".join(parts)


def _message(error: BaseException) -> str:
    original = getattr(error, "orig", error)  # SQLAlchemy's errors wrap those of the driver
    if hasattr(original, "sqlstate"):
        return f"SQLSTATE {original.sqlstate}"
    return "" if original is not error else str(error)


def set_up(verbosity: int, log_format: LogFormat | None = None, color: Color = Color.AUTO) -> None:
    """Set the log level: -1 errors, 0 warnings, 1 progress, 2 or more everything; and how lines are written.

    `log_format`: None is text on a terminal, and JSON otherwise.
    """
    levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
    stream = logging.StreamHandler(sys.stderr)
    is_text = sys.stderr.isatty() if log_format is None else log_format is LogFormat.TEXT
    stream.setFormatter(TerminalLines(is_coloured=_is_coloured(color)) if is_text else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[stream], force=True)
    logging.getLogger("dcmon").setLevel(levels.get(verbosity, logging.DEBUG))


def _is_coloured(color: Color) -> bool:
    """Return True if lines have colours; AUTO as rich decides for results: a terminal, NO_COLOR, TERM."""
    if color is not Color.AUTO:
        return color is Color.ALWAYS
    if not sys.stderr.isatty():
        return False
    from rich.console import Console

    console = Console(stderr=True)
    return console.color_system is not None and not console.no_color
