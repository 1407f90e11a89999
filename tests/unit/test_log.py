"""Log lines: what others wrote neither begins a line nor commands the terminal."""

import json
import logging
import sys

import pytest

from dcmon import log
from dcmon.colors import Color, LogFormat
from dcmon.log import JsonLines, TerminalLines

HOSTILE = "/x\x1b]0;t\x07\u202e\x9b2J\n12:00:00 ERROR all rows are lost"


def _record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    raised = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("dcmon.access", logging.INFO, "", 0, "GET %s", (message,), raised)


def test_terminal_line_of_a_hostile_path_is_one_line() -> None:
    line = TerminalLines().format(_record(HOSTILE))

    assert line.isprintable()
    assert line.endswith("INFO GET /x\\x1b]0;t\\x07\\u202e\\x9b2J\\n12:00:00 ERROR all rows are lost")


def test_terminal_traceback_of_a_hostile_text_is_indented() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = _record("/", sys.exc_info()[1])

    first, *others = TerminalLines().format(record).split("\n")

    assert first.endswith("INFO GET /")
    assert all(line.startswith("    ") and line.isprintable() for line in others)
    assert others[-1] == "    12:00:00 ERROR all rows are lost"


def test_json_line_of_a_hostile_path_is_printable_json() -> None:
    line = JsonLines().format(_record(HOSTILE))

    assert line.isprintable()
    assert json.loads(line)["message"] == f"GET {HOSTILE}"


@pytest.mark.parametrize(
    ("log_format", "color", "shown"),
    [(LogFormat.TEXT, Color.NEVER, " WARNING hot"), (LogFormat.TEXT, Color.ALWAYS, "\x1b[33mWARNING\x1b[0m hot"),
     (LogFormat.JSON, Color.ALWAYS, '"message": "hot"'), (None, Color.AUTO, '"message": "hot"')],
)  # fmt: skip
def test_format_and_colour_of_logs_are_chosen(
    log_format: LogFormat | None, color: Color, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.set_up(0, log_format, color)
    logging.getLogger("dcmon.x").warning("hot")
    assert shown in capsys.readouterr().err
