"""Loaded files: a row for each, and their sum."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from dcmon.ingestion.field_value import value_text
from dcmon.output import Lines, Page, Part, Remark, Table

COLUMNS = ["file", "rows", "stored", "duplicates", "quarantined", "labels", "seconds", "was"]
# Columns that a table of several files has only if a file has something in them, so that long names have room.
ONLY_IF_USED = {"duplicates", "quarantined", "labels"}
MAX_REJECTIONS = 30  # shown in a table
UUID = re.compile(r"\b([0-9a-f]{4})[0-9a-f]{4}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b")


def loaded_files(rows: Sequence[Mapping[str, Any]]) -> Page:
    """Show files with their counts; of several files also the sums, and names without what they have in common."""
    if len(rows) < 2:
        return Page(list(rows), [Table(rows, COLUMNS), *_rejections(rows)], remarks(rows))
    folder = _common_folder([row["file"] for row in rows])
    shown = [{**row, "file": _short_name(row["file"], folder)} for row in rows]
    columns = [
        name for name in COLUMNS
        if name != "seconds" and (name not in ONLY_IF_USED or any(row[name] for row in rows))
    ]  # fmt: skip
    heading: list[Part] = [Lines([f"Files below {folder}"])] if folder else []
    return Page(list(rows), [*heading, Table([*shown, _total(rows)], columns), *_rejections(shown)], remarks(rows))


def remarks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what to say of the files. What is true of several is said once."""
    files: dict[str, list[str]] = {}
    for row in rows:
        for text in row.get("remarks", ()):
            files.setdefault(text, []).append(row["file"])
    skipped = [row for row in rows if row["in_since"] is not None]
    return [*_skipped(skipped, len(rows)), *(f"{_and_others(names)}: {text}" for text, names in files.items())]


def _skipped(rows: Sequence[Mapping[str, Any]], file_count: int) -> list[str]:
    if len(rows) > 1:
        return [f"{len(rows):,} of {file_count:,} files were loaded already; --again loads them again."]
    times = [f"{row['in_since'].astimezone(UTC):%Y-%m-%d %H:%M} UTC" for row in rows]
    return [
        f"{row['file']} was loaded already at {time}; --again loads it again."
        for row, time in zip(rows, times, strict=True)
    ]


def _and_others(names: Sequence[str]) -> str:
    others = f" and {len(names) - 1:,} other files" if len(names) > 2 else f" and {names[-1]}"
    return names[0] + (others if len(names) > 1 else "")


def _rejections(rows: Sequence[Mapping[str, Any]]) -> list[Part]:
    """Return a table of the rejected rows by reason and field, each with its first row as an example."""
    rejected = [
        {**rejection, "file": row["file"], "value": value_text(rejection["value"])}
        for row in rows
        for rejection in row["rejections"]
    ]
    if not rejected:
        return []
    place = "row" if any(rejection["line"] is None for rejection in rejected) else "line"
    columns = {"rows": "", "reason": "", "field": "", place: f"first {place}", "value": "", "detail": ""}
    if len(rows) > 1:
        columns = {"file": "", **columns}
    hidden = len(rejected) - MAX_REJECTIONS
    remark = [Remark(f"{hidden:,} more reasons are in -o json.")] if hidden > 0 else []
    return [Lines([""]), Table(rejected[:MAX_REJECTIONS], columns, title="Rejected rows"), *remark]


def _common_folder(paths: Sequence[str]) -> str:
    """Return the folder that all paths have in common; "" if there is none."""
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # absolute and relative paths
        return ""
    return "" if folder == os.sep else folder


def _short_name(path: str, folder: str) -> str:
    """Return a path below the common folder, with only the first digits of the long ids of Spark."""
    return UUID.sub(r"\1…", os.path.relpath(path, folder) if folder else path)


def _total(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sums: dict[str, Any] = {name: sum(row[name] for row in rows) for name in ("rows", "stored", "duplicates", "labels")}
    reasons = sum((Counter(row["quarantined"]) for row in rows), Counter[str]())
    return {"file": f"{len(rows):,} files", **sums, "quarantined": dict(sorted(reasons.items())), "was": ""}
