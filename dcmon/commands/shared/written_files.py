"""Report what a command wrote to a file: on stdout, or on stderr if the file itself goes to stdout."""

from collections.abc import Mapping
from typing import Any

from dcmon.output import Output


def report(output: Output, path: str, row: Mapping[str, Any], remark: str | None = None) -> None:
    """Show a row, and a remark for people."""
    if path == "-":
        output.remark(", ".join(f"{key}: {value}" for key, value in row.items()))
    else:
        output.value(row, remark=remark)
