"""Judged results for GitHub Actions: Markdown for the summary of a step, and annotations."""

from collections.abc import Mapping, Sequence
from typing import Any

from dcmon.formatting import count_of, format_number, printable
from dcmon.states import ResultState

Row = Mapping[str, Any]
COMMANDS = {"critical": "error", "high": "error", "medium": "warning", "low": "notice"}


def summary(rows: Sequence[Row], counted: Sequence[Row]) -> str:
    """Return a heading and a table of the results.

    `counted`: the same rows with only those violated rules that fail the run.
    """
    violated, failing = (sum(bool(row["violates"]) for row in some) for some in (rows, counted))
    tolerated = f", of which {failing} fail the run" if failing < violated else ""
    heading = f"### dcmon: {count_of(len(rows), 'result')}, {violated} with a violated rule{tolerated}\n\n"
    lines = ["| | monitor | window ends | version | value | violates | reason |", "|---|---|---|---|---|---|---|"]
    return heading + "\n".join([*lines, *map(_line, rows, counted)]) + "\n\n"


def annotations(rows: Sequence[Row]) -> list[str]:
    """Return a workflow command for each violated rule, which GitHub shows beside the run."""
    return [
        f"::{COMMANDS[violation.partition(':')[0]]} title={_property(row['monitor'])}::"
        f"{_data(f'{violation} in the window to {_time(row)}')}"
        for row in rows
        for violation in row["violates"]
    ]


def _line(row: Row, counted: Row) -> str:
    is_judged = row["state"] == ResultState.OK and not row["no_verdict"]
    mark = "❌" if counted["violates"] else "⚠️" if row["violates"] else "✅" if is_judged else "❔"
    value = row.get("value")
    cells = [
        mark, row["monitor"], _time(row), row.get("version") or "", "" if value is None else format_number(value),
        ", ".join(row["violates"]), row["reason"] or "",
    ]  # fmt: skip
    return f"| {' | '.join(_cell(str(cell)) for cell in cells)} |"


def _time(row: Row) -> str:
    end = row.get("window_end")
    return f"{end:%Y-%m-%d %H:%M}" if end else "-"


def _cell(text: str) -> str:
    """Return a text in which Markdown and HTML mean nothing."""
    plain = printable(text, keeps_lines=False).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{sign}" if sign in "\\|`*_[]#" else sign for sign in plain)


def _data(text: str) -> str:
    return printable(text, keeps_lines=False).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
