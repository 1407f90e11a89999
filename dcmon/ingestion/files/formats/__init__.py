"""Formats of files. Each reader yields rows with the fields of a column mapping, and MalformedRow for bad lines."""

from typing import Any

from dcmon.ingestion.files.csv_records import MalformedRow, SkippedRow

Row = dict[str, Any] | MalformedRow | SkippedRow
