"""Check files of monitoring as code, and print their schema."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import typer

from dcmon.declarations import file_reader
from dcmon.declarations import schema as file_schema
from dcmon.declarations.faults import Fault
from dcmon.output import Document, Page

FIELDS = ("file", "line", "column", "level", "message")  # of a fault or remark


class CheckedFiles(NamedTuple):
    """What to show of files, and how many faults they have."""

    page: Page
    faults: int = 0


def _schema() -> CheckedFiles:
    """Return the JSON schema of files."""
    text = file_schema.published()
    return CheckedFiles(Page(json.loads(text), [Document(text)]))


def validate(paths: Sequence[str], *, shows_schema: bool) -> CheckedFiles:
    """Check files, or return the schema. Raises BadParameter, NotFound or FileRefused."""
    if shows_schema:
        return _schema()
    if not paths:
        raise typer.BadParameter("Name a file, a directory, or - for stdin.", param_hint="FILE")
    read = file_reader.read(file_reader.sources(paths))
    faults = sorted(set(read.faults))
    lines = [str(fault) for fault in faults]
    rows = [_row(fault, "fault") for fault in faults] + [_row(remark, "remark") for remark in sorted(read.remarks)]
    number = f"{len(read.files)} file{'' if len(read.files) == 1 else 's'}"
    if not faults:
        lines = [f"{number} without a fault: {_counts(read.document)}."]
    return CheckedFiles(
        Page(rows, [Document("\n".join(lines))], [str(remark) for remark in sorted(read.remarks)]), len(faults)
    )


def _row(fault: Fault, level: str) -> dict[str, Any]:
    mark = fault.mark
    return dict(zip(FIELDS, (mark.file, mark.line, mark.column, level, fault.message), strict=True))


def _counts(document: Any) -> str:
    models = document.models or {}
    monitors = [monitor for model in models.values() for monitor in (model.monitors or {}).values()]
    counts = {
        "models": len(models),
        "monitors": len(monitors),
        "rules": sum(len(monitor.rules or ()) for monitor in monitors),
        "receivers": len(document.receivers or {}),
        "mute times": len(document.mute_times or {}),
        "silences": len(document.silences or ()),
    }
    texts = [f"{count:,} {name.removesuffix('s') if count == 1 else name}" for name, count in counts.items() if count]
    return ", ".join(texts) or "no objects"
